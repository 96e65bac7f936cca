"""Kill -9 of gateway, broker, collector and analytics at random moments while 50 points are polled once a second.

Afterwards the store must hold exactly one row per poll and point, and none may be missing except what was being
polled at the very moment in which the gateway itself was killed.

    python -m tests.chaos.kill_everything --seconds 300 --kills 10

Three runs for one figure: samples lost when the broker is away for a minute / the gateway is killed eight times in
that minute / both at once:

    python -m tests.chaos.kill_everything --figure --seconds 60
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from collectors.store import open_store
from collectors.store.protocol import Point
from gateway.hot import hot_path, peek_hot
from makiba.reading import Series
from tests.chaos.counting_meter import POINTS, PROFILE, CountingMeter
from tests.parts import Broker, Process, free_port, makiba, wait_until

SITE, GATEWAY, UNITS = "shikaoi-777", "gw-777", 5
EVERY_S = 1.0
GIVES_UP_MS = 3000
"""Longer than any timeout here."""


@dataclass(frozen=True, slots=True)
class Kill:
    """`name` is killed at `at_s` and started again `down_s` later."""

    at_s: float
    name: str
    down_s: float = 0.0


def at_random(seed: int, seconds: float, kills_each: int) -> list[Kill]:
    """Each process `kills_each` times within `seconds`."""
    chance = random.Random(seed)
    names = ("collector", "analytics", "gateway", "broker")
    return [Kill(chance.uniform(0.05, 1.0) * seconds, name) for name in names for _ in range(kills_each)]


def one_outage(seconds: float, *, broker: bool, gateway_kills: int) -> list[Kill]:
    """The broker away for `seconds`, the gateway killed evenly over them; either, or both."""
    begin_s = 5.0
    away = [Kill(begin_s, "broker", seconds)] if broker else []
    every_s = seconds / max(gateway_kills, 1)
    return away + [Kill(begin_s + (n + 0.5) * every_s, "gateway") for n in range(gateway_kills)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run showed: numbers answered by the meter, rows stored, and every difference."""

    seconds: float
    kills: dict[str, int]
    polls: int
    rows: int
    lost: int
    doubled: int
    lost_at_gateway_kills: int
    too_late: int
    wrong: tuple[str, ...]

    def __str__(self) -> str:
        killed = ", ".join(f"{name} {count}x" for name, count in sorted(self.kills.items()))
        lines = [
            f"{self.seconds:.0f} s, killed: {killed}",
            f"{self.polls} polls of {POINTS} points, {self.rows} rows stored",
            f"{self.lost} samples lost, {self.doubled} doubled",
            f"{self.lost_at_gateway_kills} polls cut off by the gateway's own death",
            f"{self.too_late} answers that came after the gateway had given up, and said so",
            *self.wrong[:20],
            "every poll stored exactly once" if not self.wrong else f"{len(self.wrong)} differences",
        ]
        return "\n".join(lines)


def run(folder: Path, plan: Sequence[Kill], *, first_takes_s: float = 0.0, timeout: str = "1s") -> Outcome:
    """Runs the farm in `folder`, kills as planned, lets everything arrive, and compares."""
    port = free_port()
    with CountingMeter(port, first_takes_s) as meter, Broker(folder / "broker") as broker:
        parts = _start(folder, broker, port, timeout)
        try:
            wait_until(lambda: len(meter.served) == UNITS, 20, "every unit is polled")
            began_s = time.monotonic()
            gateway_deaths = _kill(parts, broker, plan)
            seconds = time.monotonic() - began_s
            _let_all_arrive(folder, parts, meter)
        except BaseException:
            print("\n".join(f"--- {n}\n{p.log()[-3000:]}" for n, p in parts.items()), file=sys.stderr)
            raise
        finally:
            for process in parts.values():
                process.kill()
        return _compare(folder, meter, gateway_deaths, seconds, Counter(kill.name for kill in plan))


