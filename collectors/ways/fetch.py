"""Fetching other people's pages politely: rarely, only what changed, and slower when they are in trouble.

Guarantees: an address is asked at most once per `every_s`, also after a restart (the registry remembers); an answer
that did not change costs them nothing (`If-None-Match`, `If-Modified-Since`); failures back off from a minute to an
hour, longer when `Retry-After` says so; time and size of an answer are bounded; no redirect leads to another host.
Secrets travel in headers only and stand in no log.

What an address last said is remembered when the caller says `Fetcher.done`, after it has kept what it read: a
process that dies in between asks again.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final, Literal

import urllib3

from collectors.registry import Registry, weather
from collectors.registry.viewer import Service
from collectors.ways.port import now_ms

log = logging.getLogger("makiba.weather")

USER_AGENT: Final = "Makiba/0.1 (farm monitoring; asks rarely and only for what changed)"
TIMEOUT: Final = urllib3.Timeout(connect=5.0, read=15.0)
MAX_BODY_BYTES: Final = 4 * 1024 * 1024
BACKOFF_S: Final = (60.0, 3600.0)
MAX_WAIT_S: Final = 86_400.0
_COLLECTOR: Final = Service("collector")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of asking: new with a body, the same as before, gone (404), not due yet, or failed with a reason."""

    url: str
    result: Literal["new", "same", "gone", "waiting", "failed"]
    body: bytes = b""
    etag: str = ""
    last_modified: str = ""
    reason: str = ""
    retry_after_s: float = 0.0


def wait_after(failures: int, retry_after_s: float) -> float:
    """How long to leave an address alone after so many failures in a row, in seconds."""
    low, high = BACKOFF_S
    backoff_s = min(high, low * 2.0 ** min(failures - 1, 10))
    return min(MAX_WAIT_S, max(retry_after_s, backoff_s))


class Fetcher:
    """Asks; one thread uses it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._http = urllib3.PoolManager(
            num_pools=4, maxsize=1, timeout=TIMEOUT, retries=False, headers={"User-Agent": USER_AGENT}
        )

    def fetch(self, url: str, every_s: float, headers: dict[str, str] | None = None) -> Fetched:
        """Asks `url` unless it was asked within `every_s` or is to be left alone."""
        with self._registry.read() as session:
            state = weather.fetch_state(session, _COLLECTOR, url)
        now = now_ms()
        if now < max(state.not_before_ms, state.checked_ms + int(every_s * 1000)):
            return Fetched(url, "waiting")
        asked = {"Accept-Encoding": "gzip", **(headers or {})}
        if state.etag:
            asked["If-None-Match"] = state.etag
        if state.last_modified:
            asked["If-Modified-Since"] = state.last_modified
        return self._ask(url, asked)

    def _ask(self, url: str, headers: dict[str, str]) -> Fetched:
        try:
            response = self._http.request(
                "GET", url, headers={"User-Agent": USER_AGENT, **headers}, preload_content=False, redirect=False
            )
            try:
                if response.status == 304:
                    return Fetched(url, "same")
                if response.status == 404:
                    return Fetched(url, "gone")
                if response.status != 200:
                    wait_s = _retry_after(response.headers.get("Retry-After"))
                    return Fetched(url, "failed", reason=f"HTTP {response.status}", retry_after_s=wait_s)
                body = response.read(MAX_BODY_BYTES + 1, decode_content=True)
            finally:
                response.close()
        except urllib3.exceptions.HTTPError as error:
            return Fetched(url, "failed", reason=type(error).__name__)
        if len(body) > MAX_BODY_BYTES:
            return Fetched(url, "failed", reason=f"more than {MAX_BODY_BYTES} bytes")
        etag, modified = response.headers.get("ETag", ""), response.headers.get("Last-Modified", "")
        return Fetched(url, "new", body, etag[:200], modified[:64])

    def done(self, fetched: Fetched, problem: str = "") -> None:
        """Notes what came of `fetched`; `problem` says why its body could not be used."""
        if fetched.result == "waiting":
            return
        now = now_ms()
        failed = bool(problem) or fetched.result == "failed"
        with self._registry.write() as session:
            state = session.merge(weather.fetch_state(session, _COLLECTOR, fetched.url))
            state.checked_ms = now
            if failed:
                state.failures += 1
                state.not_before_ms = now + int(wait_after(state.failures, fetched.retry_after_s) * 1000)
                if state.failures == 1:
                    log.warning("%s: %s; asking less often", fetched.url, problem or fetched.reason)
            else:
                if state.failures:
                    log.info("%s: answers again", fetched.url)
                state.failures = state.not_before_ms = 0
            if fetched.result == "new" and not failed:
                state.etag, state.last_modified, state.changed_ms = fetched.etag, fetched.last_modified, now

    def close(self) -> None:
        """Closes connections."""
        self._http.clear()


def _retry_after(text: str | None) -> float:
    """Seconds that a server asks for; 0 when it does not, or in a way that is not understood."""
    if not text:
        return 0.0
    if text.isdigit():
        return float(text[:7])
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_ms() / 1000)
    return 0.0
