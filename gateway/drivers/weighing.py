"""A scale and an ear-tag reader on two serial ports, joined into the body weight of an animal (`weighing`).

The rules are in `gateway/weighing.py`. The device is the scale, with a scale's profile; the reader's line is said at
the bus:

    weighing:
      scale: {port: /dev/serial/by-path/…}
      reader: {port: /dev/serial/by-path/…}
      window: 20s
    devices: [{name: race-scale, profile: and-scale}]

What is recorded: `body_weight` of the animal, whose subject is its tag; `weight` of every load on the device, so
that a weight without a tag is not lost; `ear_tag` on the device for every tag read. The device's state says how the
last load ended (`ok`, `no-tag`, `two-tags`, …) or what is wrong with a line. A weight carries the time when it was
measured, not that when the load was over.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from pydantic import Field

from gateway.decode import Outcome, judge_raw
from gateway.driver import Bus, Device, DeviceOptions, Every, Explained, Load, Path_
from gateway.drivers._port import Port, PortOptions, keep_open
from gateway.drivers._talking import RUBBISH, Asking, Conversation, explain
from gateway.drivers.eartag import SAID_EVERY
from gateway.drivers.scale import asking_of
from gateway.eartag import TagLines
from gateway.profile import Serial, Strict
from gateway.record import OK, Recorder, worst
from gateway.scale import ScaleLines, ScaleProfile, ScaleTalker
from gateway.weighing import Judged, Rules, State, interrupt, take_tag, take_weight
from makiba.located_yaml import Duration
from makiba.quantities import catalogue
from makiba.reading import Series, Value

log = logging.getLogger("makiba.gateway.weighing")


class WeighingOptions(Strict):
    """The two ports and the numbers of the pairing's rules."""

    scale: PortOptions
    reader: PortOptions = Field(description="9600 8N1 when nothing else is said")
    window: Duration = Field(default=timedelta(seconds=20), description="Tag and weight are at most this far apart")
    repeat: Duration = Field(
        default=timedelta(minutes=10), description="The same tag counts once within this time, without a zero between"
    )
    zero_kg: float = Field(default=5.0, gt=0, description="The scale is empty at this weight and less")
    least_kg: float = Field(default=10.0, gt=0, description="Less is no animal")
    tolerance_kg: float = Field(default=1.0, gt=0, description="Stable weights of one animal differ by no more")
    confirm: int = Field(default=3, ge=1, le=100, description="So many stable weights in a row are a weight")

    def rules(self) -> Rules:
        """For the pure part."""
        return Rules(
            self.window.total_seconds(),
            self.repeat.total_seconds(),
            self.zero_kg,
            self.least_kg,
            self.tolerance_kg,
            self.confirm,
        )


class WeighingDevice(DeviceOptions):
    """The scale. `ask_every` is for scales that have to be asked."""

    ask_every: Every = timedelta(milliseconds=500)

    @property
    def every(self) -> timedelta:
        """How often something is heard of it at least: its state is said again."""
        return SAID_EVERY


class Weighing:
    """The driver; see `gateway.driver.Driver`."""

    kind = "weighing"
    family = "scale"
    profile_model = ScaleProfile
    bus_model = WeighingOptions
    device_model: type[DeviceOptions] = WeighingDevice

    def problems(
        self, options: Any, devices: Sequence[Any], line_of: Callable[[Path_], int]
    ) -> Iterator[tuple[Path_, str]]:
        if len(devices) > 1:
            first = line_of(("devices", 0))
            yield ("devices", 1), f"a weighing bus has one device; {devices[0].name} (line {first}) is it"
        if options.scale.port == options.reader.port:
            yield ("weighing", "reader", "port"), "is the scale's port too; the reader needs its own"
        if options.least_kg < options.zero_kg:
            yield ("weighing", "least_kg"), f"is less than zero_kg, {options.zero_kg:g}"

    def loads(self, bus: Bus) -> tuple[Load, ...]:
        """Two ports of their own are never busy."""
        del bus
        return ()

    async def run(self, bus: Bus, recorder: Recorder) -> None:
        await _Weighing(bus, recorder).run()

    async def read_once(self, bus: Bus, device: Device) -> Explained:
        """Reads the scale; the reader speaks only when an animal comes."""
        profile: ScaleProfile = device.profile
        asking = asking_of(profile, device.options.ask_every.total_seconds())
        talk = Conversation(
            lambda: ScaleTalker(profile, device.points, record_unstable=True),
            asking,
            profile.timeout.total_seconds(),
            0.0,
        )
        scale = Bus(bus.name, bus.subject, bus.driver, bus.options.scale, bus.devices)
        return await explain(scale, device, talk)


