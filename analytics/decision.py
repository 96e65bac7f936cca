"""What the judge wants written into the alert book."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from makiba.rule import Severity

Kind = Literal["open", "worsen", "end", "seen"]


@dataclass(frozen=True, slots=True)
class Decision:
    """`open`, `worsen`, `end`, or `seen`: still there, with newer values. All times in UTC ms.

    `at_ms`: when it is decided; for `end`, when the problem was over. `step`: how many steps worse than its rule
    begins. `signals`: per signal {quantity, subject, value, time_ms}, and
    `toward` (above, below) where it gets worse that way. `children`: what is not watched because of it.
    `by_hand`: its rule is one whose alerts only a person ends.
    """

    kind: Kind
    site: str
    rule: str
    subject: str
    onset_ms: int
    at_ms: int
    severity: Severity = "info"
    place: str | None = None
    step: int = 0
    reason: str = ""
    signals: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    children: tuple[str, ...] = ()
    by_hand: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.rule, self.subject
