"""A recording through the real gateway, broker and collector is in the store value for value, gaps too."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest

from collectors.store import open_store
from demo.recorded import read_recording
from demo.replay import DEVICE, SITE, compare
from makiba.reading import Reading, Series
from tests.parts import ROOT, makiba

SHARED = Path(os.environ.get("TEST_SHARED_DATA", ROOT.parent / "shared" / "data"))
MONTH = SHARED / "recorded-greenhouse" / "one-month-every-5-minutes.csv"
ROWS, COLUMNS = 200, 40


def small_file(path: Path) -> Path:
    """Forty columns, so that a row needs two reads; awkward numbers; single gaps, rows of gaps, a dead column."""
    chance = random.Random(7)
    lines = ["," + ",".join(f"sensor {i} - {'°C' if i % 2 else 'ppm'}" for i in range(COLUMNS))]
    for row in range(ROWS):
        cells = [repr(chance.choice((chance.uniform(-50, 50), 0.1 * row, 0.0, -0.0, 1 / 3))) for _ in range(COLUMNS)]
        cells = ["" if i == 5 or row in (20, 21) or chance.random() < 0.1 else c for i, c in enumerate(cells)]
        lines.append(f"2020-08-16 {row // 60:02d}:{row % 60:02d}:00," + ",".join(cells))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_recording_is_in_the_store_value_for_value(tmp_path: Path) -> None:
    file, home = small_file(tmp_path / "recorded.csv"), tmp_path / "home"
    with makiba("demo", "--replay", str(file), "--verify", "--home", str(home), log=tmp_path / "log") as replay:
        assert replay.wait(60) == 0, replay.log()
    assert f"{ROWS} of {ROWS} in the store, 0 twice" in replay.log()
    # The comparison once more, and that it sees a single value that is wrong.
    recording, store = read_recording(file), open_store(f"sqlite:{home / 'store.db'}")
    found = compare(recording, store)
    assert found.is_good
    assert found.rows == ROWS
    gaps = sum(value is None for row in recording.rows for value in row.values)
    assert (found.equal, found.gaps) == (ROWS * COLUMNS - gaps, gaps)
    column = recording.columns[0]
    series = Series(SITE, f"{DEVICE}.{column.channel}", column.quantity)
    some = store.range(series, 0, 1 << 53)[3]
    store.write([Reading(series, some.time_ms, float(some.value) + 1e-9), Reading(series, some.time_ms + 1, 5.0)])
    spoilt = compare(recording, store)
    assert (spoilt.wrong, spoilt.invented) == (1, 1)
    assert not spoilt.is_good
    store.close()


@pytest.mark.long
@pytest.mark.timeout(420)
@pytest.mark.skipif(not MONTH.is_file(), reason="the recorded month is not here (TEST_SHARED_DATA names its folder)")
def test_a_real_month_of_a_greenhouse_is_in_the_store_value_for_value(tmp_path: Path) -> None:
    """Its first week; TEST_WHOLE_MONTH=1 takes all of it, which is a minute and a half more."""
    rows = MONTH.read_text(encoding="utf-8").splitlines(keepends=True)
    if not os.environ.get("TEST_WHOLE_MONTH"):
        rows = rows[:2017]
    file = tmp_path / "recorded.csv"
    file.write_text("".join(rows), encoding="utf-8")
    arguments = ("--replay", str(file), "--verify", "--home", str(tmp_path / "home"))
    with makiba("demo", *arguments, log=tmp_path / "log") as replay:
        assert replay.wait(400) == 0, replay.log()
    assert re.search(r"(\d+) of \1 in the store, 0 twice", replay.log()), replay.log()


def test_a_file_that_is_no_recording_is_said_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("t,a\n2020-01-01,1\n2020-01-02,oops\n")
    with makiba("demo", "--replay", str(file), "--verify", log=tmp_path / "log") as replay:
        assert replay.wait(20) == 2
    assert f"{file}:3: column 2" in replay.log()
