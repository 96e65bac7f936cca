"""Calls and SMS through a gateway over HTTP: one adapter, for whatever stands behind it. docs/notify.md has the form.

A call reads the message aloud and asks for a 1, which the gateway hands to us with the token that came in the call's
body: signed with this Makiba's key, for this message alone, for an hour, and once. It lets nobody in and says nothing
about the farm: all it can do is to say 'I have heard it' in the name of whoever was called.
"""

from __future__ import annotations

import json
import time
from typing import Any, Final

from pydantic import SecretStr

from analytics.notify.channels import wire
from analytics.notify.channels.slips import CALL, slip_of
from analytics.notify.channels.spoken import spoken
from analytics.notify.channels.wire import checked
from analytics.notify.port import ChannelName, Message, Sent
from makiba.keys import Key

HOLDS_S: Final = 3_600
"""How long a 1 may come back."""

MOST_SMS: Final = 660
"""Characters of a long SMS in Japan."""

PRESS: Final = {
    "ja": "わかったら、1を 押してください。もう一度 聞くときは、2を 押してください。",
    "en": "Press 1 if you have understood. Press 2 to hear it again.",
}


class _Gateway:
    """A gateway over HTTP with a token."""

    exactly_once = False
    monthly: int | None = None

    def __init__(self, url: str, token: SecretStr | None) -> None:
        checked(url)
        self._url, self._token = url, token

    def _post(self, message: Message, told: dict[str, Any]) -> Sent:
        headers = {"Content-Type": "application/json", "Idempotency-Key": message.id}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        body = json.dumps(told, ensure_ascii=False).encode()
        try:
            return wire.of_reply(wire.post(self._url, body, headers), _id_of)
        except (wire.NotAllowedThere, wire.NoAnswer) as error:
            return Sent("retry", str(error))


class Sms(_Gateway):
    """The channel `sms`; an address has `phone` (E.164)."""

    name: ChannelName = "sms"

    def send(self, message: Message) -> Sent:
        text = f"{message.title}\n{message.body}\n"[: MOST_SMS - len(message.url)] + message.url
        return self._post(message, {"id": message.id, "to": str(message.to.get("phone", "")), "text": text})


class Voice(_Gateway):
    """The channel `voice`; an address has `phone` (E.164)."""

    name: ChannelName = "voice"

    def __init__(self, url: str, token: SecretStr | None, back: str, key: Key) -> None:
        super().__init__(url, token)
        self._back, self._key = back, key

    def send(self, message: Message) -> Sent:
        language = "en" if message.language == "en" else "ja"
        told: dict[str, Any] = {
            "id": message.id, "to": str(message.to.get("phone", "")), "language": language,
            "say": spoken(f"{message.title}。\n{message.body}", language),
        }  # fmt: skip
        if message.alert_id and any(button.action == "acknowledge" for button in message.buttons):
            told["ask"] = spoken(PRESS[language], language)
            told["answer"] = {
                "url": self._back,
                "token": slip_of(self._key, CALL, message.id, int(time.time()) + HOLDS_S),
            }
        return self._post(message, told)


def _id_of(reply: wire.Reply) -> str | None:
    """The gateway's own id of the call, where it says one."""
    try:
        told = json.loads(reply.body)
    except ValueError:
        return None
    found = told.get("id") if isinstance(told, dict) else None
    return found[:200] if isinstance(found, str) and found else None
