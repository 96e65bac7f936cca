"""Roll-ups on a real InfluxDB: right whatever happens between writers and jobs, and folded where they should be."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Iterator

import pytest

from collectors.store import Store, StoreMisconfigured, StoreUnavailable, Window
from collectors.store.influx import InfluxStore, open_influx
from collectors.store.influx_marks import DAY_MARK, QUARTER_MARK
from collectors.store.influx_windows import WINDOW
from collectors.store.levels import DAY_MS, DAY_OFFSET_MS, MINUTE_MS, QUARTER_MS, day_of
from makiba.reading import Columns, Series
from tests.service.influx_parts import INFLUXD, NO_INFLUXD, TOKEN, Influxd, V2Door

T0 = day_of(1_784_000_000_000)
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    if INFLUXD is None:
        pytest.skip(NO_INFLUXD)
    with Influxd(tmp_path_factory.mktemp("influx")) as server:
        yield server


@pytest.fixture(params=["1", pytest.param("2", marks=pytest.mark.long)])
def store(request: pytest.FixtureRequest, influxd: Influxd) -> Iterator[InfluxStore]:
    """An empty database of its own, over both ways to write."""
    name = f"db{next(_numbers)}"
    first = open_influx(influxd.base(name))
    first.check()
    if request.param == "1":
        yield first
    else:
        with V2Door(influxd.port) as door:
            yield open_influx(door.base(name), token=TOKEN)
    first.close()


def series_of(site: str, name: str = "barn-1") -> Series:
    return Series(site, name, "air_temperature")


def columns_of(series: Series, rows: dict[int, float]) -> Columns:
    return Columns([series] * len(rows), list(rows), list(rows.values()))


def folded(rows: dict[int, float], start_ms: int, end_ms: int, width_ms: int, offset_ms: int = 0) -> list[Window]:
    """What `windows` must answer: `rows` folded one by one."""
    groups: dict[int, list[float]] = {}
    for at in sorted(rows):
        if start_ms <= at < end_ms:
            groups.setdefault(at - (at - offset_ms) % width_ms, []).append(rows[at])
    return [
        Window(at, len(v), min(v), pytest.approx(sum(v) / len(v)), max(v), v[-1])  # type: ignore[arg-type]
        for at, v in groups.items()
    ]


def raw_query(store: InfluxStore, statement: str) -> list[list[object]]:
    return [row for table in store._query(statement) for row in table["values"]]


def finish(store: Store, before_ms: int = T0 + 1000 * DAY_MS) -> int:
    return sum(iter(lambda: store.roll_up(before_ms), 0))


QUESTIONS = [
    (MINUTE_MS, 0), (QUARTER_MS, 0), (3_600_000, 0), (DAY_MS, DAY_OFFSET_MS), (DAY_MS, 0), (7 * MINUTE_MS, 1000),
]  # fmt: skip


def all_answers(store: Store, series: Series, rows: dict[int, float]) -> None:
    for width, offset in QUESTIONS:
        for start, end in ((T0 - DAY_MS, T0 + 4 * DAY_MS), (T0 + 12_345, T0 + 2 * DAY_MS + 777_777)):
            assert store.windows(series, start, end, width, offset) == folded(rows, start, end, width, offset)


def test_windows_are_those_of_the_readings_before_during_and_after_rolling_up(store: InfluxStore) -> None:
    chance = random.Random(7)
    site = "farm-1"
    slow, fast = series_of(site), series_of(site, "quick")
    rows: dict[Series, dict[int, float]] = {slow: {}, fast: {}}
    for round_ in range(6):
        for series, every_ms in ((slow, 60_000), (fast, 4_000)):
            start = T0 + chance.randrange(0, 3 * DAY_MS, every_ms)
            new = {start + i * every_ms: round(chance.uniform(-30, 40), 2) for i in range(chance.randrange(1, 400))}
            rows[series].update(new)
            store.write_columns(columns_of(series, new))
        if round_ % 2:
            store.roll_up(T0 + 2 * DAY_MS, limit=3)  # a part of what there is
        for series in (slow, fast):
            all_answers(store, series, rows[series])
    assert finish(store) > 0
    assert store.inventory().dirty == 0
    for series in (slow, fast):
        all_answers(store, series, rows[series])
    # They are there for others to see, as few as they should be: minutes only where there is more than one reading.
    days = raw_query(store, f'SELECT "count" FROM {WINDOW["day"]} WHERE "subject" = \'barn-1\'')
    assert sum(int(str(count)) for _, count in days) == len(rows[slow])
    assert not raw_query(store, f'SELECT "count" FROM {WINDOW["minute"]} WHERE "subject" = \'barn-1\'')
    assert raw_query(store, f'SELECT "count" FROM {WINDOW["minute"]} WHERE "subject" = \'quick\'')


def test_answers_come_from_the_roll_ups_once_they_are_fresh_and_from_raw_where_late_data_came(
    store: InfluxStore,
) -> None:
    series = series_of("farm-1")
    rows = {T0 + i * 60_000: float(i % 7) for i in range(3 * 1440)}
    store.write_columns(columns_of(series, rows))
    finish(store)
    # Proof that it reads them: change them behind its back.
    change = b"window_day,quantity=air_temperature,site=farm-1,subject=barn-1 count=7i %d000000" % T0
    store._target.write(change)
    assert store.windows(series, T0, T0 + DAY_MS, DAY_MS, DAY_OFFSET_MS)[0].count == 7
    late = {T0 + 30_000: 99.0}
    store.write_columns(columns_of(series, late))
    rows |= late
    assert store.windows(series, T0, T0 + DAY_MS, DAY_MS, DAY_OFFSET_MS) == folded(
        rows, T0, T0 + DAY_MS, DAY_MS, DAY_OFFSET_MS
    )
    assert store.inventory().dirty == 1
    finish(store)
    assert store.inventory().dirty == 0
    all_answers(store, series, rows)


def test_what_changes_while_it_is_folded_stays_dirty(store: InfluxStore) -> None:
    """A write between the job's look at the readings and its word that it is done."""
    series = series_of("farm-1")
    store.write_columns(columns_of(series, {T0: 1.0}))
    query, between = store._rollups._query, list[int]()

    def spying(statement: str) -> list[dict[str, object]]:
        answer = query(statement)
        if statement.startswith('SELECT "value"') and not between:
            between.append(1)
            store.write_columns(columns_of(series, {T0 + 1: 5.0}))
        return answer

    store._rollups._query = spying
    assert store.roll_up(T0 + DAY_MS) == 1
    store._rollups._query = query
    assert between
    assert store.inventory().dirty == 1
    both = {T0: 1.0, T0 + 1: 5.0}
    all_answers(store, series, both)
    finish(store)
    all_answers(store, series, both)


