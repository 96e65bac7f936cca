"""Files that people bring for imports: on disk as long as they are needed, for their owner alone to read.

They lie in the folder `uploads` of Makiba's home, 0600, under random names. A file of rows is deleted once it is
planned, one of readings once it is stored; what a plan that nobody applied, a crash or a farm that left has let lie
is deleted by `watch` a day later.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fastapi import Request

from api.centre import Centre
from api.sessions import SERVICE
from collectors.registry import RegistryError, imports

log = logging.getLogger(__name__)

FOLDER: Final = "uploads"
SWEEP_EVERY_S: Final = 3_600.0
LEFT_ALONE_S: Final = 3_600.0
"""A file that no plan names may be one that is being planned, or was refused a moment ago."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came; `name` is what its sender calls it, `digest` the SHA-256 of its bytes."""

    path: Path
    name: str
    digest: bytes = b""

    def forget(self) -> None:
        """Deletes it."""
        with suppress(FileNotFoundError):
            self.path.unlink()


def kept(centre: Centre, name: str | None) -> Path:
    """Where the bytes lie that a plan keeps under `name`."""
    return centre.settings.home / FOLDER / (name or "gone")


async def receive(centre: Centre, request: Request, name: str) -> Upload:
    """The body of `request` as a file, written as it comes. Whatever goes wrong, nothing of it is left."""
    folder = centre.settings.home / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    upload, digest = Upload(folder / secrets.token_hex(16), name), hashlib.sha256()
    try:
        with os.fdopen(os.open(upload.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            async for piece in request.stream():
                out.write(piece)
                digest.update(piece)
    except BaseException:
        upload.forget()
        raise
    return replace(upload, digest=digest.digest())


def sweep(centre: Centre) -> None:
    """Forgets plans that nobody applied in time, and deletes the files that no plan needs."""
    with centre.registry.write() as session:
        imports.forget_old_plans(session, SERVICE, centre.clock())
        needed = imports.kept_files(session, SERVICE)
    folder = centre.settings.home / FOLDER
    late_s = time.time() - LEFT_ALONE_S
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            if path.name not in needed and path.stat().st_mtime < late_s:
                path.unlink()


async def try_sweep(centre: Centre) -> None:
    """`sweep`; what stops it is logged."""
    try:
        await asyncio.to_thread(sweep, centre)
    except (RegistryError, OSError) as error:
        log.warning("uploads: %s; trying again in an hour", error)


async def watch(centre: Centre) -> None:
    """Sweeps every hour."""
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        await try_sweep(centre)
