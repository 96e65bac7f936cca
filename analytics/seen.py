"""What has been seen of a farm: the newest reading of each series, and what a signal is worth at a given time.

A value is unknown (None) when it is stale, or when its subject or device said later that it cannot be read. A bad
value is never stored as a number, so that a number newer than a bad state is good.

Silence by the clock is measured on what the gateway sends, never on this machine's clock alone: a device is silent
(`no-data`) when its gateway went on sending for three polls without it. So a collector, a broker or a link that is
down does not turn every device of a town into an alert.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from analytics.derived import derive
from analytics.farm import Farm, FarmDevice
from analytics.pairs import Pair, stale_ms
from analytics.signals.contexts import Contexts, NoContexts
from analytics.signals.planned import FactKey, Planned, Source, Track
from analytics.signals.tracks import Tracks
from analytics.signals.windows import Window
from analytics.watching import NEVER
from collectors.registry.lora import NETWORK
from collectors.store import Store
from makiba.reading import Reading, Series, Value
from makiba.rule import Signal, measure

STATE: Final = "state"
NO_DATA: Final = "no-data"
MIN_SILENCE_MS: Final = 10_000
"""A device polled every second may be late by so much."""
STREAM_GAP_MS: Final = 120_000
"""A gateway that sent nothing for so long, or for three polls of its slowest device, begins anew: its devices are not
silent for what was before."""
UNKNOWN_GATEWAY_SILENT_MS: Final = 300_000
STATE_GOOD_FOR_MS: Final = 1_500_000
"""A state is said again every 10 min; one that was missed twice says nothing any more."""


@dataclass(slots=True)
class _Stream:
    """What a gateway sends, on its own time: since when it flows without a gap, and its newest reading."""

    start_ms: int
    newest_ms: int


class Seen:
    """The newest of everything on one farm."""

    def __init__(self, farm: Farm, contexts: Contexts | None = None) -> None:
        self._farm = farm
        self.contexts: Contexts = contexts or NoContexts()
        self.told: Mapping[FactKey, Value] = {}
        """Settings, forecasts and facts, as they were last told."""
        self._tracks = Tracks(farm.site, farm.timezone, self.contexts)
        self._settings: dict[str, Any] | None = None
        self._newest: dict[Series, tuple[int, Value]] = {}
        self._streams: dict[str, _Stream] = {}
        self._devices: dict[str, FarmDevice | None] = {}  # by subject; a cache of the farm's answers
        self._homes: dict[Series, tuple[str | None, str | None]] = {}  # the device and the stream of each
        self._device_ms: dict[str, int] = {}
        self._gaps: dict[str, int] = {}
        # Caches: answers of the farm, and derivations of the newest values, which many rules ask for.
        self._states: dict[Series, tuple[Series, ...]] = {}
        self._stale: dict[tuple[timedelta | None, str], int | None] = {}
        self._derived: dict[tuple[str, Source], tuple[tuple[float, ...], float]] = {}

    def says(self, settings: Mapping[str, Any] | None) -> bool:
        """Goes on with other settings of the farm, for what recognises contexts; False where they are the same."""
        if settings is None or settings == self._settings:
            return False
        self._settings = dict(settings)
        self.contexts.configure(self._farm, self._settings)
        return True

    def configure(self, farm: Farm) -> None:
        """Goes on with another state of the registry."""
        self._farm, self._devices, self._homes = farm, {}, {}
        self.contexts.configure(farm, self._settings)
        self._tracks.configure(farm.timezone)
        self._device_ms, self._gaps, self._states, self._stale = {}, {}, {}, {}
        for series, (time_ms, _) in self._newest.items():
            self._note_device(series, time_ms)

    def device_of(self, subject: str) -> FarmDevice | None:
        if subject not in self._devices:
            self._devices[subject] = self._farm.device_of(subject)
        return self._devices[subject]

    def newest_ms(self, series: Series) -> int:
        """The time of the newest reading of `series`; 0 for none."""
        return self._newest.get(series, (0, 0.0))[0]

    def newest_value(self, series: Series) -> Value | None:
        """The newest value of `series`, however old; None for none."""
        return self._newest.get(series, (0, None))[1]

    def stream_of(self, series: Series) -> str | None:
        """The gateway in whose stream a reading of `series` comes; None for what shows nothing of a gateway."""
        device = self.device_of(series.subject)
        gateway = device.gateway if device else series.subject.partition(".")[0]
        # A gateway's own state may be its will, whose time is the centre's.
        is_sent = gateway in self._farm.gateways and (series.subject, series.quantity) != (gateway, STATE)
        return gateway if is_sent else None

    def stream_ms(self, gateway: str) -> int:
        """The newest reading of what `gateway` sends; 0 for none."""
        stream = self._streams.get(gateway)
        return stream.newest_ms if stream else 0

    def take(self, reading: Reading) -> bool:
        """Remembers `reading`; False when it is not newer than the newest of its series."""
        series, time_ms = reading.series, reading.time_ms
        before = self._newest.get(series)
        if before is not None and time_ms <= before[0]:
            return False
        self._newest[series] = (time_ms, reading.value)
        self._tracks.take(reading)
        self.contexts.take(reading)
        home = self._homes.get(series)
        if home is None:
            device = self.device_of(series.subject)
            home = self._homes[series] = (device.name if device else None, self.stream_of(series))
        name, gateway = home
        if name is not None and time_ms > self._device_ms.get(name, 0):
            self._device_ms[name] = time_ms
        if gateway is not None:
            stream = self._streams.get(gateway)
            if stream is None or time_ms - stream.newest_ms > self._gap_ms(gateway):
                self._streams[gateway] = _Stream(time_ms, time_ms)
            elif time_ms > stream.newest_ms:
                stream.newest_ms = time_ms
        return True

    def _note_device(self, series: Series, time_ms: int) -> FarmDevice | None:
        device = self.device_of(series.subject)
        if device is not None:
            self._device_ms[device.name] = max(self._device_ms.get(device.name, 0), time_ms)
        return device

    # ------------------------------------------------------------------------------------------------- signals

    def watch(self, pairs: Iterable[Pair]) -> None:
        """Keeps from now on what the signals of `pairs` need of the past, and nothing else."""
        tracks = {track for pair in pairs for planned in pair.signals.values() for track in planned.tracks}
        devices = {s.subject: self.device_of(s.subject) for track in tracks for s in track.source}
        self._tracks.keep(tracks, {subject: d.every_ms if d else None for subject, d in devices.items()})

    def fill(self, store: Store, now_ms: int) -> int:
        """Asks the store for the days of history that are not known yet; of how many series. Raises `StoreError`."""
        return self._tracks.fill(store, now_ms, {series: time_ms for series, (time_ms, _) in self._newest.items()})

    def values(self, pair: Pair, at_ms: int) -> dict[str, Value | None]:
        """Each signal of `pair` at `at_ms`; None where it is unknown."""
        found: dict[str, Value | None] = {}
        for name, planned in pair.signals.items():
            found[name] = self._value(pair, planned, at_ms, found)
        return found

    def value(self, pair: Pair, name: str, at_ms: int) -> Value | None:
        """The signal called `name` alone."""
        planned = pair.signals[name]
        return self._value(pair, planned, at_ms, {p: self.value(pair, p, at_ms) for p in planned.signal.parts})

    def _value(self, pair: Pair, planned: Planned, at_ms: int, found: Mapping[str, Value | None]) -> Value | None:
        signal = planned.signal
        if planned.tracks:
            ways = zip(planned.sources, planned.tracks, strict=True)
            return _picked(signal, [self._tracked(pair, signal, s, t, at_ms) for s, t in ways])
        if planned.sources:
            if signal.quantity == STATE and pair.rule.rule.about in ("device", "gateway"):
                return self._state(pair, at_ms)
            return _picked(signal, [self._source(pair, signal, s, at_ms) for s in planned.sources])
        if signal.parts:
            return _combined(signal, *(found[part] for part in signal.parts))
        if signal.context is not None:
            return self._context(signal, planned.place, at_ms)
        return next((self.told[key] for key in planned.keys if key in self.told), None)

    def _tracked(self, pair: Pair, signal: Signal, source: Source, track: Track, at_ms: int) -> Value | None:
        if not track.is_folded:
            for series in source:
                if self._fresh(pair, series, at_ms) is None or self._faulty(series):
                    return None
        return self._tracks.value(track, signal.as_, at_ms)

    def extreme(self, track: Track, read: Literal["min", "max"]) -> float | None:
        """The least or greatest value in the window `track` as it is now; None where too little is known."""
        return self._tracks.value(track, read, max((self.newest_ms(s) for s in track.source), default=0))

    def window(self, track: Track) -> Window | None:
        """The window of readings that `track` is; None for what else it may be."""
        return self._tracks.window(track)

    def _context(self, signal: Signal, place: str | None, at_ms: int) -> Value | None:
        state = self.contexts.state(signal.context or "", place, at_ms)
        if state is None:
            return None
        if signal.as_ is None:
            return "on" if state.is_on else "off"
        if signal.as_ == "on_for":
            return max(0, at_ms - state.since_ms) / 1000 if state.is_on else 0.0
        if signal.as_ == "off_for":
            if state.is_on:
                return 0.0
            return None if state.ended_ms is None else max(0, at_ms - state.ended_ms) / 1000  # never seen: unknown
        if signal.as_ == "missing_for":
            return 0.0 if state.missing_ms is None else max(0, at_ms - state.missing_ms) / 1000
        return state.found.get(signal.as_)

    def _source(self, pair: Pair, signal: Signal, source: Source, at_ms: int) -> Value | None:
        found: list[Value] = []
        for series in source:
            value = self._fresh(pair, series, at_ms)
            if value is None or self._faulty(series):
                return None
            found.append(value)
        if signal.derived is None:
            return found[0]
        arguments = tuple(v for v in found if not isinstance(v, str))
        known = self._derived.get((signal.derived, source))
        if known is None or known[0] != arguments:
            known = self._derived[signal.derived, source] = (arguments, derive(signal.derived, arguments))
        return known[1]

    def _fresh(self, pair: Pair, series: Series, at_ms: int) -> Value | None:
        time_ms, value = self._newest.get(series, (None, None))
        if time_ms is None:
            return None
        key = (pair.rule.rule.stale_after, series.subject)
        if key not in self._stale:
            self._stale[key] = stale_ms(pair.rule.rule, self.device_of(series.subject))
        stale = self._stale[key]
        return value if stale is None or at_ms - time_ms <= stale else None

    def _faulty(self, series: Series) -> bool:
        if series.quantity == STATE:
            return False
        return any(
            state != "ok" and time_ms > self.newest_ms(series)
            for s in self.states_of(series)
            for time_ms, state in (self._newest.get(s, (0, "ok")),)
        )

    def states_of(self, series: Series) -> tuple[Series, ...]:
        """The states that say whether `series` can be believed: its subject's and its device's."""
        known = self._states.get(series)
        if known is None:
            device = self.device_of(series.subject)
            subjects = (series.subject, device.name) if device else (series.subject,)
            known = self._states[series] = tuple(Series(series.site, s, STATE) for s in dict.fromkeys(subjects))
        return known

    # ------------------------------------------------------------------------------------------------- silence

    def _state(self, pair: Pair, at_ms: int) -> Value | None:
        """What a device or gateway says of itself, or `no-data` where it says nothing although it should."""
        if self.silent_since(pair, at_ms) is not None:
            return NO_DATA
        said = self._fresh(pair, Series(self._farm.site, pair.subject, STATE), at_ms)
        if said is not None:
            return said
        if pair.rule.rule.about == "device":
            heard_ms, longest = self._device_ms.get(pair.subject, 0), _polls(self._farm.devices[pair.subject])
            return "ok" if heard_ms and at_ms - heard_ms <= longest else None
        stream = self._streams.get(pair.subject)
        return "online" if stream and at_ms - stream.newest_ms <= UNKNOWN_GATEWAY_SILENT_MS else None

    def silent_since(self, pair: Pair, now_ms: int) -> int | None:
        """Since when nothing comes from a device or gateway that should send; None while it does, or nobody knows."""
        if pair.rule.rule.about == "gateway":
            return self._gateway_silent_since(pair.subject, now_ms)
        device = self._farm.devices[pair.subject]
        stream = self._streams.get(device.gateway)
        if (
            stream is None
            or now_ms - stream.newest_ms > self._gap_ms(device.gateway)
            or self._excused(device, now_ms)
        ):
            return None
        since = max(self._device_ms.get(device.name, 0), stream.start_ms)
        return since if stream.newest_ms - since > _polls(device) else None

    def may_fall_silent(self, pair: Pair, now_ms: int) -> tuple[int, int]:
        """What is heard is not silent before its gateway's stream is past the first time, or the clock the second."""
        if pair.rule.rule.about == "gateway":
            stream = self._streams.get(pair.subject)
            if stream is None:
                return 0, NEVER
            if Series(self._farm.site, pair.subject, STATE) in self._newest:
                return NEVER, NEVER
            return NEVER, stream.newest_ms + self._gateway_silence_ms(pair.subject) + 1
        device = self._farm.devices[pair.subject]
        if self._excused(device, now_ms):
            times = [self.newest_ms(Series(self._farm.site, s, STATE)) for s in {device.name, *device.subjects}]
            return NEVER, min(t for t in times if now_ms - t <= STATE_GOOD_FOR_MS) + STATE_GOOD_FOR_MS + 1
        stream = self._streams.get(device.gateway)
        start_ms = stream.start_ms if stream else 0
        return max(self._device_ms.get(device.name, 0), start_ms) + _polls(device), NEVER

    def _gap_ms(self, gateway: str) -> int:
        if gateway not in self._gaps:
            polls = [_polls(d) for d in self._farm.devices.values() if d.gateway == gateway]
            longest = max(polls, default=STREAM_GAP_MS)
            # Devices on the air speak when they like, and rarely: between two of them nothing is missing.
            self._gaps[gateway] = longest if gateway == NETWORK else min(STREAM_GAP_MS, longest)
        return self._gaps[gateway]

    def _excused(self, device: FarmDevice, now_ms: int) -> bool:
        """Whether the device or one of its subjects said why it has no values, not long ago."""
        states = (
            self._newest.get(Series(self._farm.site, s, STATE), (0, "ok")) for s in {device.name, *device.subjects}
        )
        return any(state != "ok" and now_ms - time_ms <= STATE_GOOD_FOR_MS for time_ms, state in states)

    def _gateway_silent_since(self, gateway: str, now_ms: int) -> int | None:
        stream = self._streams.get(gateway)
        if stream is None or Series(self._farm.site, gateway, STATE) in self._newest:
            return None
        return stream.newest_ms if now_ms - stream.newest_ms > self._gateway_silence_ms(gateway) else None

    def _gateway_silence_ms(self, gateway: str) -> int:
        polls = [3 * d.every_ms for d in self._farm.devices.values() if d.gateway == gateway]
        # The fastest device of a box says something, whatever befalls it; one on the air just stays away.
        longest = max(polls, default=0) if gateway == NETWORK else min(polls, default=0)
        return max(UNKNOWN_GATEWAY_SILENT_MS, longest)

    # --------------------------------------------------------------------------------------- for people, for later

    def signals(self, pair: Pair, now_ms: int) -> dict[str, dict[str, Any]]:
        """What the signals say that are known at `now_ms`, as a `Decision` carries it."""
        found: dict[str, dict[str, Any]] = {}
        for name, value in self.values(pair, now_ms).items():
            if value is None:
                continue
            planned = pair.signals[name]
            newest = {s: self.newest_ms(s) for source in planned.sources for s in source}
            elsewhere = planned.signal.of != "subject" and newest
            subject = max(newest, key=lambda s: newest[s]).subject if elsewhere else pair.subject
            at = {"value": value, "time_ms": max(newest.values(), default=0) or now_ms}
            found[name] = {
                "quantity": measure(pair.rule.rule, name).name, "subject": subject, **at, **_toward(pair, name),
            }  # fmt: skip
        return found

    def memory(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "newest": [[s.subject, s.quantity, t, v] for s, (t, v) in self._newest.items()],
            "streams": {g: [s.start_ms, s.newest_ms] for g, s in self._streams.items()},
            "tracks": self._tracks.memory(),
            "contexts": self.contexts.memory(),
        }

    def recall(self, memory: Mapping[str, Any]) -> list[Series]:
        """Goes on from `memory`; the series in it."""
        for subject, quantity, time_ms, value in memory["newest"]:
            series = Series(self._farm.site, subject, quantity)
            self._newest[series] = (time_ms, value)
            self._note_device(series, time_ms)
        self._streams = {g: _Stream(*times) for g, times in memory["streams"].items()}
        if "tracks" in memory:
            self._tracks.recall(memory["tracks"])
        if "contexts" in memory:
            self.contexts.recall(memory["contexts"])
        return list(self._newest)


