"""Exports: what is stored, as a file, while it is read from the store; of a farm, or of every farm that shows it.

Forms: `csv` (UTF-8 with the mark by which Excel knows it), `csv-cp932` (for programs that know only Japan's Windows
code page; what it lacks is 〓), `xlsx`, `parquet`, `senml`; by `form`, or by `Accept`. Heads are Japanese unless
`language` says otherwise; `codes` are the names that programs know. A row is a reading or, with `width_ms`, a window;
`wide` makes a column of each series. `api.outgoing` sends it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response

from api.centre import Centre, CentreNow
from api.media import accepted
from api.outgoing import Outgoing, Slots
from api.problems import invalid, not_found
from api.routes.data import FoldsAsked
from api.routes.series import WidthMs
from api.seen import Choice, Chosen, Seen, glance, look
from api.sessions import Account, Accounting, SignedIn
from api.shapes import Millis, Names
from api.still import Still, StillThere, sees_all_of
from collectors.out.clock import offset_ms, zone_of
from collectors.out.csv_form import CsvForm
from collectors.out.export import (
    MEDIA_TYPES,
    Form,
    NoSuchForm,
    check_form,
    csv_bytes,
    parquet_bytes,
    senml_bytes,
    xlsx_bytes,
)
from collectors.out.parquet_form import ParquetMissing
from collectors.out.stretches import raw_from_ms
from collectors.out.table import FOLDS, Wanted
from collectors.out.xlsx_form import TooLarge
from collectors.registry import sites
from collectors.registry.viewer import Person
from collectors.store import Store
from makiba.data_class import DataClass
from makiba.reading import EARLIEST_MS, Series

router = APIRouter(tags=["exports"])

WHAT: Final[Mapping[str, Names]] = {
    "/sites/{site}/export": Names(ja="データを ファイルに しました", en="took data as a file"),
    "/export": Names(
        ja="ほかの 牧場と いっしょに データを ファイルに しました", en="took data of several farms as a file"
    ),
}

ExportForm = Literal["csv", "csv-cp932", "xlsx", "parquet", "senml"]
_KIND: Final[Mapping[ExportForm, Form]] = {
    "csv": "csv", "csv-cp932": "csv", "xlsx": "xlsx", "parquet": "parquet", "senml": "senml",
}  # fmt: skip
_ENDING: Final[Mapping[ExportForm, str]] = {
    "csv": "csv", "csv-cp932": "csv", "xlsx": "xlsx", "parquet": "parquet", "senml": "senml.json",
}  # fmt: skip
_OFFERED: Final[Mapping[str, ExportForm]] = {MEDIA_TYPES[_KIND[f]]: f for f in ("csv", "xlsx", "parquet", "senml")}
_PACKED: Final[frozenset[ExportForm]] = frozenset({"csv", "csv-cp932", "senml"})
"""What shrinks when it is packed on its way; the others are packed already."""

BEGUN_BYTES: Final = 4_096
MAX_WIDE: Final = 1_000
"""Columns of a wide table: each holds a page of its series in memory."""

_NOT_IN_NAMES: Final = re.compile(r'[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff/\\:*?"<>|%]')
_CONTENT: Final[dict[str, Any]] = {name: {"schema": {"type": "string", "format": "binary"}} for name in _OFFERED}


@dataclass(frozen=True, slots=True)
class Asked:
    """How the file is to be."""

    form: ExportForm
    language: Literal["ja", "en"] | None
    start_ms: int
    end_ms: int
    width_ms: int | None
    wide: bool
    folds: tuple[Any, ...]
    shown: bool

    @property
    def media_type(self) -> str:
        charset = {"csv": "; charset=utf-8; header=present", "csv-cp932": "; charset=windows-31j; header=present"}
        return MEDIA_TYPES[_KIND[self.form]] + charset.get(self.form, "")


def asked(
    request: Request,
    centre: CentreNow,
    form: Annotated[ExportForm | None, Query(description="Without, what `Accept` likes best, csv first")] = None,
    language: Annotated[
        Literal["ja", "en", "codes"] | None,
        Query(
            description="Of heads and names; `codes` (of parquet, and nothing else of senml): as programs know them"
        ),
    ] = None,
    start_ms: Annotated[Millis, Query(description="The first time that counts")] = EARLIEST_MS,
    end_ms: Annotated[Millis | None, Query(description="Up to and without this time; now, if not said")] = None,
    width_ms: WidthMs = None,
    wide: Annotated[bool, Query(description="A column for each series instead of a row for each value")] = False,
    fold: FoldsAsked = None,
    shown: Annotated[bool, Query(description="Units as the pages show them (L, ppm), rounded")] = False,
) -> Asked:
    """What this request asks for; 406 or 422 where it cannot be had."""
    form = form or _OFFERED[accepted(request, tuple(_OFFERED))]
    if fold and not (wide and width_ms):
        raise invalid("query.fold", "only with wide and width_ms; a long table has all of them")
    end = centre.clock() + 1 if end_ms is None else end_ms
    if start_ms >= end:
        raise invalid("query.start_ms", "is not before end_ms")
    people = language or ("ja" if form in ("csv", "csv-cp932", "xlsx") else "codes")
    folds = tuple(f for f in FOLDS if f in (fold or ["mean"]))
    return Asked(form, None if people == "codes" else people, start_ms, end, width_ms, wide, folds, shown)


Wish = Annotated[Asked, Depends(asked)]


def slots(request: Request) -> Slots:
    """Who has how many files under way."""
    found: Slots = request.app.state.slots
    return found


Places = Annotated[Slots, Depends(slots)]


@router.get("/sites/{site}/export", response_class=Response, responses={200: {"content": _CONTENT}})
def export(
    site: str, request: Request, viewer: SignedIn, centre: CentreNow, account: Accounting, still: StillThere,
    choice: Chosen, wish: Wish, places: Places,
) -> Outgoing:  # fmt: skip
    """The readings of a farm as a file: of the series that are asked for, raw or in windows, long or wide.

    The columns of a long table are `time`, `utc_ms`, `site`, `subject`, `quantity`; then `value`, `text`, `unit` of
    readings, or `count`, `min`, `mean`, `max`, `last`, `unit` of windows. With `language` `ja` or `en` there is
    `name` behind `quantity`; `ja` has heads in Japanese. A CSV has `local` behind `time`, the farm's time of day. A
    wide table has `time`, `utc_ms` and a column for each series, `subject/quantity [unit]`.

    It ends broken, without its last byte, when the reader's rights end meanwhile. Somebody from outside the farm gets
    what was measured while it was of a class that the farm shows them, and in windows those that lie in such a time
    whole. At most two files at once for a person (429).
    """
    with centre.registry.read() as session:
        farms = [look(session, viewer, site, centre.clock(), choice.of_class)]
    return _Export(request, viewer, centre, account, still, choice, wish, places).sent(farms)


@router.get("/export", response_class=Response, responses={200: {"content": _CONTENT}})
def export_of_farms(
    request: Request, viewer: SignedIn, centre: CentreNow, account: Accounting, still: StillThere,
    choice: Chosen, wish: Wish, places: Places,
) -> Outgoing:  # fmt: skip
    """As `/sites/{site}/export`, of every farm that shows the viewer what is asked for, in one file."""
    with centre.registry.read() as session:
        looked = [
            glance(session, viewer, row.id, centre.clock(), choice.of_class)
            for row in sites.list_sites(session, viewer)
        ]
    farms = [farm for farm in looked if farm is not None]
    return _Export(request, viewer, centre, account, still, choice, wish, places).sent(farms)


@dataclass(frozen=True, slots=True)
class _Export:
    request: Request
    viewer: Person
    centre: Centre
    account: Account
    still: Still
    choice: Choice
    wish: Asked
    places: Slots

    def sent(self, farms: list[Seen]) -> Outgoing:
        """The file, once everything that can be refused is; 404 where it would hold no series."""
        store, wish = self.centre.store, self.wish
        spans = {s: farm.spans(s) for farm in farms for s in sorted(self.choice.of(farm, store.series(farm.site.id)))}
        if not spans:
            raise not_found()
        told = {farm.site.id: farm for farm in farms if any(s.site == farm.site.id for s in spans)}
        wanted = _wanted(store, wish, spans, zone := _zone(told))
        give_back = self.places.take(self.viewer.id)
        try:
            _check(store, wanted, wish.form)
            if self.account.note_many(_classes(told, spans), (wish.start_ms, wish.end_ms)):
                raise not_found()
            parts = _parts(store, wanted, wish.form, zone)
            first = _begun(parts)  # what fails at once is a problem, and no broken file
            return Outgoing(
                _again(first, parts),
                look=self.still.looker(partial(sees_all_of, stretches=[(s, wanted.stretches(s)) for s in spans])),
                is_home=all(farm.sight.is_whole for farm in told.values()),
                slots=self.places,
                give_back=give_back,
                media_type=wish.media_type,
                headers={"Content-Disposition": _disposition(told, wish, zone), "Vary": "Accept, Accept-Encoding"},
                gzip=wish.form in _PACKED and _takes_gzip(self.request),
            )
        except BaseException:
            give_back()
            raise


def _zone(told: Mapping[str, Seen]) -> ZoneInfo:
    """The farms' timezone; Japan's where they have several."""
    names = {farm.site.timezone for farm in told.values()}
    return zone_of(names.pop() if len(names) == 1 else "Asia/Tokyo")


def _wanted(store: Store, wish: Asked, spans: Mapping[Series, Any], zone: ZoneInfo) -> Wanted:
    if wish.wide and len(spans) > MAX_WIDE:
        raise invalid("query.wide", f"would have {len(spans)} columns, at most {MAX_WIDE}: choose series, or go long")
    horizons = dict.fromkeys({s.site for s in spans}, 0)
    if wish.width_ms is not None:
        for series, its in spans.items():
            horizons[series.site] = max(horizons[series.site], raw_from_ms(store, series.site, its))
    every_ms = wish.width_ms
    return Wanted(
        list(spans), wish.start_ms, wish.end_ms, every_ms,
        offset_ms=-offset_ms(zone, wish.end_ms) % every_ms if every_ms else 0,
        is_wide=wish.wide, folds=wish.folds, is_shown=wish.shown, language=wish.language, spans=spans,
        raw_from_ms=horizons,
    )  # fmt: skip


def _check(store: Store, wanted: Wanted, form: ExportForm) -> None:
    try:
        check_form(store, wanted, _KIND[form])
    except (NoSuchForm, TooLarge) as error:
        raise invalid("query.form", str(error)) from None
    except ParquetMissing:
        raise HTTPException(
            501, "This Makiba was installed without Parquet; csv, xlsx and senml are there."
        ) from None


def _classes(told: Mapping[str, Seen], spans: Mapping[Series, Any]) -> Mapping[str, frozenset[DataClass]]:
    return {
        site: frozenset().union(*(farm.sight.classes_of(s.subject, s.quantity) for s in spans if s.site == site))
        for site, farm in told.items()
    }


def _parts(store: Store, wanted: Wanted, form: ExportForm, zone: ZoneInfo) -> Iterator[bytes]:
    makers: Mapping[ExportForm, Callable[[], Iterator[bytes]]] = {
        "csv": lambda: csv_bytes(store, wanted, CsvForm(zone, for_excel=True)),
        "csv-cp932": lambda: csv_bytes(store, wanted, CsvForm(zone, encoding="cp932", for_excel=True)),
        "xlsx": lambda: xlsx_bytes(store, wanted, zone),
        "parquet": lambda: parquet_bytes(store, wanted, zone),
        "senml": lambda: senml_bytes(store, wanted),
    }
    return makers[form]()


def _begun(parts: Iterator[bytes]) -> bytes:
    """Some of `parts`: more than a mark and heads, which need no store, where there is more."""
    taken: list[bytes] = []
    for part in parts:
        taken.append(part)
        if sum(map(len, taken)) >= BEGUN_BYTES:
            break
    return b"".join(taken)


def _again(first: bytes, parts: Iterator[bytes]) -> Iterator[bytes]:
    """`first`, which was taken from `parts` already, and the rest."""
    yield first
    yield from parts


def _takes_gzip(request: Request) -> bool:
    said = request.headers.get("accept-encoding", "").lower()
    return re.search(r"(?:^|,)\s*gzip\s*(?:,|$|;\s*q\s*=\s*(?:1|0\.0*[1-9]))", said) is not None


def _disposition(told: Mapping[str, Seen], wish: Asked, zone: ZoneInfo) -> str:
    """A name to keep the file under (RFC 6266): the farm's, and from when until when, as far as that was said."""
    ids = list(told)
    farm = told[ids[0]].site
    name = (farm.name_en if wish.language == "en" else farm.name_ja) if len(ids) == 1 else _SEVERAL[wish.language]
    days = [_day(at, zone) for at in (wish.start_ms, wish.end_ms) if at > EARLIEST_MS]
    tail = "_".join(["", *days]) + "." + _ENDING[wish.form]
    plain = (ids[0] if len(ids) == 1 else "farms") + tail
    pretty = (_NOT_IN_NAMES.sub(" ", name).strip(" .")[:80].strip(" .") or plain[: -len(tail)]) + tail
    encoded = quote(pretty.encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


_SEVERAL: Final[Mapping[str | None, str]] = {"ja": "牧場のデータ", "en": "farms", None: "farms"}


def _day(at_ms: int, zone: ZoneInfo) -> str:
    try:
        return datetime.fromtimestamp(at_ms / 1000, zone).strftime("%Y%m%d")
    except (ValueError, OverflowError):
        return "end"
