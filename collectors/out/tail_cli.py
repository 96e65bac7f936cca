"""`makiba tail`: what is committed just now, as it comes, until Ctrl-C.

It listens to the committed feed with the certificate of a service that may (`api` or `analytics`, whichever is on
this machine), so that what it shows is in the store. `--raw-gateway` listens to what one gateway sends, before
anybody has looked at it, with the collector's certificate. Exit codes: 2 where a person has to change something, else
0.
"""

from __future__ import annotations

import os
import queue
import re
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Annotated, Final

import typer

from collectors.console import fail, open_own_registry, open_own_store
from collectors.out.choice import UnknownName, check_names, check_quantities, matches
from collectors.out.known import Known, known_of, missing_file
from collectors.out.lines import ForPeople, ForPrograms, Language, plain
from collectors.out.news import News
from collectors.registry import RegistryError
from collectors.store import StoreError
from makiba import topics
from makiba.link import ALL_STORED, Down, Event, Link, Message, Up, readings_in
from makiba.mqtt import MqttOptions
from makiba.reading import Reading
from makiba.rule import load_rules
from makiba.senml import SenmlError
from makiba.service import asked_to_stop
from makiba.settings import Settings, load_settings
from makiba.wire import WireError

ASK_EVERY_S: Final = 1.0
WAITING: Final = 2_000
"""Messages that may wait; when the terminal does not keep up, the newest is dropped."""
_LISTENERS: Final = ("api", "analytics")

tail = typer.Typer(add_completion=False, rich_markup_mode=None)


@tail.command()
def run(
    site: Annotated[str | None, typer.Argument(help="The farm; default: all of them")] = None,
    subject: Annotated[list[str] | None, typer.Option(help="Only these; * and ? allowed; may be repeated")] = None,
    quantity: Annotated[list[str] | None, typer.Option(help="Only these; * and ? allowed; may be repeated")] = None,
    alerts: Annotated[bool, typer.Option("--alerts", help="Steps of alerts too")] = False,
    refused: Annotated[bool, typer.Option("--refused", help="Records that were refused too, and why")] = False,
    readings: Annotated[bool, typer.Option(help="The readings themselves")] = True,
    json: Annotated[bool, typer.Option("--json", help="A SenML record per line")] = False,
    lang: Annotated[Language | None, typer.Option(help="ja or en; default: the terminal's")] = None,
    raw_gateway: Annotated[
        str | None, typer.Option(help="What this gateway sends, whether it will be stored or not")
    ] = None,
) -> None:
    """Show what comes in, as it comes. What was there before is in `makiba store latest` and `makiba export`."""
    settings = load_settings()
    known = known_of(settings, site)
    _check(settings, known, site, subject or [], quantity or [])
    if raw_gateway is not None and not re.fullmatch(topics.GATEWAY_PATTERN, raw_gateway):
        fail(f"--raw-gateway {raw_gateway}: expected a gateway's id, such as gw-7f3a")
    language = lang or ("ja" if _terminal_is_japanese() else "en")
    spelled: ForPeople | ForPrograms = ForPrograms() if json else ForPeople(known.zone, language)
    stop = asked_to_stop()
    with ExitStack() as parts:
        news = _news(settings, parts, site, language) if alerts or refused else None
        events: queue.Queue[Event] = queue.Queue(WAITING)
        link = _link(settings, site, raw_gateway, partial(_put, events))
        link.start()
        parts.callback(link.stop)
        ask_at_s = 0.0
        while not stop.is_set():
            event = _next(events, 0.2)
            if isinstance(event, Message) and readings:
                for reading in _readings(event):
                    if _is_wanted(reading, site, subject or [], quantity or []):
                        _print(spelled.reading(reading))
            elif event is not None and not isinstance(event, Message):
                _tell(event, settings)
            if news is not None and time.monotonic() >= ask_at_s:
                ask_at_s = time.monotonic() + ASK_EVERY_S
                _print_news(news, spelled, alerts=alerts, refused=refused)


