"""LINE's Messaging API as its reference says: push with retry keys, replies, quota, webhooks that it signs.

From the reference (read 2026-11): 200 with `sentMessages`; the same `X-Line-Retry-Key` again 409 with
`x-line-accepted-request-id`; a key that is no UUID, or at an endpoint that knows none, 400; a user who does not exist
400; 401 without the token; 429 for a crowd and for a month that is used up; 5xx where a message may have been sent.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.vendors.http import Asked, Told

TOKEN, SECRET = "channel-token", "channel-secret"


@dataclass
class Line:
    """The platform, for one account. `friends`: the users who exist. `failing`: statuses that come next, in order;
    `after`: the message is taken all the same."""

    friends: set[str] = field(default_factory=lambda: {"U" + "1" * 32})
    limit: int | None = 200
    used: int = 0
    failing: list[int] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """What happens to the next requests: `after` taken and answered by 500, `hang` taken and never answered."""

    takes_flex: bool = True
    pushed: list[dict[str, Any]] = field(default_factory=list)
    replied: list[dict[str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    _accepted: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, asked: Asked) -> Told:
        with self._lock:
            return self._answer(asked)

    def _answer(self, asked: Asked) -> Told:
        request_id = str(uuid.uuid4())
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return _told(401, request_id, {"message": "Authentication failed."})
        match asked.path:
            case "/v2/bot/message/quota":
                kind = {"type": "none"} if self.limit is None else {"type": "limited", "value": self.limit}
                return _told(200, request_id, kind)
            case "/v2/bot/message/quota/consumption":
                return _told(200, request_id, {"totalUsage": self.used})
            case "/v2/bot/message/push":
                return self._push(asked, request_id)
            case "/v2/bot/message/reply":
                return self._reply(asked, request_id)
        return _told(404, request_id, {"message": "Not found"})

    def _push(self, asked: Asked, request_id: str) -> Told:
        key = asked.headers.get("x-line-retry-key")
        if key is not None:
            try:
                if str(uuid.UUID(key)) != key.lower():
                    raise ValueError
            except ValueError:
                return _told(400, request_id, {"message": "The retry key is invalid"})
            if key in self._accepted:
                told = {"message": "The retry key is already accepted", "sentMessages": [{"id": "1"}]}
                return _told(409, request_id, told, {"x-line-accepted-request-id": self._accepted[key]})
        if self.failing:
            return _told(self.failing.pop(0), request_id, {"message": "…"})
        given = json.loads(asked.body)
        if wrong := _wrong(given, self.takes_flex):
            return _told(400, request_id, {"message": "The request body has 1 error(s)", "details": [wrong]})
        if given["to"] not in self.friends:
            return _told(400, request_id, {"message": "The property, 'to', in the request body is invalid"})
        if self.limit is not None and self.used >= self.limit:
            return _told(429, request_id, {"message": "You have reached your monthly limit."})
        lost = self.lost.pop(0) if self.lost else ""
        if lost == "before":
            return _told(500, request_id, {"message": "Internal Server Error"})
        if key is not None:
            self._accepted[key] = request_id
        self.used += 1
        self.pushed.append(given)
        if lost == "hang":
            return Told(0, hang=True)
        if lost == "after":
            return _told(500, request_id, {"message": "Internal Server Error"})
        return _told(200, request_id, {"sentMessages": [{"id": str(len(self.pushed)), "quoteToken": "q"}]})

    def _reply(self, asked: Asked, request_id: str) -> Told:
        if "x-line-retry-key" in asked.headers:
            return _told(400, request_id, {"message": "Retry key is not supported"})
        given = json.loads(asked.body)
        if given["replyToken"] not in self.tokens:
            return _told(400, request_id, {"message": "Invalid reply token"})
        self.tokens.discard(given["replyToken"])
        self.replied.append(given)
        return _told(200, request_id, {"sentMessages": [{"id": "1"}]})

    # ---- what LINE sends

    def event(self, kind: str, user: str, **more: Any) -> dict[str, Any]:
        """A webhook event of somebody; with a reply token where its kind has one."""
        token = uuid.uuid4().hex
        made = {
            "type": kind, "mode": "active", "timestamp": 1_780_000_000_000,
            "source": {"type": "user", "userId": user}, "webhookEventId": f"01{uuid.uuid4().hex[:24].upper()}",
            "deliveryContext": {"isRedelivery": False}, **more,
        }  # fmt: skip
        if kind != "unfollow":
            self.tokens.add(token)
            made["replyToken"] = token
        return made

    def text(self, user: str, text: str) -> dict[str, Any]:
        return self.event("message", user, message={"type": "text", "id": "1", "quoteToken": "q", "text": text})

    def tap(self, user: str, data: str) -> dict[str, Any]:
        return self.event("postback", user, postback={"data": data})


def call(
    browser: httpx.Client, events: list[dict[str, Any]], *, secret: str = SECRET, body: bytes | None = None,
    signature: str | None = None,
) -> httpx.Response:  # fmt: skip
    """LINE calls the webhook, as it signs."""
    if body is None:
        body = json.dumps({"destination": "U" + "0" * 32, "events": events}, ensure_ascii=False).encode()
    mark = signature if signature is not None else sign(body, secret)
    headers = {b"Content-Type": b"application/json; charset=utf-8", b"X-Line-Signature": mark.encode()}
    return browser.post("/api/v1/line/webhook", content=body, headers=headers)


def sign(body: bytes, secret: str = SECRET) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()


def _wrong(given: dict[str, Any], takes_flex: bool) -> dict[str, str] | None:
    """The first thing in a push that the reference forbids."""
    messages = given.get("messages", [])
    if not 1 <= len(messages) <= 5:
        return {"message": "Size must be between 1 and 5", "property": "messages"}
    for at, message in enumerate(messages):
        where = f"messages[{at}]"
        if message["type"] == "text" and not 0 < len(message["text"]) <= 5000:
            return {"message": "Length must be between 1 and 5000", "property": f"{where}.text"}
        if message["type"] == "flex":
            if not takes_flex:
                return {"message": "invalid", "property": f"{where}.contents"}
            if not 0 < len(message["altText"]) <= 400:
                return {"message": "Length must be between 1 and 400", "property": f"{where}.altText"}
            if len(json.dumps(message["contents"]).encode()) > 30_000:
                return {"message": "too large", "property": f"{where}.contents"}
            if wrong := _wrong_part(message["contents"], f"{where}.contents"):
                return wrong
    return None


def _wrong_part(node: Any, where: str) -> dict[str, str] | None:
    if isinstance(node, list):
        return next((w for at, one in enumerate(node) if (w := _wrong_part(one, f"{where}[{at}]"))), None)
    if not isinstance(node, dict):
        return None
    kind = node.get("type")
    if kind == "text" and not node.get("text"):
        return {"message": "must be non-empty text", "property": f"{where}.text"}
    if kind == "image" and not str(node.get("url", "")).startswith("https://"):
        return {"message": "invalid uri scheme", "property": f"{where}.url"}
    if kind == "uri" and not 0 < len(node["uri"]) <= 1000:
        return {"message": "invalid uri", "property": f"{where}.uri"}
    if kind == "postback" and not 0 < len(node["data"]) <= 300:
        return {"message": "Length must be between 1 and 300", "property": f"{where}.data"}
    if kind in ("uri", "postback") and not 0 < len(node.get("label", "")) <= 40:
        return {"message": "Length must be between 1 and 40", "property": f"{where}.label"}
    return next((w for name, one in node.items() if (w := _wrong_part(one, f"{where}.{name}"))), None)


def _told(status: int, request_id: str, body: Any, more: dict[str, str] | None = None) -> Told:
    headers = {"Content-Type": "application/json", "x-line-request-id": request_id} | (more or {})
    return Told(status, json.dumps(body).encode(), headers)
