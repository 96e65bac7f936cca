"""Readings from MQTT to the store, acknowledged: how many a second, at what cost, how fresh, what an outage costs.

    ./run bench delivery [--store influx] [--quick] [--only NAME] [--json FILE]
    ./run bench delivery --only prefecture --farms 5000 --points 200 --minutes 10
    ./run bench delivery --only outage --gateways 500 --offline 60

Broker (TLS), collectors and store are the product's; one client with a line of its own in the broker's ACL speaks for
all gateways. All share this machine's processors: rely on CPU seconds and ratios, and run it while nothing else does.
Each run ends with a comparison: what was acknowledged must be in the store, value by value (of 250 farms at most).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tests.bench.bench_gateway import Figure
from tests.bench.delivery_runs import Measured, flat, outage, prefecture, store_locked, world

MOST: dict[str, int] = {"sqlite": 220_000, "influx": 150_000}
"""Readings a second that are prepared for a run: more than can be stored."""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--store", choices=("sqlite", "influx"), default="sqlite")
    options.add_argument("--only", help="runs whose name contains this")
    options.add_argument("--quick", action="store_true", help="two minutes altogether; coarser")
    options.add_argument("--seconds", type=float, default=20, help="of each run flat out")
    options.add_argument("--farms", type=int, default=1000, help="of the prefecture")
    options.add_argument("--points", type=int, default=200, help="of each farm, one reading a minute each")
    options.add_argument("--minutes", type=float, default=1, help="of the prefecture")
    options.add_argument("--gateways", type=int, default=200, help="that were offline")
    options.add_argument("--offline", type=int, default=60, help="minutes that they were offline")
    options.add_argument("--collectors", type=int, help="of the prefecture and the outage (default: 1)")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    if given.quick:
        given.seconds, given.farms, given.gateways, given.offline = 6, 200, 50, 30
    figures: list[Figure] = []
    rows = {}
    with tempfile.TemporaryDirectory(prefix="makiba-bench-") as folder:
        for name, measured, found in _runs(given, Path(folder)):
            for figure in found:
                print(figure, flush=True)
                figures.append(figure)
            rows[name] = {k: v for k, v in asdict(measured).items() if k != "fresh_s"}
            lost, wrong = measured.missing, measured.wrong
            print(f"    {name}: {measured.compared} readings compared, {lost} missing, {wrong} wrong; "
                  f"{measured.resent} packs sent again; {_spell(measured.extra)}", flush=True)  # fmt: skip
            figures.append(Figure(f"missing or wrong: {name}", lost + wrong, "", 0, False, ""))
    load = os.getloadavg()[0]
    print(f"\n{sum(not f.met for f in figures)} of {len(figures)} figures missed; load of the machine {load:.1f}")
    if given.json:
        told = [{**asdict(f), "met": f.met} for f in figures]
        text = json.dumps({"store": given.store, "load": load, "figures": told, "runs": rows}, indent=1)
        given.json.write_text(text + "\n", encoding="utf-8")
    return 0


def _spell(extra: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in extra.items())


Run = tuple[str, Measured, list[Figure]]


def _runs(given: argparse.Namespace, folder: Path) -> Iterator[Run]:
    store, most = given.store, MOST[given.store]
    sustained = 60_000 if store == "sqlite" else 52_000
    peer = "" if store == "sqlite" else "5,200"

    def wanted(name: str) -> bool:
        return not given.only or given.only in name

    for collectors in (1, 2):
        for pack, target_s in ((100, 0.5), (10, 1.0)):
            name = f"flat-{pack}-{collectors}"
            if not wanted(name):
                continue
            with world(folder / name, store=store, collectors=collectors, farms=200) as at:
                m = flat(at, pack=pack, seconds=given.seconds, farms=200, most=most if pack > 10 else most // 2)
            what = f"packs of {pack}, {collectors} collector{'s' * (collectors > 1)}"
            yield name, m, [
                Figure(f"acknowledged into {store}, {what}", m.rate, "1/s", sustained if pack > 10 else None, True,
                       peer),
                Figure(f"collector CPU / 100,000 readings, {what}", m.cpu_per_100k, "s",
                       target_s if store == "sqlite" else None, False, "0.7-4.2, no promise kept"),
            ]  # fmt: skip
    if wanted("memory"):
        yield _memory(given, folder / "memory")
    if wanted("prefecture"):
        collectors = given.collectors or 1
        with world(folder / "prefecture", store=store, collectors=collectors, farms=given.farms) as at:
            m = prefecture(at, farms=given.farms, points=given.points, seconds=given.minutes * 60)
        what = f"{given.farms} farms x {given.points} points a minute"
        yield "prefecture", m, [
            Figure(f"{what}: share that was answered in time", m.rate / m.extra["asked_per_s"], "", 0.99, True, ""),
            Figure(f"{what}: freshness p50", m.percentile(0.5), "s", None, False, ""),
            Figure(f"{what}: freshness p99", m.percentile(0.99), "s", 2, False, ""),
            Figure(f"{what}: collector CPU / 100,000 readings", m.cpu_per_100k, "s", None, False, ""),
            Figure(f"{what}: collector's peak memory", m.peak_mb, "MB", None, False, ""),
        ]  # fmt: skip
    if wanted("outage"):
        with world(folder / "outage", store=store, collectors=given.collectors or 1, farms=given.gateways) as at:
            m = outage(at, gateways=given.gateways, minutes=given.offline)
        what = f"{given.gateways} gateways offline for {given.offline} min"
        yield "outage", m, [
            Figure(f"{what}: live readings fresh after", m.extra["live_fresh_after_s"], "s", 10, False, ""),
            Figure(f"{what}: live freshness p99", m.percentile(0.99), "s", None, False, ""),
            Figure(f"{what}: backlog drained at", m.extra["times_real_time"], "x", 5, True, ""),
            Figure(f"{what}: collector's peak memory", m.peak_mb, "MB", 150, False, ""),
        ]  # fmt: skip


def _memory(given: argparse.Namespace, folder: Path) -> Run:
    """Packs of 1000 readings as fast as they go, and with SQLite five seconds in which nothing can be stored."""
    with world(folder, store=given.store, collectors=1, farms=200) as at:
        m = flat(at, pack=1000, seconds=given.seconds, farms=200, most=2 * MOST[given.store])
        calm_mb = at.watched[0].memory_mb()
        if given.store == "sqlite":
            with store_locked(at):
                again = flat(at, pack=1000, seconds=5, farms=200, most=20_000, warm=False)
            m.compared, m.missing, m.wrong = again.compared, m.missing + again.missing, again.wrong
            m.extra["peak_mb_before_the_store_was_away"] = calm_mb
        m.peak_mb = at.peak_mb
    return "memory", m, [
        Figure("acknowledged, packs of 1000 (backlog), 1 collector", m.rate, "1/s", None, True, ""),
        Figure("collector CPU / 100,000 readings, packs of 1000", m.cpu_per_100k, "s", None, False, ""),
        Figure("collector's peak memory under backlog", m.peak_mb, "MB", 150, False, ""),
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
