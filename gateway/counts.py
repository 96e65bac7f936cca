"""What the buses did since the start, as counters, and when each last did anything. Event loop only."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

# The kinds of errors that have a quantity of their own; others count as `other`.
KINDS = {"timeout": "timeout", "crc": "damaged", "invalid": "damaged", "exception": "exception"}


def kind_of(state: str) -> str:
    """`timeout`, `damaged`, `exception` or `other`."""
    return KINDS.get("exception" if state.startswith("exception-") else state, "other")


@dataclass(slots=True)
class Counts:
    """Per bus. `lively_s`: when the bus's task last came to an end of something, also of a failure."""

    polls: Counter[str] = field(default_factory=Counter)
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    busy_ns: Counter[str] = field(default_factory=Counter)
    lively_s: dict[str, float] = field(default_factory=dict)

    def poll(self, bus: str, state: str, took_ns: int) -> None:
        """A poll came to its end; `state` is its device's."""
        self.polls[bus] += 1
        self.busy_ns[bus] += took_ns
        self.lively_s[bus] = time.monotonic()
        if state != "ok":
            self.errors[bus, kind_of(state)] += 1

    def alive(self, bus: str) -> None:
        """The bus's task did something else, such as opening a line in vain."""
        self.lively_s[bus] = time.monotonic()

    def errors_of(self, kind: str) -> int:
        return sum(n for (_, k), n in self.errors.items() if k == kind)
