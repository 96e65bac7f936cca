"""paho's client with its cost per message taken out: one read and one write for many packets.

paho reads a packet's head byte by byte, makes two dictionaries of all properties that MQTT knows for each message,
and wakes its thread for each packet that goes out: about 0.3 ms a message, three times what a collector may spend
on one. Here what has arrived is taken in one piece and cut into PUBLISH packets, which are handed over together as
`Arrived`; every other packet, the connection, its keep-alive and its end stay paho's own affair.

The seams are methods of paho that are not public (`_packet_read`, `_packet_queue`); a test holds them to what they
are in the version that is installed.

A gateway decides what stands in the properties of its messages. None of it breaks the connection, which all
gateways share: what cannot be understood is told in `Arrived.problem` instead.

Source: MQTT 5.0, sections 2.2.2 (properties), 3.3 (PUBLISH), 3.4 (PUBACK).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.exception import MQTTException
from paho.mqtt.packettypes import PacketTypes

MAX_PACKET: Final = 512 * 1024
"""What we tell the broker in CONNECT; a longer packet is not of this protocol."""
_READ_BYTES: Final = 65536
_READS: Final = 64
"""Reads (of one TLS record each) before what they brought is handed over."""
_WRITE_BYTES: Final = 32768

_PUBLISH: Final = PacketTypes.PUBLISH << 4
_PUBACK: Final = PacketTypes.PUBACK << 4

_CONTENT_TYPE: Final = 3
_CORRELATION: Final = 9
_USER: Final = 38
# MQTT 5.0, table 2-4: the other properties of a PUBLISH and how long their values are.
_FIXED: Final = {1: 1, 2: 4, 35: 2}
_PREFIXED: Final = frozenset({_CONTENT_TYPE, 8, _CORRELATION})
_SUBSCRIPTION: Final = 11


@dataclass(slots=True)
class Arrived:
    """A message. `client` is the connection that it came on and that `mid` belongs to (0 with QoS 0)."""

    client: QuickClient
    topic: bytes
    payload: bytes
    qos: int
    mid: int
    retain: bool
    received_ms: int
    correlation: bytes = b""
    content_type: bytes | None = None
    content_encoding: bytes | None = None
    problem: str = ""


class Malformed(ValueError):
    """A packet that breaks MQTT's own rules, so that the connection cannot go on."""


class QuickClient(paho.Client):
    """A client whose messages come to `on_arrived`, many at a time, and go out by `send_together`."""

    on_arrived: Callable[[list[Arrived]], None] = staticmethod(lambda _arrived: None)

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._pieces: list[bytes] = []
        self._held = 0
        self._wanted = 2

    def send_together(self, packets: Iterable[bytes]) -> None:
        """Queues whole packets (`publish_packet`, `puback_packet`), in order, with one wake-up for many of them."""
        part: list[bytes] = []
        size = 0
        for packet in packets:
            part.append(packet)
            size += len(packet)
            if size >= _WRITE_BYTES:
                self._packet_queue(
                    _PUBACK, b"".join(part), 0, 1
                )  # a kind that paho does nothing about once it is out
                part, size = [], 0
        if part:
            self._packet_queue(_PUBACK, b"".join(part), 0, 1)

    def _packet_read(self) -> MQTTErrorCode:
        """Takes what has arrived; paho calls this when the socket can be read."""
        arrived: list[Arrived] = []
        try:
            for _ in range(_READS):
                outcome = self._read_once(arrived)
                if outcome != MQTTErrorCode.MQTT_ERR_SUCCESS or self._sock is None:
                    return outcome
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        finally:
            if arrived:
                self.on_arrived(arrived)

    def _read_once(self, arrived: list[Arrived]) -> MQTTErrorCode:
        try:
            data = self._sock_recv(_READ_BYTES)
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_AGAIN
        except OSError:
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        if not data:
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        with self._msgtime_mutex:
            self._last_bytes_received = time.monotonic()
        self._pieces.append(data)
        self._held += len(data)
        if self._held < self._wanted:
            return MQTTErrorCode.MQTT_ERR_SUCCESS  # the rest of a large packet is still to come
        return self._cut(b"".join(self._pieces) if len(self._pieces) > 1 else data, arrived)

    def _cut(self, data: bytes, arrived: list[Arrived]) -> MQTTErrorCode:
        """The whole packets in `data`; what is left of it waits for the next read."""
        now_ms = time.time_ns() // 1_000_000
        at, wanted = 0, 2
        outcome = MQTTErrorCode.MQTT_ERR_SUCCESS
        try:
            while True:
                start, end = frame(data, at)
                if end > len(data):
                    wanted = end - at
                    break
                head = data[at]
                at = end
                if head & 0xF0 == _PUBLISH:
                    arrived.append(arrival(self, head, data[start:end], now_ms))
                else:
                    outcome = self._let_paho(head, data[start:end])
                    if outcome != MQTTErrorCode.MQTT_ERR_SUCCESS or self._sock is None:
                        break
        except Malformed:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        rest = data[at:]
        self._pieces, self._held, self._wanted = ([rest] if rest else []), len(rest), wanted
        return outcome

    def _let_paho(self, head: int, body: bytes) -> MQTTErrorCode:
        self._in_packet = {
            "command": head,
            "have_remaining": 1,
            "remaining_count": [],
            "remaining_mult": 1,
            "remaining_length": len(body),
            "packet": bytearray(body),
            "to_process": 0,
            "pos": 0,
        }
        try:
            return self._packet_handle()
        except MQTTException as error:
            raise Malformed(str(error)) from None


