"""What people say about an alert: comments, and what it was worth; and where that puts its rule.

Guarantees: a comment is never changed; each person has one label on an alert, and each change of it is a step of the
alert; whether the rule still wakes people is decided in the same transaction (`precision`), and where that changes,
the alert that was judged gets a step that says so. As in `alert_book`, the caller commits.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Final, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from analytics.alert_book import found, in_order, note, state_of, take
from analytics.book_states import Comment, Feedback, Label, Step, step
from analytics.precision import Counts, Mode, count, is_demoted
from collectors.registry import audit, book
from collectors.registry.schema import Alert
from collectors.registry.schema.book import AlertComment, AlertFeedback, RuleStanding
from collectors.registry.viewer import Person, Service, Viewer, require
from makiba.rule import Rule

_SERVICE: Final = Service("analytics")
MODES: Final[tuple[Mode, ...]] = ("by-labels", "wakes", "morning")


class Vital(ValueError):
    """A rule about life, or a critical one, always wakes people."""


def comment(session: Session, viewer: Person, alert_id: str, words: str, now_ms: int) -> AlertComment | None:
    """Writes `words` beside the alert; None: there is none for them. `NotAllowed` when they only look."""
    row = found(session, viewer, alert_id, "comment")
    if row is None:
        return None
    kept = AlertComment(
        id=secrets.token_urlsafe(16), site_id=row.site_id, alert_id=row.id, person_id=viewer.id, at_ms=now_ms,
        text=words,
    )  # fmt: skip
    session.add(kept)
    take(session, viewer, row, Comment(kept.id), now_ms)
    return kept


def feedback(
    session: Session, viewer: Person, alert_id: str, label: Label | None, rules: Mapping[str, Rule], now_ms: int
) -> Alert | None:
    """Notes what `viewer` says that the alert was worth, None to take it back; the answer as of `comment`."""
    row = found(session, viewer, alert_id, "acknowledge")
    if row is None:
        return None
    kept = session.scalar(
        select(AlertFeedback).where(AlertFeedback.alert_id == row.id, AlertFeedback.person_id == viewer.id)
    )
    before = state_of(row, labels={viewer.id: cast("Label", kept.label)} if kept else {})
    _, steps = step(before, Feedback(viewer.id, label), now_ms)
    if not steps:
        return row
    if kept is not None and label is None:
        session.delete(kept)
    elif kept is not None and label is not None:
        kept.label, kept.at_ms = label, now_ms
    elif label is not None:
        session.add(
            AlertFeedback(
                site_id=row.site_id, alert_id=row.id, person_id=viewer.id, rule=row.rule, label=label, at_ms=now_ms
            )
        )
    session.flush()
    note(session, viewer, row, steps, now_ms)
    note(session, _SERVICE, row, _stand(session, row.site_id, row.rule, rules.get(row.rule), now_ms), now_ms)
    return row


def counts_of(labels: Mapping[str, Sequence[str]]) -> Counts:
    """The labels of one rule's alerts (of `book.labels_of_rules`), counted."""
    return count(cast("Sequence[Label]", said) for said in labels.values())


def is_vital(rule: Rule | None) -> bool:
    """Whether the rule always wakes people."""
    return rule is not None and (rule.life_safety or rule.severity == "critical")


def standing_to_change(session: Session, viewer: Viewer, site: str, rule: str, now_ms: int) -> RuleStanding:
    """Where `rule` stands, to be changed with `set_mode`. `NotAllowed`."""
    require(viewer, site, "change rules")
    in_order(session)
    row = session.get(RuleStanding, (site, rule), with_for_update=True)
    return row or RuleStanding(
        site_id=site, rule=rule, mode=MODES[0], is_demoted=False, since_ms=now_ms, useful=0, judged=0, version=0
    )


def set_mode(session: Session, viewer: Viewer, row: RuleStanding, mode: Mode, rule: Rule | None, now_ms: int) -> None:
    """The farm says whether the rule wakes people, or that its labels decide. `Vital`; said again it is nothing."""
    require(viewer, row.site_id, "change rules")
    if mode == "morning" and is_vital(rule):
        raise Vital("a rule about life, or a critical one, always wakes people")
    if row.mode == mode:
        return
    row.mode = mode
    session.add(row)
    _decide(session, row, rule, now_ms)
    row.version += 1
    audit.note_change(
        session,
        viewer,
        row.site_id,
        "rule.standing",
        now_ms,
        rule=row.rule,
        mode=mode,
        in_morning_list=row.is_demoted,
    )


def _stand(session: Session, site: str, name: str, rule: Rule | None, now_ms: int) -> list[Step]:
    """Decides anew; the step that says so where it is another now."""
    kept = session.get(RuleStanding, (site, name), with_for_update=True)
    row = kept or RuleStanding(
        site_id=site, rule=name, mode=MODES[0], is_demoted=False, since_ms=now_ms, useful=0, judged=0, version=0
    )
    if not _decide(session, row, rule, now_ms):
        return []
    row.version += 1
    session.add(row)
    kind = "demoted" if row.is_demoted else "restored"
    return [Step(kind, {"rule": name, "useful": row.useful, "judged": row.judged})]


def _decide(session: Session, row: RuleStanding, rule: Rule | None, now_ms: int) -> bool:
    """Whether the rule goes to the morning list now and did not before, or the other way round."""
    counts = counts_of(book.labels_of_rules(session, _SERVICE, row.site_id, row.rule).get(row.rule, {}))
    mode = next((m for m in MODES if m == row.mode), MODES[0])
    now = is_demoted(counts, mode, is_vital=is_vital(rule))
    if now == row.is_demoted:
        return False
    row.is_demoted, row.since_ms, row.useful, row.judged = now, now_ms, counts.useful, counts.judged
    return True
