"""When a device is asked next. Pure: times are nanoseconds of the monotonic clock and come from outside.

A device that answers is asked on a grid: the slots of its `every` from its first one on; slots that were missed are
skipped, not caught up. A device that does not answer costs the bus one timeout per step: 2 s after its first
failure, 4 s after the second, up to 5 min, each with jitter so that a dozen dead devices do not come due together.
The first answer puts it back on its grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

STEP_NS = 2_000_000_000
NOISE_FORGIVEN = 2
LONGEST_NS = 300_000_000_000
JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Slot:
    """When one device is due. `grid_ns` is a slot of its grid; `failures` counts unanswered probes in a row."""

    every_ns: int
    grid_ns: int
    due_ns: int
    failures: int = 0


def first_slot(every_ns: int, now_ns: int) -> Slot:
    """Due at once."""
    return Slot(every_ns, now_ns, now_ns)


def next_due(last_due_ns: int, every_ns: int, now_ns: int) -> int:
    """First slot after `now_ns` on the grid of `last_due_ns`; missed slots are skipped, not caught up."""
    return last_due_ns + ((now_ns - last_due_ns) // every_ns + 1) * every_ns


def after_answer(slot: Slot, now_ns: int) -> Slot:
    """The device answered: its next slot on the grid."""
    due = next_due(slot.grid_ns, slot.every_ns, now_ns)
    return replace(slot, grid_ns=due, due_ns=due, failures=0)


def after_silence(slot: Slot, now_ns: int, chance: float) -> Slot:
    """The device did not answer. `chance` in 0..1 draws the jitter; never sooner than its grid allows."""
    failures = slot.failures + 1
    wait = min(STEP_NS * failures, LONGEST_NS) * (1 + JITTER * (2 * chance - 1))
    due = max(now_ns + int(wait), next_due(slot.grid_ns, slot.every_ns, now_ns))
    return replace(slot, due_ns=due, failures=failures)


def after_noise(slot: Slot, now_ns: int, chance: float) -> Slot:
    """A reply came and was damaged: the next slot of the grid, and back-off only when it goes on like that."""
    if slot.failures < NOISE_FORGIVEN:
        return replace(after_answer(slot, now_ns), failures=slot.failures + 1)
    return after_silence(slot, now_ns, chance)


def line_back_off_s(failures: int, chance: float) -> float:
    """Seconds until a line that could not be opened is tried again: 0.5 s doubling to 15 s, with jitter."""
    return min(0.5 * 2.0 ** min(failures, 10), 15.0) * (0.75 + chance / 2)


def most_urgent(slots: Sequence[Slot]) -> int:
    """The slot that has been due longest, or will be first; healthy devices before silent ones at equal time."""
    return min(range(len(slots)), key=lambda i: (slots[i].due_ns, slots[i].failures))
