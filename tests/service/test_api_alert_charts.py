"""The chart of an alert over HTTP: values, limits and language; who sees which; unchanged is not sent again."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from analytics import alert_book
from analytics.chart_png import NoFont, language_for
from analytics.decision import Decision
from collectors.registry.viewer import Service
from tests.service.serving import SITE, Centre

MINUTE = 60_000


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    centre = Centre(tmp_path)
    centre.person(shikaoi_001="owner")
    return centre


def a_warm_tank(centre: Centre) -> str:
    """An alert since 20 min ago, of milk that has become warmer for an hour; its address without `.svg`."""
    now_ms = centre.clock()
    for ago in range(60, -1, -1):
        centre.write(f"{SITE}/tank-1/milk_temperature", 7.0 - ago / 20, now_ms - ago * MINUTE)
    signals = {
        "t": {"quantity": "milk_temperature", "subject": "tank-1", "value": 7.0, "time_ms": now_ms, "toward": "above"}
    }
    said = Decision("open", SITE, "tank.hold", "tank-1", now_ms - 20 * MINUTE, now_ms, "critical", signals=signals)
    with centre.registry.write() as session:
        alert = alert_book.write(session, Service("analytics"), said, now_ms).alert_id
    return f"/api/v1/sites/{SITE}/alerts/{alert}/chart"


def test_it_shows_the_values_with_their_limit_in_the_viewers_language(centre: Centre) -> None:
    chart = a_warm_tank(centre)
    with centre.signed_in() as browser:
        answer = browser.get(f"{chart}.svg")
        english = browser.get(f"{chart}.svg?lang=en")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    texts = [e.text for e in ElementTree.fromstring(answer.text).iter() if e.text]
    assert "上限 5.5 ℃" in texts  # the farm's own number
    assert any("乳温が 高いです" in text for text in texts)
    assert any(text.startswith("危険 ") and text.endswith("から") for text in texts)
    assert "<polyline" in answer.text
    assert "limit 5.5 ℃" in english.text


def test_what_did_not_change_is_not_sent_again(centre: Centre) -> None:
    chart = a_warm_tank(centre)
    with centre.signed_in() as browser:
        tag = browser.get(f"{chart}.svg").headers["etag"]
        assert browser.get(f"{chart}.svg", headers={"If-None-Match": tag}).status_code == 304
        centre.write(f"{SITE}/tank-1/milk_temperature", 9.0, centre.clock() - 90_000)
        assert browser.get(f"{chart}.svg", headers={"If-None-Match": tag}).status_code == 200


def test_as_png_where_words_can_be_written(centre: Centre) -> None:
    chart = a_warm_tank(centre)
    try:
        language_for("ja")
    except NoFont:
        expected = (503, "application/problem+json")
    else:
        expected = (200, "image/png")
    with centre.signed_in() as browser:
        answer = browser.get(f"{chart}.png")
    assert (answer.status_code, answer.headers["content-type"]) == expected
    if expected[0] == 200:
        assert answer.content.startswith(b"\x89PNG")


def test_an_alert_of_another_farm_is_not_there(centre: Centre) -> None:
    chart = a_warm_tank(centre)
    with centre.signed_in() as browser:
        assert browser.get(f"{chart.replace(SITE, 'shikaoi-002')}.svg").status_code == 404
        assert browser.get(f"/api/v1/sites/{SITE}/alerts/nothing/chart.svg").status_code == 404
