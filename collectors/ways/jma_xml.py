"""The agency's XML: the Atom feed of telegrams and the warnings in them (R06, VPWW55 to VPWW61). Pure.

Facts: feeds at `www.data.jma.go.jp/developer/xml/feed/extra.xml` (ten minutes or more) and `extra_l.xml` (days), to
be asked at most once a minute; a telegram's address holds its type and office (`…_VPWW61_014030.xml`). Names of
elements and the type `MUNICIPALITIES` are read in public programs that parse these telegrams. Those of drills and
tests, and those that are withdrawn, are not taken. A document with a DTD is refused before it is parsed: these
telegrams have none, and entities are how XML bites.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

from collectors.ways.jma_codes import TELEGRAMS
from collectors.ways.jma_json import UnknownForm, moment_ms
from collectors.ways.jma_warnings import Bulletin

SOURCE: Final = "jma-xml"
MUNICIPALITIES: Final = "気象警報・注意報（市町村等）"
_ATOM: Final = "{http://www.w3.org/2005/Atom}"
_HEAD: Final = "{http://xml.kishou.go.jp/jmaxml1/informationBasis1/}"
_REPORT: Final = "{http://xml.kishou.go.jp/jmaxml1/}"
_BODY: Final = "{http://xml.kishou.go.jp/jmaxml1/body/meteorology1/}"
_TELEGRAM = re.compile(r"/([0-9]{14})_[0-9]+_(VP[A-Z]{2}[0-9]{2})_([0-9]{6})\.xml$")


@dataclass(frozen=True, slots=True)
class Entry:
    """A telegram in a feed: where it is, and what its address says."""

    url: str
    telegram: str
    office: str


def parse_feed(body: bytes, offices: frozenset[str]) -> list[Entry]:
    """The warnings' telegrams of `offices` in a feed, the oldest first."""
    found: dict[str, Entry] = {}
    for entry in _parse(body).iter(f"{_ATOM}entry"):
        link = entry.find(f"{_ATOM}link")
        url = (link.get("href") if link is not None else None) or entry.findtext(f"{_ATOM}id") or ""
        match = _TELEGRAM.search(url)
        if match and match[2] in TELEGRAMS and match[3] in offices:
            found[url] = Entry(url, match[2], match[3])
    return sorted(found.values(), key=lambda entry: entry.url.rpartition("/")[2])


def parse_telegram(body: bytes, telegram: str) -> list[Bulletin]:
    """What a telegram says about each municipality; empty for a drill, a test or a withdrawal."""
    root = _parse(body)
    status = root.findtext(f"{_REPORT}Control/{_REPORT}Status")
    info = root.findtext(f"{_HEAD}Head/{_HEAD}InfoType")
    if status is None or info is None:
        raise UnknownForm("a telegram without Control/Status or Head/InfoType")
    if status != "通常" or info == "取消":
        return []
    reported_ms = moment_ms(root.findtext(f"{_HEAD}Head/{_HEAD}ReportDateTime"))
    return list(_bulletins(root, telegram, reported_ms))


def _bulletins(root: ElementTree.Element, telegram: str, reported_ms: int) -> Iterator[Bulletin]:
    for warning in root.iter(f"{_BODY}Warning"):
        if warning.get("type") != MUNICIPALITIES:
            continue
        for item in warning.findall(f"{_BODY}Item"):
            area = (item.findtext(f"{_BODY}Area/{_BODY}Code") or "")[:16]
            if not area:
                raise UnknownForm("an item without an area's code")
            kinds = tuple(
                ((kind.findtext(f"{_BODY}Code") or "")[:8], (kind.findtext(f"{_BODY}Status") or "")[:40])
                for kind in item.findall(f"{_BODY}Kind")
            )
            yield Bulletin(area, telegram, reported_ms, kinds, SOURCE)


def _parse(body: bytes) -> ElementTree.Element:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnknownForm("not UTF-8") from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise UnknownForm("a document with a DTD")
    try:
        return ElementTree.fromstring(text)  # noqa: S314 (no DTD gets here, and its size is bounded)
    except ElementTree.ParseError as error:
        raise UnknownForm(f"not XML: {error}") from None
