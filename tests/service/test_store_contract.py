"""One suite for every store: what `collectors/store/protocol.py` promises, on SQLite and on a real InfluxDB."""

from __future__ import annotations

import http.client
import itertools
import math
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from collectors.store import Point, ReadingsRejected, Store, StoreMisconfigured, StoreUnavailable, Window, open_store
from makiba.reading import LATEST_MS, MAX_TEXT, Columns, Reading, Series, Value
from tests.parts import free_port, wait_until
from tests.service.influx_parts import INFLUXD, NO_INFLUXD, TOKEN, Influxd, V2Door

T0 = 1_790_000_000_000
FOREVER = (0, 2**50)
Reopen = Callable[[], Store]


@pytest.fixture(scope="module")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    if INFLUXD is None:
        pytest.skip(NO_INFLUXD)
    with Influxd(tmp_path_factory.mktemp("influx")) as server:
        yield server


@pytest.fixture(scope="module")
def influxd_on_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    """With the only index that 2.x has."""
    if INFLUXD is None:
        pytest.skip(NO_INFLUXD)
    with Influxd(tmp_path_factory.mktemp("influx"), index="tsi1") as server:
        yield server


@pytest.fixture(scope="module", params=["sqlite", "influx1", "influx2"])
def reopen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reopen]:
    """Opens the same store again, as another process would."""
    opened: list[Store] = []

    def at(url: str, token: str | None = None) -> Reopen:
        def again() -> Store:
            opened.append(open_store(url, token=token))
            return opened[-1]

        return again

    if request.param == "sqlite":
        yield at(f"sqlite:{tmp_path_factory.mktemp('sqlite') / 'store.db'}")
    else:
        server = request.getfixturevalue("influxd" if request.param == "influx1" else "influxd_on_disk")
        first = open_store(server.url)
        first.check()  # makes the database
        first.close()
        if request.param == "influx1":
            yield at(server.url)
        else:
            with V2Door(server.port) as door:
                yield at(door.url, TOKEN)
    for store in opened:
        store.close()


@pytest.fixture(scope="module")
def store(reopen: Reopen) -> Store:
    return reopen()


_numbers = itertools.count(1)


def new_site() -> str:
    """A farm of its own for each test and each example."""
    return f"site-{next(_numbers)}"


@pytest.fixture
def site() -> str:
    return new_site()


def air(site: str, subject: str = "barn-1") -> Series:
    return Series(site, subject, "air_temperature")


def test_the_store_answers(store: Store) -> None:
    store.check()


def test_what_was_written_is_there_for_another_process(store: Store, reopen: Reopen, site: str) -> None:
    series = air(site)
    store.write([Reading(series, T0 + i, float(i)) for i in range(3)])
    assert reopen().range(series, *FOREVER) == [Point(T0, 0.0), Point(T0 + 1, 1.0), Point(T0 + 2, 2.0)]


def test_writing_again_changes_nothing_and_another_value_replaces_the_first(store: Store, site: str) -> None:
    series = air(site)
    for value in (1.0, 1.0, 2.0):
        store.write([Reading(series, T0, value)])
    assert store.range(series, *FOREVER) == [Point(T0, 2.0)]
    store.write([Reading(series, T0, 3.0), Reading(series, T0, 4.0)])
    assert store.range(series, *FOREVER) == [Point(T0, 4.0)]


def test_range_includes_its_start_and_not_its_end(store: Store, site: str) -> None:
    series = air(site)
    store.write([Reading(series, T0 + i, float(i)) for i in range(5)])
    assert [p.time_ms - T0 for p in store.range(series, T0 + 1, T0 + 4)] == [1, 2, 3]
    assert [p.time_ms - T0 for p in store.range(series, T0 + 1, T0 + 4, limit=2)] == [1, 2]
    assert store.range(series, T0 + 1, T0 + 4, limit=0) == []


def test_not_there_is_empty(store: Store, site: str) -> None:
    series = air(site)
    assert store.range(series, *FOREVER) == []
    assert store.windows(series, T0, T0 + 1000, 10) == []
    assert store.series(site) == []
    assert store.latest(site) == {}
    assert store.latest(site, []) == {}
    store.write([])


