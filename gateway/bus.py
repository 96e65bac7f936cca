"""A polled bus: one task, one transaction at a time, each device at its own pace.

Guarantees. A device that is dead costs the bus one timeout per back-off step and nothing else: the others keep
their grid. A line that vanishes (a USB adapter pulled out, a server restarted) is opened again with back-off, for
ever. What happened is said: each device's state, and the bus's own: `ok`, `down` (the line cannot be opened) or
`silent` (it can, and none of two or more devices answers).

The wire itself is a `Line`, which a driver brings; when a device is due is decided in `schedule.py`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from gateway.driver import Bus
from gateway.record import OK, Recorder
from gateway.schedule import (
    Slot,
    after_answer,
    after_noise,
    after_silence,
    first_slot,
    line_back_off_s,
    most_urgent,
)
from makiba.reading import Series, Value

log = logging.getLogger("makiba.gateway.bus")


class Heard(Enum):
    """How a poll ended, for the schedule."""

    ANSWER = "answer"
    NOISE = "noise"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Poll:
    """One device polled: good values, the states of its subjects (its own name among them), how it ended."""

    values: Sequence[tuple[Series, Value]]
    states: dict[str, str]
    heard: Heard


class Line(Protocol):
    """The wire of a bus. One call at a time; `lost` is set when it broke, and cleared by `open`."""

    lost: asyncio.Event
    down_word: str
    """The state of a device while the line cannot be opened: `bus-down` or `unreachable`."""

    async def open(self) -> None:
        """`OSError` with a reason when it cannot be opened."""
        ...

    async def poll(self, index: int) -> Poll:
        """Polls the device with that place on the bus. Raises nothing: what went wrong is a state."""
        ...

    def close(self) -> None: ...


class PolledBus:
    """Runs one bus until cancelled."""

    def __init__(self, bus: Bus, every_ns: Sequence[int], line: Line, recorder: Recorder) -> None:
        self._bus = bus
        self._line = line
        self._recorder = recorder
        now_ns = time.monotonic_ns()
        self._slots: list[Slot] = [first_slot(every, now_ns) for every in every_ns]
        self._chance = random.Random()  # noqa: S311 (jitter, not a secret)

    async def run(self) -> None:
        failures = 0
        try:
            while True:
                try:
                    await self._line.open()
                except OSError as error:
                    self._say_down(str(error))
                else:
                    if failures:
                        self._start_again()
                    if await self._poll_until_lost():
                        failures = 0
                        continue  # it worked: try again at once, and say nothing when that helps
                    self._say_down("it opens and breaks before anything is heard")
                failures += 1
                self._line.close()
                await asyncio.sleep(line_back_off_s(failures, self._chance.random()))
        finally:
            self._line.close()

    def _start_again(self) -> None:
        now_ns = time.monotonic_ns()
        self._slots = [first_slot(slot.every_ns, now_ns) for slot in self._slots]

    def _say_down(self, reason: str) -> None:
        if self._recorder.state_of(self._bus.subject) != "down":
            log.warning("bus %s: line is down: %s", self._bus.name, reason)
        states = {device.name: self._line.down_word for device in self._bus.devices}
        self._recorder.record((), {self._bus.subject: "down", **states})

    async def _poll_until_lost(self) -> bool:
        """Until the line breaks; whether a poll came to its end before."""
        lost, worked = self._line.lost, False
        while not lost.is_set():
            index = most_urgent(self._slots)
            wait_s = (self._slots[index].due_ns - time.monotonic_ns()) / 1e9
            if wait_s > 0:
                try:
                    async with asyncio.timeout(wait_s):
                        await lost.wait()
                    break
                except TimeoutError:
                    pass
            poll = await self._line.poll(index)
            if lost.is_set() and poll.heard is not Heard.ANSWER:
                break  # the line broke, not the device
            if not worked and self._recorder.state_of(self._bus.subject) == "down":
                log.info("bus %s: line is up again", self._bus.name)
            worked = True
            self._take(index, poll)
            await asyncio.sleep(0)  # buses with a lot to do let the others in
        return worked

    def _take(self, index: int, poll: Poll) -> None:
        device = self._bus.devices[index]
        before = self._slots[index]
        now_ns = time.monotonic_ns()
        if poll.heard is Heard.ANSWER:
            self._slots[index] = after_answer(before, now_ns)
        else:
            after = after_silence if poll.heard is Heard.SILENCE else after_noise
            self._slots[index] = after(before, now_ns, self._chance.random())
        state, known = poll.states.get(device.name, OK), self._recorder.state_of(device.name)
        if state != known and (state != OK or known is not None):
            level = logging.INFO if state == OK else logging.WARNING
            log.log(level, "bus %s: device %s: %s (was %s)", self._bus.name, device.name, state, known or "unknown")
        silent = len(self._slots) >= 2 and all(slot.failures for slot in self._slots)
        self._recorder.record(poll.values, {**poll.states, self._bus.subject: "silent" if silent else OK})
