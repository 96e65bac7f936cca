"""What an open stream is told, and that its memory is bounded."""

from __future__ import annotations

import json
from dataclasses import dataclass

from api import hub as hubs
from api.ears import Ear
from api.hub import Hub, Step
from collectors.registry.sight import FarmSight, Sight, Stood
from makiba.reading import LATEST_MS, Reading, Series

T = 1_700_000_000_000
MINE = Sight(frozenset({"farm-1"}))
BOTH = Sight(frozenset({"farm-1", "farm-2"}))


@dataclass(frozen=True)
class Rights:
    sight: Sight
    version: int
    until_ms: int = LATEST_MS


def shown(*classes: str, **stood: list[tuple[int, int, str]]) -> Sight:
    """Somebody whom farm-1 shows `classes`; its subjects stood somewhere from, to."""
    where = {s.replace("_", "-"): tuple(Stood(*one) for one in places) for s, places in stood.items()}
    return Sight(frozenset(), {"farm-1": FarmSight(frozenset(classes), False, where)})  # type: ignore[arg-type]


def reading(site: str, value: float, time_ms: int = T, subject: str = "tank-1") -> Reading:
    return Reading(Series(site, subject, "milk_temperature"), time_ms, value)


def test_a_stream_is_told_of_its_viewers_farms_only() -> None:
    hub = Hub()
    one, all_ = hub.open(Ear("s"), 1, MINE), hub.open(Ear("t"), 2, BOTH)
    hub.readings([reading("farm-1", 4.0), reading("farm-2", 5.0)])
    hub.steps([Step(7, "farm-2", b"{}")])
    told = one.take()
    assert [json.loads(r) for r in told.readings] == [
        {"site": "farm-1", "subject": "tank-1", "quantity": "milk_temperature", "time_ms": T, "value": 4.0}
    ]
    assert told.steps == ()
    assert len(all_.take().readings) == 2
    assert hub.last_step == 7


def test_of_a_series_only_the_newest_waits_whatever_comes_late() -> None:
    hub = Hub()
    stream = hub.open(Ear("s"), 1, MINE)
    hub.readings([reading("farm-1", 4.0, T), reading("farm-1", 6.0, T + 2_000), reading("farm-1", 5.0, T + 1_000)])
    assert [json.loads(r)["value"] for r in stream.take().readings] == [6.0]
    assert stream.take().readings == ()


def test_a_stream_that_does_not_keep_up_is_closed_and_no_other() -> None:
    hub = Hub()
    slow, quick = hub.open(Ear("s"), 1, MINE), hub.open(Ear("t"), 2, MINE)
    for number in range(hubs.MAX_STEPS + 1):
        hub.steps([Step(number + 1, "farm-1", b"{}")])
        quick.take()
    assert slow.closed_because
    assert len(slow.take().steps) == hubs.MAX_STEPS
    assert quick.closed_because is None


def test_one_person_holds_a_bounded_number_of_streams() -> None:
    hub = Hub()
    streams = [hub.open(Ear("s"), 1, MINE) for _ in range(hubs.MAX_STREAMS_PER_PERSON + 2)]
    other = hub.open(Ear("t"), 2, MINE)
    assert [s.closed_because is not None for s in streams] == [True, True] + [False] * hubs.MAX_STREAMS_PER_PERSON
    assert other.closed_because is None


def test_a_session_that_ended_takes_its_streams_along_and_a_lost_role_its_farm() -> None:
    hub = Hub()
    ended, kept, current = (hub.open(Ear(name), n, MINE, 1) for n, name in enumerate(("gone", "kept", "current")))
    hub.allow({Ear("current"): Rights(MINE, 2)}, of=frozenset({Ear("current")}))
    asked = hub.stale(2, T)
    assert asked == {Ear("gone"), Ear("kept")}
    opened_meanwhile = hub.open(Ear("new"), 3, MINE, 2)
    hub.readings([reading("farm-1", 4.0)])
    hub.steps([Step(7, "farm-1", b"{}")])
    hub.allow({Ear("kept"): Rights(Sight(frozenset()), 2)}, of=asked)
    assert ended.closed_because
    assert kept.closed_because is opened_meanwhile.closed_because is None
    # What waited and may not be told any more goes with the right to see it.
    assert (kept.take(), len(current.take().steps)) == (hubs.News(rights=True), 1)
    hub.readings([reading("farm-1", 5.0)])
    assert kept.take().readings == ()


def test_an_older_look_at_the_rights_never_undoes_a_newer_one() -> None:
    hub = Hub()
    stream = hub.open(Ear("s"), 1, MINE, 1)
    hub.allow({Ear("s"): Rights(Sight(frozenset()), 3)}, of=frozenset({Ear("s")}))
    hub.allow({Ear("s"): Rights(MINE, 2)}, of=frozenset({Ear("s")}))
    hub.readings([reading("farm-1", 5.0)])
    assert stream.take().readings == ()


def test_a_consent_that_ends_by_itself_is_looked_at_when_it_does() -> None:
    hub = Hub()
    hub.open(Ear("s"), 1, shown("tank"), 1, T + 500)
    assert [hub.stale(1, at_ms) for at_ms in (T + 499, T + 500)] == [frozenset(), {Ear("s")}]


def test_a_guest_is_told_what_is_of_a_class_shown_to_them_when_it_was_measured() -> None:
    hub = Hub()
    moved = [(T, T + 100, "barn"), (T + 100, LATEST_MS, "tank-room")]
    guest = hub.open(Ear("s"), 1, shown("tank", s_1=moved))

    def told(subject: str, quantity: str, time_ms: int) -> bool:
        hub.readings([Reading(Series("farm-1", subject, quantity), time_ms, 1.0)])
        return bool(guest.take().readings)

    assert told("s-1", "air_temperature", T + 100)
    assert not told("s-1", "air_temperature", T + 99)  # late, and from the barn
    assert not told("s-1", "ammonia", T - 1)
    assert told("nowhere", "milk_temperature", T)
    assert not told("nowhere", "air_temperature", T)
    assert not told("gw-1", "spool_backlog", T)
    hub.steps([Step(8, "farm-1", b"{}")])
    assert guest.take().steps == ()
    hub.allow({Ear("s"): Rights(shown("alerts"), 2)}, of=frozenset({Ear("s")}))
    hub.steps([Step(9, "farm-1", b"{}"), Step(10, "farm-2", b"{}")])
    assert [s.number for s in guest.take().steps] == [9]


def test_everybody_is_told_once_when_the_broker_goes_and_when_it_is_back() -> None:
    hub = Hub()
    stream = hub.open(Ear("s"), 1, MINE)
    told = []
    for there in (True, False, False, True):
        hub.set_broker(there)
        told.append(stream.take().broker)
    assert told == [None, False, None, True]
    hub.set_broker(False)
    assert hub.open(Ear("t"), 1, MINE).take().broker is False


def test_nothing_opens_once_the_service_stops() -> None:
    hub = Hub()
    before = hub.open(Ear("s"), 1, MINE)
    hub.close()
    assert before.closed_because
    assert hub.open(Ear("t"), 1, MINE).closed_because
