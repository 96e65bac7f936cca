"""SenML: the examples of RFC 8428 itself, and what is refused."""

import json

import cbor2
import pytest

from makiba.senml import (
    Record,
    Refusal,
    SenmlError,
    parse,
    parse_cbor,
    parse_json,
    readings_of,
    resolve,
)

NOW = 1.8e9


def records(text: str, now: float = NOW) -> list[Record]:
    outcome = resolve(parse_json(text), now)
    assert not [r for r in outcome if isinstance(r, Refusal)]
    return [r for r in outcome if isinstance(r, Record)]


def test_rfc_5_1_1_single_datapoint() -> None:
    assert records('[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]') == [
        Record("urn:dev:ow:10e2073a01080063", NOW, "Cel", 23.1)
    ]


def test_rfc_5_1_2_multiple_datapoints() -> None:
    text = """[
        {"bn":"urn:dev:ow:10e2073a01080063:","n":"voltage","u":"V","v":120.1},
        {"n":"current","u":"A","v":1.2}]"""
    assert records(text) == [
        Record("urn:dev:ow:10e2073a01080063:voltage", NOW, "V", 120.1),
        Record("urn:dev:ow:10e2073a01080063:current", NOW, "A", 1.2),
    ]
    text = """[
        {"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":10,"n":"voltage","u":"V","v":120.1},
        {"n":"current","t":-5,"v":1.2},
        {"n":"current","t":-4,"v":1.3},
        {"n":"current","t":-3,"v":1.4},
        {"n":"current","t":-2,"v":1.5},
        {"n":"current","t":-1,"v":1.6},
        {"n":"current","v":1.7}]"""
    got = records(text)
    assert got[0] == Record("urn:dev:ow:10e2073a0108006:voltage", 1.276020076001e9, "V", 120.1)
    assert got[1] == Record("urn:dev:ow:10e2073a0108006:current", 1.276020071001e9, "A", 1.2)
    assert got[6] == Record("urn:dev:ow:10e2073a0108006:current", 1.276020076001e9, "A", 1.7)


def test_rfc_5_1_3_multiple_measurements_with_relative_times() -> None:
    text = """[
        {"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09,"bu":"%RH","v":20},
        {"u":"lon","v":24.30621},
        {"u":"lat","v":60.07965},
        {"t":60,"v":20.3},
        {"u":"lon","t":60,"v":24.30622},
        {"u":"lat","t":60,"v":60.07965},
        {"t":120,"v":20.7},
        {"u":"lon","t":120,"v":24.30623},
        {"u":"lat","t":120,"v":60.07966},
        {"u":"%EL","t":150,"v":98},
        {"t":180,"v":21.2}]"""
    got = records(text)
    assert [(r.unit, r.time_s - 1.320067464e9, r.value) for r in got[:4]] == [
        ("%RH", 0, 20),
        ("lon", 0, 24.30621),
        ("lat", 0, 60.07965),
        ("%RH", 60, 20.3),
    ]
    assert len(got) == 11
    assert got[9].unit == "%EL"


def test_rfc_5_1_5_data_values() -> None:
    text = """[
        {"bn":"urn:dev:ow:10e2073a01080063:","n":"temp","u":"Cel","v":23.1},
        {"n":"label","vs":"Machine Room"},
        {"n":"open","vb":false},
        {"n":"nfc-reader","vd":"aGkgCg"}]"""
    assert [r.value for r in records(text)] == [23.1, "Machine Room", False, b"hi \n"]


def test_rfc_5_1_4_resolved_data_is_what_5_1_3_resolves_to() -> None:
    base = "urn:dev:ow:10e2073a01080063"
    relative = (
        f'[{{"bn":"{base}","bt":1.320067464e9,"bu":"%RH","v":20}},{{"u":"lon","v":24.30621}},{{"t":60,"v":20.3}}]'
    )
    resolved = f"""[
        {{"n":"{base}","u":"%RH","t":1.320067464e9,"v":20}},
        {{"n":"{base}","u":"lon","t":1.320067464e9,"v":24.30621}},
        {{"n":"{base}","u":"%RH","t":1.320067524e9,"v":20.3}}]"""
    assert records(relative) == records(resolved)


def test_rfc_5_1_6_collection_of_resources() -> None:
    text = """[
        {"bn":"2001:db8::2/","bt":1.320078429e9,"n":"temperature","u":"Cel","v":27.2},
        {"n":"humidity","u":"%RH","v":80}]"""
    assert records(text) == [
        Record("2001:db8::2/temperature", 1.320078429e9, "Cel", 27.2),
        Record("2001:db8::2/humidity", 1.320078429e9, "%RH", 80),
    ]


