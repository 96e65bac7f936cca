"""What of a pack may be stored: decided without a store, a registry or a broker."""

from __future__ import annotations

import json
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.judge import MAX_LETTERS, MAX_NAMED, Judged, Owner, Pack, letters_of, outcome_of, without
from collectors.judge import judge as judge_into
from makiba.reading import Columns, Reading, Series
from makiba.senml import CONTENT_TYPE_CBOR, CONTENT_TYPE_JSON, encode_cbor
from makiba.wire import MAX_PACK_BYTES, Ack, BatchId

NOW = 1_790_000_000_000
BATCH = BatchId("00000000000000aa", 7)
OURS = Owner("s-1")
AIR = Series("s-1", "d", "air_temperature")


def pack(payload: bytes | list[dict[str, Any]], **more: Any) -> Pack:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Pack("gw-a", BATCH.to_bytes(), data, NOW, **more)


def judge(pack: Pack, owner: Owner) -> Judged:
    return judge_into(pack, owner, Columns())


def taken(judged: Judged) -> list[Reading]:
    return list(outcome_of(judged, NOW).stored)


def record(**more: Any) -> dict[str, Any]:
    return {"n": str(AIR), "u": "Cel", "t": NOW / 1000, "v": 1.5, **more}


def test_readings_of_the_gateways_own_site_are_taken() -> None:
    judged = judge(pack([record(), record(v=2.5, t=NOW / 1000 + 1)]), OURS)
    assert taken(judged) == [Reading(AIR, NOW, 1.5), Reading(AIR, NOW + 1000, 2.5)]
    outcome = outcome_of(judged, NOW + 9)
    assert outcome.ack == Ack(batch=str(BATCH), stored=2, refused=(), time_ms=NOW + 9)


def test_cbor_is_taken_as_well_as_json() -> None:
    rows = [Reading(AIR, NOW + i, float(i)) for i in range(3)]
    judged = judge(pack(encode_cbor(rows), content_type=CONTENT_TYPE_CBOR), OURS)
    assert taken(judged) == rows


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"n": "s-2/d/air_temperature"}, "site s-2 is not the site of gw-a"),
        ({"t": 1_400_000_000}, "before 2015"),
        ({"t": NOW / 1000 + 86_401}, "more than a day ahead"),
        ({"v": 71}, "71 is outside -60.0..70.0 Cel"),
        ({"u": "K"}, "unit 'K'"),
        ({"n": "s-1/d/air_temprature"}, "did you mean 'air_temperature'"),
        ({"v": "1"}, "not a finite number"),
        ({"n": "s-1/../air_temperature"}, "is not of the form"),
    ],
)
def test_a_wrong_record_is_refused_alone(wrong: dict[str, Any], reason: str) -> None:
    judged = judge(pack([record(), record(**wrong), record(t=NOW / 1000 + 2)]), OURS)
    assert judged.places == [0, 2]
    (letter,) = letters_of(judged)
    assert (letter.index, letter.batch, letter.gateway) == (1, str(BATCH), "gw-a")
    assert reason in letter.reason
    assert json.loads(letter.record) == record(**wrong)
    ack = outcome_of(judged, NOW).ack
    assert ack
    assert [(r.index, r.reason) for r in ack.refused] == [(1, letter.reason)]


def test_a_pack_that_cannot_be_read_is_one_letter_and_is_answered() -> None:
    judged = judge(pack(b"\x00garbage"), OURS)
    (letter,) = letters_of(judged)
    assert (letter.index, letter.record, letter.payload) == (0, "\x00garbage", b"\x00garbage")
    ack = outcome_of(judged, NOW).ack
    assert ack
    assert ack.stored == 0


def test_a_pack_without_a_batch_id_is_a_letter_and_not_answered() -> None:
    nameless = Pack("gw-a", b"", json.dumps([record()]).encode(), NOW)
    judged = judge(nameless, OURS)
    assert taken(judged) == []
    assert outcome_of(judged, NOW).ack is None
    assert [letter.batch for letter in letters_of(judged)] == [letter.batch for letter in letters_of(judged)]


