"""Slips: words that are given out with a message and come back, signed with this Makiba's key. Pure.

A slip is for one message and one use until a time; nobody without the key can make one, or make one last longer. What
it lets its bearer do is said by whoever takes it: to answer for a call (`CALL`), to see the chart of that message's
alert as the person sees it who was told (`CHART`).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Final, Literal

from makiba.keys import Key

Use = Literal["answer of a call", "chart of a message"]
CALL: Final[Use] = "answer of a call"
CHART: Final[Use] = "chart of a message"


def slip_of(key: Key, use: Use, message_id: str, until_s: int) -> str:
    """The slip of a message; letters, digits, `.`, `-` and `_`."""
    said = f"{message_id}.{until_s}"
    return f"{said}.{base64.urlsafe_b64encode(key.sign(use, said.encode())).rstrip(b'=').decode()}"


def message_of(key: Key, use: Use, slip: str, now_s: int) -> str | None:
    """The message whose slip it is; None: it is none of ours, of another use, or too old."""
    said, _, mark = slip.rpartition(".")
    message_id, _, until = said.partition(".")
    try:
        given = base64.urlsafe_b64decode(mark + "=" * (-len(mark) % 4))
        if not hmac.compare_digest(given, key.sign(use, said.encode())):
            return None
        return message_id if now_s < int(until) else None
    except (binascii.Error, ValueError):
        return None
