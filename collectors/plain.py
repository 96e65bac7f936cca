"""Packs as our gateways send them, read straight into columns: JSON, the catalogue's names and units, all of it good.

Guarantee: what `read_plain` takes is exactly what the general way (`makiba.senml`, `collectors.judge.why_not`) would
take, value by value, and it takes a pack whole or not at all. Whatever is unusual (a base value, a sum, another unit,
a relative time, a record that must be refused with its reason) is left to the general way: that is told by None and
costs what it costs. A property test holds the two equal.

A name is looked at once: `Names` remembers per sender which series it is and what its values must be like. It is
bounded for all senders together, since a sender makes up its names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import orjson

from makiba.quantities import catalogue
from makiba.reading import MAX_TEXT, Columns, Series

EARLIEST_MS: Final = 1_420_070_400_000
"""2015-01-01: older than any gateway of ours; a clock that says so was never set."""
MAX_AHEAD_MS: Final = 86_400_000
MAX_RECORDS: Final = 20_000
"""Records of a pack; a gateway sends at most some thousands."""
MAX_NAMES: Final = 40_000
"""Names remembered for all senders together: some 14 MB."""
_LARGEST: Final = 1.7976931348623157e308

Kind = tuple[str | None, float, float, bool]
"""A quantity's unit, its lowest and highest value, and whether its values are texts."""


@dataclass(frozen=True, slots=True)
class Plain:
    """What a pack was made of. `stands_alone`: it may be followed and preceded by others in one array of records,
    since it begins with its own base name and time and leaves no base unit behind."""

    count: int
    stands_alone: bool


@dataclass(slots=True)
class Names:
    """The names that a sender of `site` has used, and what they are."""

    site: str
    known: dict[str, tuple[Series, Kind]] = field(default_factory=dict)

    def look_up(self, name: str) -> tuple[Series, Kind] | None:
        """What `name` is; None when it is no series of this site and the catalogue."""
        parts = name.split("/")
        if len(parts) != 3 or parts[0] != self.site:
            return None
        kind = kinds().get(parts[2])
        if kind is None:
            return None
        try:
            series = Series(self.site, parts[1], kind[0])
        except ValueError:
            return None
        found = self.known[name] = (series, kind[1])
        return found


@cache
def kinds() -> dict[str, tuple[str, Kind]]:
    """Each quantity of the catalogue: its name, as one object, and what its values must be like."""
    return {
        name: (
            name,
            (
                quantity.unit,
                -_LARGEST if quantity.lowest is None else quantity.lowest,
                _LARGEST if quantity.highest is None else quantity.highest,
                quantity.kind == "text",
            ),
        )
        for name, quantity in catalogue().items()
    }


def read_plain(data: bytes, names: Names, received_ms: int, into: Columns) -> Plain | None:
    """Appends the readings of the JSON pack `data` to `into`; None, and nothing appended, when it is not plain."""
    try:
        records = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if type(records) is not list or not 0 < len(records) <= MAX_RECORDS:
        return None
    series: list[Series] = []
    times_ms: list[int] = []
    values: list[float | str] = []
    base, base_s, base_unit = "", 0.0, None
    known_names = names.known
    last_s, time_ms = 0.0, 0
    latest_ms = received_ms + MAX_AHEAD_MS
    begins: Any = records[0]
    for record in records:
        if type(record) is not dict:
            return None
        get = record.get
        name, value, unit, offset_s = get("n"), get("v"), get("u"), get("t")
        # How many of its labels are not understood yet; a label whose value is null is never understood.
        left = len(record) - (name is not None) - (value is not None) - (unit is not None) - (offset_s is not None)
        text = None
        if left:
            if (text := get("vs")) is not None:
                left -= 1
            if (given := get("bn")) is not None:
                if type(given) is not str:
                    return None
                base, left = given, left - 1
            if (given := get("bt")) is not None:
                if type(given) is not float and type(given) is not int:
                    return None
                base_s, left = float(given), left - 1
            if (given := get("bu")) is not None:
                if type(given) is not str:
                    return None
                base_unit, left = given, left - 1
            if left:
                return None
            if value is None and text is None:
                if name is None and unit is None and offset_s is None:
                    continue  # only base fields
                return None
        if name is None:
            name = base
        elif type(name) is str:
            name = base + name
        else:
            return None
        known = known_names.get(name) or names.look_up(name)
        if known is None:
            return None
        one, (expected, lowest, highest, is_text) = known
        if offset_s is None:
            time_s = base_s
        elif type(offset_s) is float or type(offset_s) is int:
            time_s = base_s + offset_s
        else:
            return None
        if time_s != last_s:
            if not -1e12 < time_s < 1e12:  # a sum of finite times may be none; a relative one is before 2015
                return None
            last_s, time_ms = time_s, round(time_s * 1000)
            if not EARLIEST_MS <= time_ms <= latest_ms:
                return None
        elif not time_ms:
            return None
        if is_text:
            if type(text) is not str or value is not None or len(text) > MAX_TEXT or "\x00" in text:
                return None
            if unit is not None and type(unit) is not str:
                return None
            values.append(text)
        else:
            if text is not None:
                return None
            if type(value) is not float:
                if type(value) is not int:
                    return None
                value = float(value)
            if unit is None:
                unit = base_unit
            if unit != expected and (expected is not None or type(unit) is not str):
                return None
            value += 0.0  # -0.0 becomes 0.0, as it does when a unit is converted
            if not lowest <= value <= highest:
                return None
            values.append(value)
        series.append(one)
        times_ms.append(time_ms)
    into.series.extend(series)
    into.times_ms.extend(times_ms)
    into.values.extend(values)
    return Plain(len(series), base_unit is None and "bn" in begins and "bt" in begins)
