"""What a backlog tells of: problems that began and ended while nobody could know become history, told of once.

`judge_again` drives a judge of its own over the stretch, with the rules, settings and facts of now; it does no more
than read. `write` puts what it found into the book as ended alerts, their first step marked `late`, and writes one
summary for the farm and the outage; writing it again changes nothing. What still is true is not its business: the
worker's own judge opens that as any other alert.

An alert that only a person ends is history too when it came late: the danger is over and nobody stood before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from analytics import alert_book
from analytics.backlog import Outage
from analytics.book_states import Step
from analytics.holes import readings_between
from analytics.judge import Judge
from analytics.replay import Outcome, alerts_of, replay
from analytics.signals.planned import Facts
from collectors.registry import late
from collectors.registry.schema import Alert
from collectors.registry.viewer import Service
from collectors.store import Store
from makiba.reading import Reading

BEFORE_MS: Final = 3 * 3_600_000
"""The stretch is entered with what was known so long before it."""
MOST_MS: Final = 7 * 86_400_000
"""Of a longer outage the end is looked at."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a stretch of `site` told of: problems that are over, and how many readings of it came late."""

    site: str
    outage: Outage
    ended: tuple[Outcome, ...]
    readings: int


def judge_again(judge: Judge, facts: Facts | None, store: Store, site: str, outage: Outage) -> Found:
    """What `judge`, which has seen nothing yet, finds in `outage`. Raises `StoreError`."""
    from_ms = max(outage.from_ms, outage.to_ms - MOST_MS)
    if facts is not None:
        judge.tell(facts)
    series = list(store.latest(site))
    judge.learn(series)
    count = 0

    def counted() -> Iterator[Reading]:
        nonlocal count
        for reading in readings_between(store, series, from_ms - BEFORE_MS, outage.to_ms + 1):
            count += reading.time_ms > from_ms
            yield reading

    outcomes = alerts_of(replay(judge, counted(), until_ms=outage.to_ms))
    ended = tuple(o for o in outcomes if o.onset_ms > from_ms and o.ended_ms is not None)
    return Found(site, outage, ended, count)


def write(session: Session, viewer: Service, found: Found, now_ms: int) -> int:
    """Puts `found` into the book; how many alerts that were. Changes nothing the second time."""
    alert_book.in_order(session)
    added = [o for o in found.ended if _add(session, viewer, found.site, o, now_ms)]
    late.add(
        session, viewer, found.site, found.outage.from_ms, found.outage.to_ms, found.readings, _spelled(found, added),
        now_ms,
    )  # fmt: skip
    return len(added)


def _add(session: Session, viewer: Service, site: str, outcome: Outcome, now_ms: int) -> bool:
    """Writes one ended alert; False when the book knows of the rule and subject at that time."""
    ended_ms = outcome.ended_ms or outcome.raised_ms
    there = select(Alert.id).where(
        Alert.site_id == site,
        Alert.rule == outcome.rule,
        Alert.subject == outcome.subject,
        Alert.onset_ms <= ended_ms,
        (Alert.ended_ms.is_(None)) | (Alert.ended_ms >= outcome.onset_ms),
    )
    if session.scalar(there.limit(1)) is not None:
        return False
    decision = outcome.decision
    signals = dict(decision.signals) if decision else {}
    row = Alert(
        id=alert_book.alert_id(outcome.rule, site, outcome.subject, outcome.onset_ms),
        site_id=site,
        rule=outcome.rule,
        subject=outcome.subject,
        place_id=decision.place if decision else None,
        severity=outcome.severity,
        onset_ms=outcome.onset_ms,
        opened_ms=outcome.raised_ms,
        seen_ms=ended_ms,
        ended_ms=ended_ms,
        signals=signals,
        children=[{"subject": child} for child in decision.children] if decision else [],
    )
    session.add(row)
    session.flush()
    steps = (
        Step("opened", {"severity": outcome.severity, "signals": signals, "late": True}),
        Step("ended", {"late": True}),
    )
    alert_book.note(session, viewer, row, steps, now_ms)
    return True


def _spelled(found: Found, added: Iterable[Outcome]) -> list[dict[str, object]]:
    return [
        {
            "alert": alert_book.alert_id(o.rule, found.site, o.subject, o.onset_ms),
            "rule": o.rule,
            "subject": o.subject,
            "severity": o.severity,
            "onset_ms": o.onset_ms,
            "ended_ms": o.ended_ms,
        }
        for o in added
    ]
