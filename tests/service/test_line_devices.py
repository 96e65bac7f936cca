"""Scales, readers and described protocols on a port: silence, damage, an adapter pulled out; and a whole race."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from makiba.located_yaml import ConfigErrors
from tests.parts import Broker, makiba, wait_until
from tests.service.gateway_parts import GATEWAY, Collector, gateway_file
from tests.service.playing import FarEnd, Kept, Running, load_bus

HEAD = "gateway: gw-1\nsite: shikaoi-001\nmqtt: {}\nprofiles: .\nbuses:\n  line:\n"
SCALE = (
    "driver: scale\nnames: {ja: はかり, en: scale}\nsource: {trust: proposed, document: none}\n"
    "timeout: 200ms\nformat: and\n"
)
ASKED = (
    "driver: lines\nnames: {ja: 距離計, en: range finder}\nsource: {trust: proposed, document: none}\n"
    'timeout: 200ms\npoll: "R\\r"\n'
    "line: {pattern: 'R(?P<mm>[-0-9]*),(?P<t>[-+0-9.]*)'}\n"
    'values:\n  - {group: mm, quantity: distance, unit: mm, words: {"----": sentinel}}\n'
    "  - {group: t, quantity: air_temperature}\n"
)


def run(tmp_path: Path, text: str, ends: list[FarEnd], story: Callable[[Kept], Awaitable[None]]) -> Kept:
    async def go() -> Kept:
        async with Running(load_bus(tmp_path / "gateway.yaml", HEAD + text)) as kept:
            for end in ends:
                await end.opened()
            await story(kept)
        return kept

    (tmp_path / "quick-scale.yaml").write_text(SCALE, encoding="utf-8")
    (tmp_path / "asked.yaml").write_text(ASKED, encoding="utf-8")
    try:
        return asyncio.run(go())
    finally:
        for end in ends:
            end.close()


def last(subject: str, word: str) -> Callable[[Kept], bool]:
    return lambda kept: kept.values(subject, "state")[-1:] == [word]


def test_a_scale_falls_silent_talks_rubbish_and_is_pulled_out(tmp_path: Path) -> None:
    end = FarEnd()

    async def story(kept: Kept) -> None:
        end.send(b"ST,+00123.4  kg\r\n")
        await kept.wait_for(last("scale", "ok"))
        await kept.wait_for(last("scale", "timeout"))
        end.send(b"ST,+00\xff23.4  kg\r\n")
        await kept.wait_for(last("scale", "crc"))
        end.send(b"ST,+00124.4  kg\r\n")
        await kept.wait_for(last("scale", "ok"))
        end.hang_up()
        await kept.wait_for(last("scale", "bus-down"))
        await kept.wait_for(last("gw-1.line", "down"))

    text = f"    scale: {{port: {end.path}}}\n    devices: [{{name: scale, profile: quick-scale, every: 10ms}}]\n"
    kept = run(tmp_path, text, [end], story)
    assert kept.values("scale", "weight") == [123.4, 124.4]


def test_an_adapter_that_is_plugged_in_again_is_used_again(tmp_path: Path) -> None:
    first, second = FarEnd(), FarEnd()
    port = tmp_path / "by-path"
    port.symlink_to(first.path)

    async def story(kept: Kept) -> None:
        first.send(b"ST,+00123.4  kg\r\n")
        await kept.wait_for(last("scale", "ok"))
        first.hang_up()
        await kept.wait_for(last("scale", "bus-down"))
        port.unlink()
        port.symlink_to(second.path)
        await second.opened()
        second.send(b"ST,+00124.4  kg\r\n")
        await kept.wait_for(last("gw-1.line", "ok"))

    text = f"    scale: {{port: {port}}}\n    devices: [{{name: scale, profile: and-scale, every: 10ms}}]\n"

    async def both(kept: Kept) -> None:
        try:
            await story(kept)
        finally:
            second.close()

    kept = run(tmp_path, text, [first], both)
    assert kept.values("scale", "weight") == [123.4, 124.4]
    assert kept.values("gw-1.line", "state") == ["ok", "down", "ok"]


def test_a_scale_that_has_to_be_asked_weighs_animals_too(tmp_path: Path) -> None:
    scale, reader = FarEnd(), FarEnd()

    async def story(kept: Kept) -> None:
        await reader.says(TAG)
        for reply in (
            b"S D   80.0 kg",
            b"S S  123.4 kg",
            b"S I",
            *[b"S S  123.4 kg"] * 3,
            b"S S  0.0 kg",
            b"S S 0.0 kg",
        ):
            await scale.expect(b"SI\r\n")
            scale.send(reply + b"\r\n")
        await kept.wait_for(lambda k: k.values("982000001088420", "body_weight") == [123.4])

    text = WEIGHING.format(scale=scale.path, reader=reader.path, profile="mettler-sics, ask_every: 20ms")
    run(tmp_path, text, [scale, reader], story)


def test_a_mixer_that_is_never_still_is_recorded_when_asked_for(tmp_path: Path) -> None:
    end = FarEnd()

    async def story(kept: Kept) -> None:
        for kg in (100, 101, 102):
            await end.says(f"US,+{kg:05d}.0  kg\r\n".encode())
            await kept.wait_for(lambda k, kg=kg: float(kg) in k.values("mixer", "weight"))

    text = (
        f"    scale: {{port: {end.path}}}\n"
        "    devices: [{name: mixer, profile: quick-scale, every: 10ms, record: all}]\n"
    )
    kept = run(tmp_path, text, [end], story)
    assert kept.values("mixer", "state") == ["unstable"]


def test_a_stream_is_recorded_once_per_every(tmp_path: Path) -> None:
    end = FarEnd()

    async def story(kept: Kept) -> None:
        end.send(b"".join(f"ST,+{kg:05d}.0  kg\r\n".encode() for kg in range(100, 140)))
        end.send(b"OL\r\nOL,\r\n")
        await kept.wait_for(last("scale", "overload"))

    text = f"    scale: {{port: {end.path}}}\n    devices: [{{name: scale, profile: and-scale, every: 10s}}]\n"
    assert run(tmp_path, text, [end], story).values("scale", "weight") == [100.0]


def test_a_reader_may_be_silent_for_ever(tmp_path: Path) -> None:
    end = FarEnd()

    async def story(kept: Kept) -> None:
        await kept.wait_for(last("gate", "ok"))
        end.send(b"\x02\r\nLA 982 00000108")
        end.send(b"8420\r\n")
        await kept.wait_for(lambda k: bool(k.values("gate", "ear_tag")))

    text = f"    eartag: {{port: {end.path}}}\n    devices: [{{name: gate, profile: tiris}}]\n"
    kept = run(tmp_path, text, [end], story)
    assert kept.values("gate", "state") == ["ok"]
    assert kept.values("gate", "ear_tag") == ["982000001088420"]


def test_a_reader_at_a_wrong_baud_rate_is_noticed_and_one_flash_of_noise_is_not(tmp_path: Path) -> None:
    gate, scale, reader = FarEnd(), FarEnd(), FarEnd()
    rubbish = b"\xf3\x1e\x80\x86" * 60  # never an end of a line

    async def alone(kept: Kept) -> None:
        gate.send(b"\xf3\x1e\r\n" + TAG)
        await kept.wait_for(lambda k: bool(k.values("gate", "ear_tag")))
        gate.send(rubbish)
        await kept.wait_for(last("gate", "crc"))
        gate.send(b"\r\n" + TAG)
        await kept.wait_for(last("gate", "ok"))

    async def in_a_race(kept: Kept) -> None:
        reader.send(rubbish)
        await kept.wait_for(last("race", "crc"))
        reader.send(b"\r\n" + TAG)
        await kept.wait_for(last("race", "ok"))

    text = f"    eartag: {{port: {gate.path}}}\n    devices: [{{name: gate, profile: tiris}}]\n"
    assert run(tmp_path, text, [gate], alone).values("gate", "state") == ["ok", "crc", "ok"]
    text = WEIGHING.format(scale=scale.path, reader=reader.path, profile="and-scale")
    run(tmp_path, text, [scale, reader], in_a_race)


def test_an_instrument_that_has_to_be_asked(tmp_path: Path) -> None:
    end = FarEnd()

    async def story(kept: Kept) -> None:
        for reply in (b"R1953,+21.5\r", b"R----,+21.6\r", b"R1954,\r"):
            await end.expect(b"R\r")
            end.send(reply)
        await kept.wait_for(lambda k: 1.954 in k.values("silo", "distance"))
        await end.expect(b"R\r")  # not answered
        await kept.wait_for(last("silo", "timeout"))

    text = f"    lines: {{port: {end.path}}}\n    devices: [{{name: silo, profile: asked, every: 50ms}}]\n"
    kept = run(tmp_path, text, [end], story)
    assert kept.values("silo", "distance") == [1.953, 1.954]
    assert kept.values("silo", "air_temperature") == [21.5, 21.6]
    assert kept.values("silo", "state") == ["ok", "sentinel", "ok", "timeout"]


def test_one_weight_is_explained(tmp_path: Path) -> None:
    end = FarEnd()

    async def go() -> None:
        text = f"    scale: {{port: {end.path}}}\n    devices: [{{name: s, profile: mettler-sics}}]\n"
        bus = load_bus(tmp_path / "gateway.yaml", HEAD + text)
        reading = asyncio.ensure_future(bus.driver.read_once(bus, bus.devices[0]))
        await end.expect(b"SI\r\n")
        end.send(b"S S   12.5 kg\r\n")
        explained = await reading
        assert explained.state == "ok"
        assert [o for _, _, o in explained.values] == [12.5]
        assert explained.frames == ("> b'SI\\r\\n'", "< S S   12.5 kg")

    asyncio.run(go())
    end.close()


WEIGHING = (
    "    weighing: {{scale: {{port: {scale}}}, reader: {{port: {reader}}}, confirm: 3}}\n"
    "    devices: [{{name: race, profile: {profile}}}]\n"
)
TAG = b"LA 982 000001088420\r\n"


def lines(*kg: float) -> bytes:
    return b"".join(f"ST,+{value:07.1f}  kg\r\n".encode() for value in kg)


def test_a_load_ends_when_the_scale_falls_silent_and_no_animal_gets_it(tmp_path: Path) -> None:
    scale, reader = FarEnd(), FarEnd()

    async def story(kept: Kept) -> None:
        reader.send(TAG)
        await kept.wait_for(lambda k: bool(k.values("race", "ear_tag")))
        scale.send(lines(123.4, 123.4, 123.4))
        await kept.wait_for(last("race", "timeout"))
        scale.send(lines(0, 0))
        await kept.wait_for(last("race", "interrupted"))
        reader.send(TAG)
        await kept.wait_for(lambda k: len(k.values("race", "ear_tag")) == 2)
        scale.send(lines(124.4, 124.4, 124.4, 0, 0))
        await kept.wait_for(last("race", "ok"))

    text = WEIGHING.format(scale=scale.path, reader=reader.path, profile="quick-scale")
    kept = run(tmp_path, text, [scale, reader], story)
    assert kept.values("982000001088420", "body_weight") == [124.4]


def test_a_body_weight_has_the_time_when_it_was_measured(tmp_path: Path) -> None:
    scale, reader = FarEnd(), FarEnd()
    stood_ms = 0

    async def story(kept: Kept) -> None:
        nonlocal stood_ms
        await reader.says(TAG)
        await scale.says(lines(123.4, 123.4, 123.4))
        stood_ms = time.time_ns() // 1_000_000
        for _ in range(20):
            await scale.says(b"US,+00090.0  kg\r\n")
        await scale.says(lines(0, 0))
        await kept.wait_for(lambda k: bool(k.values("982000001088420", "body_weight")))

    text = WEIGHING.format(scale=scale.path, reader=reader.path, profile="and-scale")
    kept = run(tmp_path, text, [scale, reader], story)
    (measured_ms,) = (r.time_ms for r in kept.readings if r.series.quantity == "body_weight")
    assert measured_ms < stood_ms + 150  # the load was over 300 ms later


def test_a_reader_that_is_pulled_out_is_said_and_weights_go_on_without_animals(tmp_path: Path) -> None:
    scale, reader = FarEnd(), FarEnd()

    async def story(kept: Kept) -> None:
        scale.send(lines(0))
        await kept.wait_for(last("gw-1.line", "ok"))
        reader.hang_up()
        await kept.wait_for(last("race", "bus-down"))
        await kept.wait_for(last("gw-1.line", "down"))
        scale.send(lines(123.4, 123.4, 123.4, 0, 0))
        await kept.wait_for(lambda k: k.values("race", "weight") == [123.4])

    text = WEIGHING.format(scale=scale.path, reader=reader.path, profile="and-scale")
    kept = run(tmp_path, text, [scale, reader], story)
    assert kept.values("race", "state")[-1] == "bus-down"


def test_a_body_weight_arrives_under_the_animal_s_tag(tmp_path: Path) -> None:
    """The whole way: two ports, a gateway process, a broker, a collector."""
    scale, reader = FarEnd(), FarEnd()
    buses = "  race:\n" + WEIGHING.format(scale=scale.path, reader=reader.path, profile="and-scale")
    with Broker() as broker:
        collector = Collector(broker.options("collector"))
        file = gateway_file(tmp_path, broker.options(GATEWAY), buses)
        with makiba("gateway", "run", "-c", str(file), log=tmp_path / "gateway.log") as gateway:
            collector.wait_for(f"{GATEWAY}.race", "state", "ok")
            os.write(reader.master, TAG)
            collector.wait_for("race", "ear_tag", "982000001088420")
            for kg in (60.0, 123.4, 123.5, 123.4, 0.0, 0.0):
                os.write(scale.master, lines(kg))
            collector.wait_for("982000001088420", "body_weight", 123.4)
            collector.wait_for("race", "weight", 123.4)
            wait_until(lambda: collector.values("race", "state")[-1] == "ok", 5)
            assert gateway.terminate() == 0
        collector.close()
    scale.close()
    reader.close()


def test_what_is_wrong_in_a_file_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "slow.yaml").write_text(
        "driver: lines\nnames: {ja: あ, en: a}\nsource: {trust: proposed, document: none}\n"
        "line: {pattern: '(?P<a>.*)(?P<b>.*)x*.*'}\nvalues:\n  - {group: a, quantity: distance, unit: mm}\n",
        encoding="utf-8",
    )
    (tmp_path / "lost.yaml").write_text(
        "driver: lines\nnames: {ja: あ, en: a}\nsource: {trust: proposed, document: none}\n"
        "line: {pattern: 'R(?P<a>[0-9]+)'}\nvalues:\n  - {group: b, quantity: distance, unit: mm}\n",
        encoding="utf-8",
    )
    text = (
        "    weighing: {scale: {port: /dev/a}, reader: {port: /dev/a}}\n"
        "    devices: [{name: race, profile: and-scale}, {name: race-2, profile: and-scale}]\n"
        "  soil:\n    sdi12: {port: /dev/b}\n    devices:\n"
        "      - {name: s1, profile: sdi12-soil-probe, address: 0, every: 1min}\n"
        '      - {name: s2, profile: sdi12-soil-probe, address: "0", every: 1min}\n'
        "  silo:\n    lines: {port: /dev/c}\n    devices: [{name: silo, profile: slow}]\n"
        "  tank:\n    lines: {port: /dev/d}\n    devices: [{name: tank, profile: lost}]\n"
    )
    with pytest.raises(ConfigErrors) as caught:
        load_bus(tmp_path / "gateway.yaml", HEAD + text)
    said = "\n".join(str(p).removeprefix(f"{tmp_path}/") for p in caught.value.problems)
    assert "gateway.yaml:7:" in said
    assert "reader.port: is the scale's port too" in said
    assert "a weighing bus has one device; race (line 8) is it" in said
    assert "address 0 used twice (s1, line 12)" in said
    assert "slow.yaml:4:" in said
    assert "steps for one line" in said
    assert "'b' is no group of the pattern; there are a" in said
