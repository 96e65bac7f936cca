"""HTTP: `POST /v1/readings` of a SenML pack, for other people's systems, with a token per source.

Guarantee: `200` means committed. Each reading of the pack is in the store, each other record is a dead letter and
stands in the answer with its reason. Any other status means that nothing is promised, and sending the same again is
right after 408, 429, 500 and 503 (`Retry-After` says when). Sent again, a pack stores nothing twice: the store has
one value per series and time. The `Idempotency-Key` header names a batch in dead letters and answers; without it the
payload's hash does.

A time that is relative to now (RFC 8428, section 4.5.3: below 2**28, or none) would mean another moment each time it
comes. Such a pack is taken with an `Idempotency-Key` only, and that key then means its first arrival for a week.

Weaker than a gateway: what the client does not keep until its 200 is lost with it; times are the client's word.

Formats: `application/senml+json` and `application/senml+cbor`, `Content-Encoding` gzip, deflate or none; at most
256 KiB on the wire and 4 MiB inflated. Errors are problem+json (RFC 9457).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import queue
import re
import socket
import threading
import time
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from collectors.ingest import Outcome, Pack
from collectors.registry import Registry, RegistryError, sources
from collectors.registry.viewer import Service
from collectors.store import StoreError
from collectors.ways.http_server import Answer, Head, Limits, Server
from collectors.ways.port import Door, batch_of, now_ms
from makiba.senml import (
    CONTENT_TYPE_CBOR,
    CONTENT_TYPE_JSON,
    RELATIVE_BELOW_S,
    SenmlError,
    parse,
)
from makiba.wire import DEFLATE, MAX_INFLATED_BYTES, MAX_PACK_BYTES, WireError

log = logging.getLogger("makiba.collect.http")

PATH: Final = "/v1/readings"
HEALTH: Final = "/health"
MAX_TOGETHER: Final = 50
MAX_WAITING: Final = 200
ANSWER_WITHIN_S: Final = 30.0
RETRY_AFTER_S: Final = 5
KNOWN_FOR_S: Final = 5.0
"""How long a token is believed without asking the registry: a revocation works after at most this."""
RATE_PER_S: Final = 10.0
BURST: Final = 50.0
GUESSES_PER_MIN: Final = 30
"""Wrong tokens from one address before it has to wait."""
_MAX_REMEMBERED: Final = 10_000
GZIP: Final = "gzip"
_ENCODINGS: Final = {"": None, "identity": None, DEFLATE: DEFLATE, GZIP: GZIP, "x-gzip": GZIP}
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_PROBLEM: Final = (("content-type", "application/problem+json"),)
_COLLECTOR: Final = Service("collector")


# --------------------------------------------------------------------------------------------------------- answers


def problem(status: int, detail: str, headers: Sequence[tuple[str, str]] = ()) -> Answer:
    """An error in problem+json; it never repeats a token."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Answer(status, json.dumps(body, ensure_ascii=False).encode(), (*_PROBLEM, *headers))


def answer_of(outcome: Outcome) -> Answer:
    """What to say about a pack that is dealt with."""
    if outcome.ack is None:  # its farm was removed just now
        return problem(503, "nobody knows this source any more", [("retry-after", str(RETRY_AFTER_S))])
    body = {
        "batch": outcome.ack.batch,
        "stored": outcome.ack.stored,
        "refused_count": len(outcome.refused),
        "refused": [r.model_dump() for r in outcome.ack.refused],
    }
    text = json.dumps(body, ensure_ascii=False).encode()
    return Answer(200, text, (("content-type", "application/json"),))


# ------------------------------------------------------------------------------------------------- reading a request


class TooLarge(WireError):
    """A pack that inflates to more than one may have."""


