"""A file that is there whole or not at all.

It is written beside its place under a name that begins with a dot and ends with `.part`, forced to the disk, and then
renamed, which replaces what stood there. When the writing is given up for whatever reason that Python sees, the part
is removed; SIGKILL and a power cut leave it behind, and never anything under the name itself. Its owner alone may
read it: a farm's data is the farm's.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Something to write to; `path` is there when the block ends well. `OSError` where that cannot be."""
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