def _check(settings: Settings, known: Known, site: str | None, subjects: list[str], quantities: list[str]) -> None:
    """Ends the command where a name is wrong for certain. A subject is known by its readings or its device."""
    try:
        check_quantities(quantities)
        if site is not None and known.has_registry:
            check_names("site", [site], known.sites)
        plain_subjects = [s for s in subjects if not set(s) & set("*?[")]  # a pattern may wait for what is to come
        if site is not None and plain_subjects and not missing_file(settings.store_url):
            there = set(known.subjects)
            try:
                store = open_own_store(settings)
                there |= {series.subject for series in store.series(site)}
                store.close()
            except StoreError:
                return  # cannot be told
            check_names("subject", plain_subjects, there)
    except UnknownName as error:
        fail(str(error))


def _is_wanted(reading: Reading, site: str | None, subjects: list[str], quantities: list[str]) -> bool:
    series = reading.series
    return (
        (site is None or series.site == site)
        and matches(series.subject, subjects)
        and matches(series.quantity, quantities)
    )


def _put(events: queue.Queue[Event], event: Event) -> None:
    with suppress(queue.Full):
        events.put_nowait(event)


def _next(events: queue.Queue[Event], within_s: float) -> Event | None:
    try:
        return events.get(timeout=within_s)
    except queue.Empty:
        return None


def _link(settings: Settings, site: str | None, raw_gateway: str | None, tell: Callable[[Event], None]) -> Link:
    if raw_gateway is not None:
        said = topics.gateway_topic(raw_gateway, topics.READINGS)
        return Link(_options(settings, ("collector",)), "tail", [said], tell)
    feed = topics.stored_topic(site) if site is not None else ALL_STORED
    return Link(_options(settings, _LISTENERS), "tail", [feed], tell)


def listener_options(settings: Settings) -> MqttOptions:
    """How somebody who only listens to the committed feed connects."""
    return _options(settings, _LISTENERS)


def _options(settings: Settings, services: tuple[str, ...]) -> MqttOptions:
    """With the keys of the first of `services` that has them here."""
    folder = settings.pki_dir
    here = [s for s in services if all((folder / f).is_file() for f in ("ca.pem", f"{s}.pem", f"{s}.key"))]
    if not here:
        fail(
            f"{folder}: no key and certificate of {' or '.join(services)}; `makiba pki issue {services[0]}` makes "
            "them (MAKIBA_PKI names the folder)"
        )
    return settings.mqtt(here[0])


def _news(settings: Settings, parts: ExitStack, site: str | None, language: Language) -> News:
    try:
        registry = open_own_registry(settings)
        parts.callback(registry.close)
        return News(registry, site, load_rules(settings.rules_dir), language)
    except RegistryError as error:
        fail(f"--alerts and --refused need the registry: {error}")


def _print_news(news: News, spelled: ForPeople | ForPrograms, *, alerts: bool, refused: bool) -> None:
    try:
        for step in news.alert_steps() if alerts else ():
            _print(spelled.alert(step))
        for record in news.refused() if refused else ():
            _print(spelled.refused(record))
    except RegistryError:
        return  # asked again; nothing is lost


def _readings(message: Message) -> list[Reading]:
    try:
        return readings_in(message)
    except (WireError, SenmlError) as error:
        typer.echo(plain(f"{message.topic}: not readable: {error}"), err=True)
        return []


def _tell(event: Up | Down, settings: Settings) -> None:
    where = f"broker {settings.mqtt_host}:{settings.mqtt_port}"
    if isinstance(event, Up):
        typer.echo(f"{where}: listening", err=True)
    else:
        typer.echo(plain(f"{where}: {event.why}; trying again"), err=True)


def _print(line: str) -> None:
    try:
        print(line, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on
        raise typer.Exit(0) from None


def _terminal_is_japanese() -> bool:
    said = next((os.environ[k] for k in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(k)), "")
    return said.lower().startswith("ja")
