"""How people want to be told: channels by severity, quiet hours, night wake-ups, the morning list.

Everybody's own, and the notifier's to read. Without a row `DEFAULT` holds. The language is the person's
(`people.set_language`), so that there is one place for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from collectors.registry.schema.notify import Wish
from collectors.registry.viewer import NotAllowed, Person, Service, Viewer, require_service, spell

CHANNELS: Final = ("push", "line", "mail", "sms", "voice", "webhook")
SEVERITIES: Final = ("critical", "warning", "advisory", "info")
DAY_MINUTES: Final = 1440
MOST_WAKES: Final = 20
_PER_QUERY: Final = 400


@dataclass(frozen=True, slots=True)
class Wishes:
    """`channels`: by severity, in the order in which they are tried. `quiet`: minutes of the farm's day, [from, to).

    Without `morning_list` they hear nothing of `info`; what waited for the morning is told then all the same.
    """

    channels: Mapping[str, tuple[str, ...]] = field(hash=False)
    quiet: tuple[int, int] | None = None
    night_budget: int = 2
    morning_list: bool = True
    version: int = 0


DEFAULT: Final = Wishes(
    {
        "critical": ("push", "line", "webhook", "voice", "sms", "mail"),
        "warning": ("push", "line", "webhook", "mail"),
        "advisory": ("push", "line", "webhook", "mail"),
        "info": ("push", "line", "mail"),
    }
)
"""Push before LINE where one is enough: it costs nothing, and LINE's month has an end."""


def check_wishes(wishes: Wishes) -> None:
    """`ValueError` when these cannot be anybody's wishes; the message says which part."""
    if unknown := set(wishes.channels) - set(SEVERITIES):
        raise ValueError(f"channels: no severity {min(unknown)}")
    for severity, names in wishes.channels.items():
        if unknown := set(names) - set(CHANNELS):
            raise ValueError(f"channels.{severity}: no channel {min(unknown)}")
        if len(set(names)) != len(names):
            raise ValueError(f"channels.{severity}: a channel twice")
    if not wishes.channels.get("critical"):
        raise ValueError("channels.critical: at least one channel")
    if wishes.quiet is not None:
        if not all(0 <= minute < DAY_MINUTES for minute in wishes.quiet):
            raise ValueError("quiet: minutes of a day, 0 to 1439")
        if wishes.quiet[0] == wishes.quiet[1]:
            raise ValueError("quiet: not the whole day")
    if not 0 <= wishes.night_budget <= MOST_WAKES:
        raise ValueError(f"night_budget: 0 to {MOST_WAKES}")


def get_wishes(session: Session, viewer: Person, *, to_change: bool = False) -> Wishes:
    """The viewer's own; version 0 as long as they said nothing. `to_change` locks them."""
    query = select(Wish).where(Wish.person_id == viewer.id)
    row = session.scalar(query.with_for_update() if to_change else query)
    return DEFAULT if row is None else _of(row)


def put_wishes(session: Session, viewer: Person, wishes: Wishes, now_ms: int) -> Wishes:
    """Makes `wishes` the viewer's own. `ValueError`. Not for programs: who is woken is for people to say."""
    if viewer.limit is not None:
        raise NotAllowed(f"{spell(viewer)} may not do this")
    check_wishes(wishes)
    row = session.get(Wish, viewer.id)
    if row is None:
        row = Wish(person_id=viewer.id, version=0)
        session.add(row)
    row.channels = {severity: list(names) for severity, names in wishes.channels.items()}
    row.quiet_from, row.quiet_to = wishes.quiet or (None, None)
    row.night_budget, row.morning_list, row.changed_ms = wishes.night_budget, wishes.morning_list, now_ms
    row.version += 1
    session.flush()
    return _of(row)


def wishes_of(session: Session, viewer: Viewer, persons: Collection[int]) -> dict[int, Wishes]:
    """The wishes of each of `persons`, for the notifier."""
    assert isinstance(viewer, Service)
    require_service(viewer)
    found: dict[int, Wishes] = {}
    numbers: Sequence[int] = sorted(persons)
    for start in range(0, len(numbers), _PER_QUERY):
        for row in session.scalars(select(Wish).where(Wish.person_id.in_(numbers[start : start + _PER_QUERY]))):
            found[row.person_id] = _of(row)
    return {number: found.get(number, DEFAULT) for number in numbers}


def _of(row: Wish) -> Wishes:
    """A channel of another version is left out; of a severity that it does not name, the default holds."""
    said: Mapping[str, Any] = row.channels or {}
    channels = {
        severity: tuple(name for name in said.get(severity, DEFAULT.channels[severity]) if name in CHANNELS)
        for severity in SEVERITIES
    }
    quiet = (row.quiet_from, row.quiet_to) if row.quiet_from is not None and row.quiet_to is not None else None
    return Wishes(channels, quiet, row.night_budget, row.morning_list, row.version)
