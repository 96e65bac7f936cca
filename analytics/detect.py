"""The place of detectors: what looks at readings without a rule and says what is not as usual.

A detector learns as it goes, in event time and in constant time per reading, and remembers over a restart. Its
findings say what was expected and within which band, since when, and from which signals: an alarm without a reason
is none. `PlainDetector` is the one that comes with Makiba; models that learn across sensors stand behind the same
protocol.

What it finds is no alert by itself. `makiba backtest --detector` tells it as alerts of a rule `unusual`; nothing
wakes anybody.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final, Protocol

from analytics.models.plain import LINE, Kind, Track
from makiba.quantities import catalogue
from makiba.reading import Reading, Series

HOLD_MS: Final = 2 * 3_600_000
"""What is unusual again within this time is the same finding."""
LOOK_EVERY_MS: Final = 300_000
_DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Band:
    """What is expected of a series, and outside which values are unusual by themselves."""

    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Finding:
    """Something unusual. `score`: 1 is the line, more is worse; `signals`: all the series that it was seen in."""

    series: Series
    time_ms: int
    kind: Kind
    score: float
    since_ms: int
    band: Band | None
    signals: tuple[Series, ...]


class Detector(Protocol):
    """Takes readings in ascending time; says at any time what is unusual now."""

    def take(self, reading: Reading) -> None: ...

    def findings(self, now_ms: int) -> list[Finding]: ...

    def band(self, series: Series, at_ms: int) -> Band | None: ...

    def memory(self) -> dict[str, Any]: ...

    def recall(self, memory: Mapping[str, Any]) -> None: ...


class PlainDetector:
    """Each series by itself against its own past (`analytics/models/plain.py`). `zone`: of the farm, for local hours.

    A state that is not `ok` is a reading without a number. Counters and texts are not looked at.
    """

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._tracks: dict[Series, Track] = {}
        self._of_subject: dict[tuple[str, str], list[Series]] = {}
        self._seen: dict[Series, Finding] = {}
        self._day, self._ahead_ms = -1, 0

    def take(self, reading: Reading) -> None:
        series, at_s = reading.series, reading.time_ms / 1000
        hour = self._hour(reading.time_ms)
        if isinstance(reading.value, str):
            if series.quantity == "state" and reading.value != "ok":
                for one in self._of_subject.get((series.site, series.subject), ()):
                    self._tracks[one].take(at_s, float("nan"), hour)
            return
        track = self._tracks.get(series)
        if track is None:
            if not _is_gauge(series.quantity):
                return
            track = self._tracks[series] = Track()
            self._of_subject.setdefault((series.site, series.subject), []).append(series)
        score = track.take(at_s, reading.value, hour)
        if score >= LINE and (series not in self._seen or score > self._seen[series].score):
            self._seen[series] = self._finding(series, track, reading.time_ms, score)

    def findings(self, now_ms: int) -> list[Finding]:
        """What is unusual now or was since this was last asked, silence included; the worst first."""
        found, self._seen = self._seen, {}
        for series, track in self._tracks.items():
            score = track.look(now_ms / 1000)
            if score >= LINE:
                found[series] = self._finding(series, track, now_ms, score)
        return sorted(found.values(), key=lambda f: (-f.score, f.series))

    def _finding(self, series: Series, track: Track, time_ms: int, score: float) -> Finding:
        since_ms = time_ms if track.since_s is None else round(track.since_s * 1000)
        return Finding(series, time_ms, track.kind, score, since_ms, self.band(series, time_ms), (series,))

    def band(self, series: Series, at_ms: int) -> Band | None:
        """What is expected of `series` at that time of day; None while it learns."""
        track = self._tracks.get(series)
        found = track.band(self._hour(at_ms)) if track else None
        return Band(*found) if found else None

    def memory(self) -> dict[str, Any]:
        """As JSON."""
        tracks = [[s.site, s.subject, s.quantity, track.memory()] for s, track in self._tracks.items()]
        return {"version": 1, "tracks": tracks}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Goes on from `memory`; one of another version is not used."""
        if memory.get("version") != 1:
            return
        for site, subject, quantity, track in memory["tracks"]:
            series = Series(site, subject, quantity)
            self._tracks[series] = Track.recalled(track)
            self._of_subject.setdefault((site, subject), []).append(series)

    def _hour(self, time_ms: int) -> int:
        day = time_ms // _DAY_MS
        if day != self._day:
            ahead = datetime.fromtimestamp(time_ms / 1000, self._zone).utcoffset()
            self._day, self._ahead_ms = day, round(ahead.total_seconds() * 1000) if ahead else 0
        return (time_ms + self._ahead_ms) // _HOUR_MS % 24


def _is_gauge(quantity: str) -> bool:
    known = catalogue().get(quantity)
    return known is not None and known.kind == "gauge"


@dataclass(frozen=True, slots=True)
class Spell:
    """A time for which a series was unusual. `first`: the finding at its beginning; `ended_ms` None: it still is."""

    first: Finding
    score: float
    ended_ms: int | None


def spells(detector: Detector, readings: Iterable[Reading], until_ms: int) -> Iterator[Spell]:
    """What `detector` finds over `readings` (ascending), looked at after each and while nothing comes; as they
    end."""
    open_: dict[Series, tuple[Finding, float, int]] = {}
    looked_ms: int | None = None
    for reading in itertools.chain(readings, [None]):
        time_ms = until_ms if reading is None else reading.time_ms
        while looked_ms is not None and looked_ms + LOOK_EVERY_MS < time_ms:
            looked_ms += LOOK_EVERY_MS
            yield from _looked(open_, detector.findings(looked_ms), looked_ms)
        if looked_ms is None:
            looked_ms = time_ms
        if reading is not None:
            detector.take(reading)
    yield from _looked(open_, detector.findings(until_ms), until_ms)
    for first, score, _ in open_.values():
        yield Spell(first, score, None)


def _looked(
    open_: dict[Series, tuple[Finding, float, int]], found: Iterable[Finding], now_ms: int
) -> Iterator[Spell]:
    for finding in found:
        first, score, _ = open_.get(finding.series, (finding, finding.score, now_ms))
        open_[finding.series] = (first, max(score, finding.score), now_ms)
    for series, (first, score, seen_ms) in list(open_.items()):
        if now_ms - seen_ms > HOLD_MS:
            del open_[series]
            yield Spell(first, score, seen_ms)
