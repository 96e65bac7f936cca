"""Where a browser stood in the stream of alerts, as it keeps it: `Last-Event-ID`.

Inside it is the number of an alert event, which counts over all farms and so would tell how much happens on others.
So nobody but Makiba can read a bookmark: no two are alike, even of one place, and one holds for whom, and for
what of theirs, it was made (`whose`).
It holds over restarts and for every process with the same key (`makiba.keys`).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from typing import Final

from makiba.keys import Key

_NONCE: Final = 8
_NUMBER: Final = 8
_MAC: Final = 12


def seal(key: Key, whose: bytes, number: int) -> str:
    """A bookmark behind event `number`."""
    nonce = secrets.token_bytes(_NONCE)
    hidden = _hide(key, nonce, number.to_bytes(_NUMBER, "big"))
    return base64.urlsafe_b64encode(nonce + hidden + _mac(key, whose, nonce + hidden)).decode().rstrip("=")


def unseal(key: Key, whose: bytes, bookmark: str) -> int | None:
    """The number of the event; None for anything that is no bookmark of `whose`."""
    try:
        raw = base64.b64decode(bookmark + "=" * (-len(bookmark) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    nonce, hidden, mac = raw[:_NONCE], raw[_NONCE : _NONCE + _NUMBER], raw[_NONCE + _NUMBER :]
    if not hmac.compare_digest(mac, _mac(key, whose, nonce + hidden)):
        return None
    return int.from_bytes(_hide(key, nonce, hidden), "big")


def _hide(key: Key, nonce: bytes, number: bytes) -> bytes:
    pad = key.sign("bookmark: number", nonce)
    return bytes(a ^ b for a, b in zip(number, pad, strict=False))


def _mac(key: Key, whose: bytes, hidden: bytes) -> bytes:
    return key.sign("bookmark", whose, hidden)[:_MAC]
