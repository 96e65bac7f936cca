"""The bytes of a Modbus bus: a serial port, a connection to a server, or one to a converter that passes RTU through.

One request is under way at a time, and each ends: with a reply, or with the reason why there is none. Over TCP a
reply is told by its transaction id; a late one is dropped, and whatever puts in doubt where a frame begins (there is
no checksum) breaks the connection. On a stream (RTU) bytes end a request when the line has been quiet: for 3.5
characters behind a sound reply, so that a second one is seen, and for some 10 ms behind anything else. The timeout
runs until the first byte, so that a long reply needs no long timeout.

Own rim and no library's: pymodbus's client tells a timeout from a damaged reply by the text of an error, waits the
whole timeout for either, and takes a late reply for the next one's.
"""

from __future__ import annotations

import asyncio
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gateway.drivers._modbus_frames import (
    INVALID,
    MBAP,
    MOST_BYTES,
    TIMEOUT,
    Ask,
    Reply,
    conclude,
    conclude_tcp,
    has_reply,
    is_long_enough,
)

DAMAGED_S, OVERLONG_S = 0.05, 0.02
"""Quiet that ends a reply which is not sound yet, and one that has bytes enough to be over. Both are longer than a
USB adapter holds bytes back (16 ms)."""
LEAST_GAP_S = 0.0039
"""Quiet behind a reply at any baud rate: a busy adapter or kernel hands bytes over with pauses of milliseconds, and a
second reply close behind must be seen. At 9600 baud it costs nothing."""
QUIET_AT_MOST_S = 1.0
"""A line that never falls quiet is asked all the same; what it says becomes `crc`."""
CONNECT_S = 3.0
UNANSWERED_MS = 20_000
"""A connection whose far end is gone without a word is given up by the kernel after this."""
LATE_IDS = 4096

LOST = Reply(None, "lost", silent=True)
Trace = Callable[[bool, bytes], None]


class Wire(ABC):
    """`lost` is set when it broke; `first_byte_s` is how long the last reply took to begin, None without one."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.trace: Trace | None = None
        self.first_byte_s: float | None = None
        self._loop = asyncio.get_running_loop()
        self._asked: Ask | None = None
        self._sent_s = 0.0
        self._ends: asyncio.Future[Reply] = self._loop.create_future()

    @abstractmethod
    async def ask(self, asked: Ask, timeout_s: float, pause_s: float) -> Reply:
        """Sends a request and waits for its end; raises nothing."""

    @abstractmethod
    def close(self) -> None: ...

    def _begin(self, asked: Ask) -> asyncio.Future[Reply]:
        self._asked, self.first_byte_s, self._sent_s = asked, None, self._loop.time()
        self._ends = self._loop.create_future()
        return self._ends

    def _end(self, reply: Reply) -> None:
        self._asked = None
        if not self._ends.done():
            self._ends.set_result(reply)

    def _broke(self) -> None:
        self.lost.set()
        self._end(LOST)


class Stream(Wire):
    """RTU on a stream of bytes."""

    def __init__(self, send: Callable[[bytes], None], shut: Callable[[], None], char_s: float, gap_s: float) -> None:
        super().__init__()
        self._send, self._shut = send, shut
        self._char_s, self._gap_s = char_s, max(gap_s, LEAST_GAP_S)
        self._heard = b""
        self._complete = False
        self._last_byte_s = self._loop.time()
        self._quiet_s = max(DAMAGED_S, 2 * gap_s)  # what an earlier program left on the line runs out first
        self._deadline_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, asked: Ask, timeout_s: float, pause_s: float) -> Reply:
        await self._wait_quiet(max(self._quiet_s, pause_s))
        if self.lost.is_set():
            return LOST
        ends = self._begin(asked)
        self._heard, self._complete = b"", False
        try:
            self._send(asked.rtu)
        except OSError:
            self._broke()
            return LOST
        if self.trace:
            self.trace(True, asked.rtu)
        self._sent_s += len(asked.rtu) * self._char_s
        self._deadline_s = self._sent_s + timeout_s
        self._timer = self._loop.call_at(self._deadline_s, self._look)
        try:
            return await ends
        finally:
            self._timer.cancel()
            self._asked = None

    def fed(self, data: bytes) -> None:
        """Bytes arrived."""
        self._last_byte_s = self._loop.time()
        if self._asked is None:
            return  # nobody asked; the next request waits until the line is quiet
        if self.trace:
            self.trace(False, data)
        self._heard += data
        if self.first_byte_s is None and not self._asked.rtu.startswith(self._heard):
            self.first_byte_s = max(self._last_byte_s - self._sent_s, 0.0)
        self._complete = has_reply(self._heard, self._asked)
        self._look()

    def broke(self) -> None:
        """The port or the connection is gone."""
        self._broke()

    def close(self) -> None:
        self._shut()
        self._broke()

    def _look(self) -> None:
        """Ends the request when it is time, or says when to look again."""
        asked, now_s = self._asked, self._loop.time()
        if asked is None:
            return
        if self._heard:
            # Our own request come back is not the reply's beginning: the timeout goes on.
            waits = self._deadline_s if self._heard == asked.rtu and not self._complete else 0.0
            if self._complete:
                quiet_s = self._gap_s
            else:
                quiet_s = max(OVERLONG_S if is_long_enough(self._heard, asked) else DAMAGED_S, 2 * self._gap_s)
            at_s = max(self._last_byte_s + quiet_s, waits)
        else:
            at_s = self._deadline_s
        if now_s >= at_s or len(self._heard) > MOST_BYTES:
            reply = conclude(self._heard, asked)
            # It has been quiet for long enough already, unless the line is talking by itself.
            self._quiet_s = self._gap_s if now_s >= at_s else max(DAMAGED_S, 2 * self._gap_s)
            self._end(reply)
            return
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(at_s, self._look)

    async def _wait_quiet(self, quiet_s: float) -> None:
        began_s = self._loop.time()
        while (wait_s := self._last_byte_s + quiet_s - (now_s := self._loop.time())) > 0:
            if self.lost.is_set() or now_s - began_s > QUIET_AT_MOST_S + quiet_s:
                return
            await asyncio.sleep(wait_s)


def open_serial(port: str, settings: dict[str, Any], char_s: float, gap_s: float) -> Stream:
    """A serial port; `OSError` with a reason when it cannot be opened."""
    import serial  # a gateway without serial lines does not need it

    line = serial.Serial(port, timeout=0, exclusive=True, **settings)
    with suppress(OSError, ValueError, NotImplementedError):
        line.set_low_latency_mode(
            True
        )  # an FTDI adapter holds bytes back for 16 ms otherwise; a pty has no such mode
    loop, fd = asyncio.get_running_loop(), line.fileno()

    def shut() -> None:
        if line.is_open:
            loop.remove_reader(fd)
            line.close()

    def send(data: bytes) -> None:
        if os.write(fd, data) != len(data):
            raise OSError(f"{port} takes nothing")

    def readable() -> None:
        try:
            data = os.read(fd, 4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            stream.fed(data)
        else:
            loop.remove_reader(fd)
            stream.broke()

    stream = Stream(send, shut, char_s, gap_s)
    loop.add_reader(fd, readable)
    return stream


class _Connection(asyncio.Protocol):
    """Hands a connection's bytes and its end to a wire that is attached right after it was made."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.fed: Callable[[bytes], None] = lambda _: None
        self.broke: Callable[[], None] = lambda: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if sock := transport.get_extra_info("socket"):
            with suppress(OSError, AttributeError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_MS)

    def data_received(self, data: bytes) -> None:
        self.fed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.broke()


