"""How every service of ours begins: it logs to standard error, and a signal asks it to stop."""

from __future__ import annotations

import logging
import signal
import sys
import threading


def log_to_stderr() -> None:
    """A line for each thing that matters; what a database's migrations say only where it is a warning."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)


def asked_to_stop() -> threading.Event:
    """Set by SIGTERM and SIGINT. Only the main thread may call this."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
