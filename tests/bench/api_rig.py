"""What `bench_api` is made of: a town with a year of readings, the served API as a process, requests and streams.

The made store is kept in a folder of the cache, since it takes minutes; the registry is made anew each time. Requests
go over one kept connection by a client that costs little; streams are read as bytes, and each event's delay is the
time since the reading in it was published, which the reading's own time says.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import random
import re
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from api.sessions import digest
from collectors.registry import Registry, consent, open_registry, people
from collectors.registry.schema import WebSession
from collectors.registry.sites import DeviceSpec, PlacementSpec, PlaceSpec, SiteSpec, apply_site, record_reported
from collectors.registry.viewer import Role, Service
from collectors.store import open_store
from collectors.store.rollup import roll_up_all
from makiba.data_class import DATA_CLASSES
from makiba.reading import Columns, Series
from tests.parts import Broker, Process, free_port, listens, makiba, wait_until

CONSOLE: Final = Service("console")
END_MS: Final = 1_790_002_800_000
"""2026-09-22, midnight at UTC+9: where the readings end."""
MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
YEAR_MS: Final = 365 * DAY_MS
SERIES: Final = (
    ("tank-1", "milk_temperature"), ("barn-1-climate", "air_temperature"), ("barn-1-climate", "relative_humidity"),
    ("field-1", "soil_moisture"),
)  # fmt: skip
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def cache() -> Path:
    """Where what was made is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "makiba-bench"


def site(number: int) -> str:
    return f"farm-{number:03}"


@dataclass(frozen=True)
class Size:
    """`dense` farms have a reading a minute, the others one each quarter of an hour but for a dense last day."""

    farms: int
    dense: int
    days: int

    @property
    def name(self) -> str:
        return f"api-{self.farms}-{self.dense}-{self.days}"


def made_store(size: Size, say: Callable[[str], None]) -> Path:
    """The store's file, made if it is not kept yet."""
    folder = cache() / size.name
    path = folder / "store.db"
    if (folder / "done").exists():
        return path
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    store = open_store(f"sqlite:{path}")
    chance = random.Random(1)
    series = [[Series(site(n), *name) for name in SERIES] for n in range(size.farms)]
    start_ms = END_MS - size.days * DAY_MS
    begun_s, count = time.monotonic(), 0
    for day_ms in range(start_ms, END_MS, DAY_MS):
        for n, farm in enumerate(series):
            step_ms = MINUTE_MS if n < size.dense or day_ms + DAY_MS >= END_MS else 15 * MINUTE_MS
            columns = Columns()
            for time_ms in range(day_ms, day_ms + DAY_MS, step_ms):
                level = chance.random()
                columns.series.extend(farm)
                columns.times_ms.extend([time_ms] * len(farm))
                columns.values.extend(
                    round(v, 1) for v in (3.5 + level, 18 + 8 * level, 60 + 20 * level, 0.2 + level / 10)
                )
            store.write_columns(columns)
            count += len(columns)
        roll_up_all(store, day_ms + DAY_MS)
        if (day_ms - start_ms) % (30 * DAY_MS) == 0:
            say(f"making readings: {count:,} in {time.monotonic() - begun_s:.0f} s")
    store.close()
    (folder / "done").touch()
    return path


def spec(number: int) -> SiteSpec:
    return SiteSpec(
        site(number), f"第{number}牧場", f"Farm {number}", gateways=(f"gw-{number:03}",),
        places=(
            PlaceSpec("barn-1", "barn", "牛舎", "Barn"), PlaceSpec("tank-room", "tank-room", "処理室", "Tank room"),
            PlaceSpec("field-1", "field", "畑", "Field"),
        ),
        placements=(
            PlacementSpec("tank-1", "tank-room", from_ms=0), PlacementSpec("barn-1-climate", "barn-1", from_ms=0),
            PlacementSpec("field-1", "field-1", from_ms=0),
        ),
    )  # fmt: skip


