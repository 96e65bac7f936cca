"""What an export costs `makiba serve`: its peak memory above what it holds anyway, CPU, and size on the way.

The service is a process of its own, one for each form; memory is the kernel's peak since the export began (VmHWM,
which `clear_refs` puts back). The reader throws away what it gets.
"""

from __future__ import annotations

import http.client
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api.sessions import digest
from collectors.registry import open_registry, people
from collectors.registry.sites import SiteSpec, apply_site
from collectors.registry.viewer import Service
from tests.parts import Process, free_port, listens, makiba, wait_until

CONSOLE: Final = Service("console")
COOKIE: Final = "the-owner-of-what-is-big"
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Served:
    """What a request took: the process' memory before it and at its peak, in MiB."""

    before_mib: float
    peak_mib: float
    cpu_s: float
    wall_s: float
    out_mb: float


def make_owner(home: Path, site: str) -> None:
    """A registry in `home` with the farm and its owner, who is signed in with `COOKIE`."""
    registry = open_registry(f"sqlite:{home / 'registry.db'}", migrate=True)
    now_ms = time.time_ns() // 1_000_000
    with registry.write() as session:
        apply_site(session, CONSOLE, SiteSpec(site, "大きな牧場", "A big farm"), now_ms)
        row = people.create_person(session, CONSOLE, login="owner", name="Owner", now_ms=now_ms, password_hash=None)
        people.grant_role(session, CONSOLE, row.id, site, "owner", now_ms)
        people.create_session(
            session, CONSOLE, token_hash=digest(COOKIE), person_id=row.id, now_ms=now_ms,
            expires_ms=now_ms + 86_400_000,
        )  # fmt: skip
    registry.close()


def served(home: Path, path: str, encoding: str = "identity") -> Served:
    """Asks a service of its own for `path`, and throws the answer away."""
    port = free_port()
    env = {"MAKIBA_HOME": str(home), "MAKIBA_HTTP_PORT": str(port)}
    with makiba("serve", log=home / "serve.log", env=env) as process:
        wait_until(lambda: listens(port), 60, process.log)
        _get(port, "/session", encoding)
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")
        before_mib, cpu_s, began_s = _memory_mib(process, "VmRSS"), _cpu_s(process), time.monotonic()
        size = _get(port, path, encoding)
        return Served(
            before_mib, _memory_mib(process, "VmHWM"), _cpu_s(process) - cpu_s, time.monotonic() - began_s, size / 1e6
        )


def _get(port: int, path: str, encoding: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    headers = {"Cookie": f"makiba_session={COOKIE}", "Accept-Encoding": encoding}
    connection.request("GET", f"/api/v1{path}", headers=headers)
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {answer.read()[:200]!r}")
    size = 0
    while data := answer.read(1 << 16):
        size += len(data)
    connection.close()
    return size


def _memory_mib(process: Process, what: str) -> float:
    found = re.search(rf"{what}:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


def _cpu_s(process: Process) -> float:
    user, system = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / _TICKS
