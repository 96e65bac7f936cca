"""What the gateway sends, in the order in which it arrives: values, states, and what it kept without a link."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from makiba.reading import Reading, Series, Value
from tests.farm_year.faults import Fault
from tests.farm_year.instruments import GATEWAY, SITE, Channel, Instrument
from tests.farm_year.life import Life
from tests.farm_year.plan import DAY_MIN, MINUTE_MS, Plan
from tests.farm_year.weather import Array

Times = npt.NDArray[np.int64]
STATE_EVERY_MS: Final = 600_000
WILL_MS: Final = 90_000
"""How long a broker waits for a gateway before it says that it is away."""
BOOT_MS: Final = 75_000
Arrived = tuple[int, Reading]


@dataclass(frozen=True)
class Away:
    """From when to when, in ms, something says nothing; `kept`: it is measured all the same and sent later."""

    start_ms: int
    end_ms: int
    kept: bool = False


class Stream:
    """A farm's readings. `days` gives them day by day, each with the time at which it came."""

    def __init__(
        self, plan: Plan, life: Life, faults: list[Fault], instruments: list[Instrument], power: Array
    ) -> None:
        self._plan, self._faults, self._instruments = plan, faults, instruments
        self._aways = _gateway_aways(plan, life, faults, power)
        self._rng = plan.rng("stream")
        self._life = life
        self._times = {i.name: self._asked(i) for i in instruments}
        self._arrives = {name: self._arrival(times) for name, times in self._times.items()}
        self._gone = {i.name: self._silences(i) for i in instruments}
        self._states = sorted(self._all_states(), key=lambda row: row[0])
        self._state_arrival = np.array([row[0] for row in self._states], np.int64)
        self._last_sent: dict[str, tuple[int, float]] = {}

    # ------------------------------------------------------------------------------------------------------ times

    def _asked(self, instrument: Instrument) -> Times:
        """When an instrument is asked, while its gateway runs."""
        plan = self._plan
        every_ms = instrument.every_s * 1000
        count = int(plan.minutes * MINUTE_MS / every_ms)
        first = plan.start_ms + self._rng.uniform(0, every_ms)
        jitter = self._rng.uniform(-0.04, 0.04, count) * every_ms
        times = (first + np.arange(count) * every_ms + jitter).astype(np.int64)
        times = times[times < plan.at(plan.minutes) - 1000]
        for away in self._aways:
            if not away.kept:
                times = times[(times < away.start_ms) | (times >= away.end_ms)]
        return np.asarray(times, np.int64)

    def _arrival(self, times: Times) -> Times:
        """When what was measured then reaches the centre: a moment later, or when the link is back."""
        arrives = times + 400
        for away in self._aways:
            if away.kept:
                late = (times >= away.start_ms - 300) & (times < away.end_ms)
                arrives[late] = away.end_ms + 2000 + (times[late] - away.start_ms) // 60
        return np.asarray(np.maximum.accumulate(arrives), np.int64) if len(arrives) else arrives

    def _silences(self, instrument: Instrument) -> list[tuple[int, int, str, str]]:
        """(start, end, state, whose) in ms: when an instrument gives no values, and what is said of it."""
        found = []
        for fault in self._faults:
            span = (self._plan.at(fault.start), self._plan.at(fault.end))
            if fault.kind == "sensor-silent" and fault.target == instrument.name:
                found.append((*span, "timeout", instrument.name))
            elif fault.kind == "sensor-unplugged" and fault.target == instrument.name:
                found.append((*span, "sentinel", instrument.subjects[0]))
            elif fault.kind == "bus-down" and fault.target == instrument.bus:
                found.append((*span, "timeout", instrument.name))
        for (start, end), name, _ in self._life.serviced:
            if name == instrument.name:
                found.append((self._plan.at(start), self._plan.at(end), "timeout", instrument.name))
        return found

    # ------------------------------------------------------------------------------------------------------ states

    def _all_states(self) -> Iterator[tuple[int, int, str, str]]:
        """(arrival, time, subject, state) of everything that is said of devices, buses and the gateway."""
        plan, end_ms = self._plan, self._plan.at(self._plan.minutes)
        yield plan.start_ms, plan.start_ms, GATEWAY, "online"
        for away in self._aways:
            if away.end_ms - away.start_ms > WILL_MS:
                said = away.start_ms + WILL_MS
                yield said, said, GATEWAY, "offline"
            yield away.end_ms + 500, away.end_ms + 500, GATEWAY, "online"
        for bus in sorted({i.bus for i in self._instruments}):
            spans = [
                (plan.at(f.start), plan.at(f.end), "silent")
                for f in self._faults
                if (f.kind, f.target) == ("bus-down", bus)
            ]
            yield from self._told(f"{GATEWAY}.{bus}", spans, 40_000, end_ms)
        for instrument in self._instruments:
            for whose in dict.fromkeys((instrument.name, *instrument.subjects)):
                spans = [(a, b, state) for a, b, state, who in self._gone[instrument.name] if who == whose]
                yield from self._told(whose, spans, round(instrument.every_s * 500), end_ms)

    def _told(
        self, subject: str, spans: list[tuple[int, int, str]], lag_ms: int, end_ms: int
    ) -> Iterator[tuple[int, int, str, str]]:
        """A state when it changes and every ten minutes, from a gateway that runs."""
        times = np.arange(
            self._plan.start_ms + int(self._rng.integers(5_000, STATE_EVERY_MS)), end_ms, STATE_EVERY_MS
        )
        said = [(int(t), next((s for a, b, s in spans if a + lag_ms <= t < b + lag_ms), "ok")) for t in times]
        for start, end, state in spans:
            said += [(start + lag_ms, state), (end + lag_ms, "ok")]
        said = [
            (t, s) for t, s in sorted(said) if not any(a.start_ms <= t < a.end_ms for a in self._aways if not a.kept)
        ]
        arrives = self._arrival(np.array([t for t, _ in said], np.int64)).tolist()
        for (time_ms, state), arrival_ms in zip(said, arrives, strict=True):
            yield arrival_ms, time_ms, subject, state

    # ------------------------------------------------------------------------------------------------------ values

    def days(self) -> Iterator[list[Arrived]]:
        """Everything that arrives on a day, in order of arrival, and of time where it arrives together."""
        series = {
            (c.subject, c.quantity): Series(SITE, c.subject, c.quantity)
            for i in self._instruments
            for c in i.channels
        }
        whose = {s: Series(SITE, s, "state") for _, _, s, _ in self._states}
        for day in range(self._plan.days):
            from_ms, to_ms = self._plan.at(day * DAY_MIN), self._plan.at((day + 1) * DAY_MIN)
            arrived: list[Times] = []
            measured: list[Times] = []
            names: list[Series] = []
            values: list[Value] = []
            for instrument in self._instruments:
                arrives = self._arrives[instrument.name]
                part = slice(*np.searchsorted(arrives, [from_ms, to_ms]).tolist())
                times = self._times[instrument.name][part]
                kept = np.ones(len(times), bool)
                for start, end, _, _ in self._gone[instrument.name]:
                    kept &= (times < start) | (times >= end)
                for channel in instrument.channels:
                    read = self._read(instrument, channel, times)
                    told = kept & self._changed(channel, times, read) if instrument.on_change else kept
                    arrived.append(arrives[part][told])
                    measured.append(times[told])
                    values += read[told].tolist()
                    names += [series[channel.subject, channel.quantity]] * int(told.sum())
            low, high = np.searchsorted(self._state_arrival, [from_ms, to_ms]).tolist()
            states = self._states[low:high]
            arrived.append(np.array([a for a, _, _, _ in states], np.int64))
            measured.append(np.array([t for _, t, _, _ in states], np.int64))
            names += [whose[s] for _, _, s, _ in states]
            values += [v for _, _, _, v in states]
            at, when = np.concatenate(arrived), np.concatenate(measured)
            order = np.lexsort((when, at))
            yield [
                (a, Reading(names[i], t, values[i]))
                for i, a, t in zip(order.tolist(), at[order].tolist(), when[order].tolist(), strict=True)
            ]

    def _read(self, instrument: Instrument, channel: Channel, times: Times) -> Array:
        minutes = (times - self._plan.start_ms) / MINUTE_MS
        if channel.steps or channel.counter:
            values = channel.truth[np.clip(minutes.astype(int), 0, self._plan.minutes - 1)].astype(float)
        else:
            first = int(minutes[0]) if len(minutes) else 0
            stop = min(int(minutes[-1]) + 3, self._plan.minutes) if len(minutes) else 1
            values = np.interp(minutes, np.arange(first, stop), channel.truth[first:stop])
        rng = self._rng
        values = values + channel.bias * (not channel.steps) + rng.normal(0, 1, len(values)) * channel.noise
        if channel.quantity == "current":
            values = np.where(channel.truth[np.clip(minutes.astype(int), 0, self._plan.minutes - 1)] > 0, values, 0.0)
        elif channel.quantity == "voltage":
            values = self._blinked(times, np.where(values < 20, 0.0, values))
        for (_, end), name, shift in self._life.serviced:
            if name == instrument.name and channel.noise and not channel.steps:  # another copy of the sensor
                values = np.where(minutes >= end, values + 0.7 * shift * abs(channel.bias), values)
        values = self._ill(instrument, channel, minutes, values)
        return np.asarray(np.clip(np.round(values / channel.resolution) * channel.resolution, channel.lowest, None))

    def _blinked(self, times: Times, values: Array) -> Array:
        for minute in self._life.blips:
            at = self._plan.at(minute)
            values = np.where((times >= at) & (times < at + 6000), 0.0, values)
        return values

    def _ill(self, instrument: Instrument, channel: Channel, minutes: Array, values: Array) -> Array:
        for fault in self._faults:
            if fault.target != instrument.name or not fault.kind.startswith("sensor-"):
                continue
            if not len(minutes) or minutes[0] >= fault.end or minutes[-1] < fault.start:
                continue
            within = (minutes >= fault.start) & (minutes < fault.end)
            if fault.kind == "sensor-stuck":
                at = min(fault.start, self._plan.minutes - 1)
                values = np.where(within, channel.truth[at] + channel.bias, values)
            elif fault.kind == "sensor-drift":
                away = (minutes - fault.start) / (fault.end - fault.start)
                values = np.where(within, values + 4.0 * fault.size * away, values)
            elif fault.kind == "sensor-spikes":
                struck = within & (self._rng.random(len(minutes)) < 0.004)
                values = np.where(struck, values + _jump(channel) * self._rng.choice([-1, 1], len(minutes)), values)
        return values

    def _changed(self, channel: Channel, times: Times, values: Array) -> npt.NDArray[np.bool_]:
        """What an instrument on the air says: a change, or after ten minutes that nothing changed."""
        told = np.zeros(len(times), bool)
        key = f"{channel.subject}/{channel.quantity}"
        at, last = self._last_sent.get(key, (0, np.inf))
        least = max(3 * channel.noise, channel.resolution)
        for n, (t, v) in enumerate(zip(times.tolist(), values.tolist(), strict=True)):
            if abs(v - last) > least or t - at >= STATE_EVERY_MS - 5000:
                told[n], at, last = True, t, v
        self._last_sent[key] = (at, last)
        return told


