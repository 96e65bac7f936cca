"""Three Modbus buses on which a fifth of all answers goes wrong; nothing wrong may ever be recorded.

Each number that is served says whose it is (`faulty_units.py`), so that a value of another unit, register or poll is
seen with certainty. One unit of each bus is never disturbed and has to keep its pace beside the others.

    python -m tests.chaos.torture_bus --minutes 10
"""

from __future__ import annotations

import argparse
import bisect
import itertools
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from makiba.reading import Reading
from tests.bench.gateway_rig import GATEWAY, SITE, AckingCollector, profile
from tests.chaos.faulty_server import FaultyServer
from tests.chaos.faulty_units import Asked, parts
from tests.parts import Broker, makiba, wait_until

UNITS = 8
SPARED = 8
EVERY_S = 0.4
BAUD = 38400
KINDS = ("rtu", "rtu-over-tcp", "tcp")
GOOD_ENOUGH = {None, "echo", "noise-before", "noise-after", "doubled", "late"}
"""Faults that may leave a sound and timely answer; over TCP, where ids tell them apart, two at once as well."""
WORDS = {"ok", "timeout", "crc", "invalid", *(f"exception-{n}" for n in range(1, 12))}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run showed; `wrong` is empty when all is well."""

    asked: Mapping[str, int]
    faults: Mapping[str, Counter[str]]
    values: Mapping[str, int]
    states: Mapping[str, Counter[str]]
    pace: Mapping[str, float]
    """Of the spared unit: polls of what its grid has."""
    wrong: Sequence[str]

    def __str__(self) -> str:
        lines = []
        for bus, count in self.asked.items():
            lines.append(
                f"{bus}: {count} requests, {self.faults[bus].total()} disturbed, {self.values[bus]} values, "
                f"the spared unit kept {self.pace[bus]:.1%} of its pace"
            )
            lines.append("  faults " + ", ".join(f"{k} {n}" for k, n in sorted(self.faults[bus].items())))
            lines.append("  states " + ", ".join(f"{k} {n}" for k, n in sorted(self.states[bus].items())))
        return "\n".join([*lines, *self.wrong[:20], f"{len(self.wrong)} things wrong"])


def run(folder: Path, *, seconds: float, seed: int, faults: float = 0.2, kinds: Sequence[str] = KINDS) -> Outcome:
    """Runs the buses in `folder` for `seconds`."""
    (folder / "meter.yaml").write_text(profile(2, True, timeout="500ms"), encoding="utf-8")
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(folder / "broker"))
        collector = AckingCollector(broker.options("collector"))
        stack.callback(collector.close)
        arguments = f"--faults {faults} --seed {seed} --spare {SPARED} --baud {BAUD}"
        servers = {
            kind: stack.enter_context(FaultyServer(kind, folder, *arguments.split(), name=kind)) for kind in kinds
        }
        file = _gateway_file(folder, broker, {kind: server.where for kind, server in servers.items()})
        begin_s = time.time()
        with makiba("gateway", "run", "-c", str(file), log=folder / "gateway.log") as gateway:
            wait_until(lambda: time.time() >= begin_s + seconds, seconds + 5, every_s=0.05)
            assert gateway.terminate(20) == 0, gateway.log()
            assert "Traceback" not in gateway.log(), gateway.log()[-3000:]
        asked = {kind: server.stop() for kind, server in servers.items()}
        readings = [reading for _, reading in collector.readings()]
    return judge(asked, readings)


def _gateway_file(folder: Path, broker: Broker, where: Mapping[str, str]) -> Path:
    options = broker.options(GATEWAY)
    assert options.tls
    buses = ""
    for kind, place in where.items():
        buses += (
            f"  {kind}:\n    "
            + {
                "rtu": f"rtu: {{port: {place}, baud: {BAUD}}}",
                "tcp": f"tcp: {{host: 127.0.0.1, port: {place}}}",
                "rtu-over-tcp": f"tcp: {{host: 127.0.0.1, port: {place}, framing: rtu}}",
            }[kind]
        )
        buses += "\n    devices:\n" + "".join(
            f"      - {{name: {kind}-{u}, profile: meter, unit_id: {u}, every: {EVERY_S * 1000:.0f}ms}}\n"
            for u in range(1, UNITS + 1)
        )
    file = folder / "gateway.yaml"
    file.write_text(
        f"gateway: {GATEWAY}\nsite: {SITE}\nprofiles: .\nmqtt:\n  host: {options.host}\n  port: {options.port}\n"
        f"  tls: {{ca: {options.tls.ca}, cert: {options.tls.cert}, key: {options.tls.key}}}\n"
        f"spool: {{path: spool.db, force_every: 10s}}\nbuses:\n{buses}",
        encoding="utf-8",
    )
    return file


def judge(asked: Mapping[str, Sequence[Asked]], readings: Sequence[Reading]) -> Outcome:
    """Compares what was recorded with what was asked and served."""
    wrong: list[str] = []
    values: Counter[str] = Counter()
    states: dict[str, Counter[str]] = defaultdict(Counter)
    history = {(bus, unit): rows for bus in asked for unit, rows in _by_unit(asked[bus]).items()}
    for reading in readings:
        bus, _, unit = reading.series.subject.split(".")[0].rpartition("-")
        if bus not in asked:
            continue
        if reading.series.quantity == "state":
            states[bus][str(reading.value)] += 1
            continue
        values[bus] += 1
        good_enough = GOOD_ENOUGH | ({"glued"} if bus == "tcp" else set())
        wrong += _wrong_value(reading, history[bus, int(unit)], int(unit), good_enough)
    for bus, words in states.items():
        wrong += [f"{bus}: unknown state {word!r}" for word in words.keys() - WORDS]
    pace = {bus: _pace(history[bus, SPARED]) for bus in asked}
    wrong += [f"{bus}: the spared unit kept {share:.1%} of its pace" for bus, share in pace.items() if share < 0.9]
    wrong += [text for bus in asked for text in _stalls(bus, asked[bus])]
    return Outcome(
        {bus: len(rows) for bus, rows in asked.items()},
        {bus: Counter(a.fault for a in rows if a.fault) for bus, rows in asked.items()},
        values, states, pace, wrong,
    )  # fmt: skip


def _by_unit(rows: Iterable[Asked]) -> dict[int, list[Asked]]:
    found: dict[int, list[Asked]] = defaultdict(list)
    for row in rows:
        found[row.unit].append(row)
    return found


def _wrong_value(reading: Reading, rows: Sequence[Asked], unit: int, good_enough: Set[str | None]) -> Iterator[str]:
    """The value must be the sound answer to the last request for its register before it was recorded."""
    point = int(reading.series.subject.split(".p")[1])
    said = parts(int(float(reading.value)))
    until = bisect.bisect(rows, reading.time_ms / 1000 + 0.001, key=lambda row: row.time_s)
    last = next((r for r in reversed(rows[:until]) if r.address <= 2 * point < r.address + r.count), None)
    where = f"{reading.series} at {reading.time_ms}"
    if last is None or said != (unit, point, last.sequence & 0xFFFFF):
        yield f"{where}: holds unit, register, sequence {said}; the last request was {last}"
    elif last.fault not in good_enough:
        yield f"{where}: was taken from an answer with {last.fault}"


def _pace(rows: Sequence[Asked]) -> float:
    return (len(rows) - 1) * EVERY_S / (rows[-1].time_s - rows[0].time_s)


def _stalls(bus: str, rows: Sequence[Asked]) -> Iterator[str]:
    """So busy a bus is never quiet for much longer than a timeout, a device never for longer than some steps."""
    for before, after in itertools.pairwise(rows):
        if after.time_s - before.time_s > 2.0:
            yield f"{bus}: quiet for {after.time_s - before.time_s:.1f} s"
    for unit, mine in _by_unit(rows).items():
        for before, after in itertools.pairwise(mine):
            if after.time_s - before.time_s > 30:
                yield f"{bus}: unit {unit} was not asked for {after.time_s - before.time_s:.1f} s"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--faults", type=float, default=0.2)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="makiba-torture-") as folder:
        print(f"seed {given.seed}", flush=True)
        outcome = run(Path(folder), seconds=given.minutes * 60, seed=given.seed, faults=given.faults)
    print(outcome)
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
