"""Which form of an answer a reader takes: the header `Accept` (RFC 9110, section 12.5.1), read properly.

The most specific range that fits a form decides its quality; q=0 forbids it; of forms that are liked equally the
first that a route names wins. Whoever takes none of them gets 406 with the list.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request

from api.problems import Refused

JSON: Final = "application/json"

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 (RFC 9110's word for a word)
_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_RANGE: Final = re.compile(rf"\s*({_TOKEN})/({_TOKEN})((?:\s*;\s*{_TOKEN}\s*=\s*(?:{_TOKEN}|{_QUOTED}))*)\s*(?:,|$)")
_PARAMETER: Final = re.compile(rf";\s*({_TOKEN})\s*=\s*({_TOKEN}|{_QUOTED})")
_QUALITY: Final = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")
MAX_RANGES: Final = 50

Range = tuple[str, str, float]
"""(type, subtype, quality) in small letters; `*` for any."""


def accepted(request: Request, offered: Sequence[str]) -> str:
    """The best of the media types `offered` for this request; 406 when it takes none of them."""
    header = ",".join(request.headers.getlist("accept"))
    chosen = choose(header, offered)
    if chosen is None:
        raise Refused(406, f"This is to be had as {', '.join(offered)}.", slug="not-acceptable")
    return chosen


def choose(header: str, offered: Sequence[str]) -> str | None:
    """The best of `offered`; the first where `header` says nothing; None where it takes none."""
    if not header.strip():
        return offered[0]
    ranges = parse(header)
    liked = [(quality(ranges, name), -place, name) for place, name in enumerate(offered)]
    best = max(liked)
    return best[2] if best[0] > 0 else None


def quality(ranges: Sequence[Range], name: str) -> float:
    """How much the media type `name` is liked, 0 to 1."""
    kind, _, sub = name.partition("/")
    for wanted in ((kind, sub), (kind, "*"), ("*", "*")):
        found = [q for a, b, q in ranges if (a, b) == wanted]
        if found:
            return max(found)
    return 0.0


def parse(header: str) -> list[Range]:
    """The ranges of `Accept`. One that is spelled wrongly is left out: it takes nothing.

    A range with parameters other than `q` and `charset` (`text/csv;header=absent`) is a form that nobody has here.
    """
    found: list[Range] = []
    at = 0
    while at < len(header) and len(found) < MAX_RANGES:
        match = _RANGE.match(header, at)
        if match is None:
            comma = header.find(",", at)
            at = len(header) if comma < 0 else comma + 1
            continue
        at = match.end()
        said = {name.lower(): value.strip('"') for name, value in _PARAMETER.findall(match[3])}
        weight = said.pop("q", "1")
        if not _QUALITY.fullmatch(weight) or said.keys() - {"charset"} or (match[1] == "*" and match[2] != "*"):
            continue
        found.append((match[1].lower(), match[2].lower(), float(weight)))
    return found
