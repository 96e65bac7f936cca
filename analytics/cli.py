"""`makiba watch`: judge the readings and keep the alert book.

Exit codes: 2 where a person has to change something (nothing is started then), 1 for any other failure, 0 also when
stopped by a signal.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

import typer

from makiba.located_yaml import ConfigErrors
from makiba.service import asked_to_stop, log_to_stderr
from makiba.settings import Settings, load_settings

T = TypeVar("T")
log = logging.getLogger("makiba.watch")

watch = typer.Typer(add_completion=False, rich_markup_mode=None)


@watch.command()
def run_watch() -> None:
    """Judge the readings and keep the alert book, until stopped."""
    from analytics.feed import Feed
    from analytics.metrics import Figures
    from analytics.rules import all_rules
    from analytics.worker import Worker
    from collectors.registry import Registry, RegistryMisconfigured, RegistryUnavailable, open_registry
    from collectors.store import Store, StoreMisconfigured, StoreUnavailable
    from collectors.store.assigned import open_assigned_store
    from makiba.figures import PortTaken, served

    log_to_stderr()
    stop = asked_to_stop()

    page = ExitStack()
    try:
        settings = load_settings()
        _require_keys(settings)
        rules = all_rules(settings)
        figures = Figures()
        page.enter_context(served(figures.registry, settings.metrics_port))

        def registry_() -> Registry:
            password = settings.registry_password
            secret = password.get_secret_value() if password else None
            return open_registry(settings.registry_url, password=secret, migrate=True)

        def store_() -> Store:
            assert registry
            store = open_assigned_store(settings, registry)
            store.check()
            return store

        registry = wait_for("registry", stop, registry_, RegistryUnavailable)
        store = wait_for("store", stop, store_, StoreUnavailable) if registry else None
        if registry is None or store is None:
            return
        log.info("watching with %d rules of %s", len(rules), settings.rules_dir)
        try:
            Worker(registry, store, Feed(settings.mqtt("analytics")), rules, figures=figures).run(stop)
        finally:
            store.close()
            registry.close()
    except (ConfigErrors, PortTaken, RegistryMisconfigured, StoreMisconfigured) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    finally:
        page.close()
    log.info("stopped")


def _require_keys(settings: Settings) -> None:
    tls = settings.mqtt("analytics").tls
    missing = [file for file in (tls.ca, tls.cert, tls.key) if not file.is_file()] if tls else []
    for file in missing:
        typer.echo(
            f"{file}: is missing; `makiba pki issue analytics` makes it (MAKIBA_PKI names its folder)", err=True
        )
    if missing:
        raise typer.Exit(2)


def wait_for(what: str, stop: threading.Event, make: Callable[[], T], down: type[Exception]) -> T | None:
    """What `make` gives, tried again while it is `down`; None when stopped before."""
    told = False
    while not stop.is_set():
        try:
            return make()
        except down as error:
            if not told:
                log.warning("%s: %s; trying again", what, error)
                told = True
            stop.wait(1.0)
    return None
