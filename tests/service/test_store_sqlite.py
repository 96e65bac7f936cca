"""SQLite's own matters: the file as others see it, old files, backups, and a disk that is not as it should be."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from collectors.registry import open_registry
from collectors.store import (
    Point,
    StoreDamaged,
    StoreMisconfigured,
    StoreUnavailable,
    Window,
    open_store,
    sqlite_migrate,
)
from collectors.store.backup import BackupFailed, back_up
from collectors.store.levels import DAY_MS, DAY_OFFSET_MS, MINUTE_MS, QUARTER_MS
from collectors.store.rollup import LAG_MS, Policy, RollUpJob, expire_all, roll_up_all
from collectors.store.sqlite import SqliteStore
from collectors.store.sqlite_writes import Writer
from makiba.reading import Columns, Reading, Series
from tests.parts import ROOT, wait_until

MONDAY = 1_789_916_400_000
"""2026-09-21, midnight at UTC+9."""
AIR = Series("farm-1", "barn-1", "air_temperature")
STATE = Series("farm-1", "barn-1", "state")
HOUR_MS = 3_600_000


def rows(series: Series, start_ms: int, count: int, every_ms: int = MINUTE_MS) -> list[Reading]:
    chance = random.Random(str(series))
    return [Reading(series, start_ms + i * every_ms, round(chance.uniform(-20, 30), 1)) for i in range(count)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(path)) as opened:
        yield opened


# --------------------------------------------------------------------------------------------- seen from outside


def test_sqlite3_alone_shows_names_and_true_values(store: SqliteStore, path: Path) -> None:
    """Hot, settled in part, settled, late, a text, a number that is no short decimal, and -0.0."""
    others = [Series("farm-1", f"barn-{i}", "air_temperature") for i in range(2, 6)]
    written = [*rows(AIR, MONDAY - HOUR_MS, 180), *(r for s in others for r in rows(s, MONDAY, 120))]
    written += [Reading(AIR, MONDAY + 7, 1 / 3), Reading(AIR, MONDAY + 8, -0.0), Reading(STATE, MONDAY, "ok")]
    for reading in written:
        store.write([reading])
    store.roll_up(MONDAY + HOUR_MS, 1)  # one slice of the first hour
    store.roll_up(MONDAY + HOUR_MS, 1)
    store.write([Reading(AIR, MONDAY - HOUR_MS + 5, 9.5)])  # late
    written.append(Reading(AIR, MONDAY - HOUR_MS + 5, 9.5))
    with closing(sqlite3.connect(path)) as db:
        seen = db.execute("SELECT site, subject, quantity, time_ms, value FROM reading").fetchall()
        assert sorted(seen) == sorted((*r.series, r.time_ms, r.value) for r in written)
        assert str(next(row[4] for row in seen if row[3] == MONDAY + 8)) == "-0.0"
        assert db.execute("SELECT count(*) FROM series").fetchone() == (6,)
        while store.roll_up(MONDAY + DAY_MS, 100):
            pass
        seen = db.execute("SELECT site, subject, quantity, time_ms, value FROM reading").fetchall()
        assert sorted(seen) == sorted((*r.series, r.time_ms, r.value) for r in written)
        asked = "SELECT start_ms, count, minimum, mean, maximum, last FROM window_quarter WHERE subject = 'barn-2'"
        quarters = [Window(*row) for row in db.execute(asked)]
        assert quarters == store.rollups(others[0], "quarter", 0, 1 << 52)
        assert (
            quarters
            == [
                Window(w.start_ms, w.count, w.minimum, pytest.approx(w.mean), w.maximum, w.last)  # type: ignore[arg-type]
                for w in store.windows(others[0], MONDAY, MONDAY + DAY_MS, QUARTER_MS, 1)
                if False
            ]
            or len(quarters) == 8
        )


def test_days_are_right_after_every_slice_in_which_they_are_folded(store: SqliteStore) -> None:
    every = [Series("farm-1", f"barn-{i}", "air_temperature") for i in range(7)]
    for series in every:
        store.write(rows(series, MONDAY, 3 * 24 * 4 + 5, QUARTER_MS))
    expected = {s: store.windows(s, MONDAY, MONDAY + 4 * DAY_MS, DAY_MS, DAY_OFFSET_MS) for s in every}
    while store.inventory().dirty:
        store.roll_up(MONDAY + 4 * DAY_MS, 500)
    slices = 0
    while store.roll_up(MONDAY + 4 * DAY_MS, 2):
        slices += 1
        for series in every:
            found = store.windows(series, MONDAY, MONDAY + 4 * DAY_MS, DAY_MS, DAY_OFFSET_MS)
            assert [(w.start_ms, w.count, w.minimum, w.maximum, w.last) for w in found] == [
                (w.start_ms, w.count, w.minimum, w.maximum, w.last) for w in expected[series]
            ]
    assert slices == 7
    assert len(store.rollups(every[0], "day", 0, 1 << 52)) == 3


def test_several_processes_write_roll_up_and_read_one_file(store: SqliteStore, path: Path) -> None:
    """Three writers with series of their own, two jobs, a reader that never sees a reading vanish."""
    program = (
        "import sys; from collectors.store import open_store; from makiba.reading import Columns, Series\n"
        "store = open_store('sqlite:' + sys.argv[1]); name = sys.argv[2]; start = int(sys.argv[3])\n"
        "series = [Series('farm-1', f'{name}-{i}', 'air_temperature') for i in range(5)]\n"
        "for minute in range(240):\n"
        "    store.write_columns(Columns(series, [start + minute * 60000] * 5, [minute / 10] * 5))\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(path), name, str(MONDAY)], cwd=ROOT)
        for name in ("a", "b", "c")
    ]
    stop = threading.Event()
    jobs = [SqliteStore(path) for _ in range(2)]

    def fold(job: SqliteStore) -> None:
        while not stop.wait(0.005):
            newest = max((p.time_ms for p in job.latest("farm-1").values()), default=0)
            roll_up_all(job, newest - HOUR_MS // 2)

    threads = [threading.Thread(target=fold, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    most = 0
    try:
        while any(writer.poll() is None for writer in writers):
            count = sum(len(store.range(s, 0, 1 << 52)) for s in store.series("farm-1"))
            assert count >= most
            most = count
        assert [writer.wait(30) for writer in writers] == [0, 0, 0]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for job in jobs:
            job.close()
    roll_up_all(store, MONDAY + DAY_MS)
    for series in store.series("farm-1"):
        assert [p.value for p in store.range(series, 0, 1 << 52)] == [m / 10 for m in range(240)]
        windows = store.windows(series, MONDAY, MONDAY + DAY_MS, QUARTER_MS)
        assert [w.count for w in windows] == [15] * 16
        assert windows == store.rollups(series, "quarter", 0, 1 << 52)


# ------------------------------------------------------------------------------------------------------ old files


def make_version_1(path: Path, readings: list[Reading]) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            """
            CREATE TABLE series (id INTEGER PRIMARY KEY AUTOINCREMENT, site TEXT NOT NULL, subject TEXT NOT NULL,
                quantity TEXT NOT NULL, UNIQUE (site, subject, quantity));
            CREATE TABLE reading (series_id INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,
                time_ms INTEGER NOT NULL, value NOT NULL, PRIMARY KEY (series_id, time_ms)) WITHOUT ROWID;
            PRAGMA user_version = 1; PRAGMA journal_mode = WAL;
            """
        )
        numbers = {s: i for i, s in enumerate(sorted({r.series for r in readings}), 1)}
        db.executemany("INSERT INTO series VALUES (?, ?, ?, ?)", [(i, *s) for s, i in numbers.items()])
        db.executemany(
            "INSERT INTO reading VALUES (?, ?, ?)", [(numbers[r.series], r.time_ms, r.value) for r in readings]
        )
        db.commit()


def test_a_file_of_version_1_is_taken_over_wherever_that_is_cut(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Series("farm-2", "x", "a_word_that_left_the_catalogue")
    old = [*rows(AIR, MONDAY, 500), *rows(gone, MONDAY - 40 * DAY_MS, 90, DAY_MS), Reading(STATE, MONDAY, "ok"),
           Reading(AIR, MONDAY + 1, 0.1 + 0.2), Reading(AIR, MONDAY + 2, -0.0)]  # fmt: skip
    make_version_1(path, old)
    monkeypatch.setattr(sqlite_migrate, "PART", 97)
    take_over = sqlite_migrate.take_over_some
    for parts in (0, 1, 2):  # dies after so many parts

        def die(db: sqlite3.Connection, writer: Writer, left: list[int] = [parts]) -> None:  # noqa: B006
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            take_over(db, writer)

        monkeypatch.setattr(sqlite_migrate, "take_over_some", die)
        with pytest.raises(KeyboardInterrupt):
            SqliteStore(path)
    monkeypatch.setattr(sqlite_migrate, "take_over_some", take_over)
    with closing(SqliteStore(path)) as store:
        found = {(s, p.time_ms): p.value for site in store.sites() for s in store.series(site)
                 for p in store.range(s, 0, 1 << 52)}  # fmt: skip
        assert found == {(r.series, r.time_ms): r.value for r in old}
        roll_up_all(store, MONDAY + DAY_MS)
        assert sum(w.count for w in store.windows(AIR, 0, 1 << 52, DAY_MS, DAY_OFFSET_MS)) == 502
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert not db.execute("SELECT name FROM sqlite_master WHERE name LIKE '%version_1'").fetchall()


def test_a_file_of_a_newer_makiba_is_left_alone(path: Path) -> None:
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreMisconfigured, match="newer Makiba"):
        SqliteStore(path)


# ---------------------------------------------------------------------------------------------- the job, expiry


def test_the_job_folds_what_is_over_and_forgets_what_the_policy_says(store: SqliteStore) -> None:
    now = MONDAY + 30 * DAY_MS
    for week in range(4):
        store.write(rows(AIR, MONDAY + week * 7 * DAY_MS, 200))
    stop = threading.Event()
    job = RollUpJob(store, Policy({"raw": 14 * DAY_MS}), now_ms=lambda: now)
    thread = job.start(stop)
    wait_until(lambda: store.horizons().get("raw"), 10, "raw expired")
    stop.set()
    thread.join(10)
    assert store.horizons() == {"raw": MONDAY + 14 * DAY_MS}  # whole weeks, never less than was asked for
    assert [w.count for w in store.windows(AIR, MONDAY, now, 7 * DAY_MS, MONDAY % (7 * DAY_MS))] == [200] * 4
    assert store.range(AIR, 0, MONDAY + 14 * DAY_MS) == []
    assert store.inventory().dirty == 0


def test_each_level_goes_when_its_time_comes_and_an_empty_series_with_it(store: SqliteStore) -> None:
    store.write([*rows(AIR, MONDAY, 2000, 10_000), Reading(STATE, MONDAY, "ok")])
    now = MONDAY + 100 * DAY_MS
    roll_up_all(store, now - LAG_MS)
    assert len(store.rollups(AIR, "minute", 0, 1 << 52)) > 300
    expire_all(store, Policy({"raw": DAY_MS, "minute": 2 * DAY_MS}), now)
    assert store.rollups(AIR, "minute", 0, 1 << 52) == []
    assert len(store.rollups(AIR, "quarter", 0, 1 << 52)) > 20
    assert store.expire("day", now) == 0  # never before quarters
    expire_all(store, Policy({"quarter": 3 * DAY_MS, "text": DAY_MS}), now)
    assert store.series("farm-1") == [AIR]
    assert sum(w.count for w in store.windows(AIR, 0, now, DAY_MS, DAY_OFFSET_MS)) == 2000
    expire_all(store, Policy({"day": 4 * DAY_MS}), now)
    assert store.windows(AIR, 0, now, DAY_MS, DAY_OFFSET_MS) == []
    assert store.series("farm-1") == []
    store.write(rows(AIR, now, 3))
    assert len(store.range(AIR, 0, 1 << 52)) == 3


# -------------------------------------------------------------------------------------------- backups and damage


def makiba(*words: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A `makiba …` that has ended."""
    return subprocess.run(
        [sys.executable, "-m", "makiba", *words],
        cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def home_of(tmp_path: Path) -> dict[str, str]:
    return {"MAKIBA_HOME": str(tmp_path / "home")}


def test_a_backup_of_a_store_in_use_is_restored_by_copying(tmp_path: Path) -> None:
    env = home_of(tmp_path)
    source = tmp_path / "home" / "store.db"
    registry = open_registry(f"sqlite:{tmp_path / 'home' / 'registry.db'}", migrate=True)
    store = SqliteStore(source)
    first = rows(AIR, MONDAY, 3000)
    store.write(first)
    stop = threading.Event()

    def write() -> None:
        for i in itertools.count():
            if stop.is_set():
                return
            store.write([Reading(STATE, MONDAY + i, "ok")])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(2):  # the second takes the place of the first
            made = makiba("backup", str(tmp_path / "copies"), env=env)
            assert made.returncode == 0, made.stderr
    finally:
        stop.set()
        writer.join()
    assert made.stdout.count("verified") == 2
    assert sorted(p.name for p in (tmp_path / "copies").iterdir()) == ["registry.db", "store.db"]
    store.close()
    registry.close()
    shutil.rmtree(tmp_path / "home")
    shutil.copytree(tmp_path / "copies", tmp_path / "home")
    with closing(SqliteStore(source)) as restored:
        assert restored.range(AIR, 0, 1 << 52) == [Point(r.time_ms, r.value) for r in first]
        restored.write(rows(AIR, MONDAY + 9 * DAY_MS, 5))
    assert makiba("site", "list", env=env).returncode == 0
    checked = makiba("store", "check", env=env)
    assert checked.returncode == 0, checked.stderr
    assert "raw 3,005" in checked.stdout


def test_a_backup_that_cannot_be_made_leaves_the_older_one(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    store.write(rows(AIR, MONDAY, 2000))
    target = tmp_path / "copies" / "store.db"
    back_up(path, target)
    before = target.read_bytes()
    store.close()
    damage(path)
    with pytest.raises(BackupFailed):
        back_up(path, target)
    assert target.read_bytes() == before
    assert [p.name for p in target.parent.iterdir()] == ["store.db"]
    with pytest.raises(BackupFailed, match="is not there"):
        back_up(tmp_path / "nothing.db", target)


def damage(path: Path) -> None:
    """Overwrites pages in the middle, as a bad card does."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(os.urandom(4096) * 20)


def test_check_says_what_is_there_and_of_a_damaged_file_what_to_do(tmp_path: Path) -> None:
    env = home_of(tmp_path)
    path = tmp_path / "home" / "store.db"
    with closing(SqliteStore(path)) as store:
        store.write([*rows(AIR, MONDAY, 30_000), Reading(STATE, MONDAY, "ok")])
    folded = makiba("store", "rollup", env=env)
    assert folded.returncode == 0
    whole = makiba("store", "check", env=env)
    assert whole.returncode == 0
    assert "series 2; raw 30,000, minute 0, quarter 2,000, text 1, day 20" in whole.stdout
    assert "2026-09-20T15:00:00Z to 2026-10-11T10:59:00Z" in whole.stdout
    assert makiba("store", "expire", env=env).stdout == "everything is kept: no MAKIBA_KEEP_… is set\n"
    wrong = makiba("store", "expire", env={**env, "MAKIBA_KEEP_RAW": "9d", "MAKIBA_KEEP_DAY": "2d"})
    assert wrong.returncode == 2
    assert "MAKIBA_KEEP_DAY" in wrong.stderr
    damage(path)
    broken = makiba("store", "check", env=env)
    assert broken.returncode == 1
    assert "backup" in broken.stderr


def test_a_damaged_page_is_a_damaged_store_and_nothing_is_written_into_it(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store.write(rows(AIR, MONDAY, 30_000))
    damage(path)
    with pytest.raises(StoreDamaged, match="damaged"):
        with closing(SqliteStore(path)) as store:
            store.range(AIR, 0, 1 << 52)


# ---------------------------------------------------------------------------------------------------- the disk


def test_a_full_disk_is_unavailable_and_what_was_answered_is_there(path: Path) -> None:
    """The limit of a process's file size stands for the disk's end."""
    program = (
        "import resource, signal, sys\n"
        "from collectors.store import open_store, StoreUnavailable; from makiba.reading import Columns, Series\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "store = open_store('sqlite:' + sys.argv[1]); start = int(sys.argv[2])\n"
        "series = [Series('farm-1', f'b-{i}', 'air_temperature') for i in range(50)]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, resource.RLIM_INFINITY))\n"
        "for n in range(100_000):\n"
        "    try: store.write_columns(Columns(series, [start + n * 1000] * 50, [n / 10] * 50))\n"
        "    except StoreUnavailable: break\n"
        "print(n)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "store.write_columns(Columns(series, [start + n * 1000] * 50, [n / 10] * 50))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), str(MONDAY)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answered = int(done.stdout)
    assert 10 < answered < 90_000
    with closing(SqliteStore(path)) as store:
        for series in store.series("farm-1"):
            values = [p.value for p in store.range(series, 0, 1 << 52)]
            assert values == [n / 10 for n in range(answered + 1)]  # the same again was taken once there was room
        assert store.inventory().problems == ()


def test_a_file_that_cannot_be_written_is_a_wrong_configuration(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store.write(rows(AIR, MONDAY, 10))
    # As root a mode stops nobody; a connection that may only read does.
    with closing(SqliteStore(path)) as store:
        store._writer.execute("PRAGMA query_only = ON")
        with pytest.raises(StoreMisconfigured, match="readonly"):
            store.write(rows(AIR, MONDAY, 10))
        assert len(store.range(AIR, 0, 1 << 52)) == 10
    with pytest.raises(StoreMisconfigured):
        open_store("sqlite:/proc/nowhere/store.db")


def test_a_locked_file_holds_up_writers_only_and_passes(store: SqliteStore, path: Path) -> None:
    store.write(rows(AIR, MONDAY, 10))
    store._writer.execute("PRAGMA busy_timeout = 20")
    with closing(sqlite3.connect(path, isolation_level=None)) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        for attempt in (
            lambda: store.write(rows(AIR, MONDAY, 20)),
            lambda: store.write_columns(Columns.of(rows(AIR, MONDAY, 20))),
            lambda: store.roll_up(MONDAY + DAY_MS),
            lambda: store.expire("raw", MONDAY + 7 * DAY_MS),
            lambda: store.delete_site("farm-1"),
        ):
            with pytest.raises(StoreUnavailable, match="locked"):
                attempt()
        assert len(store.range(AIR, 0, 1 << 52)) == 10
        blocker.execute("COMMIT")
    store.write(rows(AIR, MONDAY, 20))
    assert len(store.range(AIR, 0, 1 << 52)) == 20
