"""The runs of `bench_delivery`: flat out, a prefecture at its real rate, an outage. Each compares at its end what the
store holds with what was acknowledged, reading by reading.
"""

from __future__ import annotations

import heapq
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from collectors.store import open_store
from gateway.packs import Batch
from gateway.window import Window
from makiba.wire import BatchId
from tests.bench.delivery_rig import (
    FIRST,
    LOAD,
    VARIANTS,
    BenchBroker,
    Load,
    Payloads,
    Sent,
    Shape,
    Watched,
    gateway_name,
    publish,
    registry_of,
    shapes,
)
from tests.parts import Process, makiba, wait_until
from tests.service.influx_parts import Influxd

WINDOW: Final = 600
HOT: Final = "0000000000000001"
CARD: Final = "0000000000000002"
RESEND_S: Final = 10.0
WARM_S: Final = 65.0


@dataclass
class World:
    """What runs: the broker, the collectors, perhaps InfluxDB; and the load's connection."""

    folder: Path
    broker: BenchBroker
    store_url: str
    collectors: list[Process]
    load: Load
    watched: list[Watched]
    others: dict[str, Watched]

    def start_counting(self) -> None:
        for one in (*self.watched, *self.others.values()):
            one.start()

    @property
    def cpu_s(self) -> float:
        return sum(one.cpu_s for one in self.watched)

    @property
    def peak_mb(self) -> float:
        """The largest collector's."""
        return max(one.memory_mb() for one in self.watched)


@contextmanager
def world(folder: Path, *, store: str, collectors: int, farms: int) -> Iterator[World]:
    folder.mkdir(parents=True)
    registry_of(folder / "registry.db", farms)
    influx = Influxd(folder / "influx") if store == "influx" else None
    broker = BenchBroker(folder / "broker")
    with broker:
        try:
            if influx:
                influx.start()
            url = influx.url if influx else f"sqlite:{folder / 'store.db'}"
            env = {"MAKIBA_HOME": str(folder), "MAKIBA_STORE": url, **broker.env()}
            running = [makiba("collect", log=folder / f"collect-{n}.log", env=env) for n in range(collectors)]
            try:
                for process in running:
                    process.start()
                for process in running:
                    wait_until(lambda p=process: "connected" in p.log(), 60, process.log)  # type: ignore[misc]
                load = Load(broker.options(LOAD), "load")
                others = {"broker": Watched(broker.process)}
                if influx:
                    others["influxd"] = Watched(influx.process)
                yield World(folder, broker, url, running, load, [Watched(p) for p in running], others)
                load.close()
            finally:
                for process in running:
                    if process.running:
                        process.terminate(30)
        finally:
            if influx:
                influx.kill()


