"""Alerts as streams tell them: what is new, and what a browser that was away has not seen.

The alert book is written by other processes. `watch` asks it for new events a few times a second, once for all
open streams, and tells the hub; `missed` reads what happened after an event. Numbers of events go up in the order in
which they were committed (`analytics.alert_book`), on PostgreSQL too, so that nothing appears behind what was told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from sqlalchemy.orm import Session

from api import rights_watch
from api.alert_view import view
from api.centre import Centre
from api.hub import Step
from api.sessions import SERVICE
from collectors.registry import RegistryError, alerts
from collectors.registry.schema import AlertEvent
from collectors.registry.viewer import Viewer

log = logging.getLogger(__name__)

EVERY_S: Final = 0.3
AFTER_FAILURE_S: Final = 5.0
PAGE: Final = 500
MISSED_AT_MOST: Final = 1_000
"""Events after which a browser that was away has its page read anew instead."""


async def watch(centre: Centre) -> None:
    """Runs until it is cancelled. A registry that does not answer is asked again, and logged once."""
    is_down = False
    while True:
        try:
            if steps := await asyncio.to_thread(_new_steps, centre, centre.hub.last_step):
                await rights_watch.look(centre)  # what happened after a withdrawal is not told for the old rights
                centre.hub.steps(steps)
            if is_down:
                log.info("registry: answers again")
            is_down = False
        except RegistryError as error:
            if not is_down:
                log.warning("registry: no news of alerts: %s", error)
            is_down = True
        except Exception:  # the outermost loop: whatever it is, tomorrow's alerts must be told
            log.exception("news of alerts: looking again")
            await asyncio.sleep(AFTER_FAILURE_S)
        await asyncio.sleep(EVERY_S)


def newest(centre: Centre) -> int:
    """The id of the newest event: where `watch` begins."""
    with centre.registry.read() as session:
        return alerts.last_event_id(session, SERVICE)


def missed(centre: Centre, viewer: Viewer, seen: int) -> list[Step] | None:
    """Each alert that `viewer` may see and that something happened to after event `seen`, once, as it is now.

    None when that is too much to tell one by one, or when `seen` is not there yet: of a registry before its backup.
    """
    with centre.registry.read() as session:
        if seen > alerts.last_event_id(session, SERVICE):
            return None
        events = alerts.events_since(session, viewer, seen, MISSED_AT_MOST + 1)
        if len(events) > MISSED_AT_MOST:
            return None
        return [step for step in _steps(centre, session, events) if step.data]


def _new_steps(centre: Centre, after: int) -> list[Step]:
    with centre.registry.read() as session:
        return _steps(centre, session, alerts.events_since(session, SERVICE, after, PAGE))


def _steps(centre: Centre, session: Session, events: Iterable[AlertEvent]) -> list[Step]:
    """One step per alert, with the number of its last event, in the order of these numbers."""
    last = {event.alert_id: event for event in events}
    steps = []
    for event in sorted(last.values(), key=lambda e: e.id):
        alert = alerts.get_alert(session, SERVICE, event.alert_id)
        if alert is not None:
            try:
                data = view(session, centre.rules, alert).model_dump_json().encode()
            except (ValueError, KeyError, TypeError):  # one odd row must not keep all later ones from being told
                log.exception("alert %s cannot be told", alert.id)
                data = b""
            steps.append(Step(event.id, alert.site_id, data))
    return steps