def test_latest_is_the_newest_by_time_of_measurement(store: Store, site: str) -> None:
    state = Series(site, "barn-1", "state")
    store.write([Reading(air(site), T0 + 10, 1.0), Reading(state, T0 + 5, "timeout")])
    store.write([Reading(air(site), T0, 2.0), Reading(state, T0 + 20, "ok")])  # the first is late
    store.write([Reading(air(site, "barn-2"), T0 + 3, 3.0)])
    store.write([Reading(air(f"{site}-other"), T0 + 99, 9.0)])
    everything = {
        air(site): Point(T0 + 10, 1.0),
        state: Point(T0 + 20, "ok"),
        air(site, "barn-2"): Point(T0 + 3, 3.0),
    }
    assert store.latest(site) == everything
    assert store.latest(site, ["barn-2", "nobody"]) == {air(site, "barn-2"): Point(T0 + 3, 3.0)}
    assert store.latest(site, [f"x{i}" for i in range(700)] + ["barn-2"]).keys() == {air(site, "barn-2")}


def test_series_are_those_of_the_site_sorted(store: Store, site: str) -> None:
    wanted = [Series(site, s, q) for s in ("a.b:c_d", "tank-1") for q in ("milk_temperature", "state")]
    store.write([Reading(s, T0, "ok" if s.quantity == "state" else 4.0) for s in reversed(wanted)])
    store.write([Reading(air(f"{site}-other"), T0, 1.0)])
    assert store.series(site) == wanted


def test_windows_are_aligned_and_leave_out_what_is_empty(store: Store, site: str) -> None:
    series = air(site)
    start = T0 - T0 % 60_000
    values = {0: 1.0, 10_000: 4.0, 59_999: 1.5, 120_000: -7.25}
    store.write([Reading(series, start + at, value) for at, value in values.items()])
    assert store.windows(series, start, start + 180_000, 60_000) == [
        Window(start, 3, 1.0, pytest.approx(6.5 / 3), 4.0, 1.5),  # type: ignore[arg-type]
        Window(start + 120_000, 1, -7.25, -7.25, -7.25, -7.25),
    ]
    # Only what lies in [start, end) counts, and a window that is cut keeps its place.
    assert store.windows(series, start + 1, start + 59_999, 60_000) == [Window(start, 1, 4.0, 4.0, 4.0, 4.0)]


def test_a_text_series_has_no_windows(store: Store, site: str) -> None:
    state = Series(site, "barn-1", "state")
    store.write([Reading(state, T0, "ok")])
    assert store.windows(state, T0 - 1, T0 + 1, 10) == []


def test_gaps_before_between_and_after(store: Store, site: str) -> None:
    series = air(site)
    store.write([Reading(series, T0 + at, 1.0) for at in (100, 200, 400)])
    assert store.gaps(series, T0, T0 + 600, 150) == [(T0 + 200, T0 + 400), (T0 + 400, T0 + 600)]
    assert store.gaps(series, T0, T0 + 600, 99) == [
        (T0, T0 + 100), (T0 + 100, T0 + 200), (T0 + 200, T0 + 400), (T0 + 400, T0 + 600),
    ]  # fmt: skip
    assert store.gaps(series, T0 + 100, T0 + 400, 200) == []
    assert store.gaps(air(site, "nobody"), T0, T0 + 600, 500) == [(T0, T0 + 600)]


def test_a_value_of_the_wrong_kind_is_rejected_and_the_rest_is_committed(store: Store, site: str) -> None:
    good = Reading(air(site), T0, 1.0)
    text, number = Reading(air(site), T0 + 1, "warm"), Reading(Series(site, "barn-1", "state"), T0, 1.0)
    with pytest.raises(ReadingsRejected) as caught:
        store.write([text, good, number])
    assert [index for index, _ in caught.value.rejected] == [0, 2]
    assert store.range(air(site), *FOREVER) == [Point(T0, 1.0)]
    assert store.series(site) == [air(site)]