def _jump(channel: Channel) -> float:
    """How far a disturbed line throws a value, still where it could be true."""
    return {
        "air_temperature": 15.0, "milk_temperature": 12.0, "relative_humidity": 25.0, "ammonia": 30e-6,
        "carbon_dioxide": 2500e-6, "pipe_temperature": 12.0, "water_temperature": 12.0, "grass_temperature": 12.0,
        "fence_voltage": 4000.0, "soil_moisture": 0.15, "soil_temperature": 10.0, "milk_volume": 0.6,
    }.get(channel.quantity, 0.0)  # fmt: skip


def _gateway_aways(plan: Plan, life: Life, faults: list[Fault], power: Array) -> list[Away]:
    found = [Away(plan.at(m), plan.at(m) + BOOT_MS) for m in life.reboots]
    found += [Away(plan.at(a), plan.at(b) + 7000, kept=True) for a, b in life.gaps]
    if not plan.battery:
        found += [Away(plan.at(m), plan.at(m) + BOOT_MS) for m in life.blips]
    for fault in faults:
        span = plan.at(fault.start), plan.at(fault.end)
        if fault.kind == "gateway-dead" or (fault.kind == "power-lost" and not plan.battery):
            found.append(Away(*span))
        elif fault.kind == "link-lost":
            found.append(Away(*span, kept=True))
    return sorted(found, key=lambda a: a.start_ms)
