"""A gateway for calls and SMS, and the receiver of a webhook: JSON that is taken once by its Idempotency-Key."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.vendors.http import Asked, Told


@dataclass
class Gateway:
    """`token`: which has to come; '' takes any. `failing`: answers that come next."""

    token: str = ""
    failing: list[Told] = field(default_factory=list)
    taken: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def answer(self, asked: Asked) -> Told:
        self.asked.append(asked)
        if self.failing:
            return self.failing.pop(0)
        if self.token and asked.headers.get("authorization") != f"Bearer {self.token}":
            return Told(401)
        key = asked.headers["idempotency-key"]
        told = json.dumps({"id": f"call-{key[:8]}"}).encode()
        if key in self.taken:
            return Told(409, told)
        self.taken[key] = json.loads(asked.body)
        return Told(202, told)
