"""Browsers, LINE accounts and calls: one's own and nobody else's; a vendor's machine is known by what it signs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collectors.registry import addresses, outbox, people
from collectors.registry.outbox import NewRow
from collectors.registry.viewer import Service
from tests.service.borders import Room
from tests.service.serving import CONSOLE

ANALYTICS = Service("analytics")


def _ids(town: Any, _: str) -> Mapping[str, str]:
    """A browser of `taro`, who is nobody of those who ask."""
    with town.centre.registry.write() as session:
        taro = people.person_by_login(session, CONSOLE, "taro")
        assert taro
        told = {"endpoint": "https://fcm.googleapis.com/fcm/send/taro", "p256dh": "p", "auth": "a"}
        row = addresses.put(session, CONSOLE, taro.id, "push", told, town.centre.clock(), verified=True)
        told_ms = town.centre.clock()
        new = NewRow("0" * 32, "test", "0" * 32, "push", "advisory", told_ms, person_id=taro.id, address_id=row.id)
        outbox.write(session, ANALYTICS, [new], told_ms)
    return {"address_id": row.id, "message_id": new.id, "slip": "0.0.AAAA"}


ROOM = Room(
    open={("post", "/line/webhook"): 403, ("post", "/voice/answer"): 403, ("get", "/charts/{slip}"): 404},
    signed_in={
        ("get", "/line"): 200,
        ("post", "/line/code"): 409,
        ("get", "/push"): 200,
        ("post", "/push/subscriptions"): 409,
        ("delete", "/push/subscriptions/{address_id}"): 404,
        ("get", "/me/channels"): 200,
        ("get", "/me/messages"): 200,
        ("post", "/me/messages/{message_id}/answer"): 404,
        ("post", "/me/addresses/{address_id}/test"): 404,
    },
    bodies={
        "/me/messages/{message_id}/answer": {"action": "acknowledge"},
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
