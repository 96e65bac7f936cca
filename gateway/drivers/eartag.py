"""An ear-tag reader on a serial port (`eartag`): who passed, as the text quantity `ear_tag` of the reader.

A reader is silent while no animal passes, so that its silence is no fault: its state is `ok` while the port is open.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from pydantic import Field

from gateway.driver import Device, DeviceOptions
from gateway.drivers._port import PortOptions
from gateway.drivers._talking import Conversation, LineBus
from gateway.eartag import TagProfile, TagTalker
from makiba.located_yaml import Duration

SAID_EVERY: Final = timedelta(minutes=10)


class TagDevice(DeviceOptions):
    """The reader."""

    repeat: Duration = Field(
        default=timedelta(seconds=60), description="A tag that is read again within this time is recorded once"
    )

    @property
    def every(self) -> timedelta:
        """How often something is heard of it at least: its state is said again."""
        return SAID_EVERY


class EarTag(LineBus):
    """The driver; see `gateway.driver.Driver`."""

    kind = "eartag"
    family = "eartag"
    profile_model = TagProfile
    bus_model = PortOptions
    device_model: type[DeviceOptions] = TagDevice

    def conversation(self, device: Device) -> Conversation:
        series, repeat_s = device.points[0].series, device.options.repeat.total_seconds()
        return Conversation(lambda: TagTalker(series, repeat_s), None, None, 0.0)


DRIVERS = (EarTag(),)
