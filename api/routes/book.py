"""What people do with alerts besides 'I have seen it', and what the rules are worth by their word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException, Path
from sqlalchemy.orm import Session

from analytics import alert_book, alert_talk
from analytics.book_states import Refused
from analytics.precision import Counts
from analytics.rules import FarmRules
from api.alert_view import person_name, view
from api.centre import Centre, CentreNow
from api.etags import Changing, Tagging
from api.once import Once
from api.paging import Paging
from api.problems import invalid, not_found
from api.sessions import Accounting, SignedIn, writing
from api.shapes import AlertOut, Names
from api.shapes.book import (
    AssignIn,
    CommentIn,
    CommentOut,
    CommentsOut,
    FeedbackIn,
    PrecisionOut,
    RuleIn,
    RuleNumberOut,
    RuleOut,
    RulesOut,
    SnoozeIn,
)
from collectors.registry import alerts, book, people, sites
from collectors.registry.schema import Alert
from collectors.registry.schema.book import AlertComment, RuleStanding
from collectors.registry.viewer import Service, may_see
from makiba.rule import Rule
from makiba.senml import to_primary

router = APIRouter(tags=["alerts"])

WHAT: Final[Mapping[str, Names]] = {
    "/alerts/{alert_id}/comments": Names(ja="警報の コメントを 見ました", en="looked at comments on an alert"),
    "/sites/{site}/rules": Names(ja="警報の きまりを 見ました", en="looked at the rules"),
    "/sites/{site}/rules/{rule}": Names(ja="警報の きまりを 見ました", en="looked at a rule"),
    "rule.standing": Names(ja="警報の 知らせ方を 変えました", en="changed how a rule tells its alerts"),
}

AlertId = Annotated[str, Path(max_length=64)]
RuleName = Annotated[str, Path(max_length=64)]

_SERVICE: Final = Service("api")


@router.post("/alerts/{alert_id}/snooze")
def snooze(alert_id: AlertId, given: SnoozeIn, viewer: SignedIn, centre: CentreNow) -> AlertOut:
    """Puts the alert off until a time; then, or when it gets worse, it is open again. 409 for what is about life."""
    with writing(centre, viewer) as session:
        seen = alerts.get_alert(session, viewer, alert_id)
        rule = centre.rules.get(seen.rule) if seen else None
        try:
            row = alert_book.snooze(
                session, viewer, alert_id, given.until_ms, centre.clock(),
                is_life_safety=rule is not None and rule.life_safety,
            )  # fmt: skip
        except Refused as error:
            raise _refused(error) from None
        return _told(session, centre, row)


@router.post("/alerts/{alert_id}/assign")
def assign(alert_id: AlertId, given: AssignIn, viewer: SignedIn, centre: CentreNow) -> AlertOut:
    """Says whose the alert is to do: one of the farm's own people, or nobody. 409 once it has ended."""
    with writing(centre, viewer) as session:
        assignee = None
        if given.person is not None:
            number = people.number_of(session, _SERVICE, given.person)
            assignee = people.viewer_of(session, _SERVICE, number, centre.clock())
        if alert_book.found(session, viewer, alert_id, "acknowledge") is None:
            raise not_found()
        if given.person is not None and assignee is None:
            raise invalid("body.person", alert_book.NOBODY)
        try:
            row = alert_book.assign(session, viewer, alert_id, assignee, centre.clock())
        except Refused as error:
            raise _refused(error) from None
        return _told(session, centre, row)


@router.post("/alerts/{alert_id}/feedback")
def feedback(alert_id: AlertId, given: FeedbackIn, viewer: SignedIn, centre: CentreNow) -> AlertOut:
    """Says what the alert was worth; each person's last word counts. It may move its rule to the morning list."""
    with writing(centre, viewer) as session:
        row = alert_talk.feedback(session, viewer, alert_id, given.label, centre.rules, centre.clock())
        return _told(session, centre, row)


@router.get("/alerts/{alert_id}/comments")
def comments(
    alert_id: AlertId, viewer: SignedIn, centre: CentreNow, account: Accounting, page: Paging, tags: Tagging
) -> CommentsOut:
    """What people wrote beside the alert, the oldest first; whoever sees the alert reads it."""
    with centre.registry.read() as session:
        row = alerts.get_alert(session, viewer, alert_id)
        if row is None:
            raise not_found()
        rows = book.comments_of(session, viewer, alert_id, page.ask, page.after)
        shown, following = page.cut(rows, lambda one: (one.at_ms, one.id))
        told = CommentsOut(rows=[_comment(session, one) for one in shown], next=following)
    account.note(row.site_id, {"alerts"})
    return tags.content(told, but={"next"})


@router.post("/alerts/{alert_id}/comments", status_code=201)
def comment(alert_id: AlertId, given: CommentIn, viewer: SignedIn, centre: CentreNow, once: Once) -> CommentOut:
    """Writes something beside the alert; it is never changed."""
    with centre.registry.read() as session:
        seen = alerts.get_alert(session, viewer, alert_id)
    if seen is None:
        raise not_found()
    with once.write(seen.site_id, "comment") as session:
        row = alert_talk.comment(session, viewer, alert_id, given.text, centre.clock())
        if row is None:
            raise not_found()
        return once.made(_comment(session, row), f"/alerts/{alert_id}/comments")


