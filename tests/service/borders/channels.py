"""Browsers, LINE accounts and calls: one's own and nobody else's; a vendor's machine is known by what it signs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collectors.registry import addresses, people
from tests.service.borders import Room
from tests.service.serving import CONSOLE


def _ids(town: Any, _: str) -> Mapping[str, str]:
    """A browser of `taro`, who is nobody of those who ask."""
    with town.centre.registry.write() as session:
        taro = people.person_by_login(session, CONSOLE, "taro")
        assert taro
        told = {"endpoint": "https://fcm.googleapis.com/fcm/send/taro", "p256dh": "p", "auth": "a"}
        row = addresses.put(session, CONSOLE, taro.id, "push", told, town.centre.clock(), verified=True)
    return {"address_id": row.id}


ROOM = Room(
    open={("post", "/line/webhook"): 403, ("post", "/voice/answer"): 403},
    signed_in={
        ("get", "/line"): 200,
        ("post", "/line/code"): 409,
        ("get", "/push"): 200,
        ("post", "/push/subscriptions"): 409,
        ("delete", "/push/subscriptions/{address_id}"): 404,
    },
    bodies={
        "/voice/answer": {"token": "0123456789abcdef.0.AAAA", "digit": "1"},
        "/push/subscriptions": {
            "endpoint": "https://fcm.googleapis.com/fcm/send/x",
            "keys": {
                "p256dh": "BNbxGYNMhEIi9zrneh7mqV4oUanjLUK3m-mYZBc62frMKrEoMk88r3Lk596T0ck9xlT-aok0fO1KXBLV4-XqxYM",
                "auth": "BTBZMqHH6r4Tts7J_aSIgg",
            },
        },
    },
    ids=_ids,
)
