"""`makiba store copy FROM TO`.

Exit codes: 0 when everything of FROM is in TO; 1 when something is not (a reading that TO refuses, a store that stays
away), and starting it again goes on; 2 where a person has to change something first.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import typer

from collectors.console import explained, fail
from collectors.out.clock import IsoTimes, parse_time
from collectors.out.known import missing_file
from collectors.store import Movable, Store, StoreError, open_store
from collectors.store.carry import Carried, CarryRefused, carry, raw_horizon_ms, take_over_horizons
from collectors.store.copy import REFUSALS_KEPT, Copy, Result
from collectors.store.fold import is_text
from collectors.store.levels import DAY_MS, DAY_OFFSET_MS
from makiba.reading import EARLIEST_MS, LATEST_MS, Series
from makiba.settings import Settings, load_settings
from makiba.words import nearest

TELL_EVERY_S: Final = 0.5
TELL_LOG_EVERY_S: Final = 10.0
_ZONE: Final = ZoneInfo("Asia/Tokyo")

_Secret = Annotated[Path | None, typer.Option(help="File with the InfluxDB 2.x token; default: as in the settings")]
_Password = Annotated[Path | None, typer.Option(help="File with the InfluxDB 1.x password")]
_User = Annotated[str, typer.Option(help="InfluxDB 1.x user")]


def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="A store's address, or `own`: that of the settings")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The same")],
    site: Annotated[list[str] | None, typer.Option(help="Only this farm; may be repeated. Default: all")] = None,
    since: Annotated[str, typer.Option(help="From this time on (2026-11-24, 7d); default: the beginning")] = "",
    until: Annotated[str, typer.Option(help="Up to and without this time; default: no end")] = "",
    list_: Annotated[bool, typer.Option("--list", help="Print count and checksum of every series")] = False,
    from_token_file: _Secret = None,
    from_user: _User = "",
    from_password_file: _Password = None,
    to_token_file: _Secret = None,
    to_user: _User = "",
    to_password_file: _Password = None,
) -> None:
    """Copy farms from one store to another, verified. Started again, it goes on where it was."""
    settings = load_settings()
    now_ms = time.time_ns() // 1_000_000
    try:
        start_ms = parse_time(since, _ZONE, now_ms) if since else EARLIEST_MS
        end_ms = parse_time(until, _ZONE, now_ms) if until else LATEST_MS + 1
    except ValueError as error:
        fail(str(error))
    if _address(settings, source) == _address(settings, target):
        fail("FROM and TO are the same store")
    if file := missing_file(_address(settings, source)):
        fail(f"no store at {file}")
    with (
        explained(),
        closing(_opened(settings, source, from_user, from_password_file, from_token_file)) as from_,
        closing(_opened(settings, target, to_user, to_password_file, to_token_file)) as to,
    ):
        farms = _farms(from_, site or [])
        told = _Told()
        job = Copy(from_, to, start_ms, end_ms, on_page=told.page)

        def list_series() -> Iterator[Series]:
            return (series for farm in farms for series in from_.series(farm))

        try:
            if start_ms < raw_horizon_ms(from_):
                take_over_horizons(from_, to)
            told.total = job.patiently(lambda: sum(_count(from_, one, start_ms, end_ms) for one in list_series()))
            result = job.run(list_series, told.pass_)
            carried = [carry(from_, to, series, start_ms, end_ms) for series in list_series()]
        except CarryRefused as error:
            fail(str(error))
        except StoreError:
            typer.echo("\nnot finished; start it again and it goes on", err=True)
            raise
        told.end()
    _report(result, carried, list_=list_)


def _report(result: Result, carried: list[Carried], *, list_: bool) -> None:
    """What became of it, on standard output what is asked for; ends with exit code 1 where TO has not everything."""
    iso = IsoTimes(_ZONE)
    for series, found in sorted(result.compared.items()):
        if list_:
            typer.echo(f"{found.source.count}\t{found.source.hex()}\t{series}")
        if not found.is_equal:
            typer.echo(
                f"{series}: FROM {found.source.count} readings {found.source.hex()}, TO {found.target.count} of them "
                f"{found.target.hex()}; {found.refused} refused",
                err=True,
            )
    refusals = result.refusals[:REFUSALS_KEPT]
    for refusal in refusals:
        typer.echo(f"refused: {refusal.series} {iso(refusal.time_ms)}: {refusal.reason}", err=True)
    if result.refused > len(refusals):
        typer.echo(f"refused: {result.refused - len(refusals)} more", err=True)
    for series in result.growing:
        typer.echo(f"{series}: gets readings all the time; copy again when nothing writes to FROM any more", err=True)
    if result.extra:
        typer.echo(f"TO holds {result.extra} readings that FROM does not", err=True)
    windows, wrong = sum(c.windows for c in carried), sum(c.unequal for c in carried)
    if windows:
        typer.echo(f"{windows} roll-ups of expired readings carried, {wrong} of them not the same", err=True)
    bad = len(result.unequal)
    typer.echo(
        f"{result.count} readings of {len(result.compared)} series, {result.written} written now; "
        f"{'all the same in TO' if not bad else f'{bad} series differ'}",
        err=True,
    )
    if bad or wrong:
        raise typer.Exit(1)


def _farms(store: Store, asked: list[str]) -> list[str]:
    """The farms to copy; a name that FROM does not know ends the command."""
    if not isinstance(store, Movable):
        if not asked:
            fail("this store cannot list its farms: name them with --site")
        return asked
    there = store.sites()
    for name in asked:
        if name not in there:
            fail(f"FROM has nothing of a site {name!r}{nearest(name, there)}")
    return asked or there


def _address(settings: Settings, address: str) -> str:
    return settings.store_url if address == "own" else address


def _opened(settings: Settings, address: str, user: str, password: Path | None, token: Path | None) -> Store:
    """The store at `address`; what is not given comes from the settings, if it is their store or they have it."""
    own_password, own_token = settings.store_password, settings.store_token
    store = open_store(
        _address(settings, address),
        user=user or settings.store_user,
        password=_secret(password) or (own_password.get_secret_value() if own_password else None),
        token=_secret(token) or (own_token.get_secret_value() if own_token else None),
    )
    try:
        store.check()
    except StoreError:
        store.close()
        raise
    return store


def _secret(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        fail(f"{file}: {error.strerror}")


def _count(store: Store, series: Series, start_ms: int, end_ms: int) -> int:
    """About how many readings a series has there, for the bar."""
    if is_text(series.quantity):
        return 0
    return sum(w.count for w in store.windows(series, start_ms, end_ms, 400 * DAY_MS, DAY_OFFSET_MS))


class _Told:
    """A bar on a terminal, a line now and then elsewhere: how much of the pass, how fast, how long it will take."""

    def __init__(self) -> None:
        self.total = 0
        self._number = 0
        self._done = 0
        self._began_s = self._told_s = time.monotonic()
        self._is_terminal = sys.stderr.isatty()
        self._every_s = TELL_EVERY_S if self._is_terminal else TELL_LOG_EVERY_S

    def pass_(self, number: int) -> None:
        self._number, self._done = number, 0
        self._began_s = time.monotonic()

    def page(self, count: int) -> None:
        self._done += count
        now_s = time.monotonic()
        if now_s - self._told_s >= self._every_s:
            self._told_s = now_s
            before, after = ("\r", "") if self._is_terminal else ("", "\n")
            typer.echo(f"{before}{self._line(now_s)}{after}", err=True, nl=False)

    def end(self) -> None:
        if self._is_terminal:
            typer.echo("", err=True)

    def _line(self, now_s: float) -> str:
        rate = self._done / max(now_s - self._began_s, 1e-3)
        share = min(self._done / self.total, 1.0) if self.total else 1.0
        left_s = max(self.total - self._done, 0) / max(rate, 1e-3)
        what = "copy" if self._number == 1 else "compare"
        bar = "#" * round(24 * share)
        return f"{what} [{bar:<24}] {share:4.0%} {rate:9,.0f}/s {_clock(left_s)} left "


def _clock(seconds: float) -> str:
    minutes, seconds_ = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds_:02d}"
