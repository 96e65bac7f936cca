"""Animals of a farm, by their id or by one of their three numbers, and the series that are theirs.

An animal is known by its ten digits (個体識別番号; whether the last of them checks the others is published nowhere
that we know of, so it is not checked), by its tag of ISO 11784 (fifteen digits, `gateway/eartag.py`), and by the
farm's own number. Ten digits belong to one animal for ever; a tag is worn by one at a time; a number may be given
again once its animal is gone. `find` takes a reference: an id, or `national-id:…`, `tag:…`, `number:…`.

Readings of an animal have its ten digits or its tag for their subject. Tags are dated, so that `subjects_of` tells
which series were its own when: a lost tag that is replaced takes nothing away.

Whether an animal is there, and in which group, follows from its events (`herd_events`), not from here.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, and_, delete, func, literal, or_, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from collectors.registry import audit
from collectors.registry.schema.herd import Animal, AnimalTag, HerdEvent, HerdMember
from collectors.registry.viewer import Viewer, may_see, require, spell

KeyName = Literal["national-id", "tag", "number"]

NATIONAL_ID: Final = r"^[0-9]{10}$"
TAG: Final = r"^[0-9]{15}$"
LARGEST_OF_TAG: Final = 2**38 - 1
"""The twelve digits behind country or manufacturer fit into 38 bits (ISO 11784)."""

EDITABLE: Final = (
    "national_id", "tag", "number", "name", "sex", "breed", "born_on", "dam", "sire", "note",
)  # fmt: skip
_COLUMN: Final[Mapping[KeyName, str]] = {"national-id": "national_id", "tag": "tag", "number": "number"}

Place = tuple[Any, ...]


class Taken(ValueError):
    """Another animal of the farm has this `national_id`, `tag` or `number`."""

    def __init__(self, field: str) -> None:
        super().__init__(f"{field}: another animal of this farm has it")
        self.field = field


class InUse(ValueError):
    """Events say something about this animal; what happened is not forgotten with it."""


class WrongTime(ValueError):
    """A tag cannot have come before the one that it replaces."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Readings of `subject` in [from_ms, to_ms) are this animal's; None: without that end."""

    subject: str
    from_ms: int | None
    to_ms: int | None


# ------------------------------------------------------------------------------------------------------ reading


def list_animals(
    session: Session,
    viewer: Viewer,
    site: str,
    *,
    limit: int,
    after: Place | None = None,
    status: str | None = None,
    group: str | None = None,
    q: str | None = None,
) -> Sequence[Animal]:
    """The animals of `site` by number, as people count; `q` finds part of a number, a tag or a name."""
    if not may_see(viewer, site, "herd"):
        return []
    query = select(Animal).where(Animal.site_id == site)
    if status is not None:
        query = query.where(Animal.status == status)
    if group is not None:
        inside = select(HerdMember.animal_id).where(HerdMember.group_id == group, HerdMember.to_ms.is_(None))
        query = query.where(Animal.id.in_(inside))
    if q:
        words = (Animal.number, Animal.national_id, Animal.tag, Animal.name)
        query = query.where(or_(*(word.icontains(q, autoescape=True) for word in words)))
    number = func.coalesce(Animal.number, "")
    order = (func.length(number), number, Animal.id)
    if after is not None:
        query = query.where(tuple_(*order) > tuple_(*(literal(value) for value in after)))
    return session.scalars(query.order_by(*order).limit(limit)).all()


def place_of(row: Animal) -> Place:
    """Where `row` stands in `list_animals`."""
    return (len(row.number or ""), row.number or "", row.id)


def find(session: Session, viewer: Viewer, site: str, reference: str, *, lock: bool = False) -> Animal | None:
    """The animal of this id or `key:value`; of a number, the one that is there now."""
    if not may_see(viewer, site, "herd"):
        return None
    query = select(Animal).where(Animal.site_id == site, _referred(reference))
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return session.scalar(query.limit(1))