@dataclass
class Measured:
    """What a run showed."""

    readings: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0
    missing: int = 0
    wrong: int = 0
    compared: int = 0
    resent: int = 0
    fresh_s: list[float] = field(default_factory=list)
    extra: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return self.readings / self.seconds

    @property
    def cpu_per_100k(self) -> float:
        return self.cpu_s / max(1, self.readings) * 1e5

    def percentile(self, share: float) -> float:
        ordered = sorted(self.fresh_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class Sender:
    """Sends batches and notes their answers, as gateways would: again after 10, 20 and 40 s without an answer."""

    def __init__(self, load: Load, sent: Sent) -> None:
        self._load, self.sent, self._payloads = load, sent, Payloads()
        self._waiting: list[tuple[float, int, float]] = []
        self._prepared: dict[int, bytes] = {}
        self._noted: set[int] = set()
        self.unanswered = 0
        self.resent = 0
        self.answered = 0
        self.on_answer: Callable[[int, float], None] = lambda _place, _now_s: None

    def packet(self, place: int) -> bytes:
        sent = self.sent
        shape: Shape = sent.shapes[sent.shape[place]]
        payload = self._payloads.of(shape, sent.farm[place], sent.at_ms[place], sent.variant[place])
        return publish(gateway_name(sent.farm[place]), FIRST + place, payload)

    def send(self, place: int, packet: bytes | None = None) -> None:
        self._load.send(packet or self.packet(place))
        heapq.heappush(self._waiting, (time.monotonic() + RESEND_S, place, RESEND_S))
        self.unanswered += 1

    def prepare(self, place: int) -> None:
        """Makes the packet now, so that it costs nothing later."""
        self._prepared[place] = self.packet(place)

    def send_once(self, place: int) -> None:
        """Sends; somebody else sees to it that it goes again."""
        self._load.send(self._prepared.get(place) or self.packet(place))
        if place not in self._noted:
            self._noted.add(place)
            self.unanswered += 1

    def pump(self, within_s: float) -> None:
        answers = self._load.pump(within_s)
        now_s = time.monotonic()
        for number, stored, refused in answers:
            place = number - FIRST
            if self.sent.is_acked[place]:
                continue
            assert not refused, refused
            self.sent.is_acked[place] = 1
            self.unanswered -= 1
            self.answered += stored
            self.on_answer(place, now_s)
        while self._waiting and (self.sent.is_acked[self._waiting[0][1]] or self._waiting[0][0] <= now_s):
            _, place, patience_s = heapq.heappop(self._waiting)
            if not self.sent.is_acked[place]:
                self._load.send(self.packet(place))
                patience_s = min(2 * patience_s, 4 * RESEND_S)
                heapq.heappush(self._waiting, (now_s + patience_s, place, patience_s))
                self.resent += 1


def flat(at: World, *, pack: int, seconds: float, farms: int, most: int, warm: bool = True) -> Measured:
    """As fast as answers come, packs of `pack` readings, prepared before the clock starts.

    The clock starts when every series has had its first reading: new series are a day's work, not every second's.
    """
    forms = shapes(pack)
    sender = Sender(at.load, Sent(forms))
    began_ms = time.time_ns() // 1_000_000 - 40 * 3_600_000
    first = farms * len(forms) if warm else 0
    packets = []
    for number in range(first + int(seconds * most / pack)):
        turn, farm = divmod(number, farms)
        part = turn % len(forms)
        at_ms = began_ms + turn // len(forms) * 60_000 * forms[0].minutes + part * 1000
        packets.append(sender.packet(sender.sent.add(farm, part, at_ms, number % VARIANTS)))

    def send(start: int, end: int, until_s: float) -> None:
        place = start
        while time.monotonic() < until_s and not (place == end and not sender.unanswered):
            while sender.unanswered < WINDOW and place < end:
                sender.send(place, packets[place])
                place += 1
            sender.pump(0.02)

    send(0, first, time.monotonic() + 120)
    sender.answered = 0
    at.start_counting()
    began_s = time.monotonic()
    send(first, len(packets), began_s + seconds)
    result = _measured(at, sender, time.monotonic() - began_s)
    _finish(at, sender, result)
    return result


def prefecture(at: World, *, farms: int, points: int, seconds: float) -> Measured:
    """Each device of each farm once a minute, at its own moment; freshness is from then to the answer.

    The first minute, in which every series is new, is not measured.
    """
    forms = shapes(10)[: max(1, points // 10)]
    sender = Sender(at.load, Sent(forms))
    result = Measured()
    rate = farms * len(forms) / 60
    began_s, began_ms = time.monotonic(), time.time_ns() // 1_000_000
    measured_from_s = began_s

    def note(place: int, now_s: float) -> None:
        if place >= first:
            result.fresh_s.append(now_s - began_s - (sender.sent.at_ms[place] - began_ms) / 1000)

    sender.on_answer = note
    first = number = 0
    while (elapsed_s := time.monotonic() - began_s) < WARM_S + seconds:
        if not first and elapsed_s > WARM_S:
            first, measured_from_s = number, time.monotonic()
            sender.answered = sender.resent = 0
            at.start_counting()
        for _ in range(max(0, int(elapsed_s * rate) - number)):
            part, farm = divmod(number, farms)
            at_ms = began_ms + int(number / rate * 1000)
            sender.send(sender.sent.add(farm, part % len(forms), at_ms, number % VARIANTS))
            number += 1
        sender.pump(0.01)
    measured = _measured(at, sender, time.monotonic() - measured_from_s)
    measured.fresh_s = result.fresh_s
    measured.extra["asked_per_s"] = rate * 10
    _finish(at, sender, measured)
    return measured


class Returning:
    """Gateways that come back with a backlog. What each sends and when is decided by the product's own window."""

    def __init__(self, sender: Sender, backlog: list[list[int]]) -> None:
        self._sender = sender
        self._chance = random.Random(1)
        self._backlog = backlog
        self._windows = [Window() for _ in backlog]
        self.resent = 0
        self._sent: set[int] = set()
        self._looked_s = 0.0
        for farm, window in enumerate(self._windows):
            window.opened(HOT, [])
            window.card_opened(CARD, FIRST + backlog[farm][-1])
            window.connect()

    def measured(self, farm: int, place: int) -> None:
        """A live batch."""
        self._windows[farm].committed([_batch(HOT, place)])
        self._move(farm)

    def answered(self, farm: int, place: int, *, is_live: bool) -> None:
        batch = _batch(HOT if is_live else CARD, place)
        self._windows[farm].acknowledged(batch.id, time.monotonic())
        self._move(farm)

    def look(self) -> None:
        """Ten times a second: whose time has come."""
        if time.monotonic() - self._looked_s > 0.1:
            self._looked_s = time.monotonic()
            for farm in range(len(self._windows)):
                self._move(farm)

    def _move(self, farm: int) -> None:
        window = self._windows[farm]
        now_s = time.monotonic()
        while True:
            if asked := window.wanted():
                after, upto, limit = asked
                found = [p for p in self._backlog[farm] if after < FIRST + p <= upto][:limit]
                window.page([_batch(CARD, p) for p in found], asked)
            sending = window.next(now_s, self._chance.random())
            if sending is None:
                return
            place = sending.batch.id.number - FIRST
            if place in self._sent:
                self.resent += 1
            self._sent.add(place)
            self._sender.send_once(place)


def _batch(spool: str, place: int) -> Batch:
    return Batch(BatchId(spool, FIRST + place), 1, b"")


def outage(at: World, *, gateways: int, minutes: int) -> Measured:
    """All gateways were offline for `minutes` and come back at one moment, each with packs of 1000 readings waiting.

    Live readings go on meanwhile, a pack of ten per device and minute.
    """
    forms = [*shapes(10), shapes(1000)[0]]
    dense = len(forms) - 1
    sender = Sender(at.load, Sent(forms))
    now_ms = time.time_ns() // 1_000_000
    backlog = [
        [
            sender.sent.add(farm, dense, now_ms - minutes * 60_000 + part * 300_000, part % VARIANTS)
            for part in range(minutes // 5)
        ]
        for farm in range(gateways)
    ]
    count = sum(map(len, backlog))
    for places in backlog:
        for place in places:
            sender.prepare(place)
    returning = Returning(sender, backlog)
    rate = gateways * 20 / 60
    began_s, began_ms = time.monotonic(), time.time_ns() // 1_000_000
    live: list[tuple[float, float]] = []
    drained: list[float] = []

    def note(place: int, now_s: float) -> None:
        sent = sender.sent
        is_live = sent.shape[place] != dense
        if is_live:
            live.append((now_s - began_s, now_s - began_s - (sent.at_ms[place] - began_ms) / 1000))
        else:
            drained.append(now_s - began_s)
        returning.answered(sent.farm[place], place, is_live=is_live)

    sender.on_answer = note
    at.start_counting()
    number = 0
    while len(drained) < count and time.monotonic() - began_s < minutes * 60:
        for _ in range(max(0, int((time.monotonic() - began_s) * rate) - number)):
            part, farm = divmod(number, gateways)
            at_ms = began_ms + int(number / rate * 1000)
            returning.measured(farm, sender.sent.add(farm, part % dense, at_ms, number % VARIANTS))
            number += 1
        returning.look()
        sender.pump(0.01)
    result = _measured(at, sender, time.monotonic() - began_s)
    result.fresh_s = [age for _, age in live]
    result.resent = returning.resent
    # Fresh again: from when on no live reading was older than ten seconds when it was answered.
    result.extra["live_fresh_after_s"] = max((when for when, age in live if age > 10), default=0.0)
    result.extra["times_real_time"] = minutes * 60 / max(drained, default=float("inf"))
    result.extra["backlog_readings"] = count * 1000
    deadline = time.monotonic() + 30
    while sender.unanswered and time.monotonic() < deadline:
        returning.look()
        sender.pump(0.01)
    _finish(at, sender, result)
    return result


@contextmanager
def store_locked(at: World) -> Iterator[None]:
    """SQLite's file held by somebody else: the collectors can store nothing."""
    blocker = sqlite3.connect(at.folder / "store.db", isolation_level=None, timeout=30)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()


def _measured(at: World, sender: Sender, seconds: float) -> Measured:
    result = Measured(sender.answered, seconds, at.cpu_s, at.peak_mb, resent=sender.resent)
    result.extra.update({f"{name}_cpu_s": one.cpu_s for name, one in at.others.items()})
    result.extra["load_average"] = float(Path("/proc/loadavg").read_text(encoding="ascii").split()[0])
    return result


def _finish(at: World, sender: Sender, result: Measured) -> None:
    """Waits for the answers that are due, then compares: each acknowledged reading must be there, and no other."""
    deadline = time.monotonic() + 60
    while sender.unanswered and time.monotonic() < deadline:
        sender.pump(0.05)
    result.extra["unanswered"] = sender.unanswered
    store = open_store(at.store_url)
    every = max(1, len(set(sender.sent.farm)) // 250)
    try:
        for _, expected in sender.sent.by_farm(every):
            for series, rows in expected.items():
                found = {p.time_ms: p.value for p in store.range(series, 0, 2**50)}
                result.compared += len(rows)
                result.missing += len(rows.keys() - found.keys())
                result.wrong += sum(found[t] != v for t, v in rows.items() if t in found)
                result.wrong += len(found.keys() - rows.keys()) if not sender.unanswered else 0
    finally:
        store.close()
