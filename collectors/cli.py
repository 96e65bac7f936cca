"""`makiba collect`, `makiba store …` and `makiba site …`.

Exit codes: 2 where a person has to change something (nothing is started then), 1 for any other failure, 0 also when
stopped by a signal.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from collectors import leave_cli
from collectors.console import (
    CONSOLE,
    explained,
    fail,
    new_app,
    open_own_registry,
    open_own_store,
    own_registry,
    wait_for,
)
from collectors.store import Point
from collectors.store import cli as store_cli
from collectors.store.copy_cli import copy
from collectors.store.rollup import RollUpJob, policy_of
from collectors.store.servers import assign, servers
from makiba.located_yaml import ConfigErrors, Problem
from makiba.quantities import catalogue
from makiba.reading import Series
from makiba.service import asked_to_stop, log_to_stderr
from makiba.settings import Settings, load_settings

log = logging.getLogger("makiba.collect")


collect = typer.Typer(add_completion=False, rich_markup_mode=None)
store = new_app("Look into the store of readings.")
store.command("check")(store_cli.check)
store.command("copy")(copy)
store.command("assign")(assign)
store.add_typer(servers, name="servers")
store.command("rollup")(store_cli.rollup)
store.command("expire")(store_cli.expire)
site = new_app("Farms, their gateways, places and devices.")
site.command("archive")(leave_cli.archive)
site.command("leave")(leave_cli.leave)


# ------------------------------------------------------------------------------------------------------ collect


@collect.command()
def run_collect() -> None:
    """Take what gateways send into the store, until stopped. Any number may run."""
    from collectors.ingest import Ingest
    from collectors.metrics import Figures
    from collectors.mqtt import Collector
    from collectors.ways.running import ways_in
    from makiba.figures import PortTaken, served

    log_to_stderr()
    settings = load_settings()
    _require_keys(settings)
    policy = policy_of(settings)
    stop = asked_to_stop()
    with explained():
        registry = wait_for("registry", stop, lambda: open_own_registry(settings, migrate=True))
        readings = wait_for("store", stop, lambda: open_own_store(settings, registry))
        if registry is None or readings is None:
            return
        log.info("collecting into %s", settings.store_url)
        folding = RollUpJob(readings, policy).start(stop)
        figures = Figures()
        collector = Collector(settings.mqtt("collector"), Ingest(registry, readings, fair=True), figures=figures)
        try:
            with (
                served(figures.registry, settings.metrics_port),
                ways_in(settings, registry, readings, collector.announce, stop),
            ):
                if not collector.run(stop):
                    _leave()
        except PortTaken as error:
            fail(str(error))
        finally:
            stop.set()
            folding.join(2.0)
            readings.close()
            registry.close()
    log.info("stopped")


def _leave() -> None:
    """Ends this process although a thread of it is in a call that does not come back: what that call would have
    stored was not answered, so that gateways send it again."""
    log.warning("stopped, although store or registry did not answer; what they were given will be sent again")
    logging.shutdown()
    os._exit(0)


def _require_keys(settings: Settings) -> None:
    tls = settings.mqtt("collector").tls
    missing = [str(file) for file in (tls.ca, tls.cert, tls.key) if not file.is_file()] if tls else []
    if missing:
        fail(f"{', '.join(missing)}: missing; `makiba pki` makes keys and certificates")


# -------------------------------------------------------------------------------------------------------- store


@store.command("latest")
def store_latest(site: str) -> None:
    """The newest value of each series of SITE, as people read it."""
    with explained():
        readings = open_own_store(load_settings())
        points = readings.latest(site)
        readings.close()
    for series in sorted(points):
        typer.echo(_spell_point(series, points[series]))
    if not points:
        typer.echo(f"{site}: nothing in the store", err=True)


@store.command("series")
def store_series(site: str) -> None:
    """Every series of SITE that has a reading."""
    with explained():
        readings = open_own_store(load_settings())
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
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="The file wins over what people edited on the pages")
    ] = False,
) -> None:
    """Make the registry say what the site files say. Applying one again changes nothing.

    Places and placements that people edited since stay as they made them; what the file says otherwise is told.
    """
    from collectors.registry.lora import DeviceTaken
    from collectors.registry.site_file import load_site_file
    from collectors.registry.sites import GatewayTaken, SiteSpec, apply_site
    from makiba.rule import load_rules

    settings = load_settings()
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
    with explained():
        registry = open_own_registry(settings, migrate=True)
        try:
            with registry.write() as session:
                kept = {
                    spec.id: apply_site(session, CONSOLE, spec, time.time_ns() // 1_000_000, overwrite=overwrite)
                    for spec in specs
                }
        except (GatewayTaken, DeviceTaken) as error:
            fail(f"{error}; take it out of that site's file first")
        finally:
            registry.close()
    for spec in specs:
        typer.echo(
            f"{spec.id}: {len(spec.gateways)} gateways, {len(spec.places)} places, {len(spec.placements)} placements"
        )
        for line in kept[spec.id]:
            typer.echo(f"{spec.id}: kept as people edited it: {line}", err=True)
        if kept[spec.id]:
            typer.echo("--overwrite lets the file win; or write into it what people made of it", err=True)


@site.command("list")
def site_list() -> None:
    """The farms."""
    from collectors.registry import sites

    with explained(), own_registry() as registry, registry.read() as session:
        for row in sites.list_sites(session, CONSOLE):
            typer.echo(f"{row.id}  {row.name_ja}  {row.name_en}")


@site.command("gateways")
def site_gateways(site: str) -> None:
    """The gateways of a farm.

    What each last said and when, and how many devices it has.
    """
    from collectors.registry import sites

    with explained(), own_registry() as registry, registry.read() as session:
        if sites.get_site(session, CONSOLE, site) is None:
            fail(f"no site {site}; `makiba site list` shows them")
        devices = sites.list_devices(session, CONSOLE, site)
        for row in sites.list_gateways(session, CONSOLE, site):
            when = datetime.fromtimestamp(row.status_ms / 1000, UTC).isoformat(timespec="seconds")
            since = f" since {when.replace('+00:00', 'Z')}" if row.status_ms else ""
            revoked = "  revoked" if row.revoked_ms is not None else ""
            count = sum(device.gateway_id == row.id for device in devices)
            typer.echo(f"{row.id}  {row.status}{since}  {count} devices  {row.software}{revoked}".rstrip())


@site.command("refused")
def site_refused(
    gateway: Annotated[str | None, typer.Argument(help="Of this gateway only")] = None,
    limit: int = 20,
    pack: Annotated[int | None, typer.Option(help="Write the whole pack of the letter with this number")] = None,
) -> None:
    """Records that were refused, and why.

    The newest dead letters, of all gateways or of one.
    """
    from collectors.registry import dead_letters

    with explained(), own_registry() as registry, registry.read() as session:
        if pack is not None:
            payload = dead_letters.payload_of(session, CONSOLE, pack)
            if payload is None:
                fail(f"letter {pack}: there is none, or its pack was not kept; records are in the list itself")
            sys.stdout.buffer.write(payload)
            return
        for row in dead_letters.list_letters(session, CONSOLE, gateway=gateway, limit=limit):
            typer.echo(
                f"{row.id}  {_spell_time(row.received_ms)}  {row.gateway_id}  {row.batch}[{row.record_index}]  "
                f"{row.name}: {row.reason}"
            )
        for day in dead_letters.list_full_days(session, CONSOLE, gateway=gateway, limit=limit):
            typer.echo(
                f"{_spell_time(day.last_ms)[:10]}  {day.gateway_id}  {day.left_out} more records were refused "
                f"that day and are only counted; the last: {day.last_reason}"
            )


def _spell_time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@site.command("migrate")
def site_migrate() -> None:
    """Make the registry's tables, or bring them up to this version."""
    settings = load_settings()
    with explained():
        open_own_registry(settings, migrate=True).close()
    typer.echo("the registry is up to date")
