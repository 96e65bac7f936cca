"""What `bench_delivery` is made of: a broker that lets one client speak for many gateways, and that client.

The client must cost little, since it shares the processor with what it measures: packets are put together from
prepared parts, answers are counted by one search over the bytes that came, and no MQTT library is in between. It
keeps what it sent, so that the store can be compared with it afterwards.
"""

from __future__ import annotations

import os
import random
import re
import select
import socket
import ssl
import struct
import time
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from collectors.registry import Registry, open_registry
from collectors.registry.sites import SiteSpec, apply_site
from collectors.registry.viewer import Service
from makiba import topics
from makiba.mqtt import MqttOptions
from makiba.reading import Reading, Series
from makiba.senml import encode_json
from tests.parts import Broker, Process

LOAD: Final = "gw-load"
"""The client that speaks for every gateway. The product's broker would not let it."""
SPOOL: Final = "00000000000000be"
FIRST: Final = 10_000_000
"""Batches count from here, so that a number always takes eight digits."""
DEVICES: Final = 20
QUANTITIES: Final = (
    "air_temperature", "relative_humidity", "ammonia", "carbon_dioxide", "soil_moisture", "soil_temperature",
    "wind_speed", "voltage", "current", "temperature",
)  # fmt: skip
POINTS: Final = len(QUANTITIES)
VARIANTS: Final = 8
_ANSWER: Final = re.compile(rb'\{"batch":"([0-9a-f]{16})/(\d{8})","stored":(\d+),"refused":\[(\{[^]]{0,300})?')
_CLOCK_TICKS: Final = os.sysconf("SC_CLK_TCK")