def _start(folder: Path, broker: Broker, port: int, timeout: str) -> dict[str, Process]:
    home = folder / "home"
    home.mkdir()
    (folder / "counting-meter.yaml").write_text(f"{PROFILE}timeout: {timeout}\n", encoding="utf-8")
    devices = "\n".join(
        f"      - {{name: meter-{u}, profile: counting-meter, unit_id: {u}, every: 1s}}" for u in range(1, UNITS + 1)
    )
    tls = broker.options(GATEWAY).tls
    assert tls
    (folder / "gateway.yaml").write_text(
        f"""\
gateway: {GATEWAY}
site: {SITE}
mqtt: {{host: 127.0.0.1, port: {broker.port}, tls: {{ca: {tls.ca}, cert: {tls.cert}, key: {tls.key}}}}}
profiles: .
spool: {{path: spool.db, max_mb: 64, force_every: 10s}}
buses:
  meters:
    tcp: {{host: 127.0.0.1, port: {port}}}
    devices:
{devices}
""",
        encoding="utf-8",
    )
    (folder / "site.yaml").write_text(
        f"""\
site: {SITE}
name: {{ja: 試験牧場, en: Test farm}}
gateways: [{GATEWAY}]
places: [{{id: barn-1, kind: barn, name: {{ja: 牛舎, en: Barn}}}}]
placements:
{"".join(f"  - {{subject: meter-{u}.p0, place: barn-1}}{chr(10)}" for u in range(1, UNITS + 1))}""",
        encoding="utf-8",
    )
    env = {**broker.env(), "MAKIBA_HOME": str(home)}
    apply = makiba("site", "apply", str(folder / "site.yaml"), log=folder / "apply.log", env=env)
    assert apply.start().wait(120) == 0, apply.log()
    return {
        "collector": makiba("collect", log=folder / "collect.log", env=env).start(),
        "analytics": makiba("watch", log=folder / "watch.log", env=env).start(),
        "gateway": makiba(
            "gateway", "run", "-c", str(folder / "gateway.yaml"), log=folder / "gateway.log", env=env
        ).start(),
    }


def _kill(parts: dict[str, Process], broker: Broker, plan: Sequence[Kill]) -> list[float]:
    """Kills and starts again; gives the monotonic times at which the gateway died."""
    begin_s = time.monotonic()
    steps = [(kill.at_s, kill.name, False) for kill in plan]
    steps += [(kill.at_s + kill.down_s, kill.name, True) for kill in plan]
    deaths: list[float] = []
    down: Counter[str] = Counter()
    for at_s, name, is_start in sorted(steps):
        _sleep_until(begin_s + at_s)
        part = broker if name == "broker" else parts[name]
        if is_start:
            down[name] -= 1
            if not down[name]:
                part.start()
            continue
        down[name] += 1
        part.kill()
        if name == "gateway":
            deaths.append(time.monotonic())
    return deaths


def _sleep_until(at_s: float) -> None:
    wait_until(
        lambda: time.monotonic() >= at_s, max(at_s - time.monotonic(), 0.0) + 60, "the next kill", every_s=0.01
    )


def _let_all_arrive(folder: Path, parts: dict[str, Process], meter: CountingMeter) -> None:
    """Lets the farm run undisturbed until what was polled is stored, then stops the gateway in good order."""

    def newest() -> dict[int, int]:
        return {unit: answers[-1][0] for unit, answers in meter.served.items()}

    settled = newest()
    wait_until(lambda: all(n >= settled[u] + 3 for u, n in newest().items()), 60, "polling goes on")
    assert (code := parts["gateway"].terminate(20)) == 0, f"exit {code}"
    # What it could not deliver any more waits in the spool: another start delivers it.
    parts["gateway"].start()
    wait_until(lambda: _spool_is_empty(folder), 90, "the spool is empty", every_s=0.2)
    parts["gateway"].kill()


