"""Roll-ups and expiry of every store: `windows` answers as the readings would, whatever was done in between."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.store import ReadingsRejected, Store, Window
from collectors.store.levels import DAY_MS, DAY_OFFSET_MS, MINUTE_MS, QUARTER_MS
from collectors.store.sqlite import SqliteStore
from makiba.reading import Columns, Series, Value
from tests.service.test_store_contract import Reopen, influxd, influxd_on_disk, reopen

__all__ = ["influxd", "influxd_on_disk", "reopen"]  # fixtures


Fresh = Callable[[], Store]

BASE = 1_789_999_200_000 - 9 * 3_600_000 - 21 * DAY_MS
"""An hour's begin."""
SPAN_MS = 24 * DAY_MS

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Farm:
    """A farm of its own, and four weeks of its own, later than all before: nothing there is rolled up yet."""

    site: str
    shift_ms: int

    def series(self, subject: int) -> Series:
        return Series(self.site, f"barn-{subject}", "value")


def new_farm() -> Farm:
    number = next(_numbers)
    return Farm(f"rolled-{number}", number * 28 * DAY_MS)


# ------------------------------------------------------------------------------------------------ what may happen


@dataclass(frozen=True)
class Write:
    rows: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True)
class Burst:
    """Many readings of one series, `step_ms` apart: enough for minutes."""

    subject: int
    at: int
    count: int
    step_ms: int


@dataclass(frozen=True)
class RollUp:
    before: int
    limit: int
    times: int


@dataclass(frozen=True)
class Ask:
    subject: int
    at: int
    length_ms: int
    width_ms: int
    offset_ms: int


Step = Write | Burst | RollUp | Ask

_quarters = st.sampled_from([0, 1, 2, 3, 4, 5, 95, 96, 97, 96 * 6, 96 * 7, 96 * 7 + 1, 96 * 8, 96 * 14, 96 * 20])
_times = st.builds(
    lambda quarter, ms: BASE + quarter * QUARTER_MS + ms,
    _quarters,
    st.sampled_from([0, 1, 59_999, 60_000, 450_000, QUARTER_MS - 1]) | st.integers(0, QUARTER_MS - 1),
)
_values = (
    st.sampled_from([0.0, -0.0, 21.5, 21.55, -7.25, 1e-5, 1.23e-6, 101_325.0, 0.1 + 0.2, 1 / 3, 1e300, 123_456.789])
    | st.decimals(-1000, 1000, places=2).map(float)
    | st.floats(-1e9, 1e9)
)  # fmt: skip
_steps = st.one_of(
    st.builds(Write, st.lists(st.tuples(st.integers(0, 2), _times, _values), min_size=1, max_size=12).map(tuple)),
    st.builds(Burst, st.integers(0, 2), _times, st.integers(40, 130), st.sampled_from([2_000, 10_000, 19_000])),
    st.builds(RollUp, _times, st.sampled_from([1, 2, 100]), st.integers(1, 12)),
    st.builds(
        Ask,
        st.integers(0, 2),
        _times,
        st.sampled_from([1, QUARTER_MS, DAY_MS, 3 * DAY_MS, SPAN_MS]) | st.integers(1, SPAN_MS),
        st.sampled_from([7 * MINUTE_MS, 5 * MINUTE_MS, QUARTER_MS, 4 * QUARTER_MS, DAY_MS, 2 * DAY_MS])
        | st.integers(60_001, DAY_MS),
        st.sampled_from([0, DAY_OFFSET_MS, MINUTE_MS, QUARTER_MS]) | st.integers(-DAY_MS, DAY_MS),
    ),
)  # fmt: skip

Model = dict[int, dict[int, float]]


