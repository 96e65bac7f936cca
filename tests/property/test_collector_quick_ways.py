"""What the collector does quickly is what the general way does: packs, answers, MQTT packets, the feed."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from paho.mqtt import _packet
from paho.mqtt.client import MQTTv5
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from collectors.feed import feed_of_outcomes, feed_packets
from collectors.judge import Judged, Owner, Pack, judge, judge_records, outcome_of
from collectors.plain import EARLIEST_MS, Names, read_plain
from collectors.quick_paho import Malformed, QuickClient, arrival, frame, publish_packet
from makiba.quantities import catalogue
from makiba.reading import Columns, Reading, Series
from makiba.senml import SenmlError, encode_json, parse_json, readings_of
from makiba.wire import Ack, BatchId, is_batch_id, spell_ack, unpack_payload
from tests.often import often

NOW = 1_790_000_000_000
BATCH = BatchId("00000000000000aa", 7)
SITE = "s-1"


# ------------------------------------------------------------------------------------------------------- packs

_NAME_LIST: list[Any] = [
    "s-1/d/air_temperature",
    "s-1/d/state",
    "s-1/d/heat_index",
    "d/air_temperature",
    "d/state",
    "",
    "s-1/",
    "s-2/",
    "s-1/d.ch1/",
    "air_temperature",
    "s-2/d/air_temperature",
    "s-1/d/no_such",
    "s-1//air_temperature",
    "s-1/d/ammonia",
    "s-1/1\u00e9/air_temperature",
]
_NAMES: st.SearchStrategy[Any] = st.sampled_from(_NAME_LIST)
_TIME_LIST: list[Any] = [
    NOW / 1000,
    NOW // 1000,
    0,
    0.0,
    -0.0,
    1,
    0.25,
    -1,
    2**28,
    1e9,
    1.4e9,
    EARLIEST_MS / 1000,
    NOW / 1000 + 86_400,
    NOW / 1000 + 86_401,
    1e15,
    -1e15,
    1e300,
    2**63,
    2**64,
    10**25,
    True,
    None,
    "1",
    [],
    {},
]
_TIMES: st.SearchStrategy[Any] = st.sampled_from(_TIME_LIST)
_VALUE_LIST: list[Any] = [
    1.5,
    1,
    0,
    -0.0,
    70.0,
    70.1,
    -60,
    999,
    2**63,
    2**64 + 1,
    10**400,
    1e-320,
    5e-7,
    True,
    None,
    "1",
    [1],
    {"v": 1},
]
_VALUES: st.SearchStrategy[Any] = st.sampled_from(_VALUE_LIST)
_TEXT_LIST: list[Any] = ["ok", "", "x" * 200, "x" * 201, "\x00", "\ud800", "漢", "\ufeff", 1, None, True, []]
_TEXTS: st.SearchStrategy[Any] = st.sampled_from(_TEXT_LIST)
_UNIT_LIST: list[Any] = ["Cel", "K", "1", "/", "ppm", "", None, 1, []]
_UNITS: st.SearchStrategy[Any] = st.sampled_from(_UNIT_LIST)
_RECORD = st.fixed_dictionaries(
    {},
    optional={
        "bn": _NAMES | st.sampled_from([None, 1]),
        "bt": _TIMES,
        "bu": _UNITS,
        "bv": _VALUES,
        "bs": _VALUES,
        "bver": st.sampled_from([10, 26, 11, 10.0, True, None]),
        "n": _NAMES | st.sampled_from([None, 1, [], {}]),
        "u": _UNITS,
        "v": _VALUES,
        "vs": _TEXTS,
        "vb": st.sampled_from([True, None]),
        "t": _TIMES,
        "s": _VALUES,
        "ut": _TIMES,
        "x": _VALUES,
        "x_": _VALUES,
    },
)
_LIKELY = st.fixed_dictionaries(
    {"n": st.sampled_from(["d/air_temperature", "d/state", "d/heat_index", "d/ammonia"]), "t": _TIMES},
    optional={"u": st.sampled_from(["Cel", "/", "ppm"]), "v": _VALUES, "vs": _TEXTS},
)
_GOOD: list[list[dict[str, Any]]] = [
    [{"bn": "s-1/", "bt": NOW / 1000, "n": "d/air_temperature", "u": "Cel", "v": 1.5},
     {"n": "d/state", "vs": "ok", "t": 0.25}, {"n": "d/ammonia", "u": "/", "v": 5e-7, "t": -1}],
    [{"n": "s-1/d/air_temperature", "u": "Cel", "v": 1, "t": NOW / 1000},
     {"n": "s-1/d/state", "vs": "", "t": NOW // 1000}],
    [{"bn": "s-1/d/state", "bt": NOW / 1000, "vs": "ok"}, {"bn": "s-1/d/air_temperature", "bu": "Cel", "v": 70.0},
     {"t": 1, "v": -60}],
]  # fmt: skip
_FIELDS: dict[str, list[Any]] = {
    "bn": _NAME_LIST, "bt": _TIME_LIST, "bu": _UNIT_LIST, "bv": _VALUE_LIST, "bs": _VALUE_LIST, "n": _NAME_LIST,
    "u": _UNIT_LIST, "v": _VALUE_LIST, "vs": _TEXT_LIST, "t": _TIME_LIST, "s": _VALUE_LIST, "ut": _TIME_LIST,
    "x": _VALUE_LIST, "x_": _VALUE_LIST, "vb": [True], "bver": [10, 26, 11],
}  # fmt: skip


def changed(records: list[dict[str, Any]], place: int, change: tuple[str, Any]) -> list[dict[str, Any]]:
    """Good records, but for one field of one of them."""
    found = [dict(record) for record in records]
    found[place % len(found)][change[0]] = change[1]
    return found


_PACK = st.lists(_RECORD, max_size=5) | st.builds(
    lambda bt, rows: [{"bn": "s-1/", "bt": bt}, *rows], _TIMES, st.lists(_LIKELY, max_size=5)
)


def the_general_way(data: bytes, received_ms: int = NOW) -> Judged | str:
    pack = Pack("gw-a", BATCH.to_bytes(), data, received_ms)
    try:
        return judge_records(pack, SITE, data, Columns())
    except SenmlError as error:
        return str(error)


def same_as_the_general_way(data: bytes, names: Names) -> bool:
    """Whether `data` was taken the quick way."""
    before = Columns([Series(SITE, "x", "state")], [NOW], ["ok"])
    columns = Columns.of(before.readings())
    plain = read_plain(data, names, NOW, columns)
    general = the_general_way(data)
    if plain is None:
        assert columns.readings() == before.readings()
        return False
    assert isinstance(general, Judged), general
    assert not general.refused
    assert [str(s) for s in columns.series[1:]] == [str(s) for s in general.columns.series]
    assert columns.times_ms[1:] == general.columns.times_ms
    assert [repr(v) for v in columns.values[1:]] == [repr(v) for v in general.columns.values]
    assert plain.count == len(general.columns)
    return True


NAMES_THAT_STAY = Names(SITE)
"""Used by all examples, as a sender's are by all of its packs."""


