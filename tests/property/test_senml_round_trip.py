"""Whatever readings are written as SenML come back the same, from JSON and from CBOR, by any reader of the RFC."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makiba.quantities import catalogue
from makiba.reading import Reading, Series
from makiba.senml import SenmlError, encode_cbor, encode_json, parse_cbor, parse_json, readings_of

QUANTITIES = sorted(catalogue())

series = st.builds(
    Series,
    st.from_regex(r"[a-z0-9][a-z0-9-]{0,12}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9:._-]{0,12}", fullmatch=True),
    st.sampled_from(QUANTITIES),
)


@st.composite
def reading(draw: st.DrawFn) -> Reading:
    s = draw(series)
    value = (
        draw(st.text(max_size=50))
        if catalogue()[s.quantity].kind == "text"
        else draw(st.floats(allow_nan=False, allow_infinity=False))
    )
    return Reading(s, draw(st.integers(1_000_000_000_000, 2_500_000_000_000)), value)


def by_key(readings: list[Reading]) -> dict[tuple[Series, int], Any]:
    return {(r.series, r.time_ms): r.value for r in readings}


@pytest.mark.parametrize("series_major", [False, True])
@pytest.mark.parametrize(("encode", "decode"), [(encode_json, parse_json), (encode_cbor, parse_cbor)])
@given(st.lists(reading(), min_size=1, max_size=30, unique_by=lambda r: (r.series, r.time_ms)))
def test_readings_come_back_the_same(
    encode: Callable[..., bytes],
    decode: Callable[[bytes], list[dict[str, Any]]],
    series_major: bool,
    readings: list[Reading],
) -> None:
    taken, refused = readings_of(decode(encode(readings, series_major=series_major)), now_s=0)
    assert not refused
    assert by_key([r for _, r in taken]) == by_key(readings)
    assert len(taken) == len(readings)


def plain_reader(pack: list[dict[str, Any]]) -> dict[tuple[str, int], Any]:
    """A reader of RFC 8428 that shares nothing with ours: section 4.6 in ten lines."""
    base: dict[str, Any] = {}
    got: dict[tuple[str, int], Any] = {}
    for record in pack:
        base.update({k: v for k, v in record.items() if k.startswith("b")})
        value = record["vs"] if "vs" in record else record["v"] + base.get("bv", 0)
        time = base.get("bt", 0) + record.get("t", 0)
        got[(base.get("bn", "") + record.get("n", ""), round(time * 1000))] = value
    return got


unique_readings = st.lists(reading(), min_size=1, max_size=30, unique_by=lambda r: (r.series, r.time_ms))


@pytest.mark.parametrize("series_major", [False, True])
@given(unique_readings)
def test_an_independent_reader_understands_our_packs(series_major: bool, readings: list[Reading]) -> None:
    pack = json.loads(encode_json(readings, series_major=series_major))
    assert plain_reader(pack) == {(str(r.series), r.time_ms): r.value for r in readings}


@given(unique_readings)
def test_a_live_pack_has_base_fields_in_its_first_record_only(readings: list[Reading]) -> None:
    first, *others = json.loads(encode_json(readings))
    assert {"bn", "bt", "n"} <= first.keys()
    assert all("n" in r and not any(k.startswith("b") for k in r) for r in others)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_cbor_reader(data: bytes) -> None:
    with contextlib.suppress(SenmlError):  # refused with a reason, which is all that is promised
        readings_of(parse_cbor(data), 0)
