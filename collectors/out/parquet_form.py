"""Parquet, for analysis of years: typed columns, times with the farm's timezone, a tenth of the size of CSV.

Needs pyarrow (`pip install 'makiba[parquet]'`). It is loaded by a child of its own (`parquet_child`) for each file,
so that a service keeps none of its memory, and a file that is given up takes it all along. A row group is written as
soon as it is full. Rows come as from `table`; words that repeat (names, units) are dictionaries.
"""

from __future__ import annotations

import importlib.util
import marshal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

from collectors.out import parquet_child
from collectors.out.table import Table

_PIECE: Final = 65_536


class ParquetMissing(Exception):
    """pyarrow is not installed; the message says how it is."""


class ParquetFailed(Exception):
    """The child that makes it ended with an error; its last line is the message."""


def require_pyarrow() -> None:
    """`ParquetMissing` when it cannot be imported."""
    if ("pyarrow" in sys.modules and sys.modules["pyarrow"] is None) or not importlib.util.find_spec("pyarrow"):
        raise ParquetMissing(
            "parquet needs pyarrow, which is not installed here: pip install 'makiba[parquet]'; "
            "csv and senml need nothing"
        )


def parquet(table: Table, zone_name: str) -> Iterator[bytes]:
    """The file's bytes, in pieces as they are made; errors of the table's blocks come out of the iteration."""
    require_pyarrow()
    child = subprocess.Popen(
        [sys.executable, "-P", str(Path(parquet_child.__file__))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin
    assert child.stdout
    assert child.stderr
    feeder = _Feeder(table, zone_name, child.stdin)
    feeder.start()
    try:
        while piece := child.stdout.read1(_PIECE):  # type: ignore[attr-defined]
            yield piece
        said = child.stderr.read().decode(errors="replace").strip()
        feeder.join()
        if feeder.error is not None:
            raise feeder.error
        if child.wait() != 0:
            raise ParquetFailed(said.rpartition("\n")[2] or f"ended with {child.returncode}")
    finally:
        child.kill()
        child.wait()
        feeder.join()
        child.stdout.close()
        child.stderr.close()


class _Feeder(threading.Thread):
    """Gives the child what it makes a file of; waits while nobody takes the file, since the child then does too."""

    def __init__(self, table: Table, zone_name: str, given: IO[bytes]) -> None:
        super().__init__(name="parquet", daemon=True)
        self._table, self._zone, self._given = table, zone_name, given
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._give((tuple((c.name, c.kind) for c in self._table.columns), self._zone))
            for block in self._table.blocks:
                self._give(block)
            self._give(None)
        except BrokenPipeError:
            pass  # the child has ended, and its end says why
        except Exception as error:
            self.error = error
        finally:
            with suppress(BrokenPipeError):
                self._given.close()

    def _give(self, value: Any) -> None:
        data = marshal.dumps(value)
        self._given.write(parquet_child.HEAD.pack(len(data)) + data)
        self._given.flush()