@settings(max_examples=often(400), deadline=None)
@given(_PACK)
def test_a_pack_that_is_read_quickly_is_read_as_any_other(records: list[dict[str, Any]]) -> None:
    data = json.dumps(records).encode()
    same_as_the_general_way(data, NAMES_THAT_STAY)
    same_as_the_general_way(data, Names(SITE))


@given(st.binary(max_size=40) | st.text(alphabet='[]{}",:0123456789eE+-.ntvbu \\\ufeff', max_size=40).map(str.encode))
@example(b'[{"n":"s-1/d/state","t":1790000000,"vs":"\xed\xa0\x80"}]')
@example(b'\xef\xbb\xbf[{"n":"s-1/d/state","t":1790000000,"vs":"a"}]')
@example('[{"n":"s-1/d/state","t":1790000000,"vs":"a"}]'.encode("utf-16"))
@example(b'[{"n":"s-1/d/state","t":1790000000,"vs":"a","vs":"b"}]')
@example(b'[{"n":"s-1/d/air_temperature","u":"Cel","t":1790000000,"v":NaN}]')
@example(b'[{"n":"s-1/d/air_temperature","u":"Cel","t":1790000000,"v":1e999}]')
@example(b'[{"n":"s-1/d/air_temperature","u":"Cel","t":1790000000,"v":1' + b"0" * 5000 + b"}]")
@example(b"[" * 2000)
@example(b'[{"n":"s-1/d/state","t":1790000000,"vs":"a","x":' + b"[" * 1010 + b"]" * 1010 + b"}]")
def test_no_bytes_are_read_quickly_that_are_not_a_pack(data: bytes) -> None:
    same_as_the_general_way(data, NAMES_THAT_STAY)


