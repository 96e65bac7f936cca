"""Readings by CSV: the mapping of a file that needs none, its plan, and the way into the store.

The plan is a dry run: how many readings there are, every refusal with its place (the first `MAX_SHOWN` are kept), and
what looks odd. What is on file already is for the store to know, which keeps one value per series and time: the same
again changes nothing. It has no way to remove single values, so that an import of readings is never taken back.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml
from sqlalchemy.orm import Session

from collectors.imports.kinds import ANIMALS, fold
from collectors.imports.mapping import parse_sent
from collectors.imports.said import Said, said
from collectors.imports.sniff import NotCsv, dialect_of
from collectors.imports.work import STEP_S, Clock, Gone, PlanStale, sha256_of
from collectors.ingest import Ingest
from collectors.registry import Registry, imports, sources
from collectors.registry.schema.imports import ImportFile
from collectors.registry.viewer import Service, Viewer
from collectors.store import Store
from collectors.ways.csv_import import CsvImport, Interrupted, Refused, Tally
from collectors.ways.csv_mapping import Mapping_, parse_mapping
from collectors.ways.csv_rows import Rows
from collectors.ways.port import IngestDoor
from makiba.located_yaml import ConfigErrors, Problem

LookAgain = Callable[[Session, Viewer], Viewer]
MAX_SHOWN: Final = 1_000
HEADS_WITHIN: Final = 30
COLLECTOR: Final = Service("collector")

_TIMES: Final = (
    "日時",
    "測定日時",
    "計測日時",
    "年月日時",
    "検定日時",
    "time",
    "datetime",
    "timestamp",
    "date time",
    "検定日",
    "測定日",
    "計測日",
    "測定年月日",
    "年月日",
    "日付",
    "date",
    "day",
)
_CLOCKS: Final = ("時刻", "時間", "測定時刻", "time of day", "clock")
_SUBJECTS: Final = ("subject", "センサー", "測定点", "場所")
_QUANTITIES: Final[dict[str, dict[str, Any]]] = {
    fold(head): {"quantity": quantity, **more}
    for quantity, heads, more in (
        (
            "milk_yield",
            ("乳量", "搾乳量", "日乳量", "乳量(kg)", "milk yield", "milk", "milk kg", "yield"),
            {"unit": "kg"},
        ),
        ("milk_fat", ("乳脂率", "乳脂肪率", "脂肪率", "乳脂率(%)", "fat", "fat %", "milk fat"), {"unit": "%"}),
        (
            "milk_protein",
            (
                "乳蛋白質率",
                "乳蛋白率",
                "乳タンパク質率",
                "乳たんぱく質率",
                "蛋白質率",
                "protein",
                "protein %",
                "milk protein",
            ),
            {"unit": "%"},
        ),
        ("milk_solids_not_fat", ("無脂固形分率", "無脂固形", "無脂固形分", "SNF", "snf %"), {"unit": "%"}),
        ("milk_lactose", ("乳糖率", "乳糖", "lactose", "lactose %"), {"unit": "%"}),
        ("milk_urea_nitrogen", ("MUN", "乳中尿素窒素", "尿素窒素", "MUN(mg/dl)"), {"unit": "mg/dL"}),
        (
            "somatic_cells",
            ("体細胞数", "体細胞", "体細胞数(千/ml)", "体細胞数(千)", "SCC", "scc(1000/ml)"),
            {"scale": 1000},
        ),
        ("body_weight", ("体重", "体重(kg)", "body weight", "weight", "weight kg"), {"unit": "kg"}),
        ("milk_temperature", ("乳温", "乳温(℃)", "milk temperature"), {"unit": "Cel"}),
        (
            "air_temperature",
            ("気温", "気温(℃)", "温度", "温度(℃)", "air temperature", "temperature"),
            {"unit": "Cel"},
        ),
        ("relative_humidity", ("湿度", "湿度(%)", "相対湿度", "humidity", "relative humidity"), {"unit": "%RH"}),
        ("soil_temperature", ("地温", "地温(℃)", "soil temperature"), {"unit": "Cel"}),
    )
    for head in heads
}


def mapping_for(text: str, file: Path, name: str) -> Mapping_:
    """The mapping that somebody sent as `text`, or that of the file's heads."""
    if not text:
        return mapping_of_heads(file, name)
    parse_sent(text, "mapping")
    return parse_mapping(text, "mapping")


