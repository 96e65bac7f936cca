"""Judges one farm: takes its readings, looks at the clock, and says what should be written into the alert book.

What it guarantees, given the readings of a series in ascending time:

- It opens nothing that is not true at the newest reading, and nothing on a signal that is stale or faulty.
- A reading older than the newest of its series changes nothing.
- A problem that one above it explains is held back, and has to last its own persistence again when that one is over.
- It decides again what was not confirmed; so its caller writes first and confirms afterwards.

It does no I/O and keeps no clock. What it must remember over a restart is `memory`; the rest is in the store.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Final

from analytics.causes import Key, below, explanation
from analytics.decision import Decision, Kind
from analytics.farm import Farm
from analytics.pairs import Pair, may_watch, plan_pairs, waiting, worst
from analytics.rules import FarmRules
from analytics.seen import STATE, Seen
from analytics.signals.contexts import Contexts
from analytics.signals.planned import Facts
from makiba.reading import Reading, Series
from makiba.rule import About, Severity
from makiba.standing import Held, Standing, Verdict, observe, settle, truths

TOUCH_EVERY_MS: Final = 30_000
"""How often at most the values of an alert that stays open are written again."""

MOVES_EVERY_MS: Final = 10_000
"""How often what may change without a reading (times that run on, facts) is looked at."""

LOOK_BACK_MS: Final = 24 * 3_600_000
"""How far back at most the store is read."""

_CLOCKED: Final[tuple[About, ...]] = ("device", "gateway")
"""What may fall silent without a reading that says so."""
_CAUSES_FIRST: Final[tuple[About, ...]] = ("gateway", "bus", "device", "subject")
_KINDS: Final[Mapping[str, Kind]] = {"raise": "open", "worsen": "worsen", "end": "end"}


@dataclass(slots=True)
class _Watch:
    """What is remembered of a pair; all in UTC ms."""

    standing: Standing = field(default_factory=Standing)
    last_ms: int = 0  # newest time it was judged for
    held_ms: int = 0  # when a problem above last explained it
    touched_ms: int = 0  # when its alert was last written
    touched_at_ms: int = 0  # `last_ms` at that time


class Judge:
    """The judge of one farm. Not for several threads at once."""

    def __init__(self, farm: Farm, rules: FarmRules, contexts: Contexts | None = None) -> None:
        self._farm, self._rules = farm, rules
        self._known = Seen(farm, contexts)
        self._moving: dict[Key, int] = {}  # when what may change without a reading was last looked at
        self._series: set[Series] = set()
        self._pairs: dict[Key, Pair] = {}
        self._by_series: dict[Series, list[Key]] = {}
        self._watches: dict[Key, _Watch] = {}
        self._restless: set[Key] = set()
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
            self._plan()

    def tell(self, facts: Facts) -> None:
        """Goes on with these settings, forecasts and facts."""
        before, self._known.told = self._known.told, dict(facts.values)
        if before.keys() != self._known.told.keys():
            self._plan()
        self._moving = dict.fromkeys(self._moving, 0)

    def waiting(self) -> list[tuple[str, str]]:
        """(rule, setting) for each rule that watches nothing because the farm does not say what it needs."""
        return list(waiting(self._rules.rules, self._known.told))

    def _plan(self) -> None:
        before = self._pairs
        self._pairs = plan_pairs(self._farm, self._rules, self._series, self._known.contexts, self._known.told.keys())
        self._known.watch(self._pairs.values())
        self._moving = {key: self._moving.get(key, 0) for key, pair in self._pairs.items() if pair.moves}
        proofs = self._signs_of_life()
        self._by_series = {}
        for key, pair in self._pairs.items():
            signs = proofs.get(pair.subject, set()) if pair.rule.rule.about in _CLOCKED else set()
            for series in pair.series | signs:
                self._by_series.setdefault(series, []).append(key)
        self._restless = {k for k, w in self._watches.items() if w.standing.active}
        for key in self._pairs.keys() - before.keys():
            # What was said before anybody watched it may not be said again for a while: a state comes on change.
            newest_ms = max((self._known.newest_ms(series) for series in self._pairs[key].series), default=0)
            watch = self._watches.setdefault(key, _Watch())
            if newest_ms > watch.last_ms:
                self._observe(key, watch, newest_ms, newest_ms)

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
        reach = {
            s: max(LOOK_BACK_MS if k in raised else self._pairs[k].memory_ms for k in keys)
            for s, keys in self._by_series.items()
        }
        for series, back_ms in list(reach.items()):
            for state in self._known.states_of(series):
                reach[state] = max(reach.get(state, 0), back_ms)
        for series in self._series:
            if series.quantity == STATE:
                reach.setdefault(series, 0)
        return reach

    def newest_ms(self, series: Series) -> int:
        """The time of the newest reading of `series` that was fed; 0 for none."""
        return self._known.newest_ms(series)

    # --------------------------------------------------------------------------------------------- what happened

    def feed(self, readings: Iterable[Reading]) -> None:
        """Takes readings in any order; of each series only what is newer than its newest counts."""
        ordered = sorted((r for r in readings if r.series.site == self._farm.site), key=lambda r: r.time_ms)
        self.learn(r.series for r in ordered)
        for time_ms, group in groupby(ordered, key=lambda r: r.time_ms):
            touched: dict[Key, None] = {}
            for reading in group:
                if self._known.take(reading):
                    touched |= dict.fromkeys(self._by_series.get(reading.series, ()))
            for key in touched:
                self._observe(key, self._watches.setdefault(key, _Watch()), time_ms, time_ms)

    def _observe(self, key: Key, watch: _Watch, at_ms: int, now_ms: int) -> None:
        pair = self._pairs[key]
        watch.last_ms = max(watch.last_ms, at_ms)
        says = truths(pair.rule, self._known.values(pair, max(watch.last_ms, now_ms)))
        if not pair.gate.in_season(watch.last_ms):
            says = replace(says, raising=False)
        watch.standing = observe(pair.pace, watch.standing, says, watch.last_ms)
        if watch.standing.active:
            self._restless.add(key)

    # ------------------------------------------------------------------------------------------- what is due now

    def tick(self, now_ms: int) -> list[Decision]:
        """What should be written at `now_ms`, causes before what they explain."""
        self._look_for_silence(now_ms)
        for key, looked_ms in self._moving.items():
            if now_ms - looked_ms >= MOVES_EVERY_MS:
                self._moving[key] = now_ms
                self._observe(key, self._watches.setdefault(key, _Watch()), now_ms, now_ms)
        due: list[Decision] = []
        active = {k for k in self._restless if k in self._pairs and self._watches[k].standing.active}
        self._hold_back(active, now_ms)
        for key in sorted(self._restless, key=self._rank):
            watch, pair = self._watches[key], self._pairs.get(key)
            decision = self._decide(pair, watch, now_ms) if pair else self._unwatched(key, watch, now_ms)
            if decision is not None:
                due.append(decision)
            elif not watch.standing.active:
                self._restless.discard(key)
        return due

    def _look_for_silence(self, now_ms: int) -> None:
        """Lets the silence of a device or gateway begin at its last reading."""
        for key, pair in self._pairs.items():
            if pair.rule.rule.about not in _CLOCKED:
                continue
            since = self._known.silent_since(pair, now_ms)
            watch = self._watches.setdefault(key, _Watch())
            if since is not None and watch.standing.raising.since_ms is None:
                self._observe(key, watch, since, now_ms)

    def _rank(self, key: Key) -> tuple[int, Key]:
        rule = self._rules.rules.get(key[0])
        return (_CAUSES_FIRST.index(rule.about) if rule else len(_CAUSES_FIRST), key)

    def _hold_back(self, active: Collection[Key], now_ms: int) -> None:
        """Notes what a problem above explains, also where nothing shows yet: it may show just when that is over."""
        causes = {name for rule in self._rules.rules.values() for name in rule.explained_by}
        if not any(rule in causes for rule, _ in active):
            return
        for key, pair in self._pairs.items():
            if explanation(self._farm, pair.rule.rule, pair.subject, self._rules.rules, active):
                self._watches.setdefault(key, _Watch()).held_ms = now_ms

    def _decide(self, pair: Pair, watch: _Watch, now_ms: int) -> Decision | None:
        is_open = watch.standing.onset_ms is not None
        if not pair.gate.in_season(now_ms):
            over = Verdict("end", now_ms)
            return (
                replace(self._decision("end", pair, watch.standing, over, now_ms), reason="season")
                if is_open
                else None
            )
        if not is_open and not pair.gate.in_hours(now_ms):
            return None
        says = truths(pair.rule, self._known.values(pair, now_ms))
        verdict = settle(pair.pace, watch.standing, says, now_ms)
        held = watch.held_ms == now_ms or now_ms - watch.held_ms < pair.pace.for_ms
        if watch.standing.onset_ms is None and held:
            return None
        if verdict is not None:
            return self._decision(_KINDS[verdict.kind], pair, watch.standing, verdict, now_ms)
        newer = watch.last_ms > watch.touched_at_ms and now_ms - watch.touched_ms >= TOUCH_EVERY_MS
        if watch.standing.onset_ms is None or not newer:
            return None
        return self._decision("seen", pair, watch.standing, None, now_ms)

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

    def _unwatched(self, key: Key, watch: _Watch, now_ms: int) -> Decision | None:
        """The end of a problem that nothing watches any more: its rule, device or placement is gone."""
        rule, onset_ms = self._rules.rules.get(key[0]), watch.standing.onset_ms
        if onset_ms is None or (rule is not None and may_watch(self._farm, rule, key[1])):
            return None
        by_hand = rule is not None and rule.reset == "by-hand"
        why = "not watched any more"
        return Decision("end", self._farm.site, *key, onset_ms, now_ms, reason=why, by_hand=by_hand)

    def confirm(self, decision: Decision, onset_ms: int | None = None) -> None:
        """Remembers that `decision` is written. `onset_ms`: of the alert that stood in the book already."""
        watch = self._watches.setdefault(decision.key, _Watch())
        if decision.kind == "end":
            watch.standing = watch.standing.ended()
        else:
            onset = decision.onset_ms if onset_ms is None else onset_ms
            watch.standing = watch.standing.raised(onset, decision.step)
            watch.touched_ms, watch.touched_at_ms = decision.at_ms, watch.last_ms

    def adopt(self, rule: str, subject: str, onset_ms: int, severity: Severity) -> None:
        """Takes over a problem that stands open in the book, whether or not it is remembered here."""
        known = self._rules.rules.get(rule)
        steps = [i for i, w in enumerate(known.worse, 1) if w.severity == severity] if known else []
        watch = self._watches.setdefault((rule, subject), _Watch())
        end_ms = watch.standing.end_ms if watch.standing.onset_ms == onset_ms else None
        watch.standing = replace(watch.standing.raised(onset_ms, max(steps, default=0)), end_ms=end_ms)
        self._restless.add((rule, subject))

    def forget_unless(self, open_keys: Collection[Key]) -> None:
        """Takes every problem that is not open in the book for not raised: the book is right, a memory may be old."""
        for key, watch in self._watches.items():
            if key not in open_keys and watch.standing.onset_ms is not None:
                watch.standing = watch.standing.ended()

    # ----------------------------------------------------------------------------------------- over a restart

    def memory(self) -> dict[str, Any]:
        """What a judge that starts again needs, as JSON."""
        watches = [[*k, w.last_ms, w.held_ms, _dump(w.standing)] for k, w in self._watches.items()]
        return {"version": 1, **self._known.memory(), "watches": watches}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Goes on from `memory`; one of another version is not used."""
        if memory.get("version") != 1:
            return
        for rule, subject, last_ms, held_ms, standing in memory["watches"]:
            self._watches[rule, subject] = _Watch(_load(standing), last_ms, held_ms)
        self._series |= set(self._known.recall(memory))
        self._plan()


def _dump(standing: Standing) -> list[Any]:
    held = (standing.raising, standing.clearing, *standing.worse)
    times = [[h.since_ms, h.known_ms] for h in held]
    return [standing.onset_ms, standing.end_ms, standing.step, standing.excused_ms, times]


def _load(dumped: list[Any]) -> Standing:
    onset_ms, end_ms, step, excused_ms, held = dumped
    raising, clearing, *worse = (Held(*h) for h in held)
    return Standing(raising, clearing, tuple(worse), onset_ms, end_ms, step, excused_ms)
