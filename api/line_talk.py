"""What LINE tells us of people, one event at a time: linking, unlinking, what they tap. `api/routes/line.py` asks.

- Only what somebody does in the chat with the account itself counts: in a group a code would be everybody's.
- Each event is done once, by its `webhookEventId`, in one transaction with what it leads to: LINE may hand it on
  twice.
- A code holds once, for ten minutes, and links the LINE account to whoever made the code on the pages; what either
  was linked to before is let go of. Wrong codes of one LINE account have to wait.
- What is tapped is done with the rights of the linked person in this moment. Whoever is linked to nobody, was shut
  out or lost the farm is told the same about every alert.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from analytics.notify.answers import answer
from analytics.notify.channels.line_words import parse_tap
from api import line_words as words
from api.centre import Centre
from collectors.registry import addresses, outbox, people
from collectors.registry.schema import PersonRow
from collectors.registry.viewer import Service

SERVICE: Final = Service("api")
CODE_MS: Final = 600_000
MOST_EVENTS: Final = 100
MOST_TEXT: Final = 200
FREE_CODES: Final = 5
_LETTERS: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # none that is read as another
_CODE: Final = 8
_STOP: Final = frozenset({"やめる", "停止", "解除", "stop", "unlink"})


@dataclass(frozen=True, slots=True)
class Event:
    """What is understood of an event of LINE's; `text` of a message, `data` of a postback."""

    id: str
    kind: str
    user: str
    at_ms: int
    again: bool
    reply_token: str = ""
    text: str = ""
    data: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered in the chat."""

    token: str
    text: str


def parse(body: bytes) -> list[Event]:
    """The events of a webhook's body whose signature was right; what is not understood is left out. `ValueError`."""
    told = json.loads(body)
    if not isinstance(told, dict) or not isinstance(events := told.get("events"), list):
        raise ValueError("no events")
    return [event for one in events[:MOST_EVENTS] if isinstance(one, dict) and (event := _event(one)) is not None]


def new_code() -> str:
    """A code that is read out and typed well: `K7QX-M2PD`, 40 bits, for ten minutes."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(_CODE))
    return f"{letters[:4]}-{letters[4:]}"


def code_in(text: str) -> str | None:
    """The code that a message is, however it was typed; None: it is something else."""
    plain = unicodedata.normalize("NFKC", text).upper()
    letters = "".join(c for c in plain if not (c.isspace() or unicodedata.category(c) == "Pd" or c == "ー"))
    return letters if len(letters) == _CODE and all(c in _LETTERS for c in letters) else None


def code_hash(code: str) -> str:
    """What is kept of a code."""
    return hashlib.sha256(f"line {code_in(code)}".encode()).hexdigest()


def heard(centre: Centre, event: Event) -> Reply | None:
    """Does what the event says, once; what is answered to it."""
    is_code = event.kind == "message" and code_in(event.text) is not None
    must_wait = is_code and centre.attempts.begin(_key(event.user), centre.clock(), FREE_CODES) > 0
    with centre.registry.write() as session:
        if outbox.heard_before(session, SERVICE, f"line {event.id}", centre.clock()):
            return None
        text, linked = _answer(centre, session, event, must_wait)
    if is_code and linked:
        centre.attempts.succeeded(_key(event.user))
    return Reply(event.reply_token, text) if text and event.reply_token else None


def _answer(centre: Centre, session: Session, event: Event, must_wait: bool) -> tuple[str, bool]:
    """What is said, and whether a code was right."""
    person_id = addresses.person_at(session, SERVICE, "line", {"user": event.user})
    language = _language(session, person_id)
    match event.kind:
        case "unfollow":
            late = event.at_ms if event.again else None  # of before they came back
            addresses.forget(session, SERVICE, "line", {"user": event.user}, late)
            return "", False
        case "follow":
            return words.said(words.WELCOME, language), False
        case "postback":
            return _tapped(centre, session, event, person_id, language), False
        case "message" if must_wait:
            return words.said(words.TOO_OFTEN, language), False
        case "message" if code_in(event.text) is not None:
            return _link(centre, session, event, language)
        case "message" if event.text.strip().casefold() in _STOP and person_id is not None:
            addresses.forget(session, SERVICE, "line", {"user": event.user})
            return words.said(words.STOPPED, language), False
        case "message":
            return words.said(words.HELP if person_id is not None else words.WELCOME, language), False
        case _:
            return "", False


def _link(centre: Centre, session: Session, event: Event, language: str) -> tuple[str, bool]:
    now_ms = centre.clock()
    person_id = addresses.take_code(session, SERVICE, "line", code_hash(event.text), now_ms)
    person = people.viewer_of(session, SERVICE, person_id, now_ms) if person_id is not None else None
    if person is None:
        return words.said(words.NO_CODE, language), False
    addresses.forget_others(session, SERVICE, person.id, "line", {"user": event.user})
    try:
        addresses.put(session, SERVICE, person.id, "line", {"user": event.user}, now_ms, label="LINE", verified=True)
    except addresses.TooMany:
        return words.said(words.TOO_MANY, _language(session, person.id)), True
    name = session.scalar(select(PersonRow.name).where(PersonRow.id == person.id)) or ""
    return words.said(words.LINKED, _language(session, person.id), who=name), True


def _tapped(centre: Centre, session: Session, event: Event, person_id: int | None, language: str) -> str:
    tap = parse_tap(event.data)
    person = people.viewer_of(session, SERVICE, person_id, centre.clock()) if person_id is not None else None
    if tap is None or person is None:
        return words.said(words.NOTHING, language)
    answered = answer(session, person, tap.action, tap.alert_id, tap.message_id, centre.rules, centre.clock())
    return words.said_of(answered, tap.action, language)


def _event(told: Mapping[str, Any]) -> Event | None:
    """None for what is not somebody's own doing in the chat with us, or is of a form that we do not know."""
    source, context = told.get("source"), told.get("deliveryContext")
    if told.get("mode") != "active" or not isinstance(source, dict) or source.get("type") != "user":
        return None
    user, event_id, at_ms = source.get("userId"), told.get("webhookEventId"), told.get("timestamp")
    if not (_is_word(user, 64) and _is_word(event_id, 58) and isinstance(at_ms, int)):
        return None
    message, postback, token = told.get("message"), told.get("postback"), told.get("replyToken")
    text = message.get("text") if isinstance(message, dict) and message.get("type") == "text" else None
    kind = str(told.get("type", ""))
    if kind == "message" and not isinstance(text, str):
        return None
    return Event(
        id=str(event_id), kind=kind, user=str(user), at_ms=at_ms,
        again=isinstance(context, dict) and context.get("isRedelivery") is True,
        reply_token=token if isinstance(token, str) and len(token) <= 200 else "",
        text=str(text or "")[:MOST_TEXT],
        data=str(postback.get("data", ""))[:400] if isinstance(postback, dict) else "",
    )  # fmt: skip


def _is_word(given: object, most: int) -> bool:
    return isinstance(given, str) and 0 < len(given) <= most and given.isascii() and given.isprintable()


def _language(session: Session, person_id: int | None) -> str:
    if person_id is None:
        return "ja"
    return session.scalar(select(PersonRow.language).where(PersonRow.id == person_id)) or "ja"


def _key(user: str) -> str:
    return f"line code {user}"
