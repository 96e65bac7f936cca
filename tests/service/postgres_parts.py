"""A real PostgreSQL as a child process, on a socket of its own folder and a free port."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
from pathlib import Path

from collectors.registry import open_registry
from tests.parts import Process, free_port, listens, wait_until

_PATH = os.pathsep.join(["/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/15/bin", os.environ.get("PATH", "")])
INITDB, POSTGRES, CREATEDB = (shutil.which(name, path=_PATH) for name in ("initdb", "postgres", "createdb"))
_UNPRIVILEGED = 65534


def why_not() -> str:
    """Why PostgreSQL cannot be tried on this machine; empty when it can."""
    if not (INITDB and POSTGRES and CREATEDB):
        return "PostgreSQL is not on this machine: apt-get install postgresql"
    if importlib.util.find_spec("psycopg") is None:
        return "PostgreSQL's driver is not installed: pip install 'psycopg[binary]'"
    return ""


class Postgres:
    """PostgreSQL in `folder`; it refuses to run as root, so that root runs it as nobody."""

    def __init__(self, folder: Path) -> None:
        assert INITDB
        assert POSTGRES
        self._numbers, self._ready = itertools.count(1), ""
        self.port = free_port()
        as_nobody: list[str] = []
        if os.geteuid() == 0:
            as_nobody = ["setpriv", f"--reuid={_UNPRIVILEGED}", f"--regid={_UNPRIVILEGED}", "--clear-groups"]
            os.chown(folder, _UNPRIVILEGED, _UNPRIVILEGED)
            for parent in list(folder.parents)[:3]:
                if parent != Path("/tmp"):
                    parent.chmod(parent.stat().st_mode | 0o011)
        data = folder / "data"
        made = subprocess.run(
            [*as_nobody, INITDB, "-D", str(data), "-U", "makiba", "-A", "trust", "-E", "UTF8", "--no-sync"],
            capture_output=True, text=True, check=False, cwd=folder,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        self.process = Process(
            [*as_nobody, POSTGRES, "-D", str(data), "-k", str(folder), "-h", "127.0.0.1", "-p", str(self.port), "-F"],
            log=folder / "postgres.log", cwd=folder,
        )  # fmt: skip

    def __enter__(self) -> Postgres:
        self.process.start()
        wait_until(lambda: listens(self.port), 20, self.process.log)
        wait_until(lambda: "ready to accept" in self.process.log(), 20, self.process.log)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.running:
            os.kill(self.process.pid, signal.SIGINT)  # at once, whoever is still connected
            self.process.wait()

    def url(self, database: str) -> str:
        return f"postgresql://makiba@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, like: str = "template1") -> str:
        """Makes a database whose name begins so, a copy of `like`, and gives its address."""
        name = f"{database}_{next(self._numbers)}".lower()
        command = [str(CREATEDB), "-h", "127.0.0.1", "-p", str(self.port), "-U", "makiba", "-T", like, name]
        subprocess.run(command, check=True)
        return self.url(name)

    def ready(self, database: str) -> str:
        """The same with a registry's tables, made once and copied."""
        if not self._ready:
            url = self.create("tables")
            open_registry(url, migrate=True).close()
            self._ready = url.rpartition("/")[2]
        return self.create(database, self._ready)
