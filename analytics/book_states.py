"""The life of an alert as pure functions: (alert, event, now) → (alert, steps). DESIGN.md, "The life of an alert".

    open ⇄ acknowledged ⇄ snoozed → ended          `over` waits for a person (rules with `reset: by-hand`)

Guarantees, whatever comes in which order, each perhaps twice: an event that changes nothing takes no step, so that
saying it again is harmless; severity only rises while an alert is not ended; one that got worse, woke up, is over or
came again is `open`: nobody's, until somebody answers. What cannot be done is `Refused`, and nothing changed.

A step is what is written into the book beside the change: its kind and the details that say why. Who and when is
added by the caller; so is what needs more than one alert: who belongs to the farm, what a rule is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, assert_never

from analytics.decision import Decision
from makiba.rule import SEVERITIES

Label = Literal["useful", "false", "knew"]
State = Literal["open", "acknowledged", "snoozed", "over", "ended"]

LONGEST_SNOOZE_MS: Final[Mapping[str, int]] = {"critical": 2 * 3_600_000}
"""How far an alert of this severity may be put off. Proposed, with no source: a warm tank is lost in a night."""
LONGEST_SNOOZE_OTHERWISE_MS: Final = 7 * 86_400_000


class Refused(ValueError):
    """An event that this alert cannot take now; the message says why. `field`: what of the event is not possible."""

    def __init__(self, why: str, field: str = "") -> None:
        super().__init__(why)
        self.field = field


@dataclass(frozen=True, slots=True)
class AlertState:
    """One problem, as it is now. People are numbers. `labels`: what each person said that it was worth."""

    severity: str
    onset_ms: int
    opened_ms: int
    seen_ms: int
    place: str | None = None
    signals: Mapping[str, Any] = field(default_factory=dict, hash=False)
    children: tuple[str, ...] = ()
    ended_ms: int | None = None
    over_ms: int | None = None
    acknowledged_ms: int | None = None
    acknowledged_by: int | None = None
    snoozed_until_ms: int | None = None
    assigned_to: int | None = None
    labels: Mapping[int, Label] = field(default_factory=dict, hash=False)

    @property
    def state(self) -> State:
        """`over` only while nobody has said that it is safe; with that it is ended."""
        if self.ended_ms is not None:
            return "ended"
        if self.over_ms is not None:
            return "over"
        if self.snoozed_until_ms is not None:
            return "snoozed"
        return "open" if self.acknowledged_ms is None else "acknowledged"


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """`person` takes care of it."""

    person: int


@dataclass(frozen=True, slots=True)
class Snooze:
    """It is put off. `is_life_safety`: its rule keeps people alive."""

    until_ms: int
    is_life_safety: bool = False


@dataclass(frozen=True, slots=True)
class Wake:
    """The clock: whatever was put off until now is there again."""


@dataclass(frozen=True, slots=True)
class Assign:
    """It is `person`'s to do; None: nobody's in particular."""

    person: int | None


@dataclass(frozen=True, slots=True)
class Comment:
    """Somebody wrote the comment `id`."""

    id: str


@dataclass(frozen=True, slots=True)
class Feedback:
    """`person` says what the alert was worth; another label replaces their first, None takes it back."""

    person: int
    label: Label | None


Event = Decision | Acknowledge | Snooze | Wake | Assign | Comment | Feedback


@dataclass(frozen=True, slots=True)
class Step:
    """What is written down beside a change."""

    kind: str
    detail: Mapping[str, Any] = field(default_factory=dict, hash=False)


Outcome = tuple[AlertState | None, tuple[Step, ...]]


def step(alert: AlertState | None, event: Event, now_ms: int) -> Outcome:
    """What `event` makes of `alert` (None: there is none), and the steps to write down. `Refused`."""
    if isinstance(event, Decision):
        return _judged(alert, event, now_ms)
    if alert is None:
        raise Refused("there is no such alert")
    match event:
        case Acknowledge():
            return _acknowledge(alert, event.person, now_ms)
        case Snooze():
            return _snooze(alert, event, now_ms)
        case Wake():
            if alert.state != "snoozed" or now_ms < (alert.snoozed_until_ms or 0):
                return alert, ()
            return _nobodys(alert), (Step("woke", {"until_ms": alert.snoozed_until_ms}),)
        case Assign():
            return _assign(alert, event.person)
        case Comment():
            return alert, (Step("commented", {"comment": event.id}),)
        case Feedback():
            return _feedback(alert, event)
        case _:
            assert_never(event)


# ------------------------------------------------------------------------------------------ what the judge says


def _judged(alert: AlertState | None, decision: Decision, now_ms: int) -> Outcome:
    if alert is None or alert.state == "ended":
        return _begin(alert, decision, now_ms) if decision.kind == "open" else (alert, ())
    return _end(alert, decision) if decision.kind == "end" else _go_on(alert, decision, now_ms)


def _begin(alert: AlertState | None, decision: Decision, now_ms: int) -> Outcome:
    kind = "reopened"  # it ended, and is there again since the same moment: what watched it was away
    if alert is None:
        alert, kind = AlertState(decision.severity, decision.onset_ms, now_ms, now_ms), "opened"
    alert = replace(_nobodys(alert), ended_ms=None, over_ms=None, severity=decision.severity)
    alert = _refreshed(alert, decision, now_ms)
    return alert, (Step(kind, {"severity": alert.severity, "signals": dict(alert.signals)}),)


def _go_on(alert: AlertState, decision: Decision, now_ms: int) -> Outcome:
    if alert.state == "over" and decision.kind == "seen":
        return alert, ()  # of a judge that does not know yet that it is over
    was = alert
    alert = _refreshed(alert, decision, now_ms)
    found = [child for child in alert.children if child not in was.children]
    steps = (Step("merged", {"children": found}),) if found else ()
    worse = SEVERITIES[max(_rank(decision.severity), _rank(alert.severity))]
    if was.state == "over":
        alert = replace(_nobodys(alert), over_ms=None, severity=worse)
        return alert, (*steps, Step("again", {"severity": alert.severity, "signals": dict(alert.signals)}))
    if _rank(worse) <= _rank(was.severity):
        return alert, steps
    alert = replace(_nobodys(alert), severity=worse)
    return alert, (*steps, Step("worsened", {"from": was.severity, "to": worse, "signals": dict(alert.signals)}))


def _end(alert: AlertState, decision: Decision) -> Outcome:
    reason = {"reason": decision.reason} if decision.reason else {}
    at_ms = max(decision.at_ms, alert.onset_ms)
    if not decision.by_hand:
        return _ended(alert, at_ms), (Step("ended", reason),)
    if alert.state == "over":
        return alert, ()
    # Whoever took care of it said so before it was over; that it is safe now has to be said again.
    return replace(_nobodys(alert), over_ms=at_ms), (Step("over", {"over_ms": at_ms, **reason}),)


def _refreshed(alert: AlertState, decision: Decision, now_ms: int) -> AlertState:
    """With the newest values, and `children`: what is not watched because of it now."""
    return replace(
        alert,
        seen_ms=now_ms,
        place=decision.place,
        children=decision.children,
        signals=_merged(alert.signals, decision.signals),
    )


def _merged(old: Mapping[str, Any], new: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Newest and worst value of each signal since the alert opened; one that is unknown now keeps its last."""
    merged = dict(old)
    for name, signal in new.items():
        entry = dict(signal)
        pick = {"above": max, "below": min}.get(str(entry.get("toward")))
        if pick is not None:
            entry["worst"] = pick(entry["value"], old.get(name, entry).get("worst", entry["value"]))
        merged[name] = entry
    return merged