def _picked(signal: Signal, values: Iterable[Value | None]) -> Value | None:
    """What the sources say together: of numbers what `pick` says, of texts the first."""
    known = [v for v in values if v is not None]
    numbers = [v for v in known if not isinstance(v, str)]
    if len(known) < 2 or not numbers:
        return known[0] if known else None
    if signal.pick in ("max", "min"):
        return max(numbers) if signal.pick == "max" else min(numbers)
    return sum(numbers) if signal.pick == "sum" else sum(numbers) / len(numbers)


def _combined(signal: Signal, first: Value | None, second: Value | None) -> Value | None:
    """The first less, or by, the second; unknown where one is, and where the second is 0."""
    if first is None or second is None or isinstance(first, str) or isinstance(second, str):
        return None
    if signal.difference is not None:
        return first - second
    return first / second if second else None


def _toward(pair: Pair, name: str) -> dict[str, str]:
    """Which way the signal gets worse, where the rule says so."""
    raises = pair.rule.rule.raise_
    for condition in (c for when in (raises.when, *raises.or_) for c in when):
        if condition.signal == name and condition.is_ is None:
            return {"toward": "above" if condition.above else "below"}
    return {}


def _polls(device: FarmDevice) -> int:
    return max(3 * device.every_ms, MIN_SILENCE_MS)
