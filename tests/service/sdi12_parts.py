"""SDI-12 sensors on a pseudo-terminal, with the faults of a real wire, and a record of who broke the rules."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tty
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.sdi12 import crc_text


@dataclass
class Sensor:
    """One sensor. `values` are texts with their sign; `page` is how many one data reply holds."""

    address: str
    values: list[str]
    page: int = 4
    ready_s: int = 0
    early_s: float | None = None
    """After aM!: a service request after this time; None: none comes."""
    measured_s: float | None = None
    """When it is really ready; the standard's `ttt` when not said."""
    silent: bool = False
    aborts: bool = False
    """Answers the start and has no data."""
    spoil: Callable[[bytes], bytes] = field(default=lambda reply: reply)
    """Changes what goes over the wire."""
    late_s: float = 0.0
    """Data replies come so late."""
    begun_at: float = -1e9
    concurrent: bool = False
    crc: bool = False
    asked: list[str] = field(default_factory=list)


class SensorBus:
    """The far end of the adapter, as a context. `broken_rules` says what the gateway did wrong."""

    def __init__(self, *sensors: Sensor, echo: bool = False) -> None:
        self.sensors = {s.address: s for s in sensors}
        self.broken_rules: list[str] = []
        self.overlaps = 0
        """How often a sensor was asked while another measured concurrently."""
        self._echo = echo
        self._heard = b""
        self._held_until = 0.0

    async def __aenter__(self) -> SensorBus:
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        self.path = os.ttyname(self._slave)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.master, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._loop.remove_reader(self.master)
        os.close(self.master)
        os.close(self._slave)

    def say(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # the story may be over
            os.write(self.master, data)

    def _read(self) -> None:
        try:
            data = os.read(self.master, 4096)
        except (BlockingIOError, OSError):
            return
        if self._echo:
            self.say(data)
        self._heard += data
        while b"!" in self._heard:
            command, _, self._heard = self._heard.partition(b"!")
            self._command(command.decode("ascii"))

    def _command(self, command: str) -> None:
        sensor = self.sensors.get(command[:1])
        now = self._loop.time()
        if now < self._held_until:
            self.broken_rules.append(f"{command}! while an M measurement held the bus")
        for other in self.sensors.values():
            if other.concurrent and now < self._ready_at(other):
                if other is sensor:
                    self.broken_rules.append(f"{command}! interrupts its own concurrent measurement")
                else:
                    self.overlaps += 1
        if sensor is None or sensor.silent:
            return
        sensor.asked.append(command[1:])
        reply = self._answer(sensor, command[1:], now)
        if reply:
            late_s = sensor.late_s if command[1:2] == "D" else 0.0
            self._loop.call_later(late_s, self.say, sensor.spoil(reply + b"\r\n"))

    def _ready_at(self, sensor: Sensor) -> float:
        return sensor.begun_at + (sensor.ready_s if sensor.measured_s is None else sensor.measured_s)

    def _answer(self, sensor: Sensor, verb: str, now: float) -> bytes:
        a = sensor.address.encode()
        if verb == "":
            return a
        if verb == "I":
            return a + b"13MAKIBA  SOIL  1001234"
        if verb[0] in "MC":
            sensor.begun_at, sensor.concurrent, sensor.crc = now, verb[0] == "C", verb[1:2] == "C"
            if verb[0] == "C":
                return a + b"%03d%02d" % (sensor.ready_s, len(sensor.values))
            if sensor.ready_s:
                self._held_until = now + (sensor.ready_s if sensor.early_s is None else sensor.early_s)
                if sensor.early_s is not None:
                    self._loop.call_later(sensor.early_s, self.say, a + b"\r\n")
            return a + b"%03d%d" % (sensor.ready_s, len(sensor.values))
        if verb[0] == "D":
            page = int(verb[1])
            body = a + "".join(sensor.values[page * sensor.page : (page + 1) * sensor.page]).encode()
            body = a if sensor.aborts else body
            return body + crc_text(body) if sensor.crc else body
        if verb[0] == "R":
            body = a + "".join(sensor.values).encode()
            return body + crc_text(body) if verb[1] == "C" else body
        return b""
