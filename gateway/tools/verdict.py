"""What the evidence for several profiles comes to, in words that a person can act on. Pure.

`sure`: nothing else fits nearly as well, and much speaks for it. `likely`: nothing else fits as well. `maybe`: it is
the only one that fits, and little speaks for it. `group`: several fit; a person chooses, and is told what each says.
Gases that kill are told apart by a label only, so that a choice among them is left to a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.tools.recognise import Fit

GROUP_BITS = 5.0
"""Profiles that lie closer together than this cannot be told apart by what was read."""
SURE_BITS, SURE_LEAD_BITS = 14.0, 8.0
LIKELY_BITS = 8.0
MOST_NAMED = 5
DEADLY = frozenset({"ammonia", "carbon_monoxide", "hydrogen_sulfide", "oxygen", "methane", "gas_name"})

How = Literal["sure", "likely", "maybe", "group"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`named` are the profiles to choose from, the best first; one unless `how` is `group`."""

    how: How
    named: tuple[Fit, ...]
    runner_up: Fit | None = None

    @property
    def is_open(self) -> bool:
        """Whether a person has to choose before anything is read: one of them measures a gas that kills."""
        return self.how == "group" and any(_are_deadly(f) for f in self.named)


def _are_deadly(*found: Fit) -> bool:
    return all(any(point.quantity.name in DEADLY for point, _ in f.values) for f in found)


def verdict(fits: Sequence[Fit]) -> Verdict | None:
    """What `fits`, the best first, come to; None without any."""
    if not fits:
        return None
    top = fits[0].bits
    # Of two gases behind one map the one that is not named is the one that kills.
    group = tuple(f for f in fits if top - f.bits < GROUP_BITS or _are_deadly(fits[0], f))[:MOST_NAMED]
    if len(group) > 1:
        return Verdict("group", group)
    lead = top - fits[1].bits if len(fits) > 1 else SURE_LEAD_BITS
    if top >= SURE_BITS and lead >= SURE_LEAD_BITS:
        how: How = "sure"
    else:
        how = "likely" if top >= LIKELY_BITS else "maybe"
    return Verdict(how, group, fits[1] if len(fits) > 1 and how != "sure" else None)
