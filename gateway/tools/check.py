"""What `makiba gateway check` says of a file that is right: what a profile reads, and what to be careful about.

A file is a profile or a gateway file by its keys. Its errors, which name keys and words of the file, are English.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.driver import Bus
from gateway.interpret import every_read
from gateway.places import Derived, Place, Register
from gateway.profile import LoadedProfile, Profile, Valued
from gateway.registers import ModbusProfile
from gateway.site import Gateway
from gateway.tools.language import Say
from makiba.located_yaml import Located
from makiba.quantities import catalogue

_WORDS_OF_A_PROFILE = frozenset({"driver", "names", "source", "registers", "values"})
_WORDS_OF_A_GATEWAY = frozenset({"gateway", "site", "buses", "mqtt", "spool"})

_TRUST = {"verified": "確認ずみ", "known": "よく 知られた値", "proposed": "未確認"}
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


def profile_report(loaded: LoadedProfile, say: Say) -> Iterator[str]:
    """What a profile reads and asks for."""
    profile = loaded.profile
    called = say(profile.names.ja, profile.names.en)
    yield say(
        f"{loaded.located.file}: プロファイル {loaded.name}（{called}）、driver {profile.driver}",
        f"{loaded.located.file}: profile {loaded.name} ({called}), driver {profile.driver}",
    )
    trust = profile.source.trust
    yield f"  {say('出典', 'source')}: {profile.source.document} ({say(_TRUST[trust], trust)})"
    for _, value in profile.measured():
        yield f"  {_name(value, say)}: {_where(profile, value, say)}"
    for name, constant in profile.site_constants().items():
        need = say("必ず 書く", "has to be given") if constant.required else say("書いても よい", "may be given")
        unit = f" [{constant.unit}]" if constant.unit else ""
        yield f"  {say('ゲートウェイの ファイルに', 'the gateway file')} {need}: {name}{unit}: " + say(
            constant.names.ja, constant.names.en
        )
    if isinstance(profile, ModbusProfile):
        reads = every_read(profile)
        registers = sum(read.count for read in reads)
        yield say(
            f"  全部を 1回 読む: 要求 {len(reads)} 回、レジスター {registers} 個",
            f"  one poll of everything: {len(reads)} requests, {registers} registers or bits",
        )
        for quirk, why in profile.quirks.items():
            yield f"  {quirk}: {why}"


def profile_warnings(loaded: LoadedProfile, say: Say) -> Iterator[str]:
    """What a technician should know before the first reading is believed."""
    line, column = loaded.located.place(("source", "trust"))
    yield from _unsure(f"{loaded.located.file}:{line}:{column}", loaded.name, loaded.profile, say)


def gateway_warnings(gateway: Gateway, located: Located, say: Say) -> Iterator[str]:
    """The same for the devices of a gateway file, once per profile, where it is used first."""
    told: set[str] = set()
    for bus in gateway.buses:
        for index, device in enumerate(bus.devices):
            if device.profile_name not in told:
                told.add(device.profile_name)
                line, column = located.place(("buses", bus.name, "devices", index, "profile"))
                yield from _unsure(f"{located.file}:{line}:{column}", device.profile_name, device.profile, say)


def bus_report(bus: Bus, say: Say) -> Iterator[str]:
    """Predicted cycle time and occupancy of a bus."""
    called, count = f"{bus.name} ({bus.driver.kind})", len(bus.devices)
    yield say(f"バス {called}: {count} 台", f"bus {called}: {count} devices")
    loads = bus.driver.loads(bus)
    if not loads:
        yield say("  聞くだけで、何も たずねません", "  listened to; nothing is asked")
        return
    for load in loads:
        busy_ms = load.busy_s * 1000
        yield say(
            f"  {load.device}: {load.every_s:g} 秒ごとに 要求 {load.requests} 回、{busy_ms:.0f} ms",
            f"  {load.device}: {load.requests} requests, {busy_ms:.0f} ms every {load.every_s:g} s",
        )
    occupied = sum(load.busy_s / load.every_s for load in loads)
    round_ms = sum(load.busy_s for load in loads) * 1000
    yield say(
        f"  全部で 1周 {round_ms:.0f} ms。線は {occupied:.0%} の 時間 使われます",
        f"  one round of all: {round_ms:.0f} ms; occupied {occupied:.0%} of the time",
    )
    if occupied > 0.8:
        yield say(
            "  多すぎます: 回数を へらす、速度を 上げる、バスを 2つに 分ける",
            "  too much: ask less often, raise the baud rate, or use a second bus",
        )


def _unsure(where: str, name: str, profile: Profile, say: Say) -> Iterator[str]:
    if profile.source.trust not in _UNSURE:
        return
    ja, en = _UNSURE[profile.source.trust]
    yield say(f"{where}: 注意: {name} {ja}", f"{where}: warning: {name} {en}")
    if profile.source.note:
        yield f"  {' '.join(profile.source.note.split())}"


def _name(value: Valued, say: Say) -> str:
    channel = f"{value.channel} " if value.channel else ""
    return f"{channel}{value.quantity or say('(自由)', '(free)')}"


def _where(profile: Profile, value: Valued, say: Say) -> str:
    if isinstance(value, Derived):
        return say(f"{value.of} と {value.constant} から", f"from {value.of} and {value.constant}")
    if isinstance(profile, ModbusProfile) and isinstance(value, Register):
        offset = f" {value.offset:+g}" if value.offset else ""
        gates = "".join(say(f"、{gate} が よい間", f", while {gate} is good") for gate in value.gated_by)
        scaled = "" if value.type == "ascii" or value.words else f" x {value.scale:g}{offset} {_unit(value, say)}"
        return f"{place_text(profile, value)}{scaled}{gates}"
    return _unit(value, say)


def _unit(value: Valued, say: Say) -> str:
    if value.unit is None and value.quantity is None:
        return say("(単位は ゲートウェイの ファイルに)", "(unit: see the gateway file)")
    return value.unit or catalogue()[str(value.quantity)].unit or say("(単位なし)", "(no unit)")


def place_text(profile: ModbusProfile, place: Place) -> str:
    """A place as a technician finds it on the wire: `input 5 (0x0005) uint16`."""
    address = profile.address(place)
    return f"{place.table} {address} (0x{address:04x}) {place.type}"
