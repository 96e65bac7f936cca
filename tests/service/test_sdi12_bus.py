"""Several SDI-12 sensors on one wire: overlap, service requests, damage, silence, an adapter that goes and comes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.service.playing import Kept, Running, load_bus
from tests.service.sdi12_parts import Sensor, SensorBus

PROFILE = """\
driver: sdi12
names: {{ja: 土壌センサー, en: soil probe}}
source: {{trust: proposed, document: made for this test}}
timeout: 60ms
measurements:
  - command: {command}
    crc: {crc}
    values:
      - {{value: 1, quantity: soil_moisture, unit: "%"}}
      - {{value: 2, quantity: soil_temperature, unit: Cel, sentinels: [-9999]}}
"""


def bus_of(tmp_path: Path, port: str, devices: str, options: str = "") -> str:
    for name, command, crc in (("m", "M", "false"), ("c", "C", "false"), ("cc", "C", "true"), ("rc", "R0", "true")):
        (tmp_path / f"{name}.yaml").write_text(PROFILE.format(command=command, crc=crc), encoding="utf-8")
    return (
        f"gateway: gw-1\nsite: shikaoi-001\nmqtt: {{}}\nprofiles: .\nbuses:\n  soil:\n"
        f"    sdi12: {{port: {port}{options}}}\n    devices:\n{devices}"
    )


def run(
    tmp_path: Path, far: SensorBus, devices: str, story: Callable[[Kept], Awaitable[None]], options: str = ""
) -> Kept:
    async def go() -> Kept:
        async with far:
            bus = load_bus(tmp_path / "gateway.yaml", bus_of(tmp_path, far.path, devices, options))
            async with Running(bus) as kept:
                await story(kept)
            return kept

    return asyncio.run(go())


def device(name: str, profile: str, address: str, every: str) -> str:
    return f"      - {{name: {name}, profile: {profile}, address: {address}, every: {every}}}\n"


def has(subject: str, quantity: str, count: int = 1) -> Callable[[Kept], bool]:
    return lambda kept: len(kept.values(subject, quantity)) >= count


def state(subject: str, word: str) -> Callable[[Kept], bool]:
    return lambda kept: kept.values(subject, "state")[-1:] == [word]


def test_concurrent_measurements_overlap_and_are_not_interrupted(tmp_path: Path) -> None:
    far = SensorBus(
        Sensor("1", ["+20", "+5.5"], ready_s=1),
        Sensor("2", ["+30", "-0.5"], ready_s=1, page=1),
        Sensor("z", ["+40", "+7"]),
    )

    async def story(kept: Kept) -> None:
        await kept.wait_for(has("deep", "soil_temperature", 2))
        await kept.wait_for(has("shallow", "soil_temperature", 2))

    devices = (
        device("deep", "cc", "1", "100ms") + device("shallow", "c", "2", "100ms") + device("top", "m", "z", "100ms")
    )
    kept = run(tmp_path, far, devices, story)
    assert far.broken_rules == []
    assert far.overlaps > 5
    assert set(kept.values("deep", "soil_moisture")) == {0.2}
    assert set(kept.values("shallow", "soil_temperature")) == {-0.5}
    assert len(kept.values("top", "soil_moisture")) > 5  # was read on while the others measured
    assert {v for s in ("deep", "shallow", "top") for v in kept.values(s, "state")} == {"ok"}


def test_a_service_request_ends_the_wait_and_nobody_talks_before_it(tmp_path: Path) -> None:
    far = SensorBus(Sensor("0", ["+20", "+5.5"], ready_s=900, early_s=0.2), Sensor("1", ["+30", "+6"]))

    async def story(kept: Kept) -> None:
        await kept.wait_for(has("slow", "soil_moisture", 2), 4)
        await kept.wait_for(has("quick", "soil_moisture", 2), 4)

    run(tmp_path, far, device("slow", "m", "0", "50ms") + device("quick", "m", "1", "50ms"), story)
    assert far.broken_rules == []


def test_without_a_service_request_the_data_are_asked_for_when_the_time_is_over(tmp_path: Path) -> None:
    far = SensorBus(Sensor("0", ["+20", "+5.5"], ready_s=1))
    kept = run(tmp_path, far, device("soil", "m", "0", "1h"), lambda k: k.wait_for(has("soil", "soil_moisture")))
    assert far.broken_rules == []
    assert kept.values("soil", "state") == ["ok"]


def damage_every_other() -> Callable[[bytes], bytes]:
    turns: Iterator[bool] = iter([False, True] * 1000)

    def spoil(reply: bytes) -> bytes:
        return reply.replace(b"+2", b"+7") if next(turns) else reply

    return spoil


def test_damage_is_seen_by_the_crc_and_asked_for_again(tmp_path: Path) -> None:
    far = SensorBus(Sensor("0", ["+20", "+2.5"], spoil=damage_every_other()))
    devices = device("soil", "cc", "0", "20ms")
    kept = run(tmp_path, far, devices, lambda k: k.wait_for(has("soil", "soil_moisture", 20)))
    assert set(kept.values("soil", "soil_moisture")) == {0.2}
    assert set(kept.values("soil", "soil_temperature")) == {2.5}
    assert kept.values("soil", "state") == ["ok"]


@pytest.mark.parametrize("late_s", [0.09, 0.15])
def test_a_late_reply_does_not_pass_for_the_next_page(tmp_path: Path, late_s: float) -> None:
    """The first try's reply comes while the second try waits, and the second's while the next page is asked for."""
    far = SensorBus(Sensor("0", ["+20", "+5.5"], page=1, late_s=late_s))
    devices = device("soil", "m", "0", "20ms")
    kept = run(tmp_path, far, devices, lambda k: k.wait_for(has("soil", "soil_temperature", 2)))
    assert set(kept.values("soil", "soil_temperature")) == {5.5}
    assert set(kept.values("soil", "soil_moisture")) == {0.2}


def any_damage(chance: random.Random) -> Callable[[bytes], bytes]:
    """Four in ten replies are changed, cut, lost, or come with noise before or after them."""

    def spoil(reply: bytes) -> bytes:
        place, byte = chance.randrange(len(reply)), bytes((chance.randrange(256),))
        return chance.choice(
            [
                *[reply] * 6,
                reply[:place] + byte + reply[place + 1 :],
                reply[:place] + reply[place + 1 :],
                chance.choice([b"", reply[:place]]),
                chance.choice([byte + reply, reply + byte, byte * 3 + b"\n" + reply]),
            ]
        )

    return spoil


def test_four_in_ten_replies_damaged_and_never_a_wrong_value(tmp_path: Path) -> None:
    chance = random.Random(7)
    far = SensorBus(
        Sensor("0", ["+20", "+2.5"], spoil=any_damage(chance)), Sensor("1", ["+30", "-2.5"], spoil=any_damage(chance))
    )

    async def story(kept: Kept) -> None:
        for name in ("left", "right"):
            await kept.wait_for(has(name, "soil_moisture", 15), 25)

    kept = run(tmp_path, far, device("left", "cc", "0", "20ms") + device("right", "rc", "1", "20ms"), story)
    assert set(kept.values("left", "soil_moisture")) == {0.2}
    assert set(kept.values("left", "soil_temperature")) == {2.5}
    assert set(kept.values("right", "soil_moisture")) == {0.3}
    assert set(kept.values("right", "soil_temperature")) == {-2.5}


def test_a_crc_that_is_always_wrong_is_a_state_and_never_a_value(tmp_path: Path) -> None:
    far = SensorBus(Sensor("0", ["+20", "+2.5"], spoil=lambda r: r.replace(b"+20", b"+70")))
    kept = run(tmp_path, far, device("soil", "rc", "0", "50ms"), lambda k: k.wait_for(state("soil", "crc")))
    assert kept.values("soil", "soil_moisture") == []
    assert 3 <= far.sensors["0"].asked.count("RC0") <= 27


@pytest.mark.parametrize(
    ("sensor", "word"),
    [
        (Sensor("0", ["+20", "+5"], silent=True), "timeout"),
        (Sensor("0", ["+20", "+5"], aborts=True), "no-data"),
        (Sensor("0", []), "no-data"),
        (Sensor("0", ["+20"]), "invalid"),  # fewer values than the profile has
        (Sensor("0", ["+20", "-9999"]), "sentinel"),
        (Sensor("0", ["+20", "+x"]), "invalid"),
        (Sensor("0", ["+20", "+5"], spoil=lambda r: b"1" + r[1:]), "invalid"),  # another one answers
        (Sensor("0", ["+20", "+5"], spoil=lambda r: r[:-2]), "crc"),  # a reply without its end
    ],
    ids=["silent", "aborted", "nothing", "too-few", "sentinel", "no-number", "wrong-address", "cut-off"],
)
def test_what_goes_wrong_is_a_state(tmp_path: Path, sensor: Sensor, word: str) -> None:
    devices = device("soil", "m", "0", "1h") + device("other", "m", "1", "100ms")
    far = SensorBus(sensor, Sensor("1", ["+30", "+6"]))

    async def story(kept: Kept) -> None:
        await kept.wait_for(state("soil", word))
        await kept.wait_for(has("other", "soil_moisture", 2))

    kept = run(tmp_path, far, devices, story)
    assert kept.values("soil", "soil_temperature") == []
    assert len(sensor.asked) <= 9
    assert set(kept.values("gw-1.soil", "state")) == {"ok"}


def test_a_silent_sensor_is_asked_a_bounded_number_of_times_and_noticed_when_it_is_back(tmp_path: Path) -> None:
    sensor = Sensor("0", ["+20", "+5"], silent=True)
    far = SensorBus(sensor, Sensor("1", ["+30", "+6"], silent=True), echo=True)

    async def story(kept: Kept) -> None:
        await kept.wait_for(state("gw-1.soil", "silent"))
        sensor.silent = False
        await kept.wait_for(has("soil", "soil_moisture"))
        await kept.wait_for(state("gw-1.soil", "ok"))

    devices = device("soil", "m", "0", "100ms") + device("other", "m", "1", "100ms")
    kept = run(tmp_path, far, devices, story, ", echo: true, break_by: port")
    assert kept.values("soil", "state") == ["timeout", "ok"]


def test_a_bus_whose_adapter_is_not_there_is_down(tmp_path: Path) -> None:
    async def go() -> Kept:
        devices = device("soil", "m", "0", "1min") + device("other", "cc", "1", "1min")
        bus = load_bus(tmp_path / "gateway.yaml", bus_of(tmp_path, f"{tmp_path}/nothing", devices))
        async with Running(bus) as kept:
            await kept.wait_for(state("gw-1.soil", "down"))
        return kept

    kept = asyncio.run(go())
    assert kept.values("soil", "state") == kept.values("other", "state") == ["bus-down"]


def test_an_adapter_without_its_echo_says_so(tmp_path: Path) -> None:
    far = SensorBus(Sensor("0", ["+20", "+5"], silent=True))
    run(tmp_path, far, device("soil", "m", "0", "1h"), lambda k: k.wait_for(state("soil", "no-echo")), ", echo: true")


def test_one_sensor_is_explained(tmp_path: Path) -> None:
    async def go() -> None:
        async with SensorBus(Sensor("0", ["+20", "-5.5"], ready_s=1, early_s=0.05)) as far:
            bus = load_bus(tmp_path / "gateway.yaml", bus_of(tmp_path, far.path, device("soil", "m", "0", "1min")))
            explained = await bus.driver.read_once(bus, bus.devices[0])
        assert explained.state == "ok"
        assert [o for _, _, o in explained.values] == [0.2, -5.5]
        assert explained.frames[0] == "> 0I!"
        assert "  MAKIBA SOIL 100 1234, SDI-12 1.3" in explained.frames
        assert "< 0 (service request)" in explained.frames

    asyncio.run(go())
