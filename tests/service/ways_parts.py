"""Parts for tests of the ways in: a farm with sources, and `makiba collect` with a way switched on."""

from __future__ import annotations

import contextlib
import getpass
import subprocess
from collections.abc import Iterator, Sequence
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from collectors.registry import Registry, open_registry, sources
from collectors.store import Store, open_store
from deploy import broker as mosquitto
from makiba.cli import root
from makiba.reading import Reading, Series, Value
from tests.parts import Broker, Process, free_port, listens, makiba, wait_until
from tests.service.collecting import CONSOLE, SITE, farm, now_ms, registry_with

SOURCE = "src-partner"
JST = timezone(timedelta(hours=9))


def farm_with_source(home: Path, source: str = SOURCE, site: str = SITE) -> str:
    """A registry in `home` with a farm and an HTTP source; the source's token."""
    registry = registry_with(home, farm(site=site))
    with registry.write() as session:
        token = sources.add_http(session, CONSOLE, source, site, "Partner", now_ms())
    registry.close()
    return token


@contextlib.contextmanager
def opened(home: Path) -> Iterator[tuple[Registry, Store]]:
    """Registry and store in `home`, as another process would open them."""
    registry, store = open_registry(f"sqlite:{home / 'registry.db'}"), open_store(f"sqlite:{home / 'store.db'}")
    try:
        yield registry, store
    finally:
        store.close()
        registry.close()


def stored(home: Path, site: str = SITE) -> dict[tuple[str, str, int], Value]:
    """Everything the store has of a farm: (subject, quantity, time) to value."""
    with contextlib.closing(open_store(f"sqlite:{home / 'store.db'}")) as store:
        return {
            (series.subject, series.quantity, point.time_ms): point.value
            for series in store.series(site)
            for point in store.range(series, 0, 2**50)
        }


def reading(subject: str, quantity: str, time_ms: int, value: Value, site: str = SITE) -> Reading:
    return Reading(Series(site, subject, quantity), time_ms, value)


@contextlib.contextmanager
def collecting_http(home: Path, broker: Broker, **env: str) -> Iterator[tuple[str, Process]]:
    """`makiba collect` with HTTP on; its address and the process."""
    port = free_port()
    settings = {"MAKIBA_HOME": str(home), "MAKIBA_INGEST_PORT": str(port), **broker.env(), **env}
    with makiba("collect", log=home / "collect.log", env=settings) as process:
        wait_until(lambda: listens(port) or not process.running, 15, what=process.log)
        assert process.running, process.log()
        yield f"http://127.0.0.1:{port}", process


def run(home: Path, *arguments: str, **env: str) -> Result:
    """`makiba …` within this process, which is ten times faster than a process of its own."""
    return CliRunner().invoke(root, arguments, env={"MAKIBA_HOME": str(home), **env})


class ChirpstackBroker:
    """A plain Mosquitto with a password and persistence, as beside a ChirpStack; `publish` is ChirpStack."""

    USER, PASSWORD = "chirpstack", "a secret"

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        passwords = folder / "passwords"
        subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), self.USER, self.PASSWORD], check=True)
        config = folder / "mosquitto.conf"
        config.write_text(
            f"user {getpass.getuser()}\nlistener {self.port} 127.0.0.1\nallow_anonymous false\n"
            f"password_file {passwords}\npersistence true\npersistence_location {folder}/\n"
            "autosave_on_changes true\nautosave_interval 1\n",
            encoding="utf-8",
        )
        self._process = Process([mosquitto.program(), "-c", str(config)], log=folder / "mosquitto.log")

    def env(self) -> dict[str, str]:
        return {
            "MAKIBA_LORAWAN_BROKER": f"mqtt://{self.USER}@127.0.0.1:{self.port}",
            "MAKIBA_LORAWAN_PASSWORD": self.PASSWORD,
        }

    def publish(self, events: Sequence[tuple[str, str, bytes]]) -> None:
        """(devEUI, event, payload) with QoS 1, as ChirpStack does if told to; returns when the broker has them."""
        from paho.mqtt import publish

        messages: list[Any] = [
            (f"application/a-1/device/{eui}/event/{event}", data, 1, False) for eui, event, data in events
        ]
        publish.multiple(
            messages, port=self.port, hostname="127.0.0.1",
            auth={"username": self.USER, "password": self.PASSWORD},
        )  # fmt: skip

    def start(self) -> ChirpstackBroker:
        self._process.start()
        wait_until(lambda: listens(self.port) or not self._process.running, what="mosquitto listens")
        assert self._process.running, self._process.log()
        return self

    def stop(self) -> None:
        self._process.terminate()

    def __enter__(self) -> ChirpstackBroker:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self._process.kill()
