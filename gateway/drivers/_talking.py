"""The rim of a device that has a serial port for itself and talks: by itself, or when it is asked.

The device's state is the last frame's while sound ones come; `timeout` when none came for the profile's timeout,
`crc` when only damaged ones did. A device that may be silent (`timeout_s` None) is `ok` as soon as its port is open,
and `crc` when `RUBBISH` damaged lines came and no sound one (a wrong baud rate; one flash of noise is none). A port
that vanishes is opened again with back-off; the bus is `down` meanwhile and the device `bus-down`.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.decode import Outcome
from gateway.driver import Bus, Device, Explained, Load, Path_, Point
from gateway.drivers._port import Port, keep_open
from gateway.listen import Keeper, Talker
from gateway.record import OK, Recorder
from makiba.reading import Series

log = logging.getLogger("makiba.gateway.lines")

RUBBISH = 3
_ANSWER = 20
"""Characters of an answer, about."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What is sent to get a frame, and how often; without it the device talks by itself."""

    command: bytes
    every_s: float


@dataclass(frozen=True, slots=True)
class Conversation:
    """How to talk with one device."""

    new_talker: Callable[[], Talker]
    asking: Asking | None
    timeout_s: float | None
    every_s: float


class LineBus:
    """What all drivers with one device on one port share; see `gateway.driver.Driver`."""

    kind: str

    def conversation(self, device: Device) -> Conversation:
        raise NotImplementedError

    def problems(
        self, options: Any, devices: Sequence[Any], line_of: Callable[[Path_], int]
    ) -> Iterator[tuple[Path_, str]]:
        del options
        if len(devices) > 1:
            first = line_of(("devices", 0))
            yield ("devices", 1), f"a bus of kind {self.kind} has one device; {devices[0].name} (line {first}) is it"

    def loads(self, bus: Bus) -> tuple[Load, ...]:
        """Nothing for a device that talks by itself; a question and an answer otherwise."""
        device = bus.devices[0]
        asking = self.conversation(device).asking
        if asking is None:
            return ()
        baud = bus.options.baud or device.profile.serial.baud
        busy_s = (len(asking.command) + _ANSWER) * 10 / baud
        return (Load(device.name, busy_s, asking.every_s, 1),)

    async def run(self, bus: Bus, recorder: Recorder) -> None:
        await _Talking(bus, self.conversation(bus.devices[0]), recorder).run()

    async def read_once(self, bus: Bus, device: Device) -> Explained:
        return await explain(bus, device, self.conversation(device))


class _Talking:
    def __init__(self, bus: Bus, conversation: Conversation, recorder: Recorder) -> None:
        self._bus = bus
        self._device = bus.devices[0]
        self._talk = conversation
        self._recorder = recorder
        self._keeper = Keeper(self._device.name, conversation.every_s)

    async def run(self) -> None:
        def open_port() -> Port:
            return Port(self._bus.options, self._device.profile.serial)

        await keep_open(open_port, self._use, self._say_down)

    def _say_down(self, reason: str) -> None:
        if self._recorder.state_of(self._bus.subject) != "down":
            log.warning("bus %s: line is down: %s", self._bus.name, reason)
        self._recorder.record((), {self._bus.subject: "down", self._device.name: "bus-down"})

    async def _use(self, port: Port) -> None:
        talk = self._talk
        talker = talk.new_talker()
        if talk.timeout_s is None:
            self._say((), {self._device.name: OK})
        heard_s = asked_s = time.monotonic()
        damaged = 0
        if talk.asking:
            port.write(talk.asking.command)
        while True:
            now_s = time.monotonic()
            waits = [] if talk.timeout_s is None else [heard_s + talk.timeout_s]
            if talk.asking:
                waits.append(asked_s + talk.asking.every_s)
            data = await port.read(max(min(waits) - now_s, 0.001) if waits else None)
            now_s = time.monotonic()
            for frame in talker.feed(data, now_s):
                heard_s, damaged = now_s, talker.damaged
                self._say(*self._keeper.take(frame, now_s))
            if talk.timeout_s is None and talker.damaged - damaged >= RUBBISH:
                self._say((), {self._device.name: "crc"})
                damaged = talker.damaged
            elif talk.timeout_s is not None and now_s - heard_s >= talk.timeout_s:
                self._say((), {self._device.name: "crc" if talker.damaged > damaged else "timeout"})
                heard_s, damaged = now_s, talker.damaged
            if talk.asking and now_s - asked_s >= talk.asking.every_s:
                asked_s = max(asked_s + talk.asking.every_s, now_s - talk.asking.every_s)
                port.write(talk.asking.command)

    def _say(self, values: Sequence[tuple[Series, float | str]], states: Mapping[str, str]) -> None:
        state, known = states[self._device.name], self._recorder.state_of(self._device.name)
        silent = {"timeout", "crc", "bus-down"} & {state, known}  # 'unstable' comes and goes with every animal
        if silent and state != known:
            level = logging.INFO if state == OK else logging.WARNING
            log.log(level, "bus %s: device %s: %s (was %s)", self._bus.name, self._device.name, state, known)
        self._recorder.record(values, {**states, self._bus.subject: OK})


async def explain(bus: Bus, device: Device, talk: Conversation) -> Explained:
    """Listens until every value came, one kind of frame came for the third time, or the time-out passed.

    10 s where silence is no fault. Of each kind the newest frame is told.
    """
    lines: dict[str, str] = {}
    kinds: Counter[str] = Counter()
    rows: dict[Series, tuple[Point, str, Outcome | None]] = {}
    heard: set[Series] = set()
    state = "timeout"
    with Port(bus.options, device.profile.serial) as port:
        talker = talk.new_talker()
        end_s = time.monotonic() + (talk.timeout_s or 10.0)
        if talk.asking:
            lines[""] = f"> {talk.asking.command!r}"
            port.write(talk.asking.command)
        wanted = {p.series for p in device.points}
        while heard < wanted and max(kinds.values(), default=0) < 3 and (left_s := end_s - time.monotonic()) > 0:
            for frame in talker.feed(await port.read(left_s), time.monotonic()):
                state = frame.state
                lines[frame.kind or str(len(lines))] = f"< {frame.shown}"
                kinds.update([frame.kind] if frame.kind else [])
                where = frame.kind or frame.shown
                rows.update((point.series, (point, where, outcome)) for point, outcome in frame.values)
                heard.update(rows, (series for series, _ in frame.texts))
        if talker.damaged and state == "timeout":
            state = "crc"
    return Explained(tuple(lines.values()), tuple(rows.values()), state)
