"""The promise that what was measured arrives once, with every process killed at random."""

from pathlib import Path

import pytest

from tests.chaos.kill_everything import run


@pytest.mark.timeout(240)
def test_every_poll_is_stored_exactly_once_whoever_is_killed(tmp_path: Path) -> None:
    outcome = run(tmp_path, seconds=25, kills_each=3, seed=20261124)
    assert not outcome.wrong, str(outcome)
    assert outcome.rows >= 20 * 50
