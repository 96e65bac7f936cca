"""From outcomes to readings: stamps, states on change, one call per poll.

A state (`ok`, `timeout`, `sentinel`, …) is a reading too: it is recorded when it changes and said again so often that
nobody waits more than 10 min for it. The rules are pure; `Recorder` is the small rim with the clock and the way to
the spool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from gateway.clock import Clock
from gateway.counts import Counts
from makiba.reading import Reading, Series, Value

STATE = "state"
OK = "ok"
SAY_AGAIN_MS = 8 * 60 * 1000
"""Looked at once a minute, so that 10 min hold with room."""
NEAR_MS = 10
"""Polls that end as close as this to the one before are told apart; more is a clock that was set back."""

# From the worst down; any exception-N stands with 'exception'.
_WORST_FIRST = (
    "bus-down", "down", "unreachable", "timeout", "silent", "crc", "exception", "invalid", "sentinel", "out-of-range",
)  # fmt: skip
_RANK = {word: len(_WORST_FIRST) - place for place, word in enumerate(_WORST_FIRST)}


def severity(state: str) -> int:
    """Larger is worse; 0 for `ok`, 1 for a word that is not known here."""
    return 0 if state == OK else _RANK.get("exception" if state.startswith("exception-") else state, 1)


def worst(states: Iterable[str]) -> str:
    """The worst of `states`, `ok` when there is none."""
    return max(states, key=severity, default=OK)


class Recorder:
    """Takes what drivers report. `keep` gets the readings of one report, in one list; it must not block."""

    def __init__(self, site: str, clock: Clock, keep: Callable[[Sequence[Reading]], None]) -> None:
        self._site = site
        self._clock = clock
        self._keep = keep
        self._states: dict[str, tuple[Series, str, int]] = {}
        self._stamped: dict[Series, int] = {}
        self.counts = Counts()

    def record(self, values: Iterable[tuple[Series, Value]], states: Mapping[str, str], *, ago_ms: int = 0) -> None:
        """One poll: its values, measured `ago_ms` before now, and the states of its subjects, which are now's."""
        now_ms = self._clock.now_ms()
        measured = list(values)
        moved_ms = self._moved_ms(measured, now_ms - ago_ms)
        now_ms += moved_ms
        readings = [Reading(series, now_ms - ago_ms, value) for series, value in measured]
        for subject, state in states.items():
            known = self._states.get(subject)
            if known is None:
                known = (Series(self._site, subject, STATE), "", 0)
            if state != known[1]:
                at_ms = max(now_ms, known[2] + 1) if known[2] - now_ms < SAY_AGAIN_MS else now_ms
                self._states[subject] = (known[0], state, at_ms)  # two changes in one millisecond are two readings
                readings.append(Reading(known[0], at_ms, state))
        if readings:
            self._keep(readings)

    def _moved_ms(self, values: Sequence[tuple[Series, Value]], at_ms: int) -> int:
        """How much later than `at_ms` a poll is stamped, so that it does not replace the one before.

        A poll that was held up ends right before the next one, often within the same millisecond.
        """
        stamped = self._stamped
        last_ms = max((stamped.get(series, 0) for series, _ in values), default=0)
        moved_ms = last_ms + 1 - at_ms if 0 <= last_ms - at_ms < NEAR_MS else 0
        for series, _ in values:
            stamped[series] = at_ms + moved_ms
        return moved_ms

    def state_of(self, subject: str) -> str | None:
        """The state last recorded."""
        known = self._states.get(subject)
        return known[1] if known else None

    def say_again(self) -> None:
        """Records the states that have not been said for a while."""
        now_ms = self._clock.now_ms()
        readings: list[Reading] = []
        for subject, (series, state, said_ms) in self._states.items():
            if not 0 <= now_ms - said_ms < SAY_AGAIN_MS:
                self._states[subject] = (series, state, now_ms)
                readings.append(Reading(series, now_ms, state))
        if readings:
            self._keep(readings)
