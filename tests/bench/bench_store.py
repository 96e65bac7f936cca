"""The store's figures: CPU and rate of writing with roll-ups, bytes at rest, how long charts and latest values take.

A farm is 200 series, a reading a minute each, one decimal. Writes go in the order of time, as they do all day, and
the job folds what is over after each hour; CPU is this process's own (SQLite), or the client's (InfluxDB, whose
server comes extra). Charts are asked for while another process writes a farm's packs at its real rate times 60.

    ./run bench store [--quick] [--store sqlite|influx] [--only PART] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from collectors.store import Store, open_store
from collectors.store.levels import DAY_MS, DAY_OFFSET_MS, MINUTE_MS, QUARTER_MS
from collectors.store.rollup import roll_up_all
from makiba.reading import Columns, Series, Value
from tests.bench.bench_gateway import Figure
from tests.parts import ROOT

START_MS = 1_758_466_800_000
"""2025-09-22, a Monday, midnight at UTC+9."""
HOUR_MS = 3_600_000
SERIES = 200
YEAR = 365
CHARTS = {
    "year in days": (YEAR * DAY_MS, DAY_MS, DAY_OFFSET_MS, 20.0),
    "year, 300 points at most": (YEAR * DAY_MS, 2 * DAY_MS, DAY_OFFSET_MS, 20.0),
    "month, 300 points at most": (30 * DAY_MS, 3 * HOUR_MS, DAY_OFFSET_MS, 20.0),
    "week, 300 points at most": (7 * DAY_MS, HOUR_MS, DAY_OFFSET_MS, 20.0),
    "day, 300 points at most": (DAY_MS, 5 * MINUTE_MS, DAY_OFFSET_MS, None),
}
"""Length, width, offset, and the most that p99 may be, in ms."""


def farm(number: int, count: int = SERIES) -> list[Series]:
    quantities = ("air_temperature", "relative_humidity", "soil_moisture", "voltage", "value")
    return [Series(f"farm-{number}", f"sensor-{i}", quantities[i % len(quantities)]) for i in range(count)]


class Walk:
    """Values that move as measured ones do: one decimal, a little at a time."""

    def __init__(self, count: int) -> None:
        self._chance = random.Random(1)
        self._values = [self._chance.uniform(5, 80) for _ in range(count)]

    def next(self) -> list[Value]:
        gauss = self._chance.gauss
        self._values = [value + gauss(0, 0.3) for value in self._values]
        return [round(value, 1) for value in self._values]


def polls(series: Sequence[Series], start_ms: int, every_ms: int, count: int) -> Iterator[Columns]:
    """Each poll of all `series`; ten series of a device have one time, each device its own moment."""
    walk = Walk(len(series))
    for i in range(count):
        at = start_ms + i * every_ms
        times = [at + n // 10 * 97 % every_ms for n in range(len(series))]
        yield Columns(list(series), times, walk.next())


def packs(poll: Columns, size: int) -> Iterator[Columns]:
    for at in range(0, len(poll), size):
        end = at + size
        yield Columns(poll.series[at:end], poll.times_ms[at:end], poll.values[at:end])


def size_of(path: Path) -> int:
    return sum(Path(f"{path}{end}").stat().st_size for end in ("", "-wal") if Path(f"{path}{end}").exists())


# --------------------------------------------------------------------------------------------------------- parts

Say = Callable[[Figure], None]
Open = Callable[[str], Store]


def writing(open_: Open, say: Say, quick: bool) -> None:
    """CPU of a reading by readings in a commit, and what the roll-ups add."""
    for size in (10, 100, 1000, 5000):
        store = open_(f"write-{size}")
        hours = (1 if size < 100 else 2 if size < 1000 else 8) * (1 if quick else 3)
        series = farm(1)
        prepared = list(polls(series, START_MS, MINUTE_MS, 60 * hours))
        commits = (
            [pack for poll in prepared for pack in packs(poll, size)] if size < SERIES else _joined(prepared, size)
        )
        for part in packs(prepared[0], 50):  # series that are new are not what is measured
            store.write_columns(Columns(part.series, [t - 3 * HOUR_MS for t in part.times_ms], part.values))
        roll_up_all(store, START_MS - HOUR_MS)
        count = sum(map(len, commits))
        cpu_s, fold_s, wall_s = time.process_time(), 0.0, time.perf_counter()
        hour = START_MS
        for pack in commits:
            store.write_columns(pack)
            if pack.times_ms[0] >= hour + HOUR_MS + 2 * MINUTE_MS:
                began = time.process_time()
                roll_up_all(store, pack.times_ms[0] - 2 * MINUTE_MS)
                fold_s += time.process_time() - began
                hour += HOUR_MS
        began = time.process_time()
        roll_up_all(store, START_MS + hours * HOUR_MS)
        fold_s += time.process_time() - began
        total_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
        target = {10: 5.0, 100: 2.5}.get(size)
        say(
            Figure(
                f"write, {size} a commit: CPU, roll-ups included", total_s / count * 1e6, "us/rdg", target, False, ""
            )
        )
        say(Figure(f"write, {size} a commit: of which roll-ups", fold_s / count * 1e6, "us/rdg", None, False, ""))
        say(
            Figure(
                f"write, {size} a commit: rate, roll-ups included",
                count / wall_s,
                "rdg/s",
                None,
                True,
                "5,200 InfluxDB",
            )
        )
        store.close()


def _joined(parts: Sequence[Columns], size: int) -> list[Columns]:
    joined = [Columns()]
    for part in parts:
        if len(joined[-1]) >= size:
            joined.append(Columns())
        joined[-1].extend(part)
    return joined


def at_rest(folder: Path, say: Say, quick: bool) -> None:
    """Bytes of a reading in the file, roll-ups, names and free pages included."""
    days = 10
    cases = (
        ("one-minute data", MINUTE_MS, days, 0.0),
        ("one-minute data, 5 % late by hours to days", MINUTE_MS, days if not quick else 3, 0.05),
        ("10-second data", 10_000, 1 if quick else 2, 0.0),
        ("15-minute data", QUARTER_MS, 30, 0.0),
    )
    for what, every_ms, length, late in cases:
        series = farm(1, SERIES if not quick else 50)
        path = folder / f"rest-{every_ms}-{late}.db"
        store = open_store(f"sqlite:{path}")
        count = 0
        chance = random.Random(2)
        waiting: list[Columns] = []
        for number, poll in enumerate(polls(series, START_MS, every_ms, length * DAY_MS // every_ms)):
            count += len(poll)
            if chance.random() < late:
                waiting.append(poll)
            else:
                store.write_columns(poll)
            if number % (HOUR_MS // min(every_ms, HOUR_MS)) == 0:
                roll_up_all(store, poll.times_ms[0] - 2 * MINUTE_MS)
            if waiting and chance.random() < 1 / 700:
                for batch in waiting:
                    store.write_columns(batch)
                waiting.clear()
        for batch in waiting:
            store.write_columns(batch)
        roll_up_all(store, START_MS + (length + 1) * DAY_MS)
        assert store.inventory().rows["raw"] == count
        store.close()
        say(
            Figure(
                f"at rest: {what}",
                size_of(path) / count,
                "B/rdg",
                30 if every_ms <= MINUTE_MS else None,
                False,
                "25-46 raw only",
            )
        )


_WRITER = (
    "import sys, time; from tests.bench.bench_store import farm, polls, packs, MINUTE_MS, open_store\n"
    "store = open_store(sys.argv[1]); start = int(sys.argv[2])\n"
    "for poll in polls(farm(1), start, MINUTE_MS, 1 << 40):\n"
    "    began = time.monotonic()\n"
    "    for pack in packs(poll, 100): store.write_columns(pack)\n"
    "    time.sleep(max(0.0, 1.0 - (time.monotonic() - began)))\n"
)


@contextmanager
def a_writer(url: str, start_ms: int) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", _WRITER, url, str(start_ms)], cwd=ROOT)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def charts(open_: Open, url_of: Callable[[str], str], say: Say, quick: bool) -> None:
    """A year of one series, one-minute data, as charts; alone and beside 99 other farms."""
    for farms in (1, 100):
        name = f"year-{farms}"
        store = open_(name)
        for number in range(1, farms + 1):
            # The others' readings are fewer, their roll-ups as many.
            _write_year(
                store, number, MINUTE_MS if number == 1 else 15 * MINUTE_MS, 73 if quick and number > 1 else 1
            )
        end = START_MS + YEAR * DAY_MS
        for poll in polls(farm(1), end, MINUTE_MS, 90):
            store.write_columns(poll)
        roll_up_all(store, end + HOUR_MS)
        with a_writer(url_of(name), end + 2 * HOUR_MS):
            _ask(store, f"{farms} farms, a writer", end + HOUR_MS, 100 if quick else 300, say)
        store.close()


def _write_year(store: Store, number: int, every_ms: int, every_days: int) -> None:
    """A year of the first series of a farm, or of it one day in `every_days`, thirty at a time."""
    chance, value = random.Random(3), 20.0
    series = farm(number, 1)[0]
    days = range(0, YEAR, every_days)
    for some in range(0, len(days), 30):
        times = [START_MS + day * DAY_MS + at for day in days[some : some + 30] for at in range(0, DAY_MS, every_ms)]
        values: list[Value] = []
        for _ in times:
            value += chance.gauss(0, 0.1)
            values.append(round(value, 1))
        store.write_columns(Columns([series] * len(times), times, values))


def _ask(store: Store, where: str, end: int, times: int, say: Say) -> None:
    series, chance = farm(1, 1)[0], random.Random(4)
    for what, (length, width, offset, target) in CHARTS.items():

        def ask(length: int = length, width: int = width, offset: int = offset) -> int:
            start = end - length - chance.randrange(HOUR_MS)
            return len(store.windows(series, start, start + length, width, offset))

        _say_p99(say, f"chart, {where}: {what}", _timed(times, ask), target)
    _say_p99(say, f"latest of a farm, {where}", _timed(100, lambda: len(store.latest("farm-1"))), None)


def _timed(times: int, ask: Callable[[], int]) -> list[tuple[float, float]]:
    """Milliseconds on the clock, and of this thread's CPU, of each of `times` questions."""
    took = []
    for _ in range(times):
        clock_s, cpu_s = time.perf_counter(), time.thread_time()
        assert ask() > 100
        took.append(((time.perf_counter() - clock_s) * 1000, (time.thread_time() - cpu_s) * 1000))
    return took


