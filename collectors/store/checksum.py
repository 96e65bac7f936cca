"""A checksum over readings of a series in ascending time, the same whatever store they come from. Pure.

It depends on times, on the exact bits of numbers (-0.0 is not 0.0) and on the characters of texts, and on nothing
else: not on how the readings were cut into pages. Two series with the same count and checksum are the same.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

from collectors.store.protocol import Point


class Checksum:
    """Grows with `add`; readings come in ascending time."""

    def __init__(self) -> None:
        self.count = 0
        self._times = hashlib.blake2b(digest_size=16)
        self._values = hashlib.blake2b(digest_size=16)

    def add(self, points: Sequence[Point]) -> None:
        self.count += len(points)
        self._times.update(struct.pack(f"<{len(points)}q", *(point.time_ms for point in points)))
        self._values.update(values_bytes(points))

    def hex(self) -> str:
        """32 hex digits."""
        return hashlib.blake2b(self._times.digest() + self._values.digest(), digest_size=16).hexdigest()


def values_bytes(points: Sequence[Point]) -> bytes:
    """The values as bytes that differ when any value does: numbers as IEEE doubles, texts with their length."""
    if not any(isinstance(point.value, str) for point in points):
        return struct.pack(f"<{len(points)}d", *(point.value for point in points))
    parts: list[bytes] = []
    for point in points:
        if isinstance(point.value, str):
            text = point.value.encode("utf-8", "surrogatepass")
            parts.append(b"t" + struct.pack("<I", len(text)) + text)
        else:
            parts.append(b"n" + struct.pack("<d", point.value))
    return b"".join(parts)


def same(one: Sequence[Point], other: Sequence[Point]) -> bool:
    """Whether both are the same readings to the bit."""
    return (
        len(one) == len(other)
        and all(a.time_ms == b.time_ms for a, b in zip(one, other, strict=True))
        and values_bytes(one) == values_bytes(other)
    )


def missing(wanted: Sequence[Point], there: Sequence[Point]) -> list[Point]:
    """Those of `wanted` that are not `there` with exactly this value."""
    found = {point.time_ms: point for point in there}
    return [w for w in wanted if (t := found.get(w.time_ms)) is None or values_bytes([w]) != values_bytes([t])]
