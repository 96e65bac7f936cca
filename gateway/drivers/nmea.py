"""An instrument that talks by itself in NMEA 0183 (weather masts), on a serial port.

The port is only listened to. A port that vanishes is opened again with back-off. The device's state is `ok` while
sound sentences come, `timeout` when none came for the profile's timeout, `crc` when only damaged ones came; a value's
own trouble (`sentinel`, `out-of-range`, `invalid` when the instrument says so) is said of its subject.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from pydantic import Field

from gateway.decode import Outcome
from gateway.driver import Bus, Device, DeviceOptions, Every, Explained, Load, Path_, Point
from gateway.nmea import Extract, NmeaProfile, Sentence, SentenceParser, extractor
from gateway.profile import Strict
from gateway.record import OK, Recorder, worst
from gateway.schedule import line_back_off_s
from makiba.reading import Series

log = logging.getLogger("makiba.gateway.nmea")


class NmeaOptions(Strict):
    """A serial port. What is left out is taken from the profile; the standard's own is 4800 8N1."""

    port: str = Field(min_length=1)
    baud: int | None = Field(default=None, ge=50, le=4_000_000)
    parity: Literal["none", "even", "odd"] | None = None


class NmeaDevice(DeviceOptions):
    """The instrument. Without `every` each sentence is recorded."""

    every: Every | None = None


class Listener:
    """Sentences -> values, at most one per series and `every`. Pure; time comes from outside."""

    def __init__(self, device: Device) -> None:
        profile: NmeaProfile = device.profile
        self._name = device.name
        self._every_s = device.options.every.total_seconds() if device.options.every else 0.0
        self._by_formatter: dict[str, list[tuple[Point, Extract]]] = {}
        for point in device.points:
            value = profile.values[point.index]
            entry = (point, extractor(value, point.quantity))
            self._by_formatter.setdefault(value.sentence, []).append(entry)
        self._taken_s: dict[Series, float] = {}
        self._states: dict[str, dict[Series, str]] = {}

    def outcomes(self, sentence: Sentence) -> list[tuple[Point, Outcome]]:
        """What the sentence has, the first entry of a series winning."""
        found: dict[Series, tuple[Point, Outcome]] = {}
        for point, extract in self._by_formatter.get(sentence.formatter, ()):
            outcome = extract(sentence)
            if outcome is not None:
                found.setdefault(point.series, (point, outcome))
        return list(found.values())

    def take(self, sentence: Sentence, now_s: float) -> tuple[list[tuple[Series, float]], dict[str, str]]:
        """The values to record now, and the states of the subjects."""
        values: list[tuple[Series, float]] = []
        for point, outcome in self.outcomes(sentence):
            series = point.series
            if isinstance(outcome, str):
                self._states.setdefault(series.subject, {})[series] = outcome
                continue
            self._states.setdefault(series.subject, {})[series] = OK
            # A tenth of slack, so that a mast that sends at 1 Hz with jitter gives 1 Hz with `every: 1s`.
            if now_s - self._taken_s.get(series, -1e9) >= self._every_s * 0.9:
                self._taken_s[series] = now_s
                values.append((series, outcome))
        states = {subject: worst(by_series.values()) for subject, by_series in self._states.items()}
        return values, {self._name: OK, **states}


class Nmea:
    """The driver; see `gateway.driver.Driver`."""

    kind = "nmea"
    family = "nmea"
    profile_model = NmeaProfile
    bus_model = NmeaOptions
    device_model: type[DeviceOptions] = NmeaDevice

    def problems(
        self, options: Any, devices: Sequence[Any], line_of: Callable[[Path_], int]
    ) -> Iterator[tuple[Path_, str]]:
        del options
        if len(devices) > 1:
            first = line_of(("devices", 0))
            yield ("devices", 1), f"an nmea bus has one device, and {devices[0].name} (line {first}) is it"

    def loads(self, bus: Bus) -> tuple[Load, ...]:
        del bus
        return ()

    async def run(self, bus: Bus, recorder: Recorder) -> None:
        await _Port(bus, recorder).run()

    async def read_once(self, bus: Bus, device: Device) -> Explained:
        """Listens until one sentence came for the third time: two whole rounds of what the instrument says."""
        lines: dict[str, str] = {}
        heard: Counter[str] = Counter()
        rows: dict[Series, tuple[Point, str, float | str | None]] = {}
        parser, listener, ready = SentenceParser(), Listener(device), asyncio.Event()
        loop = asyncio.get_running_loop()
        with _open(bus) as port:
            loop.add_reader(port.fileno(), ready.set)
            try:
                async with asyncio.timeout(device.profile.timeout.total_seconds()):
                    while max(heard.values(), default=0) < 3:
                        await ready.wait()
                        ready.clear()
                        for sentence in parser.feed(port.read(4096)):
                            address = sentence.fields[0]
                            heard[address] += 1
                            lines[address] = "< $" + ",".join(sentence.fields)
                            for point, outcome in listener.outcomes(sentence):
                                rows[point.series] = (point, f"${address}", outcome)
            except TimeoutError:
                pass
            finally:
                loop.remove_reader(port.fileno())
        state = OK if lines else "crc" if parser.damaged else "timeout"
        return Explained(tuple(lines.values()), tuple(rows.values()), state)