def mapping_of_heads(file: Path, name: str) -> Mapping_:
    """The mapping of a file whose heads are known; `ConfigErrors` says what is missing."""
    try:
        dialect = dialect_of(file)
    except NotCsv as error:
        raise ConfigErrors([Problem(name, 1, 1, "", str(error))]) from None
    with file.open("rb") as binary:
        first = list(itertools.islice(Rows(binary, dialect), HEADS_WITHIN))
    found = [_entries(row.fields) for row in first]
    best = max(range(len(found)), key=lambda i: len(found[i]["values"]), default=0)
    told = found[best] if found else _entries([])
    missing = [
        what
        for what, there in (
            ("a time (日時, 検定日, time …)", told["time"]["columns"]),
            ("a subject (個体識別番号, subject …)", told["subject"]),
            ("a quantity that is known (乳量, 体重, 気温 …)", told["values"]),
        )
        if not there
    ]
    if missing:
        line = first[best].line if first else 1
        raise ConfigErrors([Problem(name, line, 1, "", f"no column has {', nor '.join(missing)}; give a mapping")])
    told["file"] = {
        "encoding": dialect.encoding, "delimiter": dialect.delimiter, "heads": best + 1, "missing": ["", "-", "***"],
    }  # fmt: skip
    return parse_mapping(yaml.safe_dump(told, allow_unicode=True, sort_keys=False), f"{name} (its heads)")


def _entries(heads: Sequence[str]) -> dict[str, Any]:
    """A mapping made of `heads`, as far as they are known."""
    folded = [fold(head) for head in heads]

    def place(known: Sequence[str]) -> list[int]:
        return [folded.index(word) + 1 for word in map(fold, known) if word in folded][:1]

    keys = {cell.name: place((cell.name, *cell.heads)) for cell in ANIMALS[:3]}
    subject: dict[str, Any] = {}
    if at := keys["national_id"] or keys["tag"]:
        subject = {"column": at[0], "digits": 10 if keys["national_id"] else 15}
    elif at := place(_SUBJECTS):
        subject = {"column": at[0]}
    time = place(_TIMES)
    clock = place(_CLOCKS) if time and time != place(_CLOCKS) else []
    seen: set[str] = set()
    values = []
    for index, word in enumerate(folded, 1):
        known = _QUANTITIES.get(word)
        if known is not None and known["quantity"] not in seen:
            seen.add(known["quantity"])
            values.append({"column": index, **known})
    return {"time": {"columns": time + clock, "format": "auto"}, "subject": subject, "values": values}


def resolved(mapping: Mapping_, file: Path, name: str) -> Mapping_:
    """`mapping` with the encoding and the separator of `file`, where it leaves them to the file."""
    asked = mapping.model.file
    try:
        return replace(mapping, dialect=dialect_of(file, asked.encoding, asked.delimiter, asked.quote))
    except NotCsv as error:
        raise ConfigErrors([Problem(name, 1, 1, "", str(error))]) from None


def odd_about(tally: Tally) -> list[Said]:
    """What looks odd about a whole file of readings: milk in a column of weights."""
    if tally.weights >= 3 and 2 * tally.small_weights > tally.weights:
        about: dict[str, str | int] = {"count": tally.small_weights, "all": tally.weights}
        about |= {"text": "body_weight", "quantity": "body_weight", "other": "milk_yield"}
        return [Said("looks-like", about)]
    return []


# -------------------------------------------------------------------------------------------------- a kept plan


