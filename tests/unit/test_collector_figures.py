"""Every reason that a refusal can have is counted under a kind of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collectors.judge import Owner, Pack, judge
from collectors.metrics import KINDS, kind_of
from makiba.reading import Columns

NOW = 1_790_000_000_000
GOOD: dict[str, Any] = {"n": "s-1/d/air_temperature", "u": "Cel", "t": NOW / 1000, "v": 1.5}


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ({"n": "s-2/d/air_temperature"}, "site"),
        ({"t": 1e9}, "time"),
        ({"t": 4e9}, "time"),
        ({"t": 1e300}, "time"),
        ({"t": "x"}, "time"),
        ({"v": 999}, "implausible"),
        ({"u": "K"}, "unit"),
        ({"u": 1}, "unit"),
        ({"n": "s-1/d/mood"}, "quantity"),
        ({"n": "s-1/d"}, "name"),
        ({"n": "s-1/ /air_temperature"}, "name"),
        ({"n": 1}, "name"),
        ({"n": ""}, "name"),
        ({"v": "x"}, "value"),
        ({"v": 1, "vs": "x"}, "value"),
        ({"v": None, "vs": "x"}, "value"),
        ({"n": "s-1/d/state"}, "value"),
        ({"n": "s-1/d/state", "vs": "x" * 300}, "value"),
    ],
)
def test_a_record_s_reason_has_its_kind(record: dict[str, Any], kind: str) -> None:
    given = {k: v for k, v in (GOOD | record).items() if v is not None}
    if "vs" in record and record.get("v") is None:
        given.pop("v", None)
    assert _kinds(json.dumps([given]).encode()) == [kind]


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"payload": b"x"}, "unreadable"),
        ({"payload": b"{}"}, "unreadable"),
        ({"payload": b"[]"}, "unreadable"),
        ({"payload": b"[1]"}, "unreadable"),
        ({"payload": b"[{}]" * 100_000}, "unreadable"),
        ({"payload": b'[{"bver":99}]'}, "unreadable"),
        ({"payload": b"[{}]", "content_type": "text/plain"}, "unreadable"),
        ({"payload": b"[{}]", "content_encoding": "br"}, "unreadable"),
        ({"payload": b"[{}]", "content_encoding": "deflate"}, "unreadable"),
        ({"payload": b"[{}]", "content_type": "application/senml+cbor"}, "unreadable"),
        ({"payload": b"[{}]", "problem": "MQTT properties cannot be read: one is longer"}, "unreadable"),
        ({"payload": b"[{}]", "correlation": b"x"}, "batch"),
    ],
)
def test_a_pack_s_reason_has_its_kind(more: dict[str, Any], kind: str) -> None:
    assert _kinds(**more) == [kind]


def test_whatever_else_there_is_came_from_the_store_or_is_known() -> None:
    assert kind_of("partial write: points beyond retention policy dropped=1") in KINDS
    assert kind_of("gateway gw-a is revoked") == "revoked"
    assert kind_of("status cannot be read: state: String should match pattern") == "words"


def _kinds(payload: bytes, **more: Any) -> list[str]:
    given = {"correlation": b"00000000000000aa/1", **more}
    correlation = given.pop("correlation")
    judged = judge(Pack("gw-a", correlation, payload, NOW, **given), Owner("s-1"), Columns())
    return [kind_of(refusal.reason) for refusal in judged.refused]