def test_a_job_that_comes_between_the_mark_and_its_reading_leaves_the_window_dirty(store: InfluxStore) -> None:
    """A server shows the lines of a request one after the other: here the marks, then a job comes, then the rest."""
    series = series_of("farm-1")
    store.write_columns(columns_of(series, {T0: 1.0}))
    finish(store)
    send = store._target.write

    def torn(lines: bytes) -> None:
        store._target.write = send  # type: ignore[method-assign]
        every = lines.split(b"\n")
        send(b"\n".join(line for line in every if b"_mark," in line))
        assert store.roll_up(T0 + DAY_MS) == 1
        send(b"\n".join(line for line in every if b"_mark," not in line))

    store._target.write = torn  # type: ignore[method-assign]
    store.write_columns(columns_of(series, {T0 + 60_000: 7.0}))
    both = {T0: 1.0, T0 + 60_000: 7.0}
    all_answers(store, series, both)
    finish(store)
    all_answers(store, series, both)


def test_a_job_that_died_half_way_leaves_nothing_stale(store: InfluxStore) -> None:
    series = series_of("farm-1")
    rows = {T0 + i * 300_000: float(i) for i in range(600)}
    store.write_columns(columns_of(series, rows))
    send, sent = store._target.write, list[bytes]()

    for dies_at in range(8):
        sent.clear()

        def dying(lines: bytes, dies_at: int = dies_at) -> None:
            sent.append(lines)
            if len(sent) > dies_at:
                raise StoreUnavailable("died")
            send(lines)

        store._target.write = dying  # type: ignore[method-assign]
        with contextlib.suppress(StoreUnavailable):
            store.roll_up(T0 + 9 * DAY_MS, limit=40)
        store._target.write = send  # type: ignore[method-assign]
        all_answers(store, series, rows)
    finish(store)
    all_answers(store, series, rows)


