"""Half an hour in which everything that can happen to a town of gateways happens; what does its store hold then?

    python -m tests.chaos.town --minutes 30 --gateways 20 --store sqlite|influx1|influx2

Real gateways, each in a network namespace with a Modbus TCP meter of its own that counts its answers; Mosquitto with
TLS and ACL; two collectors on the shared subscription; the store on a small disk. Faults at random: SIGKILL and
SIGSTOP of every process, the store locked, read-only or away, the disk full, a fifth of the packets lost, one-way
cuts, links down, delay, clock steps (see `town_plan.py`). Then all is healed, every spool has to become empty, and
the store is compared with what the meters answered, reading by reading (see `town_verdict.py`).

Exit code 0: nothing lost, doubled or altered. Needs root; touches nothing outside its own namespaces and folder.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from collectors.store import Store, StoreError
from makiba.reading import Series
from tests.chaos.counting_meter import POINTS
from tests.chaos.network import Network, enter, why_not
from tests.chaos.town_parts import Part, Town
from tests.chaos.town_plan import Fault, plan
from tests.chaos.town_verdict import Life, Verdict, judge
from tests.parts import wait_until

STARTS_WITHIN_S = 120.0
HEALS_WITHIN_S = 300.0
LOOKS_EVERY_S = 2.0
FOREVER_MS = 9_000_000_000_000


@dataclass
class Report:
    """What a run showed."""

    store: str
    seed: int
    seconds: float
    faults: Counter[str]
    ended: Counter[str]
    verdict: Verdict
    staleness_s: float
    stale_gateway: str
    fresh_after_s: float
    empty_after_s: float
    dead_letters: int
    missed: int
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        v = self.verdict
        rows = [
            ("store, seed, seconds of faults", f"{self.store}, {self.seed}, {self.seconds:.0f}"),
            *((f"fault: {kind}", str(count)) for kind, count in sorted(self.faults.items())),
            *((f"ended by itself: {what}", str(count)) for what, count in sorted(self.ended.items())),
            ("readings sampled", f"{v.sampled}"),
            ("stored", f"{v.stored}"),
            ("cut off by the gateway's own death", f"{v.cut_off}"),
            ("answered too late to be measured, and said so", f"{v.not_measured}"),
            ("lost", f"{v.lost}"),
            ("doubled", f"{v.doubled}"),
            ("altered (value or time)", f"{v.altered}"),
            ("dead letters", f"{self.dead_letters}"),
            ("latest stamp behind its answer", f"{v.latest_s:.3f} s"),
            ("looks at the newest that found nothing", f"{self.missed}"),
            ("longest staleness in the store", f"{self.staleness_s:.0f} s ({self.stale_gateway})"),
            ("after healing: all fresh within", f"{self.fresh_after_s:.1f} s"),
            ("after healing: every spool empty within", f"{self.empty_after_s:.1f} s"),
        ]
        lines = [f"{name:<50}{value}" for name, value in rows]
        problems = [*self.wrong, *v.wrong]
        lines += problems[:40] + ([f"… {len(problems)} problems"] if len(problems) > 40 else [])
        lines.append("FAILED" if problems else "every sample is stored exactly once")
        return "\n".join(lines)

    @property
    def is_good(self) -> bool:
        return not (self.wrong or self.verdict.wrong)


class Faults:
    """Begins and ends faults; one thread."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self.counts: Counter[str] = Counter()
        self.steps: dict[str, list[tuple[float, float]]] = {gateway: [] for gateway in town.gateways}
        self._lock: sqlite3.Connection | None = None
        self._end = 0
        self._open: list[tuple[float, int, Callable[[], None]]] = []

    def run(self, faults: Sequence[Fault], seconds: float) -> None:
        begin_s = time.monotonic()
        left = list(faults)
        while (now_s := time.monotonic() - begin_s) < seconds or self._open:
            while left and left[0].at_s <= now_s:
                fault = left.pop(0)
                self.counts[f"{fault.kind} {_of(fault.target)}".rstrip()] += 1
                end = self.begin(fault)
                self._end += 1
                heapq.heappush(self._open, (now_s + fault.lasts_s, self._end, end))
            while self._open and self._open[0][0] <= now_s:
                heapq.heappop(self._open)[2]()
            self._town.look_after()
            time.sleep(0.02)

    def begin(self, fault: Fault) -> Callable[[], None]:
        """Does it; the answer ends it."""
        town, parts = self._town, self._town.parts
        if fault.kind == "kill":
            parts[fault.target].kill()
            return parts[fault.target].start
        if fault.kind == "stop":
            parts[fault.target].stop()
            return parts[fault.target].go_on
        if fault.kind in ("kill-everything", "kill-both-collectors"):
            names = [n for n in parts if fault.kind == "kill-everything" or n.startswith("collector")]
            for name in names:
                parts[name].kill()
            return lambda: _start(parts[name] for name in names)
        if fault.kind in ("loss", "cut-in", "cut-out"):
            namespace = self._namespace(fault.target)
            town.network.filter(namespace, fault.kind, on=True)
            return lambda: town.network.filter(namespace, fault.kind, on=False)
        if fault.kind == "link-down":
            namespace = self._namespace(fault.target)
            town.network.link(namespace, up=False)
            return lambda: town.network.link(namespace, up=True)
        if fault.kind == "delay":
            return self._delay(fault.amount)
        if fault.kind == "clock-step":
            return self._step(fault.target, fault.amount)
        return self._hurt_store(fault.kind)

    def _namespace(self, target: str) -> str:
        network = self._town.network
        return network.hub if target == "hub" else network.gateways[self._town.gateways.index(target)]

    def _delay(self, amount_s: float) -> Callable[[], None]:
        file = self._town.delay
        file.write_text(f"{amount_s:.3f}")
        return lambda: (file.write_text("0"), None)[1]

    def _step(self, gateway: str, offset_s: float) -> Callable[[], None]:
        file = self._town.folder / gateway / "offset"
        beside = file.with_name("offset.new")
        beside.write_text(f"{offset_s:.3f}")
        beside.rename(file)
        self.steps[gateway].append((time.monotonic(), round(offset_s, 3)))
        return lambda: None

    def _hurt_store(self, kind: str) -> Callable[[], None]:
        town = self._town
        if kind == "disk-full":
            town.fill_disk()
            return town.free_disk
        if kind == "store-read-only":
            town.make_read_only()
            names = ("collector-1", "collector-2")
            for name in names:
                town.parts[name].kill()
                town.parts[name].start()
            return town.make_writable
        lock = sqlite3.connect(town.home / "store.db", isolation_level=None, timeout=10)
        with suppress(sqlite3.OperationalError):  # somebody holds it longer, or the disk is full
            lock.execute("BEGIN IMMEDIATE")
        return lock.close

    def heal(self) -> None:
        """Ends whatever is left, and has every process running."""
        town = self._town
        town.network.calm()
        town.make_writable()
        town.delay.write_text("0")
        for part in town.parts.values():
            part.go_on()
            part.start()


