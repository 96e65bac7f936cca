"""Time series: one protocol, SQLite embedded or InfluxDB.

`open_store` takes an address and imports the implementation that it names, and only that one.
"""

from __future__ import annotations

from pathlib import Path

from collectors.store.protocol import (
    Inventory,
    Level,
    Movable,
    PartlyCommitted,
    Point,
    ReadingsRejected,
    Store,
    StoreDamaged,
    StoreError,
    StoreMisconfigured,
    StoreUnavailable,
    Window,
)
from makiba.words import nearest

__all__ = [
    "Inventory",
    "Level",
    "Movable",
    "PartlyCommitted",
    "Point",
    "ReadingsRejected",
    "Store",
    "StoreDamaged",
    "StoreError",
    "StoreMisconfigured",
    "StoreUnavailable",
    "Window",
    "open_store",
]

FORMS = "sqlite:PATH, influx+http(s)://HOST:PORT/DATABASE or influx+http(s)://HOST:PORT/BUCKET?api=2&org=ORG"


def open_store(url: str, *, user: str = "", password: str | None = None, token: str | None = None) -> Store:
    """The store at `url`. An InfluxDB need not be there yet; `check` tells.

    `StoreMisconfigured` when the address is none; `StoreUnavailable` when a SQLite file is locked for too long.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite":
        path = rest.removeprefix("//")
        if not path or path == ":memory:":
            raise StoreMisconfigured("store sqlite: has no path; expected sqlite:/a/path/store.db")
        from collectors.store.sqlite import SqliteStore

        return SqliteStore(Path(path).expanduser())
    if scheme in ("influx+http", "influx+https"):
        from collectors.store.influx import open_influx

        return open_influx(url.removeprefix("influx+"), user=user, password=password, token=token)
    hint = nearest(scheme, ("sqlite", "influx+http", "influx+https"))
    raise StoreMisconfigured(f"store {scheme[:40]!r} is unknown{hint}; expected {FORMS}")
