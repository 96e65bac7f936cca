"""Files that take minutes to send: piece by piece, as long as their reader may have them.

- A piece is made when the one before it is gone: a slow reader slows the making, and nothing is piled up.
- Four times a second the rights are looked at (`look`). When they are not what the file was begun with, the
  connection is cut, with what the machine has not sent yet: the reader's program says that the file is broken, and it
  is. What is shown by consent goes out only within `FRESH_S` of a look; who looks at their own farm does not wait.
- A reader that goes away, or takes nothing for `STUCK_S`, ends the making at once.
- A person has at most `PER_PERSON` such files under way, all together at most `TOGETHER`: 429 and 503.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import Refused
from collectors.registry import RegistryError

log = logging.getLogger(__name__)

PER_PERSON: Final = 2
TOGETHER: Final = 8
RETRY_AFTER_S: Final = 30
LOOK_EVERY_S: Final = 0.25
FRESH_S: Final = 0.7
UNCHECKED_S: Final = 10.0
"""What is shown by consent ends when nobody can look at the rights for so long."""

STUCK_S: Final = 120.0
PIECE_BYTES: Final = 65_536
_CUT: Final = "makiba.cut"


class Slots:
    """Who has how many files under way. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: Counter[int] = Counter()
        self.is_closing = False

    def take(self, person: int) -> Callable[[], None]:
        """A place for one more file of `person`; call what comes back when it is done. 429 or 503 else."""
        wait = {"Retry-After": str(RETRY_AFTER_S)}
        with self._lock:
            if self._of[person] >= PER_PERSON:
                raise Refused(
                    429, f"{PER_PERSON} files are being sent to you already; wait for one.", wait, slug="too-many"
                )
            if self.is_closing or self._of.total() >= TOGETHER:
                raise HTTPException(503, "Too many files are being sent just now; try again later.", wait)
            self._of[person] += 1
        left = iter([person])
        return lambda: self._give_back(next(left, None))

    def _give_back(self, person: int | None) -> None:
        if person is None:  # given back already
            return
        with self._lock:
            self._of[person] -= 1
            self._of += Counter()

    def __len__(self) -> int:
        with self._lock:
            return self._of.total()

    def close(self) -> None:
        """Ends what is under way: the service is stopping."""
        self.is_closing = True


class Cuttable:
    """Outermost around the application: gives an answer the means to cut its connection, which ASGI does not have.

    The server's `receive` is a method of what holds the transport (uvicorn's); where it is not, nothing can be cut
    and the server closes the connection when the answer ends in the middle.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope[_CUT] = getattr(getattr(receive, "__self__", None), "transport", None)
        await self._app(scope, receive, send)


class Outgoing(Response):
    """Sends the pieces of `parts`. `look` says whether they may still be sent; it is called on a thread."""

    def __init__(
        self,
        parts: Iterator[bytes],
        *,
        look: Callable[[], bool],
        is_home: bool,
        slots: Slots,
        give_back: Callable[[], None],
        media_type: str,
        headers: Mapping[str, str],
        gzip: bool = False,
    ) -> None:
        packed = {"Content-Encoding": "gzip"} if gzip else {}
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", **packed, **headers})
        del self.headers["content-length"]
        self.headers["content-type"] = media_type
        self._pieces = _pieces(_gzipped(parts) if gzip else parts)
        self._look, self._is_home = look, is_home
        self._slots, self._give_back = slots, give_back
        self._making = threading.Lock()
        self._checked_s = float("-inf")
        self._looked = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writer = asyncio.create_task(self._write(send), name="outgoing-writer")
        watcher = asyncio.create_task(self._watch(), name="outgoing-rights")
        gone = asyncio.create_task(_until_gone(receive), name="outgoing-gone")
        tasks = (writer, watcher, gone)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if writer.done() and not writer.cancelled() and writer.exception() is None:
                return
            if not gone.done():
                _cut(scope)
                with suppress(TimeoutError):  # so that the server knows that nobody is there when this returns
                    await asyncio.wait_for(asyncio.shield(gone), 1.0)
        finally:
            for task in tasks:
                task.cancel()
            outcome = await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.shield(run_in_threadpool(self._end))
            for error in outcome[:2]:  # of the writer, and of whoever looks at the rights
                if isinstance(error, Exception):
                    log.warning("a file broke off: %s: %s", type(error).__name__, error)

    async def _write(self, send: Send) -> None:
        await self._may_go_on()
        async with asyncio.timeout(STUCK_S):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        while (piece := await run_in_threadpool(self._next)) is not None:
            await self._may_go_on()
            async with asyncio.timeout(STUCK_S):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._may_go_on()
        async with asyncio.timeout(STUCK_S):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _may_go_on(self) -> None:
        while not self._is_home and time.monotonic() - self._checked_s >= FRESH_S:
            self._looked.clear()
            await self._looked.wait()

    async def _watch(self) -> None:
        """Returns when the file may not be sent any more."""
        began_s = time.monotonic()
        while not self._slots.is_closing:
            asked_s = time.monotonic()
            try:
                if not await run_in_threadpool(self._look):
                    log.info("a file broke off: its reader may not have it any more")
                    return
                self._checked_s = asked_s
                self._looked.set()
            except RegistryError:
                if not self._is_home and asked_s - max(self._checked_s, began_s) > UNCHECKED_S:
                    log.warning("a file broke off: its reader's rights cannot be looked at")
                    return
            await asyncio.sleep(LOOK_EVERY_S)

    def _next(self) -> bytes | None:
        with self._making:
            return next(self._pieces, None)

    def _end(self) -> None:
        with self._making:  # a thread may be making a piece that nobody waits for any more
            self._pieces.close()
        self._give_back()


def _pieces(parts: Iterator[bytes]) -> Any:
    """`parts` cut to pieces that a connection takes at once, so that little is under way when it is cut."""
    try:
        for part in parts:
            for at in range(0, len(part), PIECE_BYTES):
                yield part[at : at + PIECE_BYTES]
    finally:
        if close := getattr(parts, "close", None):
            close()


def _gzipped(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Level 1: a tenth of CSV's size for a fifth more work; here, since the middleware's would hold up everybody."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    try:
        for part in parts:
            yield packer.compress(part)
        yield packer.flush()
    finally:
        if close := getattr(parts, "close", None):
            close()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _cut(scope: Scope) -> None:
    """Drops the connection with all that is not sent yet, in the kernel too (RST)."""
    transport = scope.get(_CUT)
    if isinstance(transport, asyncio.Transport):
        if (sock := transport.get_extra_info("socket")) is not None:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
