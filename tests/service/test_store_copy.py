"""`makiba store copy` between a real InfluxDB and SQLite: equal to the bit, whatever happens in between."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from collectors.store import Point, ReadingsRejected, Store, StoreUnavailable, open_store
from collectors.store.carry import CarryRefused, carry, differing, take_over_horizons
from collectors.store.checksum import Checksum, Packed
from collectors.store.copy import Copy, Result
from collectors.store.levels import DAY_OFFSET_MS
from makiba.reading import EARLIEST_MS, LATEST_MS, MAX_TEXT, Columns, Reading, Series
from tests.parts import makiba, wait_until
from tests.service.influx_parts import INFLUXD, NO_INFLUXD, TOKEN, Influxd, V2Door
from tests.service.test_collector_cli import run

SITE = "shikaoi-001"
T0 = 1_790_000_000_000
ALL = (EARLIEST_MS, LATEST_MS + 1)
AIR = Series(SITE, "barn-1", "air_temperature")
STATE = Series(SITE, "barn-1", "state")
NUMBERS = [
    0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1.7976931348623157e308, 0.1 + 0.2,
    1 / 3, 2.0**53, 2.0**53 + 2, 1e22, 1e23, -1.0, 4.35, 123456789.123456789,
]  # fmt: skip
TEXTS = [
    "ok", "", " ", "雪 🐄", 'a "quoted" \\ text', "two\nlines\r\n", "tab\t", "comma, equals= space", "'", "\\", '\\"',
    "x" * MAX_TEXT, "é", "e\u0301", "\u202e",
]  # fmt: skip


@pytest.fixture(scope="module")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    if INFLUXD is None:
        pytest.skip(NO_INFLUXD)
    with Influxd(tmp_path_factory.mktemp("influx")) as server:
        yield server


@pytest.fixture(params=["1", "2"])
def influx(request: pytest.FixtureRequest, influxd: Influxd) -> Iterator[Store]:
    """An InfluxDB without the farm, by its 1.x or 2.x way to write."""
    first = open_store(influxd.url)
    first.check()  # makes the database
    first.delete_site(SITE)
    first.close()
    if request.param == "1":
        store = open_store(influxd.url)
        yield store
        store.close()
    else:
        with V2Door(influxd.port) as door:
            store = open_store(door.url, token=TOKEN)
            yield store
            store.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:{tmp_path / 'store.db'}")
    yield store
    store.close()


def copied(source: Store, target: Store, page: int = 1000, span: tuple[int, int] = ALL) -> Result:
    return Copy(source, target, *span, page=page).run(lambda: source.series(SITE))


def contents(store: Store) -> dict[Series, list[tuple[int, bytes | str]]]:
    """Everything of the farm, numbers by their bits."""
    return {
        series: [
            (p.time_ms, p.value if isinstance(p.value, str) else struct.pack("<d", p.value))
            for p in store.range(series, *ALL)
        ]
        for series in store.series(SITE)
    }


def hard_readings() -> list[Reading]:
    return [
        *(Reading(AIR, T0 + i, value) for i, value in enumerate(NUMBERS)),
        *(Reading(STATE, T0 + i, value) for i, value in enumerate(TEXTS)),
        Reading(Series(SITE, "old", "air_temperature"), EARLIEST_MS, 1.5),
        Reading(Series(SITE, "a.b:c_d-e", "ammonia"), T0, 1e-300),
    ]


def many(count: int, subject: str = "barn-1", start_ms: int = T0) -> Columns:
    series = Series(SITE, subject, "air_temperature")
    return Columns(
        [series] * count, [start_ms + 1000 * i for i in range(count)], [20 + i % 977 / 7 for i in range(count)]
    )


def test_from_sqlite_to_influxdb_and_back_is_the_first_to_the_bit(
    sqlite: Store, influx: Store, tmp_path: Path
) -> None:
    sqlite.write(hard_readings())
    sqlite.write_columns(many(2_500, "barn-2"))
    there = copied(sqlite, influx)
    back = open_store(f"sqlite:{tmp_path / 'back.db'}")
    again = copied(influx, back)
    assert there.unequal == again.unequal == []
    assert there.count == again.count == len(NUMBERS) + len(TEXTS) + 2 + 2_500
    assert contents(back) == contents(influx) == contents(sqlite)
    assert [c.source.hex() for c in there.compared.values()] == [c.target.hex() for c in again.compared.values()]
    back.close()


def test_a_page_may_end_anywhere(sqlite: Store, tmp_path: Path) -> None:
    sqlite.write(hard_readings())
    for page in (1, 7, len(NUMBERS), len(NUMBERS) + 1):
        other = open_store(f"sqlite:{tmp_path / f'{page}.db'}")
        result = copied(sqlite, other, page)
        assert (result.unequal, result.written) == ([], len(hard_readings()))
        assert contents(other) == contents(sqlite)
        assert copied(sqlite, other, page + 2).written == 0
        other.close()


def test_only_what_is_missing_or_different_is_written_and_what_is_more_stays(sqlite: Store, tmp_path: Path) -> None:
    other = open_store(f"sqlite:{tmp_path / 'other.db'}")
    sqlite.write_columns(many(1000))
    other.write_columns(many(600))
    series = many(1).series[0]
    other.write([Reading(series, T0 + 5000, -1.0), Reading(series, T0 + 5500, 7.0), Reading(series, T0 - 1, 7.0)])
    other.write_columns(many(3_000, start_ms=T0 + 2_000_000))  # many more than a page, which only TO has
    result = copied(sqlite, other, page=100)
    assert (result.written, result.extra, result.unequal) == (401, 3_002, [])
    assert other.range(series, T0 + 5000, T0 + 5501) == [Point(T0 + 5000, 20 + 5 / 7), Point(T0 + 5500, 7.0)]
    other.close()


def test_a_span_copies_only_itself(sqlite: Store, tmp_path: Path) -> None:
    other = open_store(f"sqlite:{tmp_path / 'other.db'}")
    sqlite.write_columns(many(1000))
    assert copied(sqlite, other, span=(T0 + 10_000, T0 + 20_000)).count == 10
    assert [p.time_ms for p in other.range(many(1).series[0], *ALL)] == [T0 + 1000 * i for i in range(10, 20)]
    other.close()


class Growing:
    """A source that gets readings while it is copied: `rows` after each page that is read."""

    def __init__(self, store: Store, rows: Sequence[Reading], times: int) -> None:
        self._store, self._rows, self._times = store, rows, times

    def range(self, series: Series, start_ms: int, end_ms: int, limit: int | None = None) -> list[Point]:
        found = self._store.range(series, start_ms, end_ms, limit)
        if self._times:
            self._times -= 1
            self._store.write([Reading(r.series, r.time_ms + self._times, r.value) for r in self._rows])
        return found

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_what_arrives_while_the_first_pass_runs_is_caught_late_and_new_series_too(
    sqlite: Store, tmp_path: Path
) -> None:
    other = open_store(f"sqlite:{tmp_path / 'other.db'}")
    sqlite.write_columns(many(500))
    late = [Reading(many(1).series[0], T0 - 50_000, 1.0), Reading(Series(SITE, "new", "air_temperature"), T0, 2.0)]
    growing: Store = Growing(sqlite, late, 5)  # type: ignore[assignment]
    result = copied(growing, other, page=100)
    assert (result.unequal, result.growing) == ([], ())
    assert contents(other) == contents(sqlite)
    assert result.count == 500 + 10
    other.close()


def test_a_series_that_never_rests_is_named(sqlite: Store, tmp_path: Path) -> None:
    other = open_store(f"sqlite:{tmp_path / 'other.db'}")
    sqlite.write_columns(many(10))
    series = many(1).series[0]
    growing: Store = Growing(sqlite, [Reading(series, T0 - 100_000, 1.0)], 1000)  # type: ignore[assignment]
    result = copied(growing, other, page=100)
    assert (result.unequal, result.growing) == ([], (series,))
    other.close()


class Faulty:
    """A target that is away every third time, changes a value, or loses one, and says nothing."""

    def __init__(self, store: Store, fault: str) -> None:
        self._store, self._fault, self._calls = store, fault, 0

    def write_columns(self, columns: Columns) -> None:
        self._calls += 1
        if self._fault == "away" and self._calls % 3:
            raise StoreUnavailable("away", 0.0)
        kept = slice(1, None) if self._fault == "loses" else slice(None)
        values = [float(v) + 1e-12 if self._fault == "alters" else v for v in columns.values]
        self._store.write_columns(Columns(columns.series[kept], columns.times_ms[kept], values[kept]))

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@pytest.mark.parametrize(("fault", "unequal"), [("away", 0), ("alters", 1), ("loses", 1)])
def test_nothing_is_believed_that_was_not_read_back(sqlite: Store, tmp_path: Path, fault: str, unequal: int) -> None:
    other = open_store(f"sqlite:{tmp_path / 'other.db'}")
    sqlite.write_columns(many(300))
    faulty: Store = Faulty(other, fault)  # type: ignore[assignment]
    copy = Copy(sqlite, faulty, *ALL, page=100, wait=lambda _: None)
    assert len(copy.run(lambda: sqlite.series(SITE)).unequal) == unequal
    other.close()


def test_the_checksum_knows_every_bit_and_no_page() -> None:
    points = [Point(T0 + i, value) for i, value in enumerate(NUMBERS)]

    def sums(*pages: Sequence[Point]) -> str:
        made = Checksum()
        for page in pages:
            made.add(Packed.of(page))
        return made.hex()

    whole = sums(points)
    assert sums(points[:3], [], points[3:]) == whole
    assert sums(points[:-1]) != whole
    assert sums([Point(T0, -0.0), *points[1:]]) != whole
    assert sums([Point(T0 - 1, 0.0), *points[1:]]) != whole
    assert sums([Point(1, "at"), Point(2, "b")]) != sums([Point(1, "a"), Point(2, "tb")])


def url(folder: Path, name: str) -> str:
    return f"sqlite:{folder / name}"


def test_a_copy_that_is_killed_goes_on_and_ends_equal(tmp_path: Path, influxd: Influxd) -> None:
    source, target = open_store(url(tmp_path, "store.db")), open_store(influxd.url)
    target.check()
    target.delete_site(SITE)
    for number in range(4):
        source.write_columns(many(10_000, f"barn-{number}"))
    arguments = ("store", "copy", "own", influxd.url, "--site", SITE)
    with makiba(*arguments, log=tmp_path / "log", env={"MAKIBA_HOME": str(tmp_path)}) as process:
        second = Series(SITE, "barn-1", "air_temperature")
        wait_until(lambda: target.range(second, T0, LATEST_MS, 1) or not process.running, 30, process.log)
        process.kill()
    before = sum(len(target.range(s, *ALL)) for s in target.series(SITE))
    assert 10_000 <= before < 40_000
    ran = run(tmp_path, *arguments, "--list")
    assert ran.returncode == 0, ran.stderr
    assert f"40000 readings of 4 series, {40_000 - before} written now; all the same in TO" in ran.stderr
    assert [line.split("\t")[0] for line in ran.stdout.splitlines()] == ["10000"] * 4
    assert contents(target) == contents(source)
    source.close()
    target.close()


def test_what_the_target_refuses_is_listed_and_everything_else_is_there(tmp_path: Path, influxd: Influxd) -> None:
    source = open_store(url(tmp_path, "store.db"))
    far = Reading(AIR, LATEST_MS, 1.0)  # InfluxDB ends in 2262
    source.write([*hard_readings(), far])
    source.close()
    target = open_store(influxd.url)
    target.check()
    target.delete_site(SITE)
    ran = run(tmp_path, "store", "copy", "own", influxd.url, "--site", SITE)
    assert ran.returncode == 1
    assert f"refused: {AIR} 9999-12-31T23:59:59.999" in ran.stderr
    assert f"{len(hard_readings()) + 1} readings of 4 series" in ran.stderr
    assert "1 series differ" in ran.stderr
    assert sum(len(target.range(s, *ALL)) for s in target.series(SITE)) == len(hard_readings())
    target.close()


def test_without_a_name_every_farm_is_copied_and_an_unknown_one_has_its_nearest(tmp_path: Path) -> None:
    source = open_store(url(tmp_path, "store.db"))
    other = Series("shikaoi-002", "barn-1", "air_temperature")
    source.write([Reading(AIR, T0, 1.0), Reading(other, T0, 2.0), Reading(other, T0 + 1, 3.0)])
    source.close()
    target = url(tmp_path, "target.db")
    wrong = run(tmp_path, "store", "copy", "own", target, "--site", "shikaoi-003")
    assert wrong.returncode == 2
    assert "FROM has nothing of a site 'shikaoi-003'; did you mean 'shikaoi-00" in wrong.stderr
    ran = run(tmp_path, "store", "copy", "own", target, "--list")
    assert ran.returncode == 0, ran.stderr
    assert [line.split("\t")[::2] for line in ran.stdout.splitlines()] == [["1", str(AIR)], ["2", str(other)]]
    store = open_store(target)
    assert store.range(other, *ALL) == [Point(T0, 2.0), Point(T0 + 1, 3.0)]
    store.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("own", "own"), "FROM and TO are the same store"),
        (("own", "sqlite:T/other.db"), "no store at T/store.db"),
        (("sqlite:T/here.db", "sqllite:x"), "did you mean 'sqlite'?"),
        (("own", "sqlite:T/other.db", "--since", "tomorrow"), "'tomorrow' is not a time"),
        (
            ("sqlite:T/here.db", "influx+http://h/b?api=2", "--site", SITE, "--to-token-file", "T/no"),
            "T/no: No such file",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    open_store(url(tmp_path, "here.db")).close()
    ran = run(tmp_path, "store", "copy", *(word.replace("T/", f"{tmp_path}/") for word in arguments))
    assert ran.returncode == 2
    assert not (tmp_path / "store.db").exists()
    assert not (tmp_path / "other.db").exists()
    assert said.replace("T/", f"{tmp_path}/") in ran.stderr


# ------------------------------------------------------------------------------- where raw readings have expired

MIDNIGHT = 1_789_916_400_000  # Monday 2026-09-21T00:00+09:00
DAY, QUARTER, MINUTE, HOUR = 86_400_000, 900_000, 60_000, 3_600_000
QUICK = Series(SITE, "quick", "air_temperature")


def worn(store: Store) -> Store:
    """`store` with nine days of readings, rolled up, the raw ones of the first seven forgotten."""
    store.check()
    store.delete_site(SITE)
    for series, step_ms in ((AIR, 60_000), (QUICK, 10_000)):
        for day in range(9):
            hours = MIDNIGHT + day * DAY + 6 * HOUR, MIDNIGHT + day * DAY + 8 * HOUR
            times = list(range(*hours, step_ms))
            store.write_columns(Columns([series] * len(times), times, [20 + t % 977 / 7 for t in times]))
    store.write([Reading(STATE, MIDNIGHT + DAY, "ok")])
    assert store.expire("raw", MIDNIGHT + 7 * DAY) == MIDNIGHT + 7 * DAY
    while store.roll_up(MIDNIGHT + 30 * DAY):
        pass
    return store


@pytest.fixture(params=["sqlite to influx", "influx to sqlite", "influx to influx", "sqlite to sqlite"])
def pair(influxd: Influxd, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Store, Store]]:
    """Two stores of this test's own: what was forgotten once stays so."""
    stores = []
    for kind, end in zip(request.param.split(" to "), ("from", "to"), strict=True):
        name = f"{end}{abs(hash(request.node.name))}"
        influx_url = influxd.url.replace("/makiba", f"/{name}")
        stores.append(open_store(url(tmp_path, f"{end}.db") if kind == "sqlite" else influx_url))
        stores[-1].check()
    yield stores[0], stores[1]
    for store in stores:
        store.close()


