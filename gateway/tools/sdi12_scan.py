"""SDI-12 sensors behind an adapter, found by `?!` and by `aI!` to every address. Nothing else is ever sent.

Whether anybody is there takes two seconds: `?!` (who is there?) and `0!` (the address that makers ship), with and
without a break of the port, since adapters differ. Then each of the 62 addresses is asked who it is. Several sensors
answer `?!` at once, so that what is heard there is only a sign of life.
"""

from __future__ import annotations

import string
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gateway.sdi12 import Identity, Sdi12Profile, check_reply, parse_identity
from gateway.tools.probe import SerialProbe, Setting

SETTING = Setting(1200, "even", data_bits=7)
ADDRESSES = string.digits + string.ascii_lowercase + string.ascii_uppercase
FIRST_S = 0.35
"""A sensor begins within 15 ms; some adapters hand on a line when it is whole, and 35 characters take 0.3 s."""
SPACING_S, MARKING_S = 0.015, 0.010
TRIES = 2
BreakBy = Literal["adapter", "port"]


@dataclass(frozen=True, slots=True)
class Sensor:
    """A sensor that answered; `profiles` name it."""

    address: str
    identity: Identity | None
    profiles: tuple[str, ...]


@dataclass(slots=True)
class Line:
    """What is known of the adapter and who is behind it; grows while the sweep runs."""

    break_by: BreakBy = "adapter"
    echo: bool = False
    sensors: list[Sensor] = field(default_factory=list)


def named_by(identity: Identity, profiles: Sequence[tuple[str, Sdi12Profile]]) -> tuple[str, ...]:
    """The profiles that name a sensor of this identity."""
    return tuple(name for name, profile in profiles if any(known.names(identity) for known in profile.identified_by))


class Sdi12Sweep:
    """One sweep of one adapter; `goes_on` is asked before each address."""

    def __init__(
        self,
        probe: SerialProbe,
        profiles: Sequence[tuple[str, Sdi12Profile]],
        goes_on: Callable[[str], bool],
        on_found: Callable[[Sensor], None],
        first_s: float = FIRST_S,
        addresses: str = ADDRESSES,
    ) -> None:
        self._probe, self._profiles = probe, profiles
        self._goes_on, self._on_found = goes_on, on_found
        self._first_s, self._addresses = first_s, addresses
        self.line = Line()
        self.asked = 0

    def anybody(self) -> bool:
        """Whether something answers; notes who has to make the break."""
        self._probe.use(SETTING)
        ways: tuple[BreakBy, ...] = ("adapter", "port")
        for break_by in ways:
            self.line.break_by = break_by
            if any(self._ask(command) is not None for command in (b"?!", b"0!")):
                return True
        self.line.break_by = "adapter"
        return False

    def sweep(self) -> None:
        """Asks every address who it is."""
        self._probe.use(SETTING)
        for address in self._addresses:
            if not self._goes_on(address):
                return
            sensor = self._identify(address)
            if sensor:
                self.line.sensors.append(sensor)
                self._on_found(sensor)

    def _identify(self, address: str) -> Sensor | None:
        """The sensor; without an identity when what came was damaged each time, or was none."""
        heard: bytes | None = None
        for _ in range(TRIES):
            heard = self._ask(f"{address}I!".encode())
            if heard is None:
                return None
            body = check_reply(address, heard, with_crc=False)
            identity = None if isinstance(body, str) else parse_identity(body)
            if identity:
                return Sensor(address, identity, named_by(identity, self._profiles))
        return Sensor(address, None, ()) if heard and heard[:1] == address.encode() else None

    def _ask(self, command: bytes) -> bytes | None:
        """The line that answers; None for silence. An echo is taken off and noted."""
        self.asked += 1
        if self.line.break_by == "port":
            self._probe.send_break(SPACING_S, MARKING_S)
        until_s = time.monotonic() + len(command) * SETTING.char_s + self._first_s
        heard = self._probe.talk(command, until_s)
        if heard.startswith(command):
            self.line.echo = True
            heard = heard[len(command) :]
        heard = heard.strip(b"\x00\r\n")
        return heard or None
