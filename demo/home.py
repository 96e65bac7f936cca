"""Where a demo keeps its things, on which ports it speaks, and whether one runs there already.

Everything is below one folder (`MAKIBA_HOME`, or `.makiba/demo` in the checkout): removing it removes the demo.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HTTP_PORT: Final = 8800
MQTT_PORT: Final = 8883


class DemoRuns(Exception):
    """A demo runs in this folder already; `address` is where (empty while it starts)."""

    def __init__(self, home: Path, address: str) -> None:
        super().__init__(f"a demo already runs in {home}" + (f": {address}" if address else ""))
        self.address = address


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below the demo's folder."""

    path: Path

    @property
    def folder(self) -> Path:
        """The farm's side: the gateway's file and spool, its serial lines, the faults."""
        return self.path / "demo"

    @property
    def faults(self) -> Path:
        return self.folder / "faults.json"

    @property
    def gateway_file(self) -> Path:
        return self.folder / "gateway.yaml"

    @property
    def pki(self) -> Path:
        return self.path / "pki"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def running_file(self) -> Path:
        return self.folder / "running.json"

    def running(self) -> dict[str, Any] | None:
        """What the demo that runs here says of itself (`address`, `pid`, `code`); None when none does."""
        try:
            with (self.folder / "lock").open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        except BlockingIOError:
            return self._said()
        except FileNotFoundError:
            return None

    def _said(self) -> dict[str, Any]:
        try:
            said = json.loads(self.running_file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Holds the folder for one demo; `DemoRuns` when another has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)
        with (self.folder / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DemoRuns(self.path, str(self._said().get("address", ""))) from None
            yield

    def say_running(self, said: Mapping[str, Any]) -> None:
        """Leaves word for `makiba demo link` and for a second demo; readable by the owner alone."""
        temp = self.running_file.with_suffix(".new")
        with os.fdopen(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(said, file)
        os.replace(temp, self.running_file)


def default_home(environ: Mapping[str, str]) -> Home:
    """`MAKIBA_HOME`, else `.makiba/demo` in the checkout that this runs from, else in the person's home folder."""
    if given := environ.get("MAKIBA_HOME"):
        return Home(Path(given).expanduser().resolve())
    checkout = Path(__file__).resolve().parent.parent
    below = checkout if (checkout / "pyproject.toml").is_file() else Path.home()
    return Home(below / ".makiba" / "demo")


def port_for(wanted: int | None, usual: int) -> int:
    """`wanted` when somebody asked for it, else the usual one when it is free, else any free one."""
    if wanted is not None:
        return wanted
    return usual if is_free(usual) else free_port()


def is_free(port: int) -> bool:
    """Whether a server of ours could listen on `port` of the loopback."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port of the loopback that nobody uses now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
