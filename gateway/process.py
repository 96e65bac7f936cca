"""The gateway's own process: what it needs while it runs, and nothing of what only its command line needs.

`makiba gateway run` becomes this program by execve: the process id, the open files and the place under systemd stay
the same. What a command line loads (typer, the technician's tools, every driver there is) is not held in memory for
months. Price: Python starts twice, about 0.1 s here.

Its command line reads `python -P -m gateway run FILE SOFTWARE`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.site import Gateway

LATER: Mapping[str, tuple[str, ...]] = {
    "urllib.request": (),  # paho looks for a proxy where PySocks is
    "cbor2": (),  # SenML in CBOR is for other senders
    "difflib": ("get_close_matches",),  # for who has misspelled a word
    "importlib.metadata": ("entry_points",),  # pydantic looks for its plugins, which are off
}
"""Modules that are imported on the way and not used here, 5 MiB together; and functions that are taken by name."""
_ENV = {
    "MALLOC_ARENA_MAX": "1",  # one thread's leftovers serve the others
    "PYDANTIC_DISABLE_PLUGINS": "__all__",
}


def become(file: Path) -> None:
    """Goes on as the gateway's own process; does not return."""
    found = os.pathsep.join(path for path in sys.path if path)  # what is imported here is imported there
    arguments = [sys.executable, "-P", "-m", "gateway", "run", str(file), software()]
    os.execve(sys.executable, arguments, {**os.environ, **_ENV, "PYTHONPATH": found})  # noqa: S606 (ourselves)


def software() -> str:
    """Name and version, as the status says it."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"makiba {version('makiba')}"
    except PackageNotFoundError:
        return "makiba"


def main(file: Path, known_as: str = "") -> None:
    """Runs until SIGTERM. A wrong file: every error on a line of its own, and exit code 2.

    `known_as` is what `software` said in a process that had to know more.
    """
    for name, functions in LATER.items():
        _load_when_used(name, functions)
    import asyncio
    import gc
    import logging

    from gateway.service import serve
    from makiba.located_yaml import ConfigErrors

    try:
        gateway = _load(file)
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        raise SystemExit(2) from None
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format=f"%(asctime)s %(levelname)s {gateway.site} {gateway.name} %(message)s",
    )
    gc.collect()
    gc.freeze()  # what was loaded stays; there is no point in looking through it again and again
    asyncio.run(serve(gateway, known_as or software()))


def _load(file: Path) -> Gateway:
    from gateway.drivers import drivers, drivers_named
    from gateway.site import check_files, kinds_named, load_gateway
    from makiba.located_yaml import ConfigErrors

    try:
        gateway = load_gateway(file, drivers_named(kinds_named(file)))
    except ConfigErrors:
        gateway = load_gateway(file, drivers())  # what is wrong is told with all that could be meant
    check_files(gateway)
    return gateway


def _load_when_used(name: str, functions: Sequence[str]) -> None:
    """Has `import name` give a stand-in that becomes the module when something of it is asked for (PEP 562).

    `functions` may be taken from it without that; it becomes the module when one is called.
    """
    if name in sys.modules:
        return
    stand_in = ModuleType(name)
    stand_in.__spec__ = importlib.util.find_spec(name)

    def load(asked: str) -> Any:
        if asked.startswith("__"):
            raise AttributeError(asked)  # the import system looks around
        if sys.modules[name] is stand_in:
            del sys.modules[name]
        vars(stand_in).update(vars(importlib.import_module(name)))
        return getattr(stand_in, asked)

    for function in functions:
        setattr(stand_in, function, lambda *given, _of=function, **named: load(_of)(*given, **named))
    stand_in.__getattr__ = load  # type: ignore[method-assign]
    sys.modules[name] = stand_in
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, stand_in)
