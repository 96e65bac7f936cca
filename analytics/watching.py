"""What is remembered of a pair between readings, and when the clock may matter to it next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from makiba.standing import Pace, Standing

TOUCH_EVERY_MS: Final = 30_000
"""How often at most the values of an alert that stays open are written again."""

NEVER: Final = 1 << 62
AT_ONCE: Final = 0


@dataclass(slots=True)
class Watch:
    """What is remembered of a pair; all in UTC ms.

    `is_calm`: as long as readings stay within the pair's bands (`calm.py`), and before `calm_until_ms`, its standing
    stays what it is, so that it needs no looking at. `due_ms`: before that the clock changes nothing.
    """

    standing: Standing = field(default_factory=Standing)
    last_ms: int = 0  # newest time it was judged for
    held_ms: int = 0  # when a problem above that explained it was over
    touched_ms: int = 0  # when its alert was last written
    touched_at_ms: int = 0  # `last_ms` at that time
    due_ms: int = NEVER
    is_quiet: bool = False  # it was looked at since, and there is nothing to remember
    looks: int = 0  # how often it was found quiet since bands were sought
    is_calm: bool = False
    calm_until_ms: int = 0


def due_times(pace: Pace, watch: Watch, busy_until_ms: int = 0) -> list[int]:
    """Every time from which on the clock may make something of what was read so far; they may be past.

    `busy_until_ms`: until when somebody works on its subject, or did; nothing new is raised before it has lasted
    since then.
    """
    standing = watch.standing
    if standing.end_ms is not None:
        return [AT_ONCE]
    if standing.onset_ms is None:
        since = standing.raising.since_ms
        return [] if since is None else [max(since, watch.held_ms, busy_until_ms) + pace.for_ms]
    times = []
    if standing.clearing.since_ms is not None:
        times.append(standing.clearing.since_ms + pace.clear_for_ms)
    for number, (held, for_ms) in enumerate(zip(standing.worse, pace.worse_ms, strict=False), 1):
        if number > standing.step and held.since_ms is not None:
            times.append(held.since_ms + for_ms)
    if watch.last_ms > watch.touched_at_ms:
        times.append(watch.touched_ms + TOUCH_EVERY_MS)
    return times