def _start(parts: Iterable[Part]) -> None:
    for part in parts:
        part.start()


class Freshness(threading.Thread):
    """Looks into the store every two seconds: how old the newest answer is that a reader sees, per gateway."""

    def __init__(self, town: Town) -> None:
        super().__init__(daemon=True)
        self._town = town
        self._ended = threading.Event()
        self.longest_s, self.longest_of = 0.0, ""
        self.missed = 0
        self._seen: set[str] = set()
        self.now_s: dict[str, float] = {}

    def run(self) -> None:
        store: Store | None = None
        while not self._ended.wait(LOOKS_EVERY_S):
            try:
                store = store or self._town.open_store()
                for gateway in self._town.gateways:
                    self._look(store, gateway)
            except StoreError:
                continue
        if store:
            store.close()

    def _look(self, store: Store, gateway: str) -> None:
        series = _series(self._town.sites[gateway], 0)
        newest = store.latest(series.site, ["meter.p0"]).get(series)
        if newest is None:
            self.missed += gateway in self._seen
            return
        self._seen.add(gateway)
        served = self._town.served(gateway)
        age_s = time.monotonic() - served[min(round(float(newest.value)), len(served)) - 1][1]
        self.now_s[gateway] = age_s
        if age_s > self.longest_s:
            self.longest_s, self.longest_of = age_s, gateway

    def end(self) -> None:
        self._ended.set()
        self.join(60)


