"""Places with their newest values, and series in windows, over HTTP on a real registry and store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from collectors.registry.sites import record_status
from makiba.wire import GatewayStatus
from tests.service.serving import CONSOLE, SITE, Centre

PLACES = f"/api/v1/sites/{SITE}/places"
WINDOWS = f"/api/v1/sites/{SITE}/series/tank-1/milk_temperature/windows"


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    centre = Centre(tmp_path)
    centre.person(shikaoi_001="owner")
    return centre


def places(centre: Centre) -> dict[str, Any]:
    with centre.signed_in() as browser:
        answer = browser.get(PLACES)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told


def subjects(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {s["subject"]: s | {"place": p["id"]} for p in told["places"] for s in p["subjects"]}


def test_a_value_comes_with_everything_that_is_needed_to_show_it(centre: Centre) -> None:
    centre.write(f"{SITE}/barn-1-climate/air_temperature", 21.3, centre.clock() - 60_000)
    newest = centre.write(f"{SITE}/barn-1-climate/air_temperature", 21.4)
    centre.write(f"{SITE}/barn-1-climate/state", "ok")
    told = places(centre)
    assert [p["id"] for p in told["places"]] == ["barn-1", "tank-room", "unplaced"]
    assert told["places"][0] | {"subjects": []} == {
        "id": "barn-1", "kind": "barn", "name": {"ja": "第1牛舎", "en": "Barn 1"}, "subjects": [],
    }  # fmt: skip
    climate = subjects(told)["barn-1-climate"]
    assert climate["name"] == {"ja": "牛舎の空気", "en": "Barn air"}
    assert (climate["device"], climate["gateway"], climate["state"]) == ("barn-1-climate", "gw-a", "ok")
    assert climate["values"] == [
        {
            "quantity": "air_temperature", "name": {"ja": "気温", "en": "air temperature"}, "unit": "℃",
            "factor": 1.0, "offset": 0.0, "decimals": 1, "kind": "gauge", "value": 21.4,
            "time_ms": newest.time_ms, "every_s": 30.0,
        }
    ]  # fmt: skip


def test_what_is_placed_or_reported_is_listed_before_it_ever_spoke(centre: Centre) -> None:
    told = subjects(places(centre))
    assert told["fan-1"] | {"values": None} == {
        "subject": "fan-1", "device": "fan-1", "gateway": None, "name": {"ja": "送風機1", "en": "Fan 1"},
        "role": "fan", "state": None, "state_ms": None, "values": None, "place": "barn-1",
    }  # fmt: skip
    assert told["pt100.ch1"]["place"] == "unplaced"


def test_what_stands_nowhere_is_listed_as_not_placed(centre: Centre) -> None:
    centre.write(f"{SITE}/pt100.ch1/pipe_temperature", 3.5)
    centre.write(f"{SITE}/new-one/ammonia", 2e-6)
    told = places(centre)
    assert told["places"][-1]["name"] == {"ja": "未配置", "en": "Not placed"}
    assert subjects(told)["new-one"]["values"][0]["every_s"] is None
    assert subjects(told)["pt100.ch1"]["values"][0]["every_s"] == 10.0


def test_buses_gateways_and_devices_with_channels_are_no_sensors(centre: Centre) -> None:
    centre.write(f"{SITE}/gw-a/state", "online")
    centre.write(f"{SITE}/gw-a/spool_backlog", 3.0)
    centre.write(f"{SITE}/gw-a.barn/state", "ok")
    centre.write(f"{SITE}/gw-a.barn/bus_utilisation", 0.2)
    centre.write(f"{SITE}/pt100/state", "ok")
    centre.write(f"{SITE}/pt100/firmware", "V2.1")
    assert set(subjects(places(centre))) == {"barn-1-climate", "fan-1", "tank-1", "pt100.ch1", "pt100.ch2"}


def test_a_silent_device_silences_its_channels_and_a_channel_can_be_bad_alone(centre: Centre) -> None:
    centre.write(f"{SITE}/pt100/state", "ok")
    centre.write(f"{SITE}/pt100.ch1/state", "ok")
    centre.write(f"{SITE}/pt100.ch2/state", "sentinel")
    told = subjects(places(centre))
    assert (told["pt100.ch1"]["state"], told["pt100.ch2"]["state"]) == ("ok", "sentinel")
    centre.clock.ms += 1_000
    centre.write(f"{SITE}/pt100/state", "timeout")
    told = subjects(places(centre))
    assert (told["pt100.ch1"]["state"], told["pt100.ch2"]["state"]) == ("timeout", "timeout")
    assert told["pt100.ch1"]["state_ms"] == centre.clock()


def test_a_gateway_says_whether_it_is_there(centre: Centre) -> None:
    assert places(centre)["gateways"] == [{"id": "gw-a", "status": "unknown", "status_ms": 0}]
    said = GatewayStatus(state="online", connection="1", time_ms=centre.clock(), site=SITE)
    with centre.registry.write() as session:
        record_status(session, CONSOLE, "gw-a", said, centre.clock())
    assert places(centre)["gateways"] == [{"id": "gw-a", "status": "online", "status_ms": centre.clock()}]


def test_windows_fold_what_was_measured_and_draw_the_farms_own_limit(centre: Centre) -> None:
    start = centre.clock() // 60_000 * 60_000
    for second, value in ((0, 4.0), (20, 5.0), (59, 3.0), (60, 9.0)):
        centre.write(f"{SITE}/tank-1/milk_temperature", value, start + 1_000 * second)
    with centre.signed_in() as browser:
        told = browser.get(WINDOWS, params={"start_ms": start, "end_ms": start + 120_000, "points": 2}).json()
    assert told["width_ms"] == 60_000
    assert told["windows"] == [[start, 3, 3.0, 4.0, 5.0, 3.0], [start + 60_000, 1, 9.0, 9.0, 9.0, 9.0]]
    assert (told["unit"], told["decimals"], told["name"]["ja"]) == ("℃", 1, "乳温")
    # 5.5 is this farm's own number; that a wash is hotter than 45 ℃ is a guard and no line.
    limits = [(x["rule"], x["kind"], x["value"]) for x in told["limits"]]
    assert limits == [("tank.hold", "above", 5.5)]
    assert told["limits"][0]["title"]["ja"]


def test_a_wrong_range_is_refused(centre: Centre) -> None:
    backwards = {"start_ms": 1_700_000_000_000, "end_ms": 1_700_000_000_000}
    wrong: list[dict[str, Any]] = [{"points": 0}, {"points": 2001}, {"start_ms": "x"}, {"end_ms": 1}, backwards]
    with centre.signed_in() as browser:
        assert [browser.get(WINDOWS, params=query).status_code for query in wrong] == [422] * len(wrong)
        assert browser.get(WINDOWS).status_code == 200


def test_what_never_spoke_has_no_windows_and_an_unknown_word_is_not_there(centre: Centre) -> None:
    with centre.signed_in() as browser:
        base = f"/api/v1/sites/{SITE}/series"
        assert browser.get(f"{base}/nobody/air_temperature/windows").json()["windows"] == []
        assert browser.get(f"{base}/tank-1/state/windows").json()["windows"] == []
        assert browser.get(f"{base}/tank-1/warmth/windows").status_code == 404
        assert browser.get(f"{base}/$/air_temperature/windows").status_code == 404
