"""`makiba collect`, `makiba store …` and `makiba site …`.

Exit codes: 2 where a person has to change something (nothing is started then), 1 for any other failure, 0 also when
stopped by a signal.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer

from collectors.registry import Registry, RegistryError, RegistryMisconfigured, RegistryUnavailable, open_registry
from collectors.registry.viewer import Service
from collectors.store import Point, Store, StoreError, StoreMisconfigured, StoreUnavailable, open_store
from makiba.located_yaml import ConfigErrors, Problem
from makiba.quantities import catalogue
from makiba.reading import Series
from makiba.settings import Settings, load_settings

T = TypeVar("T")
_CONSOLE = Service("console")

log = logging.getLogger("makiba.collect")


def _app(text: str) -> typer.Typer:
    return typer.Typer(help=text, add_completion=False, no_args_is_help=True, rich_markup_mode=None)


collect = typer.Typer(add_completion=False, rich_markup_mode=None)
store = _app("Look into the store of readings.")
site = _app("Farms, their gateways, places and devices.")


# ------------------------------------------------------------------------------------------------------ collect


@collect.command()
def run_collect() -> None:
    """Take what gateways send into the store, until stopped. Any number may run."""
    from collectors.ingest import Ingest
    from collectors.mqtt import Collector

    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    settings = _settings()
    _require_keys(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with _explained():
        registry = _wait_for("registry", stop, lambda: _open_registry(settings, migrate=True))
        readings = _wait_for("store", stop, lambda: _open_store(settings))
        if registry is None or readings is None:
            return
        log.info("collecting into %s", settings.store_url)
        try:
            Collector(settings.mqtt("collector"), Ingest(registry, readings)).run(stop)
        finally:
            readings.close()
            registry.close()
    log.info("stopped")


def _require_keys(settings: Settings) -> None:
    tls = settings.mqtt("collector").tls
    missing = [str(file) for file in (tls.ca, tls.cert, tls.key) if not file.is_file()] if tls else []
    if missing:
        _fail(f"{', '.join(missing)}: missing; `makiba pki` makes keys and certificates")


def _wait_for(what: str, stop: threading.Event, attempt: Callable[[], T]) -> T | None:
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


# -------------------------------------------------------------------------------------------------------- store


@store.command("check")
def store_check() -> None:
    """Say whether the store answers."""
    settings = _settings()
    with _explained():
        _open_store(settings).close()
    typer.echo(f"{settings.store_url}: answers")


@store.command("latest")
def store_latest(site: str) -> None:
    """The newest value of each series of SITE, as people read it."""
    with _explained():
        readings = _open_store(_settings())
        points = readings.latest(site)
        readings.close()
    for series in sorted(points):
        typer.echo(_spell_point(series, points[series]))
    if not points:
        typer.echo(f"{site}: nothing in the store", err=True)


@store.command("series")
def store_series(site: str) -> None:
    """Every series of SITE that has a reading."""
    with _explained():
        readings = _open_store(_settings())
        for series in readings.series(site):
            typer.echo(str(series))
        readings.close()


def _spell_point(series: Series, point: Point) -> str:
    when = datetime.fromtimestamp(point.time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    known = catalogue().get(series.quantity)
    value = point.value if isinstance(point.value, str) or known is None else known.shown(point.value)
    return f"{when.replace('+00:00', 'Z')}  {series}  {value}"


# --------------------------------------------------------------------------------------------------------- site


@site.command("apply")
def site_apply(
    files: Annotated[list[Path], typer.Argument(metavar="SITE.yaml…", help="Site files")],
) -> None:
    """Make the registry say what the site files say. Applying one again changes nothing."""
    from collectors.registry.site_file import load_site_file
    from collectors.registry.sites import GatewayTaken, SiteSpec, apply_site
    from makiba.rule import load_rules

    settings = _settings()
    rules = load_rules(settings.rules_dir)
    specs: list[SiteSpec] = []
    problems: list[Problem] = []
    for file in files:
        try:
            specs.append(load_site_file(file, rules))
        except ConfigErrors as errors:
            problems += errors.problems
    if problems:
        raise ConfigErrors(problems)
    with _explained():
        registry = _open_registry(settings, migrate=True)
        try:
            with registry.write() as session:
                for spec in specs:
                    apply_site(session, _CONSOLE, spec, time.time_ns() // 1_000_000)
        except GatewayTaken as error:
            _fail(f"{error}; one gateway sends for one site: take it out of that site's file first")
        finally:
            registry.close()
    for spec in specs:
        typer.echo(
            f"{spec.id}: {len(spec.gateways)} gateways, {len(spec.places)} places, {len(spec.placements)} placements"
        )


@site.command("list")
def site_list() -> None:
    """The farms."""
    from collectors.registry import sites

    with _explained(), _registry() as registry, registry.read() as session:
        for row in sites.list_sites(session, _CONSOLE):
            typer.echo(f"{row.id}  {row.name_ja}  {row.name_en}")


@site.command("gateways")
def site_gateways(site: str) -> None:
    """The gateways of SITE, what they last said and when, and how many devices they have."""
    from collectors.registry import sites

    with _explained(), _registry() as registry, registry.read() as session:
        if sites.get_site(session, _CONSOLE, site) is None:
            _fail(f"no site {site}; `makiba site list` shows them")
        devices = sites.list_devices(session, _CONSOLE, site)
        for row in sites.list_gateways(session, _CONSOLE, site):
            when = datetime.fromtimestamp(row.status_ms / 1000, UTC).isoformat(timespec="seconds")
            since = f" since {when.replace('+00:00', 'Z')}" if row.status_ms else ""
            revoked = "  revoked" if row.revoked_ms is not None else ""
            count = sum(device.gateway_id == row.id for device in devices)
            typer.echo(f"{row.id}  {row.status}{since}  {count} devices  {row.software}{revoked}".rstrip())


@site.command("refused")
def site_refused(
    gateway: Annotated[str | None, typer.Argument(help="Of this gateway only")] = None, limit: int = 20
) -> None:
    """The newest records that were refused (dead letters), with the reason."""
    from collectors.registry import dead_letters

    with _explained(), _registry() as registry, registry.read() as session:
        for row in dead_letters.list_letters(session, _CONSOLE, gateway=gateway, limit=limit):
            when = datetime.fromtimestamp(row.received_ms / 1000, UTC).isoformat(timespec="seconds")
            typer.echo(
                f"{when.replace('+00:00', 'Z')}  {row.gateway_id}  {row.batch}[{row.record_index}]  "
                f"{row.name}: {row.reason}"
            )


@site.command("migrate")
def site_migrate() -> None:
    """Make the registry's tables, or bring them up to this version."""
    settings = _settings()
    with _explained():
        _open_registry(settings, migrate=True).close()
    typer.echo("the registry is up to date")


# ------------------------------------------------------------------------------------------------------- common


def _settings() -> Settings:
    return load_settings()


def _open_registry(settings: Settings, *, migrate: bool = False) -> Registry:
    secret = settings.registry_password
    return open_registry(
        settings.registry_url, password=secret.get_secret_value() if secret else None, migrate=migrate
    )


@contextmanager
def _registry() -> Iterator[Registry]:
    registry = _open_registry(_settings())
    try:
        yield registry
    finally:
        registry.close()


def _open_store(settings: Settings) -> Store:
    """The store of the settings, which answers."""
    password, token = settings.store_password, settings.store_token
    readings = open_store(
        settings.store_url,
        user=settings.store_user,
        password=password.get_secret_value() if password else None,
        token=token.get_secret_value() if token else None,
    )
    try:
        readings.check()
    except StoreError:
        readings.close()
        raise
    return readings


@contextmanager
def _explained() -> Iterator[None]:
    """Errors of store and registry as one line and an exit code."""
    try:
        yield
    except (RegistryMisconfigured, StoreMisconfigured) as error:
        _fail(str(error))
    except (RegistryError, StoreError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)
