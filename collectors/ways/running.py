"""The ways in that `makiba collect` runs beside the gateways' MQTT, a thread each, as the settings say."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from collectors.console import fail
from collectors.ingest import Ingest, Outcome
from collectors.registry import Registry
from collectors.store import Store
from collectors.ways.http_post import HttpWay
from collectors.ways.http_server import listen
from collectors.ways.lorawan import BadAddress, LorawanWay, broker_options
from collectors.ways.lorawan_profile import load_profiles
from collectors.ways.port import IngestDoor, WayIn
from makiba.settings import Settings

log = logging.getLogger("makiba.collect")

END_WITHIN_S: Final = 8.0


@contextmanager
def ways_in(
    settings: Settings,
    registry: Registry,
    store: Store,
    announce: Callable[[Outcome], None],
    stop: threading.Event,
) -> Iterator[None]:
    """Runs them within the block; a way that dies stops everything, so that whoever watches the process knows."""
    ways = _chosen(settings, registry, IngestDoor(Ingest(registry, store), announce))
    threads = [threading.Thread(target=_run, args=(way, stop), name=way.name, daemon=True) for way in ways]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(END_WITHIN_S)


def _chosen(settings: Settings, registry: Registry, door: IngestDoor) -> Sequence[WayIn]:
    ways: list[WayIn] = []
    if settings.ingest_port:
        try:
            sock = listen(settings.ingest_host, settings.ingest_port)
        except OSError as error:
            fail(f"cannot listen on {settings.ingest_host}:{settings.ingest_port}: {error.strerror or error}")
        ways.append(HttpWay(sock, registry, door))
    if settings.lorawan_broker:
        try:
            options = broker_options(
                settings.lorawan_broker, client_id=settings.lorawan_client, password=settings.lorawan_password,
                ca=settings.lorawan_ca, cert=settings.lorawan_cert, key=settings.lorawan_key,
                application=settings.lorawan_application,
            )  # fmt: skip
        except BadAddress as error:
            fail(f"MAKIBA_LORAWAN_BROKER: {error}")
        ways.append(LorawanWay(options, registry, door, load_profiles(settings.lorawan_profiles_dir)))
    return ways


def _run(way: WayIn, stop: threading.Event) -> None:
    try:
        way.run(stop)
    except Exception:  # outermost loop of a thread
        log.exception("the way in %r died; stopping", way.name)
    finally:
        stop.set()
