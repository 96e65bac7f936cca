"""What rules ask about what goes on at a place: milking, washing, a pump. The recognisers are in `analytics/context`.

A `Contexts` is told every reading of its farm once, in ascending time of each series, and keeps no clock: `state` may
be asked for any time from the newest reading on. It does no I/O. What it has to remember over a restart is `memory`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from analytics.farm import Farm
from collectors.registry.maintenance_times import Window
from makiba.reading import Reading, Series


@dataclass(frozen=True, slots=True)
class ContextState:
    """How something stands at a place. All times are UTC ms, of measurement.

    `since_ms`: when the state it is in began. `ended_ms`: when it was last on until then; None while it is on, and
    where it was never seen on. `missing_ms`: since when an expected one is late; None when it is not.
    `found`: numbers about the current or the last time, by the names of `makiba.rule_words.CONTEXTS`.
    """

    is_on: bool
    since_ms: int
    ended_ms: int | None = None
    found: Mapping[str, float] = field(default_factory=dict, hash=False)
    missing_ms: int | None = None


class Contexts(Protocol):
    """The contexts of one farm. `place` is a place's id, or None for the farm as a whole."""

    def configure(self, farm: Farm, settings: Mapping[str, Any] | None) -> None:
        """Goes on with another state of the registry; `settings` as the farm wrote them, None: as they were."""

    def learn(self, series: Iterable[Series]) -> None:
        """Takes note that these series exist, before `knows` and `inputs` are asked."""

    def upkeep(self, windows: Iterable[Window]) -> None:
        """What somebody works on."""

    def knows(self, name: str, place: str | None) -> bool:
        """Whether `name` can be recognised at `place` at all; where not, its signals are not there."""

    def inputs(self, name: str, place: str | None) -> frozenset[Series]:
        """The series whose readings may change its state there; may be none (registry windows, the farm's times)."""

    def take(self, reading: Reading) -> None:
        """Notes a reading that is newer than all of its series before."""

    def state(self, name: str, place: str | None, at_ms: int) -> ContextState | None:
        """How it stands; None where that is not known now."""

    def memory(self) -> dict[str, Any]:
        """As JSON."""

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Goes on from `memory`; what it does not understand it leaves."""


class NoContexts:
    """A farm of which nothing is recognised."""

    def configure(self, farm: Farm, settings: Mapping[str, Any] | None) -> None:
        """Nothing to configure."""

    def learn(self, series: Iterable[Series]) -> None:
        """Nothing to learn."""

    def upkeep(self, windows: Iterable[Window]) -> None:
        """Nothing to note."""

    def knows(self, name: str, place: str | None) -> bool:  # noqa: ARG002
        return False

    def inputs(self, name: str, place: str | None) -> frozenset[Series]:  # noqa: ARG002
        return frozenset()

    def take(self, reading: Reading) -> None:
        """Nothing to note."""

    def state(self, name: str, place: str | None, at_ms: int) -> ContextState | None:  # noqa: ARG002
        return None

    def memory(self) -> dict[str, Any]:
        return {}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Nothing to recall."""
