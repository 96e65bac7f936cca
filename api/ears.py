"""Who listens to a stream, and to what of all that they may be told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from collectors.registry.viewer import Limit, Person, limited
from makiba.data_class import DataClass

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ear:
    """Somebody who listens: a session, and of what it may be told the farms and classes that it wants; None: all."""

    session_hash: str
    sites: frozenset[str] | None = None
    classes: frozenset[DataClass] | None = None

    def narrowed(self, person: Person) -> Person:
        """`person` as far as this ear listens."""
        if self.sites is None and self.classes is None:
            return person
        own = person.limit or Limit("", "")
        wanted = replace(own, sites=_both(self.sites, own.sites), classes=_both(self.classes, own.classes))
        return limited(person, wanted)


def _both(one: frozenset[T] | None, other: frozenset[T] | None) -> frozenset[T] | None:
    return other if one is None else one if other is None else one & other
