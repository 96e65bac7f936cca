"""The examples of docs/ways-in.md are read by the programs that they are for."""

from __future__ import annotations

import re
from pathlib import Path

from collectors.imports.mapping import load_table_mapping
from collectors.registry.site_file import load_site_file
from collectors.ways.csv_mapping import load_mapping
from collectors.ways.lorawan_profile import load_profile
from makiba.senml import parse, readings_of

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/ways-in.md"


def blocks(language: str, first_line: str = "") -> list[str]:
    text = DOCUMENT.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n({re.escape(first_line)}.*?)^```$", text, re.MULTILINE | re.DOTALL)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "example.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_site_files(tmp_path: Path) -> None:
    lorawan, weather = (load_site_file(written(tmp_path, block)) for block in blocks("yaml", "# site file"))
    assert lorawan.lorawan[0].subject == "calf-barn-climate"
    assert weather.weather
    assert weather.weather.municipality == "0163400"


def test_profile_and_mapping(tmp_path: Path) -> None:
    (profile,), (mapping,) = blocks("yaml", "# profile"), blocks("yaml", "# mapping")
    assert len(load_profile(written(tmp_path, profile)).fields) == 2
    assert load_mapping(written(tmp_path, mapping)).dialect.encoding == "cp932"


def test_a_mapping_of_a_herd(tmp_path: Path) -> None:
    (mapping,) = blocks("yaml", "# herd mapping")
    model = load_table_mapping(written(tmp_path, mapping), "events").model
    assert [entry.event or entry.field for entry in model.columns] == ["number", "kind", "day", "calving"]


def test_pack() -> None:
    (pack,) = blocks("json")
    readings, refused = readings_of(parse(pack.encode(), "application/senml+json"), 1_780_200_000)
    assert not refused
    assert [(str(r.series), r.time_ms, r.value) for _, r in readings] == [
        ("shikaoi-001/0123456789/milk_yield", 1_780_174_800_000, 31.4),
        ("shikaoi-001/0123456790/milk_yield", 1_780_174_860_000, 28.1),
    ]
