"""One connection to the broker, on the event loop: paho frames, the loop waits.

Guarantees. Once `connect` has its socket, paho is used by the loop's thread alone and never blocks it: what the
socket does not take waits until it is writable. `lost` has the reason as soon as the connection is known to be gone:
by a closed socket, by the broker's word, by a keepalive that is not answered, or by a packet that paho cannot read.

A thread of paho's own would cost two switches a packet, both fighting for the interpreter with the polls.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

from makiba.mqtt import MqttOptions, connect_properties
from makiba.senml import CONTENT_TYPE_JSON

log = logging.getLogger("makiba.gateway.uplink")

LOOKS = 8
"""The keepalive is looked at so often within its own time."""


class LinkError(Exception):
    """The link could not be made, or broke; the message says why."""


class Link:
    """From `connect` to `close`, once."""

    def __init__(
        self, client: paho.Client, on_message: Callable[[bytes], None], on_puback: Callable[[int, int], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = client
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._subscribed: asyncio.Future[None] = self._loop.create_future()
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self._on_puback = on_puback
        self._awaited: dict[int, asyncio.Future[None]] = {}
        self._socket: Any = None
        self._is_writing = False
        self._keepalive: asyncio.TimerHandle | None = None
        client.on_connect = lambda _c, _u, _f, reason, _p: _answer(self._connected, reason, "broker refuses")
        client.on_subscribe = lambda _c, _u, _mid, reasons, _p: _answer(
            self._subscribed, reasons[0], "broker refuses the subscription"
        )
        client.on_disconnect = lambda _c, _u, _f, reason, _p: self._lose(str(reason))
        client.on_publish = lambda _c, _u, mid, reason, _p: self._published(mid, reason.value)
        client.on_message = lambda _c, _u, message: on_message(bytes(message.payload))
        client.on_socket_close = lambda _c, _u, _s: self._let_go()

    async def connect(self, options: MqttOptions, topic: str, answer_s: float) -> None:
        """Connects and subscribes to `topic`; `LinkError`, `OSError` or `TimeoutError` when that fails."""
        client = self._client
        await asyncio.to_thread(
            client.connect,
            options.host,
            options.port,
            options.keepalive_s,
            clean_start=True,
            properties=connect_properties(),
        )
        self._socket = client.socket()
        if self._socket is None:
            raise LinkError("broker hangs up at once")
        self._loop.add_reader(self._socket, self._readable)
        self._look(options.keepalive_s / LOOKS)
        self._write_when_possible()
        async with asyncio.timeout(answer_s):
            await self._connected
            client.subscribe(topic, qos=1)
            self._write_when_possible()
            await self._subscribed

    def publish(self, topic: str, data: bytes, *, retain: bool = False, properties: Properties | None = None) -> int:
        """Gives a message to paho at QoS 1; returns the packet's identifier."""
        mid = self._client.publish(topic, data, qos=1, retain=retain, properties=properties).mid
        self._write_when_possible()
        return mid

    async def taken(self, mid: int, within_s: float) -> None:
        """Returns when the broker has taken the packet, or when the time is over."""
        self._awaited[mid] = waits = self._loop.create_future()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await waits

    def close(self) -> None:
        """Says goodbye as far as the socket takes it, and lets go of it."""
        if self._socket is not None:
            self._client.disconnect()
        if (sock := self._socket) is not None:  # goodbye did not fit into its buffer
            self._let_go()
            with suppress(OSError):
                sock.close()

    # ------------------------------------------------------------------------------------------ what paho says

    def _published(self, mid: int, reason: int) -> None:
        if (waits := self._awaited.pop(mid, None)) and not waits.done():
            waits.set_result(None)
        self._on_puback(mid, reason)

    def _lose(self, reason: str) -> None:
        for future in (self._connected, self._subscribed):
            if not future.done():
                future.set_exception(LinkError(reason))
                future.exception()  # looked at: nobody may be waiting for it
        if not self.lost.done():
            self.lost.set_result(reason)

    def _let_go(self) -> None:
        """The socket is about to be closed."""
        if self._keepalive:
            self._keepalive.cancel()
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket, self._is_writing = None, False

    # ------------------------------------------------------------------------------------------ what the socket says

    def _readable(self) -> None:
        self._guarded(self._client.loop_read)
        # What TLS has taken out of the socket already makes it readable no more.
        while (sock := self._socket) is not None and getattr(sock, "pending", int)():
            self._guarded(self._client.loop_read)
        self._write_when_possible()

    def _writable(self) -> None:
        self._guarded(self._client.loop_write)
        if self._socket is not None and not self._client.want_write():
            self._loop.remove_writer(self._socket)
            self._is_writing = False

    def _write_when_possible(self) -> None:
        if self._socket is not None and not self._is_writing and self._client.want_write():
            self._is_writing = True
            self._loop.add_writer(self._socket, self._writable)

    def _look(self, every_s: float) -> None:
        self._guarded(self._client.loop_misc)
        if self._socket is not None:
            self._write_when_possible()
            self._keepalive = self._loop.call_later(every_s, self._look, every_s)

    def _guarded(self, act: Callable[[], Any]) -> None:
        """What paho trips over ends the connection: it would read the same packet again for ever."""
        try:
            act()
        except Exception as error:
            log.exception("unexpected error on the link")
            sock = self._socket
            self._let_go()
            if sock is not None:
                with suppress(OSError):
                    sock.close()
            self._lose(repr(error))


def _answer(future: asyncio.Future[None], reason: Any, refusal: str) -> None:
    if future.done():
        return
    if reason.is_failure:
        future.set_exception(LinkError(f"{refusal}: {reason}"))
    else:
        future.set_result(None)


class BatchProperties(Properties):
    """Of a pack's publish: content type, correlation data, user properties.

    Spelled here, since paho looks through all the names there are for each packet (MQTT 5, section 3.3.2.3).
    """

    def __init__(self, batch: bytes, user_properties: tuple[tuple[str, str], ...]) -> None:
        body = _head(user_properties) + b"\x09" + len(batch).to_bytes(2, "big") + batch
        length = VariableByteIntegers.encode(len(body))  # type: ignore[no-untyped-call]
        self.__dict__["spelled"] = length + body

    def pack(self) -> bytes:
        return bytes(self.__dict__["spelled"])


@cache
def _head(user_properties: tuple[tuple[str, str], ...]) -> bytes:
    """All but the correlation data, as paho spells it."""
    properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = CONTENT_TYPE_JSON
    if len(user_properties) == 1:
        properties.PayloadFormatIndicator = 1  # UTF-8 text, which a deflated body is not
    properties.UserProperty = list(user_properties)
    spelled = bytes(properties.pack())
    return spelled[1:]  # without its length, of one byte
