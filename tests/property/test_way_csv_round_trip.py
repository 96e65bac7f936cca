"""Import ∘ export ≡ identity: what is written as CSV in any of the accepted ways is read back as the same readings.

Where it makes no sense: a text that a spreadsheet would take for a formula keeps the apostrophe that `makiba export`
puts in front of it, a blank around a text is no part of it, and CP932 has two code points for some signs (¬ and ￢).
"""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.out.csv_form import CsvForm, guarded
from collectors.out.table import Wanted, table
from collectors.store import open_store
from collectors.ways.csv_mapping import Wrong, bind, load_mapping, read_row
from collectors.ways.csv_rows import Dialect, Rows
from makiba.quantities import catalogue
from makiba.reading import Reading, Series
from makiba.settings import configs_dir
from tests.often import often
from tests.service.ways_parts import JST

SITE = "s-1"
_times = st.integers(min_value=1_420_070_400_000, max_value=1_800_000_000_000)
_texts = st.text(
    st.characters(codec="cp932", exclude_characters="¢£¬‖−〜", exclude_categories=["Cc", "Zs", "Zl", "Zp"]),
    min_size=1, max_size=12,
).filter(lambda text: guarded(text) == text and text.strip() == text)  # fmt: skip
_subjects = st.sampled_from(["tank-1", "soil-3.ch2", "0123456789"])


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    """A reading of any quantity, with any double that it can be."""
    known = draw(st.sampled_from(sorted(catalogue().values(), key=lambda q: q.name)))
    series = Series(SITE, draw(_subjects), known.name)
    if known.kind == "text":
        return Reading(series, draw(_times), draw(_texts))
    low, high = known.lowest, known.highest
    numbers = st.floats(
        min_value=-1e9 if low is None else low, max_value=1e9 if high is None else high, allow_subnormal=False
    )
    return Reading(series, draw(_times), draw(numbers))


def read(data: bytes, mapping: Path, encoding: str) -> list[Reading]:
    found = load_mapping(mapping)
    rows = iter(Rows(io.BytesIO(data), Dialect(encoding, found.dialect.delimiter, found.dialect.quote)))
    heads = [field.strip() for field in next(rows).fields]
    bound = bind(found, heads, SITE, "data.csv")
    taken = [one for row in rows for one in read_row(bound, row.fields)]
    assert not [one for one in taken if isinstance(one, Wrong)]
    return [one[1] for one in taken if isinstance(one, tuple)]


@settings(max_examples=often(40), deadline=None)
@given(st.lists(readings(), max_size=12), st.sampled_from(["utf-8", "cp932"]), st.booleans())
def test_what_makiba_exports_comes_back_as_it_was(rows: list[Reading], encoding: Any, for_excel: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:{folder}/store.db")
        try:
            if rows:
                store.write(rows)
            series = store.series(SITE)
            form = CsvForm(JST, encoding=encoding, for_excel=for_excel)
            data = b"".join(form.bytes_of(table(store, Wanted(series, 0, 2**60))))
            stored = {(s, p.time_ms): p.value for s in series for p in store.range(s, 0, 2**60)}
        finally:
            store.close()
    assert not form.replaced
    back = read(data, configs_dir() / "imports/makiba-export.yaml", encoding)
    assert {(r.series, r.time_ms): r.value for r in back} == stored


@settings(max_examples=often(60), deadline=None)
@given(
    st.lists(st.tuples(_times, st.integers(-5000, 5000), st.integers(0, 9999)), min_size=1, max_size=20),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from([".", ","]),
    st.sampled_from(["utf-8", "cp932"]),
    st.booleans(),
)
def test_any_dialect_gives_the_same_readings(
    rows: list[tuple[int, int, int]], delimiter: str, decimal: str, encoding: str, bom: bool
) -> None:
    """Temperatures in hundredths and subjects, written with every delimiter, decimal sign and encoding."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["時刻", "個体", "温度"])
    for at_ms, hundredths, cow in rows:
        value = f"{hundredths / 100:.2f}".replace(".", decimal)
        writer.writerow([at_ms, f"cow-{cow}", value])
    data = text.getvalue().encode(encoding)
    if bom and encoding == "utf-8":
        data = b"\xef\xbb\xbf" + data
    with tempfile.TemporaryDirectory() as folder:
        mapping = Path(folder) / "m.yaml"
        quoted = "\\t" if delimiter == "\t" else delimiter
        mapping.write_text(
            f'file: {{delimiter: "{quoted}", decimal: "{decimal}", encoding: {encoding}}}\n'
            "time: {columns: [時刻], format: unix-ms}\nsubject: {column: 個体}\n"
            "values: [{column: 温度, quantity: temperature, unit: Cel}]\n",
            encoding="utf-8",
        )
        back = read(data, mapping, encoding)
    assert [(r.series.subject, r.time_ms, r.value) for r in back] == [
        (f"cow-{cow}", at_ms, hundredths / 100) for at_ms, hundredths, cow in rows
    ]
