"""A program's token as it is written: `mkb_<id>_<secret><check>`, in letters and digits only.

The id finds its row, the secret has 256 bits, and the check (CRC-32 of all before it) lets a scanner of published
sources tell a token from a random word, and lets a mistyped one be refused before the database is asked. A request
carries it in `Authorization: Bearer …`, and then no session's cookie. Every token that does not hold gets the same
answer as none.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass
from typing import Final

from starlette.requests import HTTPConnection

_LETTERS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_LENGTH: Final = 16
_SECRET_LENGTH: Final = 43
_CHECK_LENGTH: Final = 6
PATTERN: Final = re.compile(
    f"mkb_([0-9A-Za-z]{{{_ID_LENGTH}}})_([0-9A-Za-z]{{{_SECRET_LENGTH}}})([0-9A-Za-z]{{{_CHECK_LENGTH}}})"
)


@dataclass(frozen=True, slots=True)
class Token:
    """A token's id and secret."""

    id: str
    secret: str

    def __repr__(self) -> str:
        return f"Token({self.id!r}, …)"

    def spell(self) -> str:
        """The token as its program sends it."""
        body = f"mkb_{self.id}_{self.secret}"
        return body + _check(body)

    @property
    def secret_hash(self) -> str:
        """What is kept of the secret."""
        return hashlib.sha256(self.secret.encode()).hexdigest()


def new() -> Token:
    """A token that nobody has."""
    return Token(_random(_ID_LENGTH), _random(_SECRET_LENGTH))


def parse(text: str) -> Token | None:
    """The token that `text` is, whether there is such a one or not; None when it is mistyped."""
    match = PATTERN.fullmatch(text)
    if match is None or _check(text[:-_CHECK_LENGTH]) != match[3]:
        return None
    return Token(match[1], match[2])


def bearer(request: HTTPConnection) -> str | None:
    """What stands behind `Authorization: Bearer`; None where nothing of that kind does."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else None


def _random(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def _check(body: str) -> str:
    number, letters = zlib.crc32(body.encode()), ""
    for _ in range(_CHECK_LENGTH):
        number, rest = divmod(number, len(_LETTERS))
        letters = _LETTERS[rest] + letters
    return letters