_QUANTITIES = sorted(q for q in catalogue() if catalogue()[q].kind != "text")
_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["d", "tank-1", "soil-3.ch2"]),
        st.sampled_from(_QUANTITIES[:8]),
        st.integers(NOW - 3_600_000, NOW + 1000),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda row: row[:3],
)


def test_good_packs_are_read_quickly_and_any_one_field_of_them_may_be_anything() -> None:
    quick = 0
    for records in _GOOD:
        assert same_as_the_general_way(json.dumps(records).encode(), Names(SITE))
        for place in range(len(records)):
            for label, values in _FIELDS.items():
                for value in values:
                    data = json.dumps(changed(records, place, (label, value))).encode()
                    quick += same_as_the_general_way(data, NAMES_THAT_STAY)
    assert quick > 50


@given(_ROWS, st.booleans())
def test_what_gateways_write_is_read_quickly(rows: list[tuple[str, str, int, float]], series_major: bool) -> None:
    readings = [Reading(Series(SITE, d, q), t, v) for d, q, t, v in rows if catalogue()[q].is_plausible(v)]
    if readings:
        data = encode_json(readings, series_major=series_major)
        assert same_as_the_general_way(data, NAMES_THAT_STAY)


# ------------------------------------------------------------------------------------------------------ answers


@given(st.binary(max_size=40) | st.from_regex(rb"[0-9a-f]{15,17}/[0-9]{0,19}", fullmatch=True))
@example(b"00000000000000aa/1\n")
@example(b"00000000000000aa/0")
@example(b"00000000000000aa/" + b"9" * 18)
@example(b"00000000000000aa/" + b"9" * 60)
def test_a_batch_id_is_recognised_as_it_is_read(data: bytes) -> None:
    try:
        found = BatchId.from_bytes(data).to_bytes() == data
    except ValueError:
        found = False
    assert is_batch_id(data) == found


@given(st.from_regex(rb"[0-9a-f]{16}/[1-9][0-9]{0,17}", fullmatch=True), st.integers(0, 10**6), st.integers(0, 2**60))
def test_an_answer_by_hand_is_the_model_s(batch: bytes, stored: int, time_ms: int) -> None:
    assert spell_ack(batch, stored, time_ms) == Ack(batch=batch.decode(), stored=stored, time_ms=time_ms).to_bytes()


# ------------------------------------------------------------------------------------------------- MQTT packets


def client() -> QuickClient:
    from paho.mqtt.enums import CallbackAPIVersion

    return QuickClient(CallbackAPIVersion.VERSION2, client_id="c", protocol=MQTTv5)


CLIENT = client()
_UTF8 = st.text(st.characters(min_codepoint=1, codec="utf-8", exclude_characters="\ufeff"), max_size=20)
_PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "PayloadFormatIndicator": st.integers(0, 1),
        "MessageExpiryInterval": st.integers(0, 2**32 - 1),
        "ContentType": _UTF8,
        "ResponseTopic": _UTF8,
        "CorrelationData": st.binary(max_size=40),
        "SubscriptionIdentifier": st.lists(st.integers(1, 2**28 - 1), min_size=1, max_size=2),
        "TopicAlias": st.integers(1, 65535),
        "UserProperty": st.lists(st.tuples(_UTF8 | st.just("content-encoding"), _UTF8), min_size=1, max_size=4),
    },
)


def spelled(properties: dict[str, Any]) -> bytes:
    made = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    for name, value in properties.items():
        setattr(made, name, value)
    return bytes(made.pack())  # type: ignore[no-untyped-call]


@given(_UTF8, _PROPERTIES, st.binary(max_size=300), st.integers(0, 2), st.integers(1, 65535), st.booleans())
def test_a_message_is_cut_as_paho_cuts_it(
    topic: str, properties: dict[str, Any], payload: bytes, qos: int, mid: int, retain: bool
) -> None:
    name = topic.encode()
    body = len(name).to_bytes(2, "big") + name + (mid.to_bytes(2, "big") if qos else b"")
    body += spelled(properties) + payload
    head = 0x30 | qos << 1 | retain
    theirs = _packet.decode_publish(head, body, MQTTv5)
    ours = arrival(CLIENT, head, body, NOW)
    assert ours.problem == ""
    assert (ours.topic, ours.payload, ours.qos, ours.mid, ours.retain) == (
        theirs.topic, theirs.payload, theirs.qos, theirs.mid, theirs.retain
    )  # fmt: skip
    user = dict(getattr(theirs.properties, "UserProperty", []))
    assert ours.correlation == getattr(theirs.properties, "CorrelationData", b"")
    assert (ours.content_type or b"").decode() == getattr(theirs.properties, "ContentType", "")
    assert ours.content_encoding == (user["content-encoding"].encode() if "content-encoding" in user else None)


