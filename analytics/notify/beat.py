"""The dead-man's switch: somebody outside is told every minute that this centre watches, and rings when that ends.

The decision is pure (`is_alive`); what it needs is read by `look`. A beat that does not get through is no error here:
the other end notices, which is its purpose.
"""

from __future__ import annotations

import logging
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from analytics.notify.begin import ME
from collectors.registry import Registry, RegistryUnavailable, outbox
from collectors.registry.schema import Gateway, JudgeSnapshot
from collectors.store import Store, StoreError

log = logging.getLogger(__name__)

EVERY_S: Final = 60.0
OVERDUE_MS: Final = 120_000
JUDGED_WITHIN_MS: Final = 300_000
TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Vital:
    """What was seen of the centre. `judged_ms`: when a judge last wrote what it remembers; None: it never did."""

    store: bool
    gateways: int
    judged_ms: int | None
    overdue: int


def is_alive(vital: Vital | None, now_ms: int) -> str:
    """'' when everything that leads to a message is alive, else what is not. None: the registry does not answer."""
    if vital is None:
        return "registry"
    if not vital.store:
        return "store"
    if vital.gateways and (vital.judged_ms is None or now_ms - vital.judged_ms > JUDGED_WITHIN_MS):
        return "judge"
    return "outbox" if vital.overdue else ""


def look(registry: Registry, store: Store | None, now_ms: int) -> Vital | None:
    """The centre as it is now; None when the registry does not answer."""
    try:
        with registry.read() as session:
            gateways = session.scalar(select(func.count()).select_from(Gateway)) or 0
            judged_ms = session.scalar(select(func.max(JudgeSnapshot.saved_ms)))
            overdue = outbox.overdue(session, ME, now_ms - OVERDUE_MS)
    except RegistryUnavailable:
        return None
    return Vital(_answers(store), gateways, judged_ms, overdue)


def beat(url: str) -> bool:
    """Tells whoever watches; whether it got through. The address is a secret of a kind: it is not logged."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=TIMEOUT_S) as answer:  # noqa: S310
            return bool(200 <= answer.status < 300)
    except (OSError, ValueError, urllib.error.URLError):
        return False


def _answers(store: Store | None) -> bool:
    if store is None:
        return True
    try:
        store.check()
    except StoreError:
        return False
    return True
