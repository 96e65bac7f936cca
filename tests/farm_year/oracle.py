"""The conditions that matter, on the true values: where milk is really warm, and how long anything has held."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.farm_year.weather import Array
from tests.farm_year.year import Year

Mask = npt.NDArray[np.bool_]


def spans(mask: Mask, join: int = 0) -> list[tuple[int, int]]:
    """Where `mask` holds, as (first minute, one after the last); gaps of up to `join` minutes belong to it."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    found: list[tuple[int, int]] = []
    for start, stop in edges.reshape(-1, 2).tolist():
        if found and start - found[-1][1] <= join:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return found


def lasting(mask: Mask, minutes: int) -> Mask:
    """Where `mask` has held for so long without a gap."""
    run = np.zeros(len(mask), np.int64)
    index = np.arange(len(mask))
    broken = np.where(mask, -1, index)
    np.maximum.accumulate(broken, out=broken)
    run = index - broken
    return np.asarray(mask & (run >= minutes))


def _since(mask: Mask) -> Array:
    """Minutes since `mask` was last true; large before the first time."""
    index = np.arange(len(mask))
    last = np.where(mask, index, -10_000)
    np.maximum.accumulate(last, out=last)
    return (index - last).astype(float)


@dataclass(frozen=True)
class Oracle:
    """The conditions for milk, on the milk itself."""

    late: Mask  # more than 10 °C an hour after milking, or 4.4 °C two hours after
    warm: Mask  # more than 5 °C, in nobody's time for cooling
    blend: Mask  # more than 10 °C while milk is added to milk
    load: Array  # degree-minutes above 4 °C since the last pick-up


def oracle(year: Year, margin_c: float = 0.0) -> Oracle:
    """`margin_c`: how much earlier, as a sensor may read so much more than there is."""
    tank, plan = year.truth.tank, year.plan
    milk, volume = tank.milk_c + margin_c, tank.volume_m3
    there = volume > 0.06 * plan.tank_m3
    filled = np.minimum(_since(~there), 10_000)
    if plan.kind == "robot":
        warm = there & (milk > 5.0) & (filled > 240)  # the first litres do not cover the floor
        return Oracle(warm, warm, there & (milk > 10) & (filled > 240), _load(year))
    ended = _since(tank.milking > 0)
    calm = tank.milking == 0
    late = there & calm & (((ended > 60) & (milk > 10)) | ((ended > 120) & (milk > 4.4)))
    warm = there & calm & (ended > 120) & (milk > 5.0)
    first = np.zeros(plan.minutes, bool)
    for start, stop in year.life.milkings:
        if volume[max(0, start - 2)] < 0.04 * plan.tank_m3:
            first[start:stop] = True
    return Oracle(late, warm, there & (tank.milking > 0) & ~first & (milk > 10), _load(year))


def _load(year: Year) -> Array:
    above = np.clip(year.truth.tank.milk_c - 4.0, 0, None) * (year.truth.tank.volume_m3 > 0.03)
    total = np.cumsum(above)
    base = np.zeros(len(above))
    for _, stop in year.life.pickups:
        base[stop:] = total[min(stop, len(total) - 1)]
    return total - base
