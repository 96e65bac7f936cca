"""Which shards this worker judges: a thread of its own renews the leases, whatever the worker is busy with.

It guarantees that a worker which hangs (no `alive` for `HANGS_S`) loses its shards, and that one whose registry is
down keeps judging: it cannot write meanwhile, and whether it may is asked in each transaction (`require_held`).
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from collectors.registry import Registry, RegistryUnavailable, leases
from collectors.registry.leases import Leases
from collectors.registry.viewer import Service

log = logging.getLogger(__name__)

RENEW_S: Final = 1.5
HANGS_S: Final = 60.0


class Holding:
    """The leases of one worker, between `start` and `stop`."""

    def __init__(self, registry: Registry, me: Service, renew_s: float = RENEW_S) -> None:
        self._registry, self._me, self._renew_s = registry, me, renew_s
        self._here = f"{socket.gethostname()[:24]}.{_processes()}."
        self.name = f"{self._here}{os.getpid()}.{secrets.token_hex(4)}"
        self._stop = threading.Event()
        self._changing = threading.Lock()
        self._held = Leases()
        self._alive_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    def start(self) -> None:
        self.renew()
        self._thread.start()

    def stop(self) -> None:
        """Gives everything back, so that another worker goes on at once."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            with self._changing, self._registry.write() as session:
                leases.give_back(session, self._me, self.name, self._held.fences, leaves=True)
        except (RegistryUnavailable, IntegrityError) as error:
            log.warning("leases: not given back, they end by themselves: %s", error)
        self._held = Leases()

    @property
    def held(self) -> Leases:
        return self._held

    def alive(self) -> None:
        """The worker gets on."""
        self._alive_s = time.monotonic()

    def renew(self) -> None:
        """Asks for what is free and prolongs what is held; what is held stays as it was when nobody answers."""
        try:
            with self._changing, self._registry.write() as session:
                held = leases.renew(session, self._me, self.name, self._is_gone)
            self._held = held
        except (RegistryUnavailable, IntegrityError) as error:
            log.debug("leases: %s", error)

    def give_back(self, shards: frozenset[int]) -> None:
        """Lets another worker have `shards`, of which everything is saved. Raises `RegistryUnavailable`."""
        with self._changing:
            fences = {shard: fence for shard, fence in self._held.fences.items() if shard in shards}
            with self._registry.write() as session:
                leases.give_back(session, self._me, self.name, fences, leaves=False)
            kept = {shard: fence for shard, fence in self._held.fences.items() if shard not in shards}
            self._held = Leases(kept, self._held.until_ms)

    def require(self, session: Session, fences: Mapping[int, int]) -> None:
        """`leases.LeaseLost` unless this worker may write what it judged under `fences`, in this transaction."""
        leases.require_held(session, self._me, self.name, fences)

    def _is_gone(self, worker: str) -> bool:
        """Whether `worker` was a process of this machine that is no more: one that is started again need not wait."""
        if not worker.startswith(self._here):
            return False
        try:
            os.kill(int(worker.removeprefix(self._here).partition(".")[0]), 0)
        except ProcessLookupError:
            return True
        except (PermissionError, ValueError, OverflowError):
            return False
        return False

    def _run(self) -> None:
        while not self._stop.wait(self._renew_s):
            if time.monotonic() - self._alive_s > HANGS_S:
                log.error("leases: the worker does not get on; others may have its farms")
                continue
            self.renew()


def _processes() -> str:
    """Names the machine's start and the space in which process numbers count; by chance where nobody can tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        return secrets.token_hex(6)
    return hashlib.sha256(f"{boot}{space}".encode()).hexdigest()[:12]
