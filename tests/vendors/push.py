"""A push service (RFC 8030) with the browser behind it: it checks the VAPID token, and decrypts what came.

201 with Location; 400 without TTL; 401 without a token, 403 with a wrong one; 404 for what never was a subscription,
410 for one that was; 413 beyond 4,096 bytes; 429 with Retry-After. A message with the topic of one that waits takes
its place.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import http_ece
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.vendors.http import Asked, Told


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Browser:
    """A browser that subscribed, with its keys."""

    name: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    @property
    def keys(self) -> dict[str, str]:
        point = self.key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        return {"p256dh": b64(point), "auth": b64(self.auth)}

    def decrypt(self, body: bytes) -> Any:
        return json.loads(http_ece.decrypt(body, private_key=self.key, auth_secret=self.auth, version="aes128gcm"))


@dataclass
class PushService:
    """`server_key`: with which the browsers subscribed; '' takes any. `failing`: statuses that come next."""

    origin: str = ""
    server_key: str = ""
    browsers: dict[str, Browser] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    failing: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    most_bytes: int = 4096
    contacts: list[str] = field(default_factory=list)
    waiting: dict[tuple[str, str], Any] = field(default_factory=dict)
    headers: list[dict[str, str]] = field(default_factory=list)

    def subscribe(self, name: str = "phone") -> dict[str, str]:
        """A new subscription, as an address holds it."""
        browser = Browser(name)
        self.browsers[name] = browser
        return {"endpoint": f"{self.origin}/push/{name}", **browser.keys}

    @property
    def shown(self) -> list[Any]:
        """What the phones show when they are next online."""
        return list(self.waiting.values())

    def answer(self, asked: Asked) -> Told:
        name = asked.path.rpartition("/")[2]
        if self.failing:
            status, headers = self.failing.pop(0)
            return Told(status, b"", headers)
        if (refused := self._unknown(asked.headers.get("authorization", ""))) is not None:
            return Told(refused)
        if not asked.headers.get("ttl", "").isdecimal():
            return Told(400, b"no TTL")
        if name in self.gone:
            return Told(410)
        if name not in self.browsers:
            return Told(404)
        if len(asked.body) > self.most_bytes:
            return Told(413)
        topic = asked.headers.get("topic", "")
        if len(topic) > 32 or asked.headers.get("urgency") not in ("very-low", "low", "normal", "high"):
            return Told(400, b"topic or urgency")
        if asked.headers.get("content-encoding") != "aes128gcm":
            return Told(415)
        self.headers.append(dict(asked.headers))
        self.waiting[name, topic or secrets.token_hex(4)] = self.browsers[name].decrypt(asked.body)
        return Told(201, b"", {"Location": f"{self.origin}/message/{secrets.token_hex(8)}"})

    def _unknown(self, authorization: str) -> int | None:
        """Why whoever sends is not let in (RFC 8292)."""
        if not authorization.startswith("vapid "):
            return 401
        given = dict(part.strip().split("=", 1) for part in authorization[6:].split(","))
        if self.server_key and given["k"] != self.server_key:
            return 403
        head, claims, mark = given["t"].split(".")
        raw = unb64(mark)
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unb64(given["k"]))
        pair = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        try:
            key.verify(pair, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return 403
        told = json.loads(unb64(claims))
        own = urlsplit(self.origin)
        if told["aud"] != f"{own.scheme}://{own.netloc}" or json.loads(unb64(head))["alg"] != "ES256":
            return 403
        if not time.time() < told["exp"] <= time.time() + 86_400:
            return 403
        if not str(told.get("sub", "")).startswith(("mailto:", "https://")):
            return 403
        self.contacts.append(told["sub"])
        return None
