"""Judging: what a reading costs, what a farm takes of memory, and how long an alert takes into the book.

    ./run bench detect [--farms 200] [--minutes 6] [--points 200] [--samples 100] [--json FILE]

The first part drives the worker's own parts (packs of the feed, holes, judges with all rules and contexts, the clock)
over synthetic farms in event time, and counts CPU seconds: rely on them, also on a machine that does other things. A
share of a core is what 5,000 farms of 200 points a minute would take at that price. The plain judge beside it is the
reference of the property test. The second part is `makiba watch` as a process with a real broker and SQLite: from a
reading's commit to its alert being seen in the book by another process.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import resource
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from sqlalchemy import select

from analytics.context import FarmContexts
from analytics.facts import Facts, read_facts
from analytics.holes import with_holes
from analytics.judge import Judge
from analytics.packs import Packs
from analytics.rules import FarmRules
from analytics.watched import ME, Watched
from collectors.registry import Registry, open_registry
from collectors.registry.schema import Alert
from collectors.registry.sites import (
    DeviceSpec,
    PlacementSpec,
    PlaceSpec,
    SiteSpec,
    apply_site,
    record_reported,
)
from collectors.registry.viewer import Service
from collectors.store import open_store
from makiba.link import Message
from makiba.mqtt import connect_properties, new_client
from makiba.reading import Reading, Series
from makiba.rule import Rule, load_rules
from makiba.senml import CONTENT_TYPE_JSON, encode_json
from makiba.settings import configs_dir
from makiba.topics import stored_topic
from tests.bench.bench_gateway import Figure
from tests.bench.detect_farm import FAULT, GATEWAY, MINUTE_MS, SETTINGS, SyntheticFarm
from tests.parts import Broker, makiba, wait_until

T0 = 1_752_000_000_000 // MINUTE_MS * MINUTE_MS
WARM_UP = 4
PREFECTURE = 5_000 * 200 / 60
"""Readings a second of 5,000 farms with 200 points a minute."""


class _NoStore:
    """Nothing is missing in these runs."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the store is asked: {name}")


def facts_of(rules_folder: Path) -> Facts:
    """What the judge is told of a farm that has said what rules need."""
    registry = open_registry(f"sqlite:{rules_folder / 'facts.db'}", migrate=True)
    with registry.write() as session:
        apply_site(session, Service("console"), SiteSpec("farm-0", "牧場", "Farm", settings=dict(SETTINGS)), T0)
    with registry.read() as session:
        found = read_facts(session, ME, "farm-0", T0)
    registry.close()
    return found


