"""How complete a farm's data is, by sensor: a report for farm and co-op, as JSON or as a table for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request, Response

from api.centre import CentreNow
from api.problems import existing, invalid
from api.sessions import SERVICE, Accounting, SignedIn
from api.shapes import Millis, Names
from api.shapes.devices import (
    CompletenessOut,
    CompletenessTotalOut,
    LastedOut,
    RecordedGapOut,
    SeriesCoverageOut,
)
from collectors.out.clock import zone_of
from collectors.out.completeness import SeriesReport, Standing, recorded_gaps, report
from collectors.out.coverage import Pace, ratio
from collectors.out.csv_form import guarded
from collectors.registry import maintenance, paces, sites
from collectors.registry.maintenance_times import spans_of
from collectors.registry.sight import farm_sight
from makiba.quantities import catalogue

router = APIRouter(tags=["devices"])

DAY_MS: Final = 86_400_000
LONGEST_MS: Final = 92 * DAY_MS
CSV: Final = "text/csv"

WHAT: Final[Mapping[str, Names]] = {
    "/sites/{site}/completeness": Names(ja="データの そろい具合を 見ました", en="looked at how complete the data is"),
}


@router.get(
    "/sites/{site}/completeness",
    response_model=CompletenessOut,
    responses={
        200: {"content": {CSV: {"schema": {"type": "string"}}}, "description": "By `Accept`, JSON or a table"}
    },
)
def completeness(
    site: str,
    request: Request,
    viewer: SignedIn,
    centre: CentreNow,
    account: Accounting,
    from_ms: Annotated[Millis | None, Query(description="Default: 30 days before `to_ms`")] = None,
    to_ms: Annotated[Millis | None, Query(description="Default: now; a time ahead is cut to now")] = None,
) -> Response | CompletenessOut:
    """What should have come of each series, what came, the longest gap, and what explains it; at most 92 days.

    Days begin at midnight in Japan. Somebody from outside gets the series and days that the farm shows them.
    """
    now_ms = centre.clock()
    end = min(now_ms, now_ms if to_ms is None else to_ms)
    start = end - 30 * DAY_MS if from_ms is None else from_ms
    if not start < end <= start + LONGEST_MS:
        raise invalid("query.from_ms", "before to_ms and before now, at most 92 days")
    with centre.registry.read() as session:
        row = existing(sites.get_site(session, viewer, site))
        sight = farm_sight(session, SERVICE, viewer, site)
        boxes = [g.id for g in sites.list_gateways(session, SERVICE, site)]
        devices = sites.list_devices(session, SERVICE, site)
        told_paces = paces.paces_of(session, SERVICE, site)
        farm = maintenance.farm_of(session, SERVICE, site)
        windows = maintenance.windows_of(session, SERVICE, site, start, end)
    technical = "technical" in sight.classes
    standing = Standing(
        device_of={str(s): d.name for d in devices for s in d.subjects},
        paces=_paces(told_paces, {d.name: d.every_s for d in devices}, now_ms),
        boxes=frozenset(boxes),
        worked_on=(lambda subject: spans_of(windows, farm, subject, start, end)) if technical else lambda _: (),
    )
    rows = report(centre.store, site, standing, sight.spans, (start, end))
    told = CompletenessOut(
        from_ms=start,
        to_ms=end,
        total=_total(rows),
        series=[_shown(row) for row in rows],
        gateway_gaps=[
            RecordedGapOut(
                gateway=said.gateway, said_ms=said.said_ms, from_ms=said.gap.from_ms, to_ms=said.gap.to_ms,
                readings=said.gap.readings, thinned=said.gap.thinned,
            )
            for said in (recorded_gaps(centre.store, site, boxes, (start, end)) if technical else ())
        ],
    )  # fmt: skip
    account.note(site, sight.classes, (start, end))
    if _wants_csv(request):
        headers = {"Content-Disposition": f'attachment; filename="completeness-{site}.csv"', "Vary": "Accept"}
        return Response(_csv(told, zone_of(row.timezone)), media_type=f"{CSV}; charset=utf-8", headers=headers)
    return told


def _paces(
    told: Mapping[str, Sequence[tuple[int, float]]], now: Mapping[str, float], now_ms: int
) -> dict[str, list[Pace]]:
    """What was noted, and for a device of which nothing was (before this was kept) what it is set to now."""
    found = {name: [Pace(at_ms, every_s) for at_ms, every_s in steps] for name, steps in told.items()}
    for name, every_s in now.items():
        if every_s > 0:
            found.setdefault(name, [Pace(now_ms, every_s)])
    return found


def _total(rows: Sequence[SeriesReport]) -> CompletenessTotalOut:
    known = [(min(row.present, row.expected), row.expected) for row in rows if row.expected is not None]
    present, should = sum(p for p, _ in known), sum(e for _, e in known)
    return CompletenessTotalOut(
        series=len(rows), known=len(known), present=present, expected=should,
        coverage=ratio(present, should) if known else None,
    )  # fmt: skip


def _shown(row: SeriesReport) -> SeriesCoverageOut:
    word = catalogue()[row.quantity]
    return SeriesCoverageOut(
        subject=row.subject, quantity=row.quantity, name=Names(ja=word.names["ja"], en=word.names["en"]),
        device=row.device, present=row.present, expected=row.expected, basis=row.basis, coverage=row.coverage,
        gap_from_ms=row.gap[0] if row.gap else None, gap_to_ms=row.gap[1] if row.gap else None,
        states=[LastedOut(state=state, ms=ms) for state, ms in sorted(row.states.items())],
        maintenance_ms=row.maintenance_ms,
    )  # fmt: skip


def _wants_csv(request: Request) -> bool:
    """Whether the reader puts a table before JSON."""
    quality: dict[str, float] = {}
    for part in request.headers.get("accept", "*/*").split(",")[:20]:
        kind, _, rest = part.partition(";")
        weight = rest.partition("q=")[2].strip() if "q=" in rest else "1"
        quality[kind.strip().lower()] = float(weight) if weight.replace(".", "", 1).isdecimal() else 0.0
    return quality.get(CSV, quality.get("text/*", 0.0)) > quality.get("application/json", 0.0)


def _csv(told: CompletenessOut, zone: ZoneInfo) -> bytes:
    """UTF-8 with the mark by which Excel knows it; texts that would run as formulas are made harmless."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\r\n")
    table.writerow(
        ["subject", "quantity", "名前", "name", "device", "present", "expected", "basis", "coverage_percent",
         "longest_gap_from", "longest_gap_to", "longest_gap_minutes", "states_minutes", "maintenance_minutes"]
    )  # fmt: skip
    for s in told.series:
        gap_ms = (s.gap_to_ms or 0) - (s.gap_from_ms or 0) if s.gap_to_ms is not None else None
        table.writerow(
            [guarded(s.subject), s.quantity, s.name.ja, s.name.en, guarded(s.device or ""), s.present,
             _text(s.expected), s.basis, _text(None if s.coverage is None else round(100 * s.coverage, 2)),
             _when(s.gap_from_ms, zone), _when(s.gap_to_ms, zone), _text(_minutes(gap_ms)),
             guarded(" ".join(f"{lasted.state}:{_minutes(lasted.ms)}" for lasted in s.states)),
             _text(_minutes(s.maintenance_ms))]
        )  # fmt: skip
    total = told.total
    table.writerow(
        ["total", "", "合計", "total", "", total.present, total.expected, "",
         _text(None if total.coverage is None else round(100 * total.coverage, 2)), "", "", "", "", ""]
    )  # fmt: skip
    return out.getvalue().encode("utf-8-sig")


def _when(at_ms: int | None, zone: ZoneInfo) -> str:
    return "" if at_ms is None else datetime.fromtimestamp(at_ms / 1000, zone).isoformat(" ", "seconds")


def _minutes(ms: int | None) -> float | None:
    return None if ms is None else round(ms / 60_000, 1)


def _text(number: float | None) -> str:
    return "" if number is None else str(number)
