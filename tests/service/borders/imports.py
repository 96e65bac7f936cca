"""Imports: the farm's own people's; of animals, fields and readings owner's and family's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select

from collectors.imports import work
from collectors.imports.mapping import no_mapping
from collectors.registry.schema.imports import ImportFile
from collectors.registry.viewer import Service
from tests.parts import wait_until
from tests.service.borders import Room, cells

CONSOLE = Service("console")
ALL = "/sites/{site}/imports"
ONE = ALL + "/{import_id}"


def _ids(town: Any, site: str) -> Mapping[str, str]:
    """A plan of an animal, which `apply` uses up, made once the one before is done."""
    wait_until(lambda: not _under_way(town, site), what=f"the import on {site} ends")
    file = Path(town.centre.folder, f"{site}.csv")
    file.write_text("牛番号,名号\nI-1,はな\n", encoding="utf-8")
    registry, clock = town.centre.registry, town.centre.clock
    row = work.plan_file(
        registry, CONSOLE, site, file, kind="animals", name="a.csv", mapping=no_mapping("animals"), clock=clock
    )
    return {"import_id": row.id}


def _under_way(town: Any, site: str) -> bool:
    with town.centre.registry.read() as session:
        states = select(ImportFile.state).where(ImportFile.site_id == site)
        return not {"applying", "undoing"}.isdisjoint(session.scalars(states))


ROOM = Room(
    about_a_farm={
        ("get", ALL): cells(200, 200, 200, guest=404, admin=404),
        ("get", ONE): cells(200, 200, 200, guest=404, admin=404),
        ("get", ONE + "/rows"): cells(200, 200, 200, guest=404, admin=404),
        # The room's body is JSON and no table: it is read, and refused as one.
        ("post", ALL): cells(422, 422, 403, guest=404, admin=404),
        ("post", ONE + "/apply"): cells(202, 202, 403, guest=404, admin=404),
        # What was never applied cannot be taken back; to say so needs the right to.
        ("post", ONE + "/undo"): cells(409, 409, 403, guest=404, admin=404),
    },
    bodies={ALL: {"no": "table"}},
    queries={ALL: {"kind": "animals", "name": "a.csv"}},
    ids=_ids,
    spent=frozenset({("post", ONE + "/apply"), ("post", ONE + "/undo")}),
)
