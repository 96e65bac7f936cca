"""A webhook: the message as JSON to an address that somebody chose, signed so that its receiver knows who sent it.

    POST …                                   nothing is followed, nothing is asked that is not on the internet
    Idempotency-Key: <id>                    the same at each try
    X-Makiba-Time: <seconds since 1970>
    X-Makiba-Signature: v1=<hex of HMAC-SHA256(secret, time + "." + body)>

The secret is made of this Makiba's key and of the address (`secret_of`), so that no table holds it; it is shown to
whoever adds the address. Another address has another one: who receives at one can sign for no other.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Final

from analytics.notify.channels import wire
from analytics.notify.port import ChannelName, Message, Sent
from makiba.keys import Key

USE: Final = "webhook"


class Webhook:
    """The channel `webhook`; an address has `url`."""

    name: ChannelName = "webhook"
    exactly_once = False
    monthly: int | None = None

    def __init__(self, key: Key, networks: str = "", resolve: wire.Resolve | None = None) -> None:
        self._key, self._networks, self._resolve = key, networks, resolve

    def send(self, message: Message) -> Sent:
        url = str(message.to.get("url", ""))
        body = body_of(message)
        now = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": message.id,
            "X-Makiba-Time": now,
            "X-Makiba-Signature": "v1=" + signature(secret_of(self._key, url), now, body),
        }
        try:
            reply = wire.post(url, body, headers, networks=self._networks, resolve=self._resolve)
        except wire.NotAllowedThere as error:
            return Sent("refused", str(error))
        except wire.NoAnswer as error:
            return Sent("retry", str(error))
        return wire.of_reply(reply, lambda _: None)


def check_address(url: str, networks: str) -> None:
    """`ValueError` when this can be no webhook's address; looked at again, with its name, at each message."""
    wire.checked(url, networks)


def secret_of(key: Key, url: str) -> str:
    """With what messages to this address are signed."""
    return base64.urlsafe_b64encode(key.sign(USE, url.encode())).rstrip(b"=").decode()


def signature(secret: str, at: str, body: bytes) -> str:
    """The signature of a body that is sent at this time."""
    return hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()


def body_of(message: Message) -> bytes:
    """The message as JSON; what it tells of an alert is what its person may see, and nothing more."""
    told = {
        "id": message.id, "kind": message.kind, "severity": message.severity, "language": message.language,
        "title": message.title, "body": message.body, "url": message.url, "tag": message.tag, "site": message.site,
        "alert": message.alert_id,
    }  # fmt: skip
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