def test_columns_are_readings(store: Store, site: str) -> None:
    state = Series(site, "barn-1", "state")
    store.write_columns(Columns([air(site), state, air(site)], [T0, T0, T0], [1.0, "ok", 2.0]))
    store.write_columns(Columns())
    assert store.range(air(site), *FOREVER) == [Point(T0, 2.0)]  # the last of a write stands
    assert store.range(state, *FOREVER) == [Point(T0, "ok")]


def test_what_is_no_finite_number_is_rejected_and_the_rest_is_committed(store: Store, site: str) -> None:
    values: list[Value] = [1.0, math.nan, 2.0, math.inf, -math.inf]
    with pytest.raises(ReadingsRejected) as caught:
        store.write_columns(Columns([air(site)] * 5, [T0 + i for i in range(5)], values))
    assert [index for index, _ in caught.value.rejected] == [1, 3, 4]
    assert all("finite" in reason for _, reason in caught.value.rejected)
    assert [p.value for p in store.range(air(site), *FOREVER)] == [1.0, 2.0]


def test_windows_may_start_at_an_offset(store: Store, site: str) -> None:
    start = T0 - T0 % 86_400_000 - 9 * 3_600_000
    store.write([Reading(air(site), start + at, float(i)) for i, at in enumerate((0, 86_399_999, 86_400_000))])
    found = store.windows(air(site), start - 86_400_000, start + 2 * 86_400_000, 86_400_000, -9 * 3_600_000)
    assert [(w.start_ms - start, w.count, w.last) for w in found] == [(0, 2, 1.0), (86_400_000, 1, 2.0)]
    whole = store.windows(air(site), start, start + 86_400_001, 60_000, 30_000)
    assert [w.start_ms - start for w in whole] == [-30_000, 86_400_000 - 30_000]


def test_a_time_that_the_store_cannot_keep_is_rejected_or_kept(store: Store, site: str) -> None:
    far = Reading(air(site), LATEST_MS, 1.0)
    rejected: list[int] = []
    try:
        store.write([far, Reading(air(site), T0, 2.0)])
    except ReadingsRejected as error:
        rejected = [index for index, _ in error.rejected]
    kept = [Point(T0, 2.0)] + ([] if rejected else [Point(LATEST_MS, 1.0)])
    assert rejected in ([], [0])
    assert store.range(air(site), 0, LATEST_MS + 1) == kept


def test_a_site_that_leaves_is_gone_and_may_come_back(store: Store, reopen: Reopen, site: str) -> None:
    other = air(f"{site}-stays")
    store.write([Reading(other, T0, 2.0)])
    store.write([Reading(air(site), T0, 1.0), Reading(Series(site, "x", "state"), T0, "ok")])
    another = reopen()  # another process, while this one remembers the series
    another.delete_site(site)
    another.write([Reading(air(f"{site}-new"), T0, 4.0)])
    assert store.series(site) == []
    assert store.latest(site) == {}
    assert store.range(air(site), *FOREVER) == []
    assert store.range(other, *FOREVER) == [Point(T0, 2.0)]
    store.write([Reading(air(site), T0 + 5, 3.0)])
    assert store.range(air(site), *FOREVER) == [Point(T0 + 5, 3.0)]
    assert store.range(air(f"{site}-new"), *FOREVER) == [Point(T0, 4.0)]
    assert store.range(other, *FOREVER) == [Point(T0, 2.0)]


def test_threads_may_write_and_read_at_once(store: Store, site: str) -> None:
    problems: list[BaseException] = []

    def work(number: int) -> None:
        series = air(site, f"barn-{number}")
        try:
            for i in range(20):
                store.write([Reading(series, T0 + i, float(i))])
                assert store.latest(site, [series.subject])[series].value == float(i)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert sum(len(store.range(s, *FOREVER)) for s in store.series(site)) == 80


_finite = st.floats(allow_nan=False, allow_infinity=False)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_TEXT)
_few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_few
@given(st.lists(_finite, min_size=1, max_size=30))
def test_numbers_come_back_as_the_same_double(store: Store, values: list[float]) -> None:
    series = air(new_site())
    store.write([Reading(series, T0 + i, value) for i, value in enumerate(values)])
    assert [p.value for p in store.range(series, *FOREVER)] == values