@given(st.binary(max_size=60), st.integers(0, 15))
def test_no_message_breaks_the_cutter(body: bytes, flags: int) -> None:
    try:
        found = arrival(CLIENT, 0x30 | flags, body, NOW)
    except Malformed:
        return  # the broker's own fault: it has checked what its clients send
    assert len(found.payload) <= len(body)


@given(
    _UTF8, st.binary(max_size=300), _UTF8, st.binary(max_size=30),
    st.lists(st.tuples(_UTF8, _UTF8), max_size=12),
)  # fmt: skip
def test_a_packet_by_hand_is_what_paho_reads(
    topic: str, payload: bytes, content_type: str, correlation: bytes, user: list[tuple[str, str]]
) -> None:
    packet = publish_packet(
        topic.encode(), payload, content_type=content_type.encode(), correlation=correlation,
        user=[(k.encode(), v.encode()) for k, v in user],
    )  # fmt: skip
    start, end = frame(packet, 0)
    assert end == len(packet)
    found = _packet.decode_publish(packet[0], packet[start:], MQTTv5)
    assert (found.topic, found.payload, found.qos) == (topic.encode(), payload, 0)
    properties: Any = found.properties
    assert properties.ContentType == content_type
    assert getattr(properties, "CorrelationData", b"") == correlation
    assert list(getattr(properties, "UserProperty", [])) == user


# ----------------------------------------------------------------------------------------------------- the feed


@given(st.lists(_ROWS, min_size=1, max_size=12), st.lists(st.integers(0, 4), min_size=12, max_size=12))
def test_the_feed_holds_what_was_stored_pack_by_pack(
    packs: list[list[tuple[str, str, int, float]]], forms: list[int]
) -> None:
    """Whatever form packs come in, alone or together: a reader of the feed finds each reading once."""
    import zlib

    columns = Columns()
    outcomes = []
    for number, (rows, form) in enumerate(zip(packs, forms, strict=False), 1):
        site = f"s-{number % 3 + 1}"
        readings = [Reading(Series(site, d, q), t, v) for d, q, t, v in rows if catalogue()[q].is_plausible(v)]
        if not readings:
            continue
        data, encoding = encode_json(readings, series_major=form == 1), None
        if form == 2:
            data, encoding = zlib.compress(data), "deflate"
        elif form == 3:  # no base name: may not follow another one
            data = json.dumps([{"n": str(r.series), "u": catalogue()[r.series.quantity].unit, "v": r.value,
                                "t": r.time_ms / 1000} for r in readings]).encode()  # fmt: skip
        elif form == 4:
            data = b" " + data + b"\n"
        batch = BatchId("00000000000000aa", number)
        pack = Pack(f"gw-{number}", batch.to_bytes(), data, NOW, content_encoding=encoding)
        judged = judge(pack, Owner(site), columns)
        assert not judged.refused
        outcomes.append(outcome_of(judged, NOW))
    stored = [(o.pack.gateway, r) for o in outcomes for r in o.stored]
    found: list[tuple[str, Reading]] = []
    for packet in feed_packets(outcomes):
        start, _ = frame(packet, 0)
        message = _packet.decode_publish(packet[0], packet[start:], MQTTv5)
        user: list[tuple[str, str]] = message.properties.UserProperty  # type: ignore[union-attr]
        taken, refused = readings_of(
            parse_json(unpack_payload(bytes(message.payload), dict(user).get("content-encoding"))), 0
        )
        assert not refused
        names = [value for key, value in user if key == "gateway"]
        assert len(names) == len([1 for key, _ in user if key == "batch"])
        assert {r.series.site for _, r in taken} == {f"s-{int(n[3:]) % 3 + 1}" for n in names}
        found += [(str(message.topic), r) for _, r in taken]
    assert sorted(str(r) for _, r in found) == sorted(str(r) for _, r in stored)
    assert len(list(feed_of_outcomes(outcomes))) <= len(outcomes)
