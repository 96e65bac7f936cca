"""What somebody pressed on the telephone, told by the gateway that called them.

The token came in the call (`analytics.notify.channels.voice`): it is for one message and its alert, for an hour, and
does once what its person may do. It says nothing about the farm to whoever has it.
"""

from __future__ import annotations

import hashlib
from typing import Final

from fastapi import APIRouter, HTTPException
from sqlalchemy import select

from analytics.notify.answers import answer, person_of
from analytics.notify.begin import ME
from analytics.notify.channels.slips import CALL, message_of
from analytics.notify.channels.spoken import spoken
from api import line_words as words
from api.centre import CentreNow
from api.pages import foreign
from api.shapes.channels import CallAnswerIn, CallAnswerOut
from collectors.registry import outbox
from collectors.registry.schema import PersonRow
from collectors.registry.viewer import Service

router = APIRouter(tags=["notifications"])

SEEN: Final = "1"
_SERVICE: Final = Service("api")


@router.post("/voice/answer", openapi_extra={"x-called-by": "the gateway of calls"})
@foreign
def answered(given: CallAnswerIn, centre: CentreNow) -> CallAnswerOut:
    """A 1 says 'I have seen it' for whoever was called; once. 403 when the token is none of ours, or too old."""
    now_ms = centre.clock()
    message_id = message_of(centre.key, CALL, given.token, now_ms // 1000)
    if message_id is None:
        raise HTTPException(403, "This is no call of ours.")
    with centre.registry.write() as session:
        found = person_of(session, message_id, now_ms)
        if found is None:  # a contact, who may see nothing; that they were reached is worth knowing
            outbox.note_receipt(session, ME, "seen", now_ms, outbox_id=message_id)
            return CallAnswerOut(say="")
        person, alert_id = found
        language = session.scalar(select(PersonRow.language).where(PersonRow.id == person.id)) or "ja"
        if given.digit != SEEN:
            return CallAnswerOut(say="")
        mark = f"call {hashlib.sha256(given.token.encode()).hexdigest()}"
        if outbox.heard_before(session, _SERVICE, mark, now_ms):
            return CallAnswerOut(say="")
        told = answer(session, person, "acknowledge", alert_id, message_id, centre.rules, now_ms)
        return CallAnswerOut(say=spoken(words.said_of(told, "acknowledge", language), language))
