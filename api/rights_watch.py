"""Keeps what open streams may tell as the registry has it: a withdrawal reaches them within a second.

Every quarter of a second one row is asked: the number of the rights (`collectors.registry.rights_version`). When it
is another, or a consent or session ends by itself, the rights of the streams concerned are worked out again, for all
of them in a few queries. When the registry does not answer, streams of a farm's own people go on; what others see by
consent waits (`api.routes.stream`), since nobody can say that it still holds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from api.centre import Centre
from api.sessions import rights_of, version_now
from collectors.registry import RegistryError

log = logging.getLogger(__name__)

EVERY_S: Final = 0.25
AFTER_FAILURE_S: Final = 2.0


async def watch(centre: Centre) -> None:
    """Runs until it is cancelled."""
    while True:
        pause_s = EVERY_S
        try:
            await look(centre)
        except RegistryError:
            pass  # `alert_news.watch` logs it
        except Exception:  # the outermost loop: without it nothing would ever be withdrawn
            log.exception("rights of open streams: looking again")
            pause_s = AFTER_FAILURE_S
        await asyncio.sleep(pause_s)


async def look(centre: Centre) -> None:
    """Looks once whether the rights of any open stream have changed."""
    hub = centre.hub
    if not len(hub):
        return
    begun_s = time.monotonic()
    version = await asyncio.to_thread(version_now, centre)
    if stale := hub.stale(version, centre.clock()):
        _, rights = await asyncio.to_thread(rights_of, centre, stale)
        hub.allow(rights, of=stale)
    hub.checked_s = begun_s
