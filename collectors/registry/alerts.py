"""Reading the alert book: open alerts, past ones, the events of one, and events since the last that somebody saw.

Only `analytics.alert_book` writes these tables. Alerts of farms that do not show
a viewer their alerts do not exist for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, select, true, tuple_
from sqlalchemy.orm import Session

from collectors.registry.schema import Alert, AlertEvent
from collectors.registry.viewer import Viewer, visible_sites


def open_alerts(session: Session, viewer: Viewer, site: str | None = None) -> Sequence[Alert]:
    """Alerts that have not ended, the newest first; of `site` only where given."""
    query = select(Alert).where(Alert.ended_ms.is_(None), _seen(Alert.site_id, viewer))
    if site is not None:
        query = query.where(Alert.site_id == site)
    return session.scalars(query.order_by(Alert.opened_ms.desc(), Alert.id)).all()


def list_alerts(
    session: Session,
    viewer: Viewer,
    site: str,
    active: bool,
    limit: int = 50,
    after: tuple[int, str] | None = None,
) -> Sequence[Alert]:
    """Alerts of `site`: those open, by when they opened, or those ended, by when they ended; the newest first.

    `after` goes on behind the alert of this time and id.
    """
    order: Any = Alert.opened_ms if active else Alert.ended_ms
    query = select(Alert).where(Alert.site_id == site, _seen(Alert.site_id, viewer))
    query = query.where(Alert.ended_ms.is_(None) if active else Alert.ended_ms.is_not(None))
    if after is not None:
        query = query.where(tuple_(order, Alert.id) < after)
    return session.scalars(query.order_by(order.desc(), Alert.id.desc()).limit(limit)).all()


def get_alert(session: Session, viewer: Viewer, alert_id: str) -> Alert | None:
    """The alert, or None when there is none for `viewer`."""
    return session.scalar(select(Alert).where(Alert.id == alert_id, _seen(Alert.site_id, viewer)))


def events_of(session: Session, viewer: Viewer, alert_id: str) -> Sequence[AlertEvent]:
    """What happened to an alert, in order."""
    query = select(AlertEvent).where(AlertEvent.alert_id == alert_id, _seen(AlertEvent.site_id, viewer))
    return session.scalars(query.order_by(AlertEvent.id)).all()


def events_since(session: Session, viewer: Viewer, event_id: int, limit: int = 500) -> Sequence[AlertEvent]:
    """Events after `event_id`, in order: the first `limit` of them."""
    query = select(AlertEvent).where(AlertEvent.id > event_id, _seen(AlertEvent.site_id, viewer))
    return session.scalars(query.order_by(AlertEvent.id).limit(limit)).all()


def last_event_id(session: Session, viewer: Viewer) -> int:
    """The id of the newest event that `viewer` may see; 0 when there is none."""
    return session.scalar(select(func.max(AlertEvent.id)).where(_seen(AlertEvent.site_id, viewer))) or 0


def _seen(column: Any, viewer: Viewer) -> ColumnElement[bool]:
    sites = visible_sites(viewer, "alerts")
    return true() if sites is None else column.in_(sorted(sites))
