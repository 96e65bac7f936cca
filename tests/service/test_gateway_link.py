"""The gateway's link against brokers that cannot be had for real: one stops reading, one babbles, one sleeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.link import BatchProperties, Link, LinkError
from makiba.mqtt import MqttOptions, new_client
from makiba.wire import SCHEMA
from tests.parts import PATIENCE

CONNACK = bytes((0x20, 3, 0, 0, 0))
TOPIC = "makiba/gw-1/readings"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The next packet: its first byte and its body."""
    (kind,) = await reader.readexactly(1)
    length = shift = 0
    while True:
        (byte,) = await reader.readexactly(1)
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return kind, await reader.readexactly(length)


async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """CONNECT and SUBSCRIBE are answered."""
    await packet(reader)
    writer.write(CONNACK)
    _, body = await packet(reader)
    writer.write(bytes((0x90, 4)) + body[:2] + bytes((0, 1)))


@asynccontextmanager
async def linked(
    keepalive_s: int = 20, on_message: Callable[[bytes], None] = lambda _: None
) -> AsyncIterator[tuple[Link, Streams]]:
    """A link that is connected to a broker which does nothing more."""
    met: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await welcome(reader, writer)
        met.set_result((reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    options = MqttOptions.model_construct(host="127.0.0.1", port=port, tls=None, keepalive_s=keepalive_s)
    link = Link(new_client(options, "gw-1"), on_message, lambda _mid, _reason: None)
    await link.connect(options, "makiba/gw-1/ack", 5.0)
    streams = await met
    try:
        yield link, streams
    finally:
        link.close()
        streams[1].close()
        server.close()


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(15):
            await story()

    asyncio.run(bounded())


def test_a_broker_that_stops_reading_holds_up_nobody_and_gets_everything_later() -> None:
    packs = [bytes([n]) * 1_500_000 for n in range(16)]

    async def story() -> None:
        async with linked() as (link, (reader, _writer)):
            began_s = time.monotonic()
            for pack in packs:
                link.publish(TOPIC, pack, properties=BatchProperties(b"a" * 16 + b"/1", (SCHEMA,)))
            assert time.monotonic() - began_s < 1.0 * PATIENCE, "the loop was held up"
            for pack in packs:
                kind, body = await packet(reader)
                assert kind & 0xF6 == 0x32  # PUBLISH at QoS 1
                assert body.endswith(pack)
            assert not link.lost.done()

    run(story)


@pytest.mark.parametrize(
    "babble",
    [
        pytest.param(bytes((0x40, 3, 0, 1, 0xEE)), id="a reason that does not exist"),
        pytest.param(bytes((0x32, 2, 0xFF, 0xFF)), id="a topic longer than its packet"),
        pytest.param(bytes((0x30, 5, 0, 1, 0x61, 1, 0x7E)), id="a property that does not exist"),
        pytest.param(bytes((0xF8, 0)), id="a kind of packet that is not for clients"),
    ],
)
def test_a_packet_that_cannot_be_read_ends_the_link(babble: bytes) -> None:
    async def story() -> None:
        async with linked() as (link, (reader, writer)):
            writer.write(babble)
            assert await link.lost
            assert await reader.read() in (b"", b"\xe0\x00"), "its socket is closed"

    run(story)


def test_a_defect_of_ours_ends_the_link_instead_of_meeting_the_same_packet_for_ever() -> None:
    def trip(_data: bytes) -> None:
        raise ArithmeticError("ours")

    async def story() -> None:
        async with linked(on_message=trip) as (link, (reader, writer)):
            writer.write(bytes((0x30, 5, 0, 1, 0x61, 0, 0x7B)))
            assert "ours" in await link.lost
            assert await reader.read() in (b"", b"\xe0\x00"), "its socket is closed"

    run(story)


def test_a_broker_that_sleeps_is_noticed_by_its_keepalive() -> None:
    async def story() -> None:
        async with linked(keepalive_s=1) as (link, _):
            began_s = time.monotonic()
            assert "eep alive" in await link.lost
            assert time.monotonic() - began_s < 4.0 * PATIENCE

    run(story)


def test_a_broker_that_hangs_up_at_once_is_told() -> None:
    async def story() -> None:
        async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        options = MqttOptions(host="127.0.0.1", port=port)
        link = Link(new_client(options, "gw-1"), lambda _: None, lambda _mid, _reason: None)
        with pytest.raises((LinkError, OSError)):
            await link.connect(options, "makiba/gw-1/ack", 5.0)
        link.close()
        server.close()

    run(story)
