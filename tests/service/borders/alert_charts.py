"""The chart of an alert: whoever sees the alert sees it, without the lines of what they may not see."""

from __future__ import annotations

from tests.service.borders import Room, Route, cells

CHARTS: tuple[Route, ...] = tuple(
    ("get", f"/sites/{{site}}/alerts/{{alert_id}}/chart.{form}") for form in ("svg", "png")
)

ROOM = Room(
    about_a_farm=dict.fromkeys(CHARTS, cells(200, 200, 200, guest=200, admin=404)),
    by_class=dict.fromkeys(CHARTS, frozenset({"alerts"})),
)