def test_an_unknown_gateway_is_held_and_a_revoked_one_refused() -> None:
    held = outcome_of(judge(pack([record()]), Owner(None)), NOW)
    assert (held.held, held.ack, held.refused) == (True, None, ())
    revoked = outcome_of(judge(pack([record()]), Owner("s-1", revoked=True)), NOW)
    assert revoked.ack
    assert revoked.count == 0
    assert "revoked" in revoked.refused[0].reason


@pytest.mark.parametrize("wrong", [[], [record(v=99)]], ids=["a plain pack", "a pack with a refused record"])
def test_what_the_store_rejects_is_refused_with_its_reason(wrong: list[dict[str, Any]]) -> None:
    columns = Columns([AIR], [NOW - 9], [0.0])  # of another pack, which is in front of this one
    given = [{"bn": "", "bt": 0}, record(), record(t=NOW / 1000 + 1), record(t=NOW / 1000 + 2), *wrong]
    judged = judge_into(pack(given), OURS, columns)
    assert (judged.plain is None) == bool(wrong)
    left = without(judged, {2: "type conflict", 0: "not ours"})
    assert taken(left) == [Reading(AIR, NOW, 1.5), Reading(AIR, NOW + 2000, 1.5)]
    assert left.places == [1, 3]
    assert (left.refused[0].index, left.refused[0].reason) == (2, "type conflict")
    assert [letter.index for letter in letters_of(left)] == [2, *([4] if wrong else [])]
    assert json.loads(letters_of(left)[0].record) == given[2]
    assert without(judged, {0: "not ours"}) is judged


def test_an_answer_fits_into_a_packet_and_all_that_was_refused_is_kept() -> None:
    wrong = [{"n": "漢" * 300, "v": 1} for _ in range(5000)]
    judged = judge(pack(cbor2.dumps(wrong), content_type=CONTENT_TYPE_CBOR), OURS)
    assert len(letters_of(judged)) == 1  # too long for one packet altogether
    judged = judge(pack([{"n": "x" * 30, "v": 1} for _ in range(5000)]), OURS)
    ack = outcome_of(judged, NOW).ack
    assert ack
    assert len(ack.refused) == MAX_NAMED
    assert len(ack.to_bytes()) < MAX_PACK_BYTES
    letters = letters_of(judged)
    assert [letter.index for letter in letters] == list(range(MAX_LETTERS))
    assert [letter.payload for letter in letters] == [None] * (MAX_LETTERS - 1) + [judged.pack.payload]
    assert "and 4500 more records of this pack, which is kept whole" in letters[-1].reason


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
_labels = st.sampled_from(["bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut"])


@given(
    st.lists(st.dictionaries(_labels, _json | st.sampled_from([str(AIR), "Cel", NOW / 1000]), max_size=6), max_size=6)
)
def test_nothing_that_json_can_say_breaks_the_judge(records: list[dict[str, Any]]) -> None:
    judged = judge(pack(json.dumps(records).encode()), OURS)
    outcome = outcome_of(judged, NOW)
    assert outcome.ack
    assert outcome.ack.to_bytes()
    assert len(letters_of(judged)) == len(judged.refused)
    assert all(reading.series.site == "s-1" for reading in outcome.stored)


@given(st.binary(max_size=60), st.sampled_from([CONTENT_TYPE_JSON, CONTENT_TYPE_CBOR, "text/plain", ""]),
       st.sampled_from([None, "deflate", "gzip"]))  # fmt: skip
def test_no_bytes_break_the_judge(data: bytes, content_type: str, encoding: str | None) -> None:
    judged = judge(pack(data, content_type=content_type, content_encoding=encoding), OURS)
    outcome = outcome_of(judged, NOW)
    assert outcome.ack
    assert outcome.ack.to_bytes()
    assert len(letters_of(judged)) == len(judged.refused)