def test_writers_and_several_jobs_at_once_end_with_nothing_stale(store: InfluxStore) -> None:
    stop = threading.Event()
    problems: list[BaseException] = []
    series = [series_of(f"farm-{n}") for n in range(3)]
    rows: dict[Series, dict[int, float]] = {one: {} for one in series}

    def write(one: Series) -> None:
        chance = random.Random(str(one))
        for _ in range(25):
            at = T0 + chance.randrange(0, 2 * DAY_MS, 60_000)
            new = {at + i * 60_000: chance.random() for i in range(30)}
            rows[one].update(new)
            store.write_columns(columns_of(one, new))

    def fold() -> None:
        try:
            while not stop.is_set():
                store.roll_up(T0 + 5 * DAY_MS, limit=20)
        except BaseException as error:
            problems.append(error)

    jobs = [threading.Thread(target=fold) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(one,)) for one in series]
    for thread in (*jobs, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    for one in series:
        all_answers(store, one, rows[one])
    stop.set()
    for thread in jobs:
        thread.join()
    assert problems == []
    finish(store)
    assert store.inventory().dirty == 0
    for one in series:
        all_answers(store, one, rows[one])
    assert raw_query(store, f'SELECT * FROM {DAY_MARK} WHERE "changed" != "folded"') == []


def test_live_data_is_folded_when_its_window_has_ended_without_a_look_at_old_ones(store: InfluxStore) -> None:
    series = series_of("farm-1")
    now_ms = time.time_ns() // 1_000_000
    start = now_ms - now_ms % QUARTER_MS - 2 * QUARTER_MS
    rows = {start + i * 60_000: float(i) for i in range(30)}
    store.write_columns(columns_of(series, rows))
    assert raw_query(store, "SELECT * FROM late_mark") == []
    assert finish(store, now_ms) == 2
    assert len(raw_query(store, f"SELECT * FROM {WINDOW['quarter']}")) == 2
    assert store.windows(series, start, now_ms, QUARTER_MS) == folded(rows, start, now_ms, QUARTER_MS)
    assert finish(store, now_ms) == 0


def test_readings_from_before_there_were_marks_are_found_and_folded(store: InfluxStore) -> None:
    series = series_of("farm-1")
    rows = {T0 + i * 60_000: float(i) for i in range(2000)}
    lines = [f"air,quantity=air_temperature,site=farm-1,subject=barn-1 value={v} {t}000000" for t, v in rows.items()]
    store._target.write("\n".join(lines).encode())
    all_answers(store, series, rows)  # no roll-ups, no marks: raw
    assert finish(store) > 100
    assert len(raw_query(store, f"SELECT * FROM {QUARTER_MARK}")) == 134
    all_answers(store, series, rows)


def test_numbers_that_nobody_measures_do_not_stop_the_job(store: InfluxStore) -> None:
    series = series_of("farm-1")
    store.write_columns(columns_of(series, {T0: 1.7e308, T0 + 1: 1.7e308, T0 + 2: -0.0}))
    assert finish(store) == 2
    (window,) = store.windows(series, T0, T0 + QUARTER_MS, QUARTER_MS)
    assert (window.count, window.minimum, window.maximum) == (3, 0.0, 1.7e308)
    assert str(store.range(series, T0 + 2, T0 + 3)[0].value) == str(window.last) == "-0.0"


def test_expired_raw_leaves_its_roll_ups_and_refuses_what_is_older(store: InfluxStore) -> None:
    slow, fast, state = series_of("farm-1"), series_of("farm-1", "quick"), Series("farm-1", "barn-1", "state")
    rows = {T0 + i * 60_000: float(i) for i in range(3 * 1440)}
    quick = {T0 + i * 10_000: float(i) for i in range(990)}
    store.write_columns(columns_of(slow, rows))
    store.write_columns(columns_of(fast, quick))
    store.write_columns(Columns([state, state], [T0, T0 + 2 * DAY_MS], ["ok", "timeout"]))
    before = {width: store.windows(slow, T0, T0 + 3 * DAY_MS, width, offset) for width, offset in QUESTIONS[1:4]}
    horizon = T0 + DAY_MS
    assert store.expire("raw", horizon + 1000) == horizon  # folds first; whole days
    assert store.range(slow, T0, horizon) == []
    assert len(store.range(slow, T0, T0 + 9 * DAY_MS)) == 2 * 1440
    for width, offset in QUESTIONS[1:4]:
        assert store.windows(slow, T0, T0 + 3 * DAY_MS, width, offset) == before[width]
    # Minutes where they are kept; where they are not, the quarter hours stand for them.
    assert store.windows(fast, T0, horizon, MINUTE_MS) == folded(quick, T0, horizon, MINUTE_MS)
    assert store.windows(slow, T0, horizon, MINUTE_MS) == before[QUARTER_MS][:96]
    assert store.expire("raw", T0) == horizon  # never goes back
    assert len(store.range(state, 0, T0 + 9 * DAY_MS)) == 2  # texts are a level of their own
    assert store.expire("text", horizon) == horizon
    assert len(store.range(state, 0, T0 + 9 * DAY_MS)) == 1
    with pytest.raises(Exception, match="older than the store keeps") as caught:
        store.write_columns(Columns([slow, slow], [horizon - 1, horizon + 1], [1.0, 2.0]))
    assert [index for index, _ in caught.value.rejected] == [0]  # type: ignore[attr-defined]
    store.expire("quarter", horizon)
    assert store.horizons() == {"raw": horizon, "text": horizon}  # never before the minutes
    store.expire("minute", horizon + 9 * DAY_MS)
    store.expire("quarter", horizon)
    assert store.windows(slow, T0, T0 + DAY_MS, DAY_MS, DAY_OFFSET_MS) == before[DAY_MS][:1]
    assert store.windows(slow, T0, horizon, QUARTER_MS) == before[DAY_MS][:1]
    assert store.inventory().kept_from_ms == dict.fromkeys(("raw", "text", "minute", "quarter"), horizon)


def test_roll_ups_are_carried_to_where_readings_have_expired(store: InfluxStore) -> None:
    series, other = series_of("farm-1"), series_of("farm-2")
    store.write_columns(columns_of(series, {T0 + i * 60_000: float(i) for i in range(3000)}))
    finish(store)
    quarters = store.rollups(series, "quarter", T0, T0 + 3 * DAY_MS)
    assert len(quarters) == 200
    assert store.rollups(series, "quarter", T0, T0 + 3 * DAY_MS, limit=3) == quarters[:3]
    with pytest.raises(StoreMisconfigured, match="horizon"):
        store.carry(other, "quarter", quarters)
    store.expire("raw", T0 + 3 * DAY_MS)
    for _ in range(2):
        store.carry(other, "quarter", quarters)
        store.carry(other, "day", store.rollups(series, "day", T0, T0 + 3 * DAY_MS))
    for width, offset in ((QUARTER_MS, 0), (DAY_MS, DAY_OFFSET_MS), (DAY_MS, 0)):
        asked = (T0, T0 + 4 * DAY_MS, width, offset)
        assert store.windows(other, *asked) == store.windows(series, *asked) != []
    assert store.sites() == ["farm-1", "farm-2"]
    assert store.series("farm-2") == [other]
    assert store.horizons() == {"raw": T0 + 3 * DAY_MS}


def test_a_site_that_leaves_takes_its_roll_ups_and_marks_along(store: InfluxStore) -> None:
    gone, stays = series_of("farm-1"), series_of("farm-2")
    rows = {T0 + i * 60_000: float(i) for i in range(2000)}
    for series in (gone, stays):
        store.write_columns(columns_of(series, rows))
    finish(store)
    store.delete_site("farm-1")
    assert store.series("farm-1") == []
    assert store.windows(gone, T0, T0 + 2 * DAY_MS, DAY_MS, DAY_OFFSET_MS) == []
    assert finish(store) == 0
    assert not [row for row in raw_query(store, "SHOW SERIES") if "farm-1" in str(row)]
    all_answers(store, stays, rows)
