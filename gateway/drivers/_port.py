"""A serial port for the line drivers: opened, read with a deadline, kept open with back-off."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Literal

from pydantic import Field

from gateway.profile import Serial, Strict
from gateway.schedule import line_back_off_s


class PortOptions(Strict):
    """A serial port. What is left out is taken from the profile."""

    port: str = Field(min_length=1, description="A path that stays the same: /dev/serial/by-path/…")
    baud: int | None = Field(default=None, ge=50, le=4_000_000)
    parity: Literal["none", "even", "odd"] | None = None
    data_bits: Literal[7, 8] | None = None
    stop_bits: Literal[1, 2] | None = None


class Port:
    """An open port; `OSError` when it cannot be opened, or is gone. `heard` is whether anything ever came."""

    def __init__(self, options: PortOptions, shipped: Serial) -> None:
        import serial  # a gateway without serial lines does not need it

        self.heard = False
        self.path = options.port
        self._serial: Any = serial.Serial(
            options.port,
            baudrate=options.baud or shipped.baud,
            bytesize=options.data_bits or shipped.data_bits,
            parity={"none": "N", "even": "E", "odd": "O"}[options.parity or shipped.parity],
            stopbits=options.stop_bits or shipped.stop_bits,
            timeout=0,
            exclusive=True,
        )

    def __enter__(self) -> Port:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._serial.close()

    async def read(self, within_s: float | None) -> bytes:
        """What came; empty when nothing did within `within_s`."""
        loop, fd, ready = asyncio.get_running_loop(), self._serial.fileno(), asyncio.Event()
        loop.add_reader(fd, ready.set)
        try:
            async with asyncio.timeout(within_s):
                while True:
                    await ready.wait()
                    ready.clear()
                    try:
                        data = os.read(fd, 4096)
                    except BlockingIOError:
                        continue
                    if not data:
                        raise OSError(f"{self.path} is gone")  # the adapter was pulled out
                    self.heard = True
                    return data
        except TimeoutError:
            return b""
        finally:
            loop.remove_reader(fd)

    async def drain(self, quiet_s: float, at_most_s: float) -> None:
        """Reads away what comes until the line was quiet for `quiet_s`."""
        end_s = time.monotonic() + at_most_s
        while time.monotonic() < end_s and await self.read(quiet_s):
            pass

    def write(self, data: bytes) -> None:
        """Hands a short command to the port."""
        if os.write(self._serial.fileno(), data) != len(data):
            raise OSError(f"{self.path} takes nothing")

    async def send_break(self, spacing_s: float, marking_s: float) -> None:
        """Holds the line in the spacing state, then in the marking one."""
        self._serial.break_condition = True
        await asyncio.sleep(spacing_s)
        self._serial.break_condition = False
        await asyncio.sleep(marking_s)


async def keep_open(
    open_port: Callable[[], Port], use: Callable[[Port], Awaitable[None]], say_down: Callable[[str], None]
) -> None:
    """Opens the port, uses it until it breaks, and again with back-off, for ever."""
    chance = random.Random()  # noqa: S311 (jitter, not a secret)
    failures = 0
    while True:
        try:
            with open_port() as port:
                try:
                    await use(port)
                finally:
                    failures = 0 if port.heard else failures
        except OSError as error:
            say_down(str(error))
        failures += 1
        await asyncio.sleep(line_back_off_s(failures, chance.random()))
