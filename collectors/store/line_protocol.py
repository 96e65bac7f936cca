"""InfluxDB's two languages, pure: parts of line protocol, and InfluxQL with everything quoted.

One measurement per group of the catalogue (`air`, `tank`, …), tags `site`, `subject`, `quantity`, a field `value`
(float) or `text` (string), the time in whole milliseconds. A number and a text have different fields, so that their
types never collide (InfluxDB keeps a field's type for ever). Sources: docs.influxdata.com, influxdb/v1.8: line
protocol reference; InfluxQL specification.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from makiba.quantities import catalogue
from makiba.reading import Series

EARLIEST_MS: Final = -9_223_372_036_854
LATEST_MS: Final = 9_223_372_036_854
"""InfluxDB keeps nanoseconds in 64 bits: 1677 to 2262."""

ANCHOR: Final = "anchor"
"""The field of the point that keeps a measurement's name alive; see `influx_http.Database`."""

_TAG: Final = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ "})
_MEASUREMENT: Final = str.maketrans({",": "\\,", " ": "\\ "})
_TEXT: Final = str.maketrans({"\\": "\\\\", '"': '\\"'})
_IDENTIFIER: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
_LITERAL: Final = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n"})


def head_of(series: Series) -> str:
    """The measurement and tags of a line; the parts of a `Series` hold no line break."""
    group = measurement_of(series.quantity).translate(_MEASUREMENT)
    return (
        f"{group},quantity={series.quantity.translate(_TAG)},site={series.site.translate(_TAG)}"
        f",subject={series.subject.translate(_TAG)}"
    )


def anchor_line(measurement: str, at_ms: int) -> str:
    """The line of a measurement's anchor."""
    return f"{measurement.translate(_MEASUREMENT)} {ANCHOR}=1i {min(at_ms, LATEST_MS)}000000"


def spell_text(text: str) -> str:
    """`text` as the value of a field."""
    return f'"{text.translate(_TEXT)}"'


def tag(value: str) -> str:
    """`value` as the value of a tag."""
    return value.translate(_TAG)


def measurement_of(quantity: str) -> str:
    """The group of a quantity; one that is not in the catalogue (any more) is `other`."""
    known = catalogue().get(quantity)
    return known.group if known else "other"


def groups(*, text: bool | None = None) -> list[str]:
    """The measurements that hold texts, or numbers, or any."""
    return sorted({q.group for q in catalogue().values() if text is None or (q.kind == "text") == text})


def from_groups(*, text: bool) -> str:
    """The measurements that hold texts, or numbers, as a FROM clause."""
    return ", ".join(identifier(group) for group in groups(text=text))


def identifier(name: str) -> str:
    """`name` as an InfluxQL identifier."""
    return f'"{name.translate(_IDENTIFIER)}"'


def literal(text: str) -> str:
    """`text` as an InfluxQL string."""
    return f"'{text.translate(_LITERAL)}'"


def where(series: Series, start_ms: int, end_ms: int) -> str:
    """The condition for [start_ms, end_ms) of a series."""
    tags = {"site": series.site, "subject": series.subject, "quantity": series.quantity}
    return f"{tags_are(tags)} AND {within(start_ms, end_ms)}"


def within(start_ms: int, end_ms: int) -> str:
    """The condition for [start_ms, end_ms)."""
    return f"time >= {_clip(start_ms)}ms AND time < {_clip(end_ms)}ms"


def tags_are(tags: Mapping[str, str]) -> str:
    """A condition that each tag has its value."""
    return " AND ".join(f"{identifier(tag)} = {literal(value)}" for tag, value in tags.items())


def split_key(key: str) -> tuple[str, dict[str, str]]:
    """Measurement and tags of a series key as `SHOW SERIES` writes it."""
    parts: list[str] = []
    part, escaped = "", False
    for char in key:
        if escaped:
            part, escaped = part + char, False
        elif char == "\\":
            escaped = True
        elif char == ",":
            parts.append(part)
            part = ""
        else:
            part += char
    parts.append(part)
    return parts[0], dict(tag.split("=", 1) for tag in parts[1:] if "=" in tag)


def _clip(time_ms: int) -> int:
    return min(max(time_ms, EARLIEST_MS), LATEST_MS)
