"""Real parts for tests: free ports, waiting for a condition, a broker with TLS, child processes with logs.

Nothing here sleeps for a fixed time, and everything that is started is ended by its own process id.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from deploy import broker as mosquitto
from deploy.pki import authority
from makiba.mqtt import MqttOptions, TlsOptions

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")

PATIENCE: Final = 5.0
"""Deadlines are stated for a quiet machine and multiplied by this: how fast a thing is, benchmarks say."""


_WORKER: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 5
_PORTS: Final = itertools.cycle(random.sample(range(10_000 + 4_500 * _WORKER, 14_500 + 4_500 * _WORKER), 4_500))
"""Of this process alone, and below those that the system gives to whoever connects: nobody takes one in between."""


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on."""
    for port in _PORTS:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


def wait_until(
    condition: Callable[[], T], within_s: float = 5.0, what: str | Callable[[], str] = "", every_s: float = 0.02
) -> T:
    """The first true answer of `condition`; `AssertionError` with `what` when there is none `within_s` by far."""
    deadline = time.monotonic() + within_s * PATIENCE
    while True:
        if answer := condition():
            return answer
        if time.monotonic() > deadline:
            text = what() if callable(what) else what
            raise AssertionError(
                f"not within {within_s * PATIENCE:g} s: {text or getattr(condition, '__name__', 'condition')}"
            )
        time.sleep(every_s)


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody takes connections on `port`."""
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex((host, port)) == 0


class Process:
    """A child process whose output goes into a file. As a context manager it is killed at the end."""

    def __init__(self, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None,
                 cwd: Path = ROOT) -> None:  # fmt: skip
        self.command, self.log_path, self.cwd = list(command), log, cwd
        self.env = {**os.environ, **(env or {})}
        self._popen: subprocess.Popen[bytes] | None = None
        log.parent.mkdir(parents=True, exist_ok=True)

    @property
    def pid(self) -> int:
        assert self._popen, "not started"
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, None while it runs (or was never started)."""
        return self._popen.poll() if self._popen else None

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""

    def start(self) -> Process:
        assert not self.running, "runs already"
        with self.log_path.open("ab") as log:
            self._popen = subprocess.Popen(
                self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.env, cwd=self.cwd
            )
        return self

    def wait(self, within_s: float = 10.0) -> int:
        """Its exit code, once it ends by itself."""
        assert self._popen
        try:
            return self._popen.wait(within_s * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.command} still runs after {within_s * PATIENCE:g} s\n{self.log()[-3000:]}"
            ) from None

    def terminate(self, within_s: float = 10.0) -> int:
        """SIGTERM, then its exit code."""
        assert self._popen
        self._popen.send_signal(signal.SIGTERM)
        return self.wait(within_s)

    def kill(self) -> None:
        """SIGKILL, and waits until it is gone."""
        if self._popen:
            self._popen.kill()
            self._popen.wait()

    def __enter__(self) -> Process:
        return self if self.running else self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


def makiba(*arguments: str, log: Path, env: Mapping[str, str] | None = None) -> Process:
    """A `makiba …` process, not started yet."""
    return Process([sys.executable, "-m", "makiba", *arguments], log=log, env=env)


class Broker:
    """A real Mosquitto with TLS and the ACL on a free port, and an authority that issues certificates."""

    def __init__(self, folder: Path | None = None) -> None:
        self._temp = tempfile.TemporaryDirectory(prefix="makiba-broker-") if folder is None else None
        self.folder = Path(self._temp.name) if self._temp else Path(str(folder))
        self.pki = self.folder / "pki"
        self.port = free_port()
        config = mosquitto.write_config(self.folder, pki=self.pki, port=self.port)
        self._process = Process([mosquitto.program(), "-c", str(config)], log=self.folder / "mosquitto.log")

    def options(self, name: str) -> MqttOptions:
        """How `name` (a service, or a gateway `gw-…`) connects."""
        issued = authority.issue(self.pki, name)
        tls = TlsOptions(ca=self.pki / "ca.pem", cert=issued.cert, key=issued.key)
        return MqttOptions(host="127.0.0.1", port=self.port, tls=tls)

    def env(self) -> dict[str, str]:
        """`MAKIBA_*` variables with which a service reaches this broker; issues the services' certificates."""
        for name in authority.SERVICES:
            authority.issue(self.pki, name)
        return {"MAKIBA_MQTT_PORT": str(self.port), "MAKIBA_PKI": str(self.pki)}

    def log(self) -> str:
        return self._process.log()

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> Broker:
        """Starts it and waits until it listens."""
        self._process.start()
        try:
            wait_until(lambda: listens(self.port) or not self._process.running, what="mosquitto listens")
            assert self._process.running, f"mosquitto ended at once:\n{self.log()}"
        except AssertionError:
            self._process.kill()
            raise
        return self

    def stop(self) -> None:
        if self._process.running:
            self._process.terminate()

    def kill(self) -> None:
        """SIGKILL: connections break and nothing is said."""
        self._process.kill()

    def __enter__(self) -> Broker:
        return self if self._process.running else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if self._temp:
            self._temp.cleanup()
