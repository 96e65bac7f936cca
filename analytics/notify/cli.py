"""`makiba notify`: tell people what is in the alert book.

Exit codes: 2 where a person has to change something (nothing is started then), 1 for any other failure, 0 also when
stopped by a signal.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack

import typer

from makiba.keys import KeyUnusable
from makiba.located_yaml import ConfigErrors
from makiba.service import asked_to_stop, log_to_stderr
from makiba.settings import load_settings

log = logging.getLogger("makiba.notify")

notify = typer.Typer(add_completion=False, rich_markup_mode=None)


@notify.command()
def run_notify() -> None:
    """Tell people what is in the alert book, until stopped. Any number of them may run."""
    from analytics.cli import wait_for
    from analytics.notify.channels import open_channels
    from analytics.notify.process import Notifier
    from analytics.notify.who import Ways
    from analytics.rules import all_rules
    from collectors.registry import Registry, RegistryMisconfigured, RegistryUnavailable, open_registry
    from collectors.store import StoreMisconfigured
    from collectors.store.assigned import open_assigned_store

    log_to_stderr()
    stop = asked_to_stop()
    try:
        with ExitStack() as held:
            settings = load_settings()
            rules = all_rules(settings)
            channels = open_channels(settings)
            secret = settings.registry_password.get_secret_value() if settings.registry_password else None

            def registry_() -> Registry:
                return open_registry(settings.registry_url, password=secret, migrate=True)

            registry = wait_for("registry", stop, registry_, RegistryUnavailable)
            if registry is None:
                return
            held.callback(registry.close)
            store = open_assigned_store(settings, registry) if settings.heartbeat_url else None
            if store is not None:
                held.callback(store.close)
            log.info("telling people by %s", ", ".join(channels) or "nothing: no channel is set up")
            ways = Ways({str(name): channel for name, channel in channels.items()}, rules, settings.address)
            Notifier(registry, ways, store=store, heartbeat_url=settings.heartbeat_url).run(stop)
    except (ConfigErrors, KeyUnusable, RegistryMisconfigured, StoreMisconfigured, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    log.info("stopped")
