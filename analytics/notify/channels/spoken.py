"""What a call reads aloud, and the token with which an answer to it comes back. Pure.

A token holds for one message, for an hour, and only with this Makiba's key. It opens nothing.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from typing import Final

from makiba.keys import Key

USE: Final = "answer of a call"
HOLDS_S: Final = 3_600
MOST_SPOKEN: Final = 600

_JAPANESE: Final = "\u3000-\u30ff\u3400-\u9fff\uff00-\uffef"
_SPOKEN: Final = (
    (re.compile(r"[【】「」()（）—…]"), " "),
    (re.compile(r"(?<=[\d.])\s*(?:℃|°C)"), {"ja": "度", "en": " degrees Celsius"}),
    (re.compile(r"(?<=[\d.])\s*%"), {"ja": "パーセント", "en": " percent"}),
    (re.compile(r"(?<=\d)\s*ppm\b"), {"ja": "ピーピーエム", "en": " p p m"}),
)


def spoken(text: str, language: str) -> str:
    """`text` as a voice reads it well: no brackets, units as words, Japanese without the blanks between words."""
    for pattern, word in _SPOKEN:
        text = pattern.sub(word if isinstance(word, str) else word["en" if language == "en" else "ja"], text)
    if language != "en":
        text = re.sub(rf"(?<=[{_JAPANESE}0-9])[ \t]+(?=[{_JAPANESE}0-9])", "", text)
    lines = [line.strip(" ・") for line in text.split("\n") if line.strip(" ・")]
    end = "." if language == "en" else "。"
    return " ".join(line if line[-1] in "。.!?！？" else line + end for line in lines)[:MOST_SPOKEN]


def token_of(key: Key, message_id: str, now_s: int) -> str:
    """What a 1 is sent back with."""
    said = f"{message_id}.{now_s + HOLDS_S}"
    return f"{said}.{base64.urlsafe_b64encode(key.sign(USE, said.encode())).rstrip(b'=').decode()}"


def message_of(key: Key, token: str, now_s: int) -> str | None:
    """The message that a token answers; None: it is none of ours, or too old."""
    said, _, mark = token.rpartition(".")
    message_id, _, until = said.partition(".")
    try:
        given = base64.urlsafe_b64decode(mark + "=" * (-len(mark) % 4))
        if not hmac.compare_digest(given, key.sign(USE, said.encode())):
            return None
        return message_id if now_s < int(until) else None
    except (binascii.Error, ValueError):
        return None
