"""The gateway's figures, beside what the best comparable program reached on a machine of the same kind.

20 devices x 10 points. The serial line is a pseudo-terminal that takes the time of 9600 8N1, byte by byte; the limit
of the wire is a request of 8 bytes, its reply and 3.5 characters of silence behind each, for the fewest requests.
TCP runs to a server in another process. Broker (TLS) and spool are the real ones, the collector only acknowledges.
All share this machine's cores: rely on ratios and CPU seconds, and run it while nothing else does.

    ./run bench gateway [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.gateway_rig import Measured, Run, measure
from tests.chaos.faulty_units import POINTS
from tests.parts import Broker

CHAR_S = 10 / 9600
GAPPED = 4
"""Registers from one value to the next on the gapped bus: holes of three."""
DEAD = (3, 8, 13, 18)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `at_least` says which side of the target is good."""

    what: str
    value: float
    unit: str
    target: float | None
    at_least: bool
    best_peer: str

    @property
    def met(self) -> bool:
        return self.target is None or (self.value >= self.target if self.at_least else self.value <= self.target)

    def __str__(self) -> str:
        sign = "" if self.target is None else f"{'≥' if self.at_least else '≤'} {self.target:g}"
        mark = "" if self.target is None else "ok" if self.met else "MISSED"
        return f"{self.what:57} {self.value:10.3f} {self.unit:9} {sign:>10} {mark:7} {self.best_peer}"


def limit(registers: int) -> float:
    """Points a second of one request after the other for ten points in `registers` registers."""
    return POINTS / ((8 + 5 + 2 * registers + 2 * 3.5) * CHAR_S)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="less than a minute; coarser")
    options.add_argument("--json", type=Path)
    options.add_argument("--only", help="runs whose name contains this")
    given = options.parse_args()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="makiba-bench-") as folder, Broker() as broker:
        for name, run, figures_of in _runs(given.quick):
            if given.only and given.only not in name:
                continue
            measured = measure(Path(folder) / name, broker, run)
            for figure in figures_of(measured):
                print(figure, flush=True)
                figures.append(figure)
    load = os.getloadavg()[0]
    print(f"\n{sum(not f.met for f in figures)} of {len(figures)} figures missed; load of the machine {load:.1f}")
    if given.json:
        rows = [{**asdict(f), "met": f.met} for f in figures]
        given.json.write_text(json.dumps({"load": load, "figures": rows}, indent=1, ensure_ascii=False) + "\n")
    return 0


Runs = Sequence[tuple[str, Run, Callable[[Measured], list[Figure]]]]


def _runs(quick: bool) -> Runs:
    def seconds(full: float) -> float:
        return max(full / 8, 4) if quick else full

    span = GAPPED * (POINTS - 1) + 1
    flat = "1ms"
    return (
        ("contiguous", Run("rtu", seconds(20), flat), lambda m: [
            _share("contiguous", m, limit(POINTS), 0.95, "0.83 modpoll"), _requests("contiguous", m)]),
        ("gapped", Run("rtu", seconds(20), flat, stride=GAPPED), lambda m: [
            _share("holes of 3 registers", m, limit(span), 0.95, "0.75 modpoll"), _requests("holes of 3", m)]),
        ("faults", Run("rtu", seconds(45), flat, faults=0.05), lambda m: [
            _share("contiguous, 5 % faults", m, limit(POINTS), 0.80, "0.52 modpoll")]),
        ("dead", Run("rtu", seconds(45), flat, dead=DEAD), lambda m: [
            _share("contiguous, 4 of 20 devices dead", m, limit(POINTS), 0.85, "not measured")]),
        ("cadence", Run("rtu", seconds(45), "1s", dead=DEAD), lambda m: [_cadence(m)]),
        ("steady", Run("tcp", seconds(40), "1s"), lambda m: [
            Figure("CPU s / 1000 points, TCP at 1 s, acknowledged", m.cpu_s / m.came * 1000, "s", 0.04, False,
                   "0.36; 0.023 without a spool"),
            Figure("peak resident memory, 200 points", m.peak_mib, "MiB", 45, False, "34"),
            *_latency("20 devices at once", m, None)]),
        ("flat", Run("tcp", seconds(10), flat), lambda m: [
            Figure("TCP flat out, acknowledged", m.came / m.seconds, "points/s", 20_000, True,
                   "26,500 without a spool"),
            Figure("CPU s / 1000 points, TCP flat out", m.cpu_s / m.came * 1000, "s", None, False, "")]),
        ("idle", Run("tcp", seconds(20), "200ms", devices=1), lambda m: _latency("idle bus", m, 20)),
    )  # fmt: skip


def _share(what: str, m: Measured, wire: float, target: float, peer: str) -> Figure:
    return Figure(f"share of the wire ({wire:.0f}/s): {what}", m.points_per_s / wire, "", target, True, peer)


def _requests(what: str, m: Measured) -> Figure:
    asked = len(m.asked_in_window)
    return Figure(f"requests per {POINTS} points: {what}", asked / m.points * POINTS, "", 1.05, False, "1 by hand")


def _cadence(m: Measured) -> Figure:
    polls = m.points / POINTS
    return Figure("4 of 20 dead at 1 s: cadence kept by the live ones", polls / (16 * m.seconds), "", 0.99, True, "-")


def _latency(what: str, m: Measured, target: float | None) -> list[Figure]:
    """From when the server heard the request to when the collector heard the value."""
    asked_s = {(a.unit, a.sequence & 0xFFFF): a.time_s for a in m.asked}
    took_ms = sorted(
        (at_s - asked_s[int(r.series.subject.split(".")[0].split("-")[1]), int(float(r.value))]) * 1000
        for at_s, r in m.values
        if r.time_ms / 1000 >= m.begin_s
    )
    p50, p95 = statistics.median(took_ms), took_ms[int(0.95 * len(took_ms))]
    return [
        Figure(f"sample -> MQTT p50, {what}", p50, "ms", None, False, "4-27"),
        Figure(f"sample -> MQTT p95, {what}", p95, "ms", target, False, "7-17"),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
