"""A weigh scale on a serial port (`scale`): A&D's standard format or MT-SICS, streaming or asked."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from gateway.driver import Device, DeviceOptions, Every
from gateway.drivers._port import PortOptions
from gateway.drivers._talking import Asking, Conversation, LineBus
from gateway.scale import ScaleProfile, ScaleTalker


class ScaleDevice(DeviceOptions):
    """The scale. `every` is how often it is asked, or how often a streaming one is recorded."""

    every: Every = timedelta(seconds=1)
    record: Literal["stable", "all"] = Field(
        default="stable", description="all: also weights that still move (a mixer is never still)"
    )


class Scale(LineBus):
    """The driver; see `gateway.driver.Driver`."""

    kind = "scale"
    family = "scale"
    profile_model = ScaleProfile
    bus_model = PortOptions
    device_model: type[DeviceOptions] = ScaleDevice

    def conversation(self, device: Device) -> Conversation:
        profile: ScaleProfile = device.profile
        every_s = device.options.every.total_seconds()
        asking = asking_of(profile, every_s)
        return Conversation(
            lambda: ScaleTalker(profile, device.points, record_unstable=device.options.record == "all"),
            asking,
            profile.timeout.total_seconds() + (every_s if asking else 0.0),
            0.0 if asking else every_s,
        )


def asking_of(profile: ScaleProfile, every_s: float) -> Asking | None:
    """How the scale is asked, when its profile says so."""
    return Asking(profile.poll.encode("latin-1"), every_s) if profile.poll else None


DRIVERS = (Scale(),)
