"""How complete a farm's readings of some time are, series by series, out of a store: the rim around `coverage`.

It asks for days, which a store has folded, and looks closer only at days on which something is missing: at quarters
of an hour for the longest gap, at raw readings next to it, and at the states of those days for the reason. So a month
of a farm that works is one question per series. What somebody may not see is not counted, to the day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from collectors.out.coverage import (
    Basis,
    Expected,
    Pace,
    RecordedGap,
    Span,
    cut,
    empty_runs,
    expected,
    is_regular,
    joined,
    longest_gap,
    look_closer,
    parse_gap,
    ratio,
    states_in,
    whole_windows,
)
from collectors.store import Store, Window
from collectors.store.levels import DAY_MS, DAY_OFFSET_MS, QUARTER_MS
from makiba.data_class import STATE
from makiba.quantities import catalogue
from makiba.reading import Series

HOUR_MS: Final = 3_600_000
ALMOST: Final = 0.999
"""A day with this share of its readings is whole: a poll that slips over midnight is not missing."""
SLOW_S: Final = 450.0
"""From this pace on a day has so few readings that they are looked at themselves."""
SAID_FOR_MS: Final = 600_000
"""A gateway says a state again within 10 min."""
KNOWN_BEFORE_MS: Final = 31 * DAY_MS


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a farm's devices: which each subject belongs to, their paces, and who worked on it when."""

    device_of: Mapping[str, str] = field(default_factory=dict)
    paces: Mapping[str, Sequence[Pace]] = field(default_factory=dict)
    boxes: frozenset[str] = frozenset()
    """Gateways: what they say of themselves is no measurement."""
    worked_on: Callable[[str], Sequence[Span]] = lambda _: ()


@dataclass(frozen=True, slots=True)
class SeriesReport:
    """One series. `gap`: its longest time without a reading, None where nothing is known to be missing."""

    subject: str
    quantity: str
    device: str | None
    present: int
    expected: int | None
    basis: Basis
    coverage: float | None
    gap: Span | None
    states: Mapping[str, int]
    maintenance_ms: int


@dataclass(frozen=True, slots=True)
class SaidGap:
    """A gap that a gateway itself recorded, and when it said so."""

    gateway: str
    said_ms: int
    gap: RecordedGap


def report(
    store: Store,
    site: str,
    standing: Standing,
    seen: Callable[[str, str], Sequence[Span]],
    span: Span,
) -> list[SeriesReport]:
    """Every measured series of `site` in `span`, by name. `seen`: when a series is to be seen (subject, quantity)."""
    states = _States(store, site)
    found = []
    for series in store.series(site):
        if not _is_measured(series, standing):
            continue
        spans = whole_windows(seen(series.subject, series.quantity), *span, DAY_MS, DAY_OFFSET_MS)
        if spans:
            found.append(_of_series(store, series, standing, spans, states))
    return found


def recorded_gaps(store: Store, site: str, gateways: Iterable[str], span: Span) -> list[SaidGap]:
    """Gaps that gateways recorded about times in `span`, or said in it where they gave no times."""
    found = []
    for gateway in gateways:
        for point in store.range(Series(site, gateway, "spool_gap"), span[0], span[1] + 31 * DAY_MS):
            gap = parse_gap(str(point.value))
            if gap is None:
                continue
            from_ms, to_ms = (point.time_ms, point.time_ms) if gap.from_ms is None else (gap.from_ms, gap.to_ms or 0)
            if from_ms < span[1] and span[0] <= to_ms:
                found.append(SaidGap(gateway, point.time_ms, gap))
    return sorted(found, key=lambda said: (said.said_ms, said.gateway))


def _is_measured(series: Series, standing: Standing) -> bool:
    word = catalogue().get(series.quantity)
    return (
        word is not None
        and word.kind != "text"
        and word.group not in (STATE, "gateway")
        and series.subject.partition(".")[0] not in standing.boxes
    )


def _of_series(
    store: Store, series: Series, standing: Standing, spans: Sequence[Span], states: _States
) -> SeriesReport:
    device = standing.device_of.get(series.subject)
    paces = list(standing.paces.get(device or "", ())) if is_regular(series.quantity) else []
    days = [day for a, b in spans for day in store.windows(series, a, b, DAY_MS, DAY_OFFSET_MS)]
    first_ms = _first_ms(store, series, spans[0][0], days) if paces and paces[0].from_ms > spans[0][0] else None
    should = expected(paces, spans, first_ms)
    present = sum(day.count for day in days)
    coverage = ratio(present, should.count)
    poor = _poor(days, paces, spans, first_ms)
    gap = None
    if poor:
        slow = min((p.every_s for p in paces if p.every_s > 0), default=0.0) >= SLOW_S
        gap = _longest(store, series, poor, slow=slow, wide=not paces)
        gap = gap and _up_to_readings(store, series, gap, spans)
    explained = states.lasted(series.subject, device, poor) if poor and should.count is not None else {}
    worked = cut(standing.worked_on(series.subject), spans[0][0], spans[-1][1])
    return SeriesReport(
        series.subject, series.quantity, device, present, should.count, should.basis, coverage, gap, explained,
        sum(b - a for a, b in worked),
    )  # fmt: skip


