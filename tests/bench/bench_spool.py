"""What the spool costs: bytes on the wire and at rest, CPU to drain, bytes written to the card, commits a second.

    ./run bench spool [--json FILE]

Bytes to the card are counted where SQLite writes them (the recording layer of the power-cut tests): write-ahead log,
checkpoints and all. The clock of the spool is not hurried: a bounded run is extrapolated to a day.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.packs import Batch, dense_packs, plain_packs
from gateway.spool import Spool, SpoolEvents
from gateway.spool_file import SpoolFile
from gateway.window import Window, WindowRules
from makiba.reading import Reading, Series
from makiba.wire import BatchId
from tests.bench.gateway_rig import GATEWAY, SITE, AckingCollector, profile, usage
from tests.chaos.power_cut import Recorder, is_possible, recording
from tests.parts import Broker, makiba, wait_until

QUANTITIES = (
    "air_temperature", "relative_humidity", "ammonia", "carbon_dioxide", "soil_moisture", "soil_temperature",
    "wind_speed", "voltage", "current", "temperature",
)  # fmt: skip
DEVICES = 20
T0 = 1_800_000_000_000
DAY_S = 86_400
HOT = "a" * 16


class Farm:
    """20 devices of 10 points, each polled once a minute at its own moment with some milliseconds of jitter."""

    def __init__(self, seed: int = 1) -> None:
        self._chance = random.Random(seed)
        self._values = [[self._chance.uniform(5, 80) for _ in range(10)] for _ in range(DEVICES)]

    def poll(self, device: int, at_ms: int) -> list[Reading]:
        at_ms += self._chance.randint(0, 20)
        values = self._values[device]
        readings = []
        for channel, quantity in enumerate(QUANTITIES):
            values[channel] += self._chance.gauss(0, 0.3)
            series = Series("shikaoi-012", f"sensor-{device}.ch{channel}", quantity)
            readings.append(Reading(series, at_ms, round(values[channel], 1)))
        return readings

    def minutes(self, count: int) -> list[Reading]:
        return [
            r
            for minute in range(count)
            for d in range(DEVICES)
            for r in self.poll(d, T0 + minute * 60_000 + d * 3000)
        ]


def wire() -> dict[str, float]:
    """Bytes of a pack of 200 series x 5 polls, topic and properties not counted."""
    readings = Farm().minutes(5)
    dense = sum(len(p) for p, _ in dense_packs(readings))
    plain = sum(len(p) for p, _ in plain_packs(readings))
    return {"wire, dense pack, bytes/reading": dense / len(readings), "wire, plain JSON": plain / len(readings)}


def week(folder: Path, minutes: int) -> dict[str, float]:
    """An outage: a journal commit every 10 s of 200 points a minute; bytes at rest, then the CPU to drain it."""
    farm = Farm()
    cpu_s = time.process_time()
    with recording() as recorder:
        card = SpoolFile(folder / "spool.db")
        hot = count = 0
        due: list[Reading] = []
        for minute in range(minutes):
            for device in range(DEVICES):
                due += farm.poll(device, T0 + minute * 60_000 + device * 3000)
                if device % 3 == 2 or device == DEVICES - 1:
                    hot += 1
                    [(pack, n)] = plain_packs(due)
                    card.journal([Batch(BatchId(HOT, hot), n, pack)], (HOT, hot))
                    card.merge()
                    count += n
                    due = []
        written, syncs = recorder.written, recorder.syncs
        spent_s = time.process_time() - cpu_s
        card.close()
    size = (folder / "spool.db").stat().st_size
    factor = 7 * DAY_S / 60 / minutes
    drain_us, waited = _drain(folder / "spool.db")
    assert waited == count
    return {
        "at rest, bytes/reading": size / count,
        "a week offline, MB": size * factor / 1e6,
        "readings in a week": count * factor,
        "card written, link down, MB/day": written * factor / 7 / 1e6,
        "syncs a day, link down": syncs * factor / 7,
        "keeping, CPU us/reading": spent_s / count * 1e6,
        "draining, file and window only, CPU us/reading": drain_us,
    }


def _drain(path: Path) -> tuple[float, int]:
    """Pages from the journal through the window to acknowledged; CPU in us a reading, and how many there were."""
    card = SpoolFile(path)
    window = Window(WindowRules(backlog_per_s=1e9))
    window.opened(HOT, [])
    window.card_opened(card.spool_id, card.last_number)
    window.connect()
    count, now_s, acknowledged = 0, 0.0, list[int]()
    began_s = time.process_time()
    while True:
        if asked := window.wanted():
            window.page(card.after(asked[0], asked[2], asked[1]), asked)
        now_s += 1.0
        sent = []
        while sending := window.next(now_s, 0.5):
            sent.append(sending.batch)
        if not sent:
            break
        for batch in sent:
            count += batch.readings
            window.acknowledged(batch.id, now_s)
            acknowledged.append(batch.id.number)
        if len(acknowledged) >= 16:
            card.remove(acknowledged)
            acknowledged.clear()
    spent_s = time.process_time() - began_s
    card.abandon()
    return spent_s / max(count, 1) * 1e6, count


GATEWAY_FILE = """\
gateway: {gateway}
site: {site}
profiles: .
mqtt:
  host: {options.host}
  port: {options.port}
  tls: {{ca: {options.tls.ca}, cert: {options.tls.cert}, key: {options.tls.key}}}
