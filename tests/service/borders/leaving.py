"""A farm's archive, and its leaving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collectors.registry import leaving
from tests.service.borders import Room, cells
from tests.service.serving import CONSOLE


def _ids(town: Any, site: str) -> Mapping[str, str]:
    with town.centre.registry.write() as session:
        return {"receipt_id": leaving.begin(session, CONSOLE, site, town.centre.clock()).id}


_OWNERS = cells(200, 403, 403, guest=404, admin=404)

ROOM = Room(
    open={("get", "/receipts/{receipt_id}"): 404},
    about_a_farm={
        ("get", "/sites/{site}/archive"): _OWNERS,
        ("get", "/sites/{site}/leave"): _OWNERS,
        ("post", "/sites/{site}/leave"): {**_OWNERS, "owner": 201},
        ("delete", "/sites/{site}/leave"): {**_OWNERS, "owner": 204},
        # It has not settled yet.
        ("post", "/sites/{site}/leave/delete"): {**_OWNERS, "owner": 409},
    },
    bodies={
        "/sites/{site}/leave": {"confirm": "<site>"},
        "/sites/{site}/leave/delete": {"confirm": "<site>", "archive_sha256": None},
    },
    ids=_ids,
    spent=frozenset({("get", "/sites/{site}/leave"), ("post", "/sites/{site}/leave/delete")}),
)
