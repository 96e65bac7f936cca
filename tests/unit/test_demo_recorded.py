"""Recorded CSV files as they come, and the server that presents their rows."""

from __future__ import annotations

import random
import struct
from itertools import pairwise
from pathlib import Path

import pytest

from demo.recorded import Recording, RecordingError, Row, read_recording
from demo.replay_server import GAP, WIDTH, Rows


def written(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "recorded.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_a_comma_file_with_byte_order_mark_and_gaps(tmp_path: Path) -> None:
    text = "\ufeff,kas - °C (afd 1),RV - %\n2020-08-16 12:45:00,21.5,\n2020-08-16 12:47:00,,0\n"
    recording = read_recording(written(tmp_path, text))
    assert [(c.channel, c.quantity) for c in recording.columns] == [
        ("c01-kas-c-afd-1", "temperature"),
        ("c02-rv", "value"),
    ]
    assert [row.values for row in recording.rows] == [(21.5, None), (None, 0.0)]
    assert recording.rows[1].time_s - recording.rows[0].time_s == 120


def test_a_semicolon_file_in_windows_1252_with_decimal_comma(tmp_path: Path) -> None:
    path = written(tmp_path, "tijd;Temperatur °C;CO2\n16-08-2020 12:45;-3,25;NaN\n\n", "cp1252")
    recording = read_recording(path)
    assert recording.columns[0].quantity == "temperature"
    assert recording.rows[0].values == (-3.25, None)


def test_equal_headers_are_told_apart_and_long_ones_fit_a_name(tmp_path: Path) -> None:
    header = "the very same and very long header of a column"
    recording = read_recording(written(tmp_path, f"t,{header},{header},牛舎\n0,1,2,3\n"))
    channels = [c.channel for c in recording.columns]
    assert len(set(channels)) == 3
    assert all(len(c) <= 32 for c in channels)


def test_a_column_called_degrees_that_no_temperature_can_be_is_a_plain_value(tmp_path: Path) -> None:
    assert read_recording(written(tmp_path, "t,x °C\n0,99999\n")).columns[0].quantity == "value"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("t,a\n0,1\n1,x\n", r":3: column 2 \('a'\): 'x' is no number"),
        ("t,a\nyesterday,1\n", r":2: column 1: 'yesterday' is no time"),
        ("t,a\n0,1,2\n", ":2: 3 cells, the header has 2"),
        ("t\n0\n", ":1: expected a time column"),
        ("", ":1: expected a time column"),
        ("t,a\n0,1e999\n", "not finite"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_its_place(tmp_path: Path, text: str, where: str) -> None:
    with pytest.raises(RecordingError, match=where):
        read_recording(written(tmp_path, text))


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"none\.csv"):
        read_recording(tmp_path / "none.csv")


ROWS = tuple(Row(float(i), (i * 0.1, None if i % 3 else -i / 7)) for i in range(20))
LENGTH = 4 * WIDTH


def values(words: list[int]) -> tuple[float, ...]:
    return struct.unpack(f">{len(words) // WIDTH}d", struct.pack(f">{len(words)}H", *words))


@pytest.mark.parametrize("seed", range(20))
def test_each_row_is_seen_once_however_the_reads_are_split_and_repeated(seed: int) -> None:
    chance = random.Random(seed)
    rows = Rows(Recording("r", (None, None), ROWS))  # type: ignore[arg-type]
    for number, row in enumerate(ROWS, start=1):
        cuts = [0, *sorted(chance.sample(range(1, LENGTH), chance.randrange(4))), LENGTH]
        seen: list[int] = []
        for start, end in pairwise(cuts):
            for _ in range(chance.randrange(1, 4) if end < LENGTH else 1):
                part = rows.read(start, end - start)  # the same again is the same row
                assert part is not None
            seen += part or ()
        assert values(seen) == (number, row.time_s, row.values[0], GAP if row.values[1] is None else row.values[1])
    for _ in range(2):
        end_words = rows.read(0, LENGTH)
        assert end_words is not None
        assert values(list(end_words)) == (GAP,) * 4


def test_registers_past_the_last_are_none() -> None:
    rows = Rows(Recording("r", (None, None), ROWS))  # type: ignore[arg-type]
    assert rows.read(0, LENGTH + 1) is None
    assert rows.read(LENGTH, 1) is None