def _spool_is_empty(folder: Path) -> bool:
    if (state := peek_hot(hot_path(folder / "spool.db"))) and state.batches:
        return False
    with closing(sqlite3.connect(f"file:{folder}/spool.db?mode=ro", uri=True)) as db:
        return bool(db.execute("SELECT count(*) FROM batch").fetchone() == (0,))


def _compare(
    folder: Path, meter: CountingMeter, deaths: Sequence[float], seconds: float, kills: dict[str, int]
) -> Outcome:
    # A poll that was answered and not yet in the spool when the gateway died is the gateway's own death.
    cut_off = {
        unit: {max(n for n, at in answers if at <= death) for death in deaths} | {answers[-1][0]}
        for unit, answers in meter.served.items()
    }
    store = open_store(f"sqlite:{folder}/home/store.db")
    wrong: list[str] = []
    rows = lost = doubled = cut = too_late = 0
    wall_ms = time.time() * 1000 - time.monotonic() * 1000
    for unit, answers in meter.served.items():
        served = {n for n, _ in answers}
        # An answer that comes after the gateway gave up was not measured; the state that it stored says so.
        silent = _silences(store.range(Series(SITE, f"meter-{unit}", "state"), 0, 2**62))
        late = {n for n, at in answers if any(a - GIVES_UP_MS <= at * 1000 + wall_ms < b for a, b in silent)}
        for point in range(POINTS):
            got = Counter(p.value for p in store.range(Series(SITE, f"meter-{unit}.p{point}", "value"), 0, 2**62))
            rows += got.total()
            name = f"meter-{unit}.p{point}"
            wrong += [f"{name}: {n} stored {c} times" for n, c in got.items() if c > 1]
            doubled += sum(c - 1 for c in got.values())
            wrong += [f"{name}: {n} was never measured" for n in got.keys() - served]
            missing = served - got.keys()
            wrong += [f"{name}: {n} is lost" for n in missing - cut_off[unit] - late]
            lost += len(missing - cut_off[unit] - late)
            too_late += len(missing & late - cut_off[unit]) if point == 0 else 0
            cut += len(missing & cut_off[unit]) if point == 0 else 0
    store.close()
    polls = sum(len(a) for a in meter.served.values())
    return Outcome(seconds, kills, polls, rows, lost, doubled, cut, too_late, tuple(sorted(wrong)))


def _silences(states: Sequence[Point]) -> list[tuple[float, float]]:
    """From when to when, in ms, a device was something else than ok."""
    spans: list[tuple[float, float]] = []
    for at, state in enumerate(states):
        if state.value != "ok":
            spans.append((state.time_ms, states[at + 1].time_ms if at + 1 < len(states) else float("inf")))
    return spans


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=300)
    options.add_argument("--kills", type=int, default=10, help="of each process")
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options.add_argument("--figure", action="store_true", help="three runs; --seconds is how long the broker is away")
    given = options.parse_args()
    if given.figure:
        return _figure(given.seconds)
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="makiba-chaos-") as folder:
        outcome = run(Path(folder), at_random(given.seed, given.seconds, given.kills))
    print(outcome)
    return 1 if outcome.wrong else 0


def _figure(seconds: float) -> int:
    outcomes = []
    for broker, kills in ((True, 0), (False, 8), (True, 8)):
        with tempfile.TemporaryDirectory(prefix="makiba-chaos-") as folder:
            outcomes.append(run(Path(folder), one_outage(seconds, broker=broker, gateway_kills=kills)))
        print(f"{outcomes[-1]}\n", flush=True)
    for word in ("lost", "doubled", "lost_at_gateway_kills"):
        figures = " / ".join(str(getattr(outcome, word)) for outcome in outcomes)
        print(f"{word.replace('_', ' ')}: broker away {seconds:.0f} s / gateway killed 8 times / both: {figures}")
    return 1 if any(outcome.wrong for outcome in outcomes) else 0


if __name__ == "__main__":
    raise SystemExit(main())
