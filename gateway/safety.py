"""Life-safety rules judged on the gateway itself, without the uplink. Pure: time comes from outside.

The rule files and the judge are the centre's (`makiba.rule`, `makiba.standing`); what is here is which subjects of
this gateway a rule watches, and what its outputs should do. It supplements a certified gas alarm, never replaces it.

- An output is in `alarm` while a rule it serves is raised, and, where the rule says `reset: by-hand`, until a person
  says so after that. Nobody can silence gas that is still there.
- It is `blind` while a value that one of its rules needs was not measured for the rule's `stale_after` (never less
  than three polls). What that does to the output is a matter of its wiring (`outputs.py`).

Times are milliseconds of the monotonic clock: a wall clock that is set delays no siren.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gateway.driver import Bus
from gateway.outputs import OutputOptions
from makiba.reading import Reading, Series, Value
from makiba.rule import Rule, Tuned, check_overrides, tuned
from makiba.standing import Pace, Standing, observe, pace, settle, truths
from makiba.words import nearest

Key = tuple[str, str]
"""Rule and subject."""
Path_ = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Watch:
    """A rule, a subject of this gateway, and the outputs that it sounds."""

    rule: Tuned
    subject: str
    signals: Mapping[Series, str] = field(hash=False)
    pace: Pace
    outputs: tuple[str, ...]

    @property
    def key(self) -> Key:
        return (self.rule.rule.rule, self.subject)


def plan_watches(
    safety: Mapping[str, Collection[str]],
    rules: Mapping[str, Rule],
    buses: Iterable[Bus],
    numbers: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> tuple[Watch, ...]:
    """Who watches what, for a file whose `problems` are none; `numbers` are the farm's own."""
    found: list[Watch] = []
    every_ms = {
        point.series: int((device.options.every or device.profile.timeout).total_seconds() * 1000)
        for bus in buses
        for device in bus.devices
        for point in device.points
    }
    for name, outputs in safety.items():
        for subject, signals in _subjects(rules[name], every_ms):
            rule = tuned(rules[name], numbers.get(name), subject)
            slowest = max(every_ms[series] for series in signals)
            found.append(Watch(rule, subject, signals, pace(rule, slowest), tuple(outputs)))
    return tuple(found)


def _subjects(rule: Rule, known: Iterable[Series]) -> Iterator[tuple[str, dict[Series, str]]]:
    """The subjects that measure all that `rule` looks at."""
    wanted = {signal.quantity: name for name, signal in rule.signals.items()}
    by_subject: dict[str, dict[Series, str]] = {}
    for series in known:
        if series.quantity in wanted:
            by_subject.setdefault(series.subject, {})[series] = wanted[series.quantity]
    for subject, signals in sorted(by_subject.items()):
        if len(signals) == len(wanted):
            yield subject, signals


