"""Devices, gateways, their states over time, and how complete a farm's data is."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.centre import PREFIX
from api.sessions import COOKIE
from collectors.registry import dead_letters, paces
from collectors.registry.dead_letters import Letter
from collectors.registry.sites import DeviceSpec, record_reported, record_status
from collectors.registry.viewer import Role, Service
from collectors.store.levels import DAY_MS, DAY_OFFSET_MS
from gateway.card import spell_gap
from gateway.spool_file import Gap
from makiba.data_class import DataClass
from makiba.reading import Columns, Series
from makiba.wire import GatewayStatus
from tests.service.serving import CONSOLE, SITE, WRITE, Centre, Clock

FARM = f"{PREFIX}/sites/{SITE}"
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
MIDNIGHT = 1_790_000_000_000 // DAY_MS * DAY_MS + DAY_OFFSET_MS + 30 * DAY_MS
COLLECTOR = Service("collector")


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    made = Centre(tmp_path, Clock(MIDNIGHT))
    yield made
    made.registry.close()
    made.store.close()


@contextmanager
def somebody(centre: Centre, role: Role = "owner", *shown: DataClass) -> Iterator[httpx.Client]:
    person = centre.person(f"{role}-1", password=None, shikaoi_001=role)
    if shown:
        centre.consent(SITE, *shown, person=person)
    with centre.serving() as browser:
        browser.headers.update({**WRITE, "Cookie": f"{COOKIE}={centre.cookie(person)}"})
        yield browser


def report_devices(centre: Centre, now_ms: int, every_s: float = 60.0) -> None:
    devices = [
        DeviceSpec("barn-1-climate", "barn", "xy-md02", every_s, ("barn-1-climate",)),
        DeviceSpec("pt100", "tank-room", "pt100-4ch", 10.0, ("pt100.ch1", "pt100.ch2")),
    ]
    with centre.registry.write() as session:
        record_reported(session, COLLECTOR, "gw-a", devices, now_ms)


def minutes(centre: Centre, name: str, start: int, end: int, without: tuple[int, int] = (0, 0)) -> None:
    series = Series.parse(name)
    times = [t for t in range(start, end, MINUTE_MS) if not without[0] <= t < without[1]]
    centre.store.write_columns(Columns([series] * len(times), times, [5.0] * len(times)))


# ------------------------------------------------------------------------------------------------------- devices


def test_a_device_says_its_state_since_when_and_when_it_last_measured(centre: Centre) -> None:
    report_devices(centre, MIDNIGHT - DAY_MS)
    for ago, word in (
        (3 * DAY_MS, "ok"),
        (40 * MINUTE_MS, "ok"),
        (20 * MINUTE_MS, "timeout"),
        (5 * MINUTE_MS, "timeout"),
    ):
        centre.write(f"{SITE}/barn-1-climate/state", word, MIDNIGHT - ago)
    centre.write(f"{SITE}/pt100/state", "ok", MIDNIGHT - MINUTE_MS)
    centre.write(f"{SITE}/pt100.ch1/milk_temperature", 4.0, MIDNIGHT - 2 * MINUTE_MS)
    with somebody(centre) as owner:
        answer = owner.get(f"{FARM}/devices")
        barn, tank = answer.json()["rows"]
        assert (barn["name"], barn["profile"], barn["every_s"], barn["last_reading_ms"]) == (
            "barn-1-climate", "xy-md02", 60.0, None,
        )  # fmt: skip
        assert barn["state"] == {
            "state": "timeout", "since_ms": MIDNIGHT - 20 * MINUTE_MS, "since_is_exact": True,
            "said_ms": MIDNIGHT - 5 * MINUTE_MS,
        }  # fmt: skip
        assert barn["subjects"][0]["place"] == "barn-1"
        assert (tank["state"]["since_is_exact"], tank["last_reading_ms"]) == (False, MIDNIGHT - 2 * MINUTE_MS)
        assert owner.get(f"{FARM}/devices", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
        assert owner.get(f"{FARM}/devices/barn-1-climate").json() == barn
        assert owner.get(f"{FARM}/devices/nothing").status_code == 404
        first = owner.get(f"{FARM}/devices", params={"limit": 1}).json()
        rest = owner.get(f"{FARM}/devices", params={"limit": 1, "cursor": first["next"]}).json()
        assert ([r["name"] for r in first["rows"] + rest["rows"]], rest["next"]) == (
            ["barn-1-climate", "pt100"],
            None,
        )
        span = {"from_ms": MIDNIGHT - HOUR_MS, "to_ms": MIDNIGHT}
        told = owner.get(f"{FARM}/devices/barn-1-climate/states", params=span).json()["rows"]
        assert [(r["state"], r["from_ms"], r["to_ms"]) for r in told] == [
            ("timeout", MIDNIGHT - 20 * MINUTE_MS, None),
            ("ok", MIDNIGHT - 40 * MINUTE_MS, MIDNIGHT - 20 * MINUTE_MS),
        ]
        wide = {"from_ms": MIDNIGHT - 93 * DAY_MS, "to_ms": MIDNIGHT}
        assert owner.get(f"{FARM}/devices/pt100/states", params=wide).status_code == 422


def test_a_gateway_says_its_link_its_backlog_and_what_was_refused(centre: Centre) -> None:
    with centre.registry.write() as session:
        status = GatewayStatus(state="online", connection="1", time_ms=MIDNIGHT - HOUR_MS, site=SITE, software="1.2")
        record_status(session, COLLECTOR, "gw-a", status, MIDNIGHT - HOUR_MS)
        letters = [Letter("gw-a", f"{n}", 0, MIDNIGHT - HOUR_MS, "x", "a secret value 6.64", "[]") for n in range(3)]
        dead_letters.add(session, COLLECTOR, [*letters, Letter("gw-b", "1", 0, MIDNIGHT, "x", "y", "[]")])
    centre.write(f"{SITE}/gw-a/spool_backlog", 120.0, MIDNIGHT - MINUTE_MS)
    centre.write(f"{SITE}/gw-a/state", "offline", MIDNIGHT - 2 * HOUR_MS)
    centre.write(f"{SITE}/gw-a/state", "online", MIDNIGHT - HOUR_MS)
    with somebody(centre, "technician", "technical") as guest:
        answer = guest.get(f"{FARM}/gateways")
        [row] = answer.json()["rows"]
        assert (row["id"], row["status"], row["software"], row["devices"]) == ("gw-a", "online", "1.2", 2)
        assert row["backlog"] == {"value": 120.0, "time_ms": MIDNIGHT - MINUTE_MS}
        assert row["refused"] == {"letters": 3, "left_out": 0, "last_ms": MIDNIGHT - HOUR_MS}
        assert "secret" not in answer.text
        assert guest.get(f"{FARM}/gateways/gw-a").json() == row
        told = guest.get(f"{FARM}/gateways/gw-a/states").json()["rows"]
        assert [r["state"] for r in told] == ["online", "offline"]
        other = guest.get(f"{FARM}/gateways/gw-b")
        assert (other.status_code, other.content) == (404, guest.get(f"{FARM}/gateways/gw-zzz").content)


# -------------------------------------------------------------------------------------------------- completeness


def whole(centre: Centre, **span: int) -> dict[str, Any]:
    with somebody(centre) as owner:
        told: dict[str, Any] = owner.get(f"{FARM}/completeness", params=span).json()
        return told


def test_what_is_missing_is_counted_and_explained(centre: Centre) -> None:
    start = MIDNIGHT - 3 * DAY_MS
    report_devices(centre, start - DAY_MS)
    bad = (start + DAY_MS + HOUR_MS, start + DAY_MS + 3 * HOUR_MS)
    minutes(centre, f"{SITE}/barn-1-climate/air_temperature", start, MIDNIGHT, without=bad)
    minutes(centre, f"{SITE}/barn-1-climate/relative_humidity", start, MIDNIGHT)
    centre.write(f"{SITE}/cow-1/body_weight", 600.0, start + HOUR_MS)
    for at in range(bad[0], bad[1], 8 * MINUTE_MS):
        centre.write(f"{SITE}/barn-1-climate/state", "timeout", at)
    centre.write(f"{SITE}/barn-1-climate/state", "ok", bad[1])
    gap = spell_gap(Gap(4711, start + DAY_MS, start + DAY_MS + HOUR_MS))
    centre.write(f"{SITE}/gw-a/spool_gap", gap, MIDNIGHT - HOUR_MS)
    with somebody(centre) as owner:
        window = {"targets": [{"kind": "place", "id": "barn-1"}], "from_ms": MIDNIGHT - HOUR_MS, "to_ms": MIDNIGHT}
        assert owner.post(f"{FARM}/maintenance", json={**window, "why": "点検"}).status_code == 201
        told = owner.get(f"{FARM}/completeness", params={"from_ms": start, "to_ms": MIDNIGHT}).json()
        air, damp, cow = told["series"]
        assert (air["quantity"], air["present"], air["expected"], air["basis"]) == (
            "air_temperature", 3 * 1440 - 120, 3 * 1440, "reported",
        )  # fmt: skip
        assert air["coverage"] == pytest.approx(1 - 120 / 4320)
        assert (air["gap_from_ms"], air["gap_to_ms"]) == (bad[0] - MINUTE_MS, bad[1])
        assert air["states"] == [{"state": "timeout", "ms": 2 * HOUR_MS}]
        assert air["maintenance_ms"] == HOUR_MS
        assert (damp["coverage"], damp["gap_from_ms"], damp["states"]) == (1.0, None, [])
        assert (cow["expected"], cow["basis"], cow["coverage"]) == (None, "unknown", None)
        assert told["total"] == {
            "series": 3, "known": 2, "present": 8640 - 120, "expected": 8640, "coverage": (8640 - 120) / 8640,
        }  # fmt: skip
        assert told["gateway_gaps"] == [
            {
                "gateway": "gw-a", "said_ms": MIDNIGHT - HOUR_MS, "from_ms": start + DAY_MS,
                "to_ms": start + DAY_MS + HOUR_MS, "readings": 4711, "thinned": False,
            }
        ]  # fmt: skip
        table = owner.get(f"{FARM}/completeness", params={"from_ms": start}, headers={"Accept": "text/csv"})
        assert table.headers["content-type"].startswith("text/csv")
        assert table.content.startswith(b"\xef\xbb\xbf")
        rows = list(csv.DictReader(io.StringIO(table.content.decode("utf-8-sig"))))
        assert [(r["subject"], r["present"], r["coverage_percent"]) for r in rows][:2] == [
            ("barn-1-climate", "4200", "97.22"), ("barn-1-climate", "4320", "100.0"),
        ]  # fmt: skip
        assert (rows[0]["longest_gap_minutes"], rows[0]["states_minutes"]) == ("121.0", "timeout:120.0")
        assert rows[-1]["subject"] == "total"


def test_a_pace_that_changed_is_counted_as_it_was_then(centre: Centre) -> None:
    start = MIDNIGHT - 2 * DAY_MS
    report_devices(centre, start - DAY_MS, every_s=60.0)
    report_devices(centre, start + DAY_MS, every_s=600.0)
    minutes(centre, f"{SITE}/barn-1-climate/air_temperature", start, start + DAY_MS)
    told = whole(centre, from_ms=start, to_ms=MIDNIGHT)["series"][0]
    assert (told["expected"], told["present"]) == (1440 + 144, 1440)
    assert (told["gap_from_ms"], told["gap_to_ms"]) == (start + DAY_MS - 60_000, MIDNIGHT)
    with centre.registry.write() as session:
        record_reported(session, COLLECTOR, "gw-a", [], MIDNIGHT + 1)
        assert paces.paces_of(session, CONSOLE, SITE)["pt100"][-1] == (MIDNIGHT + 1, 0.0)


def test_before_anybody_told_a_pace_it_is_assumed_from_the_first_reading_on(centre: Centre) -> None:
    start = MIDNIGHT - 2 * DAY_MS
    minutes(centre, f"{SITE}/pt100.ch1/milk_temperature", start + DAY_MS, MIDNIGHT)
    told = whole(centre, from_ms=start, to_ms=MIDNIGHT)["series"][0]
    assert (told["expected"], told["basis"], told["present"]) == (8640, "assumed", 1440)


def test_somebody_from_outside_counts_what_they_may_see_and_no_more(centre: Centre) -> None:
    start = MIDNIGHT - 2 * DAY_MS
    report_devices(centre, start - DAY_MS)
    minutes(centre, f"{SITE}/barn-1-climate/air_temperature", start, MIDNIGHT)
    minutes(centre, f"{SITE}/tank-1/milk_temperature", start, MIDNIGHT)
    centre.write(f"{SITE}/gw-a/spool_gap", "5 readings dropped", MIDNIGHT - HOUR_MS)
    with somebody(centre, "coop", "tank") as coop:
        told = coop.get(f"{FARM}/completeness", params={"from_ms": start}).json()
        assert [s["subject"] for s in told["series"]] == ["tank-1"]
        assert told["total"]["series"] == 1
        assert told["gateway_gaps"] == []