def test_what_has_only_roll_ups_left_answers_the_same_after_the_move(pair: tuple[Store, Store]) -> None:
    source, target = worn(pair[0]), pair[1]
    take_over_horizons(source, target)
    assert copied(source, target).unequal == []
    carried = [carry(source, target, series, *ALL) for series in source.series(SITE)]
    assert sum(c.windows for c in carried) == 7 * 2 * (8 + 1) + 7 * 120  # quarters and days of two, minutes of one
    assert sum(c.unequal for c in carried) == 0
    while target.roll_up(MIDNIGHT + 30 * DAY):
        pass
    for width, offset in ((DAY, DAY_OFFSET_MS), (HOUR, 0), (QUARTER, 0), (MINUTE, 0)):
        for series in (AIR, QUICK):
            span = (MIDNIGHT, MIDNIGHT + 10 * DAY, width, offset)
            assert differing(source.windows(series, *span), target.windows(series, *span)) == 0
            assert len(source.windows(series, *span)) == len(target.windows(series, *span)) > 8
    late = Reading(AIR, MIDNIGHT + DAY + 6 * HOUR, -5.0)
    with pytest.raises(ReadingsRejected, match="older than"):
        target.write([late])


def test_a_target_that_still_has_older_readings_is_left_alone(pair: tuple[Store, Store]) -> None:
    source, target = worn(pair[0]), pair[1]
    other = Series("shikaoi-002", "barn", "air_temperature")
    target.delete_site(SITE)
    target.write([Reading(other, MIDNIGHT + DAY, 1.0)])
    with pytest.raises(CarryRefused, match="FROM has no raw readings before 2026-09-28, and TO has"):
        take_over_horizons(source, target)
    assert target.range(other, *ALL) == [Point(MIDNIGHT + DAY, 1.0)]
