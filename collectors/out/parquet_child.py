"""Makes Parquet of blocks from standard input, on standard output: pyarrow in a process of its own.

What comes in: a length of four bytes and a value of `marshal`, again and again; first the columns and the time zone,
then blocks, last None. Who writes it is `parquet_form`, of the same Python. Ends without a word when nobody reads.
"""

from __future__ import annotations

import marshal
import os
import struct
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

ROWS_PER_GROUP: Final = 20_000
"""Small for Parquet, whose readers like 100,000 and more; each 10,000 cost some 5 MB while a group is made."""
HEAD: Final = struct.Struct("<I")

Block = list[list[Any]]


class _Pipe:
    """What pyarrow writes to: without a position to ask for, which standard output would claim to have."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.closed = False

    def write(self, data: Any) -> int:
        self._out.write(data)
        return len(data)

    def flush(self) -> None:
        self._out.flush()

    def close(self) -> None:
        self.closed = True


def main() -> None:
    # The system's allocator gives back what is no longer used, 20 MB at the peak. Arrow reads this when it is loaded.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    import pyarrow as pa
    import pyarrow.parquet as pq

    given = _values(sys.stdin.buffer)
    columns, zone = next(given)
    kinds: dict[str, Any] = {
        "time": pa.timestamp("ms", tz=zone), "integer": pa.int64(), "number": pa.float64(),
        "text": pa.string(), "word": pa.dictionary(pa.int32(), pa.string()),
    }  # fmt: skip
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns])
    words = [name for name, kind in columns if kind == "word"]
    sink = pa.PythonFile(_Pipe(sys.stdout.buffer), mode="w")
    with pq.ParquetWriter(sink, schema, compression="zstd", use_dictionary=words) as writer:
        for group in _groups(given, len(columns)):
            arrays = [pa.array(values, type=kind) for values, kind in zip(group, schema.types, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=len(group[0]))
            pa.default_memory_pool().release_unused()  # 6 MB less at the peak
    sys.stdout.buffer.flush()


def _values(given: BinaryIO) -> Iterator[Any]:
    """What was sent, up to None; `EOFError` when it breaks off, so that no half file looks whole."""
    while True:
        head = given.read(HEAD.size)
        if len(head) < HEAD.size:
            raise EOFError("broken off")
        value = marshal.loads(given.read(HEAD.unpack(head)[0]))  # noqa: S302 (our own parent wrote it)
        if value is None:
            return
        yield value


def _groups(blocks: Iterator[Block], width: int) -> Iterator[Block]:
    """The blocks, as many together as make a row group."""
    group: Block = [[] for _ in range(width)]
    for block in blocks:
        for together, values in zip(group, block, strict=True):
            together.extend(values)
        if len(group[0]) >= ROWS_PER_GROUP:
            yield group
            group = [[] for _ in range(width)]
    if group and group[0]:
        yield group


if __name__ == "__main__":
    try:
        main()
    except (BrokenPipeError, EOFError, KeyboardInterrupt):
        os._exit(1)