@dataclass
class Town:
    """A registry with `farms` farms, an owner of all of them, and a desk that is shown everything of all."""

    home: Path
    farms: int
    registry: Registry = field(init=False)
    cookies: dict[str, str] = field(default_factory=dict)
    people: dict[str, int] = field(default_factory=dict)
    consents: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.registry = open_registry(f"sqlite:{self.home / 'registry.db'}", migrate=True)
        now_ms = time.time_ns() // 1_000_000
        devices = [
            DeviceSpec("tank-1", "tank", "pt100", 60.0, ("tank-1",)),
            DeviceSpec("barn-1-climate", "barn", "xy-md02", 60.0, ("barn-1-climate",)),
        ]
        with self.registry.write() as session:
            for number in range(self.farms):
                apply_site(session, CONSOLE, spec(number), now_ms)
                record_reported(session, CONSOLE, f"gw-{number:03}", devices)
        self.person("owner", "owner", range(self.farms))
        self.person("desk", "coop", range(self.farms))
        with self.registry.write() as session:
            for number in range(self.farms):
                row = consent.give(
                    session, CONSOLE, site(number), classes=DATA_CLASSES, now_ms=now_ms - 1, role="coop"
                )  # fmt: skip
                self.consents[site(number)] = row.id

    def person(self, name: str, role: Role, farms: Sequence[int]) -> str:
        """A new person with `role` on `farms`; their cookie."""
        now_ms = time.time_ns() // 1_000_000
        cookie = f"cookie-of-{name}-{os.urandom(8).hex()}"
        with self.registry.write() as session:
            row = people.create_person(session, CONSOLE, login=name, name=name, now_ms=now_ms)
            for number in farms:
                people.grant_role(session, CONSOLE, row.id, site(number), role, now_ms)
            session.add(
                WebSession(
                    token_hash=digest(cookie), person_id=row.id, created_ms=now_ms, seen_ms=now_ms,
                    expires_ms=now_ms + DAY_MS, device="bench", **_more_of_a_session(now_ms),
                )
            )  # fmt: skip
            self.people[name] = row.id
        self.cookies[name] = cookie
        return cookie


def _more_of_a_session(now_ms: int) -> dict[str, object]:
    """What newer tables want to know of a session as well."""
    more = {"id": os.urandom(12).hex(), "proven_ms": now_ms, "way": "password"}
    return {name: value for name, value in more.items() if name in WebSession.__table__.columns}


class Served:
    """`makiba serve` as its own process, with figures of its CPU and memory."""

    def __init__(self, home: Path, broker: Broker, store: Path) -> None:
        self.port = free_port()
        env = {
            **broker.env(), "MAKIBA_HOME": str(home), "MAKIBA_HTTP_PORT": str(self.port), "MAKIBA_API_RATE": "0",
            "MAKIBA_API_RATE_ADDRESS": "0", "MAKIBA_STORE": f"sqlite:{store}",
        }  # fmt: skip
        self.process: Process = makiba("serve", log=home / "serve.log", env=env)

    def __enter__(self) -> Served:
        self.process.start()
        wait_until(lambda: listens(self.port), 60, self.process.log)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.running:
            self.process.terminate(10)

    @property
    def cpu_s(self) -> float:
        """CPU that the process has used."""
        user, system = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / _TICKS

    @property
    def memory_mb(self) -> float:
        """Its resident memory."""
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found
        return int(found[1]) / 1024


@dataclass(frozen=True)
class Took:
    """How long requests took, and what one cost the server."""

    p50_ms: float
    p99_ms: float
    cpu_ms: float
    bytes: int


def timed(served: Served, cookie: str, path: str, times: int, headers: dict[str, str] | None = None) -> Took:
    """Asks `path` again and again over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    sent = {"Cookie": f"makiba_session={cookie}", "Accept-Encoding": "gzip", **(headers or {})}

    def ask() -> int:
        connection.request("GET", f"/api/v1{path}", headers=sent)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status in (200, 304), (path, answer.status, body[:300])
        return len(body)

    for _ in range(3):
        size = ask()
    took_ms, cpu_s = [], served.cpu_s
    for _ in range(times):
        begun_s = time.perf_counter()
        ask()
        took_ms.append((time.perf_counter() - begun_s) * 1000)
    connection.close()
    took_ms.sort()
    cpu_ms = (served.cpu_s - cpu_s) / times * 1000
    return Took(statistics.median(took_ms), took_ms[min(times - 1, int(0.99 * times))], cpu_ms, size)


_TIME: Final = re.compile(rb'"time_ms":(\d+)')


@dataclass
class Streams:
    """Many open streams, read on an event loop; `delays_ms` of every reading that came."""

    port: int
    delays_ms: list[float] = field(default_factory=list)
    last: dict[int, float] = field(default_factory=dict)
    """By stream: when its last reading came, on the wall clock in ms."""
    ended: int = 0
    _open: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def all_open(self, count: int) -> None:
        """Waits until `count` streams are open."""
        for _ in range(count):
            await self._open.acquire()

    async def listen(self, number: int, cookie: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        request = f"GET /api/v1/stream HTTP/1.1\r\nHost: bench\r\nCookie: makiba_session={cookie}\r\n\r\n"
        writer.write(request.encode())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            self._open.release()
            while data := await reader.read(1 << 16):
                now_ms = time.time() * 1000
                if b"event: readings" in data or b'"quantity"' in data:
                    self.last[number] = now_ms
                    self.delays_ms.extend(
                        now_ms - int(found) for found in _TIME.findall(data) if b'"quantity"' in data
                    )
        finally:
            self.ended += 1
            writer.close()
