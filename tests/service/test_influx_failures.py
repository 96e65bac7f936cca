"""Everything that can go wrong between us and an InfluxDB has a stated outcome, and none loses a reading.

Against a real influxd, or through a door that makes the fault, over both ways to write.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from collectors.store import ReadingsRejected, StoreError, StoreMisconfigured, StoreUnavailable
from collectors.store.influx import InfluxStore, open_influx
from collectors.store.influx_commit import ISOLATE_REQUESTS, Commit
from collectors.store.influx_http import LONGEST_WAIT_S, wait_asked_s
from collectors.store.levels import DAY_MS
from makiba.reading import Columns, Series
from tests.parts import wait_until
from tests.service.influx_parts import INFLUXD, NO_INFLUXD, ORG, TOKEN, Fault, FaultyDoor, Influxd, V2Door

T0 = 1_784_000_000_000
HTML = b"<html><head><title>Sorry</title></head><body>We are back soon. secret=1</body></html>"


@pytest.fixture(scope="module")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    if INFLUXD is None:
        pytest.skip(NO_INFLUXD)
    with Influxd(tmp_path_factory.mktemp("influx"), http="max-row-limit = 100") as server:
        server.ask("CREATE DATABASE makiba")
        yield server


@pytest.fixture(params=["1", "2"])
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def door(api: str, influxd: Influxd) -> Iterator[FaultyDoor]:
    """A faulty door before the server, or before the door that makes a 2.x of it."""
    influxd.ask("DROP DATABASE makiba")
    influxd.ask("CREATE DATABASE makiba")
    with V2Door(influxd.port) as second, FaultyDoor(second.port if api == "2" else influxd.port) as door:
        yield door


@pytest.fixture
def store(api: str, door: FaultyDoor) -> Iterator[InfluxStore]:
    more, token = (f"&api=2&org={ORG}", TOKEN) if api == "2" else ("", None)
    opened = open_influx(f"{door.base()}?timeout_s=2{more}", token=token)
    yield opened
    opened.close()


def rows_of(count: int, site: str = "farm-1", quantity: str = "air_temperature", start_ms: int = T0) -> Columns:
    series = Series(site, "barn-1", quantity)
    return Columns([series] * count, [start_ms + i * 60_000 for i in range(count)], [float(i) for i in range(count)])


def joined(*parts: Columns) -> Columns:
    whole = Columns()
    for part in parts:
        whole.extend(part)
    return whole


def stored(store: InfluxStore, columns: Columns) -> list[bool]:
    """Whether each of `columns` is in the store."""
    there = {(s, p.time_ms): p.value for s in set(columns.series) for p in store.range(s, 0, T0 * 2)}
    rows = zip(columns.series, columns.times_ms, columns.values, strict=True)
    return [there.get((series, time_ms)) == value for series, time_ms, value in rows]


IN_A_MINUTE = "a date in a minute"
"""Stands in `ANSWERS` for the date, which is made when the answer is asked for."""

ANSWERS: list[tuple[Fault, type[StoreError], str]] = [
    (Fault(429, b'{"code":"too many requests","message":"slow down"}', {"Retry-After": "7"}), StoreUnavailable, "7"),
    (Fault(503, b'{"error":"busy"}', {"Retry-After": IN_A_MINUTE}), StoreUnavailable, "60"),
    (Fault(503, HTML), StoreUnavailable, ""),
    (Fault(502, HTML), StoreUnavailable, ""),
    (Fault(504, b""), StoreUnavailable, ""),
    (Fault(500, b'{"error":"timeout"}'), StoreUnavailable, ""),
    (Fault(408, b""), StoreUnavailable, ""),
    (Fault(0), StoreUnavailable, ""),
    (Fault(0, after=True), StoreUnavailable, ""),
    (Fault(stall=True), StoreUnavailable, ""),
    (Fault(200, HTML), StoreMisconfigured, ""),
    (Fault(200, b""), StoreMisconfigured, ""),
    (Fault(302, b"", {"Location": "http://127.0.0.1:1/login"}), StoreMisconfigured, ""),
    (Fault(404, HTML), StoreMisconfigured, ""),
    (Fault(400, HTML), StoreMisconfigured, ""),
    (Fault(401, HTML), StoreMisconfigured, ""),
    (Fault(403, b'{"error":"no"}'), StoreMisconfigured, ""),
]


@pytest.mark.parametrize(("fault", "kind", "wait_s"), ANSWERS, ids=lambda value: str(value)[:40])
def test_an_answer_that_is_no_success_is_said_to_be_what_it_is_and_the_same_write_then_succeeds(
    store: InfluxStore, door: FaultyDoor, fault: Fault, kind: type[StoreError], wait_s: str
) -> None:
    columns = rows_of(20)
    store.write_columns(rows_of(1))  # now it knows what the store keeps, and only writes
    if fault.headers.get("Retry-After") == IN_A_MINUTE:
        date = datetime.now(UTC) + timedelta(seconds=60)
        fault = replace(fault, headers={"Retry-After": format_datetime(date, usegmt=True)})
    door.fault = lambda path, body: fault
    with pytest.raises(kind) as wrote:
        store.write_columns(columns)
    with pytest.raises(kind):
        store.range(columns.series[0], 0, T0 * 2)
    with pytest.raises(kind):
        store.check()
    assert "secret" not in str(wrote.value)
    assert TOKEN not in str(wrote.value)
    assert len(str(wrote.value)) < 400
    asked = getattr(wrote.value, "retry_after_s", None)
    assert asked == (pytest.approx(float(wait_s), abs=30) if wait_s else None)
    door.fault = lambda path, body: None
    store.write_columns(columns)
    assert stored(store, columns) == [True] * 20


def test_an_answer_that_is_cut_short_is_not_taken_for_the_whole(store: InfluxStore, door: FaultyDoor) -> None:
    columns = rows_of(500)
    store.write_columns(columns)
    for cut in (0, 100, 5000):
        door.fault = lambda path, body, cut=cut: Fault(cut=cut)  # type: ignore[misc]
        with pytest.raises(StoreUnavailable):
            store.range(columns.series[0], 0, T0 * 2)
    first_part = b'{"results":[{"series":[{"name":"air","values":[[1,1]],"partial":true}],"partial":true}]}\n'
    door.fault = lambda path, body: Fault(200, first_part)
    with pytest.raises(StoreUnavailable, match="too early"):
        store.range(columns.series[0], 0, T0 * 2)
    door.fault = lambda path, body: None
    # The server's own limit of rows (100 here) does not cut either.
    assert len(store.range(columns.series[0], 0, T0 * 2)) == 500


def test_a_body_that_is_too_large_is_sent_in_parts_and_the_size_is_learned(
    store: InfluxStore, door: FaultyDoor
) -> None:
    columns = rows_of(2000)
    door.fault = lambda path, body: Fault(413, HTML) if "write" in path and len(body) > 20_000 else None
    store.write_columns(columns)
    assert stored(store, columns) == [True] * 2000
    door.seen.clear()
    store.write_columns(columns)
    assert not [body for path, body in door.seen if "write" in path and len(body) > 20_000]
    door.fault = lambda path, body: Fault(413, HTML) if "write" in path else None
    with pytest.raises(StoreMisconfigured, match="one reading"):
        store.write_columns(rows_of(10))


def test_a_field_of_another_type_rejects_only_what_is_there_and_costs_few_requests(
    store: InfluxStore, door: FaultyDoor, influxd: Influxd
) -> None:
    """Somebody else's program wrote a text where numbers belong; a shard (a week) keeps a field's type."""
    old = T0 - 400 * DAY_MS
    influxd.put(f'air,quantity=air_temperature,site=s,subject=b value="x" {old}')
    bad = rows_of(300, start_ms=old + 60_000)
    columns = joined(rows_of(3000), bad, rows_of(2000, quantity="soil_temperature"), rows_of(1, "farm-2"))
    with pytest.raises(ReadingsRejected) as caught:
        store.write_columns(columns)
    rejected = [index for index, _ in caught.value.rejected]
    assert rejected == list(range(3000, 3300))
    assert all("conflict" in reason for _, reason in caught.value.rejected)
    assert stored(store, columns) == [index not in rejected for index in range(len(columns))]
    writes = [path for path, _ in door.seen if "write" in path]
    assert len(writes) < 120
    assert any("air" in problem and "string" in problem for problem in store.inventory().problems)


def test_one_poisoned_reading_is_found_in_a_server_that_then_stores_nothing_of_its_request(
    store: InfluxStore, door: FaultyDoor
) -> None:
    columns = rows_of(5000)
    door.fault = lambda path, body: Fault(400, b'{"error":"no"}') if b" value=1234.0 " in body else None
    with pytest.raises(ReadingsRejected) as caught:
        store.write_columns(columns)
    assert [index for index, _ in caught.value.rejected] == [1234]
    assert stored(store, columns) == [index != 1234 for index in range(5000)]
    assert len([path for path, _ in door.seen if "write" in path]) < 80


def test_what_a_proxy_refuses_is_nobody_s_poison(store: InfluxStore, door: FaultyDoor) -> None:
    door.fault = lambda path, body: Fault(400, HTML) if b" value=12.0 " in body else None
    with pytest.raises(StoreMisconfigured, match="HTML"):
        store.write_columns(rows_of(50))


def test_more_poison_than_can_be_told_apart_is_rejected_together_and_nothing_is_lost(
    store: InfluxStore, door: FaultyDoor
) -> None:
    columns = rows_of(5000)
    no = Fault(400, b'{"error":"no"}')
    door.fault = lambda path, body: no if any(b" value=%d.0 " % n in body for n in range(0, 5000, 7)) else None
    with pytest.raises(ReadingsRejected) as caught:
        store.write_columns(columns)
    rejected = {index for index, _ in caught.value.rejected}
    assert set(range(0, 5000, 7)) <= rejected
    there = stored(store, columns)
    assert all(there[index] for index in range(5000) if index not in rejected)
    assert len([path for path, _ in door.seen if "write" in path]) < 3 * ISOLATE_REQUESTS


def test_marks_that_are_refused_need_a_person_and_reject_nothing(
    store: InfluxStore, door: FaultyDoor, influxd: Influxd
) -> None:
    influxd.put(f'quarter_mark,site=s changed="x" {T0}')
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    influxd.put(f'quarter_mark,site=s changed="x" {now_ms}')
    with pytest.raises(StoreMisconfigured, match="marks"):
        store.write_columns(rows_of(10))


def test_what_a_retention_policy_of_the_server_forgets_is_rejected_with_that_reason(
    store: InfluxStore, influxd: Influxd
) -> None:
    influxd.ask("ALTER RETENTION POLICY autogen ON makiba DURATION 60d SHARD DURATION 1d")
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    columns = joined(rows_of(50, start_ms=now_ms - 90 * DAY_MS), rows_of(50, start_ms=now_ms - DAY_MS))
    with pytest.raises(ReadingsRejected, match="retention policy") as caught:
        store.write_columns(columns)
    assert [index for index, _ in caught.value.rejected] == list(range(50))
    assert stored(store, columns)[50:] == [True] * 50


def test_a_database_that_is_dropped_meanwhile_is_made_again_and_a_bucket_is_asked_for(
    store: InfluxStore, api: str, influxd: Influxd
) -> None:
    store.write_columns(rows_of(1))
    influxd.ask("DROP DATABASE makiba")
    if api == "1":
        assert store.range(rows_of(1).series[0], 0, T0 * 2) == []
        store.write_columns(rows_of(1))
        assert stored(store, rows_of(1)) == [True]
    else:
        with pytest.raises(StoreMisconfigured, match="bucket 'makiba'"):
            store.write_columns(rows_of(1))
        with pytest.raises(StoreMisconfigured, match="DBRP"):
            store.range(rows_of(1).series[0], 0, T0 * 2)


def test_a_wrong_organisation_and_a_missing_mapping_of_2x_need_a_person(influxd: Influxd) -> None:
    influxd.ask("CREATE DATABASE makiba")
    with V2Door(influxd.port, unmapped="makiba") as door:
        store = open_influx(door.base("makiba"), token=TOKEN)
        for attempt in (store.check, lambda: store.latest("farm-1"), lambda: store.write_columns(rows_of(1))):
            with pytest.raises(StoreMisconfigured, match="DBRP"):
                attempt()
        store.close()
        other = open_influx(door.base("makiba").replace(f"org={ORG}", "org=other"), token=TOKEN)
        with pytest.raises(StoreMisconfigured):
            other.write_columns(rows_of(1))
        other.close()


def test_gzip_reaches_the_server(api: str, influxd: Influxd) -> None:
    influxd.ask("CREATE DATABASE makiba")
    with V2Door(influxd.port) as second, FaultyDoor(second.port if api == "2" else influxd.port) as door:
        more, token = (f"&api=2&org={ORG}", TOKEN) if api == "2" else ("", None)
        store = open_influx(f"{door.base()}?gzip=1{more}", token=token)
        columns = rows_of(1000, f"zipped-{api}")
        store.write_columns(columns)
        assert stored(store, columns) == [True] * 1000
        assert max(len(body) for path, body in door.seen if "write" in path) < 15_000
        store.close()


def test_a_server_that_is_killed_and_comes_back_while_it_is_written_to_has_all_in_the_end(
    tmp_path: Path, api: str
) -> None:
    if INFLUXD is None:
        pytest.skip(NO_INFLUXD)
    with Influxd(tmp_path) as server, V2Door(server.port) as door:
        server.ask("CREATE DATABASE makiba")
        url, token = (door.base("makiba"), TOKEN) if api == "2" else (server.base("makiba"), None)
        store = open_influx(url, token=token)
        parts = [rows_of(200, f"farm-{n % 3}", start_ms=T0 + n * 200 * 60_000) for n in range(60)]
        done, failures = threading.Event(), list[StoreError]()
        written = list[int]()

        def write() -> None:
            for number, part in enumerate(parts):
                while True:
                    try:
                        store.write_columns(part)
                        break
                    except StoreError as error:
                        failures.append(error)
                        done.wait(0.02)
                written.append(number)
            done.set()

        writer = threading.Thread(target=write)
        writer.start()
        for at in (15, 35):
            wait_until(lambda at=at: len(written) >= at, 20, every_s=0.001)  # type: ignore[misc]
            server.kill()
            wait_until(lambda: failures, 20)
            server.start()
        writer.join()
        # A server that starts may refuse a connection, or not know its databases yet; both pass.
        assert {type(error) for error in failures} == {StoreUnavailable}
        whole = joined(*parts)
        assert stored(store, whole) == [True] * len(whole)
        while store.roll_up(T0 + 100 * DAY_MS):
            pass
        for series in set(whole.series):
            windows = store.windows(series, 0, T0 * 2, DAY_MS)
            assert sum(window.count for window in windows) == whole.series.count(series)
        store.close()


def test_limits_of_the_server_reject_new_names_and_keep_the_known_ones(tmp_path: Path) -> None:
    if INFLUXD is None:
        pytest.skip(NO_INFLUXD)
    with Influxd(tmp_path, data="max-values-per-tag = 12") as server:
        store = open_influx(server.base("makiba"))
        known = [Series("farm-1", f"barn-{n}", "air_temperature") for n in range(12)]
        new = [Series("farm-1", f"new-{n}", "air_temperature") for n in range(3)]
        store.write_columns(Columns(known, [T0] * 12, [1.0] * 12))
        series = [*known, *new] * 20
        columns = Columns(series, [T0 + i for i in range(len(series))], [2.0] * len(series))
        with pytest.raises(ReadingsRejected, match="max-values-per-tag") as caught:
            store.write_columns(columns)
        rejected = [index for index, _ in caught.value.rejected]
        assert rejected == [index for index, one in enumerate(series) if one in new]
        assert stored(store, columns) == [one not in new for one in series]
        store.close()


def test_a_body_above_the_limit_of_a_real_server_is_sent_in_parts(tmp_path: Path) -> None:
    if INFLUXD is None:
        pytest.skip(NO_INFLUXD)
    with Influxd(tmp_path, http="max-body-size = 30000") as server:
        store = open_influx(server.base("makiba"))
        columns = rows_of(3000)
        store.write_columns(columns)
        assert stored(store, columns) == [True] * 3000
        store.close()


def test_a_user_who_may_only_read_is_told_from_a_wrong_password(tmp_path: Path) -> None:
    if INFLUXD is None:
        pytest.skip(NO_INFLUXD)
    with Influxd(tmp_path, auth=True) as server:
        server.ask("CREATE USER boss WITH PASSWORD 'right' WITH ALL PRIVILEGES")
        boss = {"u": "boss", "p": "right"}
        wait_until(lambda: "error" not in server.ask("SHOW DATABASES", **boss), 10)
        for statement in (
            "CREATE DATABASE makiba", "CREATE USER guest WITH PASSWORD 'guest'", "GRANT READ ON makiba TO guest",
            "CREATE USER pen WITH PASSWORD 'pen'", "GRANT ALL ON makiba TO pen",
        ):  # fmt: skip
            assert "error" not in server.ask(statement, **boss)
        wait_until(lambda: "error" not in server.ask("SHOW MEASUREMENTS", u="pen", p="pen"), 10)
        store = open_influx(server.base("makiba"), user="pen", password="pen")
        wait_until(lambda: "error" not in server.ask("SHOW MEASUREMENTS", u="guest", p="guest"), 10)
        guest = open_influx(server.base("makiba"), user="guest", password="guest")
        store.check()
        store.write_columns(rows_of(3))
        with pytest.raises(StoreMisconfigured, match="403"):
            guest.write_columns(rows_of(3))
        assert len(guest.range(rows_of(1).series[0], 0, T0 * 2)) == 3
        elsewhere = open_influx(server.base("other"), user="pen", password="pen")
        with pytest.raises(StoreMisconfigured):  # may not make it
            elsewhere.write_columns(rows_of(3))
        for one in (store, guest, elsewhere):
            one.close()


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        (None, None), ("", None), ("0", 0.0), ("12", 12.0), (" 12 ", 12.0), ("999999999999", LONGEST_WAIT_S),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30.0), ("Wed, 21 Oct 2026 07:27:00 GMT", 0.0), ("soon", None), ("-5", None),
        ("12.5", None), ("１２", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(said: str | None, wait_s: float | None) -> None:
    assert wait_asked_s(said, datetime(2026, 10, 21, 7, 28, tzinfo=UTC)) == wait_s


def test_what_no_line_can_say_is_rejected_here(influxd: Influxd) -> None:
    store = open_influx(influxd.base("makiba"))
    air, state = Series("odd", "b", "air_temperature"), Series("odd", "b", "state")
    unknown = Series("odd", "b", "no_such_quantity")
    values: Sequence[tuple[Series, int, float | str]] = [
        (air, T0, float("nan")), (air, T0 + 1, float("inf")), (air, T0 + 2, 1e308), (air, T0 + 3, 1e308),
        (air, T0 + 4, "warm"),
        (state, T0, 1.0), (unknown, T0, 1.0), (air, 2**62, 1.0), (air, T0 + 5, 3), (state, T0, "ok"),
        (air, T0 + 6, True),
    ]  # fmt: skip
    with pytest.raises(ReadingsRejected) as caught:
        store.write_columns(Columns([v[0] for v in values], [v[1] for v in values], [v[2] for v in values]))
    assert [index for index, _ in caught.value.rejected] == [0, 1, 4, 5, 6, 7]
    assert [p.value for p in store.range(air, 0, T0 * 2)] == [1e308, 1e308, 3.0, 1.0]
    store.close()


def test_lines_cost_little(influxd: Influxd) -> None:
    """Not a benchmark: it fails when somebody makes the hot path many times slower (it takes 1 us a reading)."""

    class Nowhere:
        def write(self, lines: bytes) -> None:
            pass

    series = [Series(f"farm-{n // 100}", f"d-{n % 100}", "air_temperature") for n in range(1000)] * 20
    columns = Columns(series, [T0 + i for i in range(len(series))], [i * 0.1 for i in range(len(series))])
    commit = Commit(Nowhere())  # type: ignore[arg-type]
    commit.write(columns)
    spent_s = []
    for _ in range(5):
        start_s = time.process_time()
        commit.write(columns)
        spent_s.append(time.process_time() - start_s)
    assert min(spent_s) / len(columns) < 6e-6