@router.get("/sites/{site}/rules")
def rules(site: str, viewer: SignedIn, centre: CentreNow, account: Accounting, tags: Tagging) -> RulesOut:
    """Every rule with its numbers in force, its source, and what it was worth on this farm."""
    with centre.registry.read() as session:
        told = RulesOut(rows=_rules(session, centre, viewer, site))
    account.note(site, {"alerts"})
    return tags.content(told)


@router.get("/sites/{site}/rules/{rule}")
def rule(
    site: str, rule: RuleName, viewer: SignedIn, centre: CentreNow, account: Accounting, tags: Tagging
) -> RuleOut:
    """One rule, with the version of its standing as ETag."""
    with centre.registry.read() as session:
        told = _rule(session, centre, viewer, site, rule)
    account.note(site, {"alerts"})
    tags.version(told.version)
    return told


@router.put("/sites/{site}/rules/{rule}")
def change_rule(
    site: str, rule: RuleName, given: RuleIn, viewer: SignedIn, centre: CentreNow, tags: Changing
) -> RuleOut:
    """Says whether the rule wakes people, or lets its labels decide; 409 for one that always does."""
    if not may_see(viewer, site, "alerts"):
        raise not_found()
    with writing(centre, viewer, site) as session:
        row = alert_talk.standing_to_change(session, viewer, site, rule, centre.clock())
        if rule not in centre.rules:
            raise not_found()
        tags.expect(row.version)
        try:
            alert_talk.set_mode(session, viewer, row, given.mode, centre.rules[rule], centre.clock())
        except alert_talk.Vital as error:
            raise HTTPException(409, str(error)) from None
        session.flush()
        told = _rule(session, centre, viewer, site, rule)
    tags.changed(told.version)
    return told


def _refused(error: Refused) -> Exception:
    return invalid(f"body.{error.field}", str(error)) if error.field else HTTPException(409, str(error))


def _told(session: Session, centre: Centre, row: Alert | None) -> AlertOut:
    if row is None:
        raise not_found()
    return view(session, centre.rules, row)


def _comment(session: Session, row: AlertComment) -> CommentOut:
    who = person_name(session, f"person:{row.person_id}") if row.person_id is not None else None
    return CommentOut(id=row.id, at_ms=row.at_ms, who=who, text=row.text)


def _rule(session: Session, centre: Centre, viewer: SignedIn, site: str, name: str) -> RuleOut:
    found = [one for one in _rules(session, centre, viewer, site) if one.rule == name]
    if not found:
        raise not_found()
    return found[0]


def _rules(session: Session, centre: Centre, viewer: SignedIn, site: str) -> list[RuleOut]:
    row = sites.get_site(session, viewer, site, "alerts")
    if row is None:
        raise not_found()
    farm = FarmRules(centre.rules, dict(row.rules or {}))
    standings = book.standings(session, viewer, [site])
    labels = book.labels_of_rules(session, viewer, site)
    return [
        _shown(farm, one, alert_talk.counts_of(labels.get(name, {})), standings.get((site, name)))
        for name, one in sorted(centre.rules.items())
    ]


def _shown(farm: FarmRules, rule: Rule, counts: Counts, standing: RuleStanding | None) -> RuleOut:
    tuned = farm.tuned(rule.rule)
    told: dict[str, Any] = {
        "rule": rule.rule,
        "title": Names(ja=rule.title.ja, en=rule.title.en),
        "severity": rule.severity,
        "life_safety": rule.life_safety,
        "source": rule.source,
        "trust": rule.trust,
        "for_ms": tuned.for_ms,
        "clear_for_ms": tuned.clear_for_ms,
        "numbers": _numbers(farm, rule),
        "precision": PrecisionOut(
            useful=counts.useful,
            judged=counts.judged,
            knew=counts.knew,
            low=round(counts.low, 3) if counts.judged else None,
            told=Names(ja=f"{counts.judged}件中{counts.useful}件", en=f"{counts.useful} of {counts.judged}"),
        ),
        "mode": standing.mode if standing else "by-labels",
        "in_morning_list": standing is not None and standing.is_demoted,
        "since_ms": standing.since_ms if standing and standing.is_demoted else None,
        "always_wakes": alert_talk.is_vital(rule),
        "version": standing.version if standing else 0,
    }
    return RuleOut.model_validate(told)


def _numbers(farm: FarmRules, rule: Rule) -> list[RuleNumberOut]:
    """The farm's numbers, then those of single subjects that have one of their own."""
    wrong = {name for name, _ in farm.problems}
    given = {} if rule.rule in wrong else dict(farm.overrides.get(rule.rule) or {})
    own = [key.rpartition(".") for key in given]
    asked = [("", name) for name in rule.numbers] + [(s, name) for s, _, name in own if s and name in rule.numbers]
    return [
        RuleNumberOut(
            name=name,
            subject=subject or None,
            value=farm.tuned(rule.rule, subject or None).numbers[name],
            unit=to_primary(0.0, rule.numbers[name].unit)[1],
            own=(f"{subject}.{name}" if subject else name) in given,
        )
        for subject, name in asked
    ]
