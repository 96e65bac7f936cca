"""The front end's own checks, run here so that one command tells about everything."""

import os
import re
import subprocess
from pathlib import Path

import pytest

WEB = Path(__file__).resolve().parents[2] / "api" / "web"


@pytest.mark.parametrize("script", ["check", "test", "check:dist"])
@pytest.mark.timeout(180)
def test_the_front_end_passes_its_own(script: str) -> None:
    done = subprocess.run(
        ["npm", "run", "--silent", script],
        cwd=WEB,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CI": "true", "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_lock_file_holds_names_and_versions_only() -> None:
    text = (WEB / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in text
    # What is left of addresses says how to thank the authors.
    addresses = re.findall(r'"(\w+)": "https?://', text)
    assert set(addresses) <= {"url", "funding"}
