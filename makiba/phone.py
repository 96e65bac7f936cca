"""A telephone number as a person writes it, and as a machine dials it (ITU-T E.164: `+`, country, at most 15 digits).

People write 0156-66-1234, ０９０（１２３４）５６７８ or +81 156 66 1234. A number that begins with 0 is of the
farm's own country. A short number (110, 119, 171) has no E.164 form: it is dialled as it is.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

JAPAN: Final = "81"
_FILLING: Final = re.compile(r"[\s()\-‐-―−ー.・/]")
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_SHORT: Final = re.compile(r"1[0-9]{2,3}")


def e164(written: str, country: str | None = JAPAN) -> str:
    """`written` in E.164; empty for a short number. `ValueError` says what is wrong.

    `country`: the calling code that a number with a leading 0 belongs to; None: such a number cannot be told.
    """
    digits = _FILLING.sub("", unicodedata.normalize("NFKC", written))
    if _SHORT.fullmatch(digits):
        return ""
    if digits.startswith("0"):
        if country is None:
            raise ValueError("write the number with + and the country, such as +81156661234")
        if country == JAPAN and not re.fullmatch(r"0[1-9][0-9]{8,9}", digits):
            raise ValueError("a number of Japan has 10 or 11 digits, such as 0156-66-1234")
        digits = f"+{country}{digits[1:]}"
    if not _E164.fullmatch(digits):
        raise ValueError("not a telephone number; such as 0156-66-1234 or +81 156 66 1234")
    return digits