def judged(
    rules: dict[str, Rule], facts: Facts, farms: int, points: int, minutes: int, *, quick: bool
) -> dict[str, float]:
    """CPU microseconds of a reading by what they were spent on, and bytes of memory per farm."""
    before = _memory()
    ground = [SyntheticFarm(f"farm-{number}", points) for number in range(farms)]
    same = FarmRules(rules)
    watched = {}
    for one in ground:
        judge = Judge(one.farm, same, FarmContexts(one.farm), quick=quick)
        judge.tell(facts)
        judge.learn(one.series.values())
        every_ms = {name: device.every_ms for name, device in one.farm.devices.items()}
        watched[one.site] = Watched(one.farm, same, judge, ready=True, every_ms=every_ms)
        judge.feed(one.states(T0 - 1))
    dice, packs = random.Random(5), Packs()
    spent = dict.fromkeys(("packs", "holes", "judging", "clock"), 0.0)
    count = ticks = decisions = 0
    due: list[tuple[int, str]] = []
    for minute in range(WARM_UP + minutes):
        if minute == WARM_UP:
            spent, count, ticks, decisions = dict.fromkeys(spent, 0.0), 0, 0, 0
        at_ms = T0 + minute * MINUTE_MS
        messages = [_message(one.minute(at_ms, dice)) for one in ground]
        if minute % 10 == 9:
            messages += [_message(list(one.states(at_ms + 1))) for one in ground]
        for message in messages:
            begun = time.process_time()
            readings = packs.readings_in(message)
            read = time.process_time()
            farm = watched[readings[0].series.site]
            whole = with_holes(farm.judge, cast(Any, _NoStore()), readings, farm.every_ms) if minute else readings
            found = time.process_time()
            farm.feed(whole, at_ms + 500)
            _plan(due, farm)
            done = time.process_time()
            spent["packs"] += read - begun
            spent["holes"] += found - read
            spent["judging"] += done - found
            count += len(readings)
        begun = time.process_time()
        for second in range(1, 61):
            now_ms = at_ms + second * 1000
            asked = []
            while due and due[0][0] <= now_ms:
                due_ms, site = heapq.heappop(due)
                if watched[site].planned_ms == due_ms:
                    asked.append(watched[site])
            for farm in asked:
                ticks += 1
                for decision in farm.judge.tick(now_ms):
                    farm.judge.confirm(decision)
                    decisions += 1
                farm.planned_ms = farm.NOT_PLANNED
                _plan(due, farm)
        spent["clock"] += time.process_time() - begun
    return {
        **{name: 1e6 * seconds / count for name, seconds in spent.items()},
        "all": 1e6 * sum(spent.values()) / count,
        "ticks_per_farm_minute": ticks / farms / minutes,
        "decisions": decisions,
        "bytes_per_farm": (_memory() - before) / farms,
        "pairs_per_farm": float(len(next(iter(watched.values())).judge.memory()["watches"])),
    }


def _plan(due: list[tuple[int, str]], one: Watched) -> None:
    """As the worker does it."""
    due_ms = one.next_due_ms()
    if due_ms < one.planned_ms:
        one.planned_ms = due_ms
        heapq.heappush(due, (due_ms, one.site))


def _message(readings: list[Reading]) -> Message:
    return Message(stored_topic(readings[0].series.site), encode_json(readings), CONTENT_TYPE_JSON, None)


