"""Plan ∘ apply ∘ undo ≡ nothing; and plan ∘ apply, done twice, changes nothing the second time.

The files are made of few numbers, so that rows meet animals on file, each other, and what they may not meet.
"""

from __future__ import annotations

import contextlib
import csv
import io
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from collectors.imports import work
from collectors.imports.kinds import Kind
from collectors.imports.mapping import no_mapping
from collectors.registry import Registry, animals, groups, open_registry
from collectors.registry.schema.herd import Animal, AnimalTag, CropSeason, Field, HerdEvent, HerdMember
from collectors.registry.schema.imports import ImportFile
from tests.service.collecting import CONSOLE, SITE, now_ms, registry_with

_national = st.sampled_from(["", "1000000001", "1000000002", "100000003", "0000000004"])
_tag = st.sampled_from(["", "392000000000001", "392000000000002", "1000000001"])
_number = st.sampled_from(["", "1", "2", "3", "４"])
_group = st.sampled_from(["", "搾乳", "乾乳", "ない群"])
_day = st.sampled_from(["", "2026/4/1", "R8.4.1", "2026-04-02", "46113", "4/1/2026"])
_word = st.sampled_from(["", "はな", "=1+1", "ゆき\nこ", "x" * 101])

# A failing example takes seconds to run: it is told as it was found.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)

HERD = ("個体識別番号", "耳標", "牛番号", "名号", "生年月日", "群", "備考")
_herd = st.lists(st.tuples(_national, _tag, _number, _word, _day, _group, _word), max_size=5)
EVENTS = ("個体識別番号", "牛番号", "種類", "日付", "種雄牛", "結果", "移動先", "備考")
_kinds = st.sampled_from(["授精", "分娩", "発情", "移動", "販売", "死亡", "鑑定", "?"])
_events = st.lists(
    st.tuples(_national, _number, _kinds, _day, _word, st.sampled_from(["", "受胎", "空胎"]), _group, _word),
    max_size=5,
)
FIELDS = ("番号", "ほ場名", "土壌", "作物", "品種", "播種日", "備考")
_soil = st.sampled_from(["", "泥炭", "黒ボク土", "?"])
_fields = st.lists(
    st.tuples(_number, st.sampled_from(["", "裏", "西"]), _soil, st.sampled_from(["", "小麦"]), _word, _day, _word),
    max_size=5,
)


@cache
def _empty_farm() -> bytes:
    """The file of a registry with a farm that has two groups; made once."""
    with tempfile.TemporaryDirectory() as folder:
        registry = registry_with(Path(folder))
        with registry.write() as session:
            for name in ("搾乳", "乾乳"):
                named = {"name_ja": name, "name_en": name, "kind": "other"}
                groups.add(session, CONSOLE, SITE, named, now_ms())
        registry.close()
        return Path(folder, "registry.db").read_bytes()


@contextlib.contextmanager
def farm(rows: list[tuple[str, ...]]) -> Iterator[tuple[Path, Registry]]:
    """A farm with whatever of `rows` can be imported."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "registry.db").write_bytes(_empty_farm())
        with contextlib.closing(open_registry(f"sqlite:{folder}/registry.db")) as registry:
            put(Path(folder), registry, "animals", HERD, rows)
            yield Path(folder), registry


def put(
    folder: Path, registry: Registry, kind: Kind, heads: tuple[str, ...], rows: list[tuple[str, ...]]
) -> ImportFile:
    """Imports `rows`."""
    text = io.StringIO()
    csv.writer(text).writerows([heads, *rows])
    file = folder / "file.csv"
    file.write_text(text.getvalue(), encoding="utf-8", newline="")
    row = work.plan_file(
        registry, CONSOLE, SITE, file, kind=kind, name="file.csv", mapping=no_mapping(kind), clock=now_ms
    )
    work.begin_apply(registry, CONSOLE, SITE, row.id, now_ms)
    done = work.go_on(registry, CONSOLE, SITE, row.id, now_ms)
    assert done.state == "applied"
    return done


def undo(registry: Registry, row: ImportFile) -> ImportFile:
    work.begin_undo(registry, CONSOLE, SITE, row.id, now_ms)
    return work.go_on(registry, CONSOLE, SITE, row.id, now_ms)


def state(registry: Registry) -> Any:
    """Everything about animals, events and fields but ids, versions and when it was written."""
    with registry.read() as session:
        names = {row.id: row.national_id or row.tag or row.number for row in session.scalars(select(Animal))}
        herd = {
            tuple((name, getattr(row, name)) for name in (*animals.EDITABLE, "tag_from_ms", "status"))
            for row in session.scalars(select(Animal))
        }
        tags = {(names[t.animal_id], t.tag, t.from_ms) for t in session.scalars(select(AnimalTag))}
        events = sorted(
            (str(names[e.animal_id]), e.kind, e.at_ms, str(e.detail), e.note)
            for e in session.scalars(select(HerdEvent))
        )
        members = sorted(
            (str(names[m.animal_id]), m.group_id, m.from_ms) for m in session.scalars(select(HerdMember))
        )
        fields = {
            row.id: (row.number, row.name_ja, row.name_en, row.soil, row.note)
            for row in session.scalars(select(Field))
        }
        seasons = {
            (fields[s.field_id], s.crop, s.variety, s.sown_on, s.note) for s in session.scalars(select(CropSeason))
        }
        return herd, tags, events, members, set(fields.values()), seasons


def check(folder: Path, registry: Registry, kind: Kind, heads: tuple[str, ...], rows: list[Any]) -> None:
    before = state(registry)
    first = put(folder, registry, kind, heads, rows)
    assert first.counts["left"] == 0
    after = state(registry)
    second = put(folder, registry, kind, heads, rows)
    # A row that was refused for what another one of the file then changed may be taken the second time.
    if not first.counts["refused"]:
        assert (second.counts["create"], second.counts["update"], second.counts["beside"]) == (0, 0, {})
        assert state(registry) == after
    back = undo(registry, second)
    back = undo(registry, first)
    assert back.counts["kept"] == 0
    assert state(registry) == before


@settings(max_examples=10, deadline=None, phases=PHASES)
@given(_herd, _herd)
def test_an_import_of_animals_is_undone_and_repeats_as_nothing(
    on_file: list[tuple[str, ...]], rows: list[tuple[str, ...]]
) -> None:
    with farm(on_file) as (folder, registry):
        check(folder, registry, "animals", HERD, rows)


@settings(max_examples=10, deadline=None, phases=PHASES)
@given(_herd, _events, _events)
def test_an_import_of_events_is_undone_and_repeats_as_nothing(
    on_file: list[tuple[str, ...]], before: list[tuple[str, ...]], rows: list[tuple[str, ...]]
) -> None:
    with farm(on_file) as (folder, registry):
        put(folder, registry, "events", EVENTS, before)
        check(folder, registry, "events", EVENTS, rows)


@settings(max_examples=10, deadline=None, phases=PHASES)
@given(_fields, _fields)
def test_an_import_of_fields_is_undone_and_repeats_as_nothing(
    before: list[tuple[str, ...]], rows: list[tuple[str, ...]]
) -> None:
    with farm([]) as (folder, registry):
        put(folder, registry, "fields", FIELDS, before)
        check(folder, registry, "fields", FIELDS, rows)
