"""Imports: a file's plan, how far it is, and what its rows do."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from api.shapes import Names, Shape

Kind = Literal["animals", "events", "fields", "readings"]
State = Literal["planning", "planned", "applying", "applied", "undoing", "undone"]
Action = Literal["create", "update", "unchanged", "refused"]
RowState = Literal["none", "waiting", "done", "left", "undone", "kept"]

_EXAMPLE: dict[str, Any] = {
    "id": "wg2dKpqK1oZ9no47cDnigg", "kind": "animals", "state": "planned", "name": "牛の一覧.csv",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "size_bytes": 4096,
    "columns": [{"column": 1, "head": "個体識別番号", "field": "national_id"}],
    "counts": {"create": 2, "update": 1, "unchanged": 40, "refused": 1, "warnings": 1, "beside": {}, "left": 0,
               "kept": 0, "stored": None},
    "said": [{"column": 0, "is_refusal": False, "why": {"ja": "UTF-8 で 読みました", "en": "read as UTF-8"}}],
    "done": 0, "total": 44, "planned_ms": 1790000000000, "planned_by": "花子", "applied_ms": None,
    "applied_by": None, "undone_ms": None, "undone_by": None, "undo_until_ms": None,
}  # fmt: skip


class ImportColumn(Shape):
    """A column that is taken: its place from 1, its head, and the field that it fills."""

    column: int
    head: str
    field: str


class SaidOut(Shape):
    """Why something is refused, or what is odd about it. `column`: where on its line, or of the file; 0: all."""

    column: int
    is_refusal: bool
    why: Names


class CountsOut(Shape):
    """Rows by what becomes of them. `beside`: what hangs on them (`season`, `event`, of readings `series`), by kind.

    `left`: could not be applied any more; `kept`: were not taken back; `stored`: readings that are in the store.
    """

    create: int = 0
    update: int = 0
    unchanged: int = 0
    refused: int = 0
    warnings: int = 0
    beside: dict[str, int] = Field(default_factory=dict)
    left: int = 0
    kept: int = 0
    stored: int | None = None


class ImportOut(Shape):
    """A file: planned, being applied, applied, or taken back. `done` of `total` rows (of readings: bytes).

    `undo_until_ms`: it can be taken back until then; None: it cannot.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    id: str
    kind: Kind
    state: State
    name: str
    sha256: str
    size_bytes: int
    columns: list[ImportColumn]
    counts: CountsOut
    said: list[SaidOut]
    done: int
    total: int
    planned_ms: int
    planned_by: str | None
    applied_ms: int | None
    applied_by: str | None
    undone_ms: int | None
    undone_by: str | None
    undo_until_ms: int | None


class ImportsOut(Shape):
    """The newest first."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"rows": [_EXAMPLE], "next": None}]}
    )

    rows: list[ImportOut]
    next: str | None


class ChangeOut(Shape):
    """A field as it is on file and as the file has it; `before` is None where there was nothing."""

    field: str
    before: str | float | bool | None
    after: str | float | bool | None


class ImportRowOut(Shape):
    """What a row of the file does. `thing`: animal, event, field, season, reading; `id`: of what it changed."""

    number: int
    line: int
    thing: str
    action: Action
    state: RowState
    label: str
    id: str | None
    changes: list[ChangeOut]
    said: list[SaidOut]


class ImportRowsOut(Shape):
    """In the order of the file."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "rows": [
                        {
                            "number": 1, "line": 2, "thing": "animal", "action": "update", "state": "waiting",
                            "label": "0123456789", "id": "vbfJk8AdU0FlMZjK4Q2WLQ", "said": [],
                            "changes": [{"field": "name", "before": "はな", "after": "はなこ"}],
                        }
                    ],
                    "next": None,
                }
            ]
        },
    )  # fmt: skip

    rows: list[ImportRowOut]
    next: str | None
