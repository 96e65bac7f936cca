"""The wire of a Modbus bus, through pymodbus's asynchronous clients without their retries.

An RTU reply carries no transaction id. A reply that comes after its timeout looks like the answer to the next
request of the same shape, so that:
- a unit that timed out is not asked again for at least 1.8 s (`schedule.STEP_NS` less its jitter), which is the
  longest late reply allowed for; other units are told apart by their id;
- after a timeout or a damaged reply nothing is sent until the line has been quiet for `DRAIN_S`;
- each reply is checked for unit id, function code and byte count.

What goes wrong becomes a state: `timeout` (nothing came), `crc` (bytes came, no sound frame), `exception-N`,
`invalid` (a sound frame that does not answer the request).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pymodbus import FramerType, ModbusException
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.pdu import ModbusPDU

from gateway.bus import Heard, Poll
from gateway.decode import Text
from gateway.driver import Bus, Device, Explained, Point
from gateway.drivers.modbus import serial_settings
from gateway.interpret import Interpreter, interpreter
from gateway.places import FUNCTION_CODES, Derived, Register
from gateway.plan import Read
from gateway.record import OK, worst
from gateway.registers import ModbusProfile
from makiba.reading import Series, Value

DRAIN_S = 0.05
DRAIN_AT_MOST_S = 1.0
CONNECT_S = 3.0
# Modbus application protocol 1.1b3, section 7: a gateway says that the unit behind it is not there.
_NOT_THERE = frozenset({10, 11})

# Each timeout would be an error line of the library; what it means is said once by the bus.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A device made ready."""

    name: str
    unit_id: int
    timeout_s: float
    pause_s: float
    interpreter: Interpreter
    other_subjects: tuple[str, ...]


def _compile(device: Device) -> _Compiled:
    profile: ModbusProfile = device.profile
    return _Compiled(
        device.name,
        device.options.unit_id,
        profile.timeout.total_seconds(),
        profile.pause.total_seconds(),
        interpreter(device),
        tuple(s for s in device.subjects if s != device.name),
    )


