"""What error patterns say of a bus's wiring: quick polls of each device, and what to do. `judge` is pure.

What the patterns mean: nothing at all from anybody is power, swapped wires or speed; bytes that are never sound are
speed, parity or swapped wires; some damaged replies are reflections (termination), missing bias or noise; one device
among good ones is its own address, power or stub. Source: TI application note SLLA272 (RS-485 design guide), and
the Modbus serial line guide 1.02, section 3.4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gateway.driver import Bus
from gateway.drivers._modbus_frames import ask
from gateway.drivers.modbus import reads_of, serial_settings
from gateway.tools.finding import Finding
from gateway.tools.language import Say
from gateway.tools.probe import Probe, SerialProbe, Setting

GIVEN_UP = 3
"""Silent so often from the start, a device is not waited for any longer."""


@dataclass(slots=True)
class Pattern:
    """How one device answered."""

    name: str
    unit_id: int
    states: Counter[str] = field(default_factory=Counter)
    echoes: int = 0

    @property
    def asked(self) -> int:
        return self.states.total()

    @property
    def answered(self) -> int:
        return self.states["ok"] + sum(n for s, n in self.states.items() if s.startswith("exception-"))

    @property
    def damaged(self) -> int:
        return self.states["crc"] + self.states["invalid"]


def setting_of(bus: Bus) -> Setting:
    """The line's setting in the gateway file."""
    found = serial_settings(bus)
    parity = {"N": "none", "E": "even", "O": "odd"}[found["parity"]]
    return Setting(found["baudrate"], parity, found["stopbits"])  # type: ignore[arg-type]


def poll_all(bus: Bus, probe: Probe, polls: int) -> list[Pattern]:
    """Each device's first read, `polls` times, taking turns."""
    patterns = [Pattern(d.name, d.options.unit_id) for d in bus.devices]
    for _ in range(polls):
        for device, pattern in zip(bus.devices, patterns, strict=True):
            if pattern.asked >= GIVEN_UP and pattern.states["timeout"] == pattern.asked:
                continue
            request = ask(pattern.unit_id, reads_of(device)[0])
            reply = probe.ask(request, device.profile.timeout.total_seconds())
            pattern.states[reply.state] += 1
            if isinstance(probe, SerialProbe) and probe.heard.startswith(request.rtu):
                pattern.echoes += 1
    return patterns


def judge(bus: str, patterns: Sequence[Pattern], say: Say) -> Iterator[Finding]:
    """What it means, and what to do."""
    what = say(f"線 {bus}", f"wiring {bus}")
    asked, answered = sum(p.asked for p in patterns), sum(p.answered for p in patterns)
    damaged = sum(p.damaged for p in patterns)
    if any(p.echoes for p in patterns):
        yield Finding(
            "ok", what, say("アダプターが 自分の 声を 聞いています（問題なし）", "the adapter hears itself; harmless")
        )
    if answered == 0:
        yield from _nobody(what, damaged, say)
        return
    share = damaged / asked
    touched = [p for p in patterns if p.damaged]
    if share > 0 and (len(touched) > 1 or len(patterns) == 1):
        yield Finding(
            "FAIL" if share > 0.1 else "warn",
            what,
            say(f"答えの {share:.0%} が 壊れています", f"{share:.0%} of the replies are damaged"),
            say(
                "両端に 120Ω、GND を つなぐ、動力線から 離す、シールドは 片側だけ アース",
                "120 Ω at both ends, connect GND, away from motor cables, shield earthed at one end",
            ),
        )
    elif touched:
        yield Finding(
            "warn",
            what,
            say(f"{touched[0].name} だけ 壊れた 答え", f"damaged replies from {touched[0].name} only"),
            say("その 端子と 枝線を 見る", "look at its terminals and its stub of cable"),
        )
    else:
        yield Finding("ok", what, say(f"{asked} 回中 {answered} 回 答えました", f"{answered} of {asked} answered"))
    for pattern in patterns:
        yield from _one(pattern, what, say)


def _nobody(what: str, damaged: int, say: Say) -> Iterator[Finding]:
    if damaged:
        yield Finding(
            "FAIL",
            what,
            say("信号は ありますが 読めません", "there are bytes, and none makes sense"),
            say(
                "速度と パリティを 見る（scan）。A と B を 入れかえる", "check speed and parity (scan); swap A and B"
            ),
        )
    else:
        yield Finding(
            "FAIL",
            what,
            say("だれも 答えません", "nobody answers"),
            say(
                "センサーの 電源 → A と B を 入れかえる → GND → 速度（scan）",
                "power of the sensors, then swap A and B, then GND, then speed (scan)",
            ),
        )


def _one(pattern: Pattern, what: str, say: Say) -> Iterator[Finding]:
    name = f"{what} {pattern.name}"
    silent = pattern.states["timeout"]
    refused = [s for s in pattern.states if s.startswith("exception-")]
    if silent == pattern.asked:
        yield Finding(
            "FAIL",
            name,
            say("答えません（ほかは 答えます）", "is silent, others answer"),
            say(f"電源と 番号（{pattern.unit_id}）を 見る", f"check its power and its address ({pattern.unit_id})"),
        )
    elif silent:
        yield Finding(
            "warn",
            name,
            say(f"{pattern.asked} 回中 {silent} 回 黙りました", f"was silent {silent} times of {pattern.asked}"),
            say(
                "端子の ゆるみ、電圧、同じ 番号の 機器が ないか",
                "loose terminal, supply voltage, or two with one address",
            ),
        )
    for state in refused:
        yield Finding(
            "FAIL",
            name,
            say(f"断りました（{state}）", f"refuses ({state})"),
            say(
                "プロファイルが 違います（scan で 調べる）",
                "it is another instrument than its profile says; try scan",
            ),
        )
