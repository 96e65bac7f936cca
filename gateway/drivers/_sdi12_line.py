"""The wire of an SDI-12 bus: who is asked when, retries, service requests.

One command is on the wire at a time. A sensor that measures concurrently (`aC!`) is left alone until it is ready
while others are asked; one that measures by `aM!` holds the bus until its service request or the end of its time. A
command without a sound reply is sent again, up to three times after one break and with three breaks in all, as the
standard asks; a sensor that is known to be silent is probed after one break only. What comes late is read away
before the next command, because a reply says who answers and not what.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.decode import INVALID, Outcome, judge_raw
from gateway.driver import Bus, Device, Explained, Point
from gateway.drivers._port import Port, keep_open
from gateway.record import OK, Recorder, worst
from gateway.schedule import Slot, after_answer, after_noise, after_silence, first_slot
from gateway.sdi12 import (
    CRC,
    NOBODY,
    TIMEOUT,
    Ask,
    Outcome_,
    Poll_,
    Sdi12Profile,
    Wait,
    check_reply,
    next_step,
    parse_identity,
    poll,
)
from makiba.reading import Series

log = logging.getLogger("makiba.gateway.sdi12")

BREAKS: Final = 3
TRIES: Final = 3
SPACING_S: Final = 0.015
"""At least 12 ms."""
MARKING_S: Final = 0.010
"""At least 8.33 ms."""
QUIET_S: Final = 0.005
SERVICE_SLACK_S: Final = 0.5
LONGEST: Final = 96
NOBODY_HEARD: Final = frozenset(NOBODY)


class _Wire:
    """Commands and replies on an open port."""

    def __init__(self, bus: Bus, port: Port, trace: Callable[[str], None] | None = None) -> None:
        self._echo: bool = bus.options.echo
        self._breaks: bool = bus.options.break_by == "port"
        self._port = port
        self._trace = trace or (lambda _: None)

    async def ask(self, address: str, ask: Ask, timeout_s: float, *, breaks: int) -> bytes | str:
        """The body of the reply, or the state that is left when all retries were used up."""
        states: list[str] = []
        refused: list[bytes] = []
        for _ in range(breaks):
            await self._wake()
            for _ in range(TRIES):
                line = await self._transact(ask.command, timeout_s)
                body = line if isinstance(line, str) else check_reply(address, line, with_crc=ask.with_crc)
                if isinstance(body, str):
                    states.append(body)
                    continue
                if ask.accept(body):
                    if NOBODY_HEARD & set(states):
                        # The reply to an earlier try may still come, and would pass for the next page's.
                        await self._port.drain(1.5 * timeout_s, 12 * timeout_s)
                    return body
                refused.append(body)
                if len(refused) == TRIES:
                    return body
        # Anything that was heard says more than a silence after it.
        return refused[-1] if refused else next((s for s in reversed(states) if s not in NOBODY), states[-1])

    async def service_request(self, address: str, within_s: float) -> None:
        """Until the sensor says that it is ready, or its time is over."""
        end_s, heard = time.monotonic() + within_s + SERVICE_SLACK_S, b""
        while (left_s := end_s - time.monotonic()) > 0:
            heard += await self._port.read(left_s)
            *lines, heard = heard.split(b"\n")
            if any(check_reply(address, line.rstrip(b"\r"), with_crc=False) == b"" for line in lines):
                self._trace(f"< {address} (service request)")
                return

    async def _wake(self) -> None:
        await self._port.drain(QUIET_S, 1.0)
        if self._breaks:
            await self._port.send_break(SPACING_S, MARKING_S)

    async def _transact(self, command: bytes, timeout_s: float) -> bytes | str:
        """One line without its end, or why there is none. Silence of `timeout_s` ends the waiting."""
        await self._port.drain(QUIET_S, 1.0)
        self._trace(f"> {command.decode()}")
        self._port.write(command)
        heard, echoed = b"", False
        while True:
            data = await self._port.read(timeout_s)
            if not data:
                self._trace("< (nothing)" if not heard else f"< {heard!r} (no end)")
                return CRC if heard else "no-echo" if self._echo and not echoed else TIMEOUT
            heard = (heard + data).lstrip(b"\x00")
            # An echo is taken off even where none was announced: a reply never begins with the command.
            if not echoed and heard.startswith(command):
                heard, echoed = heard[len(command) :], True
            line, end, _ = heard.partition(b"\n")
            if end:
                self._trace(f"< {line.decode('ascii', 'backslashreplace').rstrip()}")
                return line.removesuffix(b"\r")
            if len(heard) > LONGEST:
                return CRC


@dataclass(slots=True)
class _Running:
    """A poll that was begun, and what its script gets next."""

    script: Poll_
    reply: bytes | str | None = None


@dataclass(frozen=True, slots=True)
class _Sensor:
    """A device made ready: which measurement and place each point stands at."""

    device: Device
    address: str
    timeout_s: float
    points: tuple[tuple[Point, int, int, Callable[[float], Outcome]], ...] = field(repr=False)

    def script(self) -> Poll_:
        return poll(self.address, self.device.profile, (m for _, m, _, _ in self.points))

    def outcomes(self, found: dict[int, Outcome_]) -> list[tuple[Point, int, Outcome]]:
        """Each point, its place among the values, and what it came out as."""
        rows: list[tuple[Point, int, Outcome]] = []
        for point, m, place, judge in self.points:
            values = found.get(m)
            if isinstance(values, tuple):
                rows.append((point, place + 1, judge(values[place]) if place < len(values) else INVALID))
        return rows


def _ready(device: Device) -> _Sensor:
    profile: Sdi12Profile = device.profile
    places, measured = profile.places(), [value for _, value in profile.measured()]
    points = tuple((p, *places[p.index], judge_raw(measured[p.index], p.quantity)) for p in device.points)
    return _Sensor(device, device.options.address, profile.timeout.total_seconds(), points)


class Sdi12Bus:
    """Runs one bus until cancelled."""

    def __init__(self, bus: Bus, recorder: Recorder) -> None:
        self._bus = bus
        self._recorder = recorder
        self._sensors = [_ready(device) for device in bus.devices]
        self._slots: list[Slot] = []
        self._chance = random.Random()  # noqa: S311 (jitter, not a secret)

    async def run(self) -> None:
        def open_port() -> Port:
            return Port(self._bus.options, self._bus.devices[0].profile.serial)

        await keep_open(open_port, self._use, self._say_down)

    def _say_down(self, reason: str) -> None:
        if self._recorder.state_of(self._bus.subject) != "down":
            log.warning("bus %s: line is down: %s", self._bus.name, reason)
        states = {device.name: "bus-down" for device in self._bus.devices}
        self._recorder.record((), {self._bus.subject: "down", **states})

    async def _use(self, port: Port) -> None:
        wire = _Wire(self._bus, port)
        now_ns = time.monotonic_ns()
        self._slots = [first_slot(int(d.options.every.total_seconds() * 1e9), now_ns) for d in self._bus.devices]
        running: dict[int, _Running] = {}
        ready_ns: dict[int, int] = {}
        while True:
            index, at_ns = next_step([slot.due_ns for slot in self._slots], ready_ns)
            while (left_ns := at_ns - time.monotonic_ns()) > 0:
                await port.read(left_ns / 1e9)  # notices that the port is gone; what comes unasked means nothing
            ready_ns.pop(index, None)
            run = running.pop(index, None) or _Running(self._sensors[index].script())
            parked_s = await self._advance(wire, self._sensors[index], run, fresh=not self._slots[index].failures)
            if isinstance(parked_s, int):
                running[index], ready_ns[index] = run, time.monotonic_ns() + parked_s * 1_000_000_000
            else:
                self._take(index, parked_s)
            await asyncio.sleep(0)

    async def _advance(
        self, wire: _Wire, sensor: _Sensor, run: _Running, *, fresh: bool
    ) -> int | dict[int, Outcome_]:
        """Runs the script until it ends, or waits while others may talk: then the seconds of that."""
        try:
            # A script that has not begun is begun by sending None.
            step = run.script.send(run.reply)  # type: ignore[arg-type]
            while True:
                if isinstance(step, Ask):
                    run.reply = await wire.ask(sensor.address, step, sensor.timeout_s, breaks=BREAKS if fresh else 1)
                elif step.holds_bus:
                    await wire.service_request(sensor.address, step.ready_s)
                    run.reply = b""
                else:
                    run.reply = b""
                    return step.ready_s
                step = run.script.send(run.reply)
        except StopIteration as end:
            found: dict[int, Outcome_] = end.value
            return found

    def _take(self, index: int, found: dict[int, Outcome_]) -> None:
        sensor, now_ns = self._sensors[index], time.monotonic_ns()
        trouble = [state for state in found.values() if isinstance(state, str)]
        slot = self._slots[index]
        if any(state in NOBODY for state in trouble):
            self._slots[index] = after_silence(slot, now_ns, self._chance.random())
        elif CRC in trouble:
            self._slots[index] = after_noise(slot, now_ns, self._chance.random())
        else:
            self._slots[index] = after_answer(slot, now_ns)
        values: list[tuple[Series, float]] = []
        states: dict[str, list[str]] = {sensor.device.name: [OK, *trouble]}
        for point, _, outcome in sensor.outcomes(found):
            of_subject = states.setdefault(point.series.subject, [])
            of_subject.append(outcome if isinstance(outcome, str) else OK)
            if not isinstance(outcome, str):
                values.append((point.series, outcome))
        self._log_change(sensor.device.name, worst(states[sensor.device.name]))
        silent = len(self._slots) >= 2 and all(s.failures for s in self._slots)
        said = {subject: worst(s) for subject, s in states.items()}
        self._recorder.record(values, {**said, self._bus.subject: "silent" if silent else OK})

    def _log_change(self, name: str, state: str) -> None:
        known = self._recorder.state_of(name)
        if state != known and (state != OK or known is not None):
            level = logging.INFO if state == OK else logging.WARNING
            log.log(level, "bus %s: device %s: %s (was %s)", self._bus.name, name, state, known or "unknown")


async def explain(bus: Bus, device: Device) -> Explained:
    """Asks one sensor who it is and what it measures, with everything that went over the wire."""
    frames: list[str] = []
    sensor = _ready(device)
    with Port(bus.options, device.profile.serial) as port:
        wire = _Wire(bus, port, frames.append)
        who = Ask(f"{sensor.address}I!".encode(), False, lambda b: parse_identity(b) is not None)
        body = await wire.ask(sensor.address, who, sensor.timeout_s, breaks=1)
        identity = parse_identity(body) if isinstance(body, bytes) else None
        if identity:
            who_it_is = f"{identity.vendor} {identity.model} {identity.firmware} {identity.serial}"
            frames.append(f"  {who_it_is}, SDI-12 {identity.version}")
        script = sensor.script()
        try:
            step = next(script)
            while True:
                if isinstance(step, Ask):
                    step = script.send(await wire.ask(sensor.address, step, sensor.timeout_s, breaks=BREAKS))
                    continue
                await _wait(wire, sensor.address, step)
                step = script.send(b"")
        except StopIteration as end:
            found: dict[int, Outcome_] = end.value
    rows = tuple((point, f"value {place}", outcome) for point, place, outcome in sensor.outcomes(found))
    return Explained(tuple(frames), rows, worst(s for s in found.values() if isinstance(s, str)))


async def _wait(wire: _Wire, address: str, step: Wait) -> None:
    if step.holds_bus:
        await wire.service_request(address, step.ready_s)
    else:
        await asyncio.sleep(step.ready_s)
