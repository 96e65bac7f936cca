"""A series over time, folded into as many windows as a chart can draw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Query

from api.centre import CentreNow
from api.limits import limits_of
from api.problems import not_found
from api.sessions import SERVICE, Accounting, SignedIn
from api.shapes import Names, WindowsOut
from collectors.registry import sites
from collectors.registry.sight import NOTHING, Span, farm_sight
from collectors.store.levels import DAY_OFFSET_MS
from makiba.quantities import catalogue
from makiba.reading import EARLIEST_MS, LATEST_MS, Series

router = APIRouter(tags=["series"])

WHAT: Final[Mapping[str, Names]] = {
    "/sites/{site}/series/{subject}/{quantity}/windows": Names(ja="グラフを 見ました", en="looked at a chart"),
}

MAX_POINTS: Final = 2_000
DAY_MS: Final = 86_400_000
WIDTHS_MS: Final = tuple(
    1_000 * s for s in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
)
"""Widths that people read easily; beyond the last a whole number of days."""


@router.get("/sites/{site}/series/{subject}/{quantity}/windows")
def windows(
    site: str,
    subject: str,
    quantity: str,
    viewer: SignedIn,
    centre: CentreNow,
    account: Accounting,
    start_ms: Annotated[int | None, Query(ge=EARLIEST_MS, le=LATEST_MS)] = None,
    end_ms: Annotated[int | None, Query(ge=EARLIEST_MS, le=LATEST_MS)] = None,
    points: Annotated[int, Query(ge=1, le=MAX_POINTS)] = 300,
) -> WindowsOut:
    """[start_ms, end_ms) in at most `points` windows (by default the last 24 h); a text has none.

    A subject without a reading answers an empty list: it may speak tomorrow. Somebody from outside the farm gets the
    times at which what was measured was of a class that the farm shows them.
    """
    end = centre.clock() if end_ms is None else end_ms
    start = end - DAY_MS if start_ms is None else start_ms
    if start >= end:
        raise HTTPException(422, "start_ms must be before end_ms")
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
    # Days and halves of them as people have them, which are also those that the store has folded already.
    width = width_for(start - DAY_OFFSET_MS, end - DAY_OFFSET_MS, points)
    told = WindowsOut(
        subject=subject,
        quantity=quantity,
        name=Names(ja=word.names["ja"], en=word.names["en"]),
        unit=word.show_unit,
        factor=word.show_factor,
        offset=word.show_offset,
        decimals=word.decimals,
        width_ms=width,
        windows=[
            (w.start_ms, w.count, w.minimum, w.mean, w.maximum, w.last)
            for from_ms, to_ms in within(spans, start, end, width, DAY_OFFSET_MS)
            for w in centre.store.windows(series, from_ms, to_ms, width, DAY_OFFSET_MS)
        ],
        limits=limits,
    )
    account.note(site, sight.classes_of(subject, quantity), (start, end))
    return told


def within(spans: Iterable[Span], start_ms: int, end_ms: int, width_ms: int, offset_ms: int) -> Iterable[Span]:
    """What of `spans` lies in [start_ms, end_ms), in order.

    A window that touches a time that is not to be seen is left out: it may be stored folded together with it.
    """
    for from_ms, to_ms in spans:
        first = _floor(start_ms, width_ms, offset_ms)
        first = start_ms if from_ms <= first else -_floor(-from_ms, width_ms, -offset_ms)
        last = -_floor(-end_ms, width_ms, -offset_ms)
        last = end_ms if to_ms >= last else _floor(to_ms, width_ms, offset_ms)
        if first < last:
            yield first, last


def _floor(at_ms: int, width_ms: int, offset_ms: int) -> int:
    return (at_ms - offset_ms) // width_ms * width_ms + offset_ms


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
