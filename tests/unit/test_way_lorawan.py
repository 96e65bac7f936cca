"""LoRaWAN events: what they say (`tests/cases/ways/lorawan`), what is wrong with them, and frame counters."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.ways.chirpstack import Event, Last, frame_news, parse_topic
from collectors.ways.lorawan import BadAddress, broker_options
from collectors.ways.lorawan_plan import FIELD_INDEX, Known, Message, Plan, plan_events
from collectors.ways.lorawan_profile import load_profile, load_profiles, profile_schema
from makiba.located_yaml import ConfigErrors
from makiba.settings import configs_dir
from tests.parts import ROOT

CASES = sorted((ROOT / "tests/cases/ways/lorawan").iterdir())
PROFILES = load_profiles(configs_dir() / "lorawan")
EUI = "a84041f621857cd2"
RECEIVED = 1_780_338_900_000
SOIL = Known(EUI, "shikaoi-001", "soil-3", "dragino-lse01", "src-lorawan-shikaoi-001")
GOOD = json.loads((ROOT / "tests/cases/ways/lorawan/lse01-one-gateway/payload.json").read_text(encoding="utf-8"))


def message(payload: Any, event: str = "up", eui: str = EUI, received_ms: int = RECEIVED) -> Message:
    topic = parse_topic(f"application/17c82e96-be03-4f38-aef3-f83d48582d97/device/{eui}/event/{event}")
    assert topic
    return Message(topic, payload if isinstance(payload, bytes) else json.dumps(payload).encode(), received_ms)


def planned(*messages: Message, device: Known = SOIL) -> Plan:
    return plan_events(messages, {device.dev_eui: device}, PROFILES)


def readings(plan: Plan) -> list[tuple[str, str, int, Any]]:
    return [
        (r.series.subject, r.series.quantity, r.time_ms, r.value) for rows in plan.readings.values() for r in rows
    ]


@pytest.mark.parametrize("folder", CASES, ids=lambda f: f.name)
def test_an_event_says_what_its_case_says(folder: Path) -> None:
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    device = replace(SOIL, dev_eui=case["dev_eui"], profile=case["profile"])
    payload = (folder / "payload.json").read_bytes()
    plan = planned(message(payload, case["event"], case["dev_eui"]), device=device)
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    assert readings(plan) == [tuple(row) for row in expected]
    assert not plan.letters


def test_an_event_without_any_time_gets_its_arrivals() -> None:
    bare = {k: v for k, v in GOOD.items() if k not in ("time", "rxInfo")}
    assert {row[2] for row in readings(planned(message(bare)))} == {RECEIVED}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\x0a$3ac7e3c4", "Invalid JSON"),
        (b"[]", "should be an object"),
        ({**GOOD, "fCnt": -1}, "fCnt"),
        ({**GOOD, "deviceInfo": {"devEui": "0000000000000001"}}, "speaks for device"),
        ({**GOOD, "object": None}, "no decoded object"),
        ({**GOOD, "object": {"Battery": 1}}, "no field of profile dragino-lse01 in the object (Battery)"),
        ({**GOOD, "object": {"temp_SOIL": "warm"}}, "temp_SOIL is 'warm', no number"),
        ({**GOOD, "object": {"temp_SOIL": {"v": 1}}}, "no number"),
        ({**GOOD, "object": {"temp_SOIL": "1e999"}}, "no number"),
    ],
    ids=["protobuf", "array", "counter", "other device", "no codec", "other codec", "word", "object", "infinite"],
)
def test_what_cannot_be_taken_is_a_dead_letter(payload: Any, reason: str) -> None:
    plan = planned(message(payload))
    assert len(plan.letters) == 1
    assert reason in plan.letters[0].reason
    assert plan.letters[0].gateway == SOIL.source
    assert "soil_temperature" not in {row[1] for row in readings(plan)}


def test_a_wrong_field_does_not_cost_the_others() -> None:
    plan = planned(message({**GOOD, "object": {**GOOD["object"], "temp_SOIL": "?"}}))
    assert [(x.name, x.index) for x in plan.letters] == [("shikaoi-001/soil-3/soil_temperature", FIELD_INDEX)]
    assert "soil_moisture" in {row[1] for row in readings(plan)}


def test_another_port_is_the_devices_own_business() -> None:
    plan = planned(message({**GOOD, "fPort": 5}))
    assert {row[1] for row in readings(plan)} == {"signal_strength", "signal_to_noise"}
    assert not plan.letters


def test_a_profile_that_is_gone_is_said() -> None:
    plan = planned(message(GOOD), device=replace(SOIL, profile="gone"))
    assert [x.reason for x in plan.letters] == ["LoRaWAN profile gone is not there"]


def test_unknown_devices_are_counted_with_what_helps_to_name_them() -> None:
    plan = plan_events([message(GOOD, eui=EUI)], {}, PROFILES)
    assert [(u.dev_eui, u.name, u.application, u.profile_name) for u in plan.unknown] == [
        (EUI, "field 3", "fields", "Dragino_LSE01")
    ]
    assert not plan.readings


def test_joins_and_errors_are_notes() -> None:
    log = {"deviceInfo": {"devEui": EUI}, "level": "ERROR", "code": "UPLINK_MIC", "description": "MIC is invalid"}
    plan = planned(message({"deviceInfo": {"devEui": EUI}}, "join"), message(log, "log"), message(GOOD, "ack"))
    assert [h.note for h in plan.heard] == ["joined", "ERROR UPLINK_MIC: MIC is invalid", None]
    assert not plan.readings


# ---------------------------------------------------------------------------------------------------- frame counters


def frame(number: int, *, addr: str = "00189440", again: int = 0) -> dict[str, Any]:
    event = {**GOOD, "devAddr": addr, "deduplicationId": f"{addr}-{number}-{again}"}
    return {**event, "fCnt": number} if number else {k: v for k, v in event.items() if k != "fCnt"}


def test_missing_frames_are_counted_and_a_reading() -> None:
    plan = planned(*(message(frame(n)) for n in (10, 11, 14)))
    assert [h.missing for h in plan.heard] == [0, 0, 2]
    assert [row[3] for row in readings(plan) if row[1] == "frames_missing"] == [2.0]


def test_a_repeated_frame_is_counted_and_not_stored() -> None:
    plan = planned(message(frame(10)), message(frame(10, again=1)))
    assert [(h.frames, h.repeated) for h in plan.heard] == [(1, 0), (0, 1)]
    assert len([row for row in readings(plan) if row[1] == "soil_moisture"]) == 1


def test_a_join_begins_a_new_count_at_zero() -> None:
    plan = planned(message(frame(500)), message(frame(0, addr="01fd9738")), message(frame(3, addr="01fd9738")))
    assert [h.missing for h in plan.heard] == [0, 0, 2]


@given(
    st.lists(st.integers(min_value=1, max_value=3), min_size=1, max_size=40),
    st.randoms(use_true_random=False),
)
def test_whatever_the_broker_repeats_or_swaps_the_sum_of_missing_frames_is_right(
    steps: list[int], rng: random.Random
) -> None:
    """Frames with gaps, each given one to three times, neighbours swapped: missing = holes, as in the list."""
    numbers = [5]
    for step in steps:
        numbers.append(numbers[-1] + step)
    given_ = [n for n in numbers for _ in range(rng.choice([1, 1, 2, 3]))]
    for i in range(1, len(given_) - 1):
        if rng.random() < 0.3:
            given_[i], given_[i + 1] = given_[i + 1], given_[i]
    last: Last | None = None
    missing = frames = 0
    for number in given_:
        event = Event.model_validate_json(json.dumps(frame(number)))
        news = frame_news(last, event)
        missing += news.missing
        frames += news.kind in ("new", "late", "restarted")
        last = news.last
    assert frames == len(numbers)
    assert missing == numbers[-1] - numbers[0] + 1 - len(numbers)


# --------------------------------------------------------------------------------------------------------- profiles


def test_every_error_of_a_profile_has_its_place(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(
        "names: {ja: a, en: b}\n"
        "source: {trust: known, document: d}\n"
        "fields:\n"
        "  - {field: t, quantity: soil_temprature}\n"
        "  - {field: a b, quantity: soil_moisture, scael: 2}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigErrors) as wrong:
        load_profile(file)
    text = str(wrong.value)
    assert f"{file}:4:16: fields[0].quantity: quantity 'soil_temprature' is not in the catalogue" in text
    assert "did you mean 'soil_temperature'" in text
    assert f"{file}:5:" in text
    assert "unknown key 'scael'" in text
    assert "'a b' is not accepted" in text


def test_units_that_do_not_fit_and_values_that_clash_are_told(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(
        "names: {ja: a, en: b}\nsource: {trust: known, document: d}\nfields:\n"
        '  - {field: t, quantity: soil_temperature, unit: "%"}\n'
        "  - {field: u, quantity: soil_temperature}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigErrors) as wrong:
        load_profile(file)
    assert "'%' does not measure soil_temperature (Cel); expected Cel, degF, K" in str(wrong.value)
    assert "fields[1].quantity: is field 1 of this list already" in str(wrong.value)


def test_the_schema_accepts_every_profile_and_offers_words() -> None:
    import jsonschema
    import yaml

    schema = profile_schema()
    for file in (configs_dir() / "lorawan").glob("*.yaml"):
        jsonschema.validate(yaml.safe_load(file.read_text(encoding="utf-8")), schema)
    assert "soil_moisture" in json.dumps(schema)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://x", "expected mqtt"),
        ("mqtt://example.org", "another one"),
        ("mqtts://me:secret@example.org", "password does not stand"),
        ("mqtts://example.org:port", "not a number"),
    ],
)
def test_an_address_that_would_be_unsafe_is_refused(address: str, said: str) -> None:
    with pytest.raises(BadAddress, match=said) as wrong:
        broker_options(address, client_id="x")
    assert "secret" not in str(wrong.value)


def test_an_address_has_defaults() -> None:
    options = broker_options("mqtts://me@lora.example.org", client_id="x")
    assert (options.host, options.port, options.tls, options.user) == ("lora.example.org", 8883, True, "me")
    assert broker_options("mqtt://127.0.0.1", client_id="x").port == 1883