@_few
@given(st.lists(_texts, min_size=1, max_size=30))
@example(["\\", '\\"', '"', "\\\\", "a\nb", " ", "", "a\\", "'", "\\n", "=,", "\r\n", "\x00"])
def test_texts_come_back_as_the_same_text(store: Store, values: list[str]) -> None:
    series = Series(new_site(), "barn-1", "state")
    store.write([Reading(series, T0 + i, value) for i, value in enumerate(values)])
    assert [p.value for p in store.range(series, *FOREVER)] == values


# A mean is not a number once the sum is not: nothing that anybody measures comes near.
_measurable = st.floats(-1e300, 1e300, allow_nan=False)
_rows = st.lists(st.tuples(st.sampled_from(["a", "b", "c.1"]), st.integers(0, 40), _measurable), max_size=40)


@_few
@given(st.lists(_rows, max_size=5), st.integers(1, 15))
def test_any_writes_in_any_order_are_a_dict_of_series_and_time(
    store: Store, writes: list[list[tuple[str, int, float]]], width: int
) -> None:
    site = new_site()
    model: dict[tuple[str, int], float] = {}
    for rows in writes:
        readings = [Reading(air(site, subject), T0 + at, value) for subject, at, value in rows]
        store.write(readings)
        store.write(readings)  # a resend
        model.update({(subject, T0 + at): value for subject, at, value in rows})
    assert store.series(site) == [air(site, s) for s in sorted({s for s, _ in model})]
    latest = {s: max(t for s2, t in model if s2 == s) for s, _ in model}
    assert store.latest(site) == {air(site, s): Point(t, model[s, t]) for s, t in latest.items()}
    for subject in {s for s, _ in model}:
        points = sorted((t, v) for (s, t), v in model.items() if s == subject)
        assert [(p.time_ms, p.value) for p in store.range(air(site, subject), *FOREVER)] == points
        windows = store.windows(air(site, subject), T0, T0 + 100, width)
        starts = sorted({t // width * width for t, _ in points})
        assert [w.start_ms for w in windows] == starts
        for window in windows:
            inside = [v for t, v in points if t // width * width == window.start_ms]
            assert (window.count, window.minimum, window.maximum) == (len(inside), min(inside), max(inside))
            assert window.last == inside[-1]


# ------------------------------------------------------------------------------------- what differs by its nature


def test_an_influxdb_that_is_down_is_unavailable_and_then_has_all_again(tmp_path: Path) -> None:
    if INFLUXD is None:
        pytest.skip(NO_INFLUXD)
    series = air("site-x")
    server = Influxd(tmp_path)
    store = open_store(server.url)
    with pytest.raises(StoreUnavailable):
        store.write([Reading(series, T0, 1.0)])
    with pytest.raises(StoreUnavailable):
        store.check()
    with server:
        store.write([Reading(series, T0, 1.0)])  # makes the database
        server.kill()  # SIGKILL: what was committed is committed
        with pytest.raises(StoreUnavailable):
            store.range(series, *FOREVER)
        server.start()
        assert store.range(series, *FOREVER) == [Point(T0, 1.0)]
    store.close()


def test_a_field_conflict_in_influxdb_rejects_that_reading_only(influxd: Influxd) -> None:
    store = open_store(influxd.url)
    store.check()
    # Somebody else's program wrote a text where numbers belong; a shard keeps a field's type.
    old = T0 - 400 * 86_400_000
    other = http.client.HTTPConnection("127.0.0.1", influxd.port)
    line = f'air,quantity=air_temperature,site=s-c,subject=b value="x" {old}'
    other.request("POST", "/write?db=makiba&precision=ms", line)
    assert other.getresponse().status == 204
    other.close()
    rows = [Reading(air("s-c", "b"), T0 + i, float(i)) for i in range(20)]
    bad = Reading(air("s-c", "b"), old + 1000, 1.0)
    with pytest.raises(ReadingsRejected) as caught:
        store.write([*rows[:10], bad, *rows[10:]])
    assert [index for index, _ in caught.value.rejected] == [10]
    assert "conflict" in caught.value.rejected[0][1]
    assert len(store.range(air("s-c", "b"), T0, T0 + 100)) == 20
    store.close()


def test_a_user_and_password_open_an_influxdb_and_a_wrong_one_is_a_wrong_configuration(tmp_path: Path) -> None:
    if INFLUXD is None:
        pytest.skip(NO_INFLUXD)
    with Influxd(tmp_path, auth=True) as server:
        first = http.client.HTTPConnection("127.0.0.1", server.port)
        first.request("POST", "/query?q=CREATE%20USER%20m%20WITH%20PASSWORD%20%27right%27%20WITH%20ALL%20PRIVILEGES")
        assert first.getresponse().status == 200
        first.close()

        def user_is_known() -> bool:
            """InfluxDB answers CREATE USER a moment before it knows the user."""
            asked = http.client.HTTPConnection("127.0.0.1", server.port)
            asked.request("GET", "/query?q=SHOW%20DATABASES&u=m&p=right")
            status = asked.getresponse().status
            asked.close()
            return status == 200

        wait_until(user_is_known, 10, "InfluxDB knows its user")
        store = open_store(server.url, user="m", password="right")
        store.check()
        store.write([Reading(air("s"), T0, 1.0)])
        assert store.range(air("s"), *FOREVER) == [Point(T0, 1.0)]
        store.close()
        wrong = open_store(server.url, user="m", password="wrong-secret")
        for attempt in (wrong.check, lambda: wrong.write([Reading(air("s"), T0, 1.0)])):
            with pytest.raises(StoreMisconfigured, match="password") as caught:
                attempt()
            assert "wrong-secret" not in str(caught.value)
        wrong.close()


def test_a_wrong_token_or_bucket_is_a_wrong_configuration(influxd: Influxd) -> None:
    with V2Door(influxd.port) as door:
        wrong = open_store(door.url, token="wrong")
        with pytest.raises(StoreMisconfigured, match="token"):
            wrong.write([Reading(air("s"), T0, 1.0)])
        with pytest.raises(StoreMisconfigured, match="token"):
            wrong.check()
        wrong.close()
        elsewhere = open_store(door.url.replace("/makiba?", "/nowhere?"), token=TOKEN)
        with pytest.raises(StoreMisconfigured, match="bucket"):
            elsewhere.write([Reading(air("s"), T0, 1.0)])
        elsewhere.close()


def test_a_locked_file_is_unavailable_and_a_wrong_one_a_wrong_configuration(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "store.db"
    store = open_store(f"sqlite:{path}")
    store._writer.execute("PRAGMA busy_timeout = 20")  # type: ignore[attr-defined]
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        store.write([Reading(air("s"), T0, 1.0)])
    assert store.range(air("s"), *FOREVER) == []  # readers are not held up
    blocker.execute("COMMIT")
    blocker.close()
    store.write([Reading(air("s"), T0, 1.0)])
    store.close()
    (tmp_path / "text.db").write_text("no database" * 1000)
    with pytest.raises(StoreMisconfigured, match="not a database"):
        open_store(f"sqlite:{tmp_path / 'text.db'}")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:", "no path"),
        ("sqllite:/a.db", "did you mean 'sqlite'"),
        ("influx+http://127.0.0.1:1", "HOST:PORT/DATABASE"),
        ("influx+http://me:secret@h/db", "MAKIBA_STORE_USER"),
        ("influx+http://h/db?api=3", "api=3"),
        ("influx+http://h/db?apo=2", "'apo' is unknown"),
        ("influx+http://h/db?api=2", "MAKIBA_STORE_TOKEN"),
    ],
)
def test_a_wrong_address_says_what_is_expected(url: str, said: str) -> None:
    with pytest.raises(StoreMisconfigured) as caught:
        open_store(url)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_nobody_there_is_unavailable_at_once() -> None:
    for url, token in ((f"influx+http://127.0.0.1:{free_port()}/db", None),
                       (f"influx+http://127.0.0.1:{free_port()}/db?api=2&org=o", "t")):  # fmt: skip
        store = open_store(url, token=token)
        with pytest.raises(StoreUnavailable):
            store.write([Reading(air("s"), T0, 1.0)])
        store.close()
