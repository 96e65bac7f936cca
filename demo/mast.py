"""The weather mast: NMEA 0183 sentences on a pseudo-terminal, one set a second at 4800 baud.

`$..*hh` CR LF, the checksum is the exclusive or of what stands between `$` and `*`. Sentences: MWV (wind, relative,
m/s, valid), MTA (air temperature), MHU (humidity), MMB (pressure in inHg and bar).
"""

from __future__ import annotations

import array
import fcntl
import os
import termios
import tty
from functools import reduce

from demo.physics import Farm

_INHG_PER_HPA = 1 / 33.8638866667


def sentence(body: str) -> bytes:
    """`body` between `$` and its checksum."""
    return f"${body}*{reduce(lambda a, b: a ^ b, body.encode(), 0):02X}\r\n".encode()


def sentences(farm: Farm) -> list[bytes]:
    """What the mast says of the farm's weather."""
    bar = farm.pressure_hpa / 1000
    return [
        sentence(f"WIMWV,{farm.wind_deg:.1f},R,{farm.wind_ms:.1f},M,A"),
        sentence(f"WIMTA,{farm.outside_c:.1f},C"),
        sentence(f"WIMHU,{farm.outside_rh:.1f},,,C"),
        sentence(f"WIMMB,{farm.pressure_hpa * _INHG_PER_HPA:.3f},I,{bar:.4f},B"),
    ]


class Mast:
    """The gateway opens `port`."""

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)

    def say(self, farm: Farm) -> None:
        """Sends one set. A wire keeps nothing: what nobody read since the last set is gone."""
        waiting = array.array("i", [0])
        fcntl.ioctl(self._slave, termios.FIONREAD, waiting)
        if waiting[0]:  # only then: flushing under a reader's hands looks like a broken line to it
            termios.tcflush(self._slave, termios.TCIFLUSH)
        try:
            os.write(self._master, b"".join(sentences(farm)))
        except BlockingIOError:
            return
