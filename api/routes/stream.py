"""Server-sent events: committed readings and steps of alerts as they come, to a browser or program that is signed in.

`hello` comes first, and again when what the listener may see has changed. It and every `alert` carry an id; whoever
lost the connection names the last one in `Last-Event-ID` and is told after `hello` what happened to alerts meanwhile,
each alert once, as it is now. `hello` says in `resumed` whether that is all there was: false means to read lists of
alerts anew. Readings are not resumed: places and charts are read anew after every `hello`. A stream that cannot keep
up is told the newest reading of each series and leaves out those in between; it leaves out no step of an alert, and
ends when too many wait. One that takes nothing for 20 s ends, and so does one whose session or token ends.

`sites`, `classes` and `kinds` narrow what is told; a farm that is not to be seen is the same as none.

A stream tells of each farm what its viewer may see, from one second to the next: `api.rights_watch` keeps its rights,
and what is seen by consent is sent only when they were right less than `FRESH_S` ago. It stands in the farm's audit
before the stream first tells of it, and every hour in which it tells something.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

from fastapi import APIRouter, Header, HTTPException, Query
from pydantic import StringConstraints
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api import alert_news, bookmarks
from api.centre import Centre, CentreNow
from api.ears import Ear
from api.glossary import EVENTS, STREAM
from api.hub import KINDS, Kind, News, Step, Stream
from api.sessions import Account, Accounting, LookingNow, Rights, not_signed_in, rights_of
from api.shapes import CentreNews, HelloNews, Names, TimeNews
from collectors.registry import RegistryError
from collectors.registry.sight import Sight
from makiba.data_class import DataClass

T = TypeVar("T")
SiteName = Annotated[str, StringConstraints(max_length=64)]

log = logging.getLogger(__name__)
router = APIRouter(tags=["stream"])

WHAT: Final[Mapping[str, Names]] = {
    "/stream": Names(ja="画面を 開いたまま 見ていました", en="kept a page open"),
}

PING_S: Final = 10.0
SPACING_S: Final = 0.1
STREAMS_PER_SPACING: Final = 200
MAX_SPACING_S: Final = 0.5
"""A stream sends at most every `SPACING_S`, and less often the more of them there are."""

STUCK_S: Final = 20.0
RETRY_MS: Final = 2_000
MAX_READINGS_PER_EVENT: Final = 1_000
FRESH_S: Final = 0.7
UNCHECKED_S: Final = 10.0
"""A stream whose rights cannot be looked at for so long ends."""

ACCOUNT_EVERY_S: Final = 3_600.0


class EventStream(Response):
    """Sends `frames` until they end, the browser goes, or it takes nothing for `STUCK_S`."""

    media_type = "text/event-stream"

    def __init__(self, frames: AsyncGenerator[bytes], stuck_s: float = STUCK_S) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._frames = frames
        self._stuck_s = stuck_s

    async def __call__(self, __: Scope, receive: Receive, send: Send) -> None:
        writer = asyncio.create_task(self._write(send), name="stream-writer")
        gone = asyncio.create_task(_until_gone(receive), name="stream-gone")
        try:
            await asyncio.wait({writer, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writer, gone):
                task.cancel()
            outcome, _ = await asyncio.gather(writer, gone, return_exceptions=True)
            await self._frames.aclose()
        if isinstance(outcome, Exception):
            raise outcome

    async def _write(self, send: Send) -> None:
        try:
            async with asyncio.timeout(self._stuck_s):
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for frame in self._frames:
                async with asyncio.timeout(self._stuck_s):
                    await send({"type": "http.response.body", "body": frame, "more_body": True})
            async with asyncio.timeout(self._stuck_s):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            log.info("a stream took nothing for %.0f s and is closed", self._stuck_s)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@router.get(
    "/stream",
    response_class=EventStream,
    status_code=200,
    responses={
        200: {
            "description": EVENTS,
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": STREAM}},
        }
    },
)
async def stream(
    looking: LookingNow,
    centre: CentreNow,
    account: Accounting,
    last_event_id: Annotated[str, Header(max_length=200)] = "",
    sites: Annotated[
        list[SiteName] | None,
        Query(max_length=500, description="Of these farms only; one that is not to be seen is the same as none"),
    ] = None,
    classes: Annotated[list[DataClass] | None, Query(max_length=7, description="Of these classes only")] = None,
    kinds: Annotated[list[Kind] | None, Query(max_length=3, description="Of these kinds of news only")] = None,
) -> EventStream:
    """The stream of what is new on the viewer's farms: readings and steps of alerts, as they come."""
    ear = Ear(looking.key, _set(sites), _set(classes))
    _, found = await run_in_threadpool(rights_of, centre, [ear])
    rights = found.get(ear)
    if rights is None:
        raise not_signed_in()
    listener = Listener(centre, ear, rights, Accounts(account), _set(kinds) or KINDS)
    return EventStream(listener.frames(bookmarks.unseal(centre.key, listener.whose, last_event_id)))


def _set(given: list[T] | None) -> frozenset[T] | None:
    return None if given is None else frozenset(given)


