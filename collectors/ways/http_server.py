"""A small HTTP/1.1 server whose every wait and every size has a limit.

Guarantees: a connection that sends nothing, or a byte now and then, is closed after `Limits.header_s` (waiting for a
request's head) or `Limits.body_s` (for its body); a head or body that is too large is refused before it is read to
its end; the number of connections is bounded, and further ones are closed at once. A request whose head is refused by
`admit` costs no body. Requests of one connection are answered one after the other.

Why not a framework: uvicorn has no limit on the time that a head takes, and a thread per connection
(`http.server`) is what slow-loris is made for. h11 reads and writes HTTP/1.1 without doing any I/O; the limits here
are the rest. It speaks no TLS: whoever needs it from outside puts a reverse proxy before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import h11

log = logging.getLogger(__name__)

_READ_BYTES: Final = 64 * 1024
_LINGER_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may cost. Times in seconds, sizes in bytes."""

    connections: int = 200
    head_bytes: int = 16 * 1024
    body_bytes: int = 256 * 1024
    header_s: float = 5.0
    body_s: float = 20.0
    idle_s: float = 30.0
    write_s: float = 10.0
    drain_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Head:
    """A request before its body. Header names are in small letters; of a name that stands twice the last counts."""

    method: str
    path: str
    headers: Mapping[str, str]
    peer: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = field(default=())


Admit = Callable[[Head], Awaitable[Answer | None]]
"""None lets a request's body be read; an answer refuses it right away."""
Handle = Callable[[Head, bytes], Awaitable[Answer]]
Refuse = Callable[[int, str], Answer]
"""The answer for what the server itself refuses: a status and a short text."""


class _Refused(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Server:
    """Serves on a socket that listens, until `stop` is set."""

    def __init__(self, admit: Admit, handle: Handle, refuse: Refuse, limits: Limits | None = None) -> None:
        self._admit, self._handle, self._refuse = admit, handle, refuse
        self._limits = limits or Limits()
        self._open: set[asyncio.Task[None]] = set()
        self._busy: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def serve(self, sock: socket.socket, stop: asyncio.Event) -> None:
        """Returns once `stop` is set and what was in hand is answered, or `Limits.drain_s` later."""
        server = await asyncio.start_server(self._connected, sock=sock, limit=_READ_BYTES)
        async with server:
            await stop.wait()
            self._stopping = True
            server.close()
            for task in self._open - self._busy:
                task.cancel()
            if self._open:
                await asyncio.wait(self._open, timeout=self._limits.drain_s)
            for task in self._open:
                task.cancel()
            if self._open:
                await asyncio.wait(self._open)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        try:
            if len(self._open) >= self._limits.connections or self._stopping:
                return
            self._open.add(task)
            peer = writer.get_extra_info("peername")
            await _Connection(self, reader, writer, str(peer[0]) if peer else "").run(task)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            pass  # the client is gone, or is told to go
        except Exception:  # outermost: one connection must not harm the others
            log.exception("a connection ended by a defect")
        finally:
            self._open.discard(task)
            self._busy.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(_LINGER_S):
                    await writer.wait_closed()


class _Connection:
    """One client from its first byte to its last."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str) -> None:
        self._server, self._reader, self._writer, self._peer = server, reader, writer, peer
        self._limits = server._limits
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head_bytes)

    async def run(self, task: asyncio.Task[None]) -> None:
        first = True
        while not self._server._stopping:
            try:
                async with asyncio.timeout(self._limits.header_s if first else self._limits.idle_s):
                    event = await self._next()
            except TimeoutError:
                if first or self._http.trailing_data[0]:
                    await self._answer(self._server._refuse(408, "no request within the time"), close=True)
                return
            except h11.RemoteProtocolError as error:
                if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                    await self._answer(self._server._refuse(error.error_status_hint, str(error)), close=True)
                return
            if not isinstance(event, h11.Request):
                return
            self._server._busy.add(task)
            answer, whole = await self._serve(event)
            close = not whole or self._server._stopping
            await self._answer(answer, close=close)
            self._server._busy.discard(task)
            if close or self._http.our_state is h11.MUST_CLOSE:
                await self._linger()
                return
            self._http.start_next_cycle()
            first = False

    async def _serve(self, request: h11.Request) -> tuple[Answer, bool]:
        """What to answer, and whether the request was read to its end."""
        head = Head(
            method=request.method.decode("ascii", "replace"),
            path=request.target.decode("ascii", "replace").partition("?")[0],
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers},
            peer=self._peer,
        )
        try:
            refused = await self._server._admit(head)
            if refused is not None:
                return refused, self._http.their_state is h11.DONE
            length = head.headers.get("content-length", "0")
            if int(length) > self._limits.body_bytes:  # h11 has seen to it that it is a number
                raise _Refused(413, f"at most {self._limits.body_bytes} bytes; send less at once, or compress it")
            async with asyncio.timeout(self._limits.body_s):
                body = await self._body()
        except _Refused as error:
            return self._server._refuse(error.status, error.reason), False
        except TimeoutError:
            return self._server._refuse(408, "the body did not come within the time"), False
        except h11.RemoteProtocolError as error:
            return self._server._refuse(error.error_status_hint, str(error)), False
        return await self._server._handle(head, body), True

    async def _body(self) -> bytes:
        if self._http.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[]))
        parts: list[bytes] = []
        size = 0
        while True:
            event = await self._next()
            if isinstance(event, h11.EndOfMessage):
                return b"".join(parts)
            if not isinstance(event, h11.Data):
                raise ConnectionError("the client went away")
            size += len(event.data)
            if size > self._limits.body_bytes:
                raise _Refused(413, f"at most {self._limits.body_bytes} bytes; send less at once, or compress it")
            parts.append(bytes(event.data))

    async def _next(self) -> h11.Event | type[h11.PAUSED]:
        """The next event of the client."""
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                assert not isinstance(event, type) or event is h11.PAUSED
                return event
            self._http.receive_data(await self._reader.read(_READ_BYTES))

    async def _answer(self, answer: Answer, *, close: bool) -> None:
        headers = [*answer.headers, ("content-length", str(len(answer.body))), ("cache-control", "no-store")]
        if close:
            headers.append(("connection", "close"))
        await self._send(
            h11.Response(status_code=answer.status, headers=headers),
            h11.Data(data=answer.body),
            h11.EndOfMessage(),
        )

    async def _send(self, *events: h11.Event) -> None:
        data = b"".join(self._http.send(event) or b"" for event in events)
        async with asyncio.timeout(self._limits.write_s):
            self._writer.write(data)
            await self._writer.drain()

    async def _linger(self) -> None:
        """Takes a little of what still comes, so that the answer is not lost in a reset (RFC 9112, 9.6)."""
        left = self._limits.body_bytes
        with contextlib.suppress(TimeoutError, ConnectionError):
            if self._writer.can_write_eof():
                self._writer.write_eof()
            async with asyncio.timeout(_LINGER_S):
                while left > 0 and (data := await self._reader.read(_READ_BYTES)):
                    left -= len(data)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; `OSError` when the address is taken or not this machine's."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(128)
    except OSError:
        sock.close()
        raise
    return sock
