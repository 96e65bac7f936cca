"""Server-sent events: committed readings and steps of alerts as they come, to a signed-in browser.

`hello` and every `alert` carry the id of an alert event; a browser that lost its connection names the last one in
`Last-Event-ID` and gets, after `hello`, what happened to alerts in between. Readings are not resumed: the page
reads places and charts again when it gets `hello`. At most ten `readings` a second; a stream that takes nothing for
`STUCK_S` ends, and so does one whose session ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator
from typing import Annotated, Final

from fastapi import APIRouter, Header
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api import alert_news
from api.centre import Centre, CentreNow
from api.hub import News, Step, Stream
from api.sessions import Browser, SignedInBrowser
from api.shapes import CentreNews, TimeNews
from collectors.registry import RegistryError
from collectors.registry.viewer import visible_sites

log = logging.getLogger(__name__)
router = APIRouter(tags=["stream"])

PING_S: Final = 10.0
SPACING_S: Final = 0.1
STUCK_S: Final = 20.0
RETRY_MS: Final = 2_000
MAX_READINGS_PER_EVENT: Final = 1_000


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
    browser: Browser, centre: CentreNow, last_event_id: Annotated[str, Header(max_length=200)] = ""
) -> EventStream:
    """The stream of what is new on the viewer's farms."""
    return EventStream(_frames(centre, browser, int(last_event_id) if last_event_id.isdecimal() else None))


async def _frames(centre: Centre, browser: SignedInBrowser, seen: int | None) -> AsyncGenerator[bytes]:
    sites = visible_sites(browser.person)
    # First listen, then read what was missed: what happens in between comes twice at most, and is dropped below.
    listening = centre.hub.open(browser.session_hash, browser.person.id, sites)
    try:
        newest = centre.hub.last_step
        missed: list[Step] = []
        if seen is not None and seen < newest:
            try:
                missed = await run_in_threadpool(alert_news.missed, centre, browser.person, seen)
            except RegistryError:
                return  # the browser tries again later; `alert_news.watch` has logged it
            newest = max([newest, *(s.number for s in missed)])
        hello = TimeNews(time_ms=centre.clock()).model_dump_json().encode()
        # Its id says only what this browser has had: a connection cut right here resumes where it was.
        yield b"retry: %d\n" % RETRY_MS + _frame("hello", hello, seen if missed else newest)
        for step in missed:
            yield _frame("alert", step.data, step.number)
        async with contextlib.aclosing(_news(centre, listening, newest)) as frames:
            async for frame in frames:
                yield frame
    finally:
        centre.hub.forget(listening)


async def _news(centre: Centre, listening: Stream, newest: int) -> AsyncGenerator[bytes]:
    ping_at = time.monotonic() + PING_S
    while listening.closed_because is None:
        if await listening.wait(max(0.0, ping_at - time.monotonic())):
            frames = list(_spell(listening.take(), newest))
            if frames:
                yield b"".join(frames)
            await asyncio.sleep(SPACING_S)
        if time.monotonic() >= ping_at:
            ping_at = time.monotonic() + PING_S
            yield _frame("ping", TimeNews(time_ms=centre.clock()).model_dump_json().encode())


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
