"""People's rights, remembered for as long as they are what the registry would say.

They are worked out from some hundreds of rows for somebody who has to do with a hundred farms, with each request. The
registry's number (`rights_version`) goes up with every change of them, in the transaction of the change; with them
comes the moment until which none of them begins or ends by itself. So what was worked out under the same number, and
in between these moments, is what would be worked out again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy.orm import Session

from collectors.registry import people
from collectors.registry.viewer import Person, Service

MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    person: Person
    version: int
    from_ms: int
    until_ms: int


class Remembered:
    """One per process; threads share it."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}

    def of(
        self, session: Session, viewer: Service, numbers: Collection[int], version: int, now_ms: int
    ) -> dict[int, tuple[Person, int]]:
        """`people.viewers_until`; `version` is the registry's number as `session` sees it."""
        found: dict[int, tuple[Person, int]] = {}
        for number in numbers:
            known = self._known.get(number)
            if known and known.version == version and known.from_ms <= now_ms < known.until_ms:
                found[number] = known.person, known.until_ms
        unknown = [number for number in numbers if number not in found]
        if unknown:
            made = people.viewers_until(session, viewer, unknown, now_ms)
            if len(self._known) > MOST:
                self._known = {}
            for number, (person, until_ms) in made.items():
                self._known[number] = _Known(person, version, now_ms, until_ms)
            found |= made
        return found
