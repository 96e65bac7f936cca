"""Many farms at a glance."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict

from api.shapes import Names, Shape
from makiba.data_class import DataClass

Severity = Literal["critical", "warning", "advisory", "info"]

_FARM: dict[str, Any] = {
    "site": "shikaoi-001",
    "name": {"ja": "鹿追牧場", "en": "Shikaoi farm"},
    "role": "coop",
    "classes": ["alerts", "tank", "technical"],
    "alerts": {"worst": "critical", "open": {"critical": 1}, "acknowledged": {"warning": 2}},
    "technical": {
        "gateways": 1, "offline": [], "devices": 12, "not_ok": 1,
        "worst": [{"device": "barn-1-climate", "state": "timeout", "since_ms": 1_758_466_800_000}],
    },
    "values": [
        {"data_class": "tank", "subject": "tank-1", "quantity": "milk_temperature",
         "name": {"ja": "乳温", "en": "milk temperature"}, "unit": "℃", "factor": 1.0, "offset": 0.0, "decimals": 1,
         "value": 3.9, "time_ms": 1_758_466_805_000, "state": "ok"}
    ],
}  # fmt: skip


class OpenAlerts(Shape):
    """Alerts that have not ended: the worst severity, and how many by severity; none of a severity is left out."""

    worst: Severity | None
    open: dict[Severity, int]
    acknowledged: dict[Severity, int]


class DeviceNotOk(Shape):
    """A device that says something else than `ok`, since when."""

    device: str
    state: str
    since_ms: int


class Technical(Shape):
    """How the farm's boxes are: gateways, those of them that are not online, devices, and how many are not ok.

    `worst`: the first few of these.
    """

    gateways: int
    offline: list[str]
    devices: int
    not_ok: int
    worst: list[DeviceNotOk]


class KeyValue(Shape):
    """The newest value of a series that says most about its class. `state`: what its subject says of itself."""

    data_class: DataClass
    subject: str
    quantity: str
    name: Names
    unit: str
    factor: float
    offset: float
    decimals: int
    value: float
    time_ms: int
    state: str | None


class FarmOverview(Shape):
    """A farm at a glance. What its classes do not show is null or left out."""

    site: str
    name: Names
    role: str
    classes: list[DataClass]
    alerts: OpenAlerts | None
    technical: Technical | None
    values: list[KeyValue]

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [_FARM]})


class OverviewPage(Shape):
    """Farms by id; `time_ms` is the centre's clock. `next` is the `cursor` that goes on, null at the end."""

    time_ms: int
    rows: list[FarmOverview]
    next: str | None

    model_config = ConfigDict(
        frozen=True, extra="forbid",
        json_schema_extra={"examples": [{"time_ms": 1_758_466_806_000, "rows": [_FARM], "next": None}]},
    )  # fmt: skip
