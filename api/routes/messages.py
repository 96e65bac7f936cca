"""What a person was sent and by what; answering from the notification itself; trying whether it comes."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Path

from analytics.notify.answers import answer
from analytics.notify.channels import open_names
from analytics.notify.plan import row_id, telling_id
from api.centre import Centre, CentreNow
from api.line_words import names_of
from api.paging import Paging
from api.problems import existing, not_found
from api.routes.deliveries import STATES
from api.routes.line import too_many
from api.sessions import SERVICE, Browser, TooManyAttempts, begin_attempt, writing
from api.shapes import Names
from api.shapes.channels import OpenChannelsOut, PressedIn, PressedOut, SentOut, SentRowsOut
from collectors.registry import addresses, outbox
from collectors.registry.outbox import NewRow
from collectors.registry.schema import Alert
from collectors.registry.schema.notify import Outbox

router = APIRouter(tags=["notifications"])

AddressId = Annotated[str, Path(max_length=64)]
MessageId = Annotated[str, Path(max_length=64)]
FREE_TESTS: Final = 3


@router.get("/me/channels")
def channels(browser: Browser, centre: CentreNow) -> OpenChannelsOut:
    """By which channels this Makiba reaches anybody."""
    del browser
    return OpenChannelsOut.model_validate({"open": list(open_names(centre.settings))})


@router.get("/me/messages")
def list_of(browser: Browser, centre: CentreNow, page: Paging) -> SentRowsOut:
    """What the viewer was sent, the newest first. Nothing of farms that they do not see any more."""
    with centre.registry.read() as session:
        rows = outbox.own(session, browser.person, page.ask, page.after)
    shown, following = page.cut(rows, lambda pair: (pair[0].created_ms, pair[0].id))
    return SentRowsOut(rows=[_shown(centre, row, alert) for row, alert in shown], next=following)


@router.post("/me/messages/{message_id}/answer")
def answer_to(message_id: MessageId, given: PressedIn, browser: Browser, centre: CentreNow) -> PressedOut:
    """What was pressed under a notification: as under the alert, but for one that got worse since, or is over."""
    with writing(centre, browser.person) as session:
        row = session.get(Outbox, message_id)
        if row is None or row.person_id != browser.person.id or row.alert_id is None:
            raise not_found()
        told = answer(session, browser.person, given.action, row.alert_id, message_id, centre.rules, centre.clock())
        if told.kind == "nothing":
            raise not_found()
        if told.kind == "not-you":
            raise HTTPException(403, "Only the farm's own people can answer this.")
        return PressedOut(kind=told.kind, said=names_of(told, given.action))


@router.post("/me/addresses/{address_id}/test", status_code=202)
def test(address_id: AddressId, browser: Browser, centre: CentreNow) -> SentOut:
    """Sends a message to one of the viewer's addresses, so that they see whether it comes. 429 after a few."""
    with centre.registry.read() as session:
        address = existing(addresses.get_own(session, browser.person, address_id))
    if address.verified_ms is None or address.gone_ms is not None:
        raise HTTPException(409, "Nothing is sent to this address.")
    if address.channel not in open_names(centre.settings):
        raise HTTPException(409, "This Makiba sends nothing by this channel.")
    try:
        begin_attempt(centre, f"test messages of {browser.person.id}", FREE_TESTS)
    except TooManyAttempts as error:
        raise too_many(error) from None
    now_ms = centre.clock()
    telling = telling_id("test", address.id, str(now_ms))
    new = NewRow(
        id=row_id(telling, address.channel, address.id), kind="test", telling=telling, channel=address.channel,
        severity="advisory", due_ms=now_ms, person_id=browser.person.id, address_id=address.id,
    )  # fmt: skip
    with writing(centre, browser.person) as session:
        outbox.write(session, SERVICE, [new], now_ms)
        return _shown(centre, session.get_one(Outbox, new.id), None)


def _shown(centre: Centre, row: Outbox, alert: Alert | None) -> SentOut:
    rule = centre.rules.get(alert.rule) if alert is not None else None
    return SentOut.model_validate(
        {
            "id": row.id, "kind": row.kind, "channel": row.channel or None, "severity": row.severity,
            "state": row.state, "state_name": STATES.get(row.state, Names(ja=row.state, en=row.state)),
            "title": Names(ja=rule.title.ja, en=rule.title.en) if rule else None,
            "alert_id": alert.id if alert is not None else None, "created_ms": row.created_ms, "due_ms": row.due_ms,
        }
    )  # fmt: skip
