"""Signing in, ways in, browsers: a person's own and nobody else's. Here everybody asks for those that `taro` has."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from collectors.registry import browsers, people, sign_in
from collectors.registry.viewer import Service
from tests.service.borders import Room

CREDENTIAL = {"id": "q1w2", "rawId": "q1w2", "type": "public-key"}
ASSERTION = {**CREDENTIAL, "response": {"clientDataJSON": "q1w2", "authenticatorData": "q1w2", "signature": "q1w2"}}
ATTESTATION = {**CREDENTIAL, "response": {"clientDataJSON": "q1w2", "attestationObject": "q1w2"}}


def _ids(town: Any, _: str) -> Mapping[str, str]:
    centre, service, now_ms = town.centre, Service("console"), town.centre.clock()
    with centre.registry.write() as session:
        row = people.person_by_login(session, service, "taro")
        assert row
        taro = people.viewer_of(session, service, row.id, now_ms)
        assert taro
        theirs = browsers.create_session(
            session, service, token_hash=secrets.token_hex(32), person_id=taro.id, now_ms=now_ms,
            expires_ms=now_ms + 3_600_000, way="password", device="",
        )  # fmt: skip
        passkey = sign_in.add_passkey(
            session, taro, credential=secrets.token_urlsafe(32), public_key="q1w2", sign_count=0, transports=[],
            name="phone", now_ms=now_ms,
        )  # fmt: skip
    return {"passkey_id": passkey.id, "browser_id": theirs.id}


ROOM = Room(
    open={
        ("post", "/session"): 401,
        ("post", "/session/code"): 401,
        ("post", "/session/passkey/options"): 200,
        ("post", "/session/passkey"): 401,
        ("post", "/session/join"): 401,
        ("delete", "/session"): 204,
    },
    signed_in={
        ("get", "/session"): 200,
        ("put", "/session/language"): 204,
        ("post", "/session/proof"): 403,
        ("get", "/session/notices"): 200,
        ("put", "/session/notices/seen"): 204,
        ("get", "/sessions"): 200,
        ("delete", "/sessions"): 204,
        ("delete", "/sessions/{browser_id}"): 404,
        ("get", "/sign-in"): 200,
        ("post", "/sign-in/passkeys/options"): 200,
        ("post", "/sign-in/passkeys"): 422,
        ("get", "/sign-in/passkeys/{passkey_id}"): 404,
        ("put", "/sign-in/passkeys/{passkey_id}"): 404,
        ("delete", "/sign-in/passkeys/{passkey_id}"): 404,
        ("put", "/sign-in/password"): 422,
        ("delete", "/sign-in/password"): 404,
        ("post", "/sign-in/codes"): 409,
        ("delete", "/sign-in/codes"): 404,
        ("post", "/sign-in/codes/confirm"): 403,
        ("post", "/sign-in/codes/recovery"): 404,
    },
    bodies={
        "/session": {"login": "nobody", "password": "x"},
        "/session/code": {"code": "123456"},
        "/session/passkey": ASSERTION,
        "/session/join": {"code": secrets.token_urlsafe(20)},
        "/session/language": {"language": "ja"},
        "/session/proof": {"password": "x"},
        "/session/notices/seen": {"until_ms": 1_795_500_000_000},
        "/sign-in/passkeys": {"name": "phone", "credential": ATTESTATION},
        "/sign-in/passkeys/{passkey_id}": {"name": "phone"},
        "/sign-in/password": {"password": "password1234"},
        "/sign-in/codes/confirm": {"code": "123456"},
    },
    ids=_ids,
)