def problems(
    safety: Mapping[str, Collection[str]],
    outputs: Mapping[str, OutputOptions],
    rules: Mapping[str, Rule],
    buses: Iterable[Bus],
    numbers: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> Iterator[tuple[Path_, str]]:
    """What is wrong with these sections of a gateway file, with paths in the file."""
    by_name = {bus.name: bus for bus in buses}
    taken: dict[object, str] = {}
    for name, options in outputs.items():
        if options.modbus and options.modbus.bus not in by_name:
            hint = nearest(options.modbus.bus, by_name) or f"; there are {', '.join(by_name)}"
            yield ("outputs", name, "modbus", "bus"), f"no bus {options.modbus.bus!r}{hint}"
        elif options.modbus and by_name[options.modbus.bus].driver.family != "modbus":
            yield ("outputs", name, "modbus", "bus"), f"{options.modbus.bus!r} is no Modbus bus"
        way = options.modbus or options.gpio
        if way in taken:
            yield ("outputs", name), f"{taken[way]!r} has this {'coil' if options.modbus else 'pin'} already"
        taken.setdefault(way, name)
        if not any(name in used for used in safety.values()):
            yield ("outputs", name), f"no rule under 'safety' sounds it; {name!r} would never do anything"
    life = {name for name, rule in rules.items() if rule.life_safety}
    measured = {p.series for bus in by_name.values() for d in bus.devices for p in d.points}
    for name, used in safety.items():
        if name not in life:
            why = "is no life-safety rule" if name in rules else "is unknown"
            yield ("safety", name), f"{name!r} {why}{nearest(name, life)}; there are {', '.join(sorted(life))}"
        elif not any(True for _ in _subjects(rules[name], measured)):
            needs = ", ".join(q for s in rules[name].signals.values() for q in s.quantities)
            yield ("safety", name), f"no device of this file measures {needs}"
        for index, output in enumerate(used):
            if output not in outputs:
                hint = nearest(output, outputs) or f"; there are {', '.join(outputs) or 'none'}"
                yield ("safety", name, index), f"no output {output!r}{hint}"
    yield from _number_problems(safety, rules, measured, numbers)
    if safety and "safety" in by_name:
        yield (
            ("buses", "safety"),
            "is the name that the gateway says the state of its alarms under; call it otherwise",
        )


def _number_problems(
    safety: Mapping[str, Collection[str]],
    rules: Mapping[str, Rule],
    measured: Collection[Series],
    numbers: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[Path_, str]]:
    """The farm's own numbers: those of rules that are judged here, for subjects that are here."""
    wrong = dict(check_overrides(rules, numbers))
    for name, given in numbers.items():
        if name in wrong:
            yield ("rules", name), wrong[name]
        elif name not in safety:
            yield (
                ("rules", name),
                f"{name!r} is not under 'safety', so that the centre judges it: say it in its site file",
            )
        else:
            known = [subject for subject, _ in _subjects(rules[name], measured)]
            for key in given:
                own = str(key).rpartition(".")[0]
                if own and own not in known:
                    hint = nearest(own, known) or f"; there are {', '.join(known) or 'none'}"
                    yield ("rules", name, key), f"no device {own!r} of this file is watched by {name}{hint}"


@dataclass(slots=True)
class _State:
    standing: Standing = field(default_factory=Standing)
    seen: dict[str, tuple[int, Value]] = field(default_factory=dict)  # signal -> when, what
    is_latched: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an output should do, for what reason."""

    alarm: bool
    blind: bool


class LocalJudge:
    """The rules of one gateway. Not for several threads."""

    def __init__(self, watches: Iterable[Watch], latched: Collection[Key] = ()) -> None:
        self._watches = {watch.key: watch for watch in watches}
        self._states = {key: _State(is_latched=key in latched) for key in self._watches}
        self._by_series: dict[Series, list[Key]] = {}
        for key, watch in self._watches.items():
            for series in watch.signals:
                self._by_series.setdefault(series, []).append(key)

    def take(self, readings: Iterable[Reading], at_ms: int) -> bool:
        """Readings that were measured at `at_ms`; whether one of them matters here."""
        touched: dict[Key, None] = {}
        for reading in readings:
            for key in self._by_series.get(reading.series, ()):
                self._states[key].seen[self._watches[key].signals[reading.series]] = (at_ms, reading.value)
                touched[key] = None
        for key in touched:
            watch, state = self._watches[key], self._states[key]
            says = truths(watch.rule, self._values(watch, state, at_ms))
            state.standing = observe(watch.pace, state.standing, says, at_ms)
            self._settle(watch, state, at_ms)
        return bool(touched)

    def tick(self, now_ms: int) -> None:
        """Looks at the clock."""
        for key, watch in self._watches.items():
            self._settle(watch, self._states[key], now_ms)

    def _settle(self, watch: Watch, state: _State, now_ms: int) -> None:
        says = truths(watch.rule, self._values(watch, state, now_ms))
        # An end that is followed by a new beginning is two verdicts.
        while (verdict := settle(watch.pace, state.standing, says, now_ms)) is not None:
            if verdict.kind == "end":
                state.standing = state.standing.ended()
            else:
                onset_ms = state.standing.onset_ms
                state.standing = state.standing.raised(verdict.at_ms if onset_ms is None else onset_ms, verdict.step)
                state.is_latched = state.is_latched or watch.rule.rule.reset == "by-hand"

    def _values(self, watch: Watch, state: _State, now_ms: int) -> dict[str, Value | None]:
        return {name: self._fresh(watch, state, name, now_ms) for name in watch.signals.values()}

    @staticmethod
    def _fresh(watch: Watch, state: _State, name: str, now_ms: int) -> Value | None:
        at_ms, value = state.seen.get(name, (None, None))
        stale_ms = watch.pace.stale_ms
        return value if at_ms is not None and (stale_ms is None or now_ms - at_ms <= stale_ms) else None

    def reset(self) -> None:
        """A person says that the alarm was seen: what is over is let go; what is still there is not."""
        for state in self._states.values():
            state.is_latched = state.is_latched and state.standing.onset_ms is not None

    def standing(self, key: Key) -> Standing:
        return self._states[key].standing

    @property
    def raised(self) -> list[Key]:
        return [key for key, state in self._states.items() if state.standing.onset_ms is not None]

    @property
    def latched(self) -> list[Key]:
        return [key for key, state in self._states.items() if state.is_latched]

    def blind(self, now_ms: int) -> list[Key]:
        """The pairs that nobody can judge just now."""
        return [
            key
            for key, watch in self._watches.items()
            if any(v is None for v in self._values(watch, self._states[key], now_ms).values())
        ]

    def wanted(self, output: str, now_ms: int) -> Wanted:
        """What `output` should do."""
        mine = {key for key, watch in self._watches.items() if output in watch.outputs}
        alarm = not mine.isdisjoint((*self.raised, *self.latched))
        return Wanted(alarm, not mine.isdisjoint(self.blind(now_ms)))

    def word(self, now_ms: int) -> str:
        """The state that the centre hears of."""
        if raised := self.raised:
            return f"alarm-{raised[0][0]}"
        if latched := self.latched:
            return f"latched-{latched[0][0]}"
        return "blind" if self.blind(now_ms) else "ok"
