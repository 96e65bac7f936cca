"""Drivers: a module each, found by looking into this folder."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module

from gateway.driver import Driver


@cache
def drivers() -> Mapping[str, Driver]:
    """Every kind of bus, by its key in the gateway file. A module whose name begins with `_` holds no driver."""
    found: dict[str, Driver] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        if not module.name.startswith("_"):
            for driver in import_module(f"{__name__}.{module.name}").DRIVERS:
                found[driver.kind] = driver
    return found
