"""One-time codes (TOTP, RFC 6238): six digits, every 30 s, SHA-1, as authenticator apps know them; recovery codes.

- The secret is kept sealed (AES-256-GCM) with a key derived from this Makiba's own (`makiba/keys.py`), and bound to
  its person: a row moved to somebody else opens nothing. With another key the codes fit no more; recovery codes do.
- A code is right in its step and in the one before and after, and each step is used up once (`collectors.registry.
  codes`), by whichever process.
- A recovery code has 117 random bits; only its SHA-256 is kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import secrets
import unicodedata
from typing import Final

import pyotp
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from makiba.keys import Key

log = logging.getLogger(__name__)

STEP_MS: Final = 30_000
DRIFT_STEPS: Final = 1
DIGITS: Final = 6
SECRET_LENGTH: Final = 32  # base32: 160 bits, as RFC 4226 recommends
ISSUER: Final = "Makiba"
RECOVERY_CODES: Final = 10
_LETTERS: Final = "abcdefghjkmnpqrstvwxyz23456789"  # none that are read as another
_GROUPS: Final = 4
_GROUP: Final = 6
_NONCE_BYTES: Final = 12
_USE: Final = "one-time codes"


def new_secret() -> str:
    """A secret in base32, as authenticator apps take it."""
    return pyotp.random_base32(SECRET_LENGTH)


def address_of(secret: str, login: str) -> str:
    """The `otpauth://` address of a secret, for a QR code."""
    return pyotp.TOTP(secret, digits=DIGITS, interval=STEP_MS // 1000).provisioning_uri(
        name=login, issuer_name=ISSUER
    )


def matching_step(secret: str, code: str, now_ms: int) -> int | None:
    """The step of which `code` is the code, now or one step off; None: of none. It compares with all three."""
    totp = pyotp.TOTP(secret, digits=DIGITS, interval=STEP_MS // 1000)
    now = now_ms // STEP_MS
    found = None
    for step in range(max(0, now - DRIFT_STEPS), now + DRIFT_STEPS + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()):
            found = step
    return found


def folded(code: str) -> str:
    """A code as it is compared: full-width digits, blanks, hyphens and capitals do not matter."""
    plain = unicodedata.normalize("NFKC", code).casefold()
    return "".join(c for c in plain if c.isalnum())


def is_digits(code: str) -> bool:
    """Whether a folded code is one of an authenticator app."""
    return len(code) == DIGITS and code.isascii() and code.isdecimal()


# ------------------------------------------------------------------------------------------------------ sealing


def seal(key: Key, secret: str, person_id: int) -> str:
    """The secret as it is kept."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = AESGCM(key.sign(_USE)).encrypt(nonce, secret.encode(), _owner(person_id))
    return base64.b64encode(nonce + sealed).decode()


def unseal(key: Key, sealed: str, person_id: int) -> str | None:
    """The secret; None when it was sealed with another key or for another person, or is damaged."""
    try:
        raw = base64.b64decode(sealed, validate=True)
        return AESGCM(key.sign(_USE)).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _owner(person_id)).decode()
    except (InvalidTag, binascii.Error, ValueError):
        log.error(
            "the one-time codes of person %d were sealed with another key; they need a recovery code", person_id
        )
        return None


def _owner(person_id: int) -> bytes:
    return f"totp of person {person_id}".encode()


# ----------------------------------------------------------------------------------------------- recovery codes


def new_recovery_codes() -> list[str]:
    """Codes as people write them down: `abcdef-ghjkmn-pqrstv-wxyz23`."""
    return ["-".join(_group() for _ in range(_GROUPS)) for _ in range(RECOVERY_CODES)]


def recovery_hash(code: str) -> str:
    """What is kept of a recovery code, however it is written."""
    return hashlib.sha256(folded(code).encode()).hexdigest()


def _group() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(_GROUP))
