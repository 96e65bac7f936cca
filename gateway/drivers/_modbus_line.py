"""A Modbus bus as the schedule sees it: one device polled, its values or what is wrong.

An RTU reply carries no transaction id. A reply that comes after its timeout looks like the answer to the next
request of the same shape (unit id, function code, byte count), so that after a request whose reply was not seen no
request of that shape goes to that unit for `LATE_S`, the longest late reply that is allowed for. Meanwhile its
registers are read in two parts, whose replies are shorter and cannot be mistaken; a single value, which has no parts,
waits. Each reply is checked for unit id, function code, byte count, CRC and for a second one behind it
(`_modbus_frames.py`); nothing is sent before the line is quiet (`_modbus_wire.py`); nothing is asked twice behind the
schedule's back.

What goes wrong becomes a state: `timeout` (nothing came), `crc` (bytes came, no sound frame), `exception-N`,
`invalid` (a sound frame that does not answer the request, or two).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.bus import Heard, Poll
from gateway.decode import Text
from gateway.driver import Bus, Device, Explained, Point
from gateway.drivers._modbus_frames import TIMEOUT, Ask, Reply, ask, switch
from gateway.drivers._modbus_wire import Wire, open_serial, open_tcp
from gateway.drivers.modbus import bits_of, serial_settings
from gateway.interpret import Interpreter, interpreter
from gateway.patience import Patience
from gateway.places import Derived, Register
from gateway.plan import Read
from gateway.record import OK, worst
from gateway.registers import ModbusProfile
from makiba.reading import Series, Value

LATE_S = 10.0
GAP_TCP_S = 0.005
"""Quiet behind a reply that a converter passes through; it knows the line's gap, we do not."""
LEAST_SERIAL_S, LEAST_TCP_S = 0.15, 0.5
"""No timeout is learned below these: a USB hub that is busy; one packet lost and sent again."""
SWITCH_S = 0.5
"""How long an alarm output may take to answer."""
# Modbus application protocol 1.1b3, section 7: a gateway says that the unit behind it is not there.
_NOT_THERE = frozenset({"exception-10", "exception-11"})


@dataclass(frozen=True, slots=True)
class _Reading:
    """One planned read: as a whole, and in two parts while its whole may be answered late."""

    whole: Ask
    parts: tuple[Ask, ...]


@dataclass(slots=True)
class _Compiled:
    """A device made ready. `closed` holds the shapes that may be answered late, and until when (seconds)."""

    name: str
    pause_s: float
    interpreter: Interpreter
    readings: tuple[_Reading, ...]
    patience: Patience
    closed: dict[bytes, float] = field(default_factory=dict)


def _compile(device: Device, least_s: float) -> _Compiled:
    profile: ModbusProfile = device.profile
    unit_id, found = device.options.unit_id, interpreter(device)
    longest_s = profile.timeout.total_seconds()
    readings = tuple(
        _Reading(ask(unit_id, read), tuple(ask(unit_id, part) for part in halves(read, found)))
        for read in found.reads
    )
    return _Compiled(
        device.name,
        profile.pause.total_seconds(),
        found,
        readings,
        Patience(longest_s, least_s if profile.learn_timeout else longest_s),
    )


