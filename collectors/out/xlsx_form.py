"""An Excel workbook (ECMA-376, SpreadsheetML), written as it is read: the first bytes leave at once, memory is flat.

Written here and not by a library, since those that exist put whole sheets into temporary files and give out the
first byte when they have the last. What is in it is little: numbers as numbers; times as Excel's own dates in the
farm's time, with a number format; names as shared strings, which stand at the end of the file, where they are known;
any other text in its cell. A text is a text whatever it begins with: no cell is a formula, and one that would become
a formula when somebody edits it has Excel's own mark against that (`quotePrefix`). A sheet holds `ROWS_PER_SHEET`
rows with the heads on top; the next ones go on.

The parts of the archive stay below 2 GiB each and 4 GiB together, since Excel opens no larger ones that are streamed;
`TooLarge` says so where it would not, better before the first byte (`check_rows`).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from datetime import tzinfo
from typing import IO, Any, Final, cast

from collectors.out.clock import offset_ms
from collectors.out.csv_form import FORMULA
from collectors.out.table import Block, Column, Language, Table

ROWS_PER_SHEET: Final = 1_048_576
"""Excel's limit, heads included."""
MAX_COLUMNS: Final = 16_384
MAX_ROWS: Final = 16_000_000
MAX_PART_BYTES: Final = 1_500_000_000
MAX_FILE_BYTES: Final = 3_900_000_000
LEVEL: Final = 3
"""zlib's: 30 % quicker than its usual 6, for 10 % more bytes."""

_QUARTER_MS: Final = 900_000
_DAY_MS: Final = 86_400_000
_EPOCH: Final = 25_569
"""Excel's number for 1970-01-01."""
_LAST_SERIAL: Final = 2_958_465.999999
"""Of 9999-12-31, beyond which Excel knows no dates."""

_SHEET_NAME: Final[dict[Language, str]] = {"ja": "データ", "en": "Data"}
_PLAIN, _TIME, _HEAD, _QUOTED = range(4)
"""Numbers of the styles in `_STYLES`."""

_NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_XML: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_SPECIAL: Final = re.compile("[&<>\r]")

_HEADER: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_STYLES: Final = (
    f'{_HEADER}<styleSheet xmlns="{_MAIN}">'
    '<numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd\\ hh:mm:ss"/></numFmts>'
    '<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill>'
    '<fill><patternFill patternType="gray125"/></fill></fills>'
    "<borders count=\"1\"><border><left/><right/><top/><bottom/><diagonal/></border></borders>"
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="4"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/>'
    '<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" quotePrefix="1" applyNumberFormat="1"/></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
)  # fmt: skip


