"""What a fault should lead to; from the true values, never from readings.

A label says which rules name the cause, from when on it can be seen (by the conditions of the domain's notes on
alerts) and until when it should be told: what those conditions must last, three polls, and ten minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from tests.farm_year.faults import Fault
from tests.farm_year.instruments import GATEWAY
from tests.farm_year.oracle import Mask, Oracle, lasting, oracle
from tests.farm_year.plan import DAY_MIN, MINUTE_MS
from tests.farm_year.year import Year

SLACK_MIN: Final = 10.0
NO_WASH: Final = frozenset({"tank.nowash", "tank.milknoclean", "ask.wash"})
WARM: Final = frozenset({"tank.hold", "tank.slow", "tank.blend", "tank.robot"})
WARM_TOO: Final = WARM | {"tank.load", "tank.cooltrend"}
MISSED: Final = frozenset({"milking.missed", "milk.missed", "vac.missed"})
LEAK: Final = frozenset({"water.leak"})


@dataclass(frozen=True, slots=True)
class Label:
    """`also`: what is true besides; every other alert while it lasts is one too many, if its place has to do with it.

    `visible_ms` None: nobody could see it on this farm. `subjects`: what the alert must be about; empty: anything.
    """

    kind: str
    target: str
    start_ms: int
    end_ms: int
    visible_ms: int | None
    deadline_ms: int
    expected: frozenset[str]
    also: frozenset[str] = frozenset()
    subjects: frozenset[str] = frozenset()


# --------------------------------------------------------------------------------------------------------- faults


def labels_of(year: Year) -> list[Label]:
    """A label for each fault that could be seen, and for each that could not, which then expects nothing."""
    seen = oracle(year)
    return [label for fault in year.faults for label in _label(year, seen, fault)]


def _label(year: Year, seen: Oracle, fault: Fault) -> Iterator[Label]:
    plan, truth = year.plan, year.truth
    polls = {i.name: i.every_s / 60 if not i.on_change else 10.0 for i in year.instruments}
    own = polls.get(fault.target, 0.0)

    def first(mask: Mask, until: int | None = None) -> int | None:
        stop = until or fault.end
        where = np.flatnonzero(mask[fault.start : stop])
        return fault.start + int(where[0]) if len(where) else None

    def tell(
        visible: float | None, lasts: float, expected: frozenset[str], also: frozenset[str] = frozenset(),
        subjects: frozenset[str] = frozenset(), poll: float = 1.0, tail: float = 60.0,
    ) -> Label:  # fmt: skip
        seen_ms = None if visible is None else plan.at(visible)
        deadline = plan.at((visible or 0) + lasts + 3 * poll + SLACK_MIN)
        end = plan.at(fault.end + tail)
        return Label(fault.kind, fault.target, plan.at(fault.start), end, seen_ms, deadline, expected, also, subjects)

    match fault.kind:
        case "compressor-off" | "compressor-weak":
            # What was warmed in its time takes a while to be cold again.
            when = first(seen.late | seen.warm | lasting(seen.blend, 10), fault.end)
            yield tell(when, 45 if plan.kind == "robot" else 30, WARM, WARM_TOO, tail=300)
        case "agitator-off":
            off = truth.tank.stirring == 0
            there = truth.tank.volume_m3 > 0.08 * plan.tank_m3
            when = first(lasting(off & (truth.tank.cooling > 0), 5) | lasting(off & there, 60))
            yield tell(
                when, 5, frozenset({"tank.agit"}), WARM_TOO | {"tank.freeze"}, poll=polls["stir-meter"], tail=300
            )
        case "fan-stuck":
            hot = (truth.barn.fan_wanted > 0) & (truth.barn.air_c > plan.fan_on_c + 2)
            when = first(lasting(hot, 15))
            yield tell(when, 2, frozenset({"fan.failed"}), frozenset({"heat.*"}), frozenset({fault.target}), own)
        case "pipe-frozen":
            when = first(truth.barn.pipe_c < 1.7)
            yield tell(when, 10, frozenset({"frz.pipe"}), frozenset({"frz.*"}), poll=polls["pipe-probe"], tail=300)
        case "fence-down":
            volts = truth.barn.fence_v
            rules = {"fence.off", "fence.low"} if volts[fault.span].mean() < 1800 else {"fence.low"}
            when = first(volts < (1800 if "fence.off" in rules else 2800))
            lasts = 10 if "fence.off" in rules else 30  # wet grass takes as much for a while
            yield tell(when, lasts, frozenset(rules), frozenset({"fence.*"}), poll=polls["fence-end"])
        case "vacuum-low":
            when = first(truth.tank.milking > 0)
            yield tell(when, 1, frozenset({"vac.low"}), frozenset({"vac.*"}), poll=polls["vacuum-gauge"])
        case "h2s":
            when = first(truth.barn.h2s > 10.6e-6)
            yield tell(when, 0, frozenset({"gas.h2s2"}), frozenset({"gas.*"}), poll=polls["pit-gas"])
        case "sensor-stuck":
            stuck = frozenset({"sensor.stuck", "sensor.fault"})
            # A wash that the probe did not feel is missed until the next one.
            after = next((w.start + 60 for w in year.life.washes if w.start > fault.end), fault.end)
            tail = after - fault.end if fault.target == "cooler-probe" else 60
            yield tell(_moves(year, fault), 36 * 60, stuck, subjects=_of(year, fault.target), tail=tail)
        case "sensor-drift":
            drift = 4.0 * fault.size * (np.arange(plan.minutes) - fault.start) / (fault.end - fault.start)
            calm = (
                (truth.tank.volume_m3 > 0.1 * plan.tank_m3) & (truth.tank.floor_c < 4.4) & (truth.tank.milking == 0)
            )
            when = first(lasting(calm & (truth.tank.floor_c + drift > 5.3), 20))
            yield tell(when, 30, WARM | {"sensor.drift", "sensor.fault"}, WARM_TOO, tail=300)
        case "sensor-spikes":
            yield tell(None, 0, frozenset(), frozenset({"sensor.*"}))
        case "sensor-unplugged":
            yield tell(fault.start, 5, frozenset({"sensor.fault"}), subjects=_of(year, fault.target), poll=own)
        case "sensor-silent":
            yield tell(fault.start, 5, frozenset({"device.silent"}), subjects=frozenset({fault.target}), poll=own)
        case "bus-down":
            yield tell(fault.start, 3, frozenset({"bus.down"}), subjects=frozenset({f"{GATEWAY}.{fault.target}"}))
        case "gateway-dead" | "link-lost":
            long = fault.end - fault.start > 15
            yield tell(fault.start if long else None, 12, frozenset({"gateway.silent", "gw.off"}))
        case "power-lost":
            yield from _power(year, fault, tell(fault.start, 1, frozenset({"pow.lost"}), WARM_TOO | MISSED, tail=300))
        case "water-stopped":
            hour = (np.arange(plan.minutes) % DAY_MIN) / 60
            thirsty = (truth.barn.inside > 0.5) & (hour > 5) & (hour < 21)
            stopped = np.zeros(plan.minutes, bool)
            stopped[fault.span] = True
            # Drinks come by chance: so long that a dozen of them would have come at a quiet time of day.
            quiet = 12 * 11 / (plan.cows * 90 * 0.46 / DAY_MIN)
            when = first(lasting(stopped & thirsty, max(60, round(quiet))))
            yield tell(when, 15, frozenset({"water.stop"}), poll=polls["water-meter"])
        case "leak":
            yield tell(_leaks(year, fault), 60, LEAK, poll=polls["water-meter"])
        case "milking-missed":
            usual = min(m + fault.start // DAY_MIN * DAY_MIN + d for m in plan.milking_at for d in (0, DAY_MIN)
                        if m + fault.start // DAY_MIN * DAY_MIN + d >= fault.start + 30)  # fmt: skip
            missed = not any(fault.start - 120 < s < usual + 90 for s, _ in year.life.milkings)
            yield tell(
                usual + 90 if missed and usual + 100 < fault.end else None, 30, MISSED, poll=polls["vacuum-gauge"]
            )
        case _:
            yield from _wash(year, fault, tell(None, 0, frozenset()))


def _moves(year: Year, fault: Fault) -> float | None:
    """From when on a value stands still that should move, by 20 times its noise on the first day."""
    channel = next(c for i in year.instruments if i.name == fault.target for c in i.channels)
    day = channel.truth[fault.start : fault.start + DAY_MIN]
    return float(fault.start) if np.ptp(day) > 20 * channel.noise else None


def _of(year: Year, device: str) -> frozenset[str]:
    return frozenset({device, *(s for i in year.instruments if i.name == device for s in i.subjects)})


def _power(year: Year, fault: Fault, label: Label) -> Iterator[Label]:
    if not year.plan.battery:
        gone = frozenset({"gateway.silent", "gw.off", "pow.lost"})
        yield Label(
            fault.kind, "no battery", label.start_ms, label.end_ms, label.visible_ms,
            label.visible_ms + round(25 * MINUTE_MS) if label.visible_ms else 0, gone, label.also,
        )  # fmt: skip
    elif "mains" in year.plan.sensors:
        yield label
    else:  # nobody measures it: what can be seen are its children
        yield Label(fault.kind, "unmeasured", label.start_ms, label.end_ms, None, 0, frozenset(), frozenset({"*"}))


def _leaks(year: Year, fault: Fault) -> float | None:
    """The end of the first three night hours in which more runs than the herd drinks; None for a drop in a river."""
    runs = year.truth.barn.water_l_min
    for day in range(fault.start // DAY_MIN, fault.end // DAY_MIN + 1):
        start = day * DAY_MIN + 60
        if fault.start <= start and start + 180 <= fault.end:
            night = runs[start : start + 180]
            before = runs[max(0, fault.start - 2 * DAY_MIN) : fault.start]
            hour = (np.arange(max(0, fault.start - 2 * DAY_MIN), fault.start) % DAY_MIN) / 60
            usual = before[(hour > 1) & (hour < 4)]
            if len(usual) and night.min() > 0 and night.mean() > 2 * usual.mean() + 1:
                return float(start + 180)
    return None


def _wash(year: Year, fault: Fault, label: Label) -> Iterator[Label]:
    plan, life = year.plan, year.life
    day = fault.start // DAY_MIN
    emptied = next((stop for start, stop in life.pickups if start // DAY_MIN == day), None)
    wash = next((w for w in life.washes if emptied is not None and 0 <= w.start - emptied < 720), None)
    if emptied is None or ("volume" not in plan.sensors and fault.kind != "wash-cold"):
        after = next(
            (w.start for w in life.washes if emptied is not None and w.start > emptied), fault.start + DAY_MIN
        )
        until_ms = plan.at(after + 60)  # nobody can tell that the tank was emptied
        yield Label(fault.kind, "", label.start_ms, until_ms, None, 0, frozenset(), NO_WASH)
        return
    poll = max(plan.polls_s[s] / 60 for s in ("tank", "volume", "drain") if s in plan.sensors)

    after = next((w.start for w in life.washes if w.start > emptied), fault.start + DAY_MIN)

    def tell(visible: float, lasts: float, expected: set[str], also: frozenset[str]) -> Label:
        return Label(
            fault.kind, "/".join(sorted(expected)),
            plan.at(fault.start), plan.at(max(fault.start + DAY_MIN, after + 60)),
            plan.at(visible), plan.at(visible + lasts + 3 * poll + SLACK_MIN), frozenset(expected), also,
        )  # fmt: skip

    if fault.kind == "wash-cold" and wash is not None:
        yield tell(wash.start + 4, wash.hot_min + 45, {"tank.washcold"}, NO_WASH)
        return
    if wash is None or wash.start > emptied + 80:
        yield tell(emptied + 60, 10, {"tank.nowash"}, NO_WASH)
    milk = np.flatnonzero(year.truth.tank.milking[emptied + 10 :] > 0)
    if wash is None and len(milk):
        yield tell(emptied + 10 + int(milk[0]), 15, {"tank.milknoclean"}, NO_WASH)
