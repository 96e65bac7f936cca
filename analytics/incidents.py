"""Many farms that lose power or their link together are one incident for who helps them, and no flood of alerts.

What is guaranteed (`look`, in one transaction; any number of workers may look):

- Farms of one area of which `FEWEST` or more have such an alert open, each begun within `WINDOW_MS` of the next, are
  one incident; who is hit later, within `WINDOW_MS` of any farm in it that is still hit, belongs to it too.
- An alert is in one incident at most. From then on nobody is told of it by itself: what waits is withdrawn.
- A farm is in an incident as long as one of its alerts in it is open; the incident ends with its last farm, and a
  farm that is hit again later is in it again while it lasts.
- Which farms those are is decided by what the alert book says, and by nothing else; so that looking again, or after
  a kill, finds the same.

Not guaranteed: that the first farms are not told of their own alert, when the others are hit more than the notifier's
hold (15 s) later. An incident of farms without an area in common is not seen, unless none of them names one.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from sqlalchemy.orm import Session

from analytics import alert_book
from collectors.registry import incidents, outbox
from collectors.registry.incidents import Hit
from collectors.registry.viewer import Service

Kind = Literal["power", "link"]

RULES: Final[Mapping[str, Kind]] = {"pow.lost": "power", "gateway.silent": "link"}
"""Whose alerts may have one cause with those of other farms."""
WINDOW_MS: Final = 600_000
FEWEST: Final = 3
"""Three farms of one area within ten minutes: `pow.map` of the catalogue of conditions."""


@dataclass(frozen=True, slots=True)
class Known:
    """An incident that has not ended: its area, and the farms in it that are still hit, with since when."""

    id: str
    area: str
    hit: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Grouped:
    """What belongs together: hits that join an incident, and those that make a new one."""

    joins: Mapping[str, Sequence[Hit]]
    new: Sequence[Sequence[Hit]]


def group(hits: Iterable[Hit], known: Collection[Known]) -> Grouped:
    """Which of `hits`, in no incident yet, belong to which of `known`, and which are a new one. Pure."""
    joins: dict[str, list[Hit]] = defaultdict(list)
    new: list[list[Hit]] = []
    by_area: dict[str, list[Hit]] = defaultdict(list)
    for hit in sorted(hits, key=lambda h: (h.onset_ms, h.site, h.alert_id)):
        by_area[hit.area].append(hit)
    for area, of_area in sorted(by_area.items()):
        for chain in _chains(of_area):
            found = next((k for k in known if k.area == area and _touches(k, chain)), None)
            if found is not None:
                joins[found.id] += chain
            elif len({hit.site for hit in chain}) >= FEWEST:
                new.append(chain)
    return Grouped(dict(joins), new)


def _chains(hits: Sequence[Hit]) -> Iterable[list[Hit]]:
    """`hits`, in order, cut where nothing began for longer than the window."""
    chain: list[Hit] = []
    for hit in hits:
        if chain and hit.onset_ms - chain[-1].onset_ms > WINDOW_MS:
            yield chain
            chain = []
        chain.append(hit)
    if chain:
        yield chain


def _touches(known: Known, chain: Sequence[Hit]) -> bool:
    if any(hit.site in known.hit for hit in chain):
        return True
    return any(abs(hit.onset_ms - onset_ms) <= WINDOW_MS for hit in chain for onset_ms in known.hit.values())


def kind_of(rules: Iterable[str]) -> Kind:
    """Power as soon as one farm says so; a box without power is silent, and a silent box may have power."""
    return "power" if any(RULES[rule] == "power" for rule in rules) else "link"


def incident_id(area: str, hits: Sequence[Hit]) -> str:
    """The same whoever finds it: 32 hex digits."""
    first = min(hits, key=lambda h: (h.onset_ms, h.alert_id))
    return hashlib.sha256(f"incident|{area}|{first.alert_id}".encode()).hexdigest()[:32]


def look(session: Session, viewer: Service, now_ms: int) -> int:
    """Writes down what belongs together now, and what has ended; how much changed. The caller commits."""
    alert_book.in_order(session)
    changed = incidents.end_farms(session, viewer, now_ms)
    hits = incidents.loose_hits(session, viewer, RULES)
    grouped = _grouped(session, viewer, hits)
    for number, joining in grouped.joins.items():
        incidents.join(session, viewer, number, joining, kind_of(hit.rule for hit in joining), now_ms)
    for made in grouped.new:
        number = incident_id(made[0].area, made)
        incidents.begin(session, viewer, number, made[0].area, made[0].onset_ms, now_ms)
        incidents.join(session, viewer, number, made, kind_of(hit.rule for hit in made), now_ms)
    taken = [hit.alert_id for group_ in (*grouped.joins.values(), *grouped.new) for hit in group_]
    if taken:
        outbox.stop(session, viewer, taken, "incident", now_ms)
    return changed + len(taken)


def _grouped(session: Session, viewer: Service, hits: Sequence[Hit]) -> Grouped:
    if not hits:
        return Grouped({}, ())
    return group(hits, [Known(i.id, i.area, hit) for i, hit in incidents.open_incidents(session, viewer)])


def is_to_look(session: Session, viewer: Service) -> bool:
    """Whether there may be something to write; cheap, and needs no writer's session."""
    if incidents.is_any_over(session, viewer):
        return True
    grouped = _grouped(session, viewer, incidents.loose_hits(session, viewer, RULES))
    return bool(grouped.joins or grouped.new)
