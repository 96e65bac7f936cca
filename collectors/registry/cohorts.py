"""Who may be compared with whom, and what of it may be published: pure, and the same for every measure.

Terms. A *party* is what counts as one: all farms that share one of their own people, with one value between them, so
that nobody fills a group with farms of their own. A *band* is a group of parties whose values are next to each other;
what is published of it is the mean, rounded.

What holds, whatever is asked in whatever order:

- Every number that is published is a mean of at least `BAND` parties. So even `COLLUDING` of them who put together
  what they know learn no mean of fewer than `K` others.
- A measure and a period are published once, for all, and stay as they are. There is no filter: nobody asks for a
  group of their choice, so that there are no two groups of one period to be subtracted.
- Between any two publications of a measure at least `K` parties come in or none, and at least `K` go out or none.
  Those who are too few to come in wait for more; when too few go out, some of those who stay sit out with them,
  chosen by chance.
- No party makes up more than `DOMINANT` of the sum behind a number.

Not promised: that bands tell nothing about all of their parties at once (when the mean is the least that there is,
each of them has the least). That months in which no value changes cannot be put together three at a time. That who
knows more than `COLLUDING` of a band's values by other ways learns nothing.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

K: Final = 5
COLLUDING: Final = 3
BAND: Final = K + COLLUDING
MAX_BANDS: Final = 5
DOMINANT: Final = 0.4

Party = frozenset[str]
"""The farms that count as one."""


def parties_of(own_people: Mapping[str, Collection[int]]) -> list[Party]:
    """The parties of these farms, given each farm's own people."""
    groups: list[tuple[set[str], set[int]]] = []
    for site in sorted(own_people):
        sites, people = {site}, set(own_people[site])
        apart = []
        for group in groups:
            if group[1] & people:
                sites |= group[0]
                people |= group[1]
            else:
                apart.append(group)
        groups = [*apart, (sites, people)]
    return [frozenset(sites) for sites, _ in groups]


@dataclass(frozen=True, slots=True)
class Earlier:
    """A publication of before: its parties that are still there, and how many went with their farms."""

    parties: frozenset[Party]
    lost: int = 0


def cohort(now: Iterable[Party], earlier: Sequence[Earlier], chance: random.Random) -> frozenset[Party]:
    """Which of the parties that there are `now` are published, given all that was published of the measure before."""
    members = frozenset(now)
    while True:
        before = members
        for one in earlier:
            members = _apart(members, one, chance)
        if members == before:
            return members


def _apart(members: frozenset[Party], earlier: Earlier, chance: random.Random) -> frozenset[Party]:
    """As many of `members` as differ from `earlier` by nobody or by at least `K`, each way."""
    came = members - earlier.parties
    if len(came) < K:
        members -= came
    went = earlier.lost + len(earlier.parties - members)
    if 0 < went < K:
        stayed: list[Party] = sorted(members & earlier.parties, key=_in_order)
        members -= frozenset(chance.sample(stayed, min(len(members), K - went)))
    return members


def _in_order(party: Party) -> list[str]:
    return sorted(party)


def bands_of(values: Collection[float], step: float) -> tuple[float, ...]:
    """The means of the bands, ascending, rounded to `step`; empty when nothing may be published."""
    ordered = sorted(values)
    count = min(MAX_BANDS, len(ordered) // BAND)
    for bands in (count, 1) if count else ():
        parts = [ordered[len(ordered) * n // bands : len(ordered) * (n + 1) // bands] for n in range(bands)]
        if not any(_is_dominated(part) for part in parts):
            return tuple(_rounded(sum(part) / len(part), step) for part in parts)
    return ()


def _is_dominated(part: Sequence[float]) -> bool:
    sizes = [abs(value) for value in part]
    return max(sizes) > DOMINANT * sum(sizes)


def _rounded(value: float, step: float) -> float:
    return round(round(value / step) * step, 9)


def band_of(value: float, bands: Sequence[float]) -> int | None:
    """The band whose mean is next to `value`, counted from 0."""
    return min(range(len(bands)), key=lambda n: abs(bands[n] - value), default=None)


def told_count(parties: int) -> int:
    """How many parties there are at least, as it is told: not so exactly that one more or less shows."""
    return parties - parties % K
