"""What a call reads aloud: no brackets, units as words. Pure."""

from __future__ import annotations

import re
from typing import Final

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
