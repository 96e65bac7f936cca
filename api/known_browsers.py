"""Browsers that a person signed in with before, known by a cookie: guessing from elsewhere does not shut them out.

Attempts at one login are counted for each address, and more patiently for all addresses together. Somebody who keeps
that second count up from many addresses would keep the person waiting as well; the browsers they know are not counted
there. The cookie is a random word, signed for one person. It signs nobody in and tells nothing.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from typing import Final

from makiba.keys import Key

COOKIE: Final = "makiba_known"
HOLDS_MS: Final = 400 * 86_400_000
WORD_BYTES: Final = 12


def new_word(key: Key, person_id: int) -> str:
    """What a browser keeps with which the person signed in."""
    word = secrets.token_urlsafe(WORD_BYTES)
    return f"{word}.{_signed(key, person_id, word)}"


def is_word_of(key: Key, text: str, person_id: int) -> bool:
    """Whether it is the person's; 0 is nobody."""
    word, _, signature = text.partition(".")
    right = hmac.compare_digest(_signed(key, person_id, word).encode(), signature.encode())
    return right and person_id > 0


def _signed(key: Key, person_id: int, word: str) -> str:
    mac = key.sign("known browser", str(person_id).encode(), word.encode())
    return base64.urlsafe_b64encode(mac).decode().rstrip("=")
