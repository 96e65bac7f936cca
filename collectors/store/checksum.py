"""A checksum over readings of a series in ascending time, the same whatever store they come from. Pure.

It depends on times, on the exact bits of numbers (-0.0 is not 0.0) and on the characters of texts, and on nothing
else: not on how the readings were cut into pages. Two series with the same count and checksum are the same.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from collectors.store.protocol import Point
from makiba.reading import Value


@dataclass(frozen=True, slots=True)
class Packed:
    """A page of readings as bytes: two pages are the same readings to the bit where these are equal."""

    count: int
    times: bytes
    values: bytes

    @classmethod
    def of(cls, points: Sequence[Point]) -> Packed:
        times = struct.pack(f"<{len(points)}q", *[point.time_ms for point in points])
        return cls(len(points), times, values_bytes(points))


class Checksum:
    """Grows with `add`; readings come in ascending time."""

    def __init__(self) -> None:
        self.count = 0
        self._times = hashlib.blake2b(digest_size=16)
        self._values = hashlib.blake2b(digest_size=16)

    def add(self, page: Packed) -> None:
        self.count += page.count
        self._times.update(page.times)
        self._values.update(page.values)

    def hex(self) -> str:
        """32 hex digits."""
        return hashlib.blake2b(self._times.digest() + self._values.digest(), digest_size=16).hexdigest()


def values_bytes(points: Sequence[Point]) -> bytes:
    """The values as bytes that differ when any value does: numbers as IEEE doubles, texts with their length."""
    values = [point.value for point in points]
    try:
        return struct.pack(f"<{len(values)}d", *values)
    except struct.error:  # a text among them
        return b"".join(map(_value_bytes, values))


def _value_bytes(value: Value) -> bytes:
    if isinstance(value, str):
        text = value.encode("utf-8", "surrogatepass")
        return b"t" + struct.pack("<I", len(text)) + text
    return b"n" + struct.pack("<d", value)


def missing(wanted: Sequence[Point], there: Sequence[Point]) -> list[Point]:
    """Those of `wanted` that are not `there` with exactly this value."""
    found = {point.time_ms: point for point in there}
    return [
        w for w in wanted if (t := found.get(w.time_ms)) is None or _value_bytes(w.value) != _value_bytes(t.value)
    ]
