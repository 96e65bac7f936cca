"""What is kept over time of a farm's series: windows, sums and days, each once for all rules that ask for it.

A reading costs what its own series is asked for: nothing where nobody asks, and a derived value is worked out once
per reading however many rules look at it. What is not asked for any more is laid aside for a while, so that a rule
which waits for a setting for a moment does not begin anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from analytics.derived import derive
from analytics.signals.contexts import Contexts
from analytics.signals.history import Calendar, Days, fill
from analytics.signals.planned import WHOLE_DAY, Source, Track
from analytics.signals.since import Since
from analytics.signals.windows import DAY_MS, FOREVER_MS, Window
from collectors.store import Store
from makiba.reading import Reading, Series
from makiba.rule_words import LASTING

LEAST_GAP_MS: Final = 300_000
"""Readings that are not further apart than this, or than three polls, are one line."""
UNPOLLED_GAP_MS: Final = 1_800_000
MOST_LAID_ASIDE: Final = 100

Sink = Window | Since | Days


class Tracks:
    """The tracks of one farm."""

    def __init__(self, site: str, timezone: str, contexts: Contexts) -> None:
        self._site, self._contexts, self._timezone = site, contexts, timezone
        self._calendar = Calendar(timezone)
        self._sinks: dict[Track, Sink] = {}
        self._aside: dict[Track, Sink] = {}
        self._feeds: dict[Series, list[tuple[Source, str | None, list[Sink]]]] = {}
        self._gaps: dict[Source, int] = {}
        self._last: dict[Series, tuple[int, float]] = {}  # of the arguments of derivations

    def configure(self, timezone: str) -> None:
        """Goes on with another time zone: days and their sums begin anew."""
        if timezone != self._timezone:
            self._timezone, self._calendar = timezone, Calendar(timezone)
            kept = {t: s for t, s in self._sinks.items() if not (t.is_folded or t.since == WHOLE_DAY)}
            self._sinks, self._aside = kept, {}

    def keep(self, wanted: Iterable[Track], every_ms: Mapping[str, int | None]) -> None:
        """From now on these are kept; `every_ms`: how often each subject is polled, None where nobody polls it."""
        tracks = {_shared(track): track for track in wanted}
        for track in self._sinks.keys() - tracks.keys():
            self._aside[track] = self._sinks[track]
        for track in list(self._aside)[:-MOST_LAID_ASIDE]:
            del self._aside[track]
        sinks: dict[Track, Sink] = {}
        self._feeds, self._gaps = {}, {}
        for track in tracks:
            self._gaps[track.source] = gap_ms = max(_gap_ms(every_ms.get(s.subject)) for s in track.source)
            sink = self._sinks.get(track) or self._aside.pop(track, None) or self._new(track, gap_ms)
            if isinstance(sink, Window | Since):
                sink.gap_ms = FOREVER_MS if track.is_counter else gap_ms
            sinks[track] = sink
        self._sinks = sinks
        for track in wanted:
            if track.is_folded and isinstance(days := sinks[_shared(track)], Days):
                days.count = max(days.count, round(track.window_ms / DAY_MS))
        by_source: dict[tuple[Source, str | None], list[Sink]] = {}
        for track, sink in sinks.items():
            by_source.setdefault((track.source, track.derived), []).append(sink)
        for (source, derived), found in by_source.items():
            for series in source:
                self._feeds.setdefault(series, []).append((source, derived, found))

    def _new(self, track: Track, gap_ms: int) -> Sink:
        if track.is_folded:
            return Days(self._calendar, track.is_counter)
        if track.since is not None:
            return Since(gap_ms, track.level or 0.0, track.is_below)
        return Window(
            track.window_ms, gap_ms, is_counter=track.is_counter, level=track.level, is_below=track.is_below
        )  # fmt: skip

    def take(self, reading: Reading) -> None:
        """Notes a reading that is newer than all of its series before."""
        feeds = self._feeds.get(reading.series)
        if feeds is None or isinstance(reading.value, str):
            return
        for source, derived, sinks in feeds:
            value = reading.value if derived is None else self._derived(source, derived, reading)
            if value is not None:
                for sink in sinks:
                    sink.take(reading.time_ms, value)

    def _derived(self, source: Source, derived: str, reading: Reading) -> float | None:
        """The derived value at the time of `reading`, where all arguments are known then."""
        assert not isinstance(reading.value, str)
        self._last[reading.series] = (reading.time_ms, reading.value)
        arguments = [self._last.get(series) for series in source]
        oldest_ms = reading.time_ms - self._gaps[source]
        known = tuple(a[1] for a in arguments if a is not None and a[0] >= oldest_ms)
        if len(known) < len(source):
            return None
        value = derive(derived, known)
        return None if math.isnan(value) else value

    def value(self, track: Track, read: str | None, at_ms: int) -> float | None:
        """What `track` says at `at_ms`; None where too little is known."""
        if read == "fall_per_day":
            rise = self.value(track, "slope_per_day", at_ms)
            return None if rise is None else -rise
        sink = self._sinks.get(_shared(track))
        if isinstance(sink, Window):
            return sink.read(read or "integral", at_ms)
        if isinstance(sink, Days):
            return sink.read(read or "mean", round(track.window_ms / DAY_MS), at_ms)
        if sink is None:
            return None
        if track.since == WHOLE_DAY:
            return sink.read(self._calendar.day(at_ms), at_ms)
        state = self._contexts.state(track.since or "", track.place, at_ms)
        if state is None:
            return None
        if track.since in LASTING:
            return sink.read(state.since_ms, at_ms) if state.is_on else 0.0
        found = sink.read(state.ended_ms, at_ms)
        return 0.0 if state.is_on and found is not None else found

    def window(self, track: Track) -> Window | None:
        """The window of `track`, where it is one of readings."""
        sink = self._sinks.get(track)
        return sink if isinstance(sink, Window) and track.level is None and not track.is_counter else None

    def fill(self, store: Store, now_ms: int, newest_ms: Mapping[Series, int]) -> int:
        """Asks the store for the days that it does not have yet; of how many series. Raises `StoreError`."""
        unfilled = [
            (track.source, track.derived, sink)
            for track, sink in self._sinks.items()
            if isinstance(sink, Days) and sink.filled < sink.count
        ]
        return (
            fill(store, unfilled, self._timezone, now_ms, lambda series: newest_ms.get(series, 0)) if unfilled else 0
        )

    # --------------------------------------------------------------------------------------------- over a restart

    def memory(self) -> list[Any]:
        """As JSON."""
        kept = {**self._aside, **self._sinks}
        rows = [
            [[list(s[1:]) for s in t.source], *t[1:], sink.memory()] for t, sink in kept.items() if sink.newest_ms
        ]  # fmt: skip
        return [rows, [[s.subject, s.quantity, *v] for s, v in self._last.items()]]

    def recall(self, memory: list[Any]) -> None:
        """Goes on from `memory`; what nobody asks for yet is laid aside."""
        rows, last = memory
        for source, *rest, kept in rows:
            track = Track(tuple(Series(self._site, *names) for names in source), *rest)
            sink = self._new(track, UNPOLLED_GAP_MS)
            sink.recall(kept)
            self._aside[track] = sink
        for subject, quantity, time_ms, value in last:
            self._last[Series(self._site, subject, quantity)] = (time_ms, value)


def _shared(track: Track) -> Track:
    """Windows of days of one source are one fold, whatever their length."""
    return track._replace(window_ms=0) if track.is_folded else track


def _gap_ms(every_ms: int | None) -> int:
    return UNPOLLED_GAP_MS if every_ms is None else max(LEAST_GAP_MS, 3 * every_ms)