def test_base_value_and_base_sum_are_added_and_a_missing_one_is_zero() -> None:
    got = records('[{"bn":"a/","bv":20.0,"bs":100,"n":"t","u":"Cel","v":1.5},{"n":"h","s":4}]')
    assert [(r.value, r.sum) for r in got] == [(21.5, 100), (20, 104)]


def test_rfc_6_cbor_labels() -> None:
    # RFC 8428, section 6: integer labels of table 4, here by hand.
    pack = [
        {-2: "shikaoi-001/tank-1/", -3: 1.276020076e9, -4: "Cel", 0: "milk_temperature", 2: 4.5},
        {0: "temperature", 6: 2, 2: 5},
    ]
    taken, refused = readings_of(parse_cbor(cbor2.dumps(pack)), NOW)
    assert not refused
    assert [(str(r.series), r.time_ms, r.value) for _, r in taken] == [
        ("shikaoi-001/tank-1/milk_temperature", 1276020076000, 4.5),
        ("shikaoi-001/tank-1/temperature", 1276020078000, 5),
    ]


def test_a_time_below_2_to_28_is_relative_to_now() -> None:
    assert records('[{"n":"a","v":1,"t":-5},{"n":"a","v":1,"t":268435455}]')[0].time_s == NOW - 5
    assert records('[{"n":"a","v":1,"t":268435456}]')[0].time_s == 268435456


@pytest.mark.parametrize(
    ("pack", "why"),
    [
        ("{}", "array"),
        ("[]", "empty"),
        ("[1]", "record 0"),
        ("[{", "not JSON"),
        ('[{"n":"a","v":NaN}]', "NaN"),
        ("[" * 100000, "not JSON"),
        ('[{"bver":11,"n":"a","v":1}]', "version"),
        ('[{"bver":10,"n":"a","v":1},{"bver":26,"n":"a","v":1}]', "differs"),
        ('[{"n":"a","v":1},{"n":"b","must_":1,"v":1}]', "must_"),
        ('[{"bt":"x","n":"a","v":1}]', "'bt'"),
        ('[{"bn":1,"n":"a","v":1}]', "'bn'"),
        ('[{"bt":1e999,"n":"a","v":1}]', "'bt'"),
    ],
)
def test_a_pack_that_cannot_be_read_is_refused_whole(pack: str, why: str) -> None:
    with pytest.raises(SenmlError, match=why):
        resolve(parse_json(pack), NOW)


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({"n": "s-1/a/air_temperature", "u": "Cel"}, "neither a value nor a sum"),
        ({"n": "s-1/a/air_temperature", "u": "Cel", "v": "4"}, "finite number"),
        ({"n": "s-1/a/air_temperature", "u": "Cel", "v": True}, "finite number"),
        ({"n": "s-1/a/air_temperature", "u": "Cel", "v": 10**400}, "finite number"),
        ({"n": "s-1/a/air_temperature", "u": "Cel", "v": 1, "vs": "x"}, "more than one value"),
        ({"n": "s-1/a/air_temperature", "u": "K", "v": 280}, "unit 'K' where air_temperature has 'Cel'"),
        ({"n": "s-1/a/air_temperature", "v": 280}, "unit None"),
        ({"n": "s-1/a/air_temprature", "u": "Cel", "v": 1}, "did you mean 'air_temperature'"),
        ({"n": "s-1/air_temperature", "u": "Cel", "v": 1}, "site/subject/quantity"),
        ({"n": "S 1/a/air_temperature", "u": "Cel", "v": 1}, "site"),
        ({"n": "s-1/a/state", "v": 1}, "is a text"),
        ({"n": "s-1/a/state", "vs": "x" * 201}, "201 characters"),
        ({"n": "s-1/a/air_temperature", "u": "Cel", "vs": "1"}, "is a number"),
        ({"n": "s-1/a/air_temperature", "u": "Cel", "v": 1, "t": "now"}, "'t'"),
        ({"v": 1}, "no name"),
    ],
)
def test_a_wrong_record_is_refused_alone(record: dict[str, object], why: str) -> None:
    good = {"n": "s-1/a/air_temperature", "u": "Cel", "v": 4.5}
    taken, refused = readings_of(parse_json(json.dumps([good, record, good])), NOW)
    assert [i for i, _ in taken] == [0, 2]
    assert [r.index for r in refused] == [1]
    assert why in refused[0].reason


def test_a_declared_secondary_unit_is_converted() -> None:
    pack = '[{"bver":26,"n":"s-1/a/ammonia","u":"ppm","v":12},{"n":"s-1/a/air_pressure","u":"hPa","v":1013}]'
    taken, refused = readings_of(parse_json(pack), NOW)
    assert not refused
    assert [r.value for _, r in taken] == [pytest.approx(12e-6), 101300]


def test_a_content_type_that_is_not_senml_is_refused() -> None:
    with pytest.raises(SenmlError, match="text/plain"):
        parse(b"[]", "text/plain")
