"""A gateway, a network, a broker and collectors in one thread, so that a test decides what happens next.

Real are the parts that decide and keep: the gateway's hot file, journal, `Force`, `Window` and `Clock`, the
collector's `Ingest`, the store and the registry. Replaced are sockets, threads and the clocks of the machine: what is
under way lies in two bags (packs, answers), from which a test takes in any order, twice, or never.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collectors.ingest import Ingest
from collectors.judge import Pack
from collectors.registry import Registry
from collectors.store import StoreUnavailable
from collectors.store.sqlite import SqliteStore
from gateway.clock import Clock, Seen
from gateway.hot import ClockNote, HotFile
from gateway.packs import Batch, plain_packs, readings_in
from gateway.spool_file import SpoolFile
from gateway.spool_force import Force
from gateway.window import Window
from makiba.reading import Columns, Reading, Series, Value
from makiba.wire import CONTENT_ENCODING, DEFLATE, Ack, BatchId, pack_payload

FORCE_EVERY_S = 10.0
BEGIN_MONO_NS = 1_000_000_000_000
BEGIN_WALL_NS = 1_800_000_000_000_000_000

Key = tuple[Series, int]


class Crash(Exception):
    """The process that was doing this is dead."""


@dataclass
class Machine:
    """The gateway's clocks: `mono_ns` nobody sets, the wall clock is off by `off_ns`."""

    mono_ns: int = BEGIN_MONO_NS
    off_ns: int = 0

    @property
    def mono_s(self) -> float:
        return self.mono_ns / 1e9

    @property
    def true_ms(self) -> int:
        return (BEGIN_WALL_NS + self.mono_ns - BEGIN_MONO_NS) // 1_000_000

    def see(self) -> Seen:
        return Seen(self.mono_ns, self.true_ms * 1_000_000 + self.off_ns, is_synchronised=False, is_kept=True)


class Gateway:
    """What `gateway.spool`, `gateway.card` and `gateway.uplink` do with their threads, one step at a time."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        self._folder, self._machine = folder, machine
        self._boot = 1
        self._window = Window()
        self._forced = folder / "forced"
        self._open()
        self._keep_forced()

    def _open(self) -> None:
        self.hot = HotFile(self._folder / "hot", f"boot-{self._boot}")
        self.card = SpoolFile(self._folder / "spool.db")
        self._force = Force(FORCE_EVERY_S)
        if self.card.hot[0] == self.hot.spool_id:
            self.hot.remove_upto(self.card.hot[1])
        self._clock = Clock(self._machine.see)
        self._clock.on_known = lambda _shift, note: self.hot.note_clock(note)
        self._clock.on_note = self.hot.note_clock
        self._clock.begin(self.hot.clock, self.hot.last_ms, self.card.noted_ms)
        self._window = Window()
        self._window.opened(self.hot.spool_id, list(self.hot.batches.values()))
        self._window.card_opened(self.card.spool_id, self.card.last_number)

    # ------------------------------------------------------------------------------------------ measuring

    def now_ms(self) -> int:
        self._clock.follow()
        return self._clock.now_ms()

    def sample(self, readings: Sequence[Reading]) -> None:
        """One poll: committed, then told to the window."""
        newest_ms = max(r.time_ms for r in readings)
        added_ms = self._machine.mono_ns // 1_000_000
        self._window.committed(self.hot.add(plain_packs(readings), added_ms, newest_ms, held=False))

    def force(self, crash: bool = False) -> None:
        """What is due goes to the card; `crash`: killed between the card's commit and the hot file's forgetting."""
        if job := self._force.next_job(self.hot, self._machine.mono_s):
            numbers = self.card.journal(job.batches, job.hot)
            self._keep_forced()
            if crash:
                self.kill()
                return
            self._force.succeeded(0.0)
            self.hot.remove_upto(job.hot[1])
            self._window.journaled(job.hot[1], max(numbers, default=0))

    def merge(self) -> None:
        self.card.small = 1_000_000 if self.card.small else 0  # as if there were enough
        if self.card.merge():
            self._keep_forced()
            self._window.journaled(0, self.card.last_number)

    # ------------------------------------------------------------------------------------------ sending

    def connect(self) -> None:
        self._window.connect()

    def disconnect(self) -> None:
        self._window.disconnect()

    @property
    def is_connected(self) -> bool:
        return self._window.connected

    def publish(self) -> Batch | None:
        """The batch that goes now, if one may."""
        if asked := self._window.wanted():
            self._window.page(self.card.after(asked[0], asked[2], asked[1]), asked)
        sending = self._window.next(self._machine.mono_s, 0.5)
        return sending.batch if sending else None

    def answered(self, data: bytes) -> None:
        batch = BatchId.from_bytes(Ack.from_bytes(data).batch.encode())
        self._window.acknowledged(batch, self._machine.mono_s)
        if batch.spool == self.hot.spool_id:
            self.hot.remove([batch.number])
        elif batch.spool == self.card.spool_id:
            self.card.remove([batch.number])

    # ------------------------------------------------------------------------------------------ dying

    def kill(self, cut_off: int = 0) -> None:
        """SIGKILL; `cut_off`: in the middle of a write, of which so many bytes are missing."""
        self.card.abandon()
        self.hot.close()
        if cut_off:
            with (self._folder / "hot").open("ab") as file:
                file.write(bytes([2]) * cut_off)  # the beginning of a record of which nobody was told
        self._open()

    def cut_power(self, *, keeps_removals: bool) -> list[Key]:
        """Another boot: the hot file is gone, perhaps also what was removed since the card's last forced write."""
        lost = [(r.series, r.time_ms) for b in self.hot.batches.values() for r in _readings(b)]
        self.card.abandon()
        self.hot.close()
        if not keeps_removals:
            for file in self._folder.glob("spool.db*"):
                file.unlink()
            for file in self._forced.glob("spool.db*"):
                shutil.copyfile(file, self._folder / file.name)
        self._boot += 1
        self._open()
        return lost

    def _keep_forced(self) -> None:
        """What a power cut leaves at least."""
        shutil.rmtree(self._forced, ignore_errors=True)
        self._forced.mkdir()
        for name in ("spool.db", "spool.db-wal"):
            if (file := self._folder / name).exists():
                shutil.copyfile(file, self._forced / name)

    # ------------------------------------------------------------------------------------------ looking

    def waiting(self) -> dict[Key, Value]:
        batches = [*self.hot.batches.values(), *self.card.after(0, 1_000_000)]
        return {(r.series, r.time_ms): r.value for b in batches for r in _readings(b)}

    def oldest_age_s(self) -> float:
        """How long ago the oldest of what waits in the hot file alone was committed."""
        added = self.hot.added_ms.values()
        return self._machine.mono_s - min(added) / 1000 if added else 0.0

    def close(self) -> None:
        self.card.abandon()
        self.hot.close()