class ModbusLine:
    """The wire of one bus; see `gateway.bus.Line`."""

    def __init__(self, bus: Bus) -> None:
        self.lost = asyncio.Event()
        self.down_word = "bus-down" if bus.driver.kind == "rtu" else "unreachable"
        self._bus = bus
        self._devices = [_compile(device) for device in bus.devices]
        self._client: ModbusBaseClient | None = None
        self._is_stream = bus.driver.kind == "rtu" or bus.options.framing == "rtu"
        self._silence_s = 0.0
        if bus.driver.kind == "rtu":
            # 3.5 characters, and at least 1.75 ms (Modbus over serial line 1.02, section 2.5.1.1).
            self._silence_s = max(38.5 / serial_settings(bus)["baudrate"], 0.00175)
        self._sent = b""
        self._received = b""
        self._last_byte_s = 0.0
        self._drain = False
        self.trace: Callable[[bool, bytes], None] | None = None

    async def open(self) -> None:
        self.close()
        self.lost.clear()
        client = self._new_client()
        if not await client.connect():
            client.close()
            raise OSError(f"{self._where()} does not open")
        self._client = client
        self._drain = self._is_stream

    def close(self) -> None:
        if self._client:
            client, self._client = self._client, None
            client.close()

    def _new_client(self) -> ModbusBaseClient:
        hooks: dict[str, Any] = {
            "trace_packet": self._on_packet,
            "trace_connect": self._on_connect,
            "retries": 0,
            "reconnect_delay": 0,
            "timeout": CONNECT_S,
        }
        options = self._bus.options
        if self._bus.driver.kind == "rtu":
            settings = serial_settings(self._bus)
            return AsyncModbusSerialClient(options.port, handle_local_echo=options.echo, **settings, **hooks)
        framer = FramerType.RTU if options.framing == "rtu" else FramerType.SOCKET
        return AsyncModbusTcpClient(options.host, port=options.port, framer=framer, **hooks)

    def _where(self) -> str:
        options = self._bus.options
        return str(options.port) if self._bus.driver.kind == "rtu" else f"{options.host}:{options.port}"

    def _on_connect(self, connected: bool) -> None:
        if not connected:
            self.lost.set()

    def _on_packet(self, sending: bool, data: bytes) -> bytes:
        if sending:
            self._sent, self._received = data, b""
        else:
            self._received, self._last_byte_s = data, time.monotonic()
        if self.trace:
            self.trace(sending, data)
        return data

    async def poll(self, index: int) -> Poll:
        device = self._devices[index]
        replies: list[Sequence[int] | None] = [None] * len(device.interpreter.reads)
        states: dict[str, list[str]] = {device.name: [OK], **{s: [] for s in device.other_subjects}}
        heard = Heard.ANSWER
        for place, read in enumerate(device.interpreter.reads):
            reply, heard = await self._transact(device, read)
            if not isinstance(reply, str):
                replies[place] = reply
                continue
            states[device.name].append(reply)
            if heard is not Heard.ANSWER:
                break
        values: list[tuple[Series, Value]] = []
        for point, found in zip(device.interpreter.points, device.interpreter.found(replies), strict=True):
            if found is not None:
                states[point.series.subject].append(found if isinstance(found, str) else OK)
            if isinstance(found, Text):
                values.append((point.series, found.text))
            elif isinstance(found, (int, float)):
                values.append((point.series, found))
        # A channel that was not read this time keeps its state: what is wrong is said of the device.
        return Poll(values, {subject: worst(s) for subject, s in states.items() if s}, heard)

    async def _transact(self, device: _Compiled, read: Read) -> tuple[Sequence[int] | str, Heard]:
        """One request and its reply: the words, or a state; and how it ended."""
        client = self._client
        if client is None or not client.connected:
            self.lost.set()
            return self.down_word, Heard.SILENCE
        await self._quiet(device.pause_s)
        client.ctx.comm_params.timeout_connect = device.timeout_s
        request = _REQUESTS[read.table]
        try:
            async with asyncio.timeout(device.timeout_s * 2 + 1):
                response: ModbusPDU = await request(client, read.address, count=read.count, device_id=device.unit_id)
        except (ModbusException, TimeoutError, OSError):
            self._drain = self._is_stream
            if self.lost.is_set():
                return self.down_word, Heard.SILENCE
            # An adapter that echoes hands back our own request; that is no reply.
            if self._is_stream and self._received and self._received != self._sent:
                return "crc", Heard.NOISE
            return "timeout", Heard.SILENCE
        return self._checked(device, read, response)

    def _checked(self, device: _Compiled, read: Read, response: ModbusPDU) -> tuple[Sequence[int] | str, Heard]:
        code = FUNCTION_CODES[read.table]
        if response.isError() and response.function_code == code | 0x80 and response.dev_id == device.unit_id:
            found = response.exception_code
            return f"exception-{found}", Heard.SILENCE if found in _NOT_THERE else Heard.ANSWER
        is_bits = read.table in ("coil", "discrete")
        words = [int(b) for b in response.bits] if is_bits else list(response.registers)
        expected = (read.count + 7) // 8 * 8 if is_bits else read.count
        if response.function_code != code or response.dev_id != device.unit_id or len(words) != expected:
            self._drain = self._is_stream
            return "invalid", Heard.NOISE
        return words, Heard.ANSWER

    async def _quiet(self, pause_s: float) -> None:
        """Waits until a request may be sent."""
        quiet_s = max(self._silence_s, pause_s)
        began_s = time.monotonic()
        if self._drain:
            self._drain = False
            quiet_s = max(quiet_s, DRAIN_S)
            self._last_byte_s = began_s
        while True:
            now_s = time.monotonic()
            wait_s = self._last_byte_s + quiet_s - now_s
            if wait_s <= 0 or now_s - began_s > DRAIN_AT_MOST_S + pause_s:
                return
            await asyncio.sleep(wait_s)


_REQUESTS: dict[str, Any] = {
    "coil": ModbusBaseClient.read_coils,
    "discrete": ModbusBaseClient.read_discrete_inputs,
    "holding": ModbusBaseClient.read_holding_registers,
    "input": ModbusBaseClient.read_input_registers,
}


async def explain(bus: Bus, device: Device) -> Explained:
    """Reads `device` once; what went over the wire and what it came out as."""
    line = ModbusLine(bus)
    frames: list[str] = []

    def trace(sending: bool, data: bytes) -> None:
        if sending or not frames or not frames[-1].startswith("<") or not data.startswith(line._received):
            frames.append(f"{'>' if sending else '<'} {data.hex(' ')}")
        else:
            frames[-1] = f"< {data.hex(' ')}"  # the same reply, more of it

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