def plan_readings(
    registry: Registry, viewer: Viewer, site: str, file: Path, *, name: str, mapping: Mapping_, mapping_text: str,
    kept: str, clock: Clock,
) -> ImportFile:  # fmt: skip
    """The file as a plan that is kept; its bytes are needed again, under the name `kept`."""
    mapping = resolved(mapping, file, name)
    shown: list[Refused] = []

    def tell(one: Refused) -> None:
        if len(shown) < MAX_SHOWN:
            shown.append(one)

    work = CsvImport(file, mapping, site, sources.own_id("import", site), None, tell, lambda _: None)
    work.run(threading.Event())
    tally = work.tally
    about = [
        said("readings-stay"),
        said("read-as", encoding=mapping.dialect.encoding.upper(), delimiter=mapping.dialect.delimiter),
        *odd_about(tally),
    ]
    with registry.write() as session:
        row = imports.begin(
            session, viewer, site, kind="readings", name=name, sha256=sha256_of(file),
            size_bytes=file.stat().st_size, mapping=mapping_text, now_ms=clock(),
        )  # fmt: skip
        imports.add_rows(session, viewer, row, [_refused(number, one) for number, one in enumerate(shown, 1)])
        counts = {
            "create": tally.readings, "update": 0, "unchanged": 0, "refused": tally.refused,
            "warnings": tally.guessed, "beside": {"series": len(tally.by_series)},
        }  # fmt: skip
        imports.set_planned(
            viewer, row, counts=counts, said=[one.kept(0) for one in about], total=row.size_bytes, kept=kept,
            columns=[
                {"column": value.column if isinstance(value.column, int) else 0,
                 "head": str(value.column) if isinstance(value.column, str) else "", "field": value.quantity}
                for value in mapping.model.values
            ],
        )  # fmt: skip
        return row


def _refused(number: int, one: Refused) -> dict[str, Any]:
    return {
        "number": number, "line": one.line, "thing": "reading", "action": "unchanged" if one.is_taken else "refused",
        "state": "none", "label": "", "target": None, "mark": None, "of_row": None, "before": None, "after": None,
        "said": [one.why.kept(one.column)],
    }  # fmt: skip


def apply_readings(
    registry: Registry, store: Store, viewer: Viewer, site: str, import_id: str, file: Path, mapping: Mapping_,
    clock: Clock, stop: threading.Event, look_again: LookAgain = lambda _, viewer: viewer,
) -> ImportFile:  # fmt: skip
    """Stores what the plan counted; done again it changes nothing. `PlanStale` when the bytes are others.

    It returns early once `stop` is set, and goes on from the beginning another time.
    """
    with registry.write() as session:
        row = imports.get_import(session, viewer, site, import_id, lock=True)
        if row is None:
            raise Gone(import_id)
        source = sources.ensure_own(session, COLLECTOR, "import", site, clock()).id
    if sha256_of(file) != row.sha256:
        raise PlanStale([])
    door = IngestDoor(Ingest(registry, store))
    note = _Noting(registry, viewer, site, import_id, clock, look_again)
    work = CsvImport(file, resolved(mapping, file, row.name), site, source, door, lambda _: None, note)
    try:
        work.run(stop)
    except Interrupted:
        return row
    with registry.write() as session:
        viewer = look_again(session, viewer)
        row = imports.get_import(session, viewer, site, import_id, lock=True)
        if row is None:
            raise Gone(import_id)
        if row.state == "applying":
            done = {"stored": work.tally.stored, "refused": work.tally.refused}
            imports.finish(session, viewer, row, done, clock())
    return row


class _Noting:
    """Notes from time to time how many bytes of the file are done, and whether its viewer still may do it."""

    def __init__(
        self, registry: Registry, viewer: Viewer, site: str, import_id: str, clock: Clock, look_again: LookAgain
    ) -> None:
        self._registry, self._viewer, self._site, self._id, self._clock = registry, viewer, site, import_id, clock
        self._look_again = look_again
        self._noted_ms = 0

    def __call__(self, position: int) -> None:
        now_ms = self._clock()
        if now_ms - self._noted_ms < STEP_S * 1000:
            return
        self._noted_ms = now_ms
        with self._registry.write() as session:
            viewer = self._look_again(session, self._viewer)
            row = imports.get_import(session, viewer, self._site, self._id, lock=True)
            if row is None:
                raise Gone(self._id)
            if row.state == "applying":
                imports.note_step(viewer, row, done=position - row.done, now_ms=now_ms)
