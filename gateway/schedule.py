"""When a device is asked next. Pure: times are nanoseconds of the monotonic clock and come from outside.

A device that answers is asked on a grid: the slots of its `every` from its first one on, without drift. A slot whose
turn came late is made up for as long as its period is not over, half a period after the poll before at the earliest;
older ones are skipped, so that a stall is never followed by a burst.

A device that does not answer costs the bus one timeout per step: 2 s after its first failure, 4 s after the second,
up to 5 min, each with jitter so that a dozen dead devices do not come due together, and all of them together at most
5 % of the bus's time while others answer. The first answer puts it back on its grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

STEP_NS = 2_000_000_000
NOISE_FORGIVEN = 2
LONGEST_NS = 300_000_000_000
JITTER = 0.1
PROBE_SHARE = 20
"""One part in so many of a bus's time may go into waiting for silent devices."""


@dataclass(frozen=True, slots=True)
class Slot:
    """When one device is due. `grid_ns` is a slot of its grid; `failures` counts unanswered probes in a row."""

    every_ns: int
    grid_ns: int
    due_ns: int
    failures: int = 0
    silent: bool = False


def first_slot(every_ns: int, now_ns: int, shift_ns: int = 0) -> Slot:
    """Due at once; its grid is `shift_ns` later, so that devices of one bus come due one after the other."""
    return Slot(every_ns, now_ns + shift_ns % every_ns - (every_ns if shift_ns else 0), now_ns)


def next_due(last_due_ns: int, every_ns: int, now_ns: int) -> int:
    """First slot after `now_ns` on the grid of `last_due_ns`; missed slots are skipped, not caught up."""
    return last_due_ns + ((now_ns - last_due_ns) // every_ns + 1) * every_ns


def after_answer(slot: Slot, now_ns: int, began_ns: int | None = None) -> Slot:
    """The device answered a poll that began at `began_ns`: its next slot on the grid.

    Without `began_ns` a slot that has passed is skipped; with it, the youngest one may be made up for.
    """
    grid = due = next_due(slot.grid_ns, slot.every_ns, now_ns)
    if began_ns is not None:
        if not slot.failures and (missed := grid - slot.every_ns) > slot.grid_ns:
            grid = due = missed
        due = max(due, began_ns + slot.every_ns // 2)
    return replace(slot, grid_ns=grid, due_ns=due, failures=0, silent=False)


def after_silence(slot: Slot, now_ns: int, chance: float, ready_ns: int = 0) -> Slot:
    """The device did not answer, and must not be asked before `ready_ns`.

    `chance` in 0..1 draws the jitter; never sooner than its grid allows.
    """
    failures = slot.failures + 1
    wait = min(STEP_NS * failures, LONGEST_NS) * (1 + JITTER * (2 * chance - 1))
    due = max(now_ns + int(wait), next_due(slot.grid_ns, slot.every_ns, now_ns), ready_ns)
    return replace(slot, due_ns=due, failures=failures, silent=True)


def after_noise(slot: Slot, now_ns: int, chance: float, ready_ns: int = 0) -> Slot:
    """A reply came and was damaged: the next slot of the grid, and back-off only when it goes on like that."""
    if slot.failures < NOISE_FORGIVEN:
        after = after_answer(slot, now_ns)
        return replace(after, due_ns=max(after.due_ns, ready_ns), failures=slot.failures + 1)
    return replace(after_silence(slot, now_ns, chance, ready_ns), silent=slot.silent)


def line_back_off_s(failures: int, chance: float) -> float:
    """Seconds until a line that could not be opened is tried again: 0.5 s doubling to 15 s, with jitter."""
    return min(0.5 * 2.0 ** min(failures, 10), 15.0) * (0.75 + chance / 2)


@dataclass(frozen=True, slots=True)
class ProbeBudget:
    """When the next silent device may be probed. Nothing is saved up: two in a row would cost others a turn."""

    free_ns: int = 0

    def spent(self, cost_ns: int, now_ns: int) -> ProbeBudget:
        """After a probe that cost `cost_ns` and ended now."""
        return ProbeBudget(now_ns + cost_ns * (PROBE_SHARE - 1))


def most_urgent(slots: Sequence[Slot], probes_free_ns: int = 0) -> tuple[int, int]:
    """Whose turn is next, and when: who has been due longest, or will be first; live ones before silent ones.

    Silent devices wait until `probes_free_ns` while any other one answers.
    """
    if probes_free_ns and all(slot.silent for slot in slots):
        probes_free_ns = 0
    found, found_key = 0, (2**63, 0)
    for index, slot in enumerate(slots):
        due_ns = max(slot.due_ns, probes_free_ns) if slot.silent else slot.due_ns
        if (key := (due_ns, slot.failures)) < found_key:
            found, found_key = index, key
    return found, found_key[0]
