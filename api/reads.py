"""Writing down what people from outside read, many answers in one commit.

`Reads.note` returns when its rows are on the disk, and says which of its farms may not be told any more: rights are
looked at again in the very transaction that writes the rows, with every change of rights kept out until it ends.
While one thread commits, others queue; whoever of them comes first takes along all that wait. So N answers at once
cost two commits rather than N, no answer goes out before its own, and a read that comes alone waits for nobody.

Whatever hinders the transaction hinders every answer that waits for it: nothing is answered that is not written.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.orm import Session

from collectors.registry import Registry, audit, rights_version
from collectors.registry.remembered import Remembered
from collectors.registry.viewer import Person, Service, belongs_to, limited, may_see
from makiba.data_class import DataClass

MOST_AT_ONCE: Final = 256
"""Reads in one transaction: some ten milliseconds of writing."""

_SERVICE: Final = Service("api")

Wanted = Mapping[str, frozenset[DataClass]]
"""By farm, the classes of which something is about to be told."""


@dataclass(eq=False, slots=True)
class _Waiting:
    viewer: Person
    wanted: Wanted
    what: str
    now_ms: int
    span_ms: tuple[int, int] | None
    gone: frozenset[str] = frozenset()
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Reads:
    """One per process; threads share it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._waiting: list[_Waiting] = []
        self._guard = threading.Lock()
        self._leading = threading.Lock()
        self.remembered = Remembered()

    def note(
        self, viewer: Person, wanted: Wanted, what: str, now_ms: int, span_ms: tuple[int, int] | None = None
    ) -> frozenset[str]:
        """Writes down that `viewer` reads `wanted`; the farms of it of which they may not be told that any more.

        Nothing is written of those, nor of a farm whose own people `viewer` belongs to.
        """
        mine = _Waiting(viewer, wanted, what, now_ms, span_ms)
        with self._guard:
            self._waiting.append(mine)
        with self._leading:  # held by whoever commits
            while not mine.done.is_set():
                with self._guard:
                    batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                self._commit(batch)
        if mine.error is not None:
            raise mine.error
        return mine.gone

    def _commit(self, batch: Sequence[_Waiting]) -> None:
        try:
            with self._registry.write() as session:
                persons = self._now(session, {one.viewer.id for one in batch}, max(one.now_ms for one in batch))
                told = [(one, _limited(one, persons.get(one.viewer.id))) for one in batch]
                for one, person in told:
                    one.gone = frozenset(s for s, classes in one.wanted.items() if not _may(person, s, classes))
                audit.note_reads(
                    session,
                    [
                        audit.Read(person, site, classes, one.what, one.now_ms, one.span_ms)
                        for one, person in told
                        if person is not None
                        for site, classes in one.wanted.items()
                        if site not in one.gone and not belongs_to(person, site)
                    ],
                )
        except BaseException as error:
            for one in batch:
                one.error = error
        finally:
            for one in batch:
                one.done.set()

    def _now(self, session: Session, numbers: Collection[int], now_ms: int) -> Mapping[int, Person]:
        """These people with the rights of this moment, which do not change before `session` has ended."""
        version = rights_version.hold(session)
        made = self.remembered.of(session, _SERVICE, numbers, version, now_ms)
        return {number: person for number, (person, _) in made.items()}


def _limited(one: _Waiting, person: Person | None) -> Person | None:
    """Who asked, with the rights of this moment and the limits of the program that asked for them."""
    return limited(person, one.viewer.limit) if person else None


def _may(person: Person | None, site: str, classes: frozenset[DataClass]) -> bool:
    return person is not None and all(may_see(person, site, c) for c in classes)
