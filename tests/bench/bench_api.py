"""The API's figures: the calls that are asked most, as owner and as guest, open streams, and what a withdrawal takes.

A town of 100 farms with a year of readings, `makiba serve` as a process of its own, requests and streams over real
sockets from this one. CPU is the server's own: on a machine that does other things it says more than the clock.

    ./run bench api [--quick] [--full] [--only PART] [--json FILE]

The store is made once and kept in ~/.cache/makiba-bench (`--full`: a reading a minute of every farm, some hours and
gigabytes; else of five farms, and a reading each quarter of an hour of the others).
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import random
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from collectors.registry import consent
from makiba import topics
from makiba.mqtt import connect_properties, new_client
from makiba.reading import Reading, Series
from makiba.senml import encode_json
from makiba.wire import pack_payload
from tests.bench.api_rig import CONSOLE, DAY_MS, END_MS, SERIES, Served, Size, Streams, Town, made_store, site, timed
from tests.bench.bench_gateway import Figure
from tests.parts import Broker

Say = Callable[[Figure], None]

EVENTS_PER_S: Final = 100


def calls(farms: int, days: int) -> dict[str, tuple[str, float | None]]:
    """The calls and their targets in ms, for p99."""
    start_ms, end_ms = END_MS - days * DAY_MS, END_MS
    span = f"start_ms={start_ms}&end_ms={end_ms}"
    day = f"start_ms={end_ms - DAY_MS}&end_ms={end_ms}"
    farm = f"/sites/{site(0)}"
    names = "&".join(f"series={subject}/{quantity}" for subject, quantity in SERIES)
    return {
        "year chart of one series": (f"{farm}/series/tank-1/milk_temperature/windows?{span}&points=400", 50.0),
        f"overview of {farms} farms": (f"/overview?limit={farms}", 100.0),
        "alerts of one farm": (f"{farm}/alerts", 20.0),
        "places of one farm": (f"{farm}/places", None),
        "latest of one farm": (f"{farm}/latest", None),
        "a day of all series, aligned": (f"{farm}/data?{day}&points=300&{names}", None),
        "day chart of one series": (f"{farm}/series/tank-1/milk_temperature/windows?{day}&points=300", None),
        "session": ("/session", None),
        "animals": (f"{farm}/animals", None),
        "audit": (f"{farm}/audit", None),
    }


def ask_all(served: Served, town: Town, say: Say, days: int, times: int) -> None:
    """Each call as the owner and as a guest."""
    for who in ("owner", "desk"):
        for what, (path, target) in calls(town.farms, days).items():
            if what == "audit" and who == "desk":
                continue
            took = timed(served, town.cookies[who], path, times)
            say(Figure(f"{what}, {who}: p99", took.p99_ms, "ms", target, False, f"p50 {took.p50_ms:.1f}"))
            say(Figure(f"{what}, {who}: CPU", took.cpu_ms, "ms", target, False, f"{took.bytes} bytes"))


def many_guests(served: Served, town: Town, say: Say, times: int) -> None:
    """Sixteen guests at once: their reads are written down together."""
    path = f"/sites/{site(1)}/alerts"
    took: list[float] = []

    def one() -> None:
        took.append(timed(served, town.cookies["desk"], path, times).p99_ms)

    begun_s, cpu_s = time.monotonic(), served.cpu_s
    threads = [threading.Thread(target=one) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    count = 16 * (times + 3)
    say(Figure("16 guests at once: answers", count / (time.monotonic() - begun_s), "1/s", None, True, ""))
    say(Figure("16 guests at once: p99 of the slowest", max(took), "ms", None, False, ""))
    say(Figure("16 guests at once: CPU an answer", (served.cpu_s - cpu_s) / count * 1000, "ms", None, False, ""))


class Publisher:
    """Publishes readings on the committed feed at a steady rate."""

    def __init__(self, broker: Broker, farms: int) -> None:
        options = broker.options("collector")
        self._client = new_client(options, "bench-collector")
        self._client.connect(options.host, options.port, clean_start=True, properties=connect_properties())
        self._client.loop_start()
        self._farms = farms
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Publisher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    def _run(self) -> None:
        chance, number, begun_s = random.Random(2), 0, time.monotonic()
        while not self._stop.is_set():
            series = Series(site(number % self._farms), *SERIES[number // self._farms % len(SERIES)])
            reading = Reading(series, time.time_ns() // 1_000_000, round(chance.uniform(0.0, 1.0), 3))
            payload = pack_payload(encode_json([reading]), deflate=False)
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.UserProperty = list(payload.user_properties)
            self._client.publish(topics.stored_topic(series.site), payload.data, qos=0, properties=properties)
            number += 1
            self._stop.wait(max(0.0, begun_s + number / EVENTS_PER_S - time.monotonic()))


def stream(served: Served, town: Town, broker: Broker, say: Say, count: int, for_s: float) -> None:
    """`count` open streams: nine in ten of farms' own people, the others of desks that see all farms."""
    desks = max(1, count // 160)
    cookies = [town.person(f"desk-{n}", "coop", range(town.farms)) for n in range(desks)]
    homes = [town.person(f"home-{n}", "family", [n % town.farms]) for n in range(count // 9)]
    who = [cookies[n // 10 % desks] if n % 10 == 0 else homes[n % len(homes)] for n in range(count)]
    before_mb = served.memory_mb

    async def run() -> None:
        streams = Streams(served.port)
        begun_s, cpu_s = time.monotonic(), served.cpu_s
        tasks = []
        for number, cookie in enumerate(who):
            tasks.append(asyncio.create_task(streams.listen(number, cookie)))
            if number % 20 == 19:
                await asyncio.sleep(0.1)
        await streams.all_open(count)
        say(Figure(f"{count} streams opened in", time.monotonic() - begun_s, "s", None, False, ""))
        say(Figure("opening a stream: CPU", (served.cpu_s - cpu_s) / count * 1000, "ms", None, False, ""))
        with Publisher(broker, town.farms):
            await asyncio.sleep(5)
            streams.delays_ms.clear()
            cpu_s, begun_s = served.cpu_s, time.monotonic()
            await asyncio.sleep(for_s)
            used = (served.cpu_s - cpu_s) / (time.monotonic() - begun_s)
            delays = sorted(streams.delays_ms)
            p99 = delays[int(0.99 * len(delays))]
            p50 = delays[len(delays) // 2]
            say(
                Figure(
                    f"{count} streams, {EVENTS_PER_S} events/s: delay p99", p99, "ms", 1000, False, f"p50 {p50:.0f}"
                )
            )
            say(Figure(f"{count} streams: events told", len(delays) / for_s, "1/s", None, True, ""))
            say(Figure(f"{count} streams: CPU", used * 100, "% core", None, False, ""))
            say(Figure(f"{count} streams: memory", served.memory_mb, "MB", 300, False, f"before {before_mb:.0f}"))
            await _withdraw(streams, town, say, who, set(cookies))
            assert streams.ended == 0, f"{streams.ended} streams ended"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())


async def _withdraw(streams: Streams, town: Town, say: Say, who: list[str], desks: set[str]) -> None:
    """All farms withdraw what they show the desks: when the last byte of them reaches any."""

    def withdraw() -> float:
        now_ms = time.time_ns() // 1_000_000
        with town.registry.write() as session:
            for name, given in town.consents.items():
                consent.withdraw(session, CONSOLE, name, given, now_ms)
        return time.time() * 1000

    done_ms = await asyncio.to_thread(withdraw)
    await asyncio.sleep(4)
    outside = [n for n, cookie in enumerate(who) if cookie in desks]
    last_ms = max(streams.last.get(n, 0.0) for n in outside)
    say(Figure(f"withdrawal to the last byte on {len(outside)} streams", last_ms - done_ms, "ms", 1000, False, ""))


def exports(served: Served, town: Town, say: Say) -> None:
    """How soon a file begins, and how soon it breaks off when the farm withdraws what it shows."""
    farm = 0  # with a reading a minute, so that a file does not fit between the two ends
    path = f"/sites/{site(farm)}/export?form=csv&start_ms={END_MS - 30 * DAY_MS}&end_ms={END_MS}"
    begun = []
    for _ in range(30):
        begun_s = time.perf_counter()
        Download(served.port, path, town.cookies["owner"]).close()
        begun.append((time.perf_counter() - begun_s) * 1000)
    begun.sort()
    say(Figure("export of a month: first byte, p99", begun[-1], "ms", None, False, f"p50 {begun[15]:.1f}"))
    whole = f"/sites/{site(farm)}/export?form=csv&end_ms={END_MS}"
    desks = [town.person(f"reader-{n}", "coop", [farm]) for n in range(4)]
    downloads = [Download(served.port, whole, desk) for desk in desks]
    readers = [threading.Thread(target=download.read_slowly) for download in downloads]
    for reader in readers:
        reader.start()
    time.sleep(1)
    with town.registry.write() as session:
        given = town.consents.pop(site(farm))
        consent.withdraw(session, CONSOLE, site(farm), given, time.time_ns() // 1_000_000)
    done_s = time.monotonic()
    for reader in readers:
        reader.join(10)
    last_ms = (max(download.last_s for download in downloads) - done_s) * 1000
    assert all(download.is_broken for download in downloads), "an export went on after the withdrawal"
    say(Figure("withdrawal to the last byte of 4 exports under way", last_ms, "ms", 1000, False, ""))


class Download:
    """An export under way, read as slowly as wanted."""

    def __init__(self, port: int, path: str, cookie: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._connection.connect()
        self._connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        self._connection.request("GET", f"/api/v1{path}", headers={"Cookie": f"makiba_session={cookie}"})
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200, self._answer.read()[:300]
        assert self._answer.read(1)
        self.last_s = time.monotonic()
        self.is_broken = False

    def read_slowly(self) -> None:
        """Takes some 100 kB/s until it ends; `is_broken` when that was no clean end."""
        try:
            while self._answer.read(10_000):
                self.last_s = time.monotonic()
                time.sleep(0.1)
        except (OSError, http.client.HTTPException):
            self.is_broken = True

    def close(self) -> None:
        self._connection.close()


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="ten farms, a month, 100 streams")
    options.add_argument("--full", action="store_true", help="a reading a minute of every farm for a year")
    options.add_argument("--only", help="parts whose name contains this: calls, guests, exports, streams")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    size = Size(10, 2, 30) if given.quick else Size(100, 100 if given.full else 5, 365)
    figures: list[Figure] = []

    def say(figure: Figure) -> None:
        print(figure, flush=True)
        figures.append(figure)

    store = made_store(size, lambda text: print(text, flush=True))
    with tempfile.TemporaryDirectory(prefix="makiba-bench-") as name, Broker() as broker:
        home = Path(name)
        shutil.copy(store, home / "store.db") if given.quick else None
        town = Town(home, size.farms)
        with Served(home, broker, home / "store.db" if given.quick else store) as served:
            parts: dict[str, Callable[[], None]] = {
                "calls": lambda: ask_all(served, town, say, size.days, 30 if given.quick else 200),
                "guests": lambda: many_guests(served, town, say, 20 if given.quick else 100),
                "exports": lambda: exports(served, town, say),
                "streams": lambda: stream(
                    served, town, broker, say, 100 if given.quick else 1000, 5 if given.quick else 20
                ),
            }
            for part, run in parts.items():
                if not given.only or given.only in part:
                    run()
    load = os.getloadavg()[0]
    print(f"\n{sum(not f.met for f in figures)} of {len(figures)} figures missed; load of the machine {load:.1f}")
    if given.json:
        rows = [{**asdict(f), "met": f.met} for f in figures]
        given.json.write_text(json.dumps({"load": load, "figures": rows}, indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