def frame(data: bytes, at: int) -> tuple[int, int]:
    """Where the body of the packet at `at` begins and ends; an end beyond `data` when more is needed to know it."""
    length, shift, place = 0, 0, at + 1
    while True:
        if place >= len(data):
            return place, len(data) + 1
        digit = data[place]
        place += 1
        length |= (digit & 127) << shift
        if digit < 128:
            break
        shift += 7
        if shift > 21:
            raise Malformed("a length of more than four bytes")
    if length > MAX_PACKET:
        raise Malformed(f"a packet of {length} bytes, at most {MAX_PACKET}")
    return place, place + length


def arrival(client: QuickClient, head: int, body: bytes, now_ms: int) -> Arrived:
    """The message in the body of a PUBLISH packet."""
    qos = head >> 1 & 3
    at = 2 + (body[0] << 8 | body[1]) if len(body) >= 2 else 2
    topic = body[2:at]
    mid = 0
    if qos:
        at += 2
        mid = int.from_bytes(body[at - 2 : at], "big")
    if qos == 3 or at >= len(body):
        raise Malformed("a PUBLISH packet that is cut off, or of QoS 3")
    found = Arrived(client, topic, b"", qos, mid, bool(head & 1), now_ms)
    start, end = frame(body, at - 1)  # the properties' length is spelled as a packet's is
    if end > len(body):
        raise Malformed("properties longer than their packet")
    found.payload = body[end:]
    try:
        _read_properties(body, start, end, found)
    except (IndexError, ValueError) as error:
        found.problem = f"MQTT properties cannot be read: {error}"
    return found


def _read_properties(body: bytes, at: int, end: int, found: Arrived) -> None:
    while at < end:
        kind = body[at]
        at += 1
        if kind == _USER:
            key_end = at + 2 + (body[at] << 8 | body[at + 1])
            value_at = key_end + 2
            value_end = value_at + (body[key_end] << 8 | body[key_end + 1])
            if body[at + 2 : key_end] == b"content-encoding":
                found.content_encoding = body[value_at:value_end]
            at = value_end
        elif kind in _PREFIXED:
            value_end = at + 2 + (body[at] << 8 | body[at + 1])
            if kind == _CORRELATION:
                found.correlation = body[at + 2 : value_end]
            elif kind == _CONTENT_TYPE:
                found.content_type = body[at + 2 : value_end]
            at = value_end
        elif kind in _FIXED:
            at += _FIXED[kind]
        elif kind == _SUBSCRIPTION:
            while body[at] > 127:
                at += 1
            at += 1
        else:
            raise ValueError(f"{kind} is no property of a message")
    if at != end:
        raise ValueError("one is longer than all of them")


def publish_packet(
    topic: bytes,
    payload: bytes,
    *,
    content_type: bytes,
    correlation: bytes = b"",
    user: Sequence[tuple[bytes, bytes]] = (),
) -> bytes:
    """A PUBLISH packet with QoS 0."""
    properties = b"\x03%b%b" % (len(content_type).to_bytes(2, "big"), content_type)
    if correlation:
        properties += b"\x09%b%b" % (len(correlation).to_bytes(2, "big"), correlation)
    for key, value in user:
        properties += b"\x26%b%b%b%b" % (len(key).to_bytes(2, "big"), key, len(value).to_bytes(2, "big"), value)
    length = _spell_length(len(properties))
    return b"\x30%b%b%b%b%b%b" % (
        _spell_length(2 + len(topic) + len(length) + len(properties) + len(payload)),
        len(topic).to_bytes(2, "big"),
        topic,
        length,
        properties,
        payload,
    )


def puback_packet(mid: int) -> bytes:
    """The acknowledgement of a message with QoS 1."""
    return b"\x40\x02%b" % mid.to_bytes(2, "big")


def _spell_length(value: int) -> bytes:
    if value < 128:
        return bytes((value,))
    out = bytearray()
    while True:
        value, digit = divmod(value, 128)
        if not value:
            out.append(digit)
            return bytes(out)
        out.append(digit | 128)
