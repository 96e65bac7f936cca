"""Every story in `tests/cases`: what goes over the wire becomes exactly these readings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.playing import play

CASES = sorted(f.parent for f in (Path(__file__).parents[1] / "cases").glob("*/frames.hex"))


@pytest.mark.parametrize("folder", CASES, ids=lambda f: f.name)
def test_the_wire_becomes_these_readings(folder: Path, tmp_path: Path) -> None:
    recorded, expected = play(folder, tmp_path)
    assert _rounded(recorded) == _rounded(expected)


def _rounded(found: dict[str, list[float | str]]) -> dict[str, list[float | str]]:
    """To nine digits: an angle in radians is written down to fewer than a double has."""
    return {
        name: [v if isinstance(v, str) else float(f"{v:.9g}") for v in values]
        for name, values in sorted(found.items())
    }
