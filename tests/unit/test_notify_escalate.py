"""Who is asked next and when, as tables; and the dead-man's switch."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.notify.beat import JUDGED_WITHIN_MS, Vital, is_alive
from analytics.notify.escalate import (
    MINUTE_MS,
    Candidate,
    Carried,
    after,
    after_failure,
    choose,
    due_ms,
    spell_who,
)

OWNER, FAMILY, HELPER = (Candidate(("person", name)) for name in ("owner", "family", "helper"))
COOP = Candidate(("contact", "coop"))
TECHNICIAN = Candidate(("person", "tech"), is_technician=True, only_as_technician=True)
ALL = [OWNER, FAMILY, HELPER, COOP]
WAITS = replace(OWNER, waits=True)


@pytest.mark.parametrize(
    ("severity", "minutes"),
    [("critical", [0, 10, 20, 30, 40]), ("warning", [0, 30, 60, None]), ("advisory", [0, None]), ("info", [0, None])],
)
def test_the_rounds_are_those_of_the_table(severity: str, minutes: list[int | None]) -> None:
    dues = [due_ms(severity, number, 0) for number in range(len(minutes))]
    assert [due if due is None else due // MINUTE_MS for due in dues] == minutes


def walk(severity: str, orders: list[list[Candidate]]) -> list[str | None]:
    """Who is asked in each round, when these can be reached in it."""
    carried, asked = Carried(severity, 0), list[str | None]()
    for order in orders:
        chosen, _ = choose(carried, order)
        asked.append(chosen.who[1] if chosen else None)
        carried, _ = after(carried, chosen, due_ms(severity, carried.round, carried.since_ms) or 0)
    return asked


@pytest.mark.parametrize(
    ("severity", "orders", "asked"),
    [
        # owner, family, helper, co-op; then round again
        ("critical", [ALL] * 6, ["owner", "family", "helper", "coop", "owner", "family"]),
        ("critical", [[OWNER]] * 3, ["owner"] * 3),
        # a shift that changes: who is on call now and was asked least
        ("critical", [[OWNER, FAMILY], [HELPER, FAMILY], [HELPER, FAMILY], [OWNER]],
         ["owner", "helper", "family", "owner"]),
        # everybody of the farm is away or out of reach: whoever is on duty
        ("critical", [[COOP]] * 2, ["coop", "coop"]),
        ("critical", [[], [OWNER]], [None, "owner"]),
        # a technician who is not on call is nobody's second person
        ("critical", [[OWNER, TECHNICIAN]] * 2, ["owner", "owner"]),
        ("warning", [[OWNER, FAMILY, TECHNICIAN]] * 3, ["owner", "owner", "tech"]),
        ("warning", [[OWNER, FAMILY]] * 3, ["owner", "owner", "family"]),
        ("warning", [[OWNER, FAMILY], [FAMILY], [OWNER, FAMILY]], ["owner", "family", "owner"]),
        ("warning", [[WAITS, FAMILY]] * 3, ["family", "family", "family"]),
        ("warning", [[WAITS]] * 3, [None, None, None]),
        ("advisory", [[OWNER, FAMILY]], ["owner"]),
    ],
)  # fmt: skip
def test_who_is_asked(severity: str, orders: list[list[Candidate]], asked: list[str | None]) -> None:
    assert walk(severity, orders) == asked


def test_it_waits_for_who_would_have_come_first_and_once_only() -> None:
    chosen, holds = choose(Carried("warning", 0), [WAITS, FAMILY])
    assert (chosen, holds) == (FAMILY, WAITS)
    then, _ = after(Carried("warning", 0), chosen, 0)
    assert choose(then, [WAITS, FAMILY])[1] is None


@pytest.mark.parametrize(
    ("asked", "failed", "order", "at_once"),
    [
        ({"person:owner": 1}, "person:owner", ALL, True),
        ({"person:owner": 1}, "person:owner", [OWNER], False),
        ({"person:owner": 1, "person:family": 1}, "person:family", [OWNER, FAMILY], False),
        ({"person:owner": 1, "person:family": 1}, "person:family", ALL, True),
        ({"person:owner": 1}, "person:owner", [OWNER, TECHNICIAN], False),
        ({"person:owner": 1}, "person:owner", [OWNER, replace(FAMILY, waits=True)], False),
    ],
)
def test_who_cannot_be_reached_hands_on_at_once_while_there_is_somebody(
    asked: dict[str, int], failed: str, order: list[Candidate], *, at_once: bool
) -> None:
    carried = Carried("critical", 0, 1, asked, failed)
    assert after_failure(carried, failed, 0, order) is at_once
    assert not after_failure(replace(carried, round=3), failed, 0, order)  # the clock has gone on meanwhile
    assert not after_failure(replace(carried, last="person:helper"), failed, 0, order)


def test_a_round_that_is_late_pushes_the_next_ones() -> None:
    carried, next_ms = after(Carried("critical", 0), OWNER, 7 * MINUTE_MS)
    assert next_ms == 17 * MINUTE_MS
    _, next_ms = after(Carried("critical", 0), OWNER, 20_000)
    assert next_ms == 10 * MINUTE_MS
    assert carried.asked == {"person:owner": 1}


@given(st.lists(st.sets(st.sampled_from(range(4)), min_size=1), min_size=1, max_size=30))
def test_nobody_is_asked_again_before_everybody_there_was_asked_as_often(rounds: list[set[int]]) -> None:
    carried = Carried("critical", 0)
    for there in rounds:
        order = [ALL[number] for number in sorted(there)]
        chosen, _ = choose(carried, order)
        assert chosen is not None
        mine = carried.asked.get(spell_who(chosen.who), 0)
        assert all(carried.asked.get(spell_who(one.who), 0) >= mine for one in order)
        carried, next_ms = after(carried, chosen, due_ms("critical", carried.round, 0) or 0)
        assert next_ms is not None


@pytest.mark.parametrize(
    ("vital", "silent"),
    [
        (None, "registry"),
        (Vital(True, 0, None, 0), ""),
        (Vital(True, 3, None, 0), "judge"),
        (Vital(True, 3, 0, 0), ""),
        (Vital(True, 3, -1, 0), "judge"),
        (Vital(False, 3, 0, 0), "store"),
        (Vital(True, 3, 0, 1), "outbox"),
    ],
)
def test_the_heartbeat_ends_when_anything_on_the_way_to_people_is_not_alive(vital: Vital | None, silent: str) -> None:
    assert is_alive(vital, JUDGED_WITHIN_MS) == silent
