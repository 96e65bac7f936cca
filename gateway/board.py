"""What the machine says of itself, read from files: temperature, power, card. Each is None where it does not say.

On a Raspberry Pi the firmware's flags come from `/sys/devices/platform/soc/soc:firmware/get_throttled`, or from
`vcgencmd get_throttled`. Source: raspberrypi.com, documentation of vcgencmd and of `get_throttled`.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

UNDER_VOLTAGE, CAPPED, THROTTLED, SOFT_LIMIT = 0x1, 0x2, 0x4, 0x8
_SINCE_BOOT = 16
"""The same bits, sixteen higher, say that it happened since the start."""
_FLAGS = Path("devices/platform/soc/soc:firmware/get_throttled")


@dataclass(frozen=True, slots=True)
class Power:
    """The firmware's flags."""

    flags: int

    def now(self, bit: int) -> bool:
        return bool(self.flags & bit)

    def since_boot(self, bit: int) -> bool:
        return bool(self.flags & bit << _SINCE_BOOT)


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system that holds a path."""

    free_bytes: int
    size_bytes: int
    is_read_only: bool


class Board:
    """Reads below `root` (`/` but for tests)."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._sys, self._proc = root / "sys", root / "proc"
        self._has_vcgencmd = root == Path("/")

    def model(self) -> str | None:
        """`Raspberry Pi 4 Model B Rev 1.5`."""
        text = _text(self._proc / "device-tree/model")
        return text.rstrip("\0\n") if text else None

    def cpu_c(self) -> float | None:
        """Temperature of the processor, °C."""
        text = _text(self._sys / "class/thermal/thermal_zone0/temp")
        return int(text) / 1000 if text and text.strip().lstrip("-").isdigit() else None

    def power(self) -> Power | None:
        text = _text(self._sys / _FLAGS)
        if text is None and self._has_vcgencmd:
            text = _vcgencmd()
        try:
            return Power(int(text.strip().rpartition("=")[2], 16)) if text else None
        except ValueError:
            return None

    def written_bytes(self) -> int | None:
        """What this process has caused to be written to storage since its start."""
        for line in (_text(self._proc / "self/io") or "").splitlines():
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
        return None


def disk_of(path: Path) -> Disk | None:
    """The file system that holds `path`, or its nearest folder that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    size = found.f_blocks * found.f_frsize
    return Disk(found.f_bavail * found.f_frsize, size, bool(found.f_flag & os.ST_RDONLY))


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _vcgencmd() -> str | None:
    try:
        done = subprocess.run(["vcgencmd", "get_throttled"], capture_output=True, text=True, timeout=2, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
