"""Time series: one protocol, SQLite embedded or InfluxDB."""

from collectors.store.protocol import (
    Point,
    ReadingsRejected,
    Store,
    StoreError,
    StoreMisconfigured,
    StoreUnavailable,
    Window,
)

__all__ = [
    "Point",
    "ReadingsRejected",
    "Store",
    "StoreError",
    "StoreMisconfigured",
    "StoreUnavailable",
    "Window",
]
