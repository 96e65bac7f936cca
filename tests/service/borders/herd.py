"""Animals, groups, events, fields."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from collectors.registry import animals, fields, groups, herd_events
from collectors.registry.herd_events import Told
from collectors.registry.viewer import Service
from makiba.herd_event import Heat
from tests.service.borders import Room, Route, cells

CONSOLE = Service("console")
SEEN = {"guest": 200, "admin": 404}
FAMILY_ONLY = {"guest": 403, "admin": 404}


def _digits(count: int) -> str:
    return "".join(secrets.choice("0123456789") for _ in range(count))


def _ids(town: Any, site: str) -> Mapping[str, str]:
    now_ms = town.centre.clock()
    with town.centre.registry.write() as session:
        if (twin := animals.find(session, CONSOLE, site, "number:A-1")) is not None:
            animals.remove(session, CONSOLE, twin, now_ms)
        if animals.find(session, CONSOLE, site, "number:B-1") is None:
            animals.add(session, CONSOLE, site, {"number": "B-1"}, now_ms)
        bare = animals.add(session, CONSOLE, site, {"national_id": _digits(10)}, now_ms)
        cow = animals.add(session, CONSOLE, site, {"tag": "392" + "0" + _digits(11)}, now_ms)
        event, _ = herd_events.enter(session, CONSOLE, cow, Told(now_ms, Heat()), now_ms)
        named = {"name_ja": "群", "name_en": "group"}
        group = groups.add(session, CONSOLE, site, named | {"kind": "dry"}, now_ms)
        field = fields.add(session, CONSOLE, site, named | {"kind": "pasture"}, now_ms)
        season = fields.add_season(session, CONSOLE, field, {"crop": "牧草"}, now_ms)
        return {
            "animal": bare.id, "event": event.id, "group": group.id, "field": field.id, "season": season.id,
        }  # fmt: skip


A, G, E, F = "/sites/{site}/animals", "/sites/{site}/groups", "/sites/{site}/events", "/sites/{site}/fields"
ONE_A, ONE_G, ONE_E, ONE_F = A + "/{animal}", G + "/{group}", E + "/{event}", F + "/{field}"
SEASONS, SEASON = ONE_F + "/seasons", ONE_F + "/seasons/{season}"

HERD_READS = [A, ONE_A, ONE_A + "/state", ONE_A + "/series", "/sites/{site}/herd", G, ONE_G, ONE_G + "/animals",
              E, ONE_E]  # fmt: skip
FIELD_READS = [F, ONE_F, ONE_F + "/sensors", SEASONS, SEASON]

EDITS: Mapping[Route, int] = {
    ("post", A): 201, ("patch", ONE_A): 200, ("delete", ONE_A): 204,
    ("post", G): 201, ("patch", ONE_G): 200, ("delete", ONE_G): 204,
    ("post", F): 201, ("patch", ONE_F): 200, ("delete", ONE_F): 204,
    ("post", SEASONS): 201, ("patch", SEASON): 200, ("delete", SEASON): 204,
}  # fmt: skip
"""For owner and family."""

ENTERING: Mapping[Route, int] = {
    ("post", E): 201,
    ("post", ONE_G + "/animals"): 201,
    ("put", ONE_E): 200,
    ("delete", ONE_E): 204,
}
"""For the farm's own people, and a vet who is shown the herd; a vet changes only what they entered themselves."""


def _by_vet(route: Route) -> int:
    return ENTERING[route] if route[0] == "post" else 403


ROOM = Room(
    about_a_farm={
        **{("get", path): cells(200, 200, 200, **SEEN) for path in (*HERD_READS, *FIELD_READS)},
        **{route: cells(status, status, 403, **FAMILY_ONLY) for route, status in EDITS.items()},
        **{
            route: {**cells(status, status, status, guest=403, admin=404), "vet": _by_vet(route)}
            for route, status in ENTERING.items()
        },
    },
    by_class={
        **{("get", path): frozenset({"herd"}) for path in HERD_READS},
        **{("get", path): frozenset({"field"}) for path in FIELD_READS},
    },
    told_by_class={
        **{route: {"field" if "/fields" in route[1] else "herd": 403} for route in EDITS},
        **{route: {"herd": _by_vet(route)} for route in ENTERING},
    },
    bodies={
        A: {"name": "はな", "number": "A-1"},
        ONE_A: {"name": "はな"},
        G: {"name": {"ja": "乾乳"}, "kind": "dry"},
        ONE_G: {"note": "x"},
        ONE_G + "/animals": {"animals": ["number:B-1"], "at_ms": 1_790_000_000_000},
        E: {"animal": "number:B-1", "at_ms": 1_790_000_000_000, "detail": {"kind": "heat"}},
        ONE_E: {"at_ms": 1_790_000_000_000, "detail": {"kind": "heat"}},
        F: {"name": {"ja": "東3号"}, "kind": "field"},
        ONE_F: {"soil": "peat"},
        SEASONS: {"crop": "小麦"},
        SEASON: {"variety": "きたほなみ"},
    },
    queries={ONE_E: {"why": "入力の誤り"}},
    headers={route: {"If-Match": "*"} for route in (*EDITS, *ENTERING) if route[0] in ("patch", "put", "delete")},
    ids=_ids,
    spent=frozenset(
        {("post", A), ("delete", ONE_A), ("delete", ONE_G), ("delete", ONE_E), ("delete", ONE_F), ("delete", SEASON)}
    ),
)
