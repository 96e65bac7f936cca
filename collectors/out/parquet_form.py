"""Parquet, for analysis of years: typed columns, times with the farm's timezone, a tenth of the size of CSV.

Needs pyarrow (`pip install 'makiba[parquet]'`), which is imported only here. A row group is written as soon as it is
full, so that memory is that of one. Rows come as from `table`; words that repeat (names, units) are dictionaries.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

from collectors.out.table import Block, Kind, Table

ROWS_PER_GROUP: Final = 20_000
"""Small for Parquet, whose readers like 100,000 and more; each 10,000 cost some 5 MB while a group is made."""


class ParquetMissing(Exception):
    """pyarrow is not installed; the message says how it is."""


class _Pipe:
    """What pyarrow writes to; `drain` takes what came in since the last time."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def drain(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def require_pyarrow() -> None:
    """`ParquetMissing` when it cannot be imported."""
    # The system's allocator gives back what is no longer used, 20 MB at the peak. Arrow reads this when it is loaded.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise ParquetMissing(
            f"parquet needs pyarrow, which is not installed here ({error.name}): pip install 'makiba[parquet]'; "
            "csv and senml need nothing"
        ) from None


def parquet(table: Table, zone_name: str) -> Iterator[bytes]:
    """The file's bytes, in pieces of a row group each."""
    require_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds: dict[Kind, Any] = {
        "time": pa.timestamp("ms", tz=zone_name), "integer": pa.int64(), "number": pa.float64(),
        "text": pa.string(), "word": pa.dictionary(pa.int32(), pa.string()),
    }  # fmt: skip
    schema = pa.schema([(column.name, kinds[column.kind]) for column in table.columns])
    words = [column.name for column in table.columns if column.kind == "word"]
    pipe = _Pipe()
    sink = pa.PythonFile(pipe, mode="w")
    with pq.ParquetWriter(sink, schema, compression="zstd", use_dictionary=words) as writer:
        for block in _groups(table):
            arrays = [pa.array(values, type=kind) for values, kind in zip(block, schema.types, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=len(block[0]))
            pa.default_memory_pool().release_unused()  # 6 MB less at the peak
            yield pipe.drain()
    sink.close()
    yield pipe.drain()


def _groups(table: Table) -> Iterator[Block]:
    """The blocks of `table`, as many together as make a row group."""
    group: Block = [[] for _ in table.columns]
    for block in table.blocks:
        for together, values in zip(group, block, strict=True):
            together.extend(values)
        if len(group[0]) >= ROWS_PER_GROUP:
            yield group
            group = [[] for _ in table.columns]
    if group[0]:
        yield group