async def open_tcp(host: str, port: int, framing: str, gap_s: float) -> Wire:
    """A connection; `OSError` with a reason when there is none within `CONNECT_S`."""
    try:
        async with asyncio.timeout(CONNECT_S):
            _, made = await asyncio.get_running_loop().create_connection(_Connection, host, port)
    except TimeoutError:
        raise OSError(f"{host}:{port} does not answer") from None
    transport = made.transport
    assert transport
    wire: Stream | Tcp = Stream(transport.write, transport.abort, 0.0, gap_s) if framing == "rtu" else Tcp(transport)
    made.fed, made.broke = wire.fed, wire.broke
    if transport.is_closing():
        wire.broke()
    return wire


class Tcp(Wire):
    """Modbus TCP on a connection."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._id = 0
        self._heard = b""
        self._last_reply_s = 0.0

    async def ask(self, asked: Ask, timeout_s: float, pause_s: float) -> Reply:
        if pause_s and (wait_s := self._last_reply_s + pause_s - self._loop.time()) > 0:
            await asyncio.sleep(wait_s)
        if self.lost.is_set():
            return LOST
        self._id = self._id + 1 & 0xFFFF
        ends = self._begin(asked)
        frame = self._id.to_bytes(2, "big") + b"\0\0" + len(asked.body).to_bytes(2, "big") + asked.body
        self._transport.write(frame)
        if self.trace:
            self.trace(True, frame)
        timer = self._loop.call_at(self._sent_s + timeout_s, self._too_late)
        try:
            return await ends
        finally:
            timer.cancel()
            self._asked = None

    def _too_late(self) -> None:
        if self._heard:
            self._mistrust()  # half a reply, and nothing says where the next one begins
        else:
            self._end(Reply(None, TIMEOUT, silent=True))

    def fed(self, data: bytes) -> None:
        """Bytes arrived."""
        if self.trace:
            self.trace(False, data)
        if self._heard and len(data) >= MBAP and self._may_begin(data):
            # The frame before was cut short; with these bytes it would be whole, and wrong.
            self._mistrust()
            return
        self._heard += data
        while self._heard:
            length = int.from_bytes(self._heard[4:MBAP], "big") + MBAP
            body, rest = self._heard[MBAP:length], self._heard[length:]
            if not self._may_begin(self._heard) or (rest and (len(rest) < MBAP or not self._may_begin(rest))):
                self._mistrust()
                return
            if len(self._heard) < MBAP or len(self._heard) < length:
                return
            is_ours, self._heard = self._age(self._heard) == 0, rest
            if is_ours and self._asked is not None:
                self._last_reply_s = self._loop.time()
                self.first_byte_s = self._last_reply_s - self._sent_s
                self._end(conclude_tcp(body, self._asked))

    def _age(self, heard: bytes) -> int:
        """How many requests ago its id was given out."""
        return self._id - int.from_bytes(heard[:2], "big") & 0xFFFF

    def _may_begin(self, heard: bytes) -> bool:
        """Whether a frame may begin like this, as far as it goes."""
        return (
            (len(heard) < 2 or self._age(heard) <= LATE_IDS)
            and not any(heard[2:4])
            and (len(heard) < MBAP or 3 <= int.from_bytes(heard[4:MBAP], "big") <= 254)
        )

    def _mistrust(self) -> None:
        """Where a frame begins is not known any more; only a new connection tells."""
        self._end(Reply(None, INVALID))
        self._transport.abort()
        self._broke()

    def broke(self) -> None:
        """The connection is gone."""
        self._broke()

    def close(self) -> None:
        self._transport.abort()
        self._broke()