spool: {{path: spool.db, hot: hot, backlog_per_s: 1000}}
buses:
  line:
    tcp: {{host: 127.0.0.1, port: 9}}
    devices: [{{name: meter-1, profile: meter, unit_id: 1, every: 1h}}]
"""


def drain(folder: Path, minutes: int) -> dict[str, float]:
    """A gateway that was offline, from its journal over TLS and the broker to the last answer: the process's CPU.

    Its bus is dead, so that it does nothing else; the collector comes when the gateway waits for one.
    """
    (folder / "meter.yaml").write_text(profile(1, False), encoding="utf-8")
    card, farm = SpoolFile(folder / "spool.db"), Farm()
    for number in range(1, minutes // 5 + 1):
        [(pack, count)] = plain_packs(farm.minutes(5))
        card.journal([Batch(BatchId(HOT, number), count, pack)], (HOT, number))
    waiting, batches = card.readings, card.batches
    card.close()
    with Broker() as broker:
        file = folder / "gateway.yaml"
        options = broker.options(GATEWAY)
        file.write_text(GATEWAY_FILE.format(gateway=GATEWAY, site=SITE, options=options), encoding="utf-8")
        with makiba("gateway", "run", "-c", str(file), log=folder / "gateway.log") as gateway:
            wait_until(lambda: "line is down" in gateway.log(), 30, gateway.log)
            wait_until(lambda: usage(gateway.pid).cpu_s > 0.3, 30, gateway.log)
            before = usage(gateway.pid)
            collector = AckingCollector(broker.options("collector"))
            wait_until(lambda: len({c[1] for c in collector.came}) >= batches, 120, gateway.log, every_s=0.05)
            after = usage(gateway.pid)
            collector.close()
    return {
        "draining over TLS, CPU us/reading": (after.cpu_s - before.cpu_s) / waiting * 1e6,
        "draining over TLS, readings": waiting,
    }


class _Centre(SpoolEvents):
    """Acknowledges every batch after a moment, as a collector would; `is_up` False: the link is down."""

    def __init__(self, is_up: bool) -> None:
        self.is_up = is_up
        self.spool: Spool | None = None
        self.commits = 0

    def committed(self, batches: Sequence[Batch]) -> None:
        self.commits += 1
        if self.is_up and self.spool:
            for batch in batches:
                asyncio.get_running_loop().call_later(0.02, self.spool.acknowledged, batch.id)


def running(folder: Path, seconds: float, *, is_up: bool) -> Recorder:
    """The whole spool at 200 points a minute for some seconds; what was written after it was open."""
    farm = Farm()

    async def live(recorder: Recorder) -> int:
        centre = _Centre(is_up)
        spool = centre.spool = _spool(folder)
        spool.start(centre)
        await spool.opened()
        spool.note_time(time.time_ns() // 1_000_000)
        await asyncio.sleep(0.5)
        recorder.written = recorder.syncs = 0
        device, end_s = 0, time.monotonic() + seconds
        while time.monotonic() < end_s:
            spool.append(farm.poll(device % DEVICES, time.time_ns() // 1_000_000))
            spool.note_time(time.time_ns() // 1_000_000)
            device += 1
            await asyncio.sleep(60 / DEVICES)
        written = recorder.written
        await spool.stop()
        return written

    with recording() as recorder:
        recorder.written = asyncio.run(live(recorder))
    return recorder


def commits(folder: Path, seconds: float) -> dict[str, float]:
    """Readings a second through the hot file, each poll appended by itself; and the CPU a reading."""
    farm = Farm()
    polls = [farm.poll(d % DEVICES, T0 + d * 100) for d in range(2000)]

    async def live() -> dict[str, float]:
        centre = _Centre(True)
        spool = centre.spool = _spool(folder)
        spool.start(centre)
        await spool.opened()
        number, end_s = 0, time.monotonic() + seconds
        began_s, cpu_s = time.monotonic(), time.process_time()
        while time.monotonic() < end_s:
            for _ in range(50):
                spool.append(polls[number % len(polls)])
                number += 1
            await asyncio.sleep(0)
            while spool.asked > 500:  # noqa: ASYNC110 (a thread empties it)
                await asyncio.sleep(0.001)
        await spool.flush()
        spent_s, cpu_s = time.monotonic() - began_s, time.process_time() - cpu_s
        await spool.stop()
        return {
            "flat out, readings/s": number * 10 / spent_s,
            "flat out, commits/s": centre.commits / spent_s,
            "flat out, CPU us/reading": cpu_s / (number * 10) * 1e6,
        }

    return asyncio.run(live())


def _spool(folder: Path) -> Spool:
    return Spool(
        folder / "spool.db", max_mb=512, force_every_s=10.0, gateway="gw-1", site="shikaoi-012", boot_id="b",
        now_ms=lambda: time.time_ns() // 1_000_000, hot=str(folder / "hot"),
    )  # fmt: skip


TARGETS: dict[str, float] = {
    "wire, dense pack, bytes/reading": 5,
    "a week offline, MB": 40,
    "draining over TLS, CPU us/reading": 10,
    "card written, link up, MB/day": 10,
    "card written, link down, MB/day": 120,
}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=int, default=600, help="of outage, at 200 points a minute")
    options.add_argument("--seconds", type=float, default=20, help="of the whole spool with the link up")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    if not is_possible():
        print("this Python's sqlite3 has a library of its own; what it writes cannot be counted")
        return 1
    figures: dict[str, Any] = wire()
    with tempfile.TemporaryDirectory(prefix="makiba-bench-") as name:
        for part in ("week", "drain", "up", "flat"):
            (Path(name) / part).mkdir()
        figures |= week(Path(name) / "week", given.minutes)
        figures |= drain(Path(name) / "drain", 5 * given.minutes)
        up = running(Path(name) / "up", given.seconds, is_up=True)
        # The note of the time goes to the card once in ten minutes; the run is shorter, so that it is added.
        note = 144 * 2 * (1024 + 24) / 1e6  # the page in the log, and at the checkpoint
        figures["card written, link up, MB/day"] = up.written * DAY_S / given.seconds / 1e6 + note
        figures |= commits(Path(name) / "flat", 3.0)
    for what, value in figures.items():
        target = f"   target {TARGETS[what]:g}" if what in TARGETS else ""
        print(f"{what:46} {value:12,.2f}{target}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return int(any(figures[what] > most for what, most in TARGETS.items()))


if __name__ == "__main__":
    raise SystemExit(main())
