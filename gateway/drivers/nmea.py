"""An instrument that talks by itself in NMEA 0183 (weather masts), on a serial port (`nmea`).

The port is only listened to. The device's state is `ok` while sound sentences come, `timeout` when none came for the
profile's timeout, `crc` when only damaged ones did; a value's own trouble (`sentinel`, `out-of-range`, `invalid` when
the instrument says so) is said of its subject.
"""

from __future__ import annotations

from gateway.driver import Device, DeviceOptions, Every
from gateway.drivers._port import PortOptions
from gateway.drivers._talking import Conversation, LineBus
from gateway.nmea import NmeaProfile, NmeaTalker


class NmeaDevice(DeviceOptions):
    """The instrument. Without `every` each sentence is recorded."""

    every: Every | None = None


class Nmea(LineBus):
    """The driver; see `gateway.driver.Driver`."""

    kind = "nmea"
    family = "nmea"
    profile_model = NmeaProfile
    bus_model = PortOptions
    device_model: type[DeviceOptions] = NmeaDevice

    def conversation(self, device: Device) -> Conversation:
        profile: NmeaProfile = device.profile
        every_s = device.options.every.total_seconds() if device.options.every else 0.0
        timeout_s = profile.timeout.total_seconds()
        return Conversation(lambda: NmeaTalker(profile, device.points), None, timeout_s, every_s)


DRIVERS = (Nmea(),)