# ------------------------------------------------------------------------------------------ what people say


def _acknowledge(alert: AlertState, person: int, now_ms: int) -> Outcome:
    """The first who answers has it; of one that is over it is the word that all is safe, and its end."""
    match alert.state:
        case "acknowledged" | "ended":
            return alert, ()
        case "over":
            alert = _ended(replace(alert, acknowledged_ms=now_ms, acknowledged_by=person), now_ms)
            return alert, (Step("reset", {"over_ms": alert.over_ms}),)
        case "open" | "snoozed":
            return replace(_nobodys(alert), acknowledged_ms=now_ms, acknowledged_by=person), (Step("acknowledged"),)
        case _:
            assert_never(alert.state)


def _snooze(alert: AlertState, event: Snooze, now_ms: int) -> Outcome:
    if alert.state in ("over", "ended"):
        raise Refused("it is over; there is nothing to put off")
    if event.is_life_safety:
        raise Refused("what is about life cannot be put off")
    longest_ms = LONGEST_SNOOZE_MS.get(alert.severity, LONGEST_SNOOZE_OTHERWISE_MS)
    if not now_ms < event.until_ms <= now_ms + longest_ms:
        raise Refused(f"later than now, and at most {longest_ms // 3_600_000} h ahead", "until_ms")
    if alert.state == "snoozed" and alert.snoozed_until_ms == event.until_ms:
        return alert, ()
    alert = replace(_nobodys(alert), snoozed_until_ms=event.until_ms)
    return alert, (Step("snoozed", {"until_ms": event.until_ms}),)


def _assign(alert: AlertState, person: int | None) -> Outcome:
    if alert.state == "ended":
        raise Refused("it has ended; there is nothing to do")
    if alert.assigned_to == person:
        return alert, ()
    return replace(alert, assigned_to=person), (Step("assigned"),)


def _feedback(alert: AlertState, event: Feedback) -> Outcome:
    before = alert.labels.get(event.person)
    if before == event.label:
        return alert, ()
    labels = {person: label for person, label in alert.labels.items() if person != event.person}
    if event.label is not None:
        labels[event.person] = event.label
    return replace(alert, labels=labels), (Step("feedback", {"label": event.label, "before": before}),)


# ------------------------------------------------------------------------------------------ parts of both


def _nobodys(alert: AlertState) -> AlertState:
    """Nobody has answered it, and it is not put off. Whose it is to do stays."""
    return replace(alert, acknowledged_ms=None, acknowledged_by=None, snoozed_until_ms=None)


def _ended(alert: AlertState, at_ms: int) -> AlertState:
    """Who answered it stays for the record."""
    return replace(alert, ended_ms=max(at_ms, alert.onset_ms), snoozed_until_ms=None)


def _rank(severity: str) -> int:
    return next((i for i, s in enumerate(SEVERITIES) if s == severity), 0)
