"""Alarm outputs in the gateway file: a siren or lamp behind a coil of a Modbus relay or a pin of the Pi. Data only.

`fail_safe` says how it is wired, and so what happens when this gateway, its supply or its bus is gone:
- `energised-when-ok`: the relay is held while all is well and known to be well; when it falls, the siren sounds. It
  falls with the supply, and with a relay that drops out when nobody talks to it (set that up at the relay: it is
  written to again every `refresh`).
- `energised-on-alarm`: the relay is pulled for an alarm. When the gateway is gone it stays as it is.

`active` says which level of a pin energises the relay; many boards with an optocoupler want `low`. When a process
ends its pins become inputs, or keep their level: that is the kernel's choice, so that the board needs a resistor that
lets go, and `let-go` runs after a crash.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.profile import Strict
from makiba.located_yaml import Duration

OutputName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]


class CoilOptions(Strict):
    """A coil of a relay on a Modbus bus of the same file."""

    bus: str
    unit_id: int = Field(ge=1, le=254)
    coil: int = Field(ge=0, le=0xFFFF, description="Protocol address, from 0")


class OutputOptions(Strict):
    """One output; exactly one of `modbus` and `gpio`."""

    modbus: CoilOptions | None = None
    gpio: int | None = Field(default=None, ge=0, le=27, description="BCM number of the pin, needs gpiozero")
    active: Literal["high", "low"] = Field(
        default="high", description="The level of the pin that energises the relay; only with gpio"
    )
    fail_safe: Literal["energised-when-ok", "energised-on-alarm"]
    refresh: Duration = Field(default=timedelta(seconds=5), description="How often it is set again")

    @model_validator(mode="after")
    def _one_way(self) -> OutputOptions:
        if (self.modbus is None) == (self.gpio is None):
            raise ValueError("needs exactly one of 'modbus' and 'gpio'")
        if self.modbus is not None and "active" in self.model_fields_set:
            raise ValueError("'active' is for 'gpio'; a coil that is on energises its relay")
        if not timedelta(seconds=0.5) <= self.refresh <= timedelta(minutes=5):
            raise ValueError("'refresh' has to lie between 0.5s and 5min")
        return self

    def energised(self, *, alarm: bool, blind: bool) -> bool:
        """Whether its relay is held: `alarm` while a rule says so, `blind` while nobody knows."""
        return not (alarm or blind) if self.fail_safe == "energised-when-ok" else alarm


class MetricsOptions(Strict):
    """OpenMetrics on this machine's loopback."""

    port: int = Field(ge=1, le=65535)


class PageOptions(Strict):
    """The read-only page. Beyond loopback only when `host` says so."""

    host: str = "127.0.0.1"
    port: int = Field(ge=1, le=65535)
    language: Literal["ja", "en"] = "ja"
