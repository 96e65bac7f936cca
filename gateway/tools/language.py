"""Which language a tool speaks: `--lang`, else the terminal's own (LC_ALL, LC_MESSAGES, LANG), else English."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal

Language = Literal["ja", "en"]


def language(given: str | None, env: Mapping[str, str] = os.environ) -> Language:
    """`ja` or `en`; `ValueError` for another word."""
    if given is not None:
        if given not in ("ja", "en"):
            raise ValueError(f"no language {given!r}; expected ja or en")
        return "ja" if given == "ja" else "en"
    said = next((env[k] for k in ("LC_ALL", "LC_MESSAGES", "LANG") if env.get(k)), "")
    return "ja" if said.lower().startswith("ja") else "en"


class Say:
    """Picks the text of the language: `say(ja, en)`."""

    def __init__(self, language: Language) -> None:
        self.language: Language = language

    def __call__(self, ja: str, en: str) -> str:
        return ja if self.language == "ja" else en
