"""Parts for tests of the API: two farms with readings, people on them, and the application on real databases."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.passwords import Passwords
from api.reads import Reads
from api.server import listen
from api.sessions import digest
from collectors.registry import Registry, browsers, consent, open_registry, people
from collectors.registry.sites import (
    DeviceSpec,
    PlacementSpec,
    PlaceSpec,
    SiteSpec,
    apply_site,
    record_reported,
)
from collectors.registry.viewer import Role, Service
from collectors.store import Store, open_store
from makiba.data_class import DataClass
from makiba.reading import Reading, Series
from makiba.settings import Settings
from tests.parts import wait_until

CONSOLE = Service("console")
SITE, OTHER = "shikaoi-001", "shikaoi-002"
PASSWORD = "牛舎の朝は早いです、とても"
WRITE = {"X-Makiba": "1"}
UNLIMITED: dict[str, Any] = {"api_rate": 0, "api_rate_address": 0}
"""A test asks more often than anybody."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def farm(site: str, gateway: str) -> SiteSpec:
    return SiteSpec(
        site,
        f"{site} 牧場",
        f"{site} farm",
        gateways=(gateway,),
        places=(
            PlaceSpec("barn-1", "barn", "第1牛舎", "Barn 1"),
            PlaceSpec("tank-room", "tank-room", "処理室", "Tank room"),
        ),
        placements=(
            PlacementSpec("tank-1", "tank-room", "", "バルククーラー", "Bulk tank"),
            PlacementSpec("barn-1-climate", "barn-1", "", "牛舎の空気", "Barn air"),
            PlacementSpec("fan-1", "barn-1", "fan", "送風機1", "Fan 1"),
        ),
        rules={"tank.hold": {"limit": 5.5}},
    )


@dataclass
class Clock:
    """A clock that tests set."""

    ms: int = field(default_factory=now_ms)

    def __call__(self) -> int:
        return self.ms


@cache
def _two_farms() -> bytes:
    """The file of a registry that knows the two farms; made once, since every test begins with it."""
    with tempfile.TemporaryDirectory() as folder:
        registry = open_registry(f"sqlite:{folder}/registry.db", migrate=True)
        _make_two_farms(registry)
        registry.close()  # the last connection takes the journal into the file
        return Path(folder, "registry.db").read_bytes()


def _make_two_farms(registry: Registry) -> None:
    devices = [
        DeviceSpec("barn-1-climate", "barn", "xy-md02", 30.0, ("barn-1-climate",)),
        DeviceSpec("pt100", "tank-room", "pt100-4ch", 10.0, ("pt100.ch1", "pt100.ch2")),
    ]
    with registry.write() as session:
        apply_site(session, CONSOLE, farm(SITE, "gw-a"), now_ms() - 86_400_000)
        apply_site(session, CONSOLE, farm(OTHER, "gw-b"), now_ms() - 86_400_000)
        record_reported(session, CONSOLE, "gw-a", devices)


@cache
def openapi() -> Mapping[str, Any]:
    """The application's OpenAPI document. Takes a second: for tests, not for collecting them."""
    return create_app(Settings()).openapi()


CHEAP = Passwords(memory_kib=64, passes=1)
"""Tests sign in a thousand times. What a real hash costs is tested in `test_api_passwords.py`."""


@cache
def hashed(password: str) -> str:
    return CHEAP.hash(password)


def client(base_url: httpx.URL | str, **given: Any) -> httpx.Client:
    """A client without TLS: reading the authorities' certificates would take as long as ten requests."""
    return httpx.Client(base_url=base_url, verify=False, timeout=30, **given)


