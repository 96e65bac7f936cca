"""Places of a farm with what stands in them and its newest values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter
from sqlalchemy.orm import Session

from api.centre import CentreNow
from api.problems import existing
from api.sessions import SERVICE, Accounting, SignedIn
from api.shapes import GatewayOut, Names, PlaceOut, PlacesOut, SubjectOut, ValueOut
from collectors.registry import lora, sites
from collectors.registry.schema import Device, Gateway, Place, Placement
from collectors.registry.sight import WHOLE, FarmSight, farm_sight
from collectors.registry.viewer import Viewer
from collectors.store import Point
from makiba.quantities import Quantity, catalogue
from makiba.reading import Series

router = APIRouter(tags=["places"])

WHAT: Final[Mapping[str, Names]] = {
    "/sites/{site}/places": Names(ja="いまの 値を 見ました", en="looked at the newest values"),
}

STATE: Final = "state"
OK: Final = "ok"
UNPLACED: Final = ("unplaced", "other", Names(ja="未配置", en="Not placed"))


@dataclass(frozen=True, slots=True)
class Standing:
    """What the registry says about a farm, as far as the list of places needs it."""

    places: Sequence[Place]
    placements: Sequence[Placement]
    devices: Sequence[Device]
    gateways: Sequence[Gateway]


@router.get("/sites/{site}/places")
def places(site: str, viewer: SignedIn, centre: CentreNow, account: Accounting) -> PlacesOut:
    """Every place of `site`, what stands there, its state and newest values; gateways and whether they speak.

    Somebody from outside the farm gets what it shows them, by class of data; gateways are technical.
    """
    now_ms = centre.clock()
    with centre.registry.read() as session:
        existing(sites.get_site(session, viewer, site))
        sight = farm_sight(session, SERVICE, viewer, site)
        standing = read_standing(session, SERVICE, site)
    told = PlacesOut(
        time_ms=now_ms,
        places=arrange(standing, centre.store.latest(site), sight, now_ms),
        gateways=[
            GatewayOut(id=g.id, status=g.status, status_ms=g.status_ms)
            for g in standing.gateways
            if g.revoked_ms is None and "technical" in sight.classes
        ],
    )
    account.note(site, sight.classes)
    return told


def read_standing(session: Session, viewer: Viewer, site: str) -> Standing:
    """What stands on `site` now; what a revoked gateway measured is not part of it."""
    gateways = sites.list_gateways(session, viewer, site)
    at_work = {lora.NETWORK, *(g.id for g in gateways if g.revoked_ms is None)}
    return Standing(
        places=sites.list_places(session, viewer, site),
        placements=sites.list_placements(session, viewer, site),
        devices=[d for d in sites.list_devices(session, viewer, site) if d.gateway_id in at_work],
        gateways=gateways,
    )


def arrange(
    standing: Standing, latest: Mapping[Series, Point], sight: FarmSight = WHOLE, now_ms: int = 0
) -> list[PlaceOut]:
    """The places in their order, each with its subjects; what stands nowhere comes last, under `unplaced`.

    A subject is listed when it is placed, reported by a device, or has a reading. Buses and gateways speak too
    (`gw-1.barn/state`), but are no sensors and are left out. Of what `sight` does not see, nothing is listed; a
    subject that is has its state with it, since a value without it may be taken for one of now.
    """
    by_subject: dict[str, dict[str, Point]] = defaultdict(dict)
    states: dict[str, Point] = {}
    for series, point in latest.items():
        if series.quantity == STATE:
            states[series.subject] = point
        if sight.may_read(series.subject, series.quantity, point.time_ms):
            by_subject[series.subject][series.quantity] = point
    device_of = {subject: d for d in standing.devices for subject in d.subjects}
    placed = {p.subject: p for p in standing.placements}
    measuring = {s for s, values in by_subject.items() if any(_is_measured(q) for q in values)}
    boxes = {g.id for g in standing.gateways}
    subjects = {
        s
        for s in {*placed, *device_of, *measuring}
        if s.partition(".")[0] not in boxes and sight.lists(s, now_ms, measuring)
    }

    groups: dict[str, list[SubjectOut]] = defaultdict(list)
    # Placed ones stand in the order of the farm's own file, the others by name.
    order = {p.subject: n for n, p in enumerate(standing.placements)}
    for subject in sorted(subjects, key=lambda s: (order.get(s, len(order)), s)):
        placement, device = placed.get(subject), device_of.get(subject)
        place_id = placement.place_id if placement else UNPLACED[0]
        shown = _subject(subject, placement, device, by_subject.get(subject, {}), states)
        if "technical" not in sight.classes:
            shown = shown.model_copy(update={"gateway": None})
        groups[place_id].append(shown)
    arranged = [
        PlaceOut(id=p.id, kind=p.kind, name=Names(ja=p.name_ja, en=p.name_en), subjects=groups[p.id])
        for p in standing.places
        if groups[p.id] or sight.sees_place(p.kind)
    ]
    if groups[UNPLACED[0]]:
        identity, kind, name = UNPLACED
        arranged.append(PlaceOut(id=identity, kind=kind, name=name, subjects=groups[UNPLACED[0]]))
    return arranged


def _subject(
    subject: str,
    placement: Placement | None,
    device: Device | None,
    values: Mapping[str, Point],
    states: Mapping[str, Point],
) -> SubjectOut:
    device_name = device.name if device else subject.partition(".")[0]
    state = worse_state(states.get(subject), states.get(device_name))
    return SubjectOut(
        subject=subject,
        device=device_name,
        gateway=device.gateway_id if device else None,
        name=subject_name(subject, placement),
        role=placement.role if placement else "",
        state=str(state.value) if state else None,
        state_ms=state.time_ms if state else None,
        values=list(_values(values, device.every_s if device else None)),
    )


def worse_state(own: Point | None, device: Point | None) -> Point | None:
    """A silent device says more than the last word of its channel; otherwise the channel knows better."""
    if device is not None and device.value != OK:
        return device
    return own or device


def subject_name(subject: str, placement: Placement | None) -> Names:
    """How the farm calls it, else its own id."""
    return Names(
        ja=(placement.name_ja if placement else "") or subject,
        en=(placement.name_en if placement else "") or subject,
    )


def _is_measured(name: str) -> bool:
    """Whether a series of this quantity makes its subject a sensor; states and versions alone do not."""
    quantity = catalogue().get(name)
    return quantity is not None and quantity.group not in (STATE, "gateway")


def _values(values: Mapping[str, Point], every_s: float | None) -> Iterable[ValueOut]:
    for name, quantity in catalogue().items():
        point = values.get(name)
        if point is not None and name != STATE:
            yield _value(quantity, point, every_s)


def _value(quantity: Quantity, point: Point, every_s: float | None) -> ValueOut:
    return ValueOut(
        quantity=quantity.name,
        name=Names(ja=quantity.names["ja"], en=quantity.names["en"]),
        unit=quantity.show_unit,
        factor=quantity.show_factor,
        offset=quantity.show_offset,
        decimals=quantity.decimals,
        kind=quantity.kind,
        value=point.value,
        time_ms=point.time_ms,
        every_s=every_s,
    )
