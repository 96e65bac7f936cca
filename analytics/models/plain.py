"""One series' usual behaviour, learned as it goes, and how far from it the newest reading is. No kind of sensor is
known.

Theory of operation. A few *traits* are worked out of the series, each in constant time per reading: its value; its
means over an hour, six hours and a day; the same of what it is off the usual of its local hour; how much it moves
from one reading to the next. Each has an *envelope*: the range in which it was so far, slowly forgetting. A trait
outside its envelope is unusual by as much as it lies outside, in widths of the envelope, over what it is allowed
(`_ALLOWED`). Beside those, times are compared with the longest so far: how long it has not moved, how long it stays
above or below levels that it usually crosses, how long nothing came. 1 is the line of an alarm.

- Nothing is unusual while it learns (`LEARN_S`, and `LEARN_MOVES` changes), but silence and readings without a
  number.
- What is unusual is not learned while it lasts, unless for `ACCEPT_S`: then it is the new usual. Of what is over,
  half is learned.
- It cannot know what is right: a fault that is there from the beginning is usual to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

HOUR_S: Final = 3_600.0
DAY_S: Final = 24 * HOUR_S
LEARN_S: Final = 7 * DAY_S
LEARN_MOVES: Final = 100
WIDEN: Final = 0.5
ACCEPT_S: Final = 7 * DAY_S
FORGET_S: Final = 60 * DAY_S
LINE: Final = 1.0

Kind = Literal["level", "spike", "drift", "noise", "stuck", "silent", "no-number"]

_MEANS_S: Final = (HOUR_S, 6 * HOUR_S, DAY_S)
_TRAITS: Final[tuple[tuple[str, Kind], ...]] = (
    ("value", "spike"),
    ("mean_1h", "level"),
    ("mean_6h", "level"),
    ("mean_1d", "drift"),
    ("off_1h", "level"),
    ("off_6h", "level"),
    ("off_1d", "drift"),
    ("moves_1h", "noise"),
    ("moves_6h", "noise"),
    ("move", "spike"),
)
_ALLOWED: Final[Mapping[str, float]] = {
    "value": 0.15, "mean_1h": 0.07, "mean_6h": 0.07, "mean_1d": 0.07,
    "off_1h": 0.09, "off_6h": 0.07, "off_1d": 0.07, "moves_1h": 0.3, "moves_6h": 0.18, "move": 0.5,
}  # fmt: skip
"""How far outside its envelope a trait may be, in widths. Set once for all sensors, on labelled farm series."""
_LEVELS: Final = (0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95)
"""Shares of time: a series may stay above or below the value that it exceeds so often only as long as it did
before."""
DWELL_ALLOWED: Final = 2.2
DWELL_LEAST_S: Final = HOUR_S
DWELL_LONGEST_S: Final = 12 * HOUR_S
"""A level that is not crossed twice a day says nothing: weather, seasons and stores take longer."""
RUN_ALLOWED: Final = 2.0
RUN_LEAST_S: Final = 2 * HOUR_S
REST_ALLOWED: Final = 3.0
GAP_ALLOWED: Final = 1.6
GAP_LEAST_POLLS: Final = 4.0
KNOWN_AFTER_S: Final = DAY_S
"""How often something comes is known after so long."""
NO_NUMBER_AFTER: Final = 2
VISITS: Final = 10
"""A level, or a rest, that was seen less often is not known yet."""


@dataclass(slots=True)
class Envelope:
    """The range of a trait so far."""

    low: float = math.inf
    high: float = -math.inf

    def beyond(self, value: float, least: float) -> float:
        """How far `value` lies outside, in widths (at least `least` wide); 0 inside."""
        if self.high < self.low:
            return 0.0
        outside = value - self.high if value > self.high else self.low - value
        return outside / max(self.high - self.low, least) if outside > 0 else 0.0

    def take(self, value: float, lasted_s: float) -> None:
        if self.high < self.low:
            self.low = self.high = value
            return
        fade = lasted_s / FORGET_S * (self.high - self.low) / 2
        self.low = min(value, self.low + fade)
        self.high = max(value, self.high - fade)


@dataclass(slots=True)
class Track:
    """What is remembered of a series. Times in seconds."""

    begun_s: float | None = None
    at_s: float = 0.0
    value: float = math.nan
    moved_s: float = 0.0
    step: float = 0.0  # the smallest move, which is its resolution
    poll_s: float = 0.0
    longest_run_s: float = 0.0
    longest_rest_s: float = 0.0
    rests: int = 0
    longest_gap_s: float = 0.0
    levels: list[float] = field(default_factory=lambda: [math.nan] * len(_LEVELS))
    crossed_s: list[float] = field(default_factory=lambda: [0.0] * 2 * len(_LEVELS))  # when it was last below, above
    longest_s: list[float] = field(default_factory=lambda: [0.0] * 2 * len(_LEVELS))
    visits: list[int] = field(default_factory=lambda: [0] * 2 * len(_LEVELS))
    trait: str = ""
    without_number: int = 0
    means: list[float] = field(default_factory=lambda: [0.0] * 3)
    offs: list[float] = field(default_factory=lambda: [0.0] * 3)
    moves: list[float] = field(default_factory=lambda: [0.0] * 2)
    spread: float = 0.0
    hours: list[float] = field(default_factory=lambda: [math.nan] * 24)
    moved: int = 0
    peaks: dict[str, tuple[float, float]] = field(default_factory=dict)
    envelopes: dict[str, Envelope] = field(default_factory=lambda: {name: Envelope() for name, _ in _TRAITS})
    since_s: float | None = None  # since when it is over the line
    score: float = 0.0
    kind: Kind = "level"

    # ------------------------------------------------------------------------------------------------- readings

    def take(self, at_s: float, value: float, hour: int) -> float:
        """Learns a reading (NaN: it had no number) and says how unusual it is; `hour`: local, 0..23."""
        if self.begun_s is None:
            self._begin(at_s, value)
            return 0.0
        gap_s = max(0.0, at_s - self.at_s)
        self._note_gap(gap_s)
        self.at_s = at_s
        if math.isnan(value):
            self.without_number += 1
            return self._tell(at_s, 1.5 if self.without_number >= NO_NUMBER_AFTER else 0.0, "no-number", "no number")
        self.without_number = 0
        if math.isnan(self.value):
            self.value, self.moved_s = value, at_s
        traits = self._traits(gap_s, value, hour)
        unusual = {n: self.envelopes[n].beyond(traits[n], self._least(n)) / _ALLOWED[n] for n in traits}
        candidates: list[tuple[float, Kind, str]] = [
            (self._stuck(at_s, value), "stuck", "run"),
            (self._dwell(at_s, value, gap_s), "level", "dwell"),
            *((unusual[name], kind, name) for name, kind in _TRAITS),
        ]
        worst, kind, trait = max(candidates, key=lambda c: c[0])
        self.moved += value != self.value
        learning = self._is_learning(at_s)
        accepted = self.since_s is not None and at_s - self.since_s > ACCEPT_S
        score = self._tell(at_s, 0.0 if learning else worst, kind, trait)
        self._take_in(traits, unusual, gap_s, all_of_it=learning or accepted)
        self._learn_hour(value, hour, usual=learning or accepted or score < LINE)
        return score

    def _take_in(
        self, traits: Mapping[str, float], unusual: Mapping[str, float], gap_s: float, *, all_of_it: bool
    ) -> None:
        for name, trait in traits.items():
            if all_of_it or unusual[name] < LINE:
                self.envelopes[name].take(trait, gap_s)
            else:
                low, high = self.peaks.get(name, (math.inf, -math.inf))
                self.peaks[name] = min(low, trait), max(high, trait)
        if self.score < LINE and self.peaks:
            self._widen()

    def _widen(self) -> None:
        """After something unusual is over, half of it is usual: weather comes again, and a fault is seen again."""
        for name, peaks in self.peaks.items():
            envelope = self.envelopes[name]
            wide = envelope.high - envelope.low
            for peak in peaks:
                if math.isfinite(peak):
                    edge = envelope.high if peak > envelope.high else envelope.low
                    reach = max(-wide, min(peak - edge, wide))
                    envelope.take(edge + WIDEN * reach if wide else peak, 0.0)
        self.peaks.clear()

    def look(self, now_s: float) -> float:
        """How unusual it is that nothing came until now."""
        if self.begun_s is None:
            return 0.0
        silent = self._silence(now_s - self.at_s)
        return self._tell(now_s, silent, "silent", "gap") if silent >= LINE else self.score

    def _begin(self, at_s: float, value: float) -> None:
        self.begun_s = self.at_s = self.moved_s = at_s
        self.value = value
        self.means = [0.0 if math.isnan(value) else value] * 3

    def _tell(self, at_s: float, score: float, kind: Kind, trait: str) -> float:
        if score < LINE:
            self.since_s = None
        elif self.since_s is None:
            self.since_s = at_s
        self.score, self.kind, self.trait = score, kind, trait
        return score

    # --------------------------------------------------------------------------------------------------- traits

    def _traits(self, gap_s: float, value: float, hour: int) -> dict[str, float]:
        """A value holds until the next: means are over time, however a sensor speaks."""
        held_s = min(gap_s, 6 * HOUR_S)
        before = self.value
        move = abs(value - before)
        if move > 0:
            self.step = move if self.step == 0 else min(self.step, move)
        usual = self.hours[hour]
        off = before - usual if not math.isnan(usual) else 0.0
        for i, over_s in enumerate(_MEANS_S):
            share = 1 - math.exp(-held_s / over_s)
            self.means[i] += share * (before - self.means[i])
            self.offs[i] += share * (off - self.offs[i])
            if i < 2:
                self.moves[i] += share * (move - self.moves[i])
        return {
            "value": value,
            "mean_1h": self.means[0], "mean_6h": self.means[1], "mean_1d": self.means[2],
            "off_1h": self.offs[0], "off_6h": self.offs[1], "off_1d": self.offs[2],
            "moves_1h": self.moves[0], "moves_6h": self.moves[1], "move": move,
        }  # fmt: skip

    def _least(self, name: str) -> float:
        """The least width an envelope is taken for: what the sensor can tell apart."""
        return max(4 * self.step, 1e-12) if not name.startswith("move") else max(self.step, 1e-12)

    def _stuck(self, at_s: float, value: float) -> float:
        """How much longer than ever it has not moved. At its lowest it may rest: no rain, no flow, a motor that is
        off."""
        run_s = at_s - self.moved_s
        rests = self.value <= self.envelopes["value"].low
        longest_s = self.longest_rest_s if rests else self.longest_run_s
        allowed_s = max(RUN_LEAST_S, (REST_ALLOWED if rests else RUN_ALLOWED) * longest_s)
        if value != self.value:
            # One that ended by itself was longer than thought; a single one does not change much.
            grown_s = run_s if self._is_learning(at_s) or rests else min(run_s, 2 * max(longest_s, RUN_LEAST_S))
            longest_s = max(grown_s, longest_s * (1 - run_s / FORGET_S))
            if rests:
                self.longest_rest_s = longest_s
                self.rests += 1
            else:
                self.longest_run_s = longest_s
            self.moved_s = at_s
            run_s = 0.0
        return run_s / allowed_s if not rests or self.rests >= VISITS else 0.0

    def _dwell(self, at_s: float, value: float, gap_s: float) -> float:
        """How much longer than ever it stays above, or below, levels that it crosses from time to time."""
        worst = 0.0
        learning = self._is_learning(at_s)
        scale = 0.02 * (self.spread or abs(value - self.value)) * min(1.0, gap_s / 1800)
        for i, share in enumerate(_LEVELS):
            level = self.levels[i]
            if math.isnan(level):
                self.levels[i] = value
                self.crossed_s[2 * i] = self.crossed_s[2 * i + 1] = at_s
                continue
            for side, there in ((2 * i, value > level), (2 * i + 1, value < level)):
                run_s = at_s - self.crossed_s[side]
                longest_s = self.longest_s[side]
                if there:
                    if self.visits[side] >= VISITS and longest_s <= DWELL_LONGEST_S:
                        worst = max(worst, run_s / max(DWELL_LEAST_S, DWELL_ALLOWED * longest_s))
                else:
                    self.visits[side] += run_s > 2 * gap_s
                    grown_s = run_s if learning else min(run_s, 3 * max(longest_s, HOUR_S))
                    self.longest_s[side] = max(grown_s, longest_s * (1 - run_s / FORGET_S))
                    self.crossed_s[side] = at_s
            self.levels[i] = level + scale * (share if value > level else share - 1 if value < level else 0.0)
        return worst

    def _silence(self, gap_s: float) -> float:
        if self.poll_s == 0 or self.at_s - (self.begun_s or 0.0) < KNOWN_AFTER_S:
            return 0.0
        allowed_s = max(GAP_LEAST_POLLS * self.poll_s, GAP_ALLOWED * self.longest_gap_s)
        return gap_s / allowed_s

    def _note_gap(self, gap_s: float) -> None:
        silent = self._silence(gap_s)
        self.poll_s = gap_s if self.poll_s == 0 else self.poll_s + 0.05 * (min(gap_s, 3 * self.poll_s) - self.poll_s)
        if silent < LINE or self._is_learning(self.at_s):
            self.longest_gap_s = max(gap_s, self.longest_gap_s * (1 - gap_s / FORGET_S))

    def _is_learning(self, at_s: float) -> bool:
        return self.begun_s is not None and (at_s - self.begun_s < LEARN_S or self.moved < LEARN_MOVES)

    def _learn_hour(self, value: float, hour: int, *, usual: bool) -> None:
        """The usual of the local hour: a running median, which one bad day moves little."""
        self.value = value
        if not usual:
            return
        known = self.hours[hour]
        if math.isnan(known):
            self.hours[hour] = value
            return
        off = value - known
        self.spread += 0.002 * (abs(off) - self.spread)
        pull = 0.05 * (self.spread or abs(off))
        self.hours[hour] = known + (pull if off > pull else -pull if off < -pull else off)

    # ------------------------------------------------------------------------------------------ for people, for later

    def band(self, hour: int) -> tuple[float, float, float] | None:
        """(expected, low, high) of the value in a local hour: outside it is unusual by itself. None while it
        learns."""
        envelope = self.envelopes["value"]
        if self._is_learning(self.at_s) or envelope.high < envelope.low:
            return None
        margin = _ALLOWED["value"] * max(envelope.high - envelope.low, self._least("value"))
        usual = self.hours[hour]
        middle = usual if not math.isnan(usual) else (envelope.low + envelope.high) / 2
        return middle, envelope.low - margin, envelope.high + margin

    def memory(self) -> dict[str, Any]:
        """As JSON."""
        told: dict[str, Any] = {
            f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("envelopes", "peaks")
        }
        told = {k: _plain(v) for k, v in told.items()}
        told["envelopes"] = {n: [e.low, e.high] for n, e in self.envelopes.items() if e.low <= e.high}
        told["peaks"] = {n: [p if math.isfinite(p) else None for p in both] for n, both in self.peaks.items()}
        return told

    @classmethod
    def recalled(cls, memory: Mapping[str, Any]) -> Track:
        """The track that told `memory`; `KeyError`, `TypeError` or `ValueError` for one of another version."""
        track = cls(**{k: _number(v) for k, v in memory.items() if k not in ("envelopes", "peaks")})
        track.value = math.nan if memory["value"] is None else memory["value"]
        track.begun_s, track.since_s = memory["begun_s"], memory["since_s"]
        track.envelopes |= {name: Envelope(*range_) for name, range_ in memory["envelopes"].items()}
        for name, (low, high) in memory["peaks"].items():
            track.peaks[name] = (math.inf if low is None else low, -math.inf if high is None else high)
        return track


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _number(value: Any) -> Any:
    return [math.nan if v is None else v for v in value] if isinstance(value, list) else value


class ForScoring:
    """One series at a time, as the scorer of labelled series drives a detector: `update`, `tick`, 0..1."""

    threshold = 0.5

    def __init__(self, about: Mapping[str, Any]) -> None:
        del about
        self.track = Track()

    def update(self, t: float, v: float) -> float:
        return _squashed(self.track.take(t, v, int(t // HOUR_S) % 24))

    def tick(self, t: float) -> float:
        return _squashed(self.track.look(t))


def _squashed(score: float) -> float:
    return score / (1 + score)
