"""Counterparts of a gateway: a cable with faults, Modbus servers of other libraries, a collector that answers."""

from __future__ import annotations

import logging
import os
import select
import sqlite3
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import modbus_tk.defines as modbus
import serial
from modbus_tk import modbus_rtu

from gateway.hot import hot_path, peek_hot
from gateway.packs import Batch, readings_in
from makiba import topics
from makiba.mqtt import MqttOptions, connect_properties, new_client
from makiba.reading import Reading, Series
from makiba.senml import parse_json, readings_of
from makiba.wire import Ack, BatchId, unpack_payload
from tests.parts import wait_until

SITE, GATEWAY = "shikaoi-001", "gw-test"


Key = tuple[Series, int]


def spool_contents(path: Path) -> dict[BatchId, set[Key]]:
    """Batches in both files of a spool, which may be in use, and the readings in them."""
    state = peek_hot(hot_path(path))
    found = list(state.batches.values()) if state else []
    if path.is_file():
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            try:
                (spool_id,) = db.execute("SELECT spool_id FROM state").fetchone()
                rows = db.execute("SELECT number, readings, pack, deflated FROM batch").fetchall()
            except sqlite3.OperationalError:  # being made
                rows = []
            found += [Batch(BatchId(spool_id, n), count, pack, bool(d)) for n, count, pack, d in rows]
    return {
        b.id: {(r.series, r.time_ms) for r in readings_in(b.pack, is_deflated=b.is_deflated) or ()} for b in found
    }


class Cable:
    """Two pseudo-terminals and a thread that carries bytes; `fault` may change what goes to the gateway."""

    def __init__(self) -> None:
        self.fault: Callable[[bytes], bytes] = lambda data: data
        self.requests: list[tuple[float, bytes]] = []
        self._far_master, self._far_slave = os.openpty()
        tty.setraw(self._far_slave)
        self.far_end = os.ttyname(self._far_slave)
        self._wake_read, self._wake_write = os.pipe()
        self._stopping = False
        self._near: tuple[int, int] | None = None
        self.plug_in()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def plug_in(self) -> str:
        """The gateway's end, a new device each time; its path is returned."""
        master, slave = os.openpty()
        tty.setraw(slave)
        self._near = (master, slave)
        self.near_end = os.ttyname(slave)
        os.write(self._wake_write, b".")
        return self.near_end

    def pull_out(self) -> None:
        """The gateway's adapter is gone."""
        near, self._near = self._near, None
        os.write(self._wake_write, b".")
        time.sleep(0)  # the carrier lets go of the descriptors at its next turn
        if near:
            for fd in near:
                os.close(fd)

    def inject(self, data: bytes) -> None:
        """Bytes that nobody asked for arrive at the gateway."""
        assert self._near
        os.write(self._near[0], data)

    def _carry(self) -> None:
        while not self._stopping:
            near = self._near
            fds = [self._wake_read, self._far_master] + ([near[0]] if near else [])
            try:
                ready, _, _ = select.select(fds, [], [], 0.05)
                for fd in ready:
                    data = os.read(fd, 4096)
                    if near and fd == near[0]:
                        self.requests.append((time.monotonic(), data))
                        os.write(self._far_master, data)
                    elif near and fd == self._far_master and (changed := self.fault(data)):
                        os.write(near[0], changed)
            except (OSError, ValueError):
                continue

    def close(self) -> None:
        self._stopping = True
        self._thread.join()
        for fd in (self._far_master, self._far_slave, self._wake_read, self._wake_write, *(self._near or ())):
            os.close(fd)


