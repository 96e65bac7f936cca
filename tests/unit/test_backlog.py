"""When a gateway catches up, whose turn it is, and packs of the feed: tables, no processes."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from analytics.backlog import Backlogs, Outage
from analytics.pacing import Paced
from analytics.packs import Packs
from makiba.link import Message, readings_in
from makiba.reading import Reading, Series
from makiba.senml import CONTENT_TYPE_JSON, encode_json

MIN, HOUR = 60_000, 3_600_000
NOW = 1_700_000_000_000
TANK, AIR = Series("farm", "tank-1", "milk_temperature"), Series("farm", "air-1", "air_temperature")


def arrive(backlogs: Backlogs, series: Series, before: int, time: int, now: int) -> frozenset[str]:
    backlogs.hear("gw-1", now)
    backlogs.note("gw-1", series, before, time, now)
    return backlogs.look(now)


def test_a_gateway_that_was_away_catches_up_until_its_series_are_near_the_clock() -> None:
    backlogs = Backlogs()
    before = NOW - 48 * HOUR
    for number, time in enumerate(range(NOW - 48 * HOUR + MIN, NOW - 6 * MIN, HOUR)):
        assert arrive(backlogs, TANK, before, time, NOW + number) == {"gw-1"}
        assert backlogs.finished() is None
        before = time
    arrive(backlogs, AIR, NOW - 47 * HOUR, NOW - 40 * HOUR, NOW + 100)
    assert arrive(backlogs, TANK, before, NOW - MIN // 2, NOW + 200) == {"gw-1"}
    assert arrive(backlogs, AIR, NOW - 40 * HOUR, NOW, NOW + 300) == frozenset()
    assert backlogs.finished() == Outage(NOW - 48 * HOUR, NOW)


def test_silence_of_a_gateway_that_kept_nothing_is_no_backlog() -> None:
    backlogs = Backlogs()
    assert arrive(backlogs, TANK, NOW - 3 * HOUR, NOW - 1000, NOW) == frozenset()
    assert backlogs.finished() is None


def test_a_series_that_is_new_has_no_backlog() -> None:
    backlogs = Backlogs()
    assert arrive(backlogs, TANK, 0, NOW - HOUR, NOW) == frozenset()


def test_a_gateway_whose_clock_is_wrong_is_judged_as_it_is() -> None:
    backlogs = Backlogs()
    behind = [
        bool(arrive(backlogs, TANK, now - 11 * MIN, now - 10 * MIN, now)) for now in range(NOW, NOW + 10 * MIN, MIN)
    ]
    assert behind == [True] + [False] * 9


def test_one_that_stops_in_the_middle_holds_nothing_back_for_ever() -> None:
    backlogs = Backlogs()
    assert arrive(backlogs, TANK, NOW - 48 * HOUR, NOW - 30 * HOUR, NOW) == {"gw-1"}
    assert backlogs.look(NOW + 20_000) == {"gw-1"}
    assert backlogs.look(NOW + 31_000) == frozenset()
    assert backlogs.finished() == Outage(NOW - 48 * HOUR, NOW - 30 * HOUR)


def test_a_restart_goes_on_with_the_same_outage() -> None:
    backlogs = Backlogs()
    arrive(backlogs, TANK, NOW - 48 * HOUR, NOW - 30 * HOUR, NOW)
    again = Backlogs()
    again.recall(backlogs.memory(), NOW + 5000)
    assert again.look(NOW + 5000) == {"gw-1"}
    arrive(again, TANK, NOW - 30 * HOUR, NOW - 20 * HOUR, NOW + 6000)
    arrive(again, TANK, NOW - 20 * HOUR, NOW, NOW + 7000)
    assert again.finished() == Outage(NOW - 48 * HOUR, NOW)


# ------------------------------------------------------------------------------------------------------ turns


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_has_its_turn_and_all_together_keep_their_share() -> None:
    clock = Clock()
    paced = Paced(10, 0.05, clock)
    names = [f"farm-{n:03}" for n in range(200)]
    paced.keep(names)
    turns: list[tuple[float, str]] = []
    busy = 0.0
    for _ in range(3000):
        clock.now += 0.2
        for name in paced.turns():
            turns.append((clock.now, name))
            clock.now += 0.01
            busy += 0.01
    counts = [sum(1 for _, name in turns if name == one) for one in names]
    assert max(counts) - min(counts) <= 1  # nobody is forgotten
    later = [t for t, _ in turns if t > 100]
    assert len(later) * 0.01 <= 0.06 * (clock.now - 100)


def test_few_come_as_often_as_they_should_and_who_is_in_a_hurry_comes_first() -> None:
    clock = Clock()
    paced = Paced(10, 0.05, clock)
    paced.keep(["a", "b"])
    assert list(paced.turns()) == ["a", "b"]
    clock.now = 9.0
    assert list(paced.turns()) == []
    paced.hurry("b")
    assert list(paced.turns()) == ["b"]
    clock.now = 10.5
    assert list(paced.turns()) == ["a"]
    paced.every_s = 1.0
    assert list(paced.turns()) == ["b"]
    paced.keep(["a"])
    clock.now = 30.0
    assert list(paced.turns()) == ["a"]


# ------------------------------------------------------------------------------------------------------ packs

SERIES = [
    TANK, AIR, Series("farm", "tank-1", "state"), Series("other", "gw-1", "state"), Series("farm", "pit", "ammonia"),
]  # fmt: skip
READINGS = st.lists(
    st.tuples(st.sampled_from(SERIES), st.integers(0, 10**8), st.floats(-50, 50), st.sampled_from(["ok", "停止"])),
    min_size=1,
    max_size=30,
)


@given(READINGS)
def test_a_plain_pack_is_read_as_in_the_general_way(rows: list[tuple[Series, int, float, str]]) -> None:
    readings = [
        Reading(series, NOW + ms, text if series.quantity == "state" else number) for series, ms, number, text in rows
    ]
    message = Message("makiba-stored/1", encode_json(readings), CONTENT_TYPE_JSON, None)
    packs = Packs()
    for _ in range(2):  # names that are new, and names that are known
        assert packs.readings_in(message) == readings_in(message)


ODD = [
    b'[{"n":"farm/tank-1/milk_temperature","u":"Cel","v":4,"t":1700000000}]',
    b'[{"bn":"farm/","bt":1700000000,"bu":"Cel","n":"tank-1/milk_temperature","v":4.5}]',
    b'[{"bn":"farm/","bt":1700000000,"n":"tank-1/milk_temperature","u":"K","v":4.5},{"n":"tank-1/state","vs":"ok"}]',
    b'[{"bn":"farm/","bt":1700000000,"n":"tank-1/milk_temperature","u":"Cel","v":true}]',
    b'[{"bn":"farm/","bt":1700000000,"n":"tank-1/no_such_thing","v":1},{"n":"tank-1/state","vs":"ok"}]',
    b'[{"bn":"farm/","bt":1700000000,"n":"tank-1/state","vs":"ok","v":1}]',
    b'[{"bn":"farm/","bt":1700000000,"bv":1,"n":"tank-1/milk_temperature","u":"Cel","v":4.5}]',
    b'[{"bn":"farm/","bt":1700000000.0005,"n":"tank-1/state","vs":"ok"}]',
]


def test_an_odd_pack_is_left_to_the_general_way() -> None:
    for data, content_type in itertools.product(ODD, [CONTENT_TYPE_JSON]):
        message = Message("makiba-stored/1", data, content_type, None)
        try:
            expected = readings_in(message)
        except ValueError as error:
            expected, refused = [], type(error)
            try:
                Packs().readings_in(message)
            except refused:
                continue
        assert Packs().readings_in(message) == expected, data
