"""A polled bus: one task, one transaction at a time, each device at its own pace.

Guarantees. A device that is dead costs the bus one timeout per back-off step, all dead ones together at most 5 % of
its time, and nothing else: the others keep their grid. A line that vanishes (a USB adapter pulled out, a server
restarted) is opened again with back-off, for ever. What happened is said: each device's state, and the bus's own:
`ok`, `down` (the line cannot be opened) or `silent` (it can, and none of two or more devices answers).

The wire itself is a `Line`, which a driver brings; when a device is due is decided in `schedule.py`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from gateway.driver import Bus
from gateway.record import OK, Recorder
from gateway.schedule import (
    ProbeBudget,
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
    """The wire of a bus. One call at a time."""

    down_word: str
    """The state of a device while the line cannot be opened: `bus-down` or `unreachable`."""

    @property
    def lost(self) -> asyncio.Event:
        """Set when the wire broke; another one after each `open`."""
        ...

    async def open(self) -> None:
        """`OSError` with a reason when it cannot be opened."""
        ...

    async def poll(self, index: int) -> Poll:
        """Polls the device with that place on the bus. Raises nothing: what went wrong is a state."""
        ...

    def ready_s(self, index: int) -> float:
        """The time of the monotonic clock from which on that device may be asked; a reply may still be under way."""
        ...

    def close(self) -> None: ...


class PolledBus:
    """Runs one bus until cancelled."""

    def __init__(
        self,
        bus: Bus,
        every_ns: Sequence[int],
        line: Line,
        recorder: Recorder,
        shifts_ns: Sequence[int] | None = None,
    ) -> None:
        """`shifts_ns` puts the devices' grids one behind the other, so that each is due when its turn comes."""
        self._bus = bus
        self._line = line
        self._recorder = recorder
        self._every_ns = every_ns
        self._shifts_ns = shifts_ns or [0] * len(every_ns)
        self._slots: list[Slot] = []
        self._start_again()
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
        slots = [first_slot(e, now_ns, s) for e, s in zip(self._every_ns, self._shifts_ns, strict=True)]
        self._slots = [replace(s, due_ns=max(s.due_ns, self._ready_ns(i))) for i, s in enumerate(slots)]
        self._budget = ProbeBudget()

    def _ready_ns(self, index: int) -> int:
        return int(self._line.ready_s(index) * 1e9)

    def _say_down(self, reason: str) -> None:
        if self._recorder.state_of(self._bus.subject) != "down":
            log.warning("bus %s: line is down: %s", self._bus.name, reason)
        self._bus.errands.refuse_all(self._line.down_word)
        self._recorder.counts.alive(self._bus.name)
        states = {device.name: self._line.down_word for device in self._bus.devices}
        self._recorder.record((), {self._bus.subject: "down", **states})

    async def _poll_until_lost(self) -> bool:
        """Until the line breaks; whether a poll came to its end before."""
        lost, worked = self._line.lost, False
        while not lost.is_set():
            if self._bus.errands.waiting.is_set():
                await self._bus.errands.run_all(self._line)
            index, due_ns = most_urgent(self._slots, self._budget.free_ns)
            wait_s = (due_ns - time.monotonic_ns()) / 1e9
            if wait_s > 0 and await self._woken(lost, wait_s):
                continue
            began_ns = time.monotonic_ns()
            poll = await self._line.poll(index)
            if lost.is_set() and poll.heard is Heard.SILENCE:
                break  # the line broke, not the device
            if not worked and self._recorder.state_of(self._bus.subject) == "down":
                log.info("bus %s: line is up again", self._bus.name)
            worked = True
            self._take(index, poll, began_ns)
        return worked

    async def _woken(self, lost: asyncio.Event, wait_s: float) -> bool:
        """Waits until the next device is due; whether something else came first."""
        if not self._bus.coils:
            try:
                async with asyncio.timeout(wait_s):
                    return await lost.wait()
            except TimeoutError:
                return False
        waits = [asyncio.ensure_future(event.wait()) for event in (lost, self._bus.errands.waiting)]
        try:
            done, _ = await asyncio.wait(waits, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            return bool(done)
        finally:
            for wait in waits:
                wait.cancel()

    def _take(self, index: int, poll: Poll, began_ns: int) -> None:
        device = self._bus.devices[index]
        before = self._slots[index]
        now_ns = time.monotonic_ns()
        if poll.heard is Heard.ANSWER:
            self._slots[index] = after_answer(before, now_ns, began_ns)
        else:
            after = after_silence if poll.heard is Heard.SILENCE else after_noise
            self._slots[index] = after(before, now_ns, self._chance.random(), self._ready_ns(index))
        if before.silent and poll.heard is Heard.SILENCE:
            self._budget = self._budget.spent(now_ns - began_ns, now_ns)
        state, known = poll.states.get(device.name, OK), self._recorder.state_of(device.name)
        self._recorder.counts.poll(self._bus.name, state, now_ns - began_ns)
        if state != known and (state != OK or known is not None):
            level = logging.INFO if state == OK else logging.WARNING
            log.log(level, "bus %s: device %s: %s (was %s)", self._bus.name, device.name, state, known or "unknown")
        silent = len(self._slots) >= 2 and all(slot.failures for slot in self._slots)
        self._recorder.record(poll.values, {**poll.states, self._bus.subject: "silent" if silent else OK})