@contextmanager
def rtu_farm(cable: Cable) -> Iterator[modbus_rtu.RtuServer]:
    """modbus-tk's server at the far end: unit 1 an XY-MD02, unit 3 an R4DCB08 with two thermometers."""
    logging.getLogger("modbus_tk").setLevel(logging.CRITICAL)
    line = serial.Serial(cable.far_end, 9600)
    server = modbus_rtu.RtuServer(line, error_on_missing_slave=False)
    climate = server.add_slave(1)
    climate.add_block("input", modbus.ANALOG_INPUTS, 1, 2)
    climate.set_values("input", 1, [0xFF33, 875])
    thermometers = server.add_slave(3)
    thermometers.add_block("holding", modbus.HOLDING_REGISTERS, 0, 8)
    thermometers.set_values("holding", 0, [38, 0x8000, 0x8000, 0x8000, 0x8000, 0x8000, 0x8000, 9999])
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclass
class Heard:
    """One batch as it came, and when."""

    batch: BatchId
    at_ms: int
    readings: list[Reading]
    user_properties: dict[str, str] = field(default_factory=dict)


class Collector:
    """A collector that remembers instead of storing. `answering = False` makes it a dead store."""

    def __init__(self, options: MqttOptions) -> None:
        self.answering = True
        self.answer: Callable[[Ack], Ack] = lambda ack: ack
        self.heard: list[Heard] = []
        self.acknowledged: dict[BatchId, int] = {}  # batch -> how often it came after its answer had left
        self.statuses: list[bytes] = []
        self.reported: list[bytes] = []
        self._client = new_client(options, "collector")
        self._ready = threading.Event()
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.connect(options.host, options.port, clean_start=True, properties=connect_properties())
        self._client.loop_start()
        self._client.subscribe(
            [(topics.all_gateways(v), 1) for v in (topics.READINGS, topics.STATUS, topics.CONFIG_REPORTED)]
        )
        assert self._ready.wait(5)

    def _on_message(self, client: Any, _userdata: Any, message: Any) -> None:
        if message.topic.endswith(topics.STATUS):
            self.statuses.append(message.payload)
        elif message.topic.endswith(topics.CONFIG_REPORTED):
            self.reported.append(message.payload)
        else:
            self._take(client, message)

    def _take(self, client: Any, message: Any) -> None:
        at_ms = time.time_ns() // 1_000_000
        properties = dict(message.properties.UserProperty)
        batch = BatchId.from_bytes(message.properties.CorrelationData)
        pack = unpack_payload(message.payload, properties.get("content-encoding"))
        taken, refused = readings_of(parse_json(pack), at_ms / 1000)
        assert not refused, refused
        self.heard.append(Heard(batch, at_ms, [r for _, r in taken], properties))
        if batch in self.acknowledged:
            self.acknowledged[batch] += 1
        if self.answering:
            gateway = topics.gateway_of(message.topic, topics.READINGS)
            assert gateway
            ack = self.answer(Ack(batch=str(batch), stored=len(taken), time_ms=at_ms))
            client.publish(topics.gateway_topic(gateway, topics.ACK), ack.to_bytes(), qos=1)
            self.acknowledged.setdefault(batch, 0)

    def values(self, subject: str, quantity: str) -> list[float | str]:
        """What came of a series, by its time, each time once."""
        found = {
            r.time_ms: r.value
            for h in list(self.heard)
            for r in h.readings
            if r.series.subject == subject and r.series.quantity == quantity
        }
        return [found[t] for t in sorted(found)]

    def wait_for(self, subject: str, quantity: str, value: float | str, within_s: float = 10.0) -> None:
        wait_until(
            lambda: value in self.values(subject, quantity),
            within_s,
            lambda: f"{subject} {quantity} {value!r}, but {self.values(subject, quantity)[-5:]}",
        )

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def gateway_file(folder: Path, options: MqttOptions, buses: str, *, spool: str = "path: spool.db") -> Path:
    """A gateway file whose `buses` are given as YAML."""
    tls = options.tls
    assert tls
    file = folder / "gateway.yaml"
    file.write_text(
        f"gateway: {GATEWAY}\nsite: {SITE}\nmqtt:\n  host: {options.host}\n  port: {options.port}\n"
        f"  tls: {{ca: {tls.ca}, cert: {tls.cert}, key: {tls.key}}}\n"
        f"spool: {{{spool}}}\nbuses:\n{buses}",
        encoding="utf-8",
    )
    return file
