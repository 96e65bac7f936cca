"""Reading what people say about alerts: whose they are to do, comments, labels, and where these put rules.

All of it is of the class `alerts`, as the alerts are: what a viewer may not see does not exist for them. Only
`analytics.alert_book` and `analytics.alert_talk` write these tables.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, select, true, tuple_
from sqlalchemy.orm import Session

from collectors.registry.schema.book import AlertAssignee, AlertComment, AlertFeedback, RuleStanding
from collectors.registry.viewer import Viewer, visible_sites


def comments_of(
    session: Session, viewer: Viewer, alert_id: str, limit: int, after: Sequence[Any] | None = None
) -> Sequence[AlertComment]:
    """Comments on an alert, the oldest first, from behind `after` (time, id) on."""
    query = select(AlertComment).where(AlertComment.alert_id == alert_id, _seen(AlertComment.site_id, viewer))
    if after is not None:
        query = query.where(tuple_(AlertComment.at_ms, AlertComment.id) > tuple(after))
    return session.scalars(query.order_by(AlertComment.at_ms, AlertComment.id).limit(limit)).all()


def comment_counts(session: Session, viewer: Viewer, alerts: Collection[str]) -> dict[str, int]:
    """How many comments each of `alerts` has; those without are left out."""
    query = (
        select(AlertComment.alert_id, func.count())
        .where(AlertComment.alert_id.in_(sorted(alerts)), _seen(AlertComment.site_id, viewer))
        .group_by(AlertComment.alert_id)
    )
    return dict(session.execute(query).all())


def assignees(session: Session, viewer: Viewer, alerts: Collection[str]) -> dict[str, int]:
    """The person to whom each of `alerts` is assigned; those that are nobody's are left out."""
    query = select(AlertAssignee.alert_id, AlertAssignee.person_id).where(
        AlertAssignee.alert_id.in_(sorted(alerts)), _seen(AlertAssignee.site_id, viewer)
    )
    return dict(session.execute(query).all())


def label_counts(session: Session, viewer: Viewer, alerts: Collection[str]) -> dict[str, dict[str, int]]:
    """How many people gave each of `alerts` each label."""
    query = (
        select(AlertFeedback.alert_id, AlertFeedback.label, func.count())
        .where(AlertFeedback.alert_id.in_(sorted(alerts)), _seen(AlertFeedback.site_id, viewer))
        .group_by(AlertFeedback.alert_id, AlertFeedback.label)
    )
    counts: dict[str, dict[str, int]] = {}
    for alert_id, label, number in session.execute(query):
        counts.setdefault(alert_id, {})[label] = number
    return counts


def labels_of_rules(
    session: Session, viewer: Viewer, site: str, rule: str | None = None
) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """What was said of the alerts of each rule of `site`, or of `rule`: {rule: {alert: labels}}."""
    query = select(AlertFeedback.rule, AlertFeedback.alert_id, AlertFeedback.label).where(
        AlertFeedback.site_id == site, _seen(AlertFeedback.site_id, viewer)
    )
    if rule is not None:
        query = query.where(AlertFeedback.rule == rule)
    found: dict[str, dict[str, list[str]]] = {}
    for name, alert_id, label in session.execute(query):
        found.setdefault(name, {}).setdefault(alert_id, []).append(label)
    return found


def standings(session: Session, viewer: Viewer, sites: Collection[str]) -> dict[tuple[str, str], RuleStanding]:
    """Where rules stand on `sites`, by (site, rule); one that is not in it wakes people."""
    query = select(RuleStanding).where(RuleStanding.site_id.in_(sorted(sites)), _seen(RuleStanding.site_id, viewer))
    return {(row.site_id, row.rule): row for row in session.scalars(query)}


def _seen(column: Any, viewer: Viewer) -> ColumnElement[bool]:
    sites = visible_sites(viewer, "alerts")
    return true() if sites is None else column.in_(sorted(sites))
