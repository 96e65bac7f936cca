"""Deletes on an InfluxDB with its index in memory, as Debian ships it: what they leave stays to be found.

Each story here makes the server itself forget what it has on its disk when the anchor is not written (see
`influx_http.Database`): a series that begins with two readings in one request, one more that goes first and makes a
new generation of the index, a third that comes after that and has to stay.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.store import StoreMisconfigured
from collectors.store.influx import InfluxStore, open_influx
from collectors.store.levels import DAY_MS, QUARTER_MS, day_of
from makiba.reading import Columns, Series
from tests.parts import wait_until
from tests.service.influx_parts import INFLUXD, NO_INFLUXD, Influxd

T0 = day_of(1_784_000_000_000)
_numbers = itertools.count(1)

pytestmark = pytest.mark.skipif(INFLUXD is None, reason=NO_INFLUXD)


@pytest.fixture(scope="module")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    with Influxd(tmp_path_factory.mktemp("influx"), index="inmem") as server:
        yield server


@pytest.fixture
def store(influxd: Influxd) -> Iterator[InfluxStore]:
    opened = open_influx(influxd.base(f"db{next(_numbers)}"))
    opened.check()
    yield opened
    opened.close()


def series_of(site: str, name: str = "barn-1") -> Series:
    return Series(site, name, "air_temperature")


def write(store: InfluxStore, series: Series, *times_ms: int) -> None:
    store.write_columns(Columns([series] * len(times_ms), list(times_ms), [21.5] * len(times_ms)))


def times_of(store: InfluxStore, series: Series) -> list[int]:
    return [point.time_ms for point in store.range(series, 0, 1 << 52)]


def finish(store: InfluxStore) -> None:
    while store.roll_up(T0 + 400 * DAY_MS, 500):
        pass


def test_what_an_expiry_leaves_is_found(store: InfluxStore) -> None:
    for month in range(6):
        begin = T0 + month * 30 * DAY_MS
        short, long, next_one = (series_of(f"farm-{month + n}", f"barn-{n}") for n in range(3))
        write(store, short, begin)
        write(store, long, begin + 15 * DAY_MS, begin + 15 * DAY_MS + 1000)
        assert store.expire("raw", begin + 10 * DAY_MS) == begin + 10 * DAY_MS
        write(store, next_one, begin + 25 * DAY_MS, begin + 26 * DAY_MS)
        assert store.expire("raw", begin + 20 * DAY_MS) == begin + 20 * DAY_MS
        for level in ("minute", "quarter"):
            store.expire(level, begin + 20 * DAY_MS)
        assert times_of(store, long) == []
        assert times_of(store, next_one) == [begin + 25 * DAY_MS, begin + 26 * DAY_MS]
        # Its marks are found too, or its windows would be taken for folded.
        for _ in range(2):
            windows = store.windows(next_one, begin + 20 * DAY_MS, begin + 30 * DAY_MS, QUARTER_MS)
            assert [window.start_ms for window in windows] == [begin + 25 * DAY_MS, begin + 26 * DAY_MS]
            finish(store)
    assert store.inventory().series == 1  # anchors are nobody's


def test_what_is_left_when_farms_leave_is_found(store: InfluxStore) -> None:
    first, second, stays = (series_of(f"farm-{n}") for n in range(3))
    write(store, first, T0, T0 + 1000)
    write(store, second, T0, T0 + 1000)
    finish(store)
    store.delete_site("farm-0")
    write(store, stays, T0, T0 + 1000)
    finish(store)
    store.delete_site("farm-1")
    assert store.sites() == ["farm-2"]
    assert store.series("farm-2") == [stays]
    assert times_of(store, stays) == [T0, T0 + 1000]
    (day,) = store.windows(stays, T0, T0 + DAY_MS, DAY_MS, T0 % DAY_MS)
    assert day.count == 2


def test_readings_that_come_while_others_expire_are_found(store: InfluxStore) -> None:
    living = [series_of(f"living-{n}") for n in range(20)]
    for series in living:
        write(store, series, T0 + 300 * DAY_MS, T0 + 300 * DAY_MS + 1000)
    written = {series: {T0 + 300 * DAY_MS, T0 + 300 * DAY_MS + 1000} for series in living}
    stop = threading.Event()
    problems: list[Exception] = []

    def go_on() -> None:
        at = T0 + 301 * DAY_MS
        while not stop.is_set():
            at += 60_000
            try:
                store.write_columns(Columns(living, [at] * len(living), [21.5] * len(living)))
            except Exception as error:
                problems.append(error)
            for series in living:
                written[series].add(at)

    writer = threading.Thread(target=go_on)
    writer.start()
    for week in range(10):
        begin = T0 + week * 7 * DAY_MS
        write(store, series_of(f"old-{week}"), begin, begin + 1000)
        write(store, series_of(f"old-{week}", "barn-2"), begin + 5 * DAY_MS, begin + 5 * DAY_MS + 1000)
        store.expire("raw", begin + 3 * DAY_MS)
        store.delete_site(f"old-{week - 1}")
    stop.set()
    writer.join()
    assert problems == []
    for series in living:
        assert times_of(store, series) == sorted(written[series])


def test_an_index_that_forgets_all_the_same_is_told_and_a_restart_brings_it_back(tmp_path: Path) -> None:
    """A generation of the index from before there were anchors: somebody deleted by hand."""
    now_ms = time.time_ns() // 1_000_000
    with Influxd(tmp_path, index="inmem") as server:
        store = open_influx(server.base("makiba"))
        store.check()
        long, stays = series_of("farm-1"), series_of("farm-2")
        write(store, series_of("farm-0"), T0)
        write(store, long, T0 + 15 * DAY_MS, T0 + 15 * DAY_MS + 1000)
        server.ask("DELETE FROM air WHERE site='farm-0'")
        write(store, stays, now_ms)
        with pytest.raises(StoreMisconfigured, match=r"forgotten air.*restart influxd"):
            store.delete_site("farm-1")
        assert times_of(store, stays) == []
        server.kill()
        server.start()
        wait_until(lambda: times_of(store, stays) == [now_ms], 20, server.process.log)
        store.close()
