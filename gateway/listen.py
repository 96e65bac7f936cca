"""From what a talking instrument sent to what is recorded: at most one value per series and `every`. Pure.

A `Talker` is the protocol: bytes in, frames out, for any split of the bytes. It is what a driver for a line that is
listened to has to bring; opening the port, asking, back-off and silence are the rim's (`drivers/_talking.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.decode import Outcome
from gateway.driver import Point
from gateway.record import OK, worst
from makiba.reading import Series, Value


@dataclass(frozen=True, slots=True)
class Frame:
    """One sound frame: how a technician sees it, what it says, and the state that it puts the device in.

    `values` are numbers in the catalogue's unit or the word of a state; `texts` are recorded as they are. `kind` is
    what comes again and again, such as a sentence's address: three of one kind are two whole rounds.
    """

    shown: str
    values: tuple[tuple[Point, Outcome], ...] = ()
    state: str = OK
    texts: tuple[tuple[Series, str], ...] = ()
    kind: str = ""


class Talker(Protocol):
    """The protocol of an instrument that talks; one per port, from its opening on."""

    @property
    def damaged(self) -> int:
        """Counts what looked like a frame and was not sound."""
        ...

    def feed(self, data: bytes, now_s: float) -> list[Frame]:
        """The frames that `data` completes; `now_s` is the monotonic clock."""
        ...


class Keeper:
    """What of the frames is recorded, and the states of a device's subjects."""

    def __init__(self, name: str, every_s: float) -> None:
        self._name = name
        self._every_s = every_s
        self._taken_s: dict[Series, float] = {}
        self._states: dict[str, dict[Series, str]] = {}

    def take(self, frame: Frame, now_s: float) -> tuple[Sequence[tuple[Series, Value]], Mapping[str, str]]:
        """The values to record now, and the states of the subjects, the device's own among them."""
        values: list[tuple[Series, Value]] = list(frame.texts)
        for point, outcome in frame.values:
            series = point.series
            if isinstance(outcome, str):
                self._states.setdefault(series.subject, {})[series] = outcome
                continue
            self._states.setdefault(series.subject, {})[series] = OK
            # A tenth of slack, so that an instrument that sends at 1 Hz with jitter gives 1 Hz with `every: 1s`.
            if now_s - self._taken_s.get(series, -1e9) >= self._every_s * 0.9:
                self._taken_s[series] = now_s
                values.append((series, outcome))
        states = {subject: worst(by_series.values()) for subject, by_series in self._states.items()}
        states[self._name] = worst((frame.state, states.get(self._name, OK)))
        return values, states
