"""Incidents across farms: their rows, who may see which of them, and what farms answer.

What belongs together is decided in `analytics.incidents`; here are the tables. An incident exists for somebody who
may see the alerts of a farm in it, and then with those farms only. How many there are in all is told only from
`MANY` farms on, so that the number says nothing about a single one. A farm's own people answer for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.orm import Session

from collectors.registry import audit
from collectors.registry.schema import Alert, Site, SiteWeather
from collectors.registry.schema.incidents import Incident, IncidentAlert, IncidentFarm
from collectors.registry.viewer import Person, Service, Viewer, require, require_service, visible_sites

MANY: Final = 5
"""From so many farms on their number is told: the k of comparisons."""

LATELY_MS: Final = 600_000

Answer = Literal["ok", "generator", "people"]
ANSWERS: Final[tuple[Answer, ...]] = ("ok", "generator", "people")


@dataclass(frozen=True, slots=True)
class Hit:
    """An open alert that may be one of many: of which farm, in which area, since when."""

    alert_id: str
    site: str
    rule: str
    area: str
    onset_ms: int


@dataclass(frozen=True, slots=True)
class FarmIn:
    """A farm in an incident with what matters first to who helps. `generator`: None where the farm does not say."""

    row: IncidentFarm
    site: Site
    generator: bool | None
    cows: float | None


@dataclass(frozen=True, slots=True)
class Shown:
    """An incident as somebody may see it. `in_all`: how many farms, where that says nothing about one."""

    row: Incident
    farms: Sequence[FarmIn]
    in_all: int | None


# ------------------------------------------------------------------------------------------- for who groups them


def loose_hits(session: Session, viewer: Service, rules: Collection[str]) -> list[Hit]:
    """Open alerts of these rules that are in no incident."""
    require_service(viewer)
    query = (
        select(Alert.id, Alert.site_id, Alert.rule, Alert.onset_ms, SiteWeather.municipality, SiteWeather.area)
        .join(SiteWeather, SiteWeather.site_id == Alert.site_id, isouter=True)
        .join(IncidentAlert, IncidentAlert.alert_id == Alert.id, isouter=True)
        .where(Alert.ended_ms.is_(None), Alert.rule.in_(sorted(rules)), IncidentAlert.alert_id.is_(None))
    )
    return [
        Hit(alert, site, rule, town or area or "", onset_ms)
        for alert, site, rule, onset_ms, town, area in session.execute(query)
    ]


def is_any_over(session: Session, viewer: Service) -> bool:
    """Whether a farm in an incident is hit no more, and that is not written down yet."""
    require_service(viewer)
    return session.scalar(select(IncidentFarm.site_id).where(*_over()).limit(1)) is not None


def open_incidents(session: Session, viewer: Service) -> list[tuple[Incident, dict[str, int]]]:
    """Incidents that go on, and of each the farms still hit with since when."""
    require_service(viewer)
    rows = session.scalars(select(Incident).where(Incident.ended_ms.is_(None)).order_by(Incident.id)).all()
    hit: dict[str, dict[str, int]] = {row.id: {} for row in rows}
    query = select(IncidentFarm).where(IncidentFarm.incident_id.in_(list(hit)), IncidentFarm.ended_ms.is_(None))
    for farm in session.scalars(query):
        hit[farm.incident_id][farm.site_id] = farm.onset_ms
    return [(row, hit[row.id]) for row in rows]


def begin(session: Session, viewer: Service, incident: str, area: str, onset_ms: int, now_ms: int) -> None:
    """A new incident without farms; nothing when it is there."""
    require_service(viewer)
    if session.get(Incident, incident) is None:
        session.add(Incident(id=incident, kind="link", area=area, onset_ms=onset_ms, opened_ms=now_ms, ended_ms=None))
        session.flush()


def join(
    session: Session, viewer: Service, incident: str, hits: Iterable[Hit], kind: str, now_ms: int
) -> None:  # fmt: skip
    """Takes the alerts `hits` and their farms in."""
    require_service(viewer)
    row = session.get_one(Incident, incident)
    if kind == "power":
        row.kind = kind
    row.ended_ms = None
    for hit in hits:
        if session.get(IncidentAlert, hit.alert_id) is not None:
            continue
        session.add(IncidentAlert(alert_id=hit.alert_id, incident_id=incident, site_id=hit.site))
        farm = session.get(IncidentFarm, (incident, hit.site))
        if farm is None:
            session.add(IncidentFarm(incident_id=incident, site_id=hit.site, onset_ms=hit.onset_ms, joined_ms=now_ms))
        elif farm.ended_ms is not None:  # hit again: asked again
            farm.ended_ms, farm.onset_ms, farm.joined_ms, farm.told_ms = None, hit.onset_ms, now_ms, None
            farm.answer, farm.answered_ms, farm.answered_by = None, None, None
        session.flush()


def end_farms(session: Session, viewer: Service, now_ms: int) -> int:
    """Notes which farms are not hit any more, and which incidents are over; how many rows changed."""
    require_service(viewer)
    over: Any = session.execute(
        update(IncidentFarm).where(*_over()).values(ended_ms=now_ms).execution_options(synchronize_session="fetch")
    )
    still = (
        select(IncidentFarm.site_id)
        .where(IncidentFarm.incident_id == Incident.id, IncidentFarm.ended_ms.is_(None))
        .exists()
    )
    ended: Any = session.execute(
        update(Incident)
        .where(Incident.ended_ms.is_(None), ~still)
        .values(ended_ms=now_ms)
        .execution_options(synchronize_session="fetch")
    )
    return int(over.rowcount) + int(ended.rowcount)


# ------------------------------------------------------------------------------------------- for who tells people


def not_told(session: Session, viewer: Service) -> Sequence[IncidentFarm]:
    """Farms whose people were not asked yet, locked, while it goes on."""
    require_service(viewer)
    query = select(IncidentFarm).where(IncidentFarm.told_ms.is_(None), IncidentFarm.ended_ms.is_(None))
    return session.scalars(query.order_by(IncidentFarm.incident_id, IncidentFarm.site_id).with_for_update()).all()


def lately(session: Session, viewer: Service, now_ms: int, limit: int = 100) -> list[Shown]:
    """Incidents that go on or ended while people may not have been told so: in the last ten minutes."""
    require_service(viewer)
    fresh = Incident.ended_ms.is_(None) | (Incident.ended_ms > now_ms - LATELY_MS)
    rows = session.scalars(select(Incident).where(fresh).order_by(Incident.opened_ms, Incident.id).limit(limit)).all()
    return [_shown(session, viewer, row) for row in rows]


def kind_of(session: Session, viewer: Service, incident: str) -> str:
    """`power` or `link`."""
    require_service(viewer)
    return session.get_one(Incident, incident).kind


# ------------------------------------------------------------------------------------------- for people


def list_incidents(session: Session, viewer: Viewer, limit: int, after: Sequence[Any] | None = None) -> list[Shown]:
    """Incidents with a farm whose alerts `viewer` may see, the newest first, from behind `after` (opened, id) on."""
    seen = _seen(viewer)
    query = select(Incident).where(Incident.id.in_(select(IncidentFarm.incident_id).where(seen)))
    if after is not None:
        query = query.where(tuple_(Incident.opened_ms, Incident.id) < tuple_(*after))
    rows = session.scalars(query.order_by(Incident.opened_ms.desc(), Incident.id.desc()).limit(limit)).all()
    return [_shown(session, viewer, row) for row in rows]


def get_incident(session: Session, viewer: Viewer, incident: str) -> Shown | None:
    """The incident as `viewer` may see it; None: there is none for them."""
    row = session.get(Incident, incident)
    if row is None:
        return None
    shown = _shown(session, viewer, row)
    return shown if shown.farms else None


def answer(
    session: Session, viewer: Person, incident: str, site: str, given: Answer, now_ms: int
) -> IncidentFarm | None:
    """What the farm's people say: all right, a generator is needed, people are. None: the farm is in no such one."""
    require(viewer, site, "acknowledge")
    query = select(IncidentFarm).where(IncidentFarm.incident_id == incident, IncidentFarm.site_id == site)
    row = session.scalar(query.with_for_update())
    if row is None:
        return None
    if row.answer != given:
        row.answer, row.answered_ms, row.answered_by = given, now_ms, viewer.id
        audit.note_change(session, viewer, site, "incident.answered", now_ms, answer=given)
        session.flush()
    return row


