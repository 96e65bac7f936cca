"""What can go wrong on the simulated farm, and the file that says what is wrong just now.

`faults.json` in the demo's folder holds `{"compressor-off": true, …, "set": {"nh3_ppm": 12.3}}`. It is replaced
whole, so that a reader never sees half of it; the simulators and the supervisor look at it several times a second.
`set` overrides a sensor's value as it stands: with it a check provokes a change that everybody can recognise.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from makiba.words import nearest


@dataclass(frozen=True, slots=True)
class Fault:
    """Something a visitor can switch on."""

    id: str
    ja: str
    en: str


FAULTS: Final = (
    Fault("compressor-off", "バルククーラーの 冷却機を 止める", "Stop the milk tank's compressor"),
    Fault("fan-off", "牛舎の 送風機を 止める", "Stop the barn's fan"),
    Fault("sensor-unplugged", "牛舎の 温湿度センサーを 抜く", "Unplug the barn's climate sensor"),
    Fault("probe-broken", "乳温の 測定棒を 抜く", "Unplug the milk probe"),
    Fault("bus-cut", "牛舎の センサーの 線を 切る", "Cut the barn's sensor cable"),
    Fault("gateway-power-cut", "ゲートウェイの 電源を 切る", "Cut the gateway's power"),
    Fault("pipe-heater-off", "水道管の ヒーターを 切る（冬）", "Switch the pipe heater off (winter)"),
    Fault("heat-wave", "猛暑に する（夏）", "Make it a very hot day (summer)"),
    Fault("tank-wash", "タンクを 洗う（警報は 出ません）", "Wash the tank (raises no alert)"),
)
BY_ID: Final[Mapping[str, Fault]] = {fault.id: fault for fault in FAULTS}


class UnknownFault(KeyError):
    """Nothing of that name can go wrong here; the text names the nearest."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class Now:
    """What is wrong now, and the sensor values that are set by hand."""

    on: frozenset[str] = frozenset()
    overrides: Mapping[str, float] = field(default_factory=dict)


def read_faults(path: Path) -> Now:
    """What `path` says; nothing is wrong when it is not there."""
    data = _load(path)
    overrides = data.get("set")
    numbers = overrides.items() if isinstance(overrides, dict) else ()
    return Now(
        frozenset(name for name in BY_ID if data.get(name) is True),
        {k: float(v) for k, v in numbers if isinstance(v, (int, float)) and not isinstance(v, bool)},
    )


def switch(path: Path, fault: str, on: bool) -> None:
    """Switches `fault` on or off; `UnknownFault` when there is none of that name."""
    if fault not in BY_ID:
        raise UnknownFault(f"no fault {fault!r}{nearest(fault, BY_ID)}")
    _change(path, lambda data: data.__setitem__(fault, on))


def set_value(path: Path, name: str, value: float | None) -> None:
    """Lets a sensor show `value` whatever the physics says; None lets go of it."""

    def change(data: dict[str, Any]) -> None:
        overrides = dict(data.get("set") or {})
        if value is None:
            overrides.pop(name, None)
        else:
            overrides[name] = value
        data["set"] = overrides

    _change(path, change)


def clear(path: Path) -> None:
    """Nothing is wrong any more."""
    _change(path, lambda data: data.clear())


class Watched:
    """The file, read again only when it was replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._now = Now()

    def now(self) -> Now:
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_ino)
        except FileNotFoundError:
            seen = (0, 0)
        if seen != self._seen:
            self._now, self._seen = read_faults(self._path), seen
        return self._now


def _change(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Reads, changes and replaces the file while nobody else does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        data = _load(path)
        change(data)
        handle, temp = tempfile.mkstemp(dir=path.parent, prefix=".faults.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(data, file)
        os.replace(temp, path)


def _load(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
