"""Root causes: what stands above what, so that one problem is one alert.

A subject is measured by a device, a device hangs on a bus, a bus on a gateway. A rule names under `explained_by` the
rules whose problem, above or in the same place, explains its own: while such a problem is there, or may be before
long, the alert below is not opened. It opens by itself when the one above is over and it is still there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from analytics.farm import Farm
from makiba.rule import About, Rule

Key = tuple[str, str]
"""A rule's name and a subject."""


def above(farm: Farm, about: About, subject: str) -> dict[About, str]:
    """What `subject` hangs on, by level: its device, bus and gateway as far as they are known."""
    found: dict[About, str] = {}
    if about == "bus":
        found["gateway"] = subject.partition(".")[0]
    elif about != "gateway" and (device := farm.device_of(subject)):
        if about == "subject":
            found["device"] = device.name
        found |= {"bus": device.bus, "gateway": device.gateway}
    return found


def below(farm: Farm, about: About, subject: str) -> list[str]:
    """The devices that are not watched while `subject` is silent, by name."""
    if about == "bus":
        return sorted(d.name for d in farm.devices.values() if d.bus == subject)
    if about == "gateway":
        return sorted(d.name for d in farm.devices.values() if d.gateway == subject)
    return []


def explanation(
    farm: Farm, rule: Rule, subject: str, rules: Mapping[str, Rule], active: Collection[Key]
) -> Key | None:
    """The problem above that explains `rule` on `subject`: the first of `explained_by` that is in `active`."""
    if not rule.explained_by:
        return None
    upward = above(farm, rule.about, subject)
    for name in rule.explained_by:
        if name not in rules:
            continue
        about = rules[name].about
        if about == "subject":
            # What the mains supply is all of the farm, wherever the meter hangs.
            everywhere = rules[name].role == "mains"
            parents = [
                s for n, s in active if n == name and (everywhere or s == subject or _together(farm, s, subject))
            ]
        else:
            parents = [upward[about]] if about in upward else []
        for parent in parents:
            if (name, parent) in active:
                return name, parent
    return None


def _together(farm: Farm, one: str, other: str) -> bool:
    """Whether both stand in the same place."""
    here, there = farm.place_of(one), farm.place_of(other)
    return here is not None and there is not None and here.place == there.place
