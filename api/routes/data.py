"""Many series at once: the newest values of a farm, and series side by side in the same windows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Query, Request, Response

from api.centre import Centre, CentreNow
from api.etags import Tagging
from api.media import JSON, accepted
from api.problems import invalid, not_found
from api.routes.series import SENML, SENML_CONTENT, Points, WidthMs, as_senml, asked_windows, told, windows_in
from api.seen import Chosen, Seen, look
from api.sessions import Accounting, SignedIn
from api.shapes import Millis, Names
from api.shapes.data import DataOut, FarmSeriesName, Folds, LatestOut, SeriesName
from collectors.out.table import FIELDS, FOLDS, Fold
from collectors.registry.viewer import Person
from collectors.store import Window
from makiba.data_class import DataClass
from makiba.quantities import catalogue
from makiba.reading import Reading, Series

router = APIRouter(tags=["series"])

WHAT: Final[Mapping[str, Names]] = {
    "/sites/{site}/latest": Names(ja="いまの 値を 見ました", en="looked at the newest values"),
    "/sites/{site}/data": Names(ja="グラフを 見ました", en="looked at charts"),
    "/data": Names(ja="ほかの 牧場と ならべて グラフを 見ました", en="looked at charts beside those of other farms"),
}

MAX_SERIES: Final = 100
MAX_CELLS: Final = 200_000
"""Windows of all series together."""

FoldsAsked = Annotated[
    Folds | None, Query(max_length=len(FOLDS), description="What to tell of each window: count, min, mean, max, last")
]
Start = Annotated[Millis | None, Query(description="The first time that counts; a day before the end, if not said")]
End = Annotated[Millis | None, Query(description="Up to and without this time; now, if not said")]


@router.get("/sites/{site}/latest", response_model=LatestOut, responses={200: {"content": SENML_CONTENT}})
def latest(
    site: str,
    request: Request,
    viewer: SignedIn,
    centre: CentreNow,
    account: Accounting,
    tags: Tagging,
    choice: Chosen,
) -> Response:
    """The newest value of each series that is asked for, and how old it is; its ETag holds until one is newer.

    Somebody from outside the farm gets those that were measured where they may see them.
    """
    media_type = accepted(request, (JSON, *SENML))
    with centre.registry.read() as session:
        farm = look(session, viewer, site, centre.clock(), choice.of_class)
    newest = centre.store.latest(site)
    shown = [
        Reading(series, newest[series].time_ms, newest[series].value)
        for series in sorted(choice.of(farm, newest))
        if farm.sight.may_read(series.subject, series.quantity, newest[series].time_ms)
    ]
    account.note(site, farm.classes)
    tags.response.headers["Vary"] = "Accept"
    if media_type != JSON:
        return as_senml(tags, f"{site}/", shown, media_type)
    now_ms, words = centre.clock(), catalogue()
    rows: list[dict[str, Any]] = [
        {**told(r.series, words[r.series.quantity]), "value": r.value, "time_ms": r.time_ms} for r in shown
    ]
    state = orjson.dumps(rows)
    for row in rows:
        row["age_ms"] = now_ms - row["time_ms"]
    return tags.spelled(orjson.dumps({"time_ms": now_ms, "rows": rows}), state=state)


@router.get("/sites/{site}/data", response_model=DataOut)
def data(
    site: str,
    viewer: SignedIn,
    centre: CentreNow,
    account: Accounting,
    tags: Tagging,
    series: Annotated[list[SeriesName], Query(max_length=MAX_SERIES, description="`subject/quantity`, repeated")],
    fold: FoldsAsked = None,
    start_ms: Start = None,
    end_ms: End = None,
    points: Points = 300,
    width_ms: WidthMs = None,
) -> Response:
    """Up to 100 series of the farm side by side: what each window of [start_ms, end_ms) has of each, null for a hole.

    The windows are those of `…/windows`. `fold` may be repeated; without, it is the mean.
    """
    names = [f"{site}/{name}" for name in series]
    return _side_by_side(
        viewer, centre, account, tags, names, fold or ["mean"],
        asked_windows(centre, start_ms, end_ms, points, width_ms),
    )  # fmt: skip


@router.get("/data", response_model=DataOut)
def data_of_farms(
    viewer: SignedIn,
    centre: CentreNow,
    account: Accounting,
    tags: Tagging,
    series: Annotated[
        list[FarmSeriesName], Query(max_length=MAX_SERIES, description="`site/subject/quantity`, repeated")
    ],
    fold: FoldsAsked = None,
    start_ms: Start = None,
    end_ms: End = None,
    points: Points = 300,
    width_ms: WidthMs = None,
) -> Response:
    """As `/sites/{site}/data`, for series of several farms."""
    return _side_by_side(
        viewer, centre, account, tags, series, fold or ["mean"],
        asked_windows(centre, start_ms, end_ms, points, width_ms),
    )  # fmt: skip


def _side_by_side(
    viewer: Person, centre: Centre, account: Accounting, tags: Tagging, names: Sequence[str], folds: Sequence[Fold],
    asked: tuple[int, int, int],
) -> Response:  # fmt: skip
    start_ms, end_ms, width_ms = asked
    chosen, farms = _chosen(viewer, centre, names)
    if ((end_ms - start_ms) // width_ms + 2) * len(chosen) > MAX_CELLS:
        raise invalid("query.series", f"makes more than {MAX_CELLS:,} windows: take wider ones, or a shorter time")
    columns = [list(windows_in(centre, s, farms[s.site].spans(s), start_ms, end_ms, width_ms)) for s in chosen]
    classes: dict[str, set[DataClass]] = {site: set() for site in farms}
    for s in chosen:
        classes[s.site] |= farms[s.site].sight.classes_of(s.subject, s.quantity)
    if account.note_many(classes, (start_ms, end_ms)):
        raise not_found()
    times_ms = sorted({window.start_ms for column in columns for window in column})
    place_of = {time_ms: place for place, time_ms in enumerate(times_ms)}
    words = catalogue()
    body = {
        "width_ms": width_ms,
        "times_ms": times_ms,
        "columns": [
            {"site": s.site, **told(s, words[s.quantity]), **_folded(column, folds, place_of)}
            for s, column in zip(chosen, columns, strict=True)
        ],
    }
    return tags.spelled(orjson.dumps(body))


def _chosen(viewer: Person, centre: Centre, names: Sequence[str]) -> tuple[list[Series], dict[str, Seen]]:
    """The series of these names, and their farms as `viewer` sees them; 404 when one is not there for them."""
    try:
        chosen = [Series.parse(name) for name in dict.fromkeys(names)]
    except ValueError:  # a farm that no path may name
        raise not_found() from None
    with centre.registry.read() as session:
        farms = {site: look(session, viewer, site, centre.clock()) for site in dict.fromkeys(s.site for s in chosen)}
    if not all(farms[s.site].spans(s) for s in chosen):
        raise not_found()
    return chosen, farms


def _folded(
    column: Iterable[Window], folds: Sequence[Fold], place_of: Mapping[int, int]
) -> dict[str, list[float | int | None]]:
    """Of each of `folds` the values of one series, at the places of their times."""
    made: dict[str, list[float | int | None]] = {fold: [None] * len(place_of) for fold in folds}
    for window in column:
        place = place_of[window.start_ms]
        for fold in folds:
            made[fold][place] = getattr(window, FIELDS[fold])
    return made
