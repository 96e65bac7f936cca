"""What getting out costs: peak memory, CPU and size of each form of export, and of a copy to another store.

    ./run bench out [--readings 10000000] [--copy 1000000] [--keep FOLDER] [--json FILE]

Each command runs as a process of its own, as a person starts it; memory is the kernel's own peak (getrusage). The
store is SQLite with 20 series of one-minute values with one decimal. Then the same files by `makiba serve`, of which
the peak is the whole process (`served_out`). `--copy 0` leaves the copies out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from collectors.store import open_store
from makiba.reading import Columns, Series
from tests.bench.served_out import make_owner, served
from tests.parts import ROOT
from tests.service.influx_parts import INFLUXD, Influxd

SITE = "big-1"
SERIES = 20
PAGE = 50_000
T0 = 1_760_000_000_000
EXPORTS = (
    ("--format", "csv"), ("--format", "xlsx"), ("--format", "parquet"), ("--format", "senml"),
    ("--format", "csv", "--wide"), ("--format", "csv", "--every", "15min"),
)  # fmt: skip


SERVED = (
    ("form=csv", "identity"), ("form=csv", "gzip"), ("form=csv-cp932", "identity"), ("form=xlsx", "identity"),
    ("form=parquet", "identity"), ("form=senml", "identity"), ("form=csv&wide=true", "identity"),
    ("form=csv&width_ms=900000", "identity"),
)  # fmt: skip
"""What a browser asks `makiba serve` for, and what it lets be packed."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took."""

    what: str
    code: int
    peak_mib: float
    cpu_s: float
    wall_s: float
    out_mb: float


def fill(path: Path, readings: int) -> None:
    store = open_store(f"sqlite:{path}")
    chance = random.Random(1)
    for number in range(SERIES):
        series = Series(SITE, f"dev-{number}", "air_temperature")
        for at in range(0, readings // SERIES, PAGE):
            times = range(T0 + 60_000 * at, T0 + 60_000 * min(at + PAGE, readings // SERIES), 60_000)
            values: list[float | str] = [round(chance.gauss(20, 5), 1) for _ in times]
            store.write_columns(Columns([series] * len(times), list(times), values))
    store.close()


def cost(what: str, home: Path, out: Path | None, *arguments: str) -> Cost:
    """Runs `makiba …` and asks the kernel what it took."""
    began = time.monotonic()
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "makiba", *arguments],
        {**os.environ, "MAKIBA_HOME": str(home), "PYTHONPATH": str(ROOT)},
        file_actions=[(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, used = os.wait4(pid, 0)
    size = out.stat().st_size / 1e6 if out is not None and out.exists() else 0.0
    return Cost(
        what, os.waitstatus_to_exitcode(status), used.ru_maxrss / 1024, used.ru_utime + used.ru_stime,
        time.monotonic() - began, size,
    )  # fmt: skip


def run(home: Path, readings: int, copied: int) -> list[Cost]:
    rows: list[Cost] = []

    def done(row: Cost) -> None:
        rows.append(row)
        print(
            f"{row.what:<58} {row.peak_mib:7.0f} MiB {row.cpu_s:8.1f} s CPU {row.wall_s:8.1f} s {row.out_mb:8.0f} MB"
            + (f"  EXIT CODE {row.code}" if row.code else ""),
            flush=True,
        )

    fill(home / "store.db", readings)
    out = home / "out"
    for options in EXPORTS:
        done(cost(f"export {' '.join(options)}", home, out, "export", SITE, "-o", str(out), *options))
    make_owner(home, SITE)
    for query, encoding in SERVED:
        took = served(home, f"/sites/{SITE}/export?{query}", encoding)
        what = f"served, {query}{', gzip' if encoding == 'gzip' else ''} ({took.before_mib:.0f} MiB before)"
        done(Cost(what, 0, took.peak_mib, took.cpu_s, took.wall_s, took.out_mb))
    if not copied:
        return rows
    small = home / "copied"
    small.mkdir()
    fill(small / "store.db", copied)
    with Influxd(small / "influx") if INFLUXD else nullcontext() as server:
        targets = [("SQLite", f"sqlite:{small / 'there.db'}"), *([("InfluxDB", server.url)] if server else [])]
        for name, url in targets:
            done(cost(f"store copy, SQLite to {name}", small, None, "store", "copy", "own", url))
            done(cost(f"the same again, to {name}", small, None, "store", "copy", "own", url))
        if server:
            back = f"sqlite:{small / 'back.db'}"
            done(cost("store copy, InfluxDB to SQLite", small, None, "store", "copy", server.url, back))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=10_000_000)
    parser.add_argument("--copy", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="work here, and leave everything")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.keep:
        asked.keep.mkdir(parents=True)
    with nullcontext(str(asked.keep)) if asked.keep else tempfile.TemporaryDirectory(prefix="makiba-out-") as folder:
        rows = run(Path(folder), asked.readings, asked.copy)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    return max(row.code for row in rows)


if __name__ == "__main__":
    sys.exit(main())
