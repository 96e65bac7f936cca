"""What `makiba gateway read` says: the bytes, each value from its raw number on, and what to do when it is bad."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.decode import Text, raw_number
from gateway.driver import Bus, Device, Explained, Point
from gateway.places import Place, Register
from gateway.registers import ModbusProfile
from gateway.tools.frames import Exchange, explain_frames
from gateway.tools.language import Say

_ADVICE = {
    "timeout": (
        "電源、A と B、番号、速度を 見る。makiba gateway scan が さがします",
        "check its power, A and B, its address and the speed; makiba gateway scan finds it",
    ),
    "crc": (
        "雑音。両端の 120Ω、GND、シールド。makiba gateway doctor が しらべます",
        "noise: 120 Ω at both ends, GND, shield; makiba gateway doctor looks closer",
    ),
    "invalid": (
        "値の 表が 違うか、同じ 番号の 機器が 2つ あります",
        "its map is another one, or two instruments have this address",
    ),
    "sentinel": ("センサーが 外れています。つなぎ直す", "it says that no probe is there: plug it in"),
    "out-of-range": (
        "ありえない値。配線か、値の 表（scale, type）を 見る",
        "cannot be true: check the probe's cable, then scale and type in the profile",
    ),
    "exception-1": ("プロファイルの table を 見る", "check 'table' in its profile"),
    "exception-2": ("プロファイルの 番地を 見る（1つ ずれ?）", "check the addresses in its profile (off by one?)"),
    "exception-3": ("max_registers を 小さく", "make max_registers smaller in its profile"),
}


def report(bus: Bus, device: Device, explained: Explained, say: Say) -> Iterator[str]:
    """Lines for a person."""
    exchanges: list[Exchange] = []
    if isinstance(device.profile, ModbusProfile):
        is_tcp = bus.driver.kind == "tcp" and bus.options.framing == "tcp"
        lines, exchanges = explain_frames(explained.frames, is_tcp=is_tcp, say=say)
        yield from lines
    else:
        yield from explained.frames
    for point, where, outcome in explained.values:
        name = point.quantity.names[say.language]
        yield f"{point.series.subject} {name}: {_shown(point, outcome, say)}   [{where}]"
        yield from _steps(device, point, exchanges, outcome, say)
        if isinstance(outcome, str) and outcome in _ADVICE and outcome != explained.state:
            yield "    → " + say(*_ADVICE[outcome])
    yield f"{device.name}: {explained.state}"
    if explained.state in _ADVICE:
        yield "→ " + say(*_ADVICE[explained.state])


def _shown(point: Point, outcome: float | str | Text | None, say: Say) -> str:
    if isinstance(outcome, Text):
        return outcome.text
    if isinstance(outcome, (int, float)):
        return point.quantity.shown(outcome)
    return say(f"値なし ({outcome})", f"no value ({outcome})")


def _steps(
    device: Device, point: Point, exchanges: Sequence[Exchange], outcome: float | str | Text | None, say: Say
) -> Iterator[str]:
    """Raw number, scale, unit; and the limits that a value without a number broke."""
    profile = device.profile
    if not isinstance(profile, ModbusProfile) or point.index >= len(profile.registers):
        return
    register = profile.registers[point.index]
    words = _words(register, profile.address(register), exchanges)
    if words is None or register.type == "ascii":
        return
    raw = raw_number(register)(words)
    unit = point.unit or register.unit or point.quantity.unit or ""
    scaled = raw * register.scale + register.offset
    how = f" × {register.scale:g}" if register.scale != 1 else ""
    how += f" {register.offset:+g}" if register.offset else ""
    equals = f"{how} = {scaled:.6g}" if how else ""
    yield f"    {say('生の値', 'raw')} {raw:g}{equals} {unit}".rstrip()
    if outcome == "sentinel":
        yield "    " + say(f"{raw:g} は「値なし」の 印", f"{raw:g} is its mark for 'no value'")
    elif outcome == "out-of-range":
        yield from _limits(register, point, say)


def _limits(register: Register, point: Point, say: Say) -> Iterator[str]:
    if register.valid_raw:
        low, high = register.valid_raw
        yield "    " + say(f"この 機器の 生の値は {low:g} … {high:g}", f"its raw values are {low:g} … {high:g}")
    quantity = point.quantity
    if quantity.lowest is not None and quantity.highest is not None:
        lowest, highest = quantity.shown(quantity.lowest), quantity.shown(quantity.highest)
        yield "    " + say(f"ありうる値は {lowest} … {highest}", f"can be {lowest} … {highest}")


def _words(place: Place, address: int, exchanges: Sequence[Exchange]) -> Sequence[int] | None:
    for exchange in exchanges:
        at = address - exchange.first
        if exchange.table == place.table and at >= 0 and at + place.width <= len(exchange.words):
            return exchange.words[at : at + place.width]
    return None