class Pairing:
    """Events -> what to record; the pure rules with this device's series. Time comes from outside."""

    def __init__(self, device: Device, rules: Rules) -> None:
        self._device = device
        self._rules = rules
        self._state = State()
        self._site = device.points[0].series.site
        self._judge = judge_raw(device.profile.value, device.points[0].quantity)
        body = catalogue()["body_weight"]
        self._judge_body: Callable[[float], Outcome] = lambda kg: kg if body.is_plausible(kg) else "out-of-range"
        self.result = OK
        """How the last load ended; `ok` while one is on."""

    def tag(self, code: str, now_s: float) -> list[tuple[Series, Value]]:
        """A tag was read: itself, when it is new."""
        before = {t.code for t in self._state.tags}
        self._state = take_tag(self._state, code, now_s, self._rules)
        is_new = code not in before and any(t.code == code for t in self._state.tags)
        return [(Series(self._site, self._device.name, "ear_tag"), code)] if is_new else []

    def weight(self, weight: Any, now_s: float) -> tuple[list[tuple[Series, Value]], float]:
        """The scale said something: what to record, and how many seconds ago it was measured."""
        self._state, judged = take_weight(self._state, weight, now_s, self._rules)
        if self._state.loaded:
            self.result = OK
        return self._judged(judged, now_s) if judged else ([], 0.0)

    def interrupt(self, now_s: float) -> None:
        """A line was lost, or the scale fell silent."""
        self._state, judged = interrupt(self._state, now_s)
        if judged:
            self.result = judged.result

    def _judged(self, judged: Judged, now_s: float) -> tuple[list[tuple[Series, Value]], float]:
        self.result = judged.result
        if judged.kg is None:
            return [], 0.0
        values: list[tuple[Series, Value]] = []
        outcome = self._judge(judged.kg)
        if not isinstance(outcome, str):
            values.append((self._device.points[0].series, outcome))
        if judged.result == OK:
            body = outcome if isinstance(outcome, str) else self._judge_body(outcome)
            if isinstance(body, str):
                self.result = body
            else:
                values.append((Series(self._site, judged.tags[0], "body_weight"), body))
        return values, now_s - judged.at_s


class _Weighing:
    """Keeps both ports open and tells the pairing what happens."""

    def __init__(self, bus: Bus, recorder: Recorder) -> None:
        self._bus = bus
        self._device = bus.devices[0]
        self._recorder = recorder
        self._pairing = Pairing(self._device, bus.options.rules())
        self._lines = {"scale": OK, "reader": OK}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep("scale", self._device.profile.serial, self._use_scale))
            tasks.create_task(self._keep("reader", Serial(), self._use_reader))

    async def _keep(self, which: str, shipped: Serial, use: Callable[[Port], Any]) -> None:
        options: PortOptions = getattr(self._bus.options, which)

        async def with_words(port: Port) -> None:
            # Silence of the reader is no fault; the scale's state comes with what it says.
            if which == "reader":
                self._line(which, OK)
            await use(port)

        def say_down(reason: str) -> None:
            if self._lines[which] != "bus-down":
                log.warning("bus %s: the %s's line is down: %s", self._bus.name, which, reason)
            self._pairing.interrupt(time.monotonic())
            self._line(which, "bus-down")

        await keep_open(lambda: Port(options, shipped), with_words, say_down)

    def _line(self, which: str, state: str) -> None:
        if state == OK and self._lines[which] != OK:
            log.info("bus %s: the %s's line works again", self._bus.name, which)
        self._lines[which] = state
        self._say([], 0.0)

    def _say(self, values: list[tuple[Series, Value]], ago_s: float) -> None:
        state = worst((*self._lines.values(), self._pairing.result))
        down = "down" if "bus-down" in self._lines.values() else OK
        if values:
            self._recorder.record(values, {}, ago_ms=round(ago_s * 1000))
        self._recorder.record((), {self._device.name: state, self._bus.subject: down})

    async def _use_reader(self, port: Port) -> None:
        lines, damaged = TagLines(), 0
        while True:
            for _, tag in lines.feed(await port.read(None)):
                damaged = lines.damaged
                if self._lines["reader"] != OK:
                    self._line("reader", OK)
                self._say(self._pairing.tag(tag.code, time.monotonic()), 0.0)
            if lines.damaged - damaged >= RUBBISH:
                damaged = lines.damaged
                self._line("reader", "crc")

    async def _use_scale(self, port: Port) -> None:
        profile: ScaleProfile = self._device.profile
        lines = ScaleLines(profile.format)
        asking: Asking | None = asking_of(profile, self._device.options.ask_every.total_seconds())
        timeout_s = profile.timeout.total_seconds() + (asking.every_s if asking else 0.0)
        heard_s = asked_s = time.monotonic()
        damaged = 0
        if asking:
            port.write(asking.command)
        while True:
            until_s = heard_s + timeout_s if not asking else min(heard_s + timeout_s, asked_s + asking.every_s)
            data = await port.read(max(until_s - time.monotonic(), 0.001))
            now_s = time.monotonic()
            for _, weight in lines.feed(data):
                heard_s, damaged = now_s, lines.damaged
                if self._lines["scale"] != OK:
                    self._line("scale", OK)
                self._say(*self._pairing.weight(weight, now_s))
            if now_s - heard_s >= timeout_s:
                self._pairing.interrupt(now_s)
                self._line("scale", "crc" if lines.damaged > damaged else "timeout")
                heard_s, damaged = now_s, lines.damaged
            if asking and now_s - asked_s >= asking.every_s:
                asked_s = now_s
                port.write(asking.command)


DRIVERS = (Weighing(),)
