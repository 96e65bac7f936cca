"""The rota in every timezone, against a slow model that asks the wall clock minute by minute."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.registry.rota_times import (
    TIERS,
    WEEK_MINUTES,
    Kind,
    Line,
    Rota,
    Who,
    gaps,
    moment_ms,
    on_call,
    overlaps,
    turns,
    without,
)
from tests.often import often

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
ZONES = st.sampled_from(
    ["Asia/Tokyo", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kathmandu",
     "Pacific/Apia", "Africa/Casablanca", "UTC"]
).map(ZoneInfo)  # fmt: skip
# Around the changes of clocks in 2026, and the day that Samoa left out.
STARTS = st.one_of(
    st.sampled_from(
        ["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-05", "2026-10-04", "2011-12-30"]
    ),
    st.dates(date(2026, 1, 1), date(2027, 12, 31)).map(str),
).map(lambda day: int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1000)
KINDS: list[Kind] = ["dated", "weekly", "absence"]
PEOPLE: st.SearchStrategy[Who] = st.sampled_from(
    [("person", "1"), ("person", "2"), ("contact", "a"), ("contact", "b")]
)


def spans(start: int) -> st.SearchStrategy[tuple[int, int]]:
    hours = st.integers(-200, 200)
    return st.tuples(hours, st.integers(1, 120)).map(
        lambda drawn: (start + drawn[0] * HOUR_MS, start + (drawn[0] + drawn[1]) * HOUR_MS)
    )


@st.composite
def rotas(draw: st.DrawFn) -> tuple[Rota, int]:
    start = draw(STARTS)
    lines = []
    for number in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(KINDS))
        from_ms, to_ms = draw(spans(start))
        day = datetime.fromtimestamp(start / 1000, UTC).date()
        lines.append(
            Line(
                f"line-{number}", kind, draw(st.one_of(st.none(), PEOPLE)), draw(st.sampled_from(TIERS)),
                draw(st.integers(0, 2)), from_ms, to_ms,
                draw(st.frozensets(st.integers(0, 6))), draw(st.integers(0, 1439)),
                draw(st.integers(1, WEEK_MINUTES)),
                draw(st.one_of(st.none(), st.just(day - timedelta(days=3)))),
                draw(st.one_of(st.none(), st.just(day + timedelta(days=3)))),
                frozenset(day + timedelta(days=n) for n in draw(st.sets(st.integers(-3, 3), max_size=2))),
            )
        )  # fmt: skip
    return Rota(tuple(lines), draw(ZONES)), start


@given(rotas(), st.integers(-72, 72))
@settings(max_examples=often(150), deadline=None)
def test_who_is_on_call_is_who_has_a_turn_then_in_the_order_of_the_tiers(drawn: tuple[Rota, int], hours: int) -> None:
    rota, start = drawn
    at = start + hours * HOUR_MS
    found = on_call(rota, at)
    having = {t.who for t in turns(rota, start - 10 * DAY_MS, start + 10 * DAY_MS) if t.from_ms <= at < t.to_ms}
    assert {turn.who for turn in found} == having
    assert len({turn.who for turn in found}) == len(found)
    ranks = [(TIERS.index(t.tier), t.position) for t in found]
    assert ranks == sorted(ranks)
    away = [x for x in rota.lines if x.kind == "absence" and x.from_ms <= at < x.to_ms]
    assert not {x.who for x in away} & {turn.who for turn in found}


@given(rotas())
@settings(max_examples=often(150), deadline=None)
def test_a_gap_is_where_nobody_is_on_call_and_nowhere_else(drawn: tuple[Rota, int]) -> None:
    rota, start = drawn
    end = start + 5 * DAY_MS
    holes = gaps(rota, start, end)
    assert all(a < b for a, b in holes)
    assert all(b < c for (_, b), (c, _) in itertools.pairwise(holes))
    edges = {start, end - 1, *(m + d for hole in holes for m in hole for d in (-1, 0, 1)),
             *range(start, end, 7 * HOUR_MS)}  # fmt: skip
    for at in edges:
        if start <= at < end:
            assert (not on_call(rota, at)) == any(a <= at < b for a, b in holes), at


@given(rotas())
@settings(max_examples=often(100), deadline=None)
def test_an_overlap_names_all_who_share_a_place_in_the_order(drawn: tuple[Rota, int]) -> None:
    rota, start = drawn
    end = start + 5 * DAY_MS
    found = overlaps(rota, start, end)
    every = turns(rota, start, end)
    for at in {*range(start, end, 5 * HOUR_MS), *(o.from_ms for o in found), *(o.to_ms - 1 for o in found)}:
        told = {(o.tier, o.who) for o in found if o.from_ms <= at < o.to_ms}
        real = set()
        for tier in TIERS:
            for position in range(3):
                mine = {
                    t.who for t in every if (t.tier, t.position) == (tier, position) and t.from_ms <= at < t.to_ms
                }
                if len(mine) > 1:
                    real.add((tier, tuple(sorted(mine))))
        assert told == real, at


@given(ZONES, STARTS, st.lists(st.integers(0, WEEK_MINUTES - 1), min_size=1, max_size=6, unique=True))
@settings(max_examples=often(150), deadline=None)
def test_lines_that_divide_the_week_leave_no_gap_and_no_overlap_whatever_the_clocks_do(
    zone: ZoneInfo, start: int, cuts: list[int]
) -> None:
    cuts = sorted(cuts)
    ends = [*cuts[1:], cuts[0] + WEEK_MINUTES]
    rota = Rota(
        tuple(
            Line(f"l{i}", "weekly", ("person", str(i)), weekdays=frozenset({a // 1440}), start_minute=a % 1440,
                 minutes=b - a)
            for i, (a, b) in enumerate(zip(cuts, ends, strict=True))
        ),
        zone,
    )  # fmt: skip
    assert gaps(rota, start - 8 * DAY_MS, start + 8 * DAY_MS) == []
    assert overlaps(rota, start - 8 * DAY_MS, start + 8 * DAY_MS) == []


@given(ZONES, STARTS, st.integers(-2000, 2000), st.integers(0, 3000))
@settings(max_examples=often(300), deadline=None)
def test_the_wall_never_runs_backwards_and_shows_what_was_asked_where_it_can(
    zone: ZoneInfo, start: int, minute: int, later: int
) -> None:
    day = datetime.fromtimestamp(start / 1000, UTC).date()
    at = moment_ms(day, minute, zone)
    assert at <= moment_ms(day, minute + later, zone)
    wall = datetime(day.year, day.month, day.day) + timedelta(minutes=minute)  # noqa: DTZ001
    shown = datetime.fromtimestamp(at / 1000, UTC).astimezone(zone).replace(tzinfo=None)
    just_before = datetime.fromtimestamp((at - 1000) / 1000, UTC).astimezone(zone).replace(tzinfo=None)
    assert shown == wall or just_before < wall < shown


def test_a_night_is_an_hour_longer_when_the_clocks_go_back() -> None:
    night = Line("n", "weekly", ("person", "1"), weekdays=frozenset({5}), start_minute=22 * 60, minutes=8 * 60)
    rota = Rota((night,), ZoneInfo("Europe/Berlin"))
    at = int(datetime(2026, 10, 25, 0, tzinfo=UTC).timestamp()) * 1000
    [turn] = on_call(rota, at)
    assert turn.to_ms - turn.from_ms == 9 * HOUR_MS
    [turn] = on_call(Rota((night,), ZoneInfo("Asia/Tokyo")), at - 7 * HOUR_MS)
    assert turn.to_ms - turn.from_ms == 8 * HOUR_MS


def test_who_stands_in_two_tiers_is_asked_once_in_the_first() -> None:
    lines = (
        Line("c", "dated", ("person", "3"), "coop", 0, 0, 10),
        Line("h", "dated", ("person", "1"), "helper", 0, 0, 10),
        Line("f2", "dated", ("person", "2"), "family", 1, 0, 10),
        Line("f1", "dated", ("person", "1"), "family", 0, 0, 10),
        Line("gone", "dated", None, "owner", 0, 0, 10),
    )
    assert [(t.who[1], t.tier) for t in on_call(Rota(lines), 5)] == [("1", "family"), ("2", "family"), ("3", "coop")]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=5))
def test_what_is_left_without_some_times(taken: list[tuple[int, int]]) -> None:
    left = without((5, 25), taken)
    for at in range(31):
        out = any(a <= at < b for a, b in taken)
        assert any(a <= at < b for a, b in left) == (5 <= at < 25 and not out)


def test_a_time_that_the_clocks_jump_over_is_the_moment_of_the_jump() -> None:
    jump = int(datetime(2026, 3, 29, 1, tzinfo=UTC).timestamp()) * 1000
    zone, day = ZoneInfo("Europe/Berlin"), date(2026, 3, 29)
    assert [moment_ms(day, minute, zone) - jump for minute in (119, 120, 150, 179, 180, 181)] == [
        -MINUTE_MS, 0, 0, 0, 0, MINUTE_MS,
    ]  # fmt: skip
    twice = int(datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()) * 1000
    assert moment_ms(date(2026, 10, 25), 150, zone) == twice  # its first coming


def test_a_short_turn_within_a_long_one_opens_no_gap() -> None:
    lines = (
        Line("long", "dated", ("person", "1"), "owner", 0, 0, 100),
        Line("short", "dated", ("person", "2"), "helper", 0, 10, 20),
    )
    assert gaps(Rota(lines), 0, 120) == [(100, 120)]


def test_a_weekly_line_does_not_begin_on_the_days_it_leaves_out_nor_outside_its_time() -> None:
    day = date(2026, 11, 30)
    every = frozenset(range(7))
    line = Line(
        "w", "weekly", ("person", "1"), weekdays=every, start_minute=600, minutes=60, first_day=day,
        last_day=day + timedelta(days=3), except_days=frozenset({day + timedelta(days=1)}),
    )  # fmt: skip
    zone = ZoneInfo("Asia/Tokyo")
    start = moment_ms(day - timedelta(days=2), 0, zone)
    begun = [turn.from_ms for turn in turns(Rota((line,), zone), start, start + 10 * DAY_MS)]
    assert begun == [moment_ms(day + timedelta(days=n), 600, zone) for n in (0, 2, 3)]
