"""Web Push: a message to a browser through its maker's push service (RFC 8030, 8291, 8292), with pywebpush.

- A push service shows one message: `Topic` lets a newer one take the place of an older one that waits there, the tag
  does so on the phone. So a message may be sent twice and is seen once.
- 404 and 410: the subscription is gone, and the address with it. 413: it is sent once more without its body.
- Only hosts of push services are asked, whatever a browser said that its endpoint is, over TLS, without redirects; a
  host of the setting `push_hosts` that is this machine may go without TLS.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

import requests
from py_vapid import Vapid02
from pywebpush import WebPushException, webpush

from analytics.notify.channels.push_services import is_push_service
from analytics.notify.channels.vapid import VapidKey
from analytics.notify.channels.wire import retry_after_s
from analytics.notify.port import ChannelName, Message, Sent

MOST_BYTES: Final = 3_900
"""What every push service takes: 4,096 (RFC 8030, 7.2) less what encryption adds (RFC 8291, 4: 103)."""

TTL_S: Final[Mapping[str, int]] = {"critical": 2 * 3600, "warning": 24 * 3600}
TTL_OTHERWISE_S: Final = 12 * 3600
URGENCY: Final[Mapping[str, str]] = {"critical": "high", "warning": "high", "advisory": "normal", "info": "low"}
TIMEOUT: Final = (4.0, 10.0)
_TOPIC: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


class WebPush:
    """The channel `push`; an address has `endpoint`, `p256dh` and `auth` of a browser's subscription."""

    name: ChannelName = "push"
    exactly_once = True
    monthly: int | None = None

    def __init__(self, key: VapidKey, contact: str, hosts: tuple[str, ...]) -> None:
        self._key = Vapid02(private_key=key.private)
        self._contact = contact
        self._hosts = hosts

    def send(self, message: Message) -> Sent:
        endpoint = str(message.to.get("endpoint", ""))
        if not is_push_service(endpoint, self._hosts):
            return Sent("refused", "its endpoint is no push service")
        sent = self._push(message, payload_of(message))
        if sent.kind == "refused" and sent.detail == "HTTP 413":
            return self._push(message, payload_of(message, short=True))
        return sent

    def _push(self, message: Message, payload: str) -> Sent:
        subscription = {
            "endpoint": message.to["endpoint"],
            "keys": {"p256dh": message.to["p256dh"], "auth": message.to["auth"]},
        }
        headers: dict[str, Any] = {"Urgency": URGENCY.get(message.severity, "normal"), "Topic": topic_of(message.tag)}
        try:
            with _Plain() as http:
                answer = webpush(
                    subscription, payload, self._key, {"sub": self._contact}, timeout=TIMEOUT, headers=headers,
                    ttl=TTL_S.get(message.severity, TTL_OTHERWISE_S), requests_session=http,
                )  # fmt: skip
        except WebPushException as error:
            if error.response is None:
                return Sent("gone", "its keys are no keys")
            return _refusal(int(error.response.status_code), error.response.headers.get("Retry-After"))
        except (requests.RequestException, OSError) as error:
            return Sent("retry", type(error).__name__)
        except (ValueError, KeyError):  # of a subscription that no browser made
            return Sent("gone", "its keys are no keys")
        return Sent("accepted", f"HTTP {answer.status_code}")


class _Plain(requests.Session):
    """Without redirects, and without what the machine's environment and .netrc would add."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def request(self, *given: Any, **more: Any) -> requests.Response:
        return super().request(*given, **(more | {"allow_redirects": False}))


def topic_of(tag: str) -> str:
    """The tag as a Topic: at most 32 characters of base64url (RFC 8030, 5.4)."""
    if _TOPIC.fullmatch(tag):
        return tag
    return base64.urlsafe_b64encode(hashlib.sha256(tag.encode()).digest())[:32].decode()


def payload_of(message: Message, *, short: bool = False) -> str:
    """What the service worker shows, as JSON that every push service takes; a long body is cut behind a sentence."""
    told: dict[str, Any] = {
        "id": message.id, "kind": message.kind, "severity": message.severity, "language": message.language,
        "title": message.title, "body": "" if short else message.body, "url": message.url, "tag": message.tag,
        "alert": message.alert_id, "buttons": [{"action": b.action, "label": b.label} for b in message.buttons],
    }  # fmt: skip
    text = _json(told)
    while len(text.encode()) > MOST_BYTES and told["body"]:
        over = len(text.encode()) - MOST_BYTES
        told["body"] = _shorter(told["body"], max(1, over // 3))
        text = _json(told)
    if len(text.encode()) > MOST_BYTES:
        told["title"] = told["title"][:200]
        text = _json(told)
    return text


def _json(told: Mapping[str, Any]) -> str:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def _shorter(text: str, by: int) -> str:
    kept = text.removesuffix("…")[: max(0, len(text) - by - 1)]
    end = max(kept.rfind("。"), kept.rfind(". "), kept.rfind("\n"))
    return (kept[: end + 1].rstrip() if end > len(kept) // 2 else kept) + ("…" if kept else "")


def _refusal(status: int, wait: str | None) -> Sent:
    if status in (404, 410):
        return Sent("gone", f"HTTP {status}")
    if status == 429 or status >= 500 or status == 408:
        return Sent("retry", f"HTTP {status}", retry_after_s(wait))
    # 401 and 403: of another key than the browser subscribed with, or our clock is wrong.
    return Sent("refused", f"HTTP {status}")
