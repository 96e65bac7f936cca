"""The key with which this Makiba signs what it gives out and wants back unchanged, such as cursors and calls.

It is made at the first start, in the file `api.key` of the home folder, which only its owner reads; several processes
that start on one home at the same moment take the same one. Several machines that serve one farm's pages need one
key between them: the setting `api_key` (`MAKIBA_API_KEY_FILE`). Each use has a key of its own, derived from it. Who
changes it makes cursors and repeated writes of before be refused once; nobody is signed out. Secrets of one-time
codes are sealed with it: with another one those who use codes need a recovery code, and set them up anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from makiba.settings import Settings

FILE: Final = "api.key"
MIN_LENGTH: Final = 32


class KeyUnusable(Exception):
    """The key's file cannot be read or made, or holds too little; the message says what to do."""


class Key:
    """A secret from which keys for single uses are derived."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return "Key(…)"

    def sign(self, use: str, *parts: bytes) -> bytes:
        """32 bytes that only a holder of the key can make of `parts`, for this `use` and no other."""
        own = hmac.digest(self._secret, use.encode(), hashlib.sha256)
        mac = hmac.new(own, digestmod=hashlib.sha256)
        for part in parts:
            mac.update(len(part).to_bytes(8, "big") + part)
        return mac.digest()


def open_key(settings: Settings) -> Key:
    """The key of the settings, or that of the home folder, made if there is none yet. `KeyUnusable` else."""
    if settings.api_key is not None:
        return _checked(settings.api_key.get_secret_value(), "setting api_key")
    path = settings.home / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            make_file(path, secrets.token_urlsafe(48) + "\n")
        return _checked(path.read_text(encoding="ascii"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise KeyUnusable(f"{path}: {getattr(error, 'strerror', None) or 'is no key of Makiba'}") from None


def make_file(path: Path, content: str) -> None:
    """Writes a whole new file that only its owner reads, and links it to `path` unless somebody else was first."""
    own = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(own, path)
    finally:
        own.unlink(missing_ok=True)


def _checked(text: str, where: str) -> Key:
    text = text.strip()
    if len(text) < MIN_LENGTH:
        raise KeyUnusable(f"{where}: a key has at least {MIN_LENGTH} characters; delete the file to have one made")
    return Key(text.encode())
