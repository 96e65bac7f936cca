"""What the commands of this room share: registry and store of the settings, and errors as one line and an exit code.

Exit codes: 2 where a person has to change something, 1 for any other failure.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

import typer

from collectors.registry import Registry, RegistryError, RegistryMisconfigured, RegistryUnavailable, open_registry
from collectors.registry.viewer import Service
from collectors.store import Store, StoreError, StoreMisconfigured, StoreUnavailable
from makiba.settings import Settings, load_settings

T = TypeVar("T")
CONSOLE = Service("console")

log = logging.getLogger("makiba.collect")


def new_app(text: str) -> typer.Typer:
    """A group of commands with `text` as its help."""
    return typer.Typer(help=text, add_completion=False, no_args_is_help=True, rich_markup_mode=None)


def wait_for(what: str, stop: threading.Event, attempt: Callable[[], T]) -> T | None:
    """What `attempt` gives as soon as it can; None when stopping comes first. Says once that it waits."""
    waiting = False
    while not stop.is_set():
        try:
            done = attempt()
        except (RegistryUnavailable, StoreUnavailable) as error:
            if not waiting:
                log.warning("waiting for the %s: %s", what, error)
            waiting = True
            stop.wait(1.0)
        else:
            if waiting:
                log.info("the %s is there", what)
            return done
    return None


def open_own_registry(settings: Settings, *, migrate: bool = False) -> Registry:
    """The registry of the settings."""
    secret = settings.registry_password
    return open_registry(
        settings.registry_url, password=secret.get_secret_value() if secret else None, migrate=migrate
    )


@contextmanager
def own_registry() -> Iterator[Registry]:
    """The registry of the settings, closed at the end of the block."""
    registry = open_own_registry(load_settings())
    try:
        yield registry
    finally:
        registry.close()


def open_own_store(settings: Settings, registry: Registry | None = None) -> Store:
    """The store of the settings with the servers that the registry names; one of them answers at least.

    Without `registry` that of the settings is asked, if there is one: none has assigned no farm.
    """
    from collectors.store.assigned import open_assigned_store, open_settings_store

    readings: Store
    if registry is not None:
        readings = open_assigned_store(settings, registry)
    else:
        try:
            asked = open_own_registry(settings)
            readings = open_assigned_store(settings, asked, on_close=asked.close)
        except RegistryMisconfigured:
            readings = open_settings_store(settings)
    try:
        readings.check()
    except StoreError:
        readings.close()
        raise
    return readings


@contextmanager
def explained() -> Iterator[None]:
    """Errors of store and registry as one line and an exit code."""
    try:
        yield
    except (RegistryMisconfigured, StoreMisconfigured) as error:
        fail(str(error))
    except (RegistryError, StoreError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def fail(message: str) -> NoReturn:
    """Says what a person has to change, and ends the command."""
    typer.echo(message, err=True)
    raise typer.Exit(2)
