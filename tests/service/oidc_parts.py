"""A real OpenID provider on the loopback: discovery, authorize, token, keys, signing out; and a false one's faults.

It is written with joserfc and Authlib's checks of PKCE; whoever comes to `authorize` is signed in as `who` at once.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import httpx
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "makiba", "a:secret of/the client"


@cache
def _key(turn: int) -> RSAKey:
    """The key that every provider has in this turn; 0 is somebody else's. Each takes a tenth of a second to make."""
    return RSAKey.generate_key(2048, {"kid": f"{turn}-{secrets.token_hex(4)}", "use": "sig"})


@dataclass
class Provider:
    """What the provider knows and how it errs. `claims` go over those of the ID token; None leaves one out."""

    issuer: str = ""
    now_s: Any = None
    who: dict[str, Any] = field(default_factory=lambda: {"sub": "u-1", "name": "組合 太郎"})
    claims: dict[str, Any] = field(default_factory=dict)
    discovery: dict[str, Any] = field(default_factory=dict)
    sign_with: str = "RS256"
    away: frozenset[str] = frozenset()
    turns: int = 0
    keys: list[RSAKey] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def rotate(self) -> None:
        """A new key takes the place of those before."""
        self.turns += 1
        self.keys = [_key(self.turns)]

    def answer(self, path: str, query: dict[str, str], headers: Any) -> tuple[int, dict[str, str], bytes]:
        name = path.rpartition("/")[2]
        self.asked.append(name)
        if name in self.away:
            return 503, {}, b"away"
        if name == "openid-configuration":
            return self._json(self._description())
        if name == "jwks":
            return self._json({"keys": [k.as_dict(private=False) for k in self.keys]})
        if name == "authorize":
            code = secrets.token_urlsafe(16)
            self.codes[code] = query
            back = {"code": code, "state": query["state"], "iss": self.issuer}
            return 302, {"Location": f"{query['redirect_uri']}?{urlencode(back)}"}, b""
        if name == "token":
            return self._token(query, headers)
        return 404, {}, b""

    def _description(self) -> dict[str, Any]:
        at = self.issuer
        told = {
            "issuer": at, "authorization_endpoint": f"{at}/authorize", "token_endpoint": f"{at}/token",
            "jwks_uri": f"{at}/jwks", "end_session_endpoint": f"{at}/logout",
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "authorization_response_iss_parameter_supported": True,
        }  # fmt: skip
        return told | self.discovery

    def _token(self, form: dict[str, str], headers: Any) -> tuple[int, dict[str, str], bytes]:
        pair = base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode()
        client, _, secret = pair.partition(":")
        begun = self.codes.pop(form.get("code", ""), None)
        right = (
            (unquote(client), unquote(secret)) == (CLIENT, SECRET)
            and begun is not None
            and begun["client_id"] == CLIENT
            and begun["redirect_uri"] == form["redirect_uri"]
            and begun["code_challenge_method"] == "S256"
            and create_s256_code_challenge(form["code_verifier"]) == begun["code_challenge"]
        )
        if not right or begun is None:
            return self._json({"error": "invalid_grant"}, 400)
        now_s = self.now_s()
        claims = {
            "iss": self.issuer, "aud": CLIENT, "iat": now_s, "exp": now_s + 300, "nonce": begun["nonce"], **self.who
        } | self.claims  # fmt: skip
        return self._json(
            {
                "access_token": secrets.token_urlsafe(16), "token_type": "Bearer",
                "id_token": self._signed({k: v for k, v in claims.items() if v is not None}),
            }
        )  # fmt: skip

    def _signed(self, claims: dict[str, Any]) -> str:
        key = self.keys[0]
        if self.sign_with == "none":
            head, body = ({"alg": "none"}, claims)
            return ".".join(_base64(json.dumps(part).encode()) for part in (head, body)) + "."
        if self.sign_with == "HS256":  # with what everybody knows: the public key
            head = {"alg": "HS256", "kid": key.kid or ""}
            text = ".".join(_base64(json.dumps(part).encode()) for part in (head, claims))
            mac = hmac.digest(key.as_pem(private=False), text.encode(), "sha256")
            return f"{text}.{_base64(mac)}"
        if self.sign_with == "somebody":
            return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, _key(0))
        return jwt.encode({"alg": self.sign_with, "kid": key.kid}, claims, key, algorithms=[self.sign_with])

    def _json(self, told: Any, status: int = 200) -> tuple[int, dict[str, str], bytes]:
        return status, {"Content-Type": "application/json"}, json.dumps(told).encode()


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@contextmanager
def providing(now_s: Any) -> Iterator[Provider]:
    """A provider on a free port of this machine."""
    provider = Provider(now_s=now_s)
    provider.rotate()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            self._answer(parts.path, parts.query)

        def do_POST(self) -> None:
            self._answer(self.path, self.rfile.read(int(self.headers["Content-Length"])).decode())

        def _answer(self, path: str, query: str) -> None:
            fields = {name: values[0] for name, values in parse_qs(query).items()}
            status, headers, body = provider.answer(path, fields, self.headers)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.issuer = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, name="provider")
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def came_back(address: str) -> dict[str, str]:
    """Goes to the provider as a browser does; what it sends the browser back with."""
    answer = httpx.get(address)
    assert answer.status_code == 302, answer.text
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    return {name: values[0] for name, values in query.items()}
