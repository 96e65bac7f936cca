"""What somebody works on just now: the arithmetic of maintenance windows, without a database or a clock.

A window names subjects, places, devices or the whole farm, has a beginning and an end at most 30 days later, and may
be ended earlier; it is never open-ended, so that nothing stays quiet because somebody forgot it. It explains missing
readings and states. A rule about life (`critical`, and what a gateway judges by itself) is not silenced by it: who
reads `under_maintenance` before telling of an alert says *that somebody is working there*, and still tells.

Times are UTC in milliseconds, [from, to).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

TargetKind = Literal["site", "place", "device", "subject"]
Target = tuple[TargetKind, str]
LONGEST_MS: Final = 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class Window:
    """Somebody works on `targets` in [from_ms, until_ms), `until_ms` being the earlier of planned and real end."""

    id: str
    targets: frozenset[Target]
    from_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What a subject belongs to: its device, and the place where it stands (None: nowhere)."""

    device: str
    place: str | None


@dataclass(frozen=True, slots=True)
class Farm:
    """Of each subject what it belongs to; one that is not named stands nowhere, and its device is its first word."""

    subjects: Mapping[str, Whereabouts] = field(default_factory=dict)

    def of(self, subject: str) -> Whereabouts:
        return self.subjects.get(subject) or Whereabouts(subject.partition(".")[0], None)


def under_maintenance(windows: Iterable[Window], farm: Farm, subject: str, at_ms: int) -> list[Window]:
    """The windows in which somebody works on `subject` at `at_ms`, the one that began first before the others."""
    found = (w for w in windows if w.from_ms <= at_ms < w.until_ms and touches(w, farm, subject))
    return sorted(found, key=lambda w: (w.from_ms, w.id))


def touches(window: Window, farm: Farm, subject: str) -> bool:
    """Whether `window` is about `subject`."""
    where = farm.of(subject)
    if any(kind == "site" for kind, _ in window.targets):
        return True
    mine: set[Target] = {("subject", subject), ("device", where.device)}
    if where.place is not None:
        mine.add(("place", where.place))
    return bool(mine & window.targets)


def spans_of(windows: Iterable[Window], farm: Farm, subject: str, from_ms: int, to_ms: int) -> list[tuple[int, int]]:
    """When in [from_ms, to_ms) somebody worked on `subject`, joined and in order."""
    found: list[tuple[int, int]] = []
    for window in sorted(windows, key=lambda w: w.from_ms):
        start, end = max(window.from_ms, from_ms), min(window.until_ms, to_ms)
        if start >= end or not touches(window, farm, subject):
            continue
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found