def _say_p99(say: Say, what: str, took: Sequence[tuple[float, float]], target: float | None) -> None:
    clock, cpu = (sorted(values)[int(0.99 * len(took))] for values in zip(*took, strict=True))
    say(Figure(f"{what}: p99", clock, "ms", target, False, ""))
    say(Figure(f"{what}: p99 of CPU", cpu, "ms", target, False, ""))


# ----------------------------------------------------------------------------------------------------------- main


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="about a minute; coarser")
    options.add_argument("--store", choices=("sqlite", "influx"), default="sqlite")
    options.add_argument("--only", help="parts whose name contains this: write, rest, chart")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    figures: list[Figure] = []

    def say(figure: Figure) -> None:
        print(figure, flush=True)
        figures.append(figure)

    with tempfile.TemporaryDirectory(prefix="makiba-bench-") as name, _stores(given.store, Path(name)) as url_of:
        parts: dict[str, Callable[[], None]] = {
            "write": lambda: writing(lambda n: open_store(url_of(n)), say, given.quick),
            "rest": lambda: at_rest(Path(name), say, given.quick),
            "chart": lambda: charts(lambda n: open_store(url_of(n)), url_of, say, given.quick),
        }
        if given.store == "influx":
            del parts["rest"]
        for part, run in parts.items():
            if not given.only or given.only in part:
                run()
    load = os.getloadavg()[0]
    print(f"\n{sum(not f.met for f in figures)} of {len(figures)} figures missed; load of the machine {load:.1f}")
    if given.json:
        rows = [{**asdict(f), "met": f.met} for f in figures]
        given.json.write_text(json.dumps({"load": load, "figures": rows}, indent=1, ensure_ascii=False) + "\n")
    return 0


@contextmanager
def _stores(kind: str, folder: Path) -> Iterator[Callable[[str], str]]:
    """The address of a store by name."""
    if kind == "sqlite":
        yield lambda name: f"sqlite:{folder / name}.db"
        return
    from tests.service.influx_parts import Influxd

    with Influxd(folder) as server:
        yield lambda name: server.url.rsplit("/", 1)[0] + "/" + name.replace("-", "_")


if __name__ == "__main__":
    raise SystemExit(main())