def find_by(
    session: Session, viewer: Viewer, site: str, key: KeyName, value: str, *, lock: bool = False
) -> Animal | None:
    """`find`, with the key's name and its value."""
    return find(session, viewer, site, f"{key}:{value}", lock=lock)


def find_subject(session: Session, viewer: Viewer, site: str, subject: str, at_ms: int) -> Animal | None:
    """Whose readings `subject`'s are at `at_ms`: ten digits, a tag that is worn, or one that was."""
    if not may_see(viewer, site, "herd"):
        return None
    started = or_(Animal.tag_from_ms.is_(None), Animal.tag_from_ms <= at_ms)
    now = or_(Animal.national_id == subject, and_(Animal.tag == subject, started))
    found = session.scalar(select(Animal).where(Animal.site_id == site, now).limit(1))
    if found is not None:
        return found
    begun = or_(AnimalTag.from_ms.is_(None), AnimalTag.from_ms <= at_ms)
    worn = select(AnimalTag.animal_id).where(
        AnimalTag.site_id == site, AnimalTag.tag == subject, begun, AnimalTag.to_ms > at_ms
    )
    return session.scalar(select(Animal).where(Animal.site_id == site, Animal.id.in_(worn)).limit(1))


def tags_before(session: Session, viewer: Viewer, row: Animal) -> Sequence[AnimalTag]:
    """The tags that the animal wore before, the oldest first."""
    if not may_see(viewer, row.site_id, "herd"):
        return []
    return session.scalars(select(AnimalTag).where(AnimalTag.animal_id == row.id).order_by(AnimalTag.to_ms)).all()


def subjects_of(session: Session, viewer: Viewer, row: Animal) -> list[Subject]:
    """What the animal's series are called, and when."""
    before = [Subject(one.tag, one.from_ms, one.to_ms) for one in tags_before(session, viewer, row)]
    if not may_see(viewer, row.site_id, "herd"):
        return []
    own = [Subject(row.national_id, None, None)] if row.national_id else []
    return own + before + ([Subject(row.tag, row.tag_from_ms, None)] if row.tag else [])


def _referred(reference: str) -> ColumnElement[bool]:
    key, colon, value = reference.partition(":")
    if not colon:
        return Animal.id == reference
    column = _COLUMN.get(key)  # type: ignore[call-overload]
    if column is None:
        return Animal.id == ""
    same: ColumnElement[bool] = getattr(Animal, column) == value
    return and_(same, Animal.status == "present") if key == "number" else same


# ------------------------------------------------------------------------------------------------------ writing


def add(session: Session, viewer: Viewer, site: str, fields: Mapping[str, Any], now_ms: int) -> Animal:
    """A new animal with these `EDITABLE` fields. `Taken` when one of its numbers is another's.

    It is present, and in no group, until its events say otherwise.
    """
    require(viewer, site, "edit animals")
    row = Animal(
        id=secrets.token_urlsafe(16), site_id=site, version=1, status="present", created_ms=now_ms,
        changed_ms=now_ms, created_by=spell(viewer), name="", sex="unknown", breed="", dam="", sire="", note="",
    )  # fmt: skip
    _check_free(session, row, fields, None)
    _set(row, fields)
    session.add(row)
    _flush(session)
    return row


def change(
    session: Session,
    viewer: Viewer,
    row: Animal,
    fields: Mapping[str, Any],
    now_ms: int,
    *,
    tag_from_ms: int | None = None,
) -> bool:
    """Makes `row` (found locked) say `fields`; False when it says so already.

    A tag with `tag_from_ms` is a new one since then, and the one before stays the animal's until then. Without, it
    corrects what was written wrongly.
    """
    require(viewer, row.site_id, "edit animals")
    changed = {name: value for name, value in fields.items() if getattr(row, name) != value}
    if not changed:
        return False
    since_ms = tag_from_ms if "tag" in changed and tag_from_ms is not None else row.tag_from_ms
    _check_free(session, row, changed, since_ms)
    if "tag" in changed and tag_from_ms is not None:
        _replace_tag(session, row, tag_from_ms)
    _set(row, changed)
    row.version, row.changed_ms = row.version + 1, now_ms
    audit.note_change(session, viewer, row.site_id, "animal.changed", now_ms, animal=row.id, fields=sorted(changed))
    _flush(session)
    return True