def _first_ms(store: Store, series: Series, from_ms: int, days: Sequence[Window]) -> int | None:
    """When the series began, as far as it matters for [from_ms, …): `from_ms` when it was there before."""
    if store.windows(series, from_ms - KNOWN_BEFORE_MS, from_ms, DAY_MS, DAY_OFFSET_MS):
        return from_ms
    if not days:
        return None
    points = store.range(series, max(from_ms, days[0].start_ms), days[0].start_ms + DAY_MS, limit=1)
    return points[0].time_ms if points else days[0].start_ms


def _poor(days: Sequence[Window], paces: Sequence[Pace], spans: Sequence[Span], first_ms: int | None) -> list[Span]:
    """Stretches of whole days of `spans` on which something is missing; where no pace is known, the poorest ones."""
    counts = {day.start_ms: day.count for day in days}
    found: list[Span] = []
    parts = list(_days(spans))
    if not paces:
        fewest = min(counts.get(day, 0) for day, _ in parts)
        poorest = [part for day, part in parts if counts.get(day, 0) == fewest]
        if fewest:
            return poorest[:1]
        start, end = max(joined(poorest), key=lambda run: (run[1] - run[0], -run[0]))
        return cut([(start - DAY_MS, end + DAY_MS)], spans[0][0], spans[-1][1])  # up to the readings around it
    for day, part in parts:
        should: Expected = expected(paces, [part], first_ms)
        if (should.count or 0) * ALMOST > counts.get(day, 0) and (should.count or 0) > counts.get(day, 0):
            found.append(part)
    return joined(found)


def _days(spans: Iterable[Span]) -> Iterator[tuple[int, Span]]:
    """The days that `spans` touch: where each begins, and what of it is in them."""
    for start, end in spans:
        day = (start - DAY_OFFSET_MS) // DAY_MS * DAY_MS + DAY_OFFSET_MS
        while day < end:
            yield day, (max(start, day), min(end, day + DAY_MS))
            day += DAY_MS


def _longest(store: Store, series: Series, poor: Sequence[Span], *, slow: bool, wide: bool) -> Span | None:
    best: Span | None = None
    width = HOUR_MS if wide else QUARTER_MS
    for span in poor:
        if slow:
            gap = longest_gap([p.time_ms for p in store.range(series, *span)], *span)
        else:
            gap = _closer(store, series, span, width)
        if best is None or gap[1] - gap[0] > best[1] - best[0]:
            best = gap
    return best


def _closer(store: Store, series: Series, span: Span, width: int) -> Span:
    """The longest gap of `span`, exact where it is longer than two windows."""
    windows = store.windows(series, *span, width)
    runs = empty_runs([w.start_ms for w in windows], *span, width)
    if not runs:
        # Less than two windows long: where the fewest readings are.
        thin = min(windows, key=lambda w: w.count).start_ms
        near = (max(span[0], thin - width), min(span[1], thin + 2 * width))
        times = [p.time_ms for p in store.range(series, *near)]
        return longest_gap(times, times[0], times[-1]) if len(times) > 1 else near
    run = max(runs, key=lambda r: (r[1] - r[0], -r[0]))
    before, after = look_closer(run, *span, width)
    left = store.range(series, *before) if before[0] < before[1] else []
    right = store.range(series, *after, limit=1) if after[0] < after[1] else []
    return (left[-1].time_ms if left else run[0], right[0].time_ms if right else run[1])


def _up_to_readings(store: Store, series: Series, gap: Span, spans: Sequence[Span]) -> Span:
    """`gap` up to the readings around it, where it ends with a poor day and not with `spans`."""
    first, last = gap
    for start, end in spans:
        if start <= first and last <= end:
            before = store.range(series, max(start, first - HOUR_MS), first + 1)
            after = store.range(series, last, end, limit=1)
            first = before[-1].time_ms if before else first
            last = after[0].time_ms if after else last
    return first, last


class _States:
    """States of subjects and devices, each stretch read once."""

    def __init__(self, store: Store, site: str) -> None:
        self._store, self._site = store, site
        self._known: dict[tuple[str, Span], list[tuple[int, str]]] = {}

    def lasted(self, subject: str, device: str | None, spans: Sequence[Span]) -> dict[str, int]:
        """How long `subject` was in each state other than ok; its device's where it has none of its own."""
        own = self._in(subject, spans)
        if not own and device is not None and device != subject:
            own = self._in(device, spans)
        return states_in(own, spans, SAID_FOR_MS)

    def _in(self, subject: str, spans: Sequence[Span]) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        for span in spans:
            key = (subject, span)
            if key not in self._known:
                points = self._store.range(Series(self._site, subject, STATE), span[0] - SAID_FOR_MS, span[1])
                self._known[key] = [(p.time_ms, str(p.value)) for p in points]
            found += self._known[key]
        return sorted(set(found))
