"""What the routes work with, opened once per process: registry, store, who is listening, the clock.

`opened` opens and closes it around the service's life. Routes get it by `Depends(centre)`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request

from api.attempts import Attempts
from api.hub import Hub
from api.newest import Newest
from api.passwords import Passwords
from api.publisher import Publisher
from api.rates import Rates
from api.reads import Reads
from collectors.registry import Registry, open_registry
from collectors.store import Store
from collectors.store.assigned import open_assigned_store
from makiba.keys import Key, open_key
from makiba.rule import Rule, load_rules
from makiba.settings import Settings

Clock = Callable[[], int]

PREFIX: Final = "/api/v1"


def now_ms() -> int:
    """UTC in milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Centre:
    """One per process; routes run on threads, so that everything here may be used from several at once."""

    settings: Settings
    registry: Registry
    store: Store
    rules: Mapping[str, Rule]
    hub: Hub
    reads: Reads
    newest: Newest
    publisher: Publisher
    attempts: Attempts
    passwords: Passwords
    key: Key
    rates: Rates
    clock: Clock
    demo: bool

    @property
    def is_https(self) -> bool:
        """Whether phones reach the pages over TLS (ended by a proxy before this process)."""
        return self.settings.address.startswith("https://")


@asynccontextmanager
async def opened(
    settings: Settings, *, clock: Clock, demo: bool, passwords: Passwords | None = None
) -> AsyncIterator[Centre]:
    """The centre, ready; the registry's tables are brought up to date first. `ConfigErrors` of the rules."""
    rules = load_rules(settings.rules_dir)
    key = open_key(settings)
    rates = Rates(settings.api_rate, settings.api_rate_address)
    registry = await asyncio.to_thread(_open_registry, settings)
    store = await asyncio.to_thread(open_assigned_store, settings, registry)
    newest = Newest(store)
    try:
        yield Centre(
            settings,
            registry,
            store,
            rules,
            Hub(),
            Reads(registry),
            newest,
            Publisher(registry, store),
            Attempts(registry),
            passwords or Passwords(),
            key,
            rates,
            clock,
            demo,
        )
    finally:
        newest.close()
        store.close()
        registry.close()


def _open_registry(settings: Settings) -> Registry:
    password = settings.registry_password
    return open_registry(
        settings.registry_url, password=password.get_secret_value() if password else None, migrate=True
    )


def centre(request: Request) -> Centre:
    """The centre of the running service."""
    found: Centre = request.app.state.centre
    return found


CentreNow = Annotated[Centre, Depends(centre)]
