"""What a writer of SQLite remembers of series: bounded, and whatever it forgets, what is written is the same."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collectors.store import ReadingsRejected
from collectors.store.levels import QUARTER_MS
from collectors.store.sqlite import SqliteStore
from collectors.store.sqlite_writes import Writer
from makiba.reading import Columns, Series, Value
from tests.often import often

HOUR_MS = 3_600_000
START = 1_790_000_000_000 // HOUR_MS * HOUR_MS
QUANTITIES = ("air_temperature", "relative_humidity", "state", "no_such_word")

Row = tuple[int, int, int, int, Value]
"""Farm, subject, quantity, time, value."""

_rows = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 14),
        st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3]),
        st.sampled_from([0, 0, 0, 1, HOUR_MS, 2 * HOUR_MS, -HOUR_MS, -100 * HOUR_MS]).map(lambda late: START + late),
        st.sampled_from([0.0, -0.0, 21.5, 1 / 3, 7, float("nan"), 10**400, "ok"]),
    ),
    min_size=1,
    max_size=40,
)  # fmt: skip
_steps = st.lists(_rows | st.sampled_from(["roll up", "fail", "leave", "another"]), min_size=1, max_size=12)


def columns_of(rows: list[Row]) -> Columns:
    names = [Series(f"farm-{farm}", f"s-{subject}", QUANTITIES[quantity]) for farm, subject, quantity, _, _ in rows]
    return Columns(names, [row[3] for row in rows], [row[4] for row in rows])


class _Dies(Exception):
    pass


def take(store: SqliteStore, step: list[Row] | str) -> tuple[tuple[int, str], ...]:
    """Does `step`; what was rejected."""
    if step == "roll up":
        store.roll_up(START + 2 * HOUR_MS, 3)
    elif step == "leave":
        store.delete_site("farm-0")
    elif step == "another":  # another process takes a new series
        with closing(SqliteStore(store.path)) as other:
            other.write_columns(columns_of([(1, 0, 0, START, 3.5), (1, 99, 1, START, 3.5)]))
    elif step == "fail":
        with suppress(_Dies), store._transaction() as db:
            store._write.put(db, columns_of([(0, s, 0, START, 1.5) for s in range(12)]))
            raise _Dies
    else:
        assert not isinstance(step, str)
        try:
            store.write_columns(columns_of(step))
        except ReadingsRejected as error:
            return tuple(error.rejected)
    return ()


def seen(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT site, subject, quantity, time_ms, value FROM reading").fetchall()
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return sorted(tuple(map(str, row)) for row in rows)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@settings(max_examples=often(60), deadline=None)
@given(steps=_steps)
@example(steps=[[(1, 1, 0, START, 1.5), (1, 1, 2, START, "ok")], [(2, 1, 0, START, 1.5)], [(1, 1, 2, START, 7)]])
def test_what_is_written_does_not_depend_on_what_is_remembered(
    tmp_path_factory: pytest.TempPathFactory, steps: list[list[Row] | str]
) -> None:
    """A writer that forgets all the time, and one that looks nothing up: every reading takes the slow way there."""
    folder = tmp_path_factory.mktemp("same")
    with closing(SqliteStore(folder / "a.db")) as usual, closing(SqliteStore(folder / "b.db")) as forgetful:
        with closing(SqliteStore(folder / "c.db")) as slow:
            forgetful._write = Writer(1)
            slow._write._put_live = lambda *_: False  # type: ignore[method-assign]
            slow._write._put_open = lambda db, columns, layout: list(range(len(columns)))  # type: ignore[method-assign]
            for step in steps:
                assert take(usual, step) == take(forgetful, step) == take(slow, step)
            assert seen(usual.path) == seen(forgetful.path) == seen(slow.path)


def test_a_writer_remembers_a_bounded_number_of_series(path: Path) -> None:
    every = [Series(f"farm-{f}", f"s-{i}", q) for f in range(40) for i in range(10) for q in QUANTITIES[:3]]
    with closing(SqliteStore(path)) as store:
        store._write = Writer(100)
        most = 0
        for turn in range(3):
            for at in range(0, len(every), 30):
                part = every[at : at + 30]
                values: list[Value] = ["ok" if s.quantity == "state" else 1.5 + turn for s in part]
                store.write_columns(Columns(part, [START + turn * QUARTER_MS] * 30, values))
                most = max(most, store._write.remembered)
        assert 100 <= most <= 2 * (100 + 25)
        assert len(seen(path)) == 3 * len(every)
        assert sum(len(store.series(f"farm-{f}")) for f in range(40)) == len(every)
        # More in one commit than it remembers, all known: bounded by the commit.
        numbers = [series for series in every if series.quantity != "state"]
        store.write_columns(Columns(numbers, [START + 7] * 800, [2.5] * 800))
        assert store._write.remembered <= 800 + 250
        store.write_columns(Columns(every[:1], [START + 8], [2.5]))
        store.write_columns(Columns(every[30:31], [START + 8], [2.5]))
        assert len(seen(path)) == 3 * len(every) + 802
