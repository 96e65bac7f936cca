"""What an animal is just now, worked out from what happened to it. Pure; rules are gated by it.

`cow_state(events, now_ms)` looks at the events up to `now_ms`, in their order of time; two of one moment count in the
order in which they are given. What it says:

- **lactating** from a calving until the animal is dried off; **dry** from then until it calves again.
- **pregnant** since the insemination that a check, or its own result, says has held: the last one before the check,
  or so many days before it as the check says. Another insemination, an empty check, an abortion or a calving ends it.
- **expected calving**: conception and the breed's length of gestation (`GESTATION_D`).
- **withheld**: until when milk and meat may not be delivered, the latest over all treatments.
- **status**: present, sold or dead, by the last event that says so. Who is dead does not come back.

What it does not know: an insemination that nobody entered, a heifer's first lactation before the first event, the
calf's sire's influence on the length of gestation.

Lengths of gestation are those of the usual breeding calendars (Holstein 280 days, Japanese Black 285). Measured
means lie about them: 281-283 days in New Zealand's dairy herds (LIC, 58,000 cows of 2014), and longer than 285 for
Japanese Blacks (reports from Iwate, 2007).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from makiba.herd_event import Detail

Status = Literal["present", "sold", "dead"]

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000

GESTATION_D: Final[dict[str, int]] = {
    "holstein": 280,
    "japanese-black": 285,
}
"""By breed; any other as a Holstein."""
LONGEST_GESTATION_D: Final = 320
"""An insemination longer ago than this is not what a check found."""


@dataclass(frozen=True, slots=True)
class Happened:
    """An event, as far as it matters here."""

    at_ms: int
    detail: Detail


@dataclass(frozen=True, slots=True)
class CowState:
    """See the module. Times are UTC ms; None where it is not so, or not known."""

    status: Status = "present"
    left_ms: int | None = None
    calvings: int = 0
    calved_ms: int | None = None
    lactating_since_ms: int | None = None
    dry_since_ms: int | None = None
    heat_ms: int | None = None
    inseminated_ms: int | None = None
    pregnant_since_ms: int | None = None
    expected_calving_ms: int | None = None
    milk_withheld_until_ms: int | None = None
    meat_withheld_until_ms: int | None = None
    weaned_ms: int | None = None
    days_in_milk: int | None = None
    """Whole days since the calving, while it is milked: 0 on the first."""


@dataclass(frozen=True, slots=True)
class Stay:
    """An animal is in `group` in [from_ms, to_ms); None: it still is."""

    group: str
    from_ms: int
    to_ms: int | None = None


def gestation_d(breed: str) -> int:
    """How long a cow of this breed is pregnant, in days."""
    return GESTATION_D.get(breed, GESTATION_D["holstein"])


def cow_state(events: Iterable[Happened], now_ms: int, breed: str = "") -> CowState:
    """What the animal is at `now_ms`."""
    state = CowState()
    for one in in_order(events):
        if one.at_ms > now_ms:
            break
        state = after(state, one)
    conceived, lactating = state.pregnant_since_ms, state.lactating_since_ms
    return replace(
        state,
        expected_calving_ms=None if conceived is None else conceived + gestation_d(breed) * DAY_MS,
        milk_withheld_until_ms=_still(state.milk_withheld_until_ms, now_ms),
        meat_withheld_until_ms=_still(state.meat_withheld_until_ms, now_ms),
        days_in_milk=None if lactating is None else (now_ms - lactating) // DAY_MS,
    )


def status_after(events: Iterable[Happened]) -> Status:
    """Whether the animal is still there, after all of `events`."""
    state = CowState()
    for one in in_order(events):
        state = after(state, one)
    return state.status


def stays(events: Iterable[Happened]) -> list[Stay]:
    """In which groups the animal was when, in order; at most the last of them is without an end."""
    found: list[Stay] = []
    state = CowState()
    for one in in_order(events):
        was_there, state = state.status == "present", after(state, one)
        left = was_there and state.status != "present"
        moved = one.detail.kind == "move" and state.status == "present"
        if not (left or moved):
            continue
        group = one.detail.group if one.detail.kind == "move" else None
        if found and found[-1].to_ms is None:
            if group == found[-1].group:
                continue
            last = found.pop()
            if last.from_ms < one.at_ms:
                found.append(replace(last, to_ms=one.at_ms))
        if found and found[-1].group == group and found[-1].to_ms == one.at_ms:
            found.append(replace(found.pop(), to_ms=None))
        elif group is not None:
            found.append(Stay(group, one.at_ms))
    return found


def in_order(events: Iterable[Happened]) -> Sequence[Happened]:
    """By time; of one moment as they were given."""
    return sorted(events, key=lambda one: one.at_ms)


def after(state: CowState, one: Happened) -> CowState:
    """The state once this has happened too."""
    at_ms, told = one.at_ms, one.detail
    match told.kind:
        case "calving":
            return replace(
                state, calvings=state.calvings + 1, calved_ms=at_ms, lactating_since_ms=at_ms, dry_since_ms=None,
                heat_ms=None, inseminated_ms=None, pregnant_since_ms=None,
            )  # fmt: skip
        case "abortion":
            return replace(state, pregnant_since_ms=None, inseminated_ms=None)
        case "heat":
            return replace(state, heat_ms=at_ms)
        case "insemination":
            if told.result == "empty":
                return replace(state, inseminated_ms=None, pregnant_since_ms=None)
            held = at_ms if told.result == "pregnant" else None
            return replace(state, inseminated_ms=at_ms, pregnant_since_ms=held)
        case "pregnancy-check":
            return _checked(state, at_ms, told.result, told.days)
        case "dry-off":
            dry = at_ms if state.dry_since_ms is None else state.dry_since_ms
            return replace(state, lactating_since_ms=None, dry_since_ms=dry)
        case "treatment":
            last_ms = at_ms if told.last_ms is None else max(at_ms, told.last_ms)
            return replace(
                state,
                milk_withheld_until_ms=_withheld(state.milk_withheld_until_ms, last_ms, told.milk_withdrawal_h),
                meat_withheld_until_ms=_withheld(state.meat_withheld_until_ms, last_ms, told.meat_withdrawal_h),
            )
        case "weaning":
            return replace(state, weaned_ms=at_ms)
        case "arrival":
            return state if state.status == "dead" else replace(state, status="present", left_ms=None)
        case "sale":
            return state if state.status == "dead" else replace(state, status="sold", left_ms=at_ms)
        case "death":
            return state if state.status == "dead" else replace(state, status="dead", left_ms=at_ms)
        case _:
            return state


def _checked(state: CowState, at_ms: int, result: str, days: int | None) -> CowState:
    if result == "empty":
        return replace(state, pregnant_since_ms=None, inseminated_ms=None)
    if result != "pregnant":
        return state
    if days is not None:
        return replace(state, pregnant_since_ms=at_ms - days * DAY_MS)
    served = state.inseminated_ms
    if served is not None and at_ms - served <= LONGEST_GESTATION_D * DAY_MS:
        return replace(state, pregnant_since_ms=served)
    return state


def _withheld(until_ms: int | None, last_ms: int, hours: float | None) -> int | None:
    if hours is None:
        return until_ms
    return max(until_ms or 0, last_ms + round(hours * HOUR_MS))


def _still(until_ms: int | None, now_ms: int) -> int | None:
    return until_ms if until_ms is not None and until_ms > now_ms else None
