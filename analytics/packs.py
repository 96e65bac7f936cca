"""Packs of the committed feed as readings, cheaply: a name is looked at once.

The collector has judged every record that stands in the feed. So a pack of numbers and texts with plain labels is
read straight away; whatever else a pack may be is read in the general way (`makiba.link.readings_in`), with the
same result. A test holds both equal.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from makiba.link import Message, readings_in
from makiba.quantities import catalogue
from makiba.reading import EARLIEST_MS, LATEST_MS, Reading, Series
from makiba.senml import CONTENT_TYPE_JSON

MOST_NAMES: Final = 1_000_000
_LABELS: Final = frozenset({"bn", "bt", "n", "u", "t", "v", "vs"})


class Packs:
    """Reads packs, and remembers what their names stand for."""

    def __init__(self) -> None:
        self._names: dict[str, tuple[Series, str | None, bool]] = {}

    def readings_in(self, message: Message) -> list[Reading]:
        """The readings of `message`; `wire.WireError` or `senml.SenmlError` when it holds none."""
        if message.content_type == CONTENT_TYPE_JSON and message.content_encoding is None:
            found = self._plain(message.payload)
            if found is not None:
                return found
        return readings_in(message)

    def _plain(self, data: bytes) -> list[Reading] | None:
        """The readings of a pack of which everything is plain; None where anything is not."""
        try:
            records: Any = orjson.loads(data)
        except orjson.JSONDecodeError:
            return None
        found: list[Reading] = []
        names, base, base_s = self._names, "", 0.0
        if type(records) is not list:
            return None
        try:
            for record in records:
                if not record.keys() <= _LABELS:
                    return None
                get = record.get
                if "bn" in record:
                    base = record["bn"]
                if "bt" in record:
                    base_s = record["bt"]
                known = names.get(name := base + get("n", "")) or self._look_up(name)
                if known is None:
                    return None
                series, unit, is_text = known
                value = record["vs" if is_text else "v"]
                time_s = base_s + get("t", 0)
                if type(value) is not str if is_text else type(value) is not float and type(value) is not int:
                    return None
                if get("u") != unit or ("v" if is_text else "vs") in record:
                    return None
                time_ms = round(time_s * 1000)
                if not EARLIEST_MS <= time_ms <= LATEST_MS:
                    return None
                found.append(Reading(series, time_ms, value if is_text else float(value)))
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
            return None
        return found or None

    def _look_up(self, name: str) -> tuple[Series, str | None, bool] | None:
        try:
            series = Series.parse(name)
        except ValueError:
            return None
        quantity = catalogue().get(series.quantity)
        if quantity is None:
            return None
        if len(self._names) >= MOST_NAMES:
            self._names.clear()
        known = self._names[name] = (series, quantity.unit, quantity.kind == "text")
        return known
