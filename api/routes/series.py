"""The series of a farm: which there are, and one of them over time, as it is or folded into windows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from api import paging
from api.centre import Centre, CentreNow
from api.etags import Tagging, Tags
from api.limits import limits_of
from api.media import JSON, accepted
from api.paging import Page, Paging
from api.problems import invalid, not_found
from api.routes.places import subject_name
from api.seen import Chosen, Seen, look
from api.sessions import SERVICE, Accounting, SignedIn
from api.shapes import Millis, NamedPlace, Names, WindowsOut
from api.shapes.data import ReadingsPage, SeriesOut, SeriesPage
from collectors.out import ends
from collectors.out.stretches import raw_from_ms, seen, seen_windows
from collectors.registry import sites
from collectors.registry.schema import Device
from collectors.registry.sight import NOTHING, Span, farm_sight
from collectors.registry.viewer import Person
from collectors.store import Point, Window
from collectors.store.levels import DAY_OFFSET_MS
from makiba import senml
from makiba.data_class import DATA_CLASSES, classes_of
from makiba.quantities import Quantity, catalogue
from makiba.reading import EARLIEST_MS, LATEST_MS, Reading, Series

router = APIRouter(tags=["series"])

WHAT: Final[Mapping[str, Names]] = {
    "/sites/{site}/series": Names(ja="どんな 測定が あるかを 見ました", en="looked at which series there are"),
    "/sites/{site}/series/{subject}/{quantity}/readings": Names(ja="測定値を 取り出しました", en="read a series"),
    "/sites/{site}/series/{subject}/{quantity}/windows": Names(ja="グラフを 見ました", en="looked at a chart"),
}

MAX_POINTS: Final = 2_000
MAX_WINDOWS: Final = 40_000
"""Where a width is asked for: a year of quarters of an hour."""

MAX_READINGS: Final = 10_000
_AT_ONCE: Final = 100
"""Series whose newest values are asked for together."""

DAY_MS: Final = 86_400_000
WIDTHS_MS: Final = tuple(
    1_000 * s for s in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
)
"""Widths that people read easily; beyond the last a whole number of days."""

WidthMs = Annotated[
    int | None, Query(ge=1_000, le=366 * DAY_MS, description="How wide each window is; without, as `points` has it")
]
Points = Annotated[int, Query(ge=1, le=MAX_POINTS, description="How many windows at most, where no width is asked")]

SENML: Final[tuple[str, ...]] = (senml.CONTENT_TYPE_JSON, senml.CONTENT_TYPE_CBOR)
SENML_CONTENT: Final[dict[str, Any]] = {
    senml.CONTENT_TYPE_JSON: {"schema": {"type": "array", "items": {"type": "object"}, "description": "RFC 8428"}},
    senml.CONTENT_TYPE_CBOR: {"schema": {"type": "string", "format": "binary", "description": "RFC 8428, CBOR"}},
}
"""For the document: what a route answers beside JSON."""


@router.get("/sites/{site}/series")
def list_of(
    site: str, viewer: SignedIn, centre: CentreNow, account: Accounting, tags: Tagging, page: Paging, choice: Chosen
) -> SeriesPage:
    """Which series there are, by subject and quantity: names, unit, class, where they are measured, since when.

    Somebody from outside the farm gets those of which they may see a reading.
    """
    with centre.registry.read() as session:
        farm = look(session, viewer, site, centre.clock(), choice.of_class)
        devices = sites.list_devices(session, SERVICE, site)
    after = (Series(site, *page.after),) if page.after else ()
    present = [s for s in centre.store.series(site) if not after or s > after[0]]
    rows, following = page.cut(
        list(islice(_listed(centre, farm, devices, list(choice.of(farm, present))), page.ask)),
        lambda row: (row.subject, row.quantity),
    )
    account.note(site, farm.classes)
    return tags.content(SeriesPage(rows=list(rows), next=following))


def _listed(centre: Centre, farm: Seen, devices: Any, chosen: list[Series]) -> Iterator[SeriesOut]:
    device_of: dict[str, Device] = {subject: d for d in devices for subject in d.subjects}
    newest: Mapping[Series, Point] = {}
    for place, series in enumerate(chosen):
        if place % _AT_ONCE == 0:
            subjects = {s.subject for s in chosen[place : place + _AT_ONCE]}
            newest = centre.store.latest(farm.site.id, subjects)
        spans = farm.spans(series)
        last_ms = ends.last_ms(centre.store, series, spans, newest.get(series))
        if last_ms is None and not farm.sight.is_whole:
            continue
        yield _series(farm, series, device_of.get(series.subject)).model_copy(
            update={"first_ms": ends.first_ms(centre.store, series, spans), "last_ms": last_ms}
        )


def _series(farm: Seen, series: Series, device: Device | None) -> SeriesOut:
    place = farm.place_of(series.subject)
    if farm.sight.is_whole:
        classes = classes_of(series.quantity, place.kind if place else None)
    else:
        classes = farm.sight.classes_of(series.subject, series.quantity)
    word = catalogue()[series.quantity]
    return SeriesOut(
        **told(series, word),
        subject_name=subject_name(series.subject, farm.placements.get(series.subject) if place else None),
        kind=word.kind,
        classes=[c for c in DATA_CLASSES if c in classes],
        place=NamedPlace(id=place.id, name=Names(ja=place.name_ja, en=place.name_en)) if place else None,
        first_ms=None,
        last_ms=None,
        every_s=device.every_s if device else None,
    )


def told(series: Series, word: Quantity) -> dict[str, Any]:
    """What a `Word` says."""
    return {
        "subject": series.subject, "quantity": series.quantity, "name": dict(word.names),
        "unit": word.show_unit, "factor": word.show_factor, "offset": word.show_offset, "decimals": word.decimals,
    }  # fmt: skip


def readings_page(
    request: Request,
    viewer: SignedIn,
    centre: CentreNow,
    limit: Annotated[int, Query(ge=1, le=MAX_READINGS, description="How many readings at most")] = 1_000,
    cursor: Annotated[
        str | None, Query(max_length=1000, description="The `next` of the page before; nothing else will do")
    ] = None,
) -> Page:
    """As `paging.page`, with longer pages: a reading is short."""
    return paging.page(request, viewer, centre, limit, cursor)


@router.get(
    "/sites/{site}/series/{subject}/{quantity}/readings",
    response_model=ReadingsPage,
    responses={200: {"content": SENML_CONTENT}},
)
def readings(
    site: str,
    subject: str,
    quantity: str,
    request: Request,
    viewer: SignedIn,
    centre: CentreNow,
    account: Accounting,
    tags: Tagging,
    page: Annotated[Page, Depends(readings_page)],
    start_ms: Annotated[Millis, Query(description="The first time that counts")] = EARLIEST_MS,
    end_ms: Annotated[Millis | None, Query(description="Up to and without this time; now, if not said")] = None,
) -> Response:
    """The readings of [start_ms, end_ms) as they are stored, ascending in time; `cursor` goes on behind a page.

    As SenML, `Link: <…>; rel="next"` names the next page. Somebody from outside the farm gets
    what was measured while it was of a class that the farm shows them.
    """
    media_type = accepted(request, (JSON, *SENML))
    end = centre.clock() + 1 if end_ms is None else end_ms
    series, word, farm = one_series(centre, viewer, site, subject, quantity)
    begin = start_ms if page.after is None else max(start_ms, int(page.after[0]) + 1)
    points: list[Point] = []
    for from_ms, to_ms in seen(farm.spans(series), begin, end):
        points += centre.store.range(series, from_ms, to_ms, page.ask - len(points))
        if len(points) >= page.ask:
            break
    rows, following = page.cut(points, lambda point: (point.time_ms,))
    account.note(site, farm.sight.classes_of(subject, quantity), (start_ms, end))
    tags.response.headers["Vary"] = "Accept"
    if media_type == JSON:
        body = {**told(series, word), "rows": [(p.time_ms, p.value) for p in rows], "next": following}
        return tags.spelled(orjson.dumps(body))
    if following is not None:
        there = request.url.include_query_params(cursor=following)
        tags.response.headers["Link"] = f'<{there.path}?{there.query}>; rel="next"'
    return as_senml(tags, str(series), [Reading(series, p.time_ms, p.value) for p in rows], media_type)


def as_senml(tags: Tags, base_name: str, found: Sequence[Reading], media_type: str) -> Response:
    """`found` as a pack. Where there is none it has a record with a base name and no value: it may not be empty."""
    records = senml.to_records(found, series_major=True) or [{"bn": base_name}]
    return tags.spelled(senml.dump(records, media_type), media_type)


def one_series(
    centre: Centre, viewer: Person, site: str, subject: str, quantity: str
) -> tuple[Series, Quantity, Seen]:
    """A series that `viewer` may see, whether it has a reading or not; 404 else."""
    word = catalogue().get(quantity)
    try:
        series = Series(site, subject, quantity)
    except ValueError:
        raise not_found() from None
    with centre.registry.read() as session:
        farm = look(session, viewer, site, centre.clock())
    if word is None or not farm.spans(series):
        raise not_found()
    return series, word, farm


@router.get("/sites/{site}/series/{subject}/{quantity}/windows", response_model=WindowsOut)
def windows(
    site: str,
    subject: str,
    quantity: str,
    viewer: SignedIn,
    centre: CentreNow,
    account: Accounting,
    tags: Tagging,
    start_ms: Annotated[int | None, Query(ge=EARLIEST_MS, le=LATEST_MS)] = None,
    end_ms: Annotated[int | None, Query(ge=EARLIEST_MS, le=LATEST_MS)] = None,
    points: Points = 300,
    width_ms: WidthMs = None,
) -> Response:
    """[start_ms, end_ms) in windows of `width_ms`, or in at most `points` (by default the last 24 h).

    A text has none. A subject without a reading answers an empty list: it may speak tomorrow. Somebody from outside
    the farm gets the times at which what was measured was of a class that the farm shows them.
    """
    start, end, width = asked_windows(centre, start_ms, end_ms, points, width_ms)
    word = catalogue().get(quantity)
    try:
        series = Series(site, subject, quantity)
    except ValueError:
        raise not_found() from None
    with centre.registry.read() as session:
        row = sites.get_site(session, viewer, site)
        sight = farm_sight(session, SERVICE, viewer, site) if row else NOTHING
        spans = sight.spans(subject, quantity)
        if row is None or word is None or not spans:
            raise not_found()
        limits = limits_of(session, SERVICE, centre.rules, row, subject, quantity)
    found = windows_in(centre, series, spans, start, end, width)
    account.note(site, sight.classes_of(subject, quantity), (start, end))
    body = {
        **told(series, word),
        "width_ms": width,
        "windows": [(w.start_ms, w.count, w.minimum, w.mean, w.maximum, w.last) for w in found],
        "limits": [limit.model_dump() for limit in limits],
    }
    return tags.spelled(orjson.dumps(body))


def asked_windows(
    centre: Centre, start_ms: int | None, end_ms: int | None, points: int, width_ms: int | None
) -> tuple[int, int, int]:
    """(start_ms, end_ms, width_ms) of the windows that are asked for; 422 where they are too many."""
    end = centre.clock() if end_ms is None else end_ms
    start = end - DAY_MS if start_ms is None else start_ms
    if start >= end:
        raise invalid("query.start_ms", "is not before end_ms")
    # Days and halves of them as people have them, which are also those that the store has folded already.
    local = start - DAY_OFFSET_MS, end - DAY_OFFSET_MS
    if width_ms is None:
        return start, end, width_for(*local, points)
    if _touched(*local, width_ms) > MAX_WINDOWS:
        raise invalid("query.width_ms", f"would make more than {MAX_WINDOWS:,} windows")
    return start, end, width_ms


def windows_in(
    centre: Centre, series: Series, spans: Sequence[Span], start_ms: int, end_ms: int, width_ms: int
) -> Iterator[Window]:
    """What of the windows of [start_ms, end_ms) may be seen, ascending."""
    raw_ms = raw_from_ms(centre.store, series.site, spans)
    for from_ms, to_ms in seen_windows(spans, start_ms, end_ms, width_ms, DAY_OFFSET_MS, raw_ms):
        yield from centre.store.windows(series, from_ms, to_ms, width_ms, DAY_OFFSET_MS)


def width_for(start_ms: int, end_ms: int, points: int) -> int:
    """The narrowest width of which at most `points` windows, aligned to its multiples, touch [start, end)."""
    for width in WIDTHS_MS:
        if _touched(start_ms, end_ms, width) <= points:
            return width
    days = max(1, -(-(end_ms - start_ms) // (points * DAY_MS)))
    while _touched(start_ms, end_ms, days * DAY_MS) > points:
        # One window may hang over at an end; with a single point both ends may have to share one.
        days += max(1, days // 100)
    return days * DAY_MS


def _touched(start_ms: int, end_ms: int, width_ms: int) -> int:
    return (end_ms - 1) // width_ms - start_ms // width_ms + 1