def fold(rows: dict[int, float], start: int, end: int, width: int, offset: int) -> list[Window]:
    """What `windows` has to answer."""
    groups: dict[int, list[float]] = {}
    for time_ms in sorted(t for t in rows if start <= t < end):
        groups.setdefault((time_ms - offset) // width * width + offset, []).append(rows[time_ms])
    return [
        Window(at, len(inside), min(inside), math.fsum(v / len(inside) for v in inside), max(inside), inside[-1])
        for at, inside in groups.items()
    ]


def assert_same(found: list[Window], expected: list[Window]) -> None:
    """To the bit, but for the mean: it may be off by the rounding of the largest number in it."""
    assert [(w.start_ms, w.count, w.minimum, w.maximum, w.last) for w in found] == [
        (w.start_ms, w.count, w.minimum, w.maximum, w.last) for w in expected
    ]
    for got, want in zip(found, expected, strict=True):
        largest = max(abs(want.minimum), abs(want.maximum))
        assert math.isclose(got.mean, want.mean, rel_tol=1e-12, abs_tol=largest * 1e-12)


def rows_of(step: Write | Burst) -> tuple[tuple[int, int, float], ...]:
    if isinstance(step, Write):
        return step.rows
    return tuple((step.subject, step.at + i * step.step_ms, i / 8) for i in range(step.count))


def take(store: Store, farm: Farm, model: Model, step: Step) -> None:
    """Does `step` to the store and to the model."""
    if isinstance(step, Write | Burst):
        rows = rows_of(step)
        times = [time_ms + farm.shift_ms for _, time_ms, _ in rows]
        values: list[Value] = [value for _, _, value in rows]
        store.write_columns(Columns([farm.series(s) for s, _, _ in rows], times, values))
        for (subject, _, value), time_ms in zip(rows, times, strict=True):
            model.setdefault(subject, {})[time_ms] = value
    elif isinstance(step, RollUp):
        for _ in range(step.times):
            if store.roll_up(step.before + farm.shift_ms, step.limit) == 0:
                break
    else:
        at = step.at + farm.shift_ms
        asked = (at, at + step.length_ms, step.width_ms, step.offset_ms)
        assert_same(store.windows(farm.series(step.subject), *asked), fold(model.get(step.subject, {}), *asked))


def check_all(store: Store, farm: Farm, model: Model) -> None:
    """Windows of each level, the readings themselves, and the newest of them."""
    newest = {farm.series(subject): max(rows) for subject, rows in model.items()}
    assert {series: point.time_ms for series, point in store.latest(farm.site).items()} == newest
    for subject, rows in model.items():
        series = farm.series(subject)
        assert [(p.time_ms, p.value) for p in store.range(series, 0, 1 << 52)] == sorted(rows.items())
        assert [math.copysign(1, float(p.value)) for p in store.range(series, 0, 1 << 52)] == [
            math.copysign(1, value) for _, value in sorted(rows.items())
        ]
        for width, offset in ((DAY_MS, DAY_OFFSET_MS), (QUARTER_MS, 0), (5 * MINUTE_MS, 0), (DAY_MS, 1)):
            asked = (BASE - DAY_MS + farm.shift_ms, BASE + SPAN_MS + farm.shift_ms, width, offset)
            assert_same(store.windows(series, *asked), fold(rows, *asked))


@pytest.fixture
def fresh(reopen: Reopen) -> Iterator[Fresh]:
    """A store in which nothing newer than a new farm's weeks was written: an empty file, or the same InfluxDB."""
    first = reopen()
    opened: list[Store] = []

    def open_fresh() -> Store:
        if not isinstance(first, SqliteStore):
            return first
        while opened:
            opened.pop().close()
        opened.append(SqliteStore(path / f"{next(_numbers)}.db"))
        return opened[0]

    # Many small commits: what is tested is not the disk, so that memory will do.
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder)
        yield open_fresh
        for store in opened:
            store.close()


def examples(reopen: Reopen, most: int) -> int:
    """A server takes its time."""
    return most if isinstance(reopen(), SqliteStore) else most // 12


def test_windows_are_those_of_the_readings_whatever_was_rolled_up_before(fresh: Fresh, reopen: Reopen) -> None:
    @settings(max_examples=examples(reopen, 120), deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(_steps, max_size=14))
    def any_interleaving(steps: list[Step]) -> None:
        store = fresh()
        farm = new_farm()
        model: Model = {}
        for step in steps:
            take(store, farm, model, step)
        check_all(store, farm, model)
        while store.roll_up(BASE + SPAN_MS + farm.shift_ms, 500):
            pass
        check_all(store, farm, model)
        store.delete_site(farm.site)
        assert store.series(farm.site) == []

    any_interleaving()


def test_what_is_left_after_raw_and_minutes_expired_is_as_good_as_it_was(fresh: Fresh, reopen: Reopen) -> None:
    """Questions that fit quarters are answered as if nothing were gone; what is older is rejected."""

    @settings(max_examples=examples(reopen, 60), deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(_steps, min_size=1, max_size=8), st.lists(_steps, max_size=6), _times, st.booleans())
    def any_interleaving(steps: list[Step], more: list[Step], before: int, minutes: bool) -> None:
        store = fresh()
        farm = new_farm()
        model: Model = {}
        for step in steps:
            take(store, farm, model, step)
        before += farm.shift_ms
        horizon = store.expire("raw", before)
        assert horizon <= before
        if minutes:
            assert store.expire("minute", before) <= horizon
        for step in more:
            if isinstance(step, Ask):
                continue
            rows = rows_of(step) if isinstance(step, Write | Burst) else ()
            late = [i for i, (_, time_ms, _) in enumerate(rows) if time_ms + farm.shift_ms < horizon]
            if not late:
                take(store, farm, model, step)
                continue
            with pytest.raises(ReadingsRejected) as caught:
                take(store, farm, {}, step)
            assert [index for index, _ in caught.value.rejected] == late
            for i, (subject, time_ms, value) in enumerate(rows):
                if i not in late:
                    model.setdefault(subject, {})[time_ms + farm.shift_ms] = value
        assert store.expire("raw", before) == horizon
        for subject, readings in model.items():
            series = farm.series(subject)
            left = sorted((t, v) for t, v in readings.items() if t >= horizon)
            assert [(p.time_ms, p.value) for p in store.range(series, 0, 1 << 52)] == left
            for width, offset in ((QUARTER_MS, 0), (DAY_MS, DAY_OFFSET_MS), (DAY_MS, QUARTER_MS)):
                asked = (BASE - 2 * DAY_MS + farm.shift_ms, BASE + SPAN_MS + farm.shift_ms, width, offset)
                assert_same(store.windows(series, *asked), fold(readings, *asked))

    any_interleaving()
