"""Passwords, kept as Argon2id with OWASP's parameters (19 MiB, two passes, one lane)."""

from __future__ import annotations

import secrets
import threading
import unicodedata
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_PASSWORD: Final = 12
MAX_PASSWORD: Final = 1_000
MEMORY_KIB: Final = 19_456
PASSES: Final = 2
AT_ONCE: Final = 2
"""So many are worked on at a time: sign-ins must not take the machine's memory from everybody else."""


class PasswordTooShort(ValueError):
    """A new password that is not accepted; the message says what is."""


class Passwords:
    """Makes and checks hashes; threads may share one. Others than OWASP's parameters are for tests."""

    def __init__(self, memory_kib: int = MEMORY_KIB, passes: int = PASSES) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._turn = threading.BoundedSemaphore(AT_ONCE)
        self._decoy = self._hasher.hash(secrets.token_urlsafe(16))

    def hash(self, password: str) -> str:
        """The hash to keep; `PasswordTooShort` when the password is not accepted."""
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise PasswordTooShort(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")
        with self._turn:
            return self._hasher.hash(folded(password))

    def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether `password` is the right one; takes as long where there is no hash, and then it never is."""
        usable = password_hash if len(password) <= MAX_PASSWORD else None  # the beginning of one is not the whole
        with self._turn:
            try:
                self._hasher.verify(usable or self._decoy, folded(password[:MAX_PASSWORD]))
            except (VerificationError, InvalidHashError):
                return False
        return usable is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)


def folded(password: str) -> str:
    """A password as it is compared, and kept."""
    # A Japanese keyboard types full-width digits and letters as easily as plain ones.
    return unicodedata.normalize("NFKC", password)
