"""Cuts torn ends off InfluxDB 1.x's write-ahead log, before influxd is started.

Why. When the disk was full (or the machine lost power) a segment may end in half an entry. At its start influxd opens
the last segment at its end, then cuts the half entry off, and goes on writing behind a hole; what it acknowledges
from then on is thrown away at its next start. Found with 1.6.7; influxdata/influxdb issue 9657 looks like it. Cut off
beforehand, nothing that was acknowledged is lost. Since influxd also refuses every write after a full disk until it
is started again, `ExecStartPre=` is the place for this.

What is cut off is what influxd itself could not read. An entry is a type (1 to 3), a length (big endian, 4 bytes) and
as many bytes; see tsdb/engine/tsm1/wal.go of 1.6.

    python -m deploy.influx_wal /var/lib/influxdb/wal
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import Final

_HEAD: Final = struct.Struct(">BI")
_KINDS: Final = (1, 2, 3)


def whole_bytes(segment: Path) -> int:
    """How much of a segment is whole entries."""
    size = segment.stat().st_size
    at = 0
    with segment.open("rb") as file:
        while at + _HEAD.size <= size:
            file.seek(at)
            kind, length = _HEAD.unpack(file.read(_HEAD.size))
            if kind not in _KINDS or at + _HEAD.size + length > size:
                break
            at += _HEAD.size + length
    return at


def cut_torn_ends(folder: Path) -> list[tuple[Path, int]]:
    """Cuts every segment below `folder` to its whole entries; each that was cut, and by how many bytes."""
    cut = []
    for segment in sorted(folder.rglob("_*.wal")):
        size, whole = segment.stat().st_size, whole_bytes(segment)
        if whole < size:
            with segment.open("r+b") as file:
                file.truncate(whole)
                os.fsync(file.fileno())
            cut.append((segment, size - whole))
    return cut


def main() -> int:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        print("usage: python -m deploy.influx_wal FOLDER  (influxd must not be running)", file=sys.stderr)
        return 2
    for segment, count in cut_torn_ends(Path(sys.argv[1])):
        print(f"{segment}: {count} bytes of half an entry cut off")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
