"""Readings as one SenML pack (RFC 8428), series after series: the form that Makiba itself reads again, bit for bit.

A record per line. A series' name, unit and base time stand in its first record; windows are no readings, and have no
form here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from collectors.out import pages
from collectors.out.table import Wanted
from collectors.store import Store
from makiba.quantities import catalogue
from makiba.reading import Series


def senml(store: Store, wanted: Wanted) -> Iterator[bytes]:
    """The pack's bytes; an empty pack when there is no reading."""
    words = catalogue()

    def unit_of(series: Series) -> str | None:
        known = words.get(series.quantity)
        return known.unit if known else None

    # A base unit cannot be taken back within a pack, so that series without one stand first.
    ordered = sorted(wanted.series, key=lambda series: (unit_of(series) is not None, series))
    separator = "["
    for series in ordered:
        head: dict[str, Any] = {"bn": str(series)}
        if (unit := unit_of(series)) is not None:
            head["bu"] = unit
        base_ms = 0
        for found in pages.points(store, series, wanted.stretches(series)):
            lines: list[str] = []
            for point in found:
                record: dict[str, Any] = {}
                if head:
                    base_ms = point.time_ms
                    record, head = {**head, "bt": base_ms / 1000}, {}
                elif point.time_ms != base_ms:
                    record["t"] = (point.time_ms - base_ms) / 1000
                record["vs" if isinstance(point.value, str) else "v"] = point.value
                lines.append(separator + json.dumps(record, separators=(",", ":"), ensure_ascii=False))
                separator = ",\n"
            yield "".join(lines).encode("utf-8", "replace")
    yield b"[]\n" if separator == "[" else b"]\n"