class _Port:
    """Keeps one port open and listens."""

    def __init__(self, bus: Bus, recorder: Recorder) -> None:
        self._bus = bus
        self._device = bus.devices[0]
        self._recorder = recorder
        self._timeout_s = self._device.profile.timeout.total_seconds()
        self._listener = Listener(self._device)
        self._chance = random.Random()  # noqa: S311 (jitter, not a secret)

    async def run(self) -> None:
        failures = 0
        while True:
            try:
                port = _open(self._bus)
            except OSError as error:
                self._say_down(str(error))
            else:
                with port:
                    if await self._listen(port):
                        failures = 0
                self._say_down("it is gone")
            failures += 1
            await asyncio.sleep(line_back_off_s(failures, self._chance.random()))

    def _say_down(self, reason: str) -> None:
        if self._recorder.state_of(self._bus.subject) != "down":
            log.warning("bus %s: line is down: %s", self._bus.name, reason)
        self._recorder.record((), {self._bus.subject: "down", self._device.name: "bus-down"})

    async def _listen(self, port: Any) -> bool:
        """Until the port breaks; whether a sentence came before."""
        loop = asyncio.get_running_loop()
        parser, ready, heard_any = SentenceParser(), asyncio.Event(), False
        fd = port.fileno()
        loop.add_reader(fd, ready.set)
        try:
            heard_s, damaged = time.monotonic(), 0
            while True:
                try:
                    async with asyncio.timeout(max(heard_s + self._timeout_s - time.monotonic(), 0.001)):
                        await ready.wait()
                except TimeoutError:
                    self._say("crc" if parser.damaged > damaged else "timeout")
                    heard_s, damaged = time.monotonic(), parser.damaged
                    continue
                ready.clear()
                # Empty when the loop had seen what was taken the time before; raises when the adapter is gone.
                for sentence in parser.feed(port.read(4096)):
                    heard_any, heard_s, damaged = True, time.monotonic(), parser.damaged
                    values, states = self._listener.take(sentence, heard_s)
                    self._log_change(states[self._device.name])
                    self._recorder.record(values, {**states, self._bus.subject: OK})
        except OSError:
            return heard_any
        finally:
            loop.remove_reader(fd)

    def _say(self, state: str) -> None:
        self._log_change(state)
        self._recorder.record((), {self._device.name: state, self._bus.subject: OK})

    def _log_change(self, state: str) -> None:
        known = self._recorder.state_of(self._device.name)
        if state != known and (state != OK or known is not None):
            level = logging.INFO if state == OK else logging.WARNING
            log.log(level, "bus %s: device %s: %s (was %s)", self._bus.name, self._device.name, state, known)


def _open(bus: Bus) -> Any:
    """The serial port, non-blocking; `OSError` when it cannot be opened."""
    import serial  # a gateway without serial lines does not need it

    shipped = bus.devices[0].profile.serial
    parity = bus.options.parity or shipped.parity
    return serial.Serial(
        bus.options.port,
        baudrate=bus.options.baud or shipped.baud,
        bytesize=shipped.data_bits,
        parity={"none": "N", "even": "E", "odd": "O"}[parity],
        stopbits=shipped.stop_bits,
        timeout=0,
        exclusive=True,
    )


DRIVERS = (Nmea(),)
