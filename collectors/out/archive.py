"""All of a farm in one file: readings as CSV, Parquet and SenML, everything else as JSON, and what is in it.

A ZIP that is made while it goes out: memory is flat, nothing is written to this machine's disk. Every form holds
every reading; SenML is the one that Makiba reads again bit for bit, CSV the one that opens by a double click. Without
pyarrow there is no Parquet, and the contents say so. Hashes, secrets and cookies are not in it.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any, Final, cast
from zoneinfo import ZoneInfo

from collectors.out.clock import zone_of
from collectors.out.csv_form import CsvForm
from collectors.out.export import csv_bytes, parquet_bytes, senml_bytes
from collectors.out.parquet_form import ParquetMissing, require_pyarrow
from collectors.out.table import Wanted
from collectors.registry import Registry, sites
from collectors.registry.belongings import people_of, rows_of
from collectors.registry.viewer import Viewer
from collectors.store import Store
from makiba.reading import EARLIEST_MS, LATEST_MS, Series

FORMAT: Final = 1

ABOUT: Final = """この ファイルには {name_ja} の データが すべて 入っています。

readings.csv         測定値（Excelで 開けます。時刻は 牧場の 時刻です）
readings.parquet     同じ 測定値（分析ソフト用）
readings.senml.json  同じ 測定値（SenML、RFC 8428。Makibaで また 読めます）
registry.json        牧場、機器、場所、牛、ほ場、出来事、警報、同意、閲覧記録 など
contents.json        入っている ファイルの 大きさと SHA-256

This file holds all data of {name_en}.

readings.csv         what was measured (opens in Excel; times are the farm's)
readings.parquet     the same for analysis
readings.senml.json  the same as SenML (RFC 8428), which Makiba reads again
registry.json        the farm, devices, places, animals, fields, events, alerts, consents, who looked
contents.json        size and SHA-256 of each file
"""


@dataclass
class _Sink:
    """What the ZIP is written to; it cannot seek, so that the ZIP is made front to back."""

    digest: Any = field(default_factory=hashlib.sha256)
    _parts: list[bytes] = field(default_factory=list)

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def drain(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        self.digest.update(data)
        return data


@dataclass(frozen=True, slots=True)
class _Farm:
    site: str
    names: dict[str, str]
    zone: ZoneInfo
    people: list[dict[str, str]]
    series: list[Series]


def archive(
    store: Store,
    registry: Registry,
    viewer: Viewer,
    site: str,
    now_ms: int,
    whole: Callable[[str], None] = lambda _: None,
) -> Iterator[bytes]:
    """The file's bytes; `whole` is told their SHA-256 once the last of them was taken.

    `LookupError`: no such farm for `viewer`; `NotAllowed`. Both before the first byte.
    """
    with registry.read() as session:
        row = sites.get_site(session, viewer, site)
        if row is None:
            raise LookupError(f"no site {site}")
        people = people_of(session, viewer, site)
        names = {"name_ja": row.name_ja, "name_en": row.name_en}
        farm = _Farm(site, names, zone_of(row.timezone), people, store.series(site))
    return _bundle(store, registry, viewer, farm, now_ms, whole)


def _bundle(
    store: Store, registry: Registry, viewer: Viewer, farm: _Farm, now_ms: int, whole: Callable[[str], None]
) -> Iterator[bytes]:
    sink, readings, without = _Sink(), _Count(), []
    wanted = Wanted(farm.series, EARLIEST_MS, LATEST_MS)
    files: list[tuple[str, Iterable[bytes]]] = [
        ("readme.txt", [ABOUT.format(**farm.names).replace("\n", "\r\n").encode("utf-8-sig")]),
        ("registry.json", _registered(registry, viewer, farm)),
        ("readings.csv", csv_bytes(store, wanted, CsvForm(farm.zone, for_excel=True), readings)),
        ("readings.senml.json", senml_bytes(store, wanted)),
    ]
    try:
        require_pyarrow()
        files.append(("readings.parquet", parquet_bytes(store, wanted, farm.zone)))
    except ParquetMissing:
        without.append("readings.parquet")

    moment = datetime.fromtimestamp(now_ms / 1000, farm.zone).timetuple()[:6]
    contents: list[dict[str, Any]] = []
    # It needs no more than to be written to.
    with zipfile.ZipFile(cast("IO[bytes]", sink), "w") as bundle:
        for name, parts in files:
            size, digest = 0, hashlib.sha256()
            kind = zipfile.ZIP_STORED if name.endswith(".parquet") else zipfile.ZIP_DEFLATED
            with bundle.open(_entry(name, moment, kind), "w", force_zip64=True) as member:
                for part in parts:
                    member.write(part)
                    size += len(part)
                    digest.update(part)
                    if data := sink.drain():
                        yield data
            contents.append({"name": name, "bytes": size, "sha256": digest.hexdigest()})
            yield sink.drain()
        told = {
            "makiba": FORMAT, "site": farm.site, "made_ms": now_ms, "series": len(farm.series),
            "readings": readings.rows, "files": contents, "without": without,
        }  # fmt: skip
        bundle.writestr(_entry("contents.json", moment, zipfile.ZIP_DEFLATED), json.dumps(told, indent=2))
    yield sink.drain()
    whole(sink.digest.hexdigest())


@dataclass
class _Count:
    rows: int = 0

    def __call__(self, more: int) -> None:
        self.rows += more


def _registered(registry: Registry, viewer: Viewer, farm: _Farm) -> Iterator[bytes]:
    with registry.read() as session:
        yield b'{\n"people": ' + _dumped(farm.people)
        for table, found in rows_of(session, viewer, farm.site):
            yield f',\n"{table}": ['.encode()
            for n, entry in enumerate(found):
                yield (b"\n" if n == 0 else b",\n") + _dumped(entry)
            yield b"]"
        yield b"\n}\n"


def _entry(name: str, moment: Any, kind: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, moment)
    entry.compress_type = kind
    entry.external_attr = 0o600 << 16
    return entry


def _dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
