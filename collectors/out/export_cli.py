"""`makiba export`.

Exit codes: 2 where something asked for does not exist (nothing is written then), 1 for any other failure, 128 and the
signal's number when stopped by one. Whatever happens, FILE is there whole or as it was before.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from collectors.console import explained, fail, open_own_store
from collectors.out.choice import UnknownName, choose
from collectors.out.clock import FORMS, offset_ms, parse_time
from collectors.out.csv_form import MISSING, CsvForm, Encoding
from collectors.out.export import Form, NoSuchForm, check_form, csv_bytes, parquet_bytes, senml_bytes, xlsx_bytes
from collectors.out.known import Known, known_of, missing_file
from collectors.out.parquet_form import ParquetMissing
from collectors.out.table import FOLDS, Fold, Language, Wanted
from collectors.out.whole_file import whole_file
from collectors.out.xlsx_form import TooLarge
from collectors.store import Store
from makiba.located_yaml import parse_duration
from makiba.reading import EARLIEST_MS, Series
from makiba.settings import load_settings
from makiba.words import nearest

TELL_EVERY_S: Final = 0.5

export = typer.Typer(add_completion=False, rich_markup_mode=None)


@export.command()
def run(
    site: Annotated[str, typer.Argument(help="The farm")],
    output: Annotated[str, typer.Option("--output", "-o", help="FILE, or - for standard output", metavar="FILE|-")],
    form: Annotated[Form, typer.Option("--format", "--form", help="csv, xlsx, parquet or senml")] = "csv",
    subject: Annotated[list[str] | None, typer.Option(help="Only these; * and ? allowed; may be repeated")] = None,
    quantity: Annotated[list[str] | None, typer.Option(help="Only these; * and ? allowed; may be repeated")] = None,
    begin: Annotated[str, typer.Option("--from", help=f"Default: the beginning. {FORMS}")] = "",
    end: Annotated[str, typer.Option("--to", help="Up to and without this time")] = "now",
    every: Annotated[str, typer.Option(help="Fold into windows this wide, such as 15min or 1d")] = "",
    wide: Annotated[bool, typer.Option("--wide", help="A column per series instead of a row per value")] = False,
    fold: Annotated[
        list[str] | None, typer.Option(help="With --wide --every: count, min, mean, max, last; may be repeated")
    ] = None,
    shown: Annotated[bool, typer.Option("--shown", help="Units as the pages show them (L, ppm), rounded")] = False,
    lang: Annotated[Language | None, typer.Option(help="ja or en: heads and names for people")] = None,
    encoding: Annotated[Encoding, typer.Option(help="For csv: utf-8 or cp932")] = "utf-8",
    excel: Annotated[bool, typer.Option("--excel", help="For csv: as Excel opens it by a double click")] = False,
) -> None:
    """Write the readings of SITE, or windows of them, into a file."""
    if fold and not (wide and every):
        fail("--fold: only with --wide and --every; a long table has all of them")
    if form != "csv" and (excel or encoding != "utf-8"):
        fail("--excel and --encoding: only with --format csv")
    settings = load_settings()
    known = known_of(settings, site)
    zone = known.zone
    now_ms = time.time_ns() // 1_000_000
    try:
        start_ms = parse_time(begin, zone, now_ms) if begin else EARLIEST_MS
        end_ms = parse_time(end, zone, now_ms)
        every_ms = _every_ms(every)
    except ValueError as error:
        fail(str(error))
    if file := missing_file(settings.store_url):
        fail(f"no store at {file}; MAKIBA_HOME or MAKIBA_STORE says where it is")
    with explained(), closing(open_own_store(settings)) as store:
        series = _chosen(store, site, known, subject or [], quantity or [])
        wanted = Wanted(
            series, start_ms, end_ms, every_ms,
            offset_ms=-offset_ms(zone, end_ms) % every_ms if every_ms else 0,
            is_wide=wide, folds=_folds(fold or ["mean"]),
            is_shown=shown, language=lang,
        )  # fmt: skip
        try:
            check_form(store, wanted, form)
        except (NoSuchForm, ParquetMissing, TooLarge) as error:
            fail(str(error))
        csv = CsvForm(zone, encoding=encoding, for_excel=excel)
        told = _Told()
        parts: Iterator[bytes]
        if form == "parquet":
            parts = parquet_bytes(store, wanted, zone, told)
        elif form == "xlsx":
            parts = xlsx_bytes(store, wanted, zone, told)
        elif form == "senml":
            parts = senml_bytes(store, wanted, told)
        else:
            parts = csv_bytes(store, wanted, csv, told)
        _write(parts, output)
    told.end(len(series), csv.replaced)


def _chosen(
    store: Store, site: str, known: Known, subjects: Sequence[str], quantities: Sequence[str]
) -> list[Series]:
    try:
        present = store.series(site)
    except ValueError:
        present = []
    if not present and site not in known.sites:
        fail(f"no readings of a site {site!r}{nearest(site, known.sites)}")
    try:
        return choose(present, subjects, quantities)
    except UnknownName as error:
        fail(f"{site}: {error}")


def _write(parts: Iterator[bytes], output: str) -> None:
    try:
        with _stopping(), _target(output) as file:
            for part in parts:
                file.write(part)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on: no more to say
        raise typer.Exit(1) from None
    except OSError as error:
        typer.echo(f"{output}: {error.strerror or error}", err=True)
        raise typer.Exit(1) from None


@contextmanager
def _target(output: str) -> Iterator[BinaryIO]:
    if output == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with whole_file(Path(output).expanduser()) as file:
            yield file


@contextmanager
def _stopping() -> Iterator[None]:
    """Signals that ask to stop unwind the stack, so that no part of a file is left."""

    def stop(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Told:
    """Counts rows; on a terminal says how many there are so far."""

    def __init__(self) -> None:
        self._rows = 0
        self._began_s = self._told_s = time.monotonic()
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, rows: int) -> None:
        self._rows += rows
        now_s = time.monotonic()
        if self._is_terminal and now_s - self._told_s > TELL_EVERY_S:
            self._told_s = now_s
            rate = self._rows / (now_s - self._began_s)
            typer.echo(f"\r{self._rows:,} rows, {rate:,.0f} a second ", err=True, nl=False)

    def end(self, series: int, replaced: int) -> None:
        typer.echo(f"{chr(13) if self._is_terminal else ''}{self._rows:,} rows of {series} series", err=True)
        if replaced:
            typer.echo(f"{replaced} characters are not in CP932 and became {MISSING}", err=True)


def _every_ms(text: str) -> int | None:
    if not text:
        return None
    every_ms = round(parse_duration(text) / timedelta(milliseconds=1))
    if every_ms < 1000:
        raise ValueError(f"--every {text}: at least 1s")
    return every_ms


def _folds(words: Sequence[str]) -> list[Fold]:
    for word in words:
        if word not in FOLDS:
            fail(f"--fold {word}{nearest(word, FOLDS)}; expected {', '.join(FOLDS)}")
    return [fold for fold in FOLDS if fold in words]
