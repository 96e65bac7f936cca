"""Records that were refused, each with its reason: nothing vanishes without being counted.

A letter is known by gateway, batch and place in the batch, so that a batch that comes again finds its letters here.
Of one gateway and day (UTC) at most `LETTERS_A_DAY` letters and `BYTES_A_DAY` bytes are kept, whoever floods us;
what is refused beyond that is counted, with its newest reason. Letters are forgotten after `KEPT_DAYS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, func, or_, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from collectors.registry.schema import DeadLetter, DeadLetterDay, Gateway, Source
from collectors.registry.viewer import Service, Viewer, home_sites, require_service

MAX_RECORD_CHARS: Final = 2000
MAX_PAYLOAD_BYTES: Final = 256 * 1024
"""A pack that cannot be read is kept whole up to this size: the largest that comes over the wire."""
LETTERS_A_DAY: Final = 10_000
BYTES_A_DAY: Final = 8 * 1024 * 1024
KEPT_DAYS: Final = 90
DAY_MS: Final = 86_400_000
_ROWS_PER_INSERT: Final = 500
_FORGET_AT_ONCE: Final = 5_000


@dataclass(frozen=True, slots=True)
class Letter:
    """A refused record of a gateway or source. `batch` is its id, or a name made of the payload when it had none."""

    gateway: str
    batch: str
    index: int
    received_ms: int
    name: str
    reason: str
    record: str
    payload: bytes | None = None


def batch_name(payload: bytes) -> str:
    """A name for a batch without an id, the same for the same payload."""
    return "sha256:" + hashlib.sha256(payload).hexdigest()[:32]


def add(session: Session, viewer: Service, letters: Sequence[Letter]) -> None:
    """Keeps `letters`, as many as there is room for; one that is here already stays as it is."""
    require_service(viewer)
    by_day: dict[tuple[str, int], list[Letter]] = {}
    for letter in letters:
        by_day.setdefault((clean(letter.gateway, 64), letter.received_ms // DAY_MS), []).append(letter)
    for gateway, day in sorted(by_day):  # in one order, so that two collectors do not wait for each other
        _add_of_day(session, gateway, day, by_day[gateway, day])


def _add_of_day(session: Session, gateway: str, day: int, letters: Sequence[Letter]) -> None:
    found = session.execute(
        select(DeadLetterDay.letters, DeadLetterDay.bytes).where(
            DeadLetterDay.gateway_id == gateway, DeadLetterDay.day == day
        )
    ).first()
    kept, size = found or (0, 0)
    if kept + len(letters) > LETTERS_A_DAY or size > BYTES_A_DAY // 2:
        letters = _not_here(session, gateway, letters)
    rows: list[dict[str, Any]] = []
    for letter in letters:
        row = _row(gateway, letter, BYTES_A_DAY - size)
        if kept + len(rows) >= LETTERS_A_DAY or row is None:
            continue
        size += _size(row)
        rows.append(row)
    insert = _insert(session)
    new = 0
    for start in range(0, len(rows), _ROWS_PER_INSERT):
        values = rows[start : start + _ROWS_PER_INSERT]
        added_now = insert(DeadLetter).values(values).on_conflict_do_nothing().returning(DeadLetter.id)
        new += len(session.scalars(added_now).all())
    added = sum(map(_size, rows)) * new // max(1, len(rows))
    last = letters[-1] if letters else None
    if last is None or not (new or len(letters) > len(rows)):
        return
    count = insert(DeadLetterDay).values(
        gateway_id=gateway, day=day, letters=new, bytes=added, left_out=len(letters) - len(rows),
        last_ms=last.received_ms, last_reason=clean(last.reason, 1000),
    )  # fmt: skip
    more = count.excluded
    session.execute(
        count.on_conflict_do_update(
            index_elements=["gateway_id", "day"],
            set_={
                "letters": DeadLetterDay.letters + more.letters,
                "bytes": DeadLetterDay.bytes + more.bytes,
                "left_out": DeadLetterDay.left_out + more.left_out,
                "last_ms": more.last_ms,
                "last_reason": more.last_reason,
            },
        )
    )


def _row(gateway: str, letter: Letter, room: int) -> dict[str, Any] | None:
    """The letter as a row, without the pack when that does not fit into `room`; None when nothing fits."""
    payload = letter.payload[:MAX_PAYLOAD_BYTES] if letter.payload is not None else None
    row = {
        "gateway_id": gateway,
        "batch": clean(letter.batch, 64),
        "record_index": letter.index,
        "received_ms": letter.received_ms,
        "name": clean(letter.name, 300),
        "reason": clean(letter.reason, 1000),
        "record": clean(letter.record, MAX_RECORD_CHARS),
        "payload": payload,
    }
    if payload is not None and _size(row) > room:
        row["payload"] = None
    return row if _size(row) <= room else None


def _size(row: Mapping[str, Any]) -> int:
    return 150 + 2 * (len(row["reason"]) + len(row["record"]) + len(row["name"])) + len(row["payload"] or b"")


def _not_here(session: Session, gateway: str, letters: Sequence[Letter]) -> list[Letter]:
    """Those of `letters` that are not kept yet: a batch that came again is not counted again."""
    batches = sorted({clean(letter.batch, 64) for letter in letters})
    here: set[tuple[str, int]] = set()
    for start in range(0, len(batches), _ROWS_PER_INSERT):
        asked = select(DeadLetter.batch, DeadLetter.record_index).where(
            DeadLetter.gateway_id == gateway, DeadLetter.batch.in_(batches[start : start + _ROWS_PER_INSERT])
        )
        here.update((batch, index) for batch, index in session.execute(asked))
    return [letter for letter in letters if (clean(letter.batch, 64), letter.index) not in here]


def _insert(session: Session) -> Any:
    return postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert


def forget(session: Session, viewer: Service, now_ms: int) -> int:
    """Removes letters older than `KEPT_DAYS`, some thousands at a time; how many it was."""
    require_service(viewer)
    before_ms = now_ms - KEPT_DAYS * DAY_MS
    old = select(DeadLetter.id).where(DeadLetter.received_ms < before_ms).limit(_FORGET_AT_ONCE)
    done: Any = session.execute(delete(DeadLetter).where(DeadLetter.id.in_(old)))
    session.execute(delete(DeadLetterDay).where(DeadLetterDay.day < before_ms // DAY_MS))
    return int(done.rowcount)


def payload_of(session: Session, viewer: Viewer, letter: int) -> bytes | None:
    """The whole pack that a letter is about; None when there is no such letter, or it has none."""
    return session.scalar(select(DeadLetter.payload).where(DeadLetter.id == letter, _seen(viewer)))


def list_full_days(
    session: Session, viewer: Viewer, *, gateway: str | None = None, limit: int = 20
) -> Sequence[DeadLetterDay]:
    """The days on which more was refused than is kept, the newest first."""
    query = select(DeadLetterDay).where(DeadLetterDay.left_out > 0, _may_see(DeadLetterDay.gateway_id, viewer))
    if gateway is not None:
        query = query.where(DeadLetterDay.gateway_id == gateway)
    return session.scalars(query.order_by(DeadLetterDay.last_ms.desc()).limit(limit)).all()


def list_letters(
    session: Session,
    viewer: Viewer,
    *,
    gateway: str | None = None,
    limit: int = 100,
    before_id: int | None = None,
) -> Sequence[DeadLetter]:
    """The newest letters first, of `gateway` only where given; of gateways that `viewer` may see."""
    query = select(DeadLetter).where(_seen(viewer))
    if gateway is not None:
        query = query.where(DeadLetter.gateway_id == gateway)
    if before_id is not None:
        query = query.where(DeadLetter.id < before_id)
    return session.scalars(query.order_by(DeadLetter.id.desc()).limit(limit)).all()


def count(session: Session, viewer: Viewer, gateway: str | None = None) -> int:
    """How many letters there are."""
    query = select(func.count()).select_from(DeadLetter).where(_seen(viewer))
    if gateway is not None:
        query = query.where(DeadLetter.gateway_id == gateway)
    return session.scalar(query) or 0


def _seen(viewer: Viewer) -> Any:
    return _may_see(DeadLetter.gateway_id, viewer)


def _may_see(sender: Any, viewer: Viewer) -> Any:
    sites = home_sites(viewer)
    if sites is None:
        return true()
    # A letter holds what was measured, of any class: the farm's own people see it, nobody else. What a sender that no
    # farm knows has sent is seen by parts of Makiba only.
    return or_(
        sender.in_(select(Gateway.id).where(Gateway.site_id.in_(sorted(sites)))),
        sender.in_(select(Source.id).where(Source.site_id.in_(sorted(sites)))),
    )


def clean(text: str, most: int) -> str:
    """`text` as any database takes it: no NUL, no lone surrogates, at most `most` characters."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")[:most]
