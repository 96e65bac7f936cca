"""The chart of an alert for a vendor that shows it under a message: LINE's servers fetch pictures, without a session.

The slip in the address was made by the channel for one message (`analytics.notify.channels.slips`) and holds for a
day. It shows what the person who was told may see at that moment, and the reading counts as theirs.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Response

from analytics.notify.answers import person_of
from analytics.notify.channels.slips import CHART, message_of
from api.centre import CentreNow
from api.problems import not_found
from api.routes.alert_charts import PNG, png_of
from api.sessions import Account
from collectors.registry import alerts

router = APIRouter(tags=["notifications"])

Slip = Annotated[str, Path(max_length=200, description="The word that came with the message")]
CONTENT: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {PNG: {"schema": {"type": "string", "format": "binary"}}}},
    503: {"description": "No font, or nothing to draw with, on this machine"},
}


@router.get("/charts/{slip}", response_class=Response, responses=CONTENT)
def chart(slip: Slip, centre: CentreNow) -> Response:
    """The chart of the alert that a message told of, as PNG. 404 for any other word, and after a day."""
    now_ms = centre.clock()
    message_id = message_of(centre.key, CHART, slip, now_ms // 1000)
    if message_id is None:
        raise not_found()
    with centre.registry.read() as session:
        found = person_of(session, message_id, now_ms)
        row = alerts.get_alert(session, *found) if found is not None else None
        site = row.site_id if row is not None else None
    if found is None or site is None:
        raise not_found()
    person, alert_id = found
    account = Account(centre, person, "/sites/{site}/alerts/{alert_id}/chart.png")
    picture, _ = png_of(centre, person, account, site, alert_id, None)
    return Response(picture, media_type=PNG)
