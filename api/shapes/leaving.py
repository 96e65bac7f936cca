"""A farm's archive, and its leaving."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from api.shapes import Names, Shape


class LeaveIn(Shape):
    """`confirm`: the farm's id, typed by its owner."""

    confirm: str = Field(min_length=1, max_length=64)

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"confirm": "shikaoi-012"}]}
    )


class LeaveOut(Shape):
    """How far a farm is on its way out. From `settled_ms` on an archive is the whole of it, and it may be deleted."""

    receipt: str
    requested_ms: int
    settled_ms: int
    archived_ms: int | None
    archive_sha256: str | None
    deleting: bool


class DeleteIn(Shape):
    """`confirm`: the farm's id once more. The SHA-256 of the archive that the owner holds; null: they want none."""

    confirm: str = Field(min_length=1, max_length=64)
    archive_sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$")

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"confirm": "shikaoi-012", "archive_sha256": "0" * 64}]},
    )


class ReceiptOut(Shape):
    """That a farm was deleted: when, how many rows of each table and series; and what Makiba cannot reach."""

    id: str
    site: str
    requested_ms: int
    done_ms: int
    deleted: dict[str, int]
    still_there: list[Names]
