"""Which profile an instrument fits, over every Modbus profile, emulated from its own facts in four manners."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest

from gateway.plan import Read
from gateway.tools.recognise import Fit, looked_again, recognise
from gateway.tools.scan_report import signatures
from gateway.tools.verdict import Verdict, verdict
from tests.emulated import MANNERS, Emulated, Manner, good_cases

SIGNATURES = {s.name: s for s in signatures(None)}
CASES = good_cases(list(SIGNATURES))
FREE = 77
"""A unit id that no maker ships."""


def reported(profile: str, manner: Manner, unit_id: int, case: object) -> tuple[str, list[Fit]]:
    it = Emulated(SIGNATURES[profile], case, manner, unit_id)  # type: ignore[arg-type]
    fits = recognise(SIGNATURES.values(), it.look, unit_id, None)
    said = verdict(fits)
    if said is None:
        return "nothing", fits
    is_named = profile in [f.signature.name for f in said.named]
    return f"{'right' if is_named else 'WRONG'} {said.how}", fits


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("own_address", [True, False], ids=["shipped address", "another address"])
def test_every_profile_is_named_alone_or_in_a_group_and_never_wrongly(manner: Manner, own_address: bool) -> None:
    """At most two of 37 are not recognised with the marks that their makers name, and no wrong one is ever named."""
    counts: Counter[str] = Counter()
    told: list[str] = []
    for profile, name, case in CASES:
        shipped = SIGNATURES[profile].profile.unit_id
        how, fits = reported(profile, manner, (shipped or 1) if own_address else FREE, case)
        counts[how] += 1
        told.append(f"{profile}/{name}: {how} {[(f.signature.name, round(f.bits, 1)) for f in fits[:4]]}")
    print(manner, dict(counts), *told, sep="\n")
    assert not [line for line in told if "WRONG" in line]
    assert counts["nothing"] <= (3 if manner in ("bare", "forgiving") else 1), "\n".join(told)
    assert counts["right sure"] + counts["right likely"] >= (22 if manner == "bare" else 25), "\n".join(told)


def test_every_modbus_profile_can_be_recognised() -> None:
    assert {name for name, _, _ in CASES} == set(SIGNATURES)


@pytest.mark.parametrize("gas", ["jxbs-3001-nh3", "jxbs-3001-co"])
@pytest.mark.parametrize("manner", MANNERS)
def test_gases_behind_one_map_are_named_together_and_left_to_a_person(gas: str, manner: Manner) -> None:
    """What is in the box is on its label only; hydrogen sulfide is never left out of the choice."""
    case = next(c for name, _, c in CASES if name == gas)
    it = Emulated(SIGNATURES[gas], case, manner, 1)
    said = verdict(recognise(SIGNATURES.values(), it.look, 1, None))
    assert said is not None
    assert said.is_open
    assert {f.signature.name for f in said.named} >= {"jxbs-3001-nh3", "jxbs-3001-co", "jxct-h2s"}


def nothing_but(words: dict[tuple[str, int], int]) -> Verdict | None:
    def look(read: Read) -> Sequence[int] | None:
        found = [words.get((read.table, read.address + i)) for i in range(read.count)]
        return [w for w in found if w is not None] if None not in found else None

    return verdict(recognise(SIGNATURES.values(), look, FREE, None))


def test_empty_registers_are_no_instrument() -> None:
    assert nothing_but({(table, i): 0 for table in ("holding", "input") for i in range(3000)}) is None


@pytest.mark.parametrize("seed", range(20))
def test_rubbish_is_nothing_sure(seed: int) -> None:
    chance = random.Random(seed)
    words = {(table, i): chance.randrange(0x10000) for table in ("holding", "input") for i in range(3000)}
    said = nothing_but(words)
    assert said is None or said.how in ("maybe", "group")


def test_a_second_look_counts_against_what_leaps() -> None:
    """A meter's power, read as soil moisture, jumps within seconds as no soil does."""
    probe = SIGNATURES["dfrobot-sen0600"]

    def at(moisture: int, temperature: int) -> Fit:
        (found,) = recognise([probe], lambda read: [moisture, temperature][: read.count], 1, None)
        return found

    before = at(312, 184)
    assert looked_again(before, at(315, 185)).bits == before.bits
    assert looked_again(before, at(901, 184)).bits < before.bits
    assert looked_again(before, at(312, 350)).bits < before.bits
    assert looked_again(before, None).bits < before.bits


def test_a_counter_that_counts_backwards_is_none() -> None:
    rain = SIGNATURES["jxct-rain"]

    def at(total: int) -> Fit:
        # One read out of many is answered, as by a probe that has nothing else.
        (found,) = (
            f
            for f in recognise(
                SIGNATURES.values(),
                lambda read: [total] if (read.table, read.address, read.count) == ("holding", 3, 1) else None,
                1,
                None,
            )
            if f.signature is rain
        )
        return found

    assert looked_again(at(184), at(185)).bits == at(184).bits
    assert looked_again(at(184), at(183)).bits < at(184).bits
