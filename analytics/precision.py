"""What a rule is worth on a farm, by what its people said of its alerts, and whether it still wakes them. Pure.

One alert is one vote, however many people judged it: `useful` if anybody says so, else `knew` if anybody does, else
`false`. `knew` counts for neither side: the rule was right, and the next time nobody may be standing beside the tank.
So precision is useful / (useful + false), told as it was counted ("12 件中 9 件"); what is decided with is the lower
bound of its 95 % interval by Wilson (1927), so that three bad nights condemn nobody.

A rule below its floor goes to the morning list, and comes back as soon as labels lift it. What is about life, and
what is critical, wakes people whatever anybody said.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from analytics.book_states import Label

FLOOR: Final = 0.3
ENOUGH: Final = 8
"""So many alerts have to be judged before a rule may be demoted. Both numbers are proposed, with no source."""
Z_95: Final = 1.959964

Mode = Literal["by-labels", "wakes", "morning"]
"""`wakes`, `morning`: the farm says so, whatever the labels."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Alerts of one rule on one farm, by what they were worth."""

    useful: int = 0
    wrong: int = 0
    knew: int = 0

    @property
    def judged(self) -> int:
        return self.useful + self.wrong

    @property
    def low(self) -> float:
        """What the precision is at least; 0 while nobody judged."""
        return wilson_low(self.useful, self.judged)


def wilson_low(hits: int, of: int, z: float = Z_95) -> float:
    """The lower bound of a share of which `hits` of `of` were seen."""
    if of == 0:
        return 0.0
    share, z2 = hits / of, z * z
    middle = share + z2 / (2 * of)
    spread = z * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return max(0.0, (middle - spread) / (1 + z2 / of))


def worth(labels: Iterable[Label]) -> Label | None:
    """What one alert was worth, by what everybody said of it; None: nobody said anything."""
    said = set(labels)
    return next((label for label in _ORDER if label in said), None)


def count(alerts: Iterable[Iterable[Label]]) -> Counts:
    """The labels of each alert, counted alert by alert."""
    found = [worth(labels) for labels in alerts]
    return Counts(found.count("useful"), found.count("false"), found.count("knew"))


def is_demoted(counts: Counts, mode: Mode, *, is_vital: bool, floor: float = FLOOR, enough: int = ENOUGH) -> bool:
    """Whether the rule's alerts go to the morning list. `is_vital`: about life, or critical from the beginning."""
    if is_vital or mode == "wakes":
        return False
    return mode == "morning" or (counts.judged >= enough and counts.low < floor)


def wakes(severity: str, *, is_demoted: bool) -> bool:
    """Whether an alert of this severity may wake somebody: a critical one always, also of a demoted rule."""
    return severity == "critical" or not is_demoted


_ORDER: Final[tuple[Label, ...]] = ("useful", "knew", "false")
