"""One line of the doctor: how it is, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """`todo` is what a technician does about it."""

    level: Literal["ok", "warn", "FAIL"]
    what: str
    text: str
    todo: str = ""

    def __str__(self) -> str:
        line = f"{self.level:<4} {self.what}: {self.text}"
        return f"{line}\n     → {self.todo}" if self.todo else line