class Accounts:
    """Keeps account of one stream: of each class of each farm, once an hour."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._noted: dict[tuple[str, DataClass], float] = {}
        self._fine: tuple[Sight, float] | None = None
        """A sight that is written down, and until when."""

    async def note(self, sight: Sight) -> bool:
        """Whether all that `sight` sees of other people's farms is written down; it is not when it ended just now."""
        now_s = time.monotonic()
        if self._fine and self._fine[0] is sight and now_s < self._fine[1]:
            return True
        due = {
            site: {c for c in part.classes if now_s - self._noted.get((site, c), -ACCOUNT_EVERY_S) >= ACCOUNT_EVERY_S}
            for site, part in sight.parts.items()
        }
        try:
            if await run_in_threadpool(self._account.note_many, due):
                return False
        except (RegistryError, HTTPException):  # away, or signed out, which `rights_watch` tells the stream
            return False
        self._noted.update({(site, c): now_s for site, classes in due.items() for c in classes})
        oldest_s = min(
            (self._noted[site, c] for site, part in sight.parts.items() for c in part.classes), default=now_s
        )
        self._fine = sight, oldest_s + ACCOUNT_EVERY_S
        return True


@dataclass(frozen=True, slots=True)
class Listener:
    """One stream, from `hello` on."""

    centre: Centre
    ear: Ear
    rights: Rights
    accounts: Accounts
    kinds: frozenset[Kind]

    @property
    def whose(self) -> bytes:
        """For whom, and for what, its bookmarks hold: who listens to more has missed more."""
        wanted = [self.rights.person.id, *(w and sorted(w) for w in (self.ear.sites, self.ear.classes, self.kinds))]
        return json.dumps(wanted).encode()

    async def frames(self, seen: int | None) -> AsyncGenerator[bytes]:
        """What is sent, to a browser that has had everything up to event `seen`."""
        # First listen, then read what was missed: what happens in between comes twice at most, and is dropped below.
        rights, hub = self.rights, self.centre.hub
        waiting = hub.open(self.ear, rights.person.id, rights.sight, rights.version, rights.until_ms, self.kinds)
        try:
            newest = hub.last_step
            missed: list[Step] | None = None
            if seen is not None:
                try:
                    missed = await run_in_threadpool(alert_news.missed, self.centre, rights.person, seen)
                except RegistryError:
                    return  # the browser tries again later; `alert_news.watch` has logged it
            told = missed if missed is not None and "alerts" in self.kinds else []
            if seen is not None and missed is not None:
                newest = max([seen, newest, *(s.number for s in missed)])
            # Its id says only what this browser has had: a connection cut right here resumes where it was.
            has_had = seen if told and seen is not None else newest
            yield b"retry: %d\n" % RETRY_MS + self._hello(has_had, resumed=missed is not None)
            for step in told:
                if not await self._may_go_on(waiting):
                    return
                if waiting.sight.may_be_told_alerts(step.site):
                    yield self._alert(step)
            async with contextlib.aclosing(self._news(waiting, newest)) as frames:
                async for frame in frames:
                    yield frame
        finally:
            hub.forget(waiting)

    async def _may_go_on(self, waiting: Stream) -> bool:
        """Waits until what the stream sees of other people's farms is known to be right, and written down."""
        give_up_s = time.monotonic() + UNCHECKED_S
        while waiting.closed_because is None:
            if not waiting.sight.parts:
                return True
            if await self.accounts.note(waiting.sight) and time.monotonic() - self.centre.hub.checked_s < FRESH_S:
                return True
            if time.monotonic() > give_up_s:
                waiting.close("its rights cannot be looked at")
            await asyncio.sleep(0.05)
        return False

    async def _news(self, waiting: Stream, newest: int) -> AsyncGenerator[bytes]:
        ping_at = time.monotonic() + PING_S
        while waiting.closed_because is None:
            if await waiting.wait(max(0.0, ping_at - time.monotonic())):
                if not await self._may_go_on(waiting):
                    break
                news = waiting.take()
                frames = [self._hello(None, resumed=False)] if news.rights else []
                frames += self._spell(news, newest)
                if frames:
                    yield b"".join(frames)
                await asyncio.sleep(_spacing_s(len(self.centre.hub)))
            if time.monotonic() >= ping_at:
                ping_at = time.monotonic() + PING_S
                yield _frame("ping", TimeNews(time_ms=self.centre.clock()).model_dump_json().encode())

    def _spell(self, news: News, newest: int) -> list[bytes]:
        frames: list[bytes] = []
        if news.broker is not None:
            frames.append(_frame("centre", CentreNews(broker=news.broker).model_dump_json().encode()))
        frames += [self._alert(s) for s in news.steps if s.number > newest]
        for at in range(0, len(news.readings), MAX_READINGS_PER_EVENT):
            some = news.readings[at : at + MAX_READINGS_PER_EVENT]
            frames.append(_frame("readings", b"[" + b",".join(some) + b"]"))
        return frames

    def _hello(self, number: int | None, *, resumed: bool) -> bytes:
        said = HelloNews(time_ms=self.centre.clock(), resumed=resumed)
        return _frame("hello", said.model_dump_json().encode(), self._bookmark(number))

    def _alert(self, step: Step) -> bytes:
        return _frame("alert", step.data, self._bookmark(step.number))

    def _bookmark(self, number: int | None) -> str:
        return "" if number is None else bookmarks.seal(self.centre.key, self.whose, number)


def _spacing_s(streams: int) -> float:
    return min(MAX_SPACING_S, SPACING_S * max(1.0, streams / STREAMS_PER_SPACING))


def _frame(event: str, data: bytes, bookmark: str = "") -> bytes:
    """One event; `data` is JSON on one line."""
    head = f"id: {bookmark}\nevent: {event}\ndata: " if bookmark else f"event: {event}\ndata: "
    return head.encode() + data + b"\n\n"
