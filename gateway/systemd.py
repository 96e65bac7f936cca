"""Words to systemd over its notification socket (sd_notify(3)); nothing happens where there is none."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


def notify(message: str, env: Mapping[str, str] = os.environ) -> bool:
    """Sends `READY=1`, `WATCHDOG=1`, `STOPPING=1` or `STATUS=…`; whether anybody took it."""
    address = env.get("NOTIFY_SOCKET", "")
    if not address or address[0] not in "/@":
        return False
    if address[0] == "@":  # an abstract socket
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.sendto(message.encode(), address)
    except OSError:
        return False
    return True


def watchdog_s(env: Mapping[str, str] = os.environ) -> float | None:
    """How often systemd wants to hear from this process at least; None when it does not wait."""
    given, pid = env.get("WATCHDOG_USEC", ""), env.get("WATCHDOG_PID", "")
    if not given.isdigit() or (pid and pid != str(os.getpid())):
        return None
    return int(given) / 1e6