def run(
    folder: Path, *, minutes: float, gateways: int, store: str, seed: int, every_s: float, disk_mb: int
) -> Report:
    """Builds the town in `folder`, hurts it for `minutes`, heals it, and compares."""
    seconds = minutes * 60
    with Network(gateways) as network:
        enter(network.hub)
        with Town(folder, network, store, disk_mb) as town:
            faults = Faults(town)
            town.start()
            _wait(town, lambda: all(len(town.served(g)) >= 2 for g in town.gateways), STARTS_WITHIN_S, "polling")
            freshness = Freshness(town)
            freshness.start()
            faults.run(plan(seed, seconds, every_s, store, gateways), seconds)
            healed_s = time.monotonic()
            faults.heal()
            _wait(town, lambda: len(freshness.now_s) == gateways, HEALS_WITHIN_S, "readings of every gateway")
            freshness.now_s.clear()
            fresh = lambda: len(freshness.now_s) == gateways and max(freshness.now_s.values()) < 5  # noqa: E731
            _wait(town, fresh, HEALS_WITHIN_S, lambda: f"fresh readings: {freshness.now_s}")
            fresh_after_s = time.monotonic() - healed_s
            for meter in town.meters.values():
                meter.quiet = True
            _wait(town, lambda: not town.waiting(), HEALS_WITHIN_S, lambda: f"empty spools: {town.waiting()}")
            empty_after_s = time.monotonic() - healed_s
            freshness.end()
            verdict, wrong = _compare(town, faults)
            report = Report(
                store=store,
                seed=seed,
                seconds=seconds,
                faults=faults.counts,
                ended=Counter(f"{_of(e.name)} ({e.code})" for e in town.ended),
                verdict=verdict,
                staleness_s=freshness.longest_s,
                stale_gateway=freshness.longest_of,
                fresh_after_s=fresh_after_s,
                empty_after_s=empty_after_s,
                dead_letters=_dead_letters(town),
                missed=freshness.missed,
                wrong=wrong,
            )
            if report.dead_letters:
                report.wrong.append(f"{report.dead_letters} dead letters: nothing that was sent is wrong")
            for one in town.ended:
                if not one.name.startswith(("collector", "influxd")):
                    report.wrong.append(f"{one.name} ended by itself with {one.code}")
            return report


def _wait(town: Town, condition: Callable[[], bool], within_s: float, what: str | Callable[[], str]) -> None:
    def looked_after() -> bool:
        town.look_after()
        return condition()

    wait_until(looked_after, within_s, what, every_s=0.1)


def _compare(town: Town, faults: Faults) -> tuple[Verdict, list[str]]:
    whole, wrong = Verdict(), []
    wall_s = time.time() - time.monotonic()
    store = town.open_store()
    for gateway in town.gateways:
        site, part = town.sites[gateway], town.parts[gateway]
        life = Life(
            gateway, wall_s, town.served(gateway), _spans(part.deaths), _spans(part.stops), faults.steps[gateway],
            time.monotonic(),
        )  # fmt: skip
        rows = {
            point: [(p.time_ms, float(p.value)) for p in store.range(_series(site, point), 0, FOREVER_MS)]
            for point in range(POINTS)
        }
        states = [(p.time_ms, str(p.value)) for p in store.range(Series(site, "meter", "state"), 0, FOREVER_MS)]
        evidence = json.dumps([asdict(life), rows, states])
        (town.folder / gateway / "evidence.json").write_text(evidence, encoding="utf-8")
        whole.add(judge(life, rows, states))
        for series in store.series(site):
            if series.subject.split(".")[0] not in ("meter", "meters", gateway):
                wrong.append(f"{series} was never sampled")
            if series.quantity in ("spool_gap", "spool_dropped"):
                wrong.append(f"{series}: the spool dropped something")
    store.close()
    return whole, wrong


def _series(site: str, point: int) -> Series:
    return Series(site, f"meter.p{point}", "value")


def _spans(spans: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    return [(span[0], span[1] if len(span) > 1 else span[0]) for span in spans]


def _dead_letters(town: Town) -> int:
    with closing(sqlite3.connect(f"file:{town.home}/registry.db?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM dead_letter").fetchone()[0])


def _of(target: str) -> str:
    """The kind of a target, for counting; empty where the fault's own name says it."""
    name = "gateway" if target.startswith("gw-") else target.split("-")[0]
    return "" if name in ("town", "store", "disk") else name


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=30)
    options.add_argument("--gateways", type=int, default=20)
    options.add_argument("--store", choices=("sqlite", "influx1", "influx2"), default="sqlite")
    options.add_argument("--every", type=float, default=2.5, help="seconds between faults, on average")
    options.add_argument("--disk-mb", type=int, default=0, help="size of the store's disk; 0: as the run needs")
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options.add_argument("--keep", type=Path, help="a folder for all files, kept afterwards")
    given = options.parse_args()
    if reason := why_not():
        print(reason, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"seed {given.seed}", flush=True)
    disk_mb = given.disk_mb or (64 if given.store == "sqlite" else 256) + round(given.minutes * given.gateways / 4)
    with tempfile.TemporaryDirectory(prefix="makiba-town-") as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        try:
            report = run(
                folder, minutes=given.minutes, gateways=given.gateways, store=given.store, seed=given.seed,
                every_s=given.every, disk_mb=disk_mb,
            )  # fmt: skip
        except BaseException:
            for log in sorted(folder.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}", file=sys.stderr)
            raise
    print(report)
    return 0 if report.is_good else 1


if __name__ == "__main__":
    raise SystemExit(main())