def halves(read: Read, found: Interpreter) -> tuple[Read, ...]:
    """`read` in two shorter ones with no value cut, nearest to the middle; none when it has one value only."""
    spans = [(at, at + found.spots[item].width) for item, at in read.items]
    cuts = [c for c in range(1, read.count) if not any(first < c < past for first, past in spans)]
    if read.table in ("coil", "discrete"):
        # Their replies count bytes: a part is told apart only when it has fewer.
        size = (read.count + 7) // 8
        cuts = [c for c in cuts if (c + 7) // 8 < size and (read.count - c + 7) // 8 < size]
    if not cuts:
        return ()
    cut = min(cuts, key=lambda c: abs(2 * c - read.count))
    return (
        Read(read.table, read.address, cut, ()),
        Read(read.table, read.address + cut, read.count - cut, ()),
    )


class ModbusLine:
    """The wire of one bus; see `gateway.bus.Line`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._is_serial = bus.driver.kind == "rtu"
        self._may_be_late = self._is_serial or bus.options.framing == "rtu"
        self.down_word = "bus-down" if self._is_serial else "unreachable"
        least_s = LEAST_SERIAL_S if self._is_serial else LEAST_TCP_S
        self._devices = [_compile(device, least_s) for device in bus.devices]
        self._patiences = [device.patience for device in self._devices]
        self._wire: Wire | None = None
        self._never = asyncio.Event()
        self.trace: Callable[[bool, bytes], None] | None = None

    @property
    def lost(self) -> asyncio.Event:
        return self._wire.lost if self._wire else self._never

    async def open(self) -> None:
        self.close()
        options = self._bus.options
        if self._is_serial:
            settings = serial_settings(self._bus)
            char_s = bits_of(settings) / settings["baudrate"]
            # 3.5 characters, and at least 1.75 ms (Modbus over serial line 1.02, section 2.5.1.1).
            self._wire = open_serial(options.port, settings, char_s, max(3.5 * char_s, 0.00175))
        else:
            self._wire = await open_tcp(options.host, options.port, options.framing, GAP_TCP_S)
        self._wire.trace = self.trace

    def close(self) -> None:
        if self._wire:
            self._wire.close()

    def ready_s(self, index: int) -> float:
        """The time of the monotonic clock from which on the device may be asked."""
        device = self._devices[index]
        return max((self._opens_s(device, reading)[0] for reading in device.readings), default=0.0)

    def _opens_s(self, device: _Compiled, reading: _Reading) -> tuple[float, tuple[Ask, ...]]:
        """From when on a read may be made, and how."""
        if not device.closed:
            return 0.0, (reading.whole,)
        ways = [(reading.whole,), reading.parts] if reading.parts else [(reading.whole,)]
        opens = [(max(device.closed.get(a.shape, 0.0) for a in way), way) for way in ways]
        now_s = time.monotonic()
        return next(((at, way) for at, way in opens if at <= now_s), min(opens, key=lambda o: o[0]))

    async def poll(self, index: int) -> Poll:
        device = self._devices[index]
        found = device.interpreter
        replies: list[Sequence[int] | None] = [None] * len(found.reads)
        states = {device.name: OK}
        heard = Heard.ANSWER
        for place, reading in enumerate(device.readings):
            words, state, heard = await self._read(device, reading)
            replies[place] = words
            if words is None:
                states[device.name] = worst((states[device.name], state))
            if heard is not Heard.ANSWER:
                break
        values: list[tuple[Series, Value]] = []
        for point, value in zip(found.points, found.found(replies), strict=True):
            series = point.series
            if isinstance(value, str):
                states[series.subject] = worst((states.get(series.subject, OK), value))
            elif value is not None:  # else it was not read this time and keeps its state: the device's says why
                states.setdefault(series.subject, OK)
                values.append((series, value.text if isinstance(value, Text) else value))
        return Poll(values, states, heard)

    async def _read(self, device: _Compiled, reading: _Reading) -> tuple[tuple[int, ...] | None, str, Heard]:
        opens_s, way = self._opens_s(device, reading)
        if opens_s > time.monotonic():
            return None, TIMEOUT, Heard.SILENCE  # only when the schedule did not look at `ready_s`
        words: tuple[int, ...] = ()
        for asked in way:
            reply = await self._ask(device, asked)
            if reply.words is None:
                silent = reply.silent or reply.state in _NOT_THERE
                answered = reply.state.startswith("exception-")
                return None, reply.state, Heard.SILENCE if silent else Heard.ANSWER if answered else Heard.NOISE
            words += reply.words
        return words, OK, Heard.ANSWER

    async def _ask(self, device: _Compiled, asked: Ask) -> Reply:
        wire = self._wire
        if wire is None or wire.lost.is_set():
            return Reply(None, self.down_word, silent=True)
        reply = await wire.ask(asked, device.patience.timeout_s(self._patiences), device.pause_s)
        if wire.lost.is_set() and reply.silent:
            return Reply(None, self.down_word, silent=True)
        if reply.words is not None and wire.first_byte_s is not None:
            device.patience.heard(wire.first_byte_s)
        elif reply.silent:
            device.patience.missed()
        now_s = time.monotonic()
        if self._may_be_late and (reply.owed or (reply.astray and device.closed)):
            device.closed[asked.shape] = now_s + LATE_S
        elif device.closed:
            device.closed = {shape: until_s for shape, until_s in device.closed.items() if until_s > now_s}
        return reply

    async def write_coil(self, unit_id: int, coil: int, *, on: bool) -> str:
        """Sets a declared alarm output and reads it back; `ok` or a state's word. Nothing else is ever written."""
        if (unit_id, coil) not in self._bus.coils:
            return "not-declared"
        wire = self._wire
        if wire is None or wire.lost.is_set():
            return self.down_word
        written = await wire.ask(switch(unit_id, coil, on=on), SWITCH_S, 0.0)
        if written.words is None:
            return written.state
        # An adapter that hears itself hands back the request, which looks like the reply: only the coil itself tells.
        back = await wire.ask(ask(unit_id, Read("coil", coil, 1, ())), SWITCH_S, 0.0)
        if back.words is None:
            return OK if back.state == "exception-1" else back.state
        return OK if back.words[0] == on else "not-switched"


async def explain(bus: Bus, device: Device) -> Explained:
    """Reads `device` once; what went over the wire and what it came out as."""
    line = ModbusLine(bus)
    frames: list[str] = []

    def trace(sending: bool, data: bytes) -> None:
        if sending or not frames or frames[-1].startswith(">"):
            frames.append(f"{'>' if sending else '<'} {data.hex(' ')}")
        else:
            frames[-1] += f" {data.hex(' ')}"  # the same reply, more of it

    line.trace = trace
    await line.open()
    try:
        poll = await line.poll(bus.devices.index(device))
    finally:
        line.close()
    values = dict(poll.values)
    rows: list[tuple[Point, str, float | str | Text | None]] = []
    for point in device.points:
        value = values.get(point.series)
        outcome = poll.states.get(point.series.subject) if value is None else value
        rows.append((point, _register_text(device, point), Text(str(value)) if isinstance(value, str) else outcome))
    return Explained(tuple(frames), tuple(rows), poll.states.get(device.name, OK))


def _register_text(device: Device, point: Point) -> str:
    profile: ModbusProfile = device.profile
    value = profile.values()[point.index]
    if isinstance(value, Derived):
        return f"from {value.of}, {value.constant}"
    assert isinstance(value, Register)
    address = profile.address(value)
    return f"{value.table} {address} (0x{address:04x}) {value.type}"