class TooLarge(Exception):
    """More than a workbook holds; the message says what to do."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; take windows (every), a shorter time, or csv or parquet, which have no limit")


def check_rows(rows: int, columns: int) -> None:
    """`TooLarge` where a workbook does not hold so many."""
    if rows > MAX_ROWS:
        raise TooLarge(f"{rows:,} rows are too many for Excel, at most {MAX_ROWS:,}")
    if columns > MAX_COLUMNS:
        raise TooLarge(f"{columns:,} columns are too many for Excel, at most {MAX_COLUMNS:,}")


def xlsx(
    table: Table, zone: tzinfo, language: Language = "en", *, rows_per_sheet: int = ROWS_PER_SHEET
) -> Iterator[bytes]:
    """The workbook's bytes, in pieces of a block each."""
    check_rows(0, len(table.columns))
    pipe = _Pipe()
    spelling = _Spelling(zone)
    sheets = 0
    with zipfile.ZipFile(cast("IO[bytes]", pipe), "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        blocks = _cut(table, rows_per_sheet - 1)
        is_last = False
        while not is_last:
            sheets += 1
            with archive.open(_part(f"xl/worksheets/sheet{sheets}.xml"), "w") as sheet:
                sheet.write(spelling.beginning(table.columns).encode())
                size = 0
                is_last = True
                for block, ends in blocks:
                    rows = spelling.rows(table.columns, block).encode("utf-8")
                    sheet.write(rows)
                    yield pipe.drain()
                    size += len(rows)
                    if ends or size > MAX_PART_BYTES:
                        is_last = False
                        break
                sheet.write(b"</sheetData></worksheet>")
            if pipe.position > MAX_FILE_BYTES:
                raise TooLarge("the workbook would have more than 4 GB")
            yield pipe.drain()
        for name, text in _rest(sheets, language, spelling):
            archive.writestr(_part(name), text.encode("utf-8"))
    yield pipe.drain()


def _cut(table: Table, rows: int) -> Iterator[tuple[Block, bool]]:
    """The blocks of `table`, cut where a sheet of `rows` is full, and whether it is; not where nothing follows."""
    held: tuple[Block, bool] | None = None
    room = rows
    for block in table.blocks:
        while block and block[0]:
            part, block = [column[:room] for column in block], [column[room:] for column in block]
            if held is not None:
                yield held
            room -= len(part[0])
            held = (part, room == 0)
            room = room or rows
    if held is not None:
        yield held[0], False


class _Spelling:
    """Spells cells; remembers the words that many cells share, and how far a quarter of an hour is from UTC."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._quarter, self._offset_ms = -1, 0
        self.words: dict[str, int] = {}
        self.uses = 0

    def beginning(self, columns: Sequence[Column]) -> str:
        heads = "".join(self._word(column.name, _HEAD) for column in columns)
        widths = "".join(
            f'<col min="{n}" max="{n}" width="{20 if column.kind in ("time", "integer") else 14}" customWidth="1"/>'
            for n, column in enumerate(columns, 1)
        )
        return (
            f'{_HEADER}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0"><pane ySplit="1" '
            'topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
            f"<cols>{widths}</cols><sheetData><row>{heads}</row>"
        )

    def rows(self, columns: Sequence[Column], block: Block) -> str:
        cells = [self._cells(column, values) for column, values in zip(columns, block, strict=True)]
        return "".join([f"<row>{''.join(row)}</row>" for row in zip(*cells, strict=True)])

    def _cells(self, column: Column, values: list[Any]) -> list[str]:
        if column.kind == "time":
            return [f'<c s="{_TIME}"><v>{self._serial(value):.9f}</v></c>' for value in values]
        if column.kind == "word":
            # One series' block has one and the same word in all of its rows.
            self.uses += len(values) - 1
            return [self._word(values[0])] * len(values)
        if column.kind == "text":
            return ["<c/>" if value is None else _text(value) for value in values]
        return ["<c/>" if value is None else f"<c><v>{value!r}</v></c>" for value in values]

    def _word(self, word: str, style: int = _PLAIN) -> str:
        self.uses += 1
        number = self.words.setdefault(word, len(self.words))
        return f'<c t="s" s="{_QUOTED if word.startswith(FORMULA) and not style else style}"><v>{number}</v></c>'

    def _serial(self, time_ms: int) -> float:
        """Excel's number for what the farm's clock says then: days, with the time of day behind the point."""
        quarter = time_ms // _QUARTER_MS
        if quarter != self._quarter:
            self._quarter = quarter
            try:
                self._offset_ms = offset_ms(self._zone, time_ms)
            except (ValueError, OverflowError):  # the last hours of 9999
                self._offset_ms = 0
        return min((time_ms + self._offset_ms) / _DAY_MS + _EPOCH, _LAST_SERIAL)


def _text(text: str) -> str:
    style = f' s="{_QUOTED}"' if text.startswith(FORMULA) else ""
    return f'<c t="inlineStr"{style}><is><t xml:space="preserve">{_escaped(text)}</t></is></c>'


def _escaped(text: str) -> str:
    """`text` as XML; what XML cannot hold is spelled as ECMA-376 has it, `_x001B_` (22.9.2.19, ST_Xstring)."""
    text = _NOT_XML.sub(lambda found: f"_x{ord(found[0]):04X}_", text)
    return _SPECIAL.sub(lambda found: _XML[found[0]], text)


def _rest(sheets: int, language: Language, spelling: _Spelling) -> Iterator[tuple[str, str]]:
    """Everything beside the sheets."""
    numbers = range(1, sheets + 1)
    name = _SHEET_NAME[language]
    strings = "".join(f'<si><t xml:space="preserve">{_escaped(word)}</t></si>' for word in spelling.words)
    counts = f'count="{spelling.uses}" uniqueCount="{len(spelling.words)}"'
    yield "xl/sharedStrings.xml", f'{_HEADER}<sst xmlns="{_MAIN}" {counts}>{strings}</sst>'
    yield "xl/styles.xml", _STYLES
    listed = "".join(f'<sheet name="{name} {n}" sheetId="{n}" r:id="rId{n}"/>' for n in numbers)
    yield (
        "xl/workbook.xml",
        (f'{_HEADER}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{listed}</sheets></workbook>'),
    )
    own = [(f"rId{n}", "worksheet", f"worksheets/sheet{n}.xml") for n in numbers]
    own += [("rIdStyles", "styles", "styles.xml"), ("rIdStrings", "sharedStrings", "sharedStrings.xml")]
    yield "xl/_rels/workbook.xml.rels", _relations(own)
    yield "_rels/.rels", _relations([("rId1", "officeDocument", "xl/workbook.xml")])
    kinds = [
        ("/xl/workbook.xml", "sheet.main"),
        ("/xl/styles.xml", "styles"),
        ("/xl/sharedStrings.xml", "sharedStrings"),
    ]
    kinds += [(f"/xl/worksheets/sheet{n}.xml", "worksheet") for n in numbers]
    parts = "".join(f'<Override PartName="{part}" ContentType="{_TYPE}.{kind}+xml"/>' for part, kind in kinds)
    yield (
        "[Content_Types].xml",
        (
            f'{_HEADER}<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
            f'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>{parts}</Types>'
        ),
    )


def _relations(rows: list[tuple[str, str, str]]) -> str:
    told = "".join(f'<Relationship Id="{i}" Type="{_OFFICE}/{kind}" Target="{target}"/>' for i, kind, target in rows)
    return f'{_HEADER}<Relationships xmlns="{_PACKAGE}/relationships">{told}</Relationships>'


def _part(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    info._compresslevel = LEVEL  # type: ignore[attr-defined]
    return info


class _Pipe:
    """What the archive is written to; it cannot be wound back. `drain` takes what came in since the last time."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.position = 0

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        self.position += len(data)
        return len(data)

    def flush(self) -> None:
        pass

    def drain(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data
