"""Server-sent events: committed readings and steps of alerts as they come, to a signed-in browser.

`hello` and every `alert` carry the id of an alert event; a browser that lost its connection names the last one in
`Last-Event-ID` and gets, after `hello`, what happened to alerts in between. Readings are not resumed: the page
reads places and charts again when it gets `hello`, which comes again when what it may see has changed. At most ten
`readings` a second; a stream that takes nothing for `STUCK_S` ends, and so does one whose session ends.

A stream tells of each farm what its viewer may see, from one second to the next: `api.rights_watch` keeps its rights,
and what is seen by consent is sent only when they were right less than `FRESH_S` ago. It stands in the farm's audit
before the stream first tells of it, and every hour in which it tells something.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Header
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api import alert_news
from api.centre import Centre, CentreNow
from api.hub import News, Step, Stream
from api.sessions import Account, Accounting, Browser, Rights, not_signed_in, rights_of
from api.shapes import CentreNews, Names, TimeNews
from collectors.registry import RegistryError
from collectors.registry.sight import Sight
from makiba.data_class import DataClass

log = logging.getLogger(__name__)
router = APIRouter(tags=["stream"])

WHAT: Final[Mapping[str, Names]] = {
    "/stream": Names(ja="画面を 開いたまま 見ていました", en="kept a page open"),
}

PING_S: Final = 10.0
SPACING_S: Final = 0.1
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
    responses={200: {"description": __doc__, "content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def stream(
    browser: Browser,
    centre: CentreNow,
    account: Accounting,
    last_event_id: Annotated[str, Header(max_length=200)] = "",
) -> EventStream:
    """The stream of what is new on the viewer's farms."""
    token = browser.session_hash
    _, found = await run_in_threadpool(rights_of, centre, [token])
    rights = found.get(token)
    if rights is None:
        raise not_signed_in()
    seen = int(last_event_id) if last_event_id.isdecimal() else None
    return EventStream(_frames(centre, token, rights, Accounts(account), seen))


class Accounts:
    """Keeps account of one stream: of each class of each farm, once an hour."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._noted: dict[tuple[str, DataClass], float] = {}

    async def note(self, sight: Sight) -> bool:
        """Whether all that `sight` sees of other people's farms is written down; it is not when it ended just now."""
        now_s = time.monotonic()
        for site, part in sight.parts.items():
            due = {c for c in part.classes if now_s - self._noted.get((site, c), -ACCOUNT_EVERY_S) >= ACCOUNT_EVERY_S}
            if due:
                try:
                    await run_in_threadpool(self._account.note, site, due)
                except (HTTPException, RegistryError):
                    return False
                self._noted.update(dict.fromkeys(((site, c) for c in due), now_s))
        return True


async def _frames(
    centre: Centre, token: str, rights: Rights, accounts: Accounts, seen: int | None
) -> AsyncGenerator[bytes]:
    # First listen, then read what was missed: what happens in between comes twice at most, and is dropped below.
    person = rights.person
    listening = centre.hub.open(token, person.id, rights.sight, rights.version, rights.until_ms)
    try:
        newest = centre.hub.last_step
        missed: list[Step] = []
        if seen is not None and seen < newest:
            try:
                missed = await run_in_threadpool(alert_news.missed, centre, person, seen)
            except RegistryError:
                return  # the browser tries again later; `alert_news.watch` has logged it
            newest = max([newest, *(s.number for s in missed)])
        # Its id says only what this browser has had: a connection cut right here resumes where it was.
        yield b"retry: %d\n" % RETRY_MS + _hello(centre, seen if missed else newest)
        for step in missed:
            if not await _may_go_on(centre, listening, accounts):
                return
            if listening.sight.may_be_told_alerts(step.site):
                yield _frame("alert", step.data, step.number)
        async with contextlib.aclosing(_news(centre, listening, accounts, newest)) as frames:
            async for frame in frames:
                yield frame
    finally:
        centre.hub.forget(listening)


async def _may_go_on(centre: Centre, listening: Stream, accounts: Accounts) -> bool:
    """Waits until what the stream sees of other people's farms is known to be right, and written down."""
    give_up_s = time.monotonic() + UNCHECKED_S
    while listening.closed_because is None:
        if not listening.sight.parts:
            return True
        if await accounts.note(listening.sight) and time.monotonic() - centre.hub.checked_s < FRESH_S:
            return True
        if time.monotonic() > give_up_s:
            listening.close("its rights cannot be looked at")
        await asyncio.sleep(0.05)
    return False


async def _news(centre: Centre, listening: Stream, accounts: Accounts, newest: int) -> AsyncGenerator[bytes]:
    ping_at = time.monotonic() + PING_S
    while listening.closed_because is None:
        if await listening.wait(max(0.0, ping_at - time.monotonic())):
            if not await _may_go_on(centre, listening, accounts):
                break
            news = listening.take()
            frames = [_hello(centre)] if news.rights else []
            frames += _spell(news, newest)
            if frames:
                yield b"".join(frames)
            await asyncio.sleep(SPACING_S)
        if time.monotonic() >= ping_at:
            ping_at = time.monotonic() + PING_S
            yield _frame("ping", TimeNews(time_ms=centre.clock()).model_dump_json().encode())


def _hello(centre: Centre, number: int | None = None) -> bytes:
    return _frame("hello", TimeNews(time_ms=centre.clock()).model_dump_json().encode(), number)


def _spell(news: News, newest: int) -> list[bytes]:
    frames: list[bytes] = []
    if news.broker is not None:
        frames.append(_frame("centre", CentreNews(broker=news.broker).model_dump_json().encode()))
    frames += [_frame("alert", s.data, s.number) for s in news.steps if s.number > newest]
    for at in range(0, len(news.readings), MAX_READINGS_PER_EVENT):
        frames.append(_frame("readings", b"[" + b",".join(news.readings[at : at + MAX_READINGS_PER_EVENT]) + b"]"))
    return frames


def _frame(event: str, data: bytes, number: int | None = None) -> bytes:
    """One event; `data` is JSON on one line."""
    head = b"" if number is None else b"id: %d\n" % number
    return head + b"event: " + event.encode() + b"\ndata: " + data + b"\n\n"