def wear_again(session: Session, viewer: Viewer, row: Animal) -> None:
    """Takes the newest tag of `row` (found locked) back: it wears the one before, since when it did. `Taken`.

    Where the newest one only corrected what was written, nothing is to be taken back.
    """
    require(viewer, row.site_id, "edit animals")
    newest = select(AnimalTag).where(AnimalTag.animal_id == row.id, AnimalTag.to_ms == row.tag_from_ms)
    before = session.scalar(newest)
    if before is None:
        return
    _check_free(session, row, {"tag": before.tag}, before.from_ms)
    row.tag, row.tag_from_ms, row.version = before.tag, before.from_ms, row.version + 1
    session.delete(before)
    _flush(session)


def remove(session: Session, viewer: Viewer, row: Animal, now_ms: int) -> None:
    """Takes an animal out that should never have been there. `InUse` when events tell of it."""
    require(viewer, row.site_id, "edit animals")
    if session.scalar(select(HerdEvent.id).where(HerdEvent.animal_id == row.id).limit(1)) is not None:
        raise InUse("events tell of this animal; a sale or a death ends its time here")
    audit.note_change(
        session, viewer, row.site_id, "animal.removed", now_ms, animal=row.id, number=row.number,
        national_id=row.national_id, tag=row.tag,
    )  # fmt: skip
    session.execute(delete(Animal).where(Animal.id == row.id))


def check_number_free(session: Session, row: Animal) -> None:
    """`Taken` when the animal cannot be present (again): its number is another's meanwhile."""
    _check_free(session, row, {"number": row.number}, None)


def _replace_tag(session: Session, row: Animal, at_ms: int) -> None:
    if row.tag_from_ms is not None and at_ms <= row.tag_from_ms:
        raise WrongTime(f"tag_from_ms: must be after {row.tag_from_ms}, since when it wears the tag that it has")
    if row.tag is not None:
        session.add(
            AnimalTag(site_id=row.site_id, animal_id=row.id, tag=row.tag, from_ms=row.tag_from_ms, to_ms=at_ms)
        )
    row.tag_from_ms = at_ms


def _set(row: Animal, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if name not in EDITABLE:
            raise ValueError(f"{name!r} is not a field that is edited")
        setattr(row, name, value)


def _check_free(session: Session, row: Animal, fields: Mapping[str, Any], tag_from_ms: int | None) -> None:
    others = select(Animal.id).where(Animal.site_id == row.site_id, Animal.id != row.id)
    for name in ("national_id", "tag", "number"):
        value = fields.get(name)
        if value is None:
            continue
        same = others.where(getattr(Animal, name) == value)
        if name == "number":
            same = same.where(Animal.status == "present")
        if session.scalar(same.limit(1)) is not None:
            raise Taken(name)
    if (tag := fields.get("tag")) is not None:
        worn = select(AnimalTag.id).where(
            AnimalTag.site_id == row.site_id, AnimalTag.tag == tag, AnimalTag.animal_id != row.id
        )
        if tag_from_ms is not None:
            worn = worn.where(AnimalTag.to_ms > tag_from_ms)
        if session.scalar(worn.limit(1)) is not None:
            raise Taken("tag")


def _flush(session: Session) -> None:
    """Two writers at once: the database decides, and the second is told the same as if it had come later."""
    try:
        session.flush()
    except IntegrityError as error:
        found = re.search(r"national_id|tag|number", str(error.orig))
        raise Taken(found[0] if found else "national_id") from None


def is_tag(text: str) -> bool:
    """Whether these are fifteen digits as ISO 11784 has them."""
    return bool(re.fullmatch(TAG, text)) and int(text[3:]) <= LARGEST_OF_TAG
