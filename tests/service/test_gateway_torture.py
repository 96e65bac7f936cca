"""A gateway on three buses whose answers go wrong in every way at once: nothing wrong is recorded, nobody stalls."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.torture_bus import run


@pytest.mark.long
def test_a_fifth_of_all_answers_is_wrong_and_no_value_is(tmp_path: Path) -> None:
    outcome = run(tmp_path, seconds=14, seed=20260105)
    assert not outcome.wrong, str(outcome)
    for bus in ("rtu", "rtu-over-tcp"):
        assert outcome.faults[bus].total() >= 20, str(outcome)
        assert {"ok", "timeout", "crc", "invalid"} <= outcome.states[bus].keys(), str(outcome)
    assert {"ok", "timeout", "invalid"} <= outcome.states["tcp"].keys(), str(outcome)
    for bus, count in outcome.values.items():
        assert count >= 0.5 * 10 * (outcome.asked[bus] - outcome.faults[bus].total()), f"{bus}: {outcome}"
