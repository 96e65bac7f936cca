"""How hard soil holds its water: pF and kPa from volumetric water content by class, and water that plants can take.

Theory: van Genuchten (1980), Soil Sci. Soc. Am. J. 44, 892-898: with suction h in cm of water and m = 1 - 1/n,
(theta - residual) / (saturated - residual) = (1 + (alpha h)^n)^-m. pF is log10 of h.

**These are classes, not fields.** Two fields of one class differ by more than a rule's threshold: an answer comes
with the interval from the class's spread and the sensor's error, and around pF 2.5 that is 1 to 2 pF either way: by
class alone no rule can judge, it can only draw a chart. A farm that tells one point of its own (`through`: the
water content two days after a soaking rain is that of pF 1.8) brings it to about half a pF. A tensiometer measures
what is only estimated here; where there is one, use it.

Fails: in frozen soil (the sensor does not see ice: NaN below 0 ℃ where the temperature is given), in aggregated
soils with two families of pores (volcanic ash soils of this kind fit two added curves better; Seki and others 2023,
J. Jpn. Soc. Soil Phys. 155, 35-44), with stones, and in soil that dries and wets in turns (hysteresis, some 0.2
pF).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from analytics.derived.numbers import FloatArray, floats

FIELD_CAPACITY_PF: Final = 1.8
READILY_UP_TO_PF: Final = 3.0
WILTING_PF: Final = 4.2
DRIEST_PF: Final = 4.5
"""Drier than plants can use; what is drier still counts as this."""
KPA_OF_PF_0: Final = 0.0981
SENSOR_SD: Final = 0.03
"""A capacitive probe with its maker's calibration, m³/m³; in volcanic ash and peat rather 0.05 without their own."""
_OWN_POINT: Final = 0.5


@dataclass(frozen=True, slots=True)
class Retention:
    """Water retention of a soil: contents in m³/m³, `alpha_per_cm` in 1/cm; `spread` between fields (1 sd, m³/m³)."""

    residual: float
    saturated: float
    alpha_per_cm: float
    n: float
    spread: float
    sensor_sd: float
    source: str

    def __post_init__(self) -> None:
        if not 0 <= self.residual < self.saturated <= 1 or not self.n > 1 or not self.alpha_per_cm > 0:
            raise ValueError("no water retention curve: 0 <= residual < saturated <= 1, n > 1, alpha > 0")

    def water_content(self, pf: npt.ArrayLike) -> FloatArray:
        """Volumetric water content in m³/m³ at a pF; falls as pF rises."""
        suction = self.alpha_per_cm * 10.0 ** floats(pf)
        share = (1.0 + suction**self.n) ** -(1.0 - 1.0 / self.n)
        return floats(self.residual + (self.saturated - self.residual) * share)

    def pf(self, water_content: npt.ArrayLike) -> FloatArray:
        """pF at a volumetric water content, cut to 0..4.5: as wet as saturated is 0, drier than residual is 4.5."""
        content = floats(water_content)
        share = np.clip((content - self.residual) / (self.saturated - self.residual), 0.0, 1.0)
        with np.errstate(divide="ignore", over="ignore"):
            suction = (share ** (-1.0 / (1.0 - 1.0 / self.n)) - 1.0) ** (1.0 / self.n) / self.alpha_per_cm
            return floats(np.clip(np.log10(suction), 0.0, DRIEST_PF))


SOILS: Final[Mapping[str, Retention]] = {
    # No published table for Tokachi was found. A curve with the pores of a Japanese volcanic ash soil that gives the
    # one figure which was: 30 mm of readily available water in 15 cm (HRO 1992091), here between pF 1.8 and 3.0.
    "andosol": Retention(0.20, 0.65, 0.030, 1.40, 0.07, 0.05, "proposed; holds HRO 1992091's 30 mm in 15 cm"),
    # Loam and clay loam of a river plain, by texture.
    "brown-lowland": Retention(0.010, 0.439, 0.0314, 1.1804, 0.05, 0.03, "HYPRES, medium topsoil (Wösten 1999)"),
    # Decomposed peat under grass; raw peat holds up to 0.9.
    "peat": Retention(0.010, 0.766, 0.0130, 1.2039, 0.10, 0.05, "HYPRES, organic (Wösten 1999)"),
}
"""By class. HYPRES: Wösten, Lilly, Nemes, Le Bas (1999), Geoderma 90, 169-185, table 4, not read again. Spreads are
proposed, of the size of class functions' errors in the review of Vereecken and others (2010), Vadose Zone J. 9."""


