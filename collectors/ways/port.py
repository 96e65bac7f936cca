"""The face of a way in, and the one door that all of them go through.

What a way in promises:

- **It says who.** Each pack carries the id of a gateway or of a registered source (`src-…`) that the way has vouched
  for by its own means (a token, a site file, the person at the console). Nothing in a payload decides that.
- **It answers late.** Whoever sent a pack is told so (an HTTP answer, a PUBACK, a line on the console) only after
  `Door.take` came back. A way that cannot answer says in its first lines what may be lost and how that shows.
- **It may come again.** The same pack makes the same batch id and the same times, however often it comes, so that
  nothing is stored twice.
- **It is bounded.** Bytes, waiting packs and time are limited by the way itself before a pack is made.
- **It ends** within some seconds once `stop` is set, without having told anybody what is not committed.

What the door promises is what `collectors.ingest` promises: an `Outcome` exists only for what is committed; each
refused record is a dead letter with its reason; it raises `StoreUnavailable` or `RegistryUnavailable` when the same
packs should be given again, and `StoreMisconfigured` when a person has to act. Threads may share it; calls queue.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Protocol

from collectors.ingest import Ingest, Outcome, Pack
from collectors.registry import RegistryError
from collectors.store import StoreError
from makiba.reading import Reading
from makiba.senml import encode_json
from makiba.wire import BatchId, pack_payload

log = logging.getLogger(__name__)

PACK_READINGS: Final = 1000
"""Readings per pack of a way that makes its own: far below what a pack may hold, whatever their names."""
_BACKOFF_S: Final = (0.25, 5.0)


class Door(Protocol):
    """Where packs go in."""

    def take(self, packs: Sequence[Pack]) -> Sequence[Outcome]:
        """Commits `packs` and says what became of each, in order. See the module's docstring for what it raises."""


class WayIn(Protocol):
    """A way in; see the module's docstring for what it promises."""

    name: str

    def run(self, stop: threading.Event) -> None:
        """Takes in what comes until `stop` is set, or, where there is an end (a file), until that."""


class IngestDoor:
    """The door of one process: an `Ingest` of its own, one call at a time.

    `announce` is told each outcome that stored something, after the commit: the committed feed. It is a hint, and
    what it raises is logged and harms nobody.
    """

    def __init__(self, ingest: Ingest, announce: Callable[[Outcome], None] | None = None) -> None:
        self._ingest = ingest
        self._announce = announce
        self._turn = threading.Lock()

    def take(self, packs: Sequence[Pack]) -> Sequence[Outcome]:
        with self._turn:
            outcomes = self._ingest.take(packs)
        for outcome in outcomes if self._announce else ():
            if outcome.stored and self._announce:
                try:
                    self._announce(outcome)
                except Exception:  # a hint that cannot be given: workers read the store
                    log.exception("%s: what was stored cannot be announced", outcome.pack.gateway)
        return outcomes


def batch_of(source: str, key: bytes) -> bytes:
    """A batch id made of whatever names a batch for `source`: the same key, the same id.

    116 bits of a SHA-256, so that no two keys of a source ever share one.
    """
    digest = hashlib.sha256(source.encode() + b"\0" + key).digest()
    number = 1 + int.from_bytes(digest[8:16], "big") % 10**17
    return BatchId(digest[:8].hex(), number).to_bytes()


def packs_of(source: str, readings: Iterable[Reading], received_ms: int) -> Iterator[Pack]:
    """`readings` in packs of `source`, in their order, named by what they hold: from the same, the same again."""
    chunk: list[Reading] = []
    for reading in readings:
        chunk.append(reading)
        if len(chunk) == PACK_READINGS:
            yield _pack(source, chunk, received_ms)
            chunk = []
    if chunk:
        yield _pack(source, chunk, received_ms)


def _pack(source: str, readings: Sequence[Reading], received_ms: int) -> Pack:
    plain = encode_json(readings)
    packed = pack_payload(plain, deflate=False)
    encoding = dict(packed.user_properties).get("content-encoding")
    return Pack(source, batch_of(source, plain), packed.data, received_ms, content_encoding=encoding)


def take_patiently(
    door: Door, packs: Sequence[Pack], stop: threading.Event, *, give_up_after_s: float | None = None
) -> Sequence[Outcome] | None:
    """What `door` says, as soon as store and registry are there; None when `stop` comes first.

    With `give_up_after_s` the last error is raised once it has gone on for so long. One line at the beginning of an
    outage and one at its end.
    """
    failures = 0
    began_s = time.monotonic()
    while not stop.is_set():
        try:
            outcomes = door.take(packs)
        except (StoreError, RegistryError) as error:
            if give_up_after_s is not None and time.monotonic() - began_s > give_up_after_s:
                raise
            failures += 1
            if failures == 1:
                log.error("%s; trying again until it is back", error)
            low, high = _BACKOFF_S
            asked = getattr(error, "retry_after_s", None)
            stop.wait(asked or min(high, low * 2 ** min(failures - 1, 8)))
        else:
            if failures:
                log.info("store and registry are back after %d attempts", failures)
            return outcomes
    return None


def now_ms() -> int:
    """UTC in milliseconds."""
    return time.time_ns() // 1_000_000
