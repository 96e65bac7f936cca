"""Judges one farm: takes its readings, looks at the clock, and says what should be written into the alert book.

What it guarantees, given the readings of a series in ascending time:

- It opens nothing that is not true at the newest reading, and nothing on a signal that is stale or faulty.
- A reading older than the newest of its series changes nothing.
- A problem that one above it explains is held back, and has to last its own persistence again when that one is over.
- It decides again what was not confirmed; so its caller writes first and confirms afterwards.

It does no I/O and keeps no clock. What it must remember over a restart is `memory`; the rest is in the store.

What cannot change anything is passed over: readings of calm pairs (`calm.py`), and looks at the clock before
`next_due_ms`. `Judge(quick=False)` looks at everything every time; a property test holds both equal.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Final

from analytics.calm import ANY, FREE, Guard, guard_of, is_kept, ways_of
from analytics.causes import Key, below, explanation
from analytics.decision import Decision, Kind
from analytics.farm import Farm
from analytics.pairs import Pair, may_watch, plan_pairs, waiting, worst
from analytics.rules import FarmRules
from analytics.seen import STATE, Seen
from analytics.signals.contexts import Contexts
from analytics.signals.planned import Facts
from analytics.silence import Stream, Streams
from analytics.watching import AT_ONCE, NEVER, TOUCH_EVERY_MS, Watch, due_times
from collectors.registry.maintenance_times import Farm as Whereabouts
from collectors.registry.maintenance_times import Window, touches
from collectors.store import Store
from makiba.reading import Reading, Series
from makiba.rule import About, Condition, Severity
from makiba.standing import Held, Standing, Verdict, observe, settle, truths

MOVES_EVERY_MS: Final = 30_000
"""How often what may change without a reading (times that run on, facts) is looked at."""

LOOK_AGAIN_MS: Final = 1_000
"""How often what is due and not true now is looked at, where the clock alone may make it true."""

SEEK_BANDS_EVERY: Final = 16
"""A quiet pair that had no guard may have one later."""

LOOK_BACK_MS: Final = 24 * 3_600_000
"""How far back at most the store is read."""

_CLOCKED: Final[tuple[About, ...]] = ("device", "gateway")
"""What may fall silent without a reading that says so."""
_BEHIND_MS: Final = 10_000
"""A reading so far behind its gateway's stream may come from a device that was taken for silent."""
_CAUSES_FIRST: Final[tuple[About, ...]] = ("gateway", "bus", "device", "subject")
_time_of = attrgetter("time_ms")
_KINDS: Final[Mapping[str, Kind]] = {"raise": "open", "worsen": "worsen", "end": "end"}


@dataclass(slots=True)
class _Cell:
    """A series and one of the pairs that look at it: while the pair is calm, what the series may say."""

    key: Key
    watch: Watch
    stream: str | None
    """The gateway whose stream a sign of life must not be far behind; None for any other reading."""
    low: float = math.inf
    high: float = -math.inf
    text: str | None = None


@dataclass(slots=True)
class _Entry:
    """What a reading of a series matters to."""

    cells: list[_Cell]
    stream: Stream | None


