"""UTC for readings, from the monotonic clock.

Readings are stamped on the monotonic clock, which nobody sets, and mapped to UTC by an offset that follows the wall
clock. Guarantee: while the process lives, time as given by `now_ms` never runs backwards, except over a step of more
than an hour.

- A step forward (NTP came up) is followed at once.
- A step back of up to an hour is absorbed: time runs at half speed until the wall clock has caught up, so that
  two polls never get one time.
- A step back of more than an hour means that what was stamped before was plainly wrong: it is followed at once.

Not guaranteed: that the wall clock itself is right. The boot id is kept with the spool, so that readings of a boot
that never knew the time can be told apart.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

JUMP_BACK_NS = 3_600_000_000_000
NOTICEABLE_NS = 500_000_000


@dataclass(frozen=True, slots=True)
class ClockMap:
    """UTC = monotonic + `offset_ns`, at least as seen at `mono_ns`; `behind_ns` is still to be absorbed."""

    mono_ns: int
    offset_ns: int
    behind_ns: int = 0

    def utc_ns(self, mono_ns: int) -> int:
        """UTC at `mono_ns`, not before this map's own instant."""
        elapsed = max(mono_ns - self.mono_ns, 0)
        return self.mono_ns + elapsed + self.offset_ns + self.behind_ns - min(elapsed // 2, self.behind_ns)


def start_map(mono_ns: int, wall_ns: int) -> ClockMap:
    return ClockMap(mono_ns, wall_ns - mono_ns)


def observe(before: ClockMap, mono_ns: int, wall_ns: int) -> tuple[ClockMap, int]:
    """The map from now on, and by how many ns the wall clock stepped since (0: it only drifted)."""
    offset = wall_ns - mono_ns
    step = offset - before.offset_ns
    ahead = before.utc_ns(mono_ns) - wall_ns  # what we have already given out beyond the wall clock
    if ahead <= 0 or ahead > JUMP_BACK_NS:
        after = ClockMap(mono_ns, offset)
    else:
        after = replace(before, mono_ns=mono_ns, offset_ns=offset, behind_ns=ahead)
    return after, step if abs(step) >= NOTICEABLE_NS else 0


class Clock:
    """The rim: reads both clocks of this machine. Used from the event loop only."""

    def __init__(self) -> None:
        self._map = start_map(time.monotonic_ns(), time.time_ns())

    def now_ms(self) -> int:
        """UTC in milliseconds."""
        return self._map.utc_ns(time.monotonic_ns()) // 1_000_000

    def follow(self) -> int:
        """Looks at the wall clock; returns the step in ns when it was set since the last look, else 0."""
        self._map, step = observe(self._map, time.monotonic_ns(), time.time_ns())
        return step


def read_boot_id() -> str:
    """The kernel's id of this boot; a random one where it has none, which counts as a new boot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return str(uuid4())
