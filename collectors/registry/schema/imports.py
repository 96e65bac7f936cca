"""What an import changed, so that it can be looked at before and taken back after."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from collectors.registry.schema.base import Base

_OPTIONAL_JSON = JSON(none_as_null=True)


class ImportFile(Base):
    """A file of rows about a farm: planned, then applied or forgotten, and perhaps taken back.

    `state`: see `collectors/imports`. `columns`: which of its columns was taken for what. `counts`: rows by what
    becomes of them. `done` of `total`: how far the step is that goes on just now. `kept`: the name of its bytes in
    the folder of uploads, where they are still needed. `said`: what holds for the whole file.
    """

    __tablename__ = "import_file"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"))
    version: Mapped[int] = mapped_column(default=1)
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(200))
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int]
    mapping: Mapped[str] = mapped_column(String(16_000), default="")
    columns: Mapped[list[Any]] = mapped_column(default=list)
    counts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    said: Mapped[list[Any]] = mapped_column(default=list)
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    kept: Mapped[str | None] = mapped_column(String(64))
    planned_ms: Mapped[int]
    planned_by: Mapped[str] = mapped_column(String(64))
    planned_name: Mapped[str] = mapped_column(String(200), default="")
    applied_ms: Mapped[int | None]
    applied_by: Mapped[str | None] = mapped_column(String(64))
    applied_name: Mapped[str | None] = mapped_column(String(200))
    undone_ms: Mapped[int | None]
    undone_by: Mapped[str | None] = mapped_column(String(64))
    undone_name: Mapped[str | None] = mapped_column(String(200))
    __table_args__ = (Index(None, "site_id", "planned_ms", "id"),)


class ImportRow(Base):
    """What a row of the file does to one row of the registry (`thing`, `target`), with the values before and after.

    `mark` stands for all that the target said when it was planned, and once it is applied, for what this import made
    it say; only while it still says that, the row may be applied or taken back. `of_row`: the row whose target this
    one hangs on, where that was to be made first. `said`: warnings, or why it is refused.
    """

    __tablename__ = "import_row"
    import_id: Mapped[str] = mapped_column(ForeignKey("import_file.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), index=True)
    line: Mapped[int]
    thing: Mapped[str] = mapped_column(String(12))
    action: Mapped[str] = mapped_column(String(12))
    state: Mapped[str] = mapped_column(String(12))
    label: Mapped[str] = mapped_column(String(200), default="")
    target: Mapped[str | None] = mapped_column(String(32))
    mark: Mapped[str | None] = mapped_column(String(32))
    of_row: Mapped[int | None]
    before: Mapped[dict[str, Any] | None] = mapped_column(_OPTIONAL_JSON)
    after: Mapped[dict[str, Any] | None] = mapped_column(_OPTIONAL_JSON)
    said: Mapped[list[Any]] = mapped_column(default=list)
