"""What an open stream is told, and that its memory is bounded."""

from __future__ import annotations

import json

from api import hub as hubs
from api.hub import Hub, Step
from makiba.reading import Reading, Series

T = 1_700_000_000_000


def reading(site: str, value: float, time_ms: int = T, subject: str = "tank-1") -> Reading:
    return Reading(Series(site, subject, "milk_temperature"), time_ms, value)


def test_a_stream_is_told_of_its_viewers_farms_only() -> None:
    hub = Hub()
    one, all_ = hub.open("s", 1, frozenset({"farm-1"})), hub.open("t", 2, None)
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
    stream = hub.open("s", 1, None)
    hub.readings([reading("farm-1", 4.0, T), reading("farm-1", 6.0, T + 2_000), reading("farm-1", 5.0, T + 1_000)])
    assert [json.loads(r)["value"] for r in stream.take().readings] == [6.0]
    assert stream.take().readings == ()


def test_a_stream_that_does_not_keep_up_is_closed_and_no_other() -> None:
    hub = Hub()
    slow, quick = hub.open("s", 1, None), hub.open("t", 2, None)
    for number in range(hubs.MAX_STEPS + 1):
        hub.steps([Step(number + 1, "farm-1", b"{}")])
        quick.take()
    assert slow.closed_because
    assert len(slow.take().steps) == hubs.MAX_STEPS
    assert quick.closed_because is None


def test_one_person_holds_a_bounded_number_of_streams() -> None:
    hub = Hub()
    streams = [hub.open("s", 1, None) for _ in range(hubs.MAX_STREAMS_PER_PERSON + 2)]
    other = hub.open("t", 2, None)
    assert [s.closed_because is not None for s in streams] == [True, True] + [False] * hubs.MAX_STREAMS_PER_PERSON
    assert other.closed_because is None


def test_a_session_that_ended_takes_its_streams_along_and_a_lost_role_its_farm() -> None:
    hub = Hub()
    ended, kept = hub.open("gone", 1, None), hub.open("kept", 2, frozenset({"farm-1"}))
    asked = hub.sessions()
    opened_meanwhile = hub.open("new", 3, None)
    hub.allow_only({"kept": frozenset()}, of=asked)
    assert ended.closed_because
    assert kept.closed_because is opened_meanwhile.closed_because is None
    hub.readings([reading("farm-1", 4.0)])
    assert kept.take().readings == ()


def test_everybody_is_told_once_when_the_broker_goes_and_when_it_is_back() -> None:
    hub = Hub()
    stream = hub.open("s", 1, None)
    told = []
    for there in (True, False, False, True):
        hub.set_broker(there)
        told.append(stream.take().broker)
    assert told == [None, False, None, True]
    hub.set_broker(False)
    assert hub.open("t", 1, None).take().broker is False


def test_nothing_opens_once_the_service_stops() -> None:
    hub = Hub()
    before = hub.open("s", 1, None)
    hub.close()
    assert before.closed_because
    assert hub.open("t", 1, None).closed_because
