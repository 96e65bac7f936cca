"""All farms that somebody may see, at a glance: for a co-op's desk, a town, a technician, a family with two farms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter

from api.centre import CentreNow
from api.etags import Tagging
from api.newest import KEY, STATE, Values
from api.paging import Paging
from api.sessions import SERVICE, Accounting, SignedIn
from api.shapes import Names
from api.shapes.overview import DeviceNotOk, FarmOverview, KeyValue, OpenAlerts, OverviewPage, Technical
from collectors.registry.overview import FarmNow, farms_now
from collectors.registry.sight import FarmSight, whereabouts
from collectors.registry.viewer import Person, classes_on
from makiba.data_class import DATA_CLASSES, DataClass, classes_of
from makiba.quantities import catalogue
from makiba.rule import SEVERITIES

router = APIRouter(tags=["overview"])

WHAT: Final[Mapping[str, Names]] = {
    "/overview": Names(ja="農場の 一覧を 見ました", en="looked at the overview of farms"),
}

OK: Final = "ok"
ONLINE: Final = "online"
MAX_WORST: Final = 10
MAX_VALUES: Final = 6
"""Values of one class of one farm; the others stand among its places."""


@router.get("/overview")
def overview(viewer: SignedIn, centre: CentreNow, account: Accounting, page: Paging, tags: Tagging) -> OverviewPage:
    """Every farm that the viewer may see anything of, by id: what its classes show, and no more.

    Values are at most some seconds older than the store's. Send the `ETag` back as `If-None-Match`: 304 while
    nothing has changed.
    """
    with centre.registry.read() as session:
        farms = farms_now(session, viewer, page.ask, page.after[0] if page.after else None)
        shown, following = page.cut(farms, lambda farm: (farm.site.id,))
        stood = whereabouts(session, SERVICE, [farm.site.id for farm in shown])
    newest = centre.newest.of([farm.site.id for farm in shown])
    rows = []
    for farm in shown:
        site = farm.site.id
        sight = FarmSight(classes_on(viewer, site), False, stood.get(site, {}))
        rows.append(_row(viewer, farm, sight, newest[site]))
    gone = account.note_many({row.site: row.classes for row in rows})
    told = OverviewPage(time_ms=centre.clock(), rows=[row for row in rows if row.site not in gone], next=following)
    return tags.content(told, but={"time_ms", "next"})


def _row(viewer: Person, farm: FarmNow, sight: FarmSight, newest: Values) -> FarmOverview:
    site = farm.site
    states = {series.subject: (str(p.value), p.time_ms) for series, p in newest.items() if series.quantity == STATE}
    return FarmOverview.model_construct(
        site=site.id,
        name=Names.model_construct(ja=site.name_ja, en=site.name_en),
        role=viewer.roles.get(site.id, "admin"),
        classes=[c for c in DATA_CLASSES if c in sight.classes],
        alerts=_alerts(farm) if "alerts" in sight.classes else None,
        technical=_technical(farm, states) if "technical" in sight.classes else None,
        values=_values(sight, newest, states),
    )


def _alerts(farm: FarmNow) -> OpenAlerts:
    counts = {(s, a): farm.alerts[s, a] for s in reversed(SEVERITIES) for a in (False, True) if (s, a) in farm.alerts}
    return OpenAlerts.model_construct(
        worst=next((severity for severity, _ in counts), None),
        open={severity: n for (severity, acknowledged), n in counts.items() if not acknowledged},
        acknowledged={severity: n for (severity, acknowledged), n in counts.items() if acknowledged},
    )


def _technical(farm: FarmNow, states: Mapping[str, tuple[str, int]]) -> Technical:
    not_ok = [(name, *states[name]) for name in farm.devices if states.get(name, (OK, 0))[0] != OK]
    return Technical.model_construct(
        gateways=len(farm.gateways),
        offline=[gateway for gateway, status in farm.gateways.items() if status != ONLINE],
        devices=len(farm.devices),
        not_ok=len(not_ok),
        worst=[
            DeviceNotOk.model_construct(device=name, state=state, since_ms=since_ms)
            for name, state, since_ms in not_ok[:MAX_WORST]
        ],
    )


def _values(sight: FarmSight, newest: Values, states: Mapping[str, tuple[str, int]]) -> list[KeyValue]:
    by_class: dict[DataClass, list[KeyValue]] = defaultdict(list)
    for series, point in sorted(newest.items(), key=lambda item: item[0]):
        if series.quantity == STATE or isinstance(point.value, str):
            continue
        for data_class in classes_of(series.quantity, sight.kind(series.subject, point.time_ms)) & sight.classes:
            if series.quantity in KEY.get(data_class, ()):
                word = catalogue()[series.quantity]
                by_class[data_class].append(
                    KeyValue.model_construct(
                        data_class=data_class, subject=series.subject, quantity=series.quantity,
                        name=Names.model_construct(ja=word.names["ja"], en=word.names["en"]), unit=word.show_unit,
                        factor=word.show_factor, offset=word.show_offset, decimals=word.decimals, value=point.value,
                        time_ms=point.time_ms, state=states.get(series.subject, (None,))[0],
                    )
                )  # fmt: skip
    return [
        value
        for data_class in DATA_CLASSES
        for value in sorted(by_class[data_class], key=lambda v: KEY[data_class].index(v.quantity))[:MAX_VALUES]
    ]
