"""What a message looks like in LINE: the text of the notification, the bubble, what its buttons send back. Pure.

A button sends `do=acknowledge&alert=…&message=…`: no secret, since LINE signs what it hands on, and whoever taps is
known by their linked account. `message` is the outbox row: a tap on what was sent before the alert got worse says
nothing about what it is now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args
from urllib.parse import parse_qs, quote, urlencode

from analytics.notify.port import Message

Action = Literal["acknowledge", "going", "snooze"]
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)

MOST_ALT: Final = 400
"""Characters of altText that every version of the platform took."""
MOST_LABEL: Final = 20
"""Characters of a button's label that are shown on every phone."""

_COLOURS: Final[Mapping[str, str]] = {
    "critical": "#B00020", "warning": "#8A4B00", "advisory": "#005A8C", "info": "#37474F",
}  # fmt: skip
"""Each at 4.5:1 and more with white on it."""
_SEVERITIES: Final[Mapping[str, Mapping[str, str]]] = {
    "critical": {"ja": "危険", "en": "Danger"},
    "warning": {"ja": "注意", "en": "Warning"},
    "advisory": {"ja": "連絡", "en": "Notice"},
    "info": {"ja": "お知らせ", "en": "Info"},
}
GOING: Final[Mapping[str, str]] = {"ja": "行きます", "en": "I am going"}


@dataclass(frozen=True, slots=True)
class Tap:
    """What somebody tapped: on which message, about which alert."""

    action: Action
    alert_id: str
    message_id: str


def alt_text(message: Message) -> str:
    """The whole message, cut behind a line or a sentence where it is longer than LINE takes."""
    text = f"{message.title}\n{message.body}".strip() or message.kind
    if len(text) <= MOST_ALT:
        return text
    kept = text[: MOST_ALT - 1]
    end = max(kept.rfind("。"), kept.rfind("\n"), kept.rfind(". "))
    return (kept[: end + 1].rstrip() if end > MOST_ALT // 2 else kept) + "…"


def bubble(message: Message) -> dict[str, Any]:
    """The message as a Flex bubble: severity as a word and a colour, title, lines, buttons; large, for all eyes."""
    language = message.language if message.language in ("ja", "en") else "ja"
    word = _SEVERITIES.get(message.severity, _SEVERITIES["info"])[language]
    colour = _COLOURS.get(message.severity, _COLOURS["info"])
    lines = [line for line in message.body.split("\n") if line.strip()]
    made: dict[str, Any] = {
        "type": "bubble",
        "size": "giga",
        "header": _box(
            [{"type": "text", "text": word, "color": "#FFFFFF", "weight": "bold", "size": "xl"}],
            backgroundColor=colour, paddingAll="lg",
        ),
        "body": _box(
            [
                {"type": "text", "text": message.title or word, "weight": "bold", "size": "xl", "wrap": True},
                *({"type": "text", "text": line, "size": "lg", "wrap": True} for line in lines),
            ],
            spacing="md",
        ),
    }  # fmt: skip
    if message.chart_url and message.chart_url.startswith("https://") and len(message.chart_url) <= 2000:
        made["hero"] = {
            "type": "image", "url": message.chart_url, "size": "full", "aspectRatio": "20:9", "aspectMode": "fit",
        }  # fmt: skip
        if action := _open(message, word):
            made["hero"]["action"] = action
    if buttons := _buttons(message, language, colour):
        made["footer"] = _box(buttons, spacing="md")
    return made


def data_of(tap: Tap) -> str:
    """What a button sends back; at most 300 characters."""
    return urlencode({"do": tap.action, "alert": tap.alert_id, "message": tap.message_id})


def parse_tap(data: str) -> Tap | None:
    """What was tapped; None: it is no button of ours."""
    if len(data) > 300:
        return None
    try:
        given = parse_qs(data, strict_parsing=True, max_num_fields=3)
    except ValueError:
        return None
    action = given.get("do", [""])[0]
    alert, message = given.get("alert", [""])[0], given.get("message", [""])[0]
    if action not in ACTIONS or not 0 < len(alert) <= 64 or not 0 < len(message) <= 64:
        return None
    return Tap(action, alert, message)


def typed_address(line_id: str, code: str) -> str:
    """Opens the chat with the account on a phone, with `code` typed in already."""
    return f"https://line.me/R/oaMessage/{quote(line_id)}/?{quote(code)}"


def _buttons(message: Message, language: str, colour: str) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for button in message.buttons:
        if button.action == "open":
            continue
        if message.alert_id:
            made.append(_tap(message, button.action, button.label, "primary" if not made else "secondary", colour))
        if message.alert_id and button.action == "acknowledge":
            made.append(_tap(message, "going", GOING[language], "secondary", colour))
    opening = next((b.label for b in message.buttons if b.action == "open"), "")
    if opening and (action := _open(message, opening)):
        made.append({"type": "button", "style": "link", "height": "md", "action": action})
    return made


def _tap(message: Message, action: Action, label: str, style: str, colour: str) -> dict[str, Any]:
    sent = data_of(Tap(action, message.alert_id or "", message.id))
    made: dict[str, Any] = {
        "type": "button", "style": style, "height": "md",
        "action": {
            "type": "postback", "label": label[:MOST_LABEL], "data": sent, "displayText": label[:MOST_LABEL],
        },
    }  # fmt: skip
    return made | ({"color": colour} if style == "primary" else {})


def _open(message: Message, label: str) -> dict[str, Any] | None:
    """LINE opens addresses of at most 1,000 characters."""
    if not message.url.startswith(("https://", "http://")) or len(message.url) > 1_000:
        return None
    return {"type": "uri", "label": label[:MOST_LABEL], "uri": message.url}


def _box(contents: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"type": "box", "layout": "vertical", "contents": contents, **more}
