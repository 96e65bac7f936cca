"""How often somebody may ask: so generous that people at pages never meet it, and a program in a loop does.

Each person, program, and address that is nobody's has a bucket that holds a minute's worth of requests and fills
evenly. It is this process's own: several let through as many times more. Attempts to sign in are counted elsewhere
and together (`collectors.registry.attempts`). A refusal says when to come again.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from typing import Final

from fastapi import Request

from api.problems import Refused

MAX_KEYS: Final = 20_000
NOBODY_AT_ONCE: Final = 8
"""Requests of people who are not signed in that are worked on at a time, of some forty threads."""

_MINUTE_S: Final = 60.0
_IPV6_PREFIX: Final = 64
"""What one customer has; of an IPv4 address in IPv6 clothes, the address."""


class Buckets:
    """A bucket for each key, at most `MAX_KEYS`: the longest untouched, full again long ago, is forgotten first."""

    def __init__(self, name: str, per_minute: int) -> None:
        self.name = name
        self.per_minute = per_minute
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now_s: float, count: int = 1) -> float:
        """0 when the request may go on; else in how many seconds the next one may. `count` 0 only asks."""
        if not self.per_minute:
            return 0.0
        per_s = self.per_minute / _MINUTE_S
        with self._lock:
            left, since_s = self._left.get(key, (float(self.per_minute), now_s))
            left = min(float(self.per_minute), left + (now_s - since_s) * per_s)
            if left < 1.0:
                self._keep(key, left, now_s)
                return (1.0 - left) / per_s
            self._keep(key, left - count, now_s)
            return 0.0

    def _keep(self, key: str, left: float, now_s: float) -> None:
        self._left[key] = (left, now_s)
        self._left.move_to_end(key)
        if len(self._left) > MAX_KEYS:
            self._left.popitem(last=False)


class Rates:
    """The buckets of this process."""

    def __init__(self, per_person: int, per_address: int) -> None:
        self._people = Buckets("person", per_person)
        self._addresses = Buckets("address", per_address)
        self.turn_of_nobody = asyncio.Semaphore(NOBODY_AT_ONCE)
        """Whoever is not signed in waits for it without a thread."""

    def person(self, key: str) -> None:
        """A request of somebody who is signed in; `Refused` when there were too many."""
        _take(self._people, key, 1)

    def nobody(self, request: Request, count: int = 1) -> None:
        """A request of nobody from this address; with `count` 0 only whether there were too many."""
        _take(self._addresses, address_key(request), count)


def address_key(request: Request) -> str:
    """The address that a request comes from, as far as it is one customer's."""
    if request.client is None:
        return ""
    try:
        ip = ip_address(request.client.host)
    except ValueError:
        return request.client.host
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped) if ip.ipv4_mapped else str(int(ip) >> (128 - _IPV6_PREFIX))
    return str(ip)


def _take(buckets: Buckets, key: str, count: int) -> None:
    wait_s = math.ceil(buckets.take(key, time.monotonic(), count))
    if wait_s:
        raise Refused(
            429,
            f"Too many requests; wait {wait_s} s.",
            {
                "Retry-After": str(wait_s),
                "RateLimit-Policy": f'"{buckets.name}";q={buckets.per_minute};w={int(_MINUTE_S)}',
                "RateLimit": f'"{buckets.name}";r=0;t={wait_s}',
            },
            slug="too-many",
        )
