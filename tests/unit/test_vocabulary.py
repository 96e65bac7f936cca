"""Series, readings, quantities, topics, answers and settings."""

import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makiba import topics
from makiba.located_yaml import ConfigErrors
from makiba.mqtt import MqttOptions
from makiba.quantities import catalogue, quantity
from makiba.reading import Reading, Series
from makiba.settings import Settings, configs_dir, load_settings
from makiba.wire import (
    DEFLATE,
    MAX_INFLATED_BYTES,
    Ack,
    BatchId,
    RefusedRecord,
    WireError,
    pack_payload,
    unpack_payload,
)


@pytest.mark.parametrize(
    "parts", [("A", "b", "c"), ("a", "", "c"), ("a", "b/c", "d"), ("a", "b", "C"), ("a", "ｂ", "c")]
)
def test_a_series_has_three_plain_names(parts: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError, match="is not of the form"):
        Series(*parts)


def test_a_series_is_read_back_from_its_name() -> None:
    series = Series("shikaoi-012", "soil-3.ch2", "soil_moisture")
    assert Series.parse(str(series)) == series


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_reading_is_a_finite_number(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Reading(Series("a", "b", "c"), 1_700_000_000_000, value)


def test_every_quantity_has_both_names_and_a_possible_range() -> None:
    for q in catalogue().values():
        assert q.names["ja"], q.name
        assert q.names["en"], q.name
        if q.lowest is not None and q.highest is not None:
            assert q.lowest < q.highest, q.name


def test_an_unknown_quantity_names_the_nearest() -> None:
    with pytest.raises(KeyError, match="did you mean 'milk_temperature'"):
        quantity("milk_temprature")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("ammonia", 1.24e-5, "12.4 ppm"),
        ("air_pressure", 101325.0, "1013.2 hPa"),
        ("soil_moisture", 0.314, "31.4 %"),
        ("air_temperature", -0.04, "0.0 ℃"),
        ("wind_direction", 3.14159265, "180 °"),
        ("switched_on", 1.0, "1"),
    ],
)
def test_values_are_shown_as_people_read_them(name: str, value: float, shown: str) -> None:
    assert quantity(name).shown(value) == shown


@pytest.mark.parametrize(
    "topic",
    [
        "makiba/gw-1/ack",
        "makiba/collector/readings",
        "makiba/gw-1/x/readings",
        "other/gw-1/readings",
        "makiba//readings",
    ],
)
def test_only_a_gateways_own_topic_names_it(topic: str) -> None:
    assert topics.gateway_of(topic, topics.READINGS) is None
    assert topics.gateway_of("makiba/gw-7f3a/readings", topics.READINGS) == "gw-7f3a"
    assert topics.gateway_of("makiba/gw-7f3a/config/reported", topics.CONFIG_REPORTED) == "gw-7f3a"


def test_a_site_keeps_its_shard() -> None:
    assert topics.stored_topic("shikaoi-001") == "makiba-stored/0"
    assert {topics.shard_of(f"shikaoi-{i:03}") for i in range(300)} == set(range(topics.SHARDS))


def test_a_batch_id_comes_back_the_same_and_nothing_else_is_one() -> None:
    batch = BatchId("00ff00ff00ff00ff", 17)
    assert BatchId.from_bytes(batch.to_bytes()) == batch
    for wrong in (b"", b"x/1", b"00ff00ff00ff00ff/0", b"00ff00ff00ff00ff/01", b"\xff" * 100, b"00ff00ff00ff00ff/1 "):
        with pytest.raises(WireError, match="batch id"):
            BatchId.from_bytes(wrong)


def test_an_answer_comes_back_the_same_and_a_newer_one_is_understood() -> None:
    ack = Ack(batch="00ff00ff00ff00ff/1", stored=2, refused=(RefusedRecord(index=1, reason="unit"),), time_ms=5)
    assert Ack.from_bytes(ack.to_bytes()) == ack
    assert Ack.from_bytes(ack.to_bytes()[:-1] + b',"more":1}') == ack
    with pytest.raises(WireError):
        Ack.from_bytes(b"{}")


@given(st.binary(max_size=9000), st.booleans())
def test_a_payload_is_unpacked_to_what_was_packed(pack: bytes, deflate: bool) -> None:
    payload = pack_payload(pack, deflate=deflate)
    assert unpack_payload(payload.data, dict(payload.user_properties).get("content-encoding")) == pack


@pytest.mark.parametrize(
    ("data", "encoding", "why"),
    [
        (zlib.compress(b"0" * (MAX_INFLATED_BYTES + 1)), DEFLATE, "inflates to more"),
        (zlib.compress(b"0" * 1000)[:-6], DEFLATE, "cut off"),
        (b"junk", DEFLATE, "cannot be inflated"),
        (b"0" * 300_000, None, "at most"),
        (b"x", "br", "not known"),
    ],
)
def test_a_hostile_payload_is_refused(data: bytes, encoding: str | None, why: str) -> None:
    with pytest.raises(WireError, match=why):
        unpack_payload(data, encoding)


def test_a_plain_connection_is_for_this_machine_only() -> None:
    assert MqttOptions(host="127.0.0.1").tls is None
    with pytest.raises(ValueError, match="no tls"):
        MqttOptions(host="192.0.2.1")


def test_settings_come_from_variables_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "makiba.yaml").write_text("http_port: 8001\nmqtt_port: 8002\n")
    got = load_settings({"MAKIBA_HOME": str(tmp_path), "MAKIBA_HTTP_PORT": "9001"})
    assert (got.home, got.http_port, got.mqtt_port) == (tmp_path, 9001, 8002)
    assert got.store_url == f"sqlite:{tmp_path}/store.db"
    assert got.address == "http://127.0.0.1:9001"


def test_wrong_settings_name_the_variable_or_the_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match=r"MAKIBA_HTTP_PORT.*valid integer"):
        load_settings({"MAKIBA_HOME": str(tmp_path), "MAKIBA_HTTP_PORT": "many"})
    with pytest.raises(ConfigErrors, match="did you mean 'MAKIBA_HTTP_PORT'"):
        load_settings({"MAKIBA_HOME": str(tmp_path), "MAKIBA_HTPP_PORT": "1"})
    (tmp_path / "makiba.yaml").write_text("http_port: 8001\nmqtt_prt: 8002\n")
    with pytest.raises(ConfigErrors, match=r"makiba\.yaml:2:1: mqtt_prt: unknown key.*'mqtt_port'"):
        load_settings({"MAKIBA_HOME": str(tmp_path)})


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    got = load_settings({"MAKIBA_HOME": str(tmp_path), "MAKIBA_STORE_TOKEN_FILE": str(tmp_path / "token")})
    assert got.store_token is not None
    assert got.store_token.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(got)
    assert "s3cret" not in got.model_dump_json()


def test_nothing_listens_beyond_this_machine_by_default() -> None:
    assert Settings().http_host == "127.0.0.1"
    assert Settings().mqtt_host == "127.0.0.1"


def test_the_configurations_are_found() -> None:
    assert (configs_dir() / "devices").is_dir()
