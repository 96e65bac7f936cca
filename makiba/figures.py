"""Where the figures of a service are to be had: OpenMetrics on this machine's loopback, off unless a port is set.

Each room counts its own things (`collectors/metrics.py`, `analytics/metrics.py`, `api/metrics.py`); here they are
given out. prometheus-client is imported when a port is set and not before: a gateway has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

LOOPBACK: Final = "127.0.0.1"


class PortTaken(Exception):
    """Somebody else listens where the figures were to be had; the message says where."""


@contextmanager
def served(registry: CollectorRegistry, port: int) -> Iterator[None]:
    """Answers with the figures on `port` of the loopback until the block ends; `port` 0: nowhere. `PortTaken`."""
    if port == 0:
        yield
        return
    from prometheus_client import start_http_server

    try:
        server, thread = start_http_server(port, LOOPBACK, registry)
    except OSError as error:
        raise PortTaken(f"MAKIBA_METRICS_PORT: cannot listen on {LOOPBACK}:{port}: {error.strerror}") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