def _memory() -> int:
    """Bytes of this process in memory now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def latency(folder: Path, samples: int) -> list[float]:
    """Seconds from a reading's commit to its alert in the book, each on a farm of its own."""
    ground = [SyntheticFarm(f"farm-{number}", 60) for number in range(samples)]
    registry = open_registry(f"sqlite:{folder / 'registry.db'}", migrate=True)
    store = open_store(f"sqlite:{folder / 'store.db'}")
    _register(registry, ground)
    now = time.time_ns() // 1_000_000
    dice = random.Random(2)
    for one in ground:
        store.write([*one.states(now - 1000), *one.minute(now - 1000, dice)])
    waited: list[float] = []
    with Broker() as broker:
        options = broker.options("collector")
        client = new_client(options, "collector-bench")
        client.connect(options.host, options.port, clean_start=True, properties=connect_properties())
        client.loop_start()
        wait_until(client.is_connected)
        watch = makiba("watch", log=folder / "watch.log", env={"MAKIBA_HOME": str(folder), **broker.env()})
        with watch:
            wait_until(lambda: watch.log().count("readings from the store") >= samples, 120, watch.log)
            wait_until(lambda: "listening" in watch.log(), 60, watch.log)
            for number, one in enumerate(ground):
                for other in random.Random(number).sample(ground, min(5, samples)):  # what else comes at that time
                    pack = other.minute(time.time_ns() // 1_000_000 - 1, dice)
                    pack = [r for r in pack if (r.series.subject, r.series.quantity) != FAULT[:2]]
                    store.write(pack)
                    client.publish(stored_topic(other.site), encode_json(pack), 0)
                subject, quantity, value = FAULT
                reading = Reading(Series(one.site, subject, quantity), time.time_ns() // 1_000_000, value)
                store.write([reading])
                begun = time.monotonic()
                client.publish(stored_topic(one.site), encode_json([reading]), 0)
                wait_until(lambda: _is_open(registry, one.site), 30, watch.log, every_s=0.002)  # noqa: B023
                waited.append(time.monotonic() - begun)
        client.disconnect()
        client.loop_stop()
    store.close()
    registry.close()
    return waited


def _is_open(registry: Registry, site: str) -> bool:
    query = select(Alert.id).where(Alert.site_id == site, Alert.ended_ms.is_(None), Alert.rule == "gas.h2s2")
    with registry.read() as session:
        return session.scalar(query.limit(1)) is not None


def _register(registry: Registry, ground: Iterable[SyntheticFarm]) -> None:
    for number, one in enumerate(ground):
        gateway = f"{GATEWAY}-{number}"
        kinds = {placed.place: placed.kind for placed in one.farm.placed.values()}
        spec = SiteSpec(
            one.site,
            "牧場",
            "Farm",
            gateways=(gateway,),
            places=tuple(PlaceSpec(place, kind, place, place) for place, kind in kinds.items()),
            placements=tuple(PlacementSpec(s, p.place, p.role, s, s) for s, p in one.farm.placed.items()),
            settings=dict(SETTINGS),
        )
        devices = [DeviceSpec(d.name, d.bus, "x", d.every_ms / 1000, d.subjects) for d in one.farm.devices.values()]
        with registry.write() as session:
            apply_site(session, Service("console"), spec, T0)
            record_reported(session, Service("collector"), gateway, devices)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--farms", type=int, default=200)
    options.add_argument("--points", type=int, default=200, help="of each farm, one reading a minute each")
    options.add_argument("--minutes", type=int, default=6)
    options.add_argument("--samples", type=int, default=100, help="alerts whose way into the book is timed")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    rules = load_rules(configs_dir() / "rules")
    with tempfile.TemporaryDirectory(prefix="makiba-bench-") as name:
        folder = Path(name)
        facts = facts_of(folder)
        quick = judged(rules, facts, given.farms, given.points, given.minutes, quick=True)
        plain = judged(rules, facts, max(1, given.farms // 50), given.points, 2, quick=False)
        waited = sorted(latency(folder, given.samples))
    share = quick["all"] * PREFECTURE / 1e6
    print(f"{len(rules)} rules, {given.farms} farms of {given.points} points a minute, "
          f"{quick['pairs_per_farm']:.0f} pairs each\n")  # fmt: skip
    print(f"{'CPU µs a reading':26}{'packs':>8}{'holes':>8}{'judging':>9}{'clock':>8}{'all':>8}")
    for what, row in (("quick", quick), ("plain (the reference)", plain)):
        cells = "".join(
            f"{row[k]:>{w}.1f}" for k, w in (("packs", 8), ("holes", 8), ("judging", 9), ("clock", 8), ("all", 8))
        )
        print(f"{what:26}{cells}")
    p50, p99 = waited[len(waited) // 2], waited[min(len(waited) - 1, len(waited) * 99 // 100)]
    print(f"\nlooks at the clock: {quick['ticks_per_farm_minute']:.1f} a farm and minute; "
          f"from commit to the book: p50 {1000 * p50:.0f} ms of {len(waited)}\n")  # fmt: skip
    figures = [
        Figure("of a core: 5,000 farms, 200 points a minute", 100 * share, "%", 30, False, "CPU"),
        Figure("memory of a farm", quick["bytes_per_farm"] / 1e6, "MB", None, False, "RSS"),
        Figure("committed -> in the book, p99", 1000 * p99, "ms", 200, False, "wall"),
    ]
    for figure in figures:
        print(figure)
    if given.json:
        told = {"figures": [{**asdict(f), "met": f.met} for f in figures], "quick": quick, "plain": plain,
                "waited_s": waited}  # fmt: skip
        given.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 0 if all(f.met for f in figures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
