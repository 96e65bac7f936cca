"""Parts for tests of the ways in: a farm with sources, and `makiba collect` with a way switched on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from typer.testing import CliRunner, Result

from collectors.registry import Registry, open_registry, sources
from collectors.store import Store, open_store
from makiba.cli import root
from makiba.reading import Reading, Series, Value
from tests.parts import Broker, Process, free_port, listens, makiba, wait_until
from tests.service.collecting import CONSOLE, SITE, farm, now_ms, registry_with

SOURCE = "src-partner"


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
