"""Plays a story of a wire: a driver runs on pseudo-terminals, the far end follows a script, readings are kept."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import tty
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.clock import Clock
from gateway.driver import Bus
from gateway.drivers import drivers
from gateway.record import Recorder
from gateway.site import load_gateway
from makiba.reading import Reading
from tests.parts import PATIENCE

WITHIN_S = 8.0
PACE_S = 0.015
"""Between two things that an instrument says: no real one is faster."""


@dataclass
class Kept:
    """What was recorded, in order."""

    readings: list[Reading] = field(default_factory=list)

    def keep(self, readings: Sequence[Reading]) -> None:
        self.readings += readings

    def by_series(self) -> dict[str, list[float | str]]:
        found: dict[str, list[float | str]] = {}
        for reading in self.readings:
            found.setdefault(f"{reading.series.subject}/{reading.series.quantity}", []).append(reading.value)
        return found

    def values(self, subject: str, quantity: str) -> list[float | str]:
        return self.by_series().get(f"{subject}/{quantity}", [])

    async def wait_for(self, what: Any, within_s: float = WITHIN_S, say: Any = None) -> None:
        """Until `what(self)` holds."""
        end_s = asyncio.get_running_loop().time() + within_s * PATIENCE
        while not what(self):
            if asyncio.get_running_loop().time() > end_s:
                raise AssertionError(say() if say else f"not within {within_s} s; recorded: {self.by_series()}")
            await asyncio.sleep(0.005)


class FarEnd:
    """The instrument's end of a serial line."""

    def __init__(self) -> None:
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        self.path = os.ttyname(self._slave)
        self.got = b""

    def send(self, data: bytes) -> None:
        os.write(self.master, data)

    async def says(self, data: bytes) -> None:
        """The same, and no faster than a real instrument says the next thing."""
        self.send(data)
        await asyncio.sleep(PACE_S)

    async def opened(self) -> None:
        """Until the driver has the port open: what came before is thrown away by the system."""
        end_s = asyncio.get_running_loop().time() + WITHIN_S
        while sum(_leads_to(fd, self.path) for fd in os.listdir("/proc/self/fd")) < 2:
            assert asyncio.get_running_loop().time() < end_s, f"nobody opened {self.path}"
            await asyncio.sleep(0.002)

    async def expect(self, data: bytes) -> None:
        end_s = asyncio.get_running_loop().time() + WITHIN_S
        while len(self.got) < len(data):
            try:
                self.got += os.read(self.master, 4096)
            except BlockingIOError:
                assert asyncio.get_running_loop().time() < end_s, f"expected {data!r}, came {self.got!r}"
                await asyncio.sleep(0.002)
        assert self.got.startswith(data), f"expected {data!r}, came {self.got!r}"
        self.got = self.got[len(data) :]

    def hang_up(self) -> None:
        """The adapter is pulled out."""
        if self.master >= 0:
            os.close(self.master)
            os.close(self._slave)
            self.master = -1

    close = hang_up


def _leads_to(fd: str, path: str) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}") == path
    except OSError:
        return False


def load_bus(file: Path, text: str) -> Bus:
    """The first bus of a gateway file that is written to `file`."""
    file.write_text(text, encoding="utf-8")
    return load_gateway(file, drivers()).buses[0]


class Running:
    """`async with Running(bus) as kept`: the driver runs meanwhile."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.kept = Kept()

    async def __aenter__(self) -> Kept:
        recorder = Recorder("shikaoi-001", Clock(), self.kept.keep)
        self._task = asyncio.ensure_future(self._bus.driver.run(self._bus, recorder))
        return self.kept

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        done = await asyncio.gather(self._task, return_exceptions=True)
        if not isinstance(done[0], asyncio.CancelledError):
            raise AssertionError(f"the driver ended: {done[0]!r}")


_STEP = re.compile(r"(?P<port>[a-z]*)(?P<way>[<>]) *(?P<what>.*)|wait (?P<series>\S+) = (?P<value>\S+)")


def expected_of(file: Path) -> dict[str, list[float | str]]:
    """The readings of an `expected.senml`, by series."""
    found: dict[str, list[float | str]] = {}
    base = ""
    for record in json.loads(file.read_text(encoding="utf-8")):
        base = record.get("bn", base)
        name = (base + record["n"]).partition("/")[2]
        found.setdefault(name, []).append(record["v"] if "v" in record else record["vs"])
    return found


def play(folder: Path, scratch: Path) -> tuple[dict[str, list[float | str]], dict[str, list[float | str]]]:
    """Plays the story in `folder`; what was recorded and what was expected."""
    text = (folder / "gateway.yaml").read_text(encoding="utf-8")
    for profile in folder.glob("*.yaml"):
        (scratch / profile.name).write_text(profile.read_text(encoding="utf-8"), encoding="utf-8")
    expected = expected_of(folder / "expected.senml")
    steps = (folder / "frames.hex").read_text(encoding="utf-8").splitlines()
    return asyncio.run(_play(text, steps, expected, scratch)), expected


async def _play(
    text: str, steps: list[str], expected: dict[str, list[float | str]], scratch: Path
) -> dict[str, list[float | str]]:
    ends = {name: FarEnd() for name in sorted(set(re.findall(r"PORT(?:_[A-Z]+)?\b", text)))}
    try:
        for name in sorted(ends, reverse=True):
            text = re.sub(rf"\b{name}\b", ends[name].path, text)
        async with Running(load_bus(scratch / "gateway.yaml", text)) as kept:
            for end in ends.values():
                await end.opened()
            for line in steps:
                await _step(line, ends, kept)
            await kept.wait_for(
                lambda k: sum(map(len, k.by_series().values())) >= sum(map(len, expected.values())),
                say=lambda: f"recorded {kept.by_series()}, expected {expected}",
            )
        return kept.by_series()
    finally:
        for end in ends.values():
            end.close()


async def _step(line: str, ends: dict[str, FarEnd], kept: Kept) -> None:
    line = line if '"' in line else line.partition("#")[0]
    if not line.strip() or line.startswith("#"):
        return
    found = _STEP.fullmatch(line.strip())
    assert found, f"{line!r} is no step"
    if found["series"]:
        await kept.wait_for(lambda k: found["value"] in map(str, k.by_series().get(found["series"], [])))
        return
    end = ends[f"PORT_{found['port'].upper()}" if found["port"] else "PORT"]
    what = found["what"].strip()
    data = ast.literal_eval(f"b{what}") if what.startswith('"') else bytes.fromhex(what)
    if found["way"] == "<":
        await end.says(data)
    else:
        await end.expect(data)
