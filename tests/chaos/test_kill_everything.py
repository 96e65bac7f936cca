"""The promise that what was measured arrives once, with every process killed at random."""

from pathlib import Path

import pytest

from tests.chaos.kill_everything import at_random, run


@pytest.mark.timeout(240)
def test_every_poll_is_stored_exactly_once_whoever_is_killed(tmp_path: Path) -> None:
    outcome = run(tmp_path, at_random(20261124, 25, 3))
    assert not outcome.wrong, str(outcome)
    assert outcome.rows >= 5 * 50


def test_an_answer_after_the_timeout_is_a_state_and_the_next_one_counts(tmp_path: Path) -> None:
    """What a machine that is busy starting does to the first poll of every device: no loss of the spool's."""
    outcome = run(tmp_path, [], first_takes_s=0.25, timeout="100ms")
    assert not outcome.wrong, str(outcome)
    assert outcome.too_late >= 3