class BenchBroker(Broker):
    """The product's broker with one more line in its ACL, and no limit on what one client has on the way."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        with (folder / "mosquitto.acl").open("a", encoding="utf-8") as acl:
            acl.write(
                f"\nuser {LOAD}\ntopic write {topics.all_gateways(topics.READINGS)}\n"
                f"topic read {topics.all_gateways(topics.ACK)}\n"
            )
        config = folder / "mosquitto.conf"
        text = config.read_text(encoding="utf-8")
        config.write_text(text.replace("max_inflight_messages 20", "max_inflight_messages 0"), encoding="utf-8")

    @property
    def process(self) -> Process:
        return self._process


def farm_name(farm: int) -> str:
    return f"farm-{farm:05d}"


def gateway_name(farm: int) -> str:
    return f"gw-{farm:05d}"


def registry_of(path: Path, farms: int) -> None:
    """A registry at `path` in which each farm has one gateway."""
    registry: Registry = open_registry(f"sqlite:{path}", migrate=True)
    console = Service("console")
    with registry.write() as session:
        for farm in range(farms):
            spec = SiteSpec(farm_name(farm), "牧場", "Farm", gateways=(gateway_name(farm),))
            apply_site(session, console, spec, time.time_ns() // 1_000_000)
    registry.close()


def value_of(device: int, point: int, variant: int) -> float:
    return round(random.Random(device * 1000 + point * 10 + variant).uniform(1.0, 60.0), 1) * (
        1e-6 if QUANTITIES[point] in ("ammonia", "carbon_dioxide") else 1e-2 if point == 4 else 1
    )


def subject_of(device: int) -> str:
    return f"sensor-{device:02d}"


@dataclass(frozen=True, slots=True)
class Shape:
    """The devices that stand together in one pack, device i read i × 100 ms after the first, and how many minutes."""

    devices: tuple[int, ...]
    minutes: int = 1

    @property
    def readings(self) -> int:
        return len(self.devices) * POINTS * self.minutes

    def times(self) -> Iterator[tuple[int, int]]:
        """(device, ms after the pack's time) of each poll."""
        for minute in range(self.minutes):
            for place, device in enumerate(self.devices):
                yield device, minute * 60_000 + place * 100

    def rows(self, farm: int, at_ms: int, variant: int) -> list[Reading]:
        return [
            Reading(
                Series(farm_name(farm), subject_of(device), quantity),
                at_ms + offset_ms,
                value_of(device, point, variant),
            )
            for device, offset_ms in self.times()
            for point, quantity in enumerate(QUANTITIES)
        ]


def shapes(pack: int) -> list[Shape]:
    """The packs of `pack` readings that a farm of 200 points sends each minute; above 200, each some minutes."""
    each = min(DEVICES, max(1, pack // POINTS))
    minutes = max(1, pack // (DEVICES * POINTS))
    return [Shape(tuple(range(start, start + each)), minutes) for start in range(0, DEVICES - each + 1, each)]


class Payloads:
    """SenML of a shape, with farm and base time put into a prepared text."""

    def __init__(self) -> None:
        self._texts: dict[tuple[Shape, int], bytes] = {}

    def of(self, shape: Shape, farm: int, at_ms: int, variant: int) -> bytes:
        """As a gateway writes it: plain, deflated when it is large, series-major when it had to wait."""
        text = self._texts.get((shape, variant))
        if text is None:
            rows = shape.rows(0, 1_700_000_000_500, variant)
            text = self._texts[shape, variant] = encode_json(rows, series_major=shape.minutes > 1)
        data = text.replace(b"farm-00000", farm_name(farm).encode())
        data = data.replace(b"1700000000.5", b"%d.%03d" % (at_ms // 1000, at_ms % 1000), 1)
        return zlib.compress(data, 6) if len(data) > 4096 else data


def publish(gateway: str, number: int, payload: bytes) -> bytes:
    """A PUBLISH packet (MQTT 5, QoS 1) with the properties that a gateway gives it."""
    topic = b"makiba/%s/readings" % gateway.encode()
    plain = payload[:1] == b"["
    user = b"\x26\x00\x0dmakiba-schema\x00\x011"
    if not plain:
        user += b"\x26\x00\x10content-encoding\x00\x07deflate"
    properties = (
        (b"\x01\x01" if plain else b"")
        + b"\x03\x00\x16application/senml+json\x09\x00\x19%s/%08d" % (SPOOL.encode(), number)
        + user
    )
    body = b"%b%b%b%b%b%b" % (
        len(topic).to_bytes(2, "big"),
        topic,
        (number % 65535 + 1).to_bytes(2, "big"),
        _length(len(properties)),
        properties,
        payload,
    )
    return b"\x32" + _length(len(body)) + body


def _length(value: int) -> bytes:
    out = bytearray()
    while True:
        value, digit = divmod(value, 128)
        out.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(out)


class Load:
    """One connection that speaks for every gateway. `pump` moves bytes; everything else is arithmetic."""

    def __init__(self, options: MqttOptions, name: str) -> None:
        assert options.tls
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(options.tls.ca))
        context.load_cert_chain(str(options.tls.cert), str(options.tls.key))
        raw = socket.create_connection((options.host, options.port), timeout=10)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = context.wrap_socket(raw, server_hostname=options.host)
        client_id = name.encode()
        body = b"\x00\x04MQTT\x05\x02\x00\x3c\x03\x21\xff\xff" + struct.pack("!H", len(client_id)) + client_id
        self._sock.sendall(b"\x10" + _length(len(body)) + body)
        assert self._sock.recv(2)[:1] == b"\x20"
        ack = topics.all_gateways(topics.ACK).encode()
        body = b"\x00\x01\x00" + struct.pack("!H", len(ack)) + ack + b"\x00"
        self._sock.sendall(b"\x82" + _length(len(body)) + body)
        self._sock.setblocking(False)
        self._out: list[bytes] = []
        self._rest = b""
        self._tail = b""
        self._pinged_s = time.monotonic()

    @property
    def waits(self) -> bool:
        """Whether bytes wait to be sent."""
        return bool(self._out or self._rest)

    def send(self, packet: bytes) -> None:
        self._out.append(packet)

    def pump(self, within_s: float) -> list[tuple[int, int, bytes]]:
        """Sends what waits and reads what came, waiting at most so long: (number, stored, refusals) per answer."""
        if time.monotonic() - self._pinged_s > 20:
            self._pinged_s = time.monotonic()
            self._out.append(b"\xc0\x00")
        self._write()
        if not self._sock.pending():
            select.select([self._sock], [self._sock] if self.waits else [], [], within_s)
        self._write()
        return self._read()

    def _write(self) -> None:
        while self._rest or self._out:
            if not self._rest:
                self._rest = b"".join(self._out[:256])
                del self._out[:256]
            try:
                sent = self._sock.send(self._rest)
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            self._rest = self._rest[sent:]

    def _read(self) -> list[tuple[int, int, bytes]]:
        parts = [self._tail]
        try:
            for _ in range(64):
                data = self._sock.recv(65536)
                if not data:
                    raise ConnectionError("the broker closed the load's connection")
                parts.append(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        data = b"".join(parts)
        found, end = [], 0
        for match in _ANSWER.finditer(data):
            if match.end() + 1 > len(data):
                break  # its list of refusals may go on
            end = match.end()
            if match[1] == SPOOL.encode():
                found.append((int(match[2]), int(match[3]), match[4] or b""))
        self._tail = data[max(end, len(data) - 700) :]
        return found

    def close(self) -> None:
        self._sock.close()


@dataclass
class Sent:
    """What was sent: for each batch, in order of its number, farm, shape, time and variant."""

    shapes: Sequence[Shape]
    farm: array[int] = field(default_factory=lambda: array("l"))
    shape: array[int] = field(default_factory=lambda: array("b"))
    at_ms: array[int] = field(default_factory=lambda: array("q"))
    variant: array[int] = field(default_factory=lambda: array("b"))
    is_acked: bytearray = field(default_factory=bytearray)
    readings: int = 0
    refused: int = 0

    def add(self, farm: int, shape: int, at_ms: int, variant: int) -> int:
        """Its place."""
        self.farm.append(farm)
        self.shape.append(shape)
        self.at_ms.append(at_ms)
        self.variant.append(variant)
        self.is_acked.append(0)
        self.readings += self.shapes[shape].readings
        return len(self.farm) - 1

    def by_farm(self, every: int = 1) -> Iterator[tuple[int, dict[Series, dict[int, float]]]]:
        """What the series of each farm, or of each `every`-th, must hold: all of which was acknowledged."""
        places: dict[int, list[int]] = {}
        for place, farm in enumerate(self.farm):
            if farm % every == 0 and self.is_acked[place]:
                places.setdefault(farm, []).append(place)
        values = [[[value_of(d, p, v) for v in range(VARIANTS)] for p in range(POINTS)] for d in range(DEVICES)]
        for farm, batches in places.items():
            expected: dict[Series, dict[int, float]] = {}
            for place in batches:
                for device, offset_ms in self.shapes[self.shape[place]].times():
                    for point, quantity in enumerate(QUANTITIES):
                        series = Series(farm_name(farm), subject_of(device), quantity)
                        rows = expected.setdefault(series, {})
                        rows[self.at_ms[place] + offset_ms] = values[device][point][self.variant[place]]
            yield farm, expected


class Watched:
    """CPU and memory of a process, as the kernel counts them."""

    def __init__(self, process: Process) -> None:
        self._pid = process.pid
        self._began_s = self._cpu_s()

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self._pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS

    def start(self) -> None:
        self._began_s = self._cpu_s()

    @property
    def cpu_s(self) -> float:
        """Since `start`."""
        return self._cpu_s() - self._began_s

    def memory_mb(self, what: str = "VmHWM") -> float:
        """The peak, or with `VmRSS` what it holds now."""
        for line in Path(f"/proc/{self._pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith(what):
                return int(line.split()[1]) / 1024
        return 0.0
