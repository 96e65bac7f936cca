"""Once a minute: what waits in the spool, and each state said again before it is old. Once a second: the clock."""

from __future__ import annotations

import asyncio
import logging
import time

from gateway.clock import Clock
from gateway.record import Recorder
from gateway.spool import Spool
from makiba.reading import Series

log = logging.getLogger("makiba.gateway.health")

EVERY_S = 60.0


async def keep_health(gateway: str, site: str, clock: Clock, spool: Spool, recorder: Recorder) -> None:
    """Runs until cancelled."""
    backlog = Series(site, gateway, "spool_backlog")
    due_s = time.monotonic()
    while True:
        step_ns = clock.follow()
        if step_ns:
            log.warning("the wall clock was set by %+.1f s", step_ns / 1e9)
        if time.monotonic() >= due_s:
            due_s += EVERY_S
            recorder.record(((backlog, float(spool.waiting)),), {})
            recorder.say_again()
        await asyncio.sleep(1.0)