@dataclass(frozen=True, slots=True)
class PfBand:
    """pF and the interval that it lies in nineteen times of twenty; each in the shape of the water contents."""

    value: FloatArray
    low: FloatArray
    high: FloatArray


def soil_pf(
    water_content: npt.ArrayLike,
    soil: Retention,
    *,
    soil_c: npt.ArrayLike | None = None,
    sensor_sd: float | None = None,
) -> PfBand:
    """pF from volumetric water content in m³/m³ with its interval; NaN where an input is, or the soil is frozen.

    `soil_c`: temperature at the probe. `sensor_sd`: the probe's error where it is known better than the class says.
    """
    content = floats(water_content)
    if soil_c is not None:
        content = np.where(floats(soil_c) > 0.0, content, np.nan)
    error = soil.sensor_sd if sensor_sd is None else sensor_sd
    half = 1.96 * float(np.hypot(soil.spread, error))
    return PfBand(soil.pf(content), soil.pf(content + half), soil.pf(content - half))


def through(soil: Retention, water_content: float, pf: float = FIELD_CAPACITY_PF) -> Retention:
    """The same curve moved so that it goes through one point of the field itself; its spread is halved.

    The point: two days after a rain that soaked it, or after thaw, a drained field is at pF 1.8. Raises ValueError
    for a point that moves the curve out of 0..1.
    """
    moved = water_content - float(soil.water_content(pf))
    residual, saturated = max(0.0, soil.residual + moved), soil.saturated + moved
    source = f"{soil.source}, moved through {water_content:g} at pF {pf:g}"
    return replace(soil, residual=residual, saturated=saturated, spread=soil.spread * _OWN_POINT, source=source)


def pf_to_kpa(pf: npt.ArrayLike) -> FloatArray:
    """Suction in kPa (positive): 0.0981 x 10^pF; pF 2.3 is 20, 2.5 is 31, 2.7 is 49 (HRO Kitami 1992)."""
    return floats(KPA_OF_PF_0 * 10.0 ** floats(pf))


def kpa_to_pf(suction_kpa: npt.ArrayLike) -> FloatArray:
    """pF of a suction in kPa, as tensiometers give it, positive; NaN at 0 and below."""
    suction = floats(suction_kpa)
    with np.errstate(divide="ignore", invalid="ignore"):
        return floats(np.where(suction > 0, np.log10(suction / KPA_OF_PF_0), np.nan))


def available_mm(
    water_content: npt.ArrayLike, soil: Retention, depth_m: float, *, up_to_pf: float = WILTING_PF
) -> FloatArray:
    """Water in mm that plants can take out of `depth_m` of soil until it is at `up_to_pf`; never below 0.

    To pF 4.2 it is all that they can, to 3.0 what comes readily. Off by `depth_m` x 1000 x spread (andosol, 15 cm:
    10 mm).
    """
    if not depth_m > 0:
        raise ValueError(f"depth_m is {depth_m}, and has to be more than 0")
    left = floats(water_content) - soil.water_content(up_to_pf)
    return floats(np.maximum(0.0, left) * depth_m * 1000.0)


def capacity_mm(soil: Retention, depth_m: float, *, up_to_pf: float = WILTING_PF) -> float:
    """The most of `available_mm` that drained soil holds: between pF 1.8 and `up_to_pf`."""
    return float(available_mm(soil.water_content(FIELD_CAPACITY_PF), soil, depth_m, up_to_pf=up_to_pf))