class Judge:
    """The judge of one farm. Not for several threads at once."""

    def __init__(self, farm: Farm, rules: FarmRules, contexts: Contexts | None = None, *, quick: bool = True) -> None:
        self._farm, self._rules = farm, rules
        self._quick = quick
        self._offset_ms = zlib.crc32(farm.site.encode()) % MOVES_EVERY_MS  # not all farms at the same moment
        self._known = Seen(farm, contexts)
        self._series: set[Series] = set()
        self._pairs: dict[Key, Pair] = {}
        self._entries: dict[Series, _Entry] = {}
        self._cells: dict[Key, list[tuple[Series, _Cell]]] = {}
        self._ways: dict[Key, tuple[tuple[Condition, ...], ...]] = {}
        self._watches: dict[Key, Watch] = {}
        self._restless: set[Key] = set()
        self._moving: dict[Key, int] = {}  # in which slot what may change without a reading was last looked at
        self._awake: set[Key] = set()  # of those, the ones that are not calm
        self._opens_ms = NEVER  # when the first of those that are calm out of season has to be looked at
        self._streams = Streams()
        self._causes: frozenset[str] = frozenset()  # the rules that explain others
        self._active_causes: frozenset[Key] | None = None  # when it was last looked at what they explain
        self._held: set[Key] = set()
        self._windows: tuple[Window, ...] = ()
        self._whereabouts = Whereabouts()
        self._behind: frozenset[str] = frozenset()
        self._due_ms = AT_ONCE
        self._plan()

    # ------------------------------------------------------------------------------------------ what is watched

    def configure(self, farm: Farm, rules: FarmRules) -> None:
        """Goes on with another state of the registry; does nothing when nothing changed."""
        if (farm, rules) != (self._farm, self._rules):
            self._farm, self._rules = farm, rules
            self._known.configure(farm)
            self._plan()

    def learn(self, series: Iterable[Series]) -> None:
        """Takes note that these series exist."""
        new = {s for s in series if s.site == self._farm.site} - self._series
        if new:
            self._series |= new
            self._known.contexts.learn(new)
            self._plan()

    def tell(self, facts: Facts) -> None:
        """Goes on with these settings, forecasts and facts."""
        before, told = self._known.told, dict(facts.values)
        self._known.told = told
        said_otherwise = self._known.says(getattr(facts, "settings", None))
        if said_otherwise or before.keys() != told.keys():
            self._plan()
        elif changed := {key for key, value in told.items() if before[key] != value}:
            for key in self._moving:
                if any(not changed.isdisjoint(planned.keys) for planned in self._pairs[key].signals.values()):
                    self._rouse(key)

    def work(self, windows: Iterable[Window], whereabouts: Whereabouts) -> None:
        """Somebody works in `windows`: of what they are about nothing is raised, and what is open stays.

        What is raised after one has lasted its whole persistence since. Rules about life and critical ones go on.
        """
        self._windows, self._whereabouts = tuple(windows), whereabouts
        self._known.contexts.upkeep(self._windows)
        self._look_at_all()

    def catch_up(self, gateways: frozenset[str]) -> None:
        """These gateways still send what they kept during an outage: nothing is raised on what comes from them."""
        if gateways != self._behind:
            self._behind = gateways
            self._look_at_all()

    def _look_at_all(self) -> None:
        for key in self._restless:
            self._watches[key].due_ms = AT_ONCE
        self._due_ms = AT_ONCE

    def waiting(self) -> list[tuple[str, str]]:
        """(rule, setting) for each rule that watches nothing because the farm does not say what it needs."""
        return list(waiting(self._rules.rules, self._known.told))

    def _plan(self) -> None:
        before = self._pairs
        self._pairs = plan_pairs(self._farm, self._rules, self._series, self._known.contexts, self._known.told.keys())
        self._known.watch(self._pairs.values())
        self._moving = {key: self._moving.get(key, 0) for key, pair in self._pairs.items() if pair.moves}
        self._awake = set(self._moving)
        self._causes = frozenset(name for rule in self._rules.rules.values() for name in rule.explained_by)
        self._active_causes, self._due_ms = None, AT_ONCE
        self._wire()
        self._ways = {key: ways_of(pair) for key, pair in self._pairs.items()} if self._quick else {}
        self._restless = {k for k, w in self._watches.items() if w.standing.active}
        for watch in self._watches.values():
            watch.due_ms, watch.is_calm, watch.is_quiet = AT_ONCE, False, False
        for key in self._pairs.keys() - before.keys():
            # What was said before anybody watched it may not be said again for a while: a state comes on change.
            newest_ms = max((self._known.newest_ms(series) for series in self._pairs[key].series), default=0)
            watch = self._watches[key]
            if newest_ms > watch.last_ms:
                self._observe(key, watch, newest_ms, newest_ms)

    def _wire(self) -> None:
        """Which reading matters to which pair, and to which gateway's stream."""
        proofs = self._signs_of_life()
        by_series: dict[Series, list[_Cell]] = {}
        streams: dict[str, list[Key]] = {}
        self._cells = {}
        for key, pair in self._pairs.items():
            watch = self._watches.setdefault(key, Watch())
            signs: set[Series] = set()
            if pair.rule.rule.about in _CLOCKED:
                signs = proofs.get(pair.subject, set())
                device = self._farm.devices.get(pair.subject)
                streams.setdefault(device.gateway if device else pair.subject, []).append(key)
            mine = self._cells[key] = []
            for series in pair.series | signs:
                stream = self._known.stream_of(series) if series in signs else None
                mine.append((series, _Cell(key, watch, stream)))
                by_series.setdefault(series, []).append(mine[-1][1])
        self._streams.plan(streams, {gateway: self._known.stream_ms(gateway) for gateway in streams})
        self._entries = {
            series: _Entry(by_series.get(series, []), self._streams.get(self._known.stream_of(series)))
            for series in self._series
        }

    def _signs_of_life(self) -> dict[str, set[Series]]:
        """The series that show that a device, or a gateway which says no state itself, is not silent."""
        signs: dict[str, set[Series]] = {}
        for series in self._series:
            if device := self._known.device_of(series.subject):
                signs.setdefault(device.name, set()).add(series)
                if Series(self._farm.site, device.gateway, STATE) not in self._series:
                    signs.setdefault(device.gateway, set()).add(series)
        return signs

    def needs(self) -> dict[Series, int]:
        """Every series that is looked at, and how far back its readings can matter, in ms.

        What is raised may have ended any time since; what is not opens only on what is true now.
        """
        raised = {k for k, w in self._watches.items() if w.standing.onset_ms is not None}
        reach: dict[Series, int] = {}
        for key, cells in self._cells.items():
            back_ms = LOOK_BACK_MS if key in raised else self._pairs[key].memory_ms
            for series, _ in cells:
                reach[series] = max(reach.get(series, 0), back_ms)
        for series, back_ms in list(reach.items()):
            for state in self._known.states_of(series):
                reach[state] = max(reach.get(state, 0), back_ms)
        for series in self._series:
            if series.quantity == STATE:
                reach.setdefault(series, 0)
        return reach

    def fill_history(self, store: Store, now_ms: int) -> int:
        """Asks the store for the days of windows of days that are not known yet; of how many series."""
        return self._known.fill(store, now_ms)

    def newest_ms(self, series: Series) -> int:
        """The time of the newest reading of `series` that was fed; 0 for none."""
        return self._known.newest_ms(series)

    def stream_of(self, series: Series) -> str | None:
        """The gateway that sends `series`, as far as a reading of it shows that the gateway is there."""
        return self._known.stream_of(series)

    # --------------------------------------------------------------------------------------------- what happened

    def feed(self, readings: Iterable[Reading]) -> None:
        """Takes readings in any order; of each series only what is newer than its newest counts."""
        site = self._farm.site
        ordered = sorted((r for r in readings if r.series.site == site), key=_time_of)
        if unknown := [r.series for r in ordered if r.series not in self._series]:
            self.learn(unknown)
        entries = self._entries
        touched: dict[Key, Watch] = {}
        at_ms = 0
        for reading in ordered:
            if reading.time_ms != at_ms:
                self._observe_all(touched, at_ms)
                at_ms = reading.time_ms
            if self._known.take(reading):
                self._touch(entries[reading.series], reading, touched)
        self._observe_all(touched, at_ms)

    def _touch(self, entry: _Entry, reading: Reading, touched: dict[Key, Watch]) -> None:
        """Adds to `touched` the pairs of which `reading` may change something."""
        time_ms, value, stream = reading.time_ms, reading.value, entry.stream
        if stream is not None:
            if time_ms > stream.newest_ms:
                stream.newest_ms = time_ms
            if time_ms > stream.check_ms or reading.series.quantity == STATE:
                stream.is_marked, self._due_ms = True, AT_ONCE
        is_text = value.__class__ is str
        for cell in entry.cells:
            watch, text = cell.watch, cell.text
            if (
                watch.is_calm
                and time_ms < watch.calm_until_ms
                and (text is ANY or (value == text if is_text else cell.low < value < cell.high))  # type: ignore[operator]
                and (cell.stream is None or stream is None or time_ms + _BEHIND_MS >= stream.newest_ms)
            ):
                if time_ms > watch.last_ms:
                    watch.last_ms = time_ms
            else:
                touched[cell.key] = watch

    def _observe_all(self, touched: dict[Key, Watch], at_ms: int) -> None:
        for key, watch in touched.items():
            self._observe(key, watch, at_ms, at_ms)
        touched.clear()

    def _observe(self, key: Key, watch: Watch, at_ms: int, now_ms: int) -> None:
        watch.last_ms = max(watch.last_ms, at_ms)
        self._judge(key, watch, watch.last_ms, max(watch.last_ms, now_ms))

    def _judge(self, key: Key, watch: Watch, at_ms: int, now_ms: int) -> None:
        """Takes into the standing of `key` what its signals are worth at `now_ms`, as measured at `at_ms`."""
        pair = self._pairs[key]
        if watch.is_quiet and self._quick and is_kept(pair, self._ways[key], self._known, now_ms):
            watch.looks += 1
            if watch.looks % SEEK_BANDS_EVERY == 0:
                self._calm(key, pair, watch, at_ms)
            return
        was_active = watch.standing.active
        says = truths(pair.rule, self._known.values(pair, now_ms))
        if not pair.gate.in_season(at_ms):
            says = replace(says, raising=False)
        watch.standing = observe(pair.pace, watch.standing, says, at_ms)
        is_active = watch.standing.active
        if is_active != was_active:
            if key[0] in self._causes:
                self._due_ms = AT_ONCE
            if pair.rule.rule.about in _CLOCKED:
                self._look_for_silence_again(pair)
        if is_active:
            self._restless.add(key)
            watch.is_quiet = False
            self._rouse(key)
            self._plan_look(key, pair, watch)
        elif self._quick:
            watch.is_quiet = watch.standing.excused_ms is None and pair.rule.rule.excused is None
            self._calm(key, pair, watch, at_ms)

    def _look_for_silence_again(self, pair: Pair) -> None:
        device = self._farm.devices.get(pair.subject)
        stream = self._streams.get(device.gateway if device else pair.subject)
        if stream is not None:
            stream.check_ms = -1

    # ----------------------------------------------------------------------------------------- what need not be asked

    def _calm(self, key: Key, pair: Pair, watch: Watch, at_ms: int) -> None:
        """Takes note of what readings change nothing of a pair without a problem."""
        found: Guard | None = None
        is_out = False
        if watch.standing.excused_ms is None:
            is_out = not pair.gate.in_season(at_ms) and pair.rule.rule.excused is None
            found = Guard({}, pair.gate.next_change_ms(at_ms) or NEVER) if is_out else guard_of(pair, self._known)
        if found is None or found.until_ms <= at_ms:
            self._rouse(key)
            return
        watch.is_calm, watch.calm_until_ms = True, found.until_ms
        self._awake.discard(key)
        if is_out and key in self._moving:  # a season begins by the clock
            self._opens_ms = min(self._opens_ms, found.until_ms)
        for series, cell in self._cells[key]:
            cell.low, cell.high, cell.text = found.bands.get(series, FREE)

    def _rouse(self, key: Key) -> None:
        """From now on it is looked at again."""
        self._watches[key].is_calm = False
        if key in self._moving and key not in self._awake:
            self._awake.add(key)
            self._due_ms = AT_ONCE

    def _plan_look(self, key: Key, pair: Pair, watch: Watch) -> None:
        """When the clock may matter next to a problem that is there or begins."""
        if watch.standing.onset_ms is None and key in self._held:
            watch.due_ms = NEVER  # until what explains it is over
        else:
            watch.due_ms = min(due_times(pair.pace, watch), default=NEVER)
            if watch.standing.onset_ms is not None:
                watch.due_ms = min(watch.due_ms, pair.gate.next_change_ms(watch.last_ms) or NEVER)
        self._due_ms = min(self._due_ms, watch.due_ms)

    def _plan_another_look(self, key: Key, pair: Pair, watch: Watch, now_ms: int) -> None:
        """The same after a look that came to nothing: what was due is not true, or may not be raised now."""
        if watch.standing.onset_ms is None and key in self._held:
            watch.due_ms = NEVER
            return
        times = due_times(pair.pace, watch, self._busy_until(pair, now_ms))
        later = [t for t in times if t > now_ms]
        if (change_ms := pair.gate.next_change_ms(now_ms)) is not None:
            later.append(change_ms)
        if len(later) < len(times) and (pair.plain is None or pair.rule.rule.about in _CLOCKED):
            later.append(now_ms + LOOK_AGAIN_MS)
        watch.due_ms = min(later, default=NEVER)

    def next_due_ms(self) -> int:
        """Before this time `tick` has nothing to say, unless something is fed, told or confirmed meanwhile."""
        return self._due_ms if self._quick else AT_ONCE

    # ------------------------------------------------------------------------------------------- what is due now

    def tick(self, now_ms: int) -> list[Decision]:
        """What should be written at `now_ms`, causes before what they explain."""
        self._look_for_silence(now_ms)
        self._look_at_moving(now_ms)
        self._hold_back(now_ms)
        due: list[Decision] = []
        look_at = [k for k in self._restless if not self._quick or self._watches[k].due_ms <= now_ms]
        for key in sorted(look_at, key=self._rank):
            watch, pair = self._watches[key], self._pairs.get(key)
            decision = self._decide(key, pair, watch, now_ms) if pair else self._unwatched(key, watch, now_ms)
            if decision is not None:
                due.append(decision)
            elif not watch.standing.active:
                self._restless.discard(key)
            elif pair is None:
                watch.due_ms = NEVER  # until another state of the registry
            else:
                self._plan_another_look(key, pair, watch, now_ms)
        self._due_ms = min(
            self._streams.due_ms,
            self._next_slot_ms(now_ms) if self._awake else NEVER,
            self._opens_ms,
            *(self._watches[key].due_ms for key in self._restless),
        )
        return due

    def _look_for_silence(self, now_ms: int) -> None:
        """Lets the silence of a device or gateway begin at its last reading."""
        for stream in self._streams.due(now_ms) if self._quick else self._streams.all():
            stream.is_marked = False
            stream.check_ms = stream.again_ms = NEVER
            for key in stream.keys:
                pair, watch = self._pairs[key], self._watches[key]
                since = self._known.silent_since(pair, now_ms)
                if since is None:
                    check_ms, again_ms = self._known.may_fall_silent(pair, now_ms)
                    stream.check_ms, stream.again_ms = min(stream.check_ms, check_ms), min(stream.again_ms, again_ms)
                elif watch.standing.raising.since_ms is None:
                    self._observe(key, watch, since, now_ms)

    def _next_slot_ms(self, now_ms: int) -> int:
        return ((now_ms + self._offset_ms) // MOVES_EVERY_MS + 1) * MOVES_EVERY_MS - self._offset_ms

    def _look_at_moving(self, now_ms: int) -> None:
        """Looks at what may have changed without a reading."""
        if now_ms >= self._opens_ms:
            self._opens_ms = NEVER
            for key in self._moving:
                if self._watches[key].is_calm and self._watches[key].calm_until_ms <= now_ms:
                    self._rouse(key)
        slot = (now_ms + self._offset_ms) // MOVES_EVERY_MS
        for key in sorted(k for k in self._awake if self._moving[k] != slot):
            self._moving[key] = slot
            watch = self._watches[key]
            was_active, at_ms = watch.standing.active, max(watch.last_ms, now_ms)
            self._judge(key, watch, at_ms, at_ms)
            if was_active or watch.standing.active:
                watch.last_ms = at_ms
                self._plan_look(key, self._pairs[key], watch)

    def _rank(self, key: Key) -> tuple[int, Key]:
        rule = self._rules.rules.get(key[0])
        return (_CAUSES_FIRST.index(rule.about) if rule else len(_CAUSES_FIRST), key)

    def _hold_back(self, now_ms: int) -> None:
        """Notes what a problem above explains, also where nothing shows yet: it may show just when that is over."""
        active = frozenset(
            k
            for k in self._restless
            if k[0] in self._causes and k in self._pairs and self._watches[k].standing.active
        )
        if self._quick and active == self._active_causes:
            return
        before, self._active_causes = self._held, active
        self._held = {
            key
            for key, pair in self._pairs.items()
            if active and explanation(self._farm, pair.rule.rule, pair.subject, self._rules.rules, active)
        }
        for key in before - self._held:
            self._watches[key].held_ms = now_ms
        for key in (before ^ self._held) & self._pairs.keys() & self._restless:
            self._plan_look(key, self._pairs[key], self._watches[key])

    def _decide(self, key: Key, pair: Pair, watch: Watch, now_ms: int) -> Decision | None:
        is_open = watch.standing.onset_ms is not None
        if not pair.gate.in_season(now_ms):
            return self._end_of_season(pair, watch, now_ms) if is_open else None
        if not is_open:
            busy_ms = max(watch.held_ms, self._busy_until(pair, now_ms))
            if key in self._held or now_ms - busy_ms < pair.pace.for_ms or not pair.gate.in_hours(now_ms):
                return None
            if self._behind and self._is_behind(pair):
                return None
        says = truths(pair.rule, self._known.values(pair, now_ms))
        verdict = settle(pair.pace, watch.standing, says, now_ms)
        if verdict is not None:
            return self._decision(_KINDS[verdict.kind], pair, watch.standing, verdict, now_ms)
        newer = watch.last_ms > watch.touched_at_ms and now_ms - watch.touched_ms >= TOUCH_EVERY_MS
        if not is_open or not newer:
            return None
        return self._decision("seen", pair, watch.standing, None, now_ms)

    def _end_of_season(self, pair: Pair, watch: Watch, now_ms: int) -> Decision:
        ended = self._decision("end", pair, watch.standing, Verdict("end", now_ms), now_ms)
        return replace(ended, reason="season")

    def _is_behind(self, pair: Pair) -> bool:
        device = self._known.device_of(pair.subject)
        streams = {self._known.stream_of(series) for series in pair.series} | {device.gateway if device else None}
        return not self._behind.isdisjoint(streams)

    def _busy_until(self, pair: Pair, now_ms: int) -> int:
        """When the work on the subject of `pair` that began last is over, or was; 0 where none matters."""
        rule = pair.rule.rule
        if not self._windows or rule.life_safety or rule.severity == "critical":
            return 0
        begun = (w for w in self._windows if w.from_ms <= now_ms and touches(w, self._whereabouts, pair.subject))
        return max((w.until_ms for w in begun), default=0)

    def _decision(self, kind: Kind, pair: Pair, standing: Standing, verdict: Verdict | None, now_ms: int) -> Decision:
        rule = pair.rule.rule
        step = max(verdict.step if verdict else 0, standing.step)
        decided_ms = verdict.at_ms if verdict else now_ms
        return Decision(
            kind,
            self._farm.site,
            rule.rule,
            pair.subject,
            onset_ms=decided_ms if standing.onset_ms is None else standing.onset_ms,
            at_ms=decided_ms if kind == "end" else now_ms,
            severity=worst(pair.severity, rule.worse[step - 1].severity) if step else pair.severity,
            place=pair.place,
            step=step,
            signals=self._known.signals(pair, now_ms),
            children=tuple(below(self._farm, rule.about, pair.subject)),
            by_hand=rule.reset == "by-hand",
        )

    def _unwatched(self, key: Key, watch: Watch, now_ms: int) -> Decision | None:
        """The end of a problem that nothing watches any more: its rule, device or placement is gone."""
        rule, onset_ms = self._rules.rules.get(key[0]), watch.standing.onset_ms
        if onset_ms is None or (rule is not None and may_watch(self._farm, rule, key[1])):
            return None
        by_hand = rule is not None and rule.reset == "by-hand"
        why = "not watched any more"
        return Decision("end", self._farm.site, *key, onset_ms, now_ms, reason=why, by_hand=by_hand)

    def confirm(self, decision: Decision, onset_ms: int | None = None) -> None:
        """Remembers that `decision` is written. `onset_ms`: of the alert that stood in the book already."""
        watch = self._watches.setdefault(decision.key, Watch())
        if decision.kind == "end":
            watch.standing = watch.standing.ended()
        else:
            onset = decision.onset_ms if onset_ms is None else onset_ms
            watch.standing = watch.standing.raised(onset, decision.step)
            watch.touched_ms, watch.touched_at_ms = decision.at_ms, watch.last_ms
        self._changed_outside(decision.key)

    def adopt(self, rule: str, subject: str, onset_ms: int, severity: Severity) -> None:
        """Takes over a problem that stands open in the book, whether or not it is remembered here."""
        known = self._rules.rules.get(rule)
        steps = [i for i, w in enumerate(known.worse, 1) if w.severity == severity] if known else []
        watch = self._watches.setdefault((rule, subject), Watch())
        end_ms = watch.standing.end_ms if watch.standing.onset_ms == onset_ms else None
        watch.standing = replace(watch.standing.raised(onset_ms, max(steps, default=0)), end_ms=end_ms)
        self._changed_outside((rule, subject))

    def forget_unless(self, open_keys: Collection[Key]) -> None:
        """Takes every problem that is not open in the book for not raised: the book is right, a memory may be old."""
        for key, watch in self._watches.items():
            if key not in open_keys and watch.standing.onset_ms is not None:
                watch.standing = watch.standing.ended()
                self._changed_outside(key)

    def _changed_outside(self, key: Key) -> None:
        """What the book says is another thing now: looked at by the next reading and by the clock."""
        watch, pair = self._watches[key], self._pairs.get(key)
        watch.is_quiet = False
        if watch.standing.active:
            self._restless.add(key)
        if key[0] in self._causes or pair is None:
            watch.due_ms = self._due_ms = AT_ONCE
        if pair is not None:
            self._rouse(key)
            self._plan_look(key, pair, watch)

    # ----------------------------------------------------------------------------------------- over a restart

    def memory(self) -> dict[str, Any]:
        """What a judge that starts again needs, as JSON."""
        watches = [[*k, w.last_ms, w.held_ms, _dump(w.standing)] for k, w in self._watches.items()]
        held = [list(key) for key in sorted(self._held)]
        return {"version": 1, **self._known.memory(), "watches": watches, "held": held}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Goes on from `memory`; one of another version is not used."""
        if memory.get("version") != 1:
            return
        for rule, subject, last_ms, held_ms, standing in memory["watches"]:
            self._watches[rule, subject] = Watch(_load(standing), last_ms, held_ms)
        self._series |= set(self._known.recall(memory))
        self._plan()
        self._held = {(rule, subject) for rule, subject in memory.get("held", ())} & self._watches.keys()


def _dump(standing: Standing) -> list[Any]:
    held = (standing.raising, standing.clearing, *standing.worse)
    times = [[h.since_ms, h.known_ms] for h in held]
    return [standing.onset_ms, standing.end_ms, standing.step, standing.excused_ms, times]


def _load(dumped: list[Any]) -> Standing:
    onset_ms, end_ms, step, excused_ms, held = dumped
    raising, clearing, *worse = (Held(*h) for h in held)
    return Standing(raising, clearing, tuple(worse), onset_ms, end_ms, step, excused_ms)