def inflate(data: bytes, encoding: str | None) -> bytes:
    """The pack in a body; `WireError` when it is damaged or cut off, `TooLarge` when it inflates to too much."""
    if encoding is None:
        return data
    inflater = zlib.decompressobj(wbits=31 if encoding == GZIP else 15)
    try:
        pack = inflater.decompress(data, MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise WireError(f"cannot be inflated: {error}") from None
    if inflater.unconsumed_tail:
        raise TooLarge(f"inflates to more than {MAX_INFLATED_BYTES} bytes")
    if not inflater.eof or inflater.unused_data:
        raise WireError("what was compressed is cut off, or more follows it")
    return pack


def is_relative(records: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a value of the pack has a time that is relative to now."""
    base = 0.0
    for record in records:
        given = record.get("bt")
        if isinstance(given, (int, float)):
            base = float(given)
        has_value = any(label in record for label in ("n", "v", "vs", "vb", "vd", "s"))
        own = record.get("t", 0.0)
        if has_value and isinstance(own, (int, float)) and base + own < RELATIVE_BELOW_S:
            return True
    return False


def content_type_of(headers: Mapping[str, str]) -> str | None:
    """The pack's media type; None when it is not SenML."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind if kind in (CONTENT_TYPE_JSON, CONTENT_TYPE_CBOR) else None


class Bucket:
    """Lets `rate` a second pass, `burst` at once. Time is a parameter."""

    def __init__(self, rate: float, burst: float, now_s: float) -> None:
        self._rate, self._burst, self._left, self._at_s = rate, burst, burst, now_s

    def take(self, now_s: float) -> float:
        """0 when one may pass, or the seconds until the next one may."""
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        if self._left < 1.0:
            return (1.0 - self._left) / self._rate
        self._left -= 1.0
        return 0.0


@dataclass(frozen=True, slots=True)
class _Known:
    source: str
    until_s: float


@dataclass(frozen=True, slots=True)
class _Waiting:
    pack: Pack
    key: str
    relative: bool
    answer: Future[Answer]


# ----------------------------------------------------------------------------------------------------------- the way


class HttpWay:
    """The way in over HTTP, on a socket that listens already. One thread serves, another commits."""

    name = "http"

    def __init__(
        self, sock: socket.socket, registry: Registry, door: Door, *, limits: Limits | None = None,
        rate_per_s: float = RATE_PER_S, burst: float = BURST,
    ) -> None:  # fmt: skip
        self._sock, self._registry, self._door = sock, registry, door
        self._limits = limits or Limits(body_bytes=MAX_PACK_BYTES)
        self._rate_per_s, self._burst = rate_per_s, burst
        self._known: dict[str, _Known] = {}
        self._buckets: dict[str, Bucket] = {}
        self._waiting: queue.Queue[_Waiting | None] = queue.Queue(MAX_WAITING)
        self._used_ms: dict[str, int] = {}
        self._used_written_s = 0.0

    def run(self, stop: threading.Event) -> None:
        worker = threading.Thread(target=self._work, name="http-worker", daemon=True)
        worker.start()
        try:
            asyncio.run(self._serve(stop))
        finally:
            self._waiting.put(None)
            worker.join(self._limits.drain_s)

    async def _serve(self, stop: threading.Event) -> None:
        ended = asyncio.Event()
        server = Server(self._admit, self._handle, problem, self._limits)
        host, port = self._sock.getsockname()[:2]
        log.info("taking SenML on http://%s:%s%s", host, port, PATH)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(self._sock, ended), name="http-server")
            await asyncio.to_thread(stop.wait)
            ended.set()

    # ------------------------------------------------------------------------------------------ before the body

    async def _admit(self, head: Head) -> Answer | None:
        if head.path == HEALTH and head.method in ("GET", "HEAD"):
            return None
        if head.path != PATH:
            return problem(404, f"POST a pack to {PATH}")
        if head.method != "POST":
            return problem(405, f"POST a pack to {PATH}", [("allow", "POST")])
        try:
            source = await self._source_of(head)
        except RegistryError:
            return problem(503, "the registry is away", [("retry-after", str(RETRY_AFTER_S))])
        if isinstance(source, Answer):
            return source
        wait_s = self._bucket(f"source {source}", self._rate_per_s, self._burst).take(time.monotonic())
        if wait_s:
            detail = f"{self._burst:g} packs at once, then {self._rate_per_s:g} a second"
            return problem(429, detail, [("retry-after", str(int(wait_s) + 1))])
        if content_type_of(head.headers) is None:
            return problem(415, f"Content-Type is {CONTENT_TYPE_JSON} or {CONTENT_TYPE_CBOR}")
        if head.headers.get("content-encoding", "").strip().lower() not in _ENCODINGS:
            return problem(415, "Content-Encoding is gzip, deflate or none", [("accept-encoding", "gzip, deflate")])
        key = head.headers.get("idempotency-key")
        if key is not None and not _KEY.fullmatch(key):
            return problem(400, "Idempotency-Key has 1 to 200 printable characters and no blanks")
        return None

    async def _source_of(self, head: Head) -> str | Answer:
        """The source that the request's token belongs to, or why there is none."""
        guesses = self._bucket(f"peer {head.peer}", GUESSES_PER_MIN / 60, GUESSES_PER_MIN)
        scheme, _, token = head.headers.get("authorization", "").partition(" ")
        unauthorized = problem(401, "a token of `makiba source add` is needed", [("www-authenticate", "Bearer")])
        if scheme.lower() != "bearer" or not token.strip():
            return unauthorized
        now_s = time.monotonic()
        hashed = hashlib.sha256(token.strip().encode("utf-8", "replace")).hexdigest()
        known = self._known.get(hashed)
        if known is None or known.until_s <= now_s:
            self._known.pop(hashed, None)
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            found = await asyncio.to_thread(self._look_up, token.strip())
            if found is None:
                wait_s = guesses.take(now_s)
                if wait_s:
                    return problem(429, "too many wrong tokens", [("retry-after", str(int(wait_s) + 1))])
                return unauthorized
            known = self._known[hashed] = _Known(found, now_s + KNOWN_FOR_S)
        return known.source

    def _look_up(self, token: str) -> str | None:
        with self._registry.read() as session:
            row = sources.by_token(session, _COLLECTOR, token)
            return row.id if row and row.revoked_ms is None else None

    def _bucket(self, name: str, rate: float, burst: float) -> Bucket:
        if name not in self._buckets:
            if len(self._buckets) >= _MAX_REMEMBERED:
                self._buckets.clear()
            self._buckets[name] = Bucket(rate, burst, time.monotonic())
        return self._buckets[name]

    # ------------------------------------------------------------------------------------------- with the body

    async def _handle(self, head: Head, body: bytes) -> Answer:
        if head.path == HEALTH:
            return Answer(200, b'{"status":"up"}', (("content-type", "application/json"),))
        try:
            source = await self._source_of(head)
        except RegistryError:
            return problem(503, "the registry is away", [("retry-after", str(RETRY_AFTER_S))])
        if isinstance(source, Answer):
            return source
        waiting = self._read(head, body, source)
        if isinstance(waiting, Answer):
            return waiting
        try:
            self._waiting.put_nowait(waiting)
        except queue.Full:
            return problem(503, "too many packs wait", [("retry-after", str(RETRY_AFTER_S))])
        try:
            return await asyncio.wait_for(asyncio.wrap_future(waiting.answer), ANSWER_WITHIN_S)
        except TimeoutError:
            return problem(503, "not committed within the time", [("retry-after", str(RETRY_AFTER_S))])

    def _read(self, head: Head, body: bytes, source: str) -> _Waiting | Answer:
        """The pack in a request, or what is wrong with it as a whole."""
        encoding = _ENCODINGS[head.headers.get("content-encoding", "").strip().lower()]
        content_type = content_type_of(head.headers)
        assert content_type
        try:
            plain = inflate(body, encoding)
            if not plain:
                raise SenmlError("the body is empty")
            relative = is_relative(parse(plain, content_type))
        except TooLarge as error:
            return problem(413, str(error))
        except (WireError, SenmlError) as error:
            return problem(400, str(error)[:300])
        given = head.headers.get("idempotency-key")
        if relative and given is None:
            return problem(
                422,
                "a time is missing or relative to now: give absolute times, or an Idempotency-Key that is the same "
                "when the same pack is sent again",
            )
        batch = batch_of(source, b"key " + given.encode() if given is not None else b"payload " + plain)
        if encoding == GZIP:
            body, encoding = zlib.compress(plain, 1), DEFLATE
        pack = Pack(source, batch, body, now_ms(), content_type, encoding)
        return _Waiting(pack, batch.decode(), relative, Future())

    # ----------------------------------------------------------------------------------------------- the worker

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            together = [first]
            with contextlib.suppress(queue.Empty):
                while len(together) < MAX_TOGETHER:
                    item = self._waiting.get_nowait()
                    if item is None:
                        self._waiting.put(None)
                        break
                    together.append(item)
            self._commit([item for item in together if not item.answer.cancelled()])

    def _commit(self, items: Sequence[_Waiting]) -> None:
        try:
            packs = [self._with_its_time(item) for item in items]
            outcomes = self._door.take(packs) if packs else []
        except (StoreError, RegistryError) as error:
            log.warning("%s; %d packs were told to come again", error, len(items))
            wait_s = getattr(error, "retry_after_s", None) or RETRY_AFTER_S
            for item in items:
                _tell(item, problem(503, "the store is away", [("retry-after", str(max(1, round(wait_s))))]))
        except Exception:
            # A defect of ours met something in these packs: alone, each of the others is still served.
            if len(items) > 1:
                for item in items:
                    self._commit([item])
                return
            log.exception("%s: batch %s cannot be processed", items[0].pack.gateway, items[0].key)
            _tell(items[0], problem(500, "this pack met a defect of the collector; its log says which"))
        else:
            for item, outcome in zip(items, outcomes, strict=True):
                _tell(item, answer_of(outcome))
            self._note_used(outcomes)

    def _with_its_time(self, item: _Waiting) -> Pack:
        """Its pack; one with relative times is dated at the moment when its batch came first."""
        if not item.relative:
            return item.pack
        pack = item.pack
        with self._registry.write() as session:
            first_ms = sources.first_received(session, _COLLECTOR, pack.gateway, item.key, pack.received_ms)
        return Pack(pack.gateway, pack.correlation, pack.payload, first_ms, pack.content_type, pack.content_encoding)

    def _note_used(self, outcomes: Sequence[Outcome]) -> None:
        self._used_ms.update({outcome.pack.gateway: outcome.pack.received_ms for outcome in outcomes})
        if time.monotonic() - self._used_written_s < sources.USED_EVERY_MS / 1000:
            return
        try:
            with self._registry.write() as session:
                sources.note_used(session, _COLLECTOR, self._used_ms)
        except RegistryError as error:
            log.warning("when sources were last used is not noted: %s", error)
        else:
            self._used_ms.clear()
            self._used_written_s = time.monotonic()


def _tell(item: _Waiting, answer: Answer) -> None:
    if not item.answer.done():
        with contextlib.suppress(Exception):  # its client stopped waiting at this very moment
            item.answer.set_result(answer)
