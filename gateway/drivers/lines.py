"""An instrument with a line protocol of its own on a serial port (`lines`), described in its profile."""

from __future__ import annotations

from datetime import timedelta

from gateway.driver import Device, DeviceOptions, Every
from gateway.drivers._port import PortOptions
from gateway.drivers._talking import Asking, Conversation, LineBus
from gateway.pattern import LinesProfile, LinesTalker


class LinesDevice(DeviceOptions):
    """The instrument. `every` is how often it is asked, or how often a talking one is recorded."""

    every: Every = timedelta(seconds=10)


class Lines(LineBus):
    """The driver; see `gateway.driver.Driver`."""

    kind = "lines"
    family = "lines"
    profile_model = LinesProfile
    bus_model = PortOptions
    device_model: type[DeviceOptions] = LinesDevice

    def conversation(self, device: Device) -> Conversation:
        profile: LinesProfile = device.profile
        every_s = device.options.every.total_seconds()
        asking = Asking(profile.poll.encode("latin-1"), every_s) if profile.poll else None
        timeout_s = profile.timeout.total_seconds() + (every_s if asking else 0.0)
        return Conversation(
            lambda: LinesTalker(profile, device.points), asking, timeout_s, 0.0 if asking else every_s
        )


DRIVERS = (Lines(),)
