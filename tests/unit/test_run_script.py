"""`./run` on a bare machine: what it is about to install. Its apt-get is one that only refuses."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_tests_get_the_programs_that_the_documents_own_commands_need(tmp_path: Path) -> None:
    """A test whose program is not there would be passed over."""
    for name in ("dirname", "sed", "sh", "env"):
        found = shutil.which(name)
        assert found
        (tmp_path / name).symlink_to(found)
    for name, script in (("apt-get", "exit 1"), ("id", "echo 0")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    command = [str(tmp_path / "sh"), str(ROOT / "run"), "test"]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "apt-get update failed" in done.stderr
    said = next(line for line in done.stderr.splitlines() if "going to install from Debian:" in line)
    assert {"influxdb", "influxdb-client", "sqlite3", "curl", "chromium"} <= set(said.split())