def _readings(batch: Batch) -> list[Reading]:
    found = readings_in(batch.pack, is_deflated=batch.is_deflated)
    assert found is not None
    return found


class HurtStore:
    """A store whose writes fail as told: `away`, `part` (commits half, then is away), `dies` (commits, then the
    collector is dead), `dead` (dies before)."""

    def __init__(self, path: Path) -> None:
        self.real = SqliteStore(path)
        self.fate = "well"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def write_columns(self, columns: Columns) -> None:
        if self.fate == "away":
            raise StoreUnavailable("away")
        if self.fate == "dead":
            raise Crash
        if self.fate == "part":
            half = len(columns) // 2
            self.real.write_columns(Columns(columns.series[:half], columns.times_ms[:half], columns.values[:half]))
            raise StoreUnavailable("full")
        self.real.write_columns(columns)
        if self.fate == "dies":
            raise Crash


@dataclass
class Collector:
    """One collector: an inbox, and `Ingest` over the store that all share."""

    registry: Registry
    store: HurtStore
    inbox: list[Pack] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.inbox.clear()
        self._ingest = Ingest(self.registry, self.store)

    def work(self, fate: str, answers: int, publish: Callable[[bytes], None]) -> None:
        """Takes what is in the inbox; of the answers at most `answers` get out before it dies, if that is less."""
        self.store.fate = fate
        try:
            outcomes = self._ingest.take(self.inbox)
        except StoreUnavailable:
            assert fate in ("away", "part")
            return  # the same packs are tried again
        except Crash:
            self.start()
            return
        for number, outcome in enumerate(outcomes):
            assert not outcome.refused, outcome.refused
            if number == answers:
                self.start()
                return
            if outcome.answer:
                publish(outcome.answer)
        self.inbox.clear()


def pack_of(gateway: str, batch: Batch, received_ms: int) -> Pack:
    """As `gateway.uplink` publishes it and `collectors.inbox` reads it."""
    if batch.is_deflated:
        return Pack(gateway, batch.id.to_bytes(), batch.pack, received_ms, content_encoding=DEFLATE)
    payload = pack_payload(batch.pack, deflate=False)
    encoding = dict(payload.user_properties).get(CONTENT_ENCODING)
    return Pack(gateway, batch.id.to_bytes(), payload.data, received_ms, content_encoding=encoding)


__all__ = ["BEGIN_MONO_NS", "ClockNote", "Collector", "Gateway", "HurtStore", "Key", "Machine", "pack_of"]