@dataclass
class Centre:
    """Databases in `folder` with two farms (`SITE` with `gw-a`, `OTHER` with `gw-b`) and nobody on them."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    registry_url: str = ""
    """An empty PostgreSQL database; without it the registry is a file."""

    given: dict[str, Any] = field(default_factory=dict)
    """Settings besides."""

    passwords: Passwords = CHEAP

    running: FastAPI | None = None
    """The application while it is served."""

    def __post_init__(self) -> None:
        self.settings = Settings(home=self.folder, registry=self.registry_url, **(UNLIMITED | self.given))
        if not self.registry_url:
            (self.folder / "registry.db").write_bytes(_two_farms())
        self.registry: Registry = open_registry(self.settings.registry_url, migrate=True)
        if self.registry_url:
            _make_two_farms(self.registry)
        self.store: Store = open_store(self.settings.store_url)
        self.reads = Reads(self.registry)

    def person(self, login: str = "hanako", *, password: str | None = PASSWORD, admin: bool = False,
               **roles: Role) -> int:  # fmt: skip
        """Adds a person; `roles` by farm, with `_` for `-`."""
        password_hash = hashed(password) if password else None
        with self.registry.write() as session:
            row = people.create_person(
                session, CONSOLE, login=login, name=f"{login}さん", now_ms=self.clock(),
                password_hash=password_hash, is_admin=admin,
            )  # fmt: skip
            for site, role in roles.items():
                people.grant_role(session, CONSOLE, row.id, site.replace("_", "-"), role, self.clock())
            return row.id

    def public(self, person: int) -> str:
        """What a person is called outside the registry."""
        with self.registry.read() as session:
            return people.public_id(session, CONSOLE, person) or ""

    def consent(self, site: str, *classes: DataClass, role: Role | None = None, person: int | None = None) -> str:
        """The farm shows `classes` to `role` or `person`; the consent's id."""
        with self.registry.write() as session:
            return consent.give(
                session, CONSOLE, site, classes=classes, now_ms=self.clock(), role=role, person_id=person
            ).id

    def cookie(self, person: int, *, for_ms: int = 3_600_000) -> str:
        """A new session of a person who proved who they are just now, ending in `for_ms`; its cookie."""
        token = f"token-of-{person}-{for_ms}-{time.monotonic_ns()}"
        now = self.clock()
        with self.registry.write() as session:
            browsers.create_session(
                session, CONSOLE, token_hash=digest(token), person_id=person, now_ms=min(now, now + for_ms),
                expires_ms=now + for_ms, way="password", device="",
            )  # fmt: skip
        return token

    def write(self, name: str, value: float | str, time_ms: int | None = None) -> Reading:
        """Stores one reading of the series `name`."""
        reading = Reading(Series.parse(name), self.clock() if time_ms is None else time_ms, value)
        self.store.write([reading])
        return reading

    def app(self) -> FastAPI:
        return create_app(self.settings, clock=self.clock, passwords=self.passwords)

    @contextmanager
    def serving(self, port: int = 0) -> Iterator[httpx.Client]:
        """The application served on `port` or a free one, and a browser that nobody signed in with."""
        sock = listen("127.0.0.1", port)
        self.running = self.app()
        config = uvicorn.Config(
            self.running, log_config=None, lifespan="on", timeout_graceful_shutdown=1, ws="none", proxy_headers=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, name="serving")
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive(), 30, "the API serves")
            with client(f"http://127.0.0.1:{sock.getsockname()[1]}") as browser:
                yield browser
        finally:
            server.should_exit = True
            thread.join(10)
            sock.close()

    @contextmanager
    def signed_in(self, login: str = "hanako", password: str = PASSWORD) -> Iterator[httpx.Client]:
        with self.serving() as browser:
            sign_in(browser, login, password)
            yield browser


def sign_in(browser: httpx.Client, login: str = "hanako", password: str = PASSWORD) -> None:
    """Signs `browser` in; its session's cookie stays in it."""
    answer = browser.post("/api/v1/session", json={"login": login, "password": password}, headers=WRITE)
    assert answer.status_code == 204, answer.text


@dataclass(frozen=True)
class Event:
    """One server-sent event; `number` is its id."""

    kind: str
    data: Any
    number: str | None
    at_s: float


class Listener:
    """Reads `/api/v1/stream` on a thread of its own, with the cookies of `browser`."""

    def __init__(self, browser: httpx.Client, last_event_id: str | None = None, query: str = "") -> None:
        self.events: list[Event] = []
        self.ended = threading.Event()
        own = {name: browser.headers[name] for name in ("Authorization",) if name in browser.headers}
        self._headers = own if last_event_id is None else own | {"Last-Event-ID": last_event_id}
        self._query = query
        self._client = client(browser.base_url, cookies=browser.cookies)
        self._thread = threading.Thread(target=self._read, name="listener", daemon=True)

    def __enter__(self) -> Listener:
        self._thread.start()
        self.wait_for("hello")
        return self

    def __exit__(self, *_: object) -> None:
        # Closing a client under its reading thread does not wake that thread; it ends with the server, or its test.
        self._client.close()

    def of(self, kind: str) -> list[Event]:
        return [e for e in self.events if e.kind == kind]

    def wait_for(self, kind: str, within_s: float = 5.0, count: int = 1) -> Event:
        """The `count`-th event of this kind."""
        wait_until(lambda: len(self.of(kind)) >= count, within_s, lambda: f"{kind} among {self.events[-5:]}")
        return self.of(kind)[count - 1]

    def _read(self) -> None:
        try:
            with self._client.stream("GET", f"/api/v1/stream{self._query}", headers=self._headers) as answer:
                assert answer.status_code == 200
                fields: dict[str, str] = {}
                for line in answer.iter_lines():
                    if line:
                        name, _, value = line.partition(": ")
                        fields[name] = value
                        continue
                    if "event" in fields:
                        data = json.loads(fields["data"])
                        self.events.append(Event(fields["event"], data, fields.get("id"), time.monotonic()))
                    fields = {}
        except httpx.HTTPError:
            pass
        finally:
            self.ended.set()