def farm_of(session: Session, viewer: Viewer, row: IncidentFarm) -> FarmIn:
    """`row`, of `answer`, with what the farm says of itself."""
    require(viewer, row.site_id, "acknowledge")
    return _farm_in(row, session.get_one(Site, row.site_id))


def answer_word(row: IncidentFarm) -> Answer | None:
    """What the farm answered."""
    return next((word for word in ANSWERS if word == row.answer), None)


def alerts_of(session: Session, viewer: Viewer, incident: str, site: str) -> Sequence[str]:
    """The alerts of the farm in the incident."""
    sites = visible_sites(viewer, "alerts")
    if sites is not None and site not in sites:
        return ()
    query = select(IncidentAlert.alert_id).where(IncidentAlert.incident_id == incident, IncidentAlert.site_id == site)
    return session.scalars(query.order_by(IncidentAlert.alert_id)).all()


def _over() -> tuple[Any, ...]:
    going_on = (
        select(IncidentAlert.alert_id)
        .join(Alert, Alert.id == IncidentAlert.alert_id)
        .where(
            IncidentAlert.incident_id == IncidentFarm.incident_id, IncidentAlert.site_id == IncidentFarm.site_id,
            Alert.ended_ms.is_(None),
        )
        .exists()
    )  # fmt: skip
    return IncidentFarm.ended_ms.is_(None), ~going_on


def _shown(session: Session, viewer: Viewer, row: Incident) -> Shown:
    query = (
        select(IncidentFarm, Site)
        .join(Site, Site.id == IncidentFarm.site_id)
        .where(IncidentFarm.incident_id == row.id, _seen(viewer))
    )
    farms = [_farm_in(farm, site) for farm, site in session.execute(query)]
    count = select(func.count()).select_from(IncidentFarm).where(IncidentFarm.incident_id == row.id)
    in_all = session.scalar(count) or 0
    return Shown(row, sorted(farms, key=_first), in_all if in_all >= MANY else None)


def _farm_in(row: IncidentFarm, site: Site) -> FarmIn:
    said = site.settings or {}
    generator, cows = said.get("generator"), said.get("cows")
    has = {True: True, False: False, "yes": True, "no": False}.get(generator) if generator is not None else None
    return FarmIn(row, site, has, float(cows) if isinstance(cows, int | float) else None)


def _first(farm: FarmIn) -> tuple[bool, int, bool, float, str]:
    """Who is helped first: still hit; who asked for help, then who has not answered; no generator; many cows."""
    asked = {"generator": 0, "people": 0, None: 1, "ok": 2}[farm.row.answer]
    return farm.row.ended_ms is not None, asked, farm.generator is True, -(farm.cows or 0.0), farm.site.id


def _seen(viewer: Viewer) -> Any:
    sites = visible_sites(viewer, "alerts")
    return IncidentFarm.site_id.is_not(None) if sites is None else IncidentFarm.site_id.in_(sorted(sites))
