"""What `makiba gateway check` says of a file that is right: what a profile reads, and what to be careful about.

A file is a profile or a gateway file by its keys. Warnings are said in both languages: a technician reads them.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.interpret import every_read
from gateway.places import Derived, Place, Register
from gateway.profile import LoadedProfile, Profile, Valued
from gateway.registers import ModbusProfile
from gateway.site import Gateway
from makiba.located_yaml import Located
from makiba.quantities import catalogue

_WORDS_OF_A_PROFILE = frozenset({"driver", "names", "source", "registers", "values"})
_WORDS_OF_A_GATEWAY = frozenset({"gateway", "site", "buses", "mqtt", "spool"})

_UNSURE = {
    "known": (
        "の 値の 表は メーカーの 資料で 確かめていません。最初の 値を 別の 計器と くらべてください。",
        "has a map that was not read in the maker's document; compare its first readings with another instrument.",
    ),
    "proposed": (
        "の 値の 表は 未確認です。別の 計器と くらべて 合うまで、値を 信じないでください。",
        "has a map that is unverified; do not rely on its values before they agree with another instrument.",
    ),
}


def is_profile(located: Located) -> bool:
    """Whether a file is meant to be a device profile, and not a gateway file."""
    keys = frozenset(located.data) if isinstance(located.data, dict) else frozenset[str]()
    return "driver" in keys or len(keys & _WORDS_OF_A_PROFILE) > len(keys & _WORDS_OF_A_GATEWAY)


def profile_report(loaded: LoadedProfile) -> Iterator[str]:
    """What a profile reads and asks for."""
    profile = loaded.profile
    yield f"{loaded.located.file}: profile {loaded.name} ({profile.names.en}), driver {profile.driver}"
    yield f"  source: {profile.source.document} ({profile.source.trust})"
    for _, value in profile.measured():
        yield f"  {_name(value)}: {_where(profile, value)}"
    for name, constant in profile.site_constants().items():
        need = "has to be given" if constant.required else "may be given"
        unit = f" in {constant.unit}" if constant.unit else ""
        yield f"  the gateway file {need}: {name}{unit}: {constant.names.en} ({constant.names.ja})"
    if isinstance(profile, ModbusProfile):
        reads = every_read(profile)
        registers = sum(read.count for read in reads)
        yield f"  one poll of everything: {len(reads)} requests, {registers} registers or bits"
        for quirk, why in profile.quirks.items():
            yield f"  {quirk}: {why}"


def profile_warnings(loaded: LoadedProfile) -> Iterator[str]:
    """What a technician should know before the first reading is believed."""
    line, column = loaded.located.place(("source", "trust"))
    yield from _unsure(f"{loaded.located.file}:{line}:{column}", loaded.name, loaded.profile)


def gateway_warnings(gateway: Gateway, located: Located) -> Iterator[str]:
    """The same for the devices of a gateway file, once per profile, where it is used first."""
    told: set[str] = set()
    for bus in gateway.buses:
        for index, device in enumerate(bus.devices):
            if device.profile_name not in told:
                told.add(device.profile_name)
                line, column = located.place(("buses", bus.name, "devices", index, "profile"))
                yield from _unsure(f"{located.file}:{line}:{column}", device.profile_name, device.profile)


def _unsure(where: str, name: str, profile: Profile) -> Iterator[str]:
    if profile.source.trust not in _UNSURE:
        return
    ja, en = _UNSURE[profile.source.trust]
    yield f"{where}: 注意: {name} {ja}"
    yield f"{where}: warning: {name} {en}"
    if profile.source.note:
        yield f"  {' '.join(profile.source.note.split())}"


def _name(value: Valued) -> str:
    channel = f"{value.channel} " if value.channel else ""
    return f"{channel}{value.quantity or '(free)'}"


def _where(profile: Profile, value: Valued) -> str:
    if isinstance(value, Derived):
        return f"from {value.of} and {value.constant}"
    if isinstance(profile, ModbusProfile) and isinstance(value, Register):
        offset = f" {value.offset:+g}" if value.offset else ""
        gates = "".join(f", while {gate} is good" for gate in value.gated_by)
        scaled = "" if value.type == "ascii" or value.words else f" x {value.scale:g}{offset} {_unit(value)}"
        return f"{place_text(profile, value)}{scaled}{gates}"
    return _unit(value)


def _unit(value: Valued) -> str:
    if value.unit is None and value.quantity is None:
        return "(unit: see the gateway file)"
    return value.unit or catalogue()[str(value.quantity)].unit or "(no unit)"


def place_text(profile: ModbusProfile, place: Place) -> str:
    """A place as a technician finds it on the wire: `input 5 (0x0005) uint16`."""
    address = profile.address(place)
    return f"{place.table} {address} (0x{address:04x}) {place.type}"
