"""The outbox: messages as rows, what became of each, and reading both. `analytics/notify/DESIGN.md` says what holds.

Only the functions here change the rows, each change with its line in the log, and each in the session of the caller,
who commits. A row that was accepted, delivered or seen is never anything less afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import case, delete, func, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from collectors.registry.schema import Alert
from collectors.registry.schema.notify import Escalation, Outbox, OutboxLog, Quota, VendorEvent
from collectors.registry.viewer import Person, Service, Viewer, require_service, visible_sites

OPEN: Final = ("waiting", "held")
DONE: Final = ("accepted", "delivered", "seen")
HEARD_MS: Final = 7 * 86_400_000
"""How long it is remembered what a vendor told us."""

_RANK: Final = {
    "waiting": 0,
    "held": 0,
    "failed": 1,
    "withdrawn": 1,
    "listed": 1,
    "accepted": 2,
    "delivered": 3,
    "seen": 4,
}


@dataclass(frozen=True, slots=True)
class NewRow:
    """A message to be written; one of `person_id` and `contact_id`. `state`: `waiting` or `held`."""

    id: str
    kind: str
    telling: str
    channel: str
    severity: str
    due_ms: int
    person_id: int | None = None
    contact_id: str | None = None
    address_id: str | None = None
    site_id: str | None = None
    alert_id: str | None = None
    event: int | None = None
    night: str = ""
    state: str = "waiting"
    reason: str = ""
    content: Mapping[str, Any] = field(default_factory=dict, hash=False)


def write(session: Session, viewer: Service, rows: Collection[NewRow], now_ms: int) -> list[str]:
    """Writes the rows that are not there yet; their ids."""
    require_service(viewer)
    insert: Any = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    written: list[str] = []
    for row in rows:
        values = {name: getattr(row, name) for name in NewRow.__dataclass_fields__ if name != "content"}
        values |= {"content": dict(row.content), "created_ms": now_ms, "attempts": 0}
        new = insert(Outbox).values(values).on_conflict_do_nothing(index_elements=["id"]).returning(Outbox.id)
        if session.scalar(new) is not None:
            written.append(row.id)
            _log(session, row.id, "written" if row.state == "waiting" else "held", row.reason, now_ms)
    return written


def withdraw(session: Session, viewer: Viewer, alert_ids: Collection[str], why: str, now_ms: int) -> int:
    """Nobody needs what waits of these alerts any more; how many rows. Whoever changes the alert has the right."""
    del viewer
    return _withdraw(session, (Outbox.alert_id.in_(sorted(alert_ids)), Outbox.state.in_(OPEN)), why, now_ms)


def withdraw_held(
    session: Session, viewer: Service, alert_id: str, person: int | None, contact: str | None, why: str, now_ms: int
) -> int:
    """What was held of this alert for this person is not needed any more: they are told of it otherwise."""
    require_service(viewer)
    whose = Outbox.person_id == person if person is not None else Outbox.contact_id == contact
    return _withdraw(session, (Outbox.alert_id == alert_id, Outbox.state == "held", whose), why, now_ms)


def _withdraw(session: Session, which: tuple[Any, ...], why: str, now_ms: int) -> int:
    query = select(Outbox.id).where(*which)
    ids = session.scalars(query.order_by(Outbox.id).with_for_update()).all()
    if ids:
        session.execute(
            update(Outbox)
            .where(Outbox.id.in_(ids))
            .values(state="withdrawn", reason=why[:400])
            .execution_options(synchronize_session=False)
        )
        for one in ids:
            _log(session, one, "withdrawn", why, now_ms)
    return len(ids)


def stop(session: Session, viewer: Viewer, alert_ids: Collection[str], why: str, now_ms: int) -> int:
    """Ends the carrying of these alerts, and withdraws what waits; how many rows of that there were."""
    session.execute(
        update(Escalation)
        .where(Escalation.alert_id.in_(sorted(alert_ids)))
        .values(next_ms=None, why=why[:40])
        .execution_options(synchronize_session="fetch")
    )
    return withdraw(session, viewer, alert_ids, why, now_ms)


# ------------------------------------------------------------------------------------------- taking and settling


def channels_due(session: Session, viewer: Service, now_ms: int) -> list[str]:
    """The channels on which something is to be sent now."""
    require_service(viewer)
    return list(session.scalars(select(Outbox.channel).where(*_due(now_ms)).distinct()))


def take(session: Session, viewer: Service, channel: str, lease: str, now_ms: int, lease_ms: int) -> Outbox | None:
    """The most urgent message of `channel`, in the hands of `lease` for `lease_ms`; None: there is none."""
    require_service(viewer)
    urgency = case({"critical": 0, "warning": 1, "advisory": 2}, value=Outbox.severity, else_=3)
    query = select(Outbox).where(*_due(now_ms), Outbox.channel == channel)
    row = session.scalar(query.order_by(urgency, Outbox.due_ms, Outbox.id).limit(1).with_for_update(skip_locked=True))
    if row is None:
        return None
    row.lease, row.leased_until_ms, row.attempts = lease, now_ms + lease_ms, row.attempts + 1
    _log(session, row.id, "sent", f"try {row.attempts}", now_ms)
    session.flush()
    return row


def locked(session: Session, viewer: Service, outbox_id: str) -> Outbox | None:
    """The row, locked."""
    require_service(viewer)
    return session.get(Outbox, outbox_id, with_for_update=True, populate_existing=True)


def become(
    session: Session,
    viewer: Service,
    row: Outbox,
    state: str,
    now_ms: int,
    why: str = "",
    provider_id: str | None = None,
) -> bool:
    """Makes the locked `row` be `state`, unless it is more already; whether it did."""
    require_service(viewer)
    if _RANK[state] < _RANK[row.state] or row.state == state:
        return False
    row.state, row.reason, row.lease, row.leased_until_ms = state, why[:400], None, None
    row.provider_id = provider_id or row.provider_id
    if state in DONE:
        setattr(row, f"{state}_ms", now_ms)
    _log(session, row.id, state, why, now_ms)
    session.flush()
    return True


def again(session: Session, viewer: Service, row: Outbox, due_ms: int, why: str, now_ms: int) -> None:
    """The locked `row` is tried again at `due_ms`."""
    require_service(viewer)
    if row.state == "waiting":
        row.due_ms, row.reason, row.lease, row.leased_until_ms = due_ms, why[:400], None, None
    _log(session, row.id, "retry", why, now_ms)
    session.flush()


def of_telling(session: Session, viewer: Service, telling: str) -> Sequence[Outbox]:
    """All messages of one telling, locked, in one order."""
    require_service(viewer)
    query = select(Outbox).where(Outbox.telling == telling).order_by(Outbox.id)
    return session.scalars(query.with_for_update().execution_options(populate_existing=True)).all()


def note_receipt(
    session: Session, viewer: Service, state: str, now_ms: int, *,
    channel: str = "", provider_id: str = "", outbox_id: str = "",
) -> bool:  # fmt: skip
    """The vendor, or the phone itself, says that a message was `delivered` or `seen`; whether that was news."""
    require_service(viewer)
    if state not in ("delivered", "seen"):
        raise ValueError(f"no receipt is {state}")
    named = Outbox.id == outbox_id if outbox_id else (Outbox.channel == channel) & (Outbox.provider_id == provider_id)
    query = select(Outbox).where(named).with_for_update().execution_options(populate_existing=True)
    changes = [become(session, viewer, row, state, now_ms) for row in session.scalars(query).all()]
    return any(changes)


def heard_before(session: Session, viewer: Service, event: str, now_ms: int) -> bool:
    """Whether a vendor told this before; if not, it counts as told from here on, with this transaction."""
    require_service(viewer)
    session.execute(delete(VendorEvent).where(VendorEvent.at_ms <= now_ms - HEARD_MS))
    insert: Any = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    new = insert(VendorEvent).values(id=event[:64], at_ms=now_ms).on_conflict_do_nothing()
    # Not the count of rows, which PostgreSQL's driver does not tell of an insert.
    return session.scalar(new.returning(VendorEvent.id)) is None


# ------------------------------------------------------------------------------------------- what was held


def held_due(session: Session, viewer: Service, now_ms: int) -> list[tuple[int | None, str | None]]:
    """Of whom something was held until now: (person, contact)."""
    require_service(viewer)
    query = select(Outbox.person_id, Outbox.contact_id).where(Outbox.state == "held", Outbox.due_ms <= now_ms)
    return [(person, contact) for person, contact in session.execute(query.distinct())]


def held_of(
    session: Session, viewer: Service, person: int | None, contact: str | None, now_ms: int
) -> Sequence[Outbox]:
    """What was held of one person until now, locked; the worst first."""
    require_service(viewer)
    whose = Outbox.person_id == person if person is not None else Outbox.contact_id == contact
    query = select(Outbox).where(Outbox.state == "held", Outbox.due_ms <= now_ms, whose)
    return session.scalars(query.order_by(Outbox.id).with_for_update()).all()


def listed_in(session: Session, viewer: Service, telling: str) -> Sequence[Outbox]:
    """What the list `telling` tells of."""
    require_service(viewer)
    query = select(Outbox).where(Outbox.told_in == telling).order_by(Outbox.created_ms, Outbox.id)
    return session.scalars(query).all()


# ------------------------------------------------------------------------------------------- counting


def woken(session: Session, viewer: Service, persons: Collection[int], nights: Collection[str]) -> dict[int, int]:
    """How often each was told of something in these nights."""
    require_service(viewer)
    query = (
        select(Outbox.person_id, func.count(Outbox.telling.distinct()))
        .where(
            Outbox.person_id.in_(sorted(persons)), Outbox.night.in_([n for n in nights if n]),
            Outbox.state.in_(("waiting", *DONE)),
        )
        .group_by(Outbox.person_id)
    )  # fmt: skip
    return {number: count for number, count in session.execute(query) if number is not None}


def told_lately(session: Session, viewer: Service, persons: Collection[int], since_ms: int) -> dict[int, int]:
    """How much each was told since then, and is not only in a list."""
    require_service(viewer)
    query = (
        select(Outbox.person_id, func.count(Outbox.telling.distinct()))
        .where(
            Outbox.person_id.in_(sorted(persons)), Outbox.created_ms >= since_ms,
            Outbox.state.in_(("waiting", *DONE)),
        )
        .group_by(Outbox.person_id)
    )  # fmt: skip
    return {number: count for number, count in session.execute(query) if number is not None}


def used(session: Session, viewer: Service, channel: str, month: str) -> int:
    """How many messages of `channel` were handed over in `month`."""
    require_service(viewer)
    return session.scalar(select(Quota.used).where(Quota.channel == channel, Quota.month == month)) or 0


def count(session: Session, viewer: Service, channel: str, month: str, by: int) -> Quota:
    """Counts `by` messages; the row, locked."""
    require_service(viewer)
    insert: Any = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    new = insert(Quota).values(channel=channel, month=month, used=0, told_left=100)
    session.execute(new.on_conflict_do_nothing(index_elements=["channel", "month"]))
    row = session.get_one(Quota, (channel, month), with_for_update=True, populate_existing=True)
    row.used = max(0, row.used + by)
    session.flush()
    return row


def overdue(session: Session, viewer: Service, before_ms: int) -> int:
    """How many messages should have been tried before `before_ms` and were not."""
    require_service(viewer)
    query = select(func.count()).select_from(Outbox)
    return session.scalar(query.where(*_due(before_ms))) or 0


# ------------------------------------------------------------------------------------------- reading


def own(
    session: Session, viewer: Person, limit: int, after: Sequence[Any] | None = None
) -> Sequence[tuple[Outbox, Alert | None]]:
    """What the viewer was sent, the newest first, with its alert; nothing of farms that they do not see any more."""
    query = select(Outbox, Alert).join(Alert, Alert.id == Outbox.alert_id, isouter=True)
    query = query.where(Outbox.person_id == viewer.id)
    sites = visible_sites(viewer, "alerts")
    if sites is not None:
        query = query.where(or_(Outbox.site_id.is_(None), Outbox.site_id.in_(sorted(sites))))
    if after is not None:
        query = query.where(tuple_(Outbox.created_ms, Outbox.id) < tuple(after))
    rows = session.execute(query.order_by(Outbox.created_ms.desc(), Outbox.id.desc()).limit(limit))
    return [(row, alert) for row, alert in rows]


def deliveries_of(session: Session, viewer: Viewer, alert_id: str) -> Sequence[Outbox]:
    """Who was told of an alert, and how it went, the oldest first; for who sees the farm's alerts."""
    query = select(Outbox).where(Outbox.alert_id == alert_id)
    sites = visible_sites(viewer, "alerts")
    if sites is not None:
        query = query.where(Outbox.site_id.in_(sorted(sites)))
    return session.scalars(query.order_by(Outbox.created_ms, Outbox.id)).all()


def logs_of(session: Session, viewer: Viewer, rows: Collection[Outbox]) -> dict[str, list[OutboxLog]]:
    """What happened to each of these messages (of `deliveries_of`), in order."""
    del viewer
    found: dict[str, list[OutboxLog]] = {}
    ids = sorted(row.id for row in rows)
    for start in range(0, len(ids), 400):
        query = select(OutboxLog).where(OutboxLog.outbox_id.in_(ids[start : start + 400]))
        for line in session.scalars(query.order_by(OutboxLog.id)):
            found.setdefault(line.outbox_id, []).append(line)
    return found


def _due(now_ms: int) -> tuple[Any, ...]:
    free = or_(Outbox.leased_until_ms.is_(None), Outbox.leased_until_ms <= now_ms)
    return Outbox.state == "waiting", Outbox.due_ms <= now_ms, free


def _log(session: Session, outbox_id: str, step: str, detail: str, now_ms: int) -> None:
    session.add(OutboxLog(outbox_id=outbox_id, at_ms=now_ms, step=step, detail=detail[:400]))
