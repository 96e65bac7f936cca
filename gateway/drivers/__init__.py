"""Drivers: a module each, found by looking into this folder."""

from __future__ import annotations

import pkgutil
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path

from gateway.driver import Driver


@cache
def drivers() -> Mapping[str, Driver]:
    """Every kind of bus, by its key in the gateway file. A module whose name begins with `_` holds no driver."""
    return dict(_of(_modules()))


def drivers_named(kinds: Collection[str]) -> Mapping[str, Driver]:
    """At least these kinds of bus, as far as there are any; the modules of others are not imported if possible."""
    # A guess which module it is saves imports; a wrong one costs some, and nothing else.
    sources = {name: Path(folder, f"{name}.py") for folder in __path__ for name in _modules()}
    likely = {name for name, file in sources.items() if file.is_file() and _mentions(file.read_text(), kinds)}
    found: dict[str, Driver] = {}
    for name in sorted(_modules(), key=lambda n: n not in likely):
        if name not in likely and found.keys() >= set(kinds):
            break
        found.update(_of([name]))
    return found


def _modules() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def _mentions(source: str, words: Collection[str]) -> bool:
    return any(f'kind = "{word}"' in source for word in words)


def _of(modules: Collection[str]) -> Iterator[tuple[str, Driver]]:
    for name in modules:
        for driver in import_module(f"{__name__}.{name}").DRIVERS:
            yield driver.kind, driver
