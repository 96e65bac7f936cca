"""Lines of text out of a byte stream. Pure.

A line ends with CR, LF or both. Any split of the stream gives the same lines. A line longer than `longest` is dropped
whole, so that noise without an end costs no memory and no more than one line; it is counted for every `longest`
bytes, so that a wrong baud rate is noticed even when it never makes an end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_ENDS = b"\r\n"


@dataclass(slots=True)
class LineSplitter:
    """Feed bytes, get lines without their end; empty ones are left out. `damaged` counts dropped lines."""

    longest: int = 128
    damaged: int = 0
    _buffer: bytearray = field(default_factory=bytearray)
    _too_long: bool = False

    def feed(self, data: bytes) -> list[bytes]:
        found: list[bytes] = []
        for byte in data:
            if byte not in _ENDS:
                if len(self._buffer) == self.longest:
                    self._buffer.clear()
                    self._too_long = True
                    self.damaged += 1
                self._buffer.append(byte)
                continue
            if self._buffer and not self._too_long:
                found.append(bytes(self._buffer))
            self._too_long = False
            self._buffer.clear()
        return found


def without_control(line: bytes) -> bytes:
    """`line` without what cannot begin a text: STX, the zero of a break, noise between two lines."""
    start = 0
    while start < len(line) and not 0x20 <= line[start] < 0x7F:
        start += 1
    return line[start:]
