"""Tokens of programs: a person's own and nobody else's. Here everybody asks for one that `taro` has."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from api import tokens as written
from collectors.registry import people, tokens
from collectors.registry.viewer import Service
from tests.service.borders import Room

DAY_MS = 86_400_000


def _ids(town: Any, _: str) -> Mapping[str, str]:
    centre, token = town.centre, written.new()
    with centre.registry.write() as session:
        service = Service("console")
        row = people.person_by_login(session, service, "taro")
        assert row
        person = people.viewer_of(session, service, row.id, centre.clock())
        assert person
        wish = tokens.Wish("feed planner", centre.clock() + DAY_MS)
        tokens.make(session, service, person, token.id, token.secret_hash, wish, centre.clock())
    return {"token_id": token.id}


ROOM = Room(
    signed_in={
        ("get", "/tokens"): 200,
        ("post", "/tokens"): 201,
        ("get", "/tokens/{token_id}"): 404,
        ("delete", "/tokens/{token_id}"): 404,
    },
    bodies={"/tokens": {"name": "feed planner", "expires_ms": time.time_ns() // 1_000_000 + 30 * DAY_MS}},
    ids=_ids,
)
