"""The API under somebody who means harm: what costs much, what outlives its time, what goes by a side door."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from api.sessions import COOKIE
from makiba.reading import EARLIEST_MS, LATEST_MS, Reading, Series
from tests.service.serving import SITE, WRITE, Centre

MILK = Series(SITE, "tank-1", "milk_temperature")
YEAR = 366 * 86_400_000


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    return Centre(tmp_path)


def by(centre: Centre, person: int) -> dict[str, str]:
    """The headers of a browser that `person` is signed in with."""
    return WRITE | {"Cookie": f"{COOKIE}={centre.cookie(person)}"}


# ------------------------------------------------------------------------------------------------- what costs much


@pytest.mark.parametrize("wide", ["true", "false"])
def test_a_file_of_seconds_until_the_end_of_time_costs_what_is_stored(centre: Centre, wide: str) -> None:
    owner, now = centre.person(shikaoi_001="owner"), centre.clock()
    times = (now - 40 * YEAR, now - 20 * YEAR, now - 1_000, now)
    centre.store.write([Reading(MILK, at_ms, 4.0) for at_ms in times])
    asked = {"form": "csv", "language": "codes", "width_ms": 1_000, "wide": wide}
    with centre.serving() as browser:
        begun_s = time.process_time()
        answer = browser.get(
            f"/api/v1/sites/{SITE}/export",
            params=asked | {"start_ms": EARLIEST_MS, "end_ms": LATEST_MS},
            headers=by(centre, owner),
        )
        assert time.process_time() - begun_s < 3
    assert answer.status_code == 200, answer.text
    shown = [line.partition(",")[0] for line in answer.text.splitlines()[1:]]
    tokyo = timezone(timedelta(hours=9))
    assert [s[:19].replace("T", " ") for s in shown] == [
        f"{datetime.fromtimestamp(at_ms // 1_000, tokyo):%Y-%m-%d %H:%M:%S}" for at_ms in times
    ]


@pytest.mark.parametrize("made_up", [{"Cookie": f"a=b; {COOKIE}=x"}, {"Authorization": "Bearer x"}])
def test_made_up_credentials_are_no_way_round_the_count_of_an_address(
    tmp_path: Path, made_up: dict[str, str]
) -> None:
    centre = Centre(tmp_path, given={"api_rate_address": 10})
    paths = ("/session", "/session/passkey/options", "/recovery", "/invitations/look")
    with centre.serving() as browser:
        found = [browser.post(f"/api/v1{path}", headers=WRITE | made_up, json={}).status_code for path in paths * 5]
    assert set(found[-4:]) == {429}
    assert found.count(429) >= 9
