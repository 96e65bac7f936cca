"""Which profile an instrument fits, over every recorded instrument that gives good values."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import yaml

from gateway.places import FUNCTION_CODES
from gateway.plan import Read
from gateway.tools.recognise import Fit, best, equals, fit
from gateway.tools.scan_report import signatures
from tests.unit.test_gateway_modbus_cases import FILES, Case

SIGNATURES = signatures(None)
TABLES = {code: table for table, code in FUNCTION_CODES.items()}


def memory_of(case: Case) -> dict[tuple[str, int], int]:
    words: dict[tuple[str, int], int] = {}
    for table, blocks in case.registers.items():
        for first, values in blocks.items():
            words |= {(table, first + i): v for i, v in enumerate(values)}
    for frame in case.frames:
        request, reply = bytes.fromhex(frame.request), bytes.fromhex(frame.reply)
        first = int.from_bytes(request[1:3], "big")
        for i in range(len(reply[2:]) // 2):
            words[TABLES[request[0]], first + i] = int.from_bytes(reply[2 + 2 * i : 4 + 2 * i], "big")
    return words


def recognised(words: dict[tuple[str, int], int]) -> list[Fit]:
    def look(read: Read) -> Sequence[int] | None:
        found = [words.get((read.table, read.address + i)) for i in range(read.count)]
        return [w for w in found if w is not None] if None not in found else None

    return best(fit(s, look, 77, None) for s in SIGNATURES)


def good_cases() -> list[tuple[str, str, Case]]:
    known = {s.name for s in SIGNATURES}
    cases = ((f, Case(**yaml.safe_load(f.read_text(encoding="utf-8")))) for f in FILES if f.parent.name in known)
    return [(f.parent.name, f.stem, c) for f, c in cases if not c.states]


def test_recorded_instruments_are_recognised() -> None:
    """By their registers alone, at an address that is nobody's: the right one is first, or named as an equal."""
    missed = []
    cases = good_cases()
    for profile, name, case in cases:
        fits = recognised(memory_of(case))
        if not fits or profile not in (fits[0].signature.name, *equals(fits)):
            missed.append(f"{profile}/{name}: {[(f.signature.name, round(f.bits, 1)) for f in fits]}")
    assert len(missed) <= len(cases) * 0.2, f"{len(missed)} of {len(cases)}\n" + "\n".join(missed)
    print(f"{len(missed)} of {len(cases)} missed", *missed, sep="\n")


def test_empty_registers_are_no_instrument() -> None:
    words = {(table, i): 0 for table in ("holding", "input") for i in range(1000)}
    assert all(f.bits < 12 for f in recognised(words))


@pytest.mark.parametrize("seed", range(5))
def test_rubbish_is_no_instrument(seed: int) -> None:
    import random

    chance = random.Random(seed)
    words = {(table, i): chance.randrange(0x10000) for table in ("holding", "input") for i in range(1000)}
    assert not [f for f in recognised(words) if f.bits > 8]
