"""Which fault comes when: drawn from a seed beforehand, so that a run can be repeated. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` on `target` from `at_s` for `lasts_s`; `amount` is what a delay or a clock step is, in seconds."""

    at_s: float
    kind: str
    target: str
    lasts_s: float
    amount: float = 0.0


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    weight: float
    targets: str
    lasts_s: tuple[float, float]
    stores: str = "sqlite influx1 influx2"


# A target that is a process is a resource: it is not killed and stopped at once. Others have a resource of their own.
_KINDS: Final = (
    _Kind("kill", 10, "gateways", (0, 4)),
    _Kind("kill", 2, "broker", (0, 6)),
    _Kind("kill", 4, "collectors", (0, 8)),
    _Kind("kill", 1, "relay", (0, 3)),
    _Kind("kill", 2, "influxd", (0.5, 20), "influx1 influx2"),
    _Kind("stop", 4, "gateways", (1, 8)),
    _Kind("stop", 1, "broker", (1, 8)),
    _Kind("stop", 2, "collectors", (1, 10)),
    _Kind("stop", 0.5, "relay", (1, 5)),
    _Kind("stop", 1, "influxd", (1, 25), "influx1 influx2"),
    _Kind("kill-both-collectors", 1, "town", (3, 30)),
    _Kind("kill-everything", 0.7, "town", (0.5, 3)),
    _Kind("store-locked", 2, "store", (1, 15), "sqlite"),
    _Kind("store-read-only", 1, "store", (3, 15), "sqlite"),
    _Kind("disk-full", 1.5, "disk", (3, 25)),
    _Kind("loss", 4, "links", (10, 60)),
    _Kind("loss", 0.7, "hub", (5, 20)),
    _Kind("cut-in", 2, "links", (5, 45)),
    _Kind("cut-out", 2, "links", (5, 45)),
    _Kind("link-down", 2, "links", (20, 180)),
    _Kind("delay", 2, "delays", (5, 40)),
    _Kind("clock-step", 3, "clocks", (0, 0)),
)

EARLIEST_OFFSET_S, LATEST_OFFSET_S = -600.0, 2400.0


def plan(seed: int, seconds: float, every_s: float, store: str, gateways: int) -> list[Fault]:
    """Faults that begin and end within `seconds`, one each `every_s` on average, each kind once or more."""
    chance = random.Random(seed)
    kinds = [kind for kind in _KINDS if store in kind.stores.split()]
    count = max(round(seconds / every_s), len(kinds))
    drawn = [*kinds, *chance.choices(kinds, [kind.weight for kind in kinds], k=count - len(kinds))]
    chance.shuffle(drawn)
    busy: dict[str, float] = {}
    faults = []
    for number, kind in enumerate(drawn):
        at_s = (number + chance.random()) * seconds / count
        longest_s = min(kind.lasts_s[1], 0.15 * seconds)
        lasts_s = min(chance.uniform(kind.lasts_s[0], longest_s), seconds - at_s) if longest_s else 0.0
        target = chance.choice(_targets(kind.targets, gateways))
        resources = _resources(kind.name, target)
        if any(busy.get(resource, 0.0) > at_s for resource in resources):
            continue
        busy.update(dict.fromkeys(resources, at_s + max(lasts_s, 0.0) + 0.5))
        faults.append(Fault(at_s, kind.name, target, max(lasts_s, 0.0), _amount(kind.name, chance)))
    return faults


def _targets(kind: str, gateways: int) -> Sequence[str]:
    if kind in ("gateways", "links", "clocks"):
        return [f"gw-{number}" for number in range(gateways)]
    return {"collectors": ("collector-1", "collector-2"), "delays": ("relay",)}.get(kind, (kind,))


def _resources(kind: str, target: str) -> list[str]:
    if kind == "kill-both-collectors":
        return ["collector-1", "collector-2"]
    if kind == "store-read-only":
        return ["store", "collector-1", "collector-2"]
    if kind in ("loss", "cut-in", "cut-out", "link-down"):
        return [f"link of {target}"]
    return [f"{kind} of {target}" if kind in ("delay", "clock-step") else target]


def _amount(kind: str, chance: random.Random) -> float:
    if kind == "delay":
        return chance.uniform(0.1, 2.0)
    if kind != "clock-step":
        return 0.0
    small, large = chance.uniform(-30, 30), chance.uniform(EARLIEST_OFFSET_S, LATEST_OFFSET_S)
    return chance.choice((0.0, small, small, large))
