"""The Japan Meteorological Agency's warnings by code: name, level, and the telegram that carries them.

Since the reform of 2026-05-29 heavy rain, landslide and storm surge have levels 2 to 5 in their names and a new step,
危険警報 (level 4); the others kept theirs. The codes are those of the agency's 別表3 (気象庁防災情報XML, "R06"
telegrams VPWW55 to VPWW61), read in public programs that quote it (37 codes; the agency's own table was not at hand,
so that a name may be worded differently there). Which telegram carries code 27 is taken from the same programs and
unverified, as are 04 and 18 (flood), which the agency's page shows per river.

A code that is not here is kept as `コードNN` with level `unknown`: names are data, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["advisory", "warning", "danger", "special", "unknown"]
"""注意報, 警報, 危険警報 (level 4), 特別警報 (level 5)."""


@dataclass(frozen=True, slots=True)
class WarningKind:
    """A kind of warning. `telegram` is the type of telegram that says all there is about it."""

    code: str
    name_ja: str
    level: Level
    telegram: str


_ROWS: Final[tuple[tuple[str, tuple[tuple[str, str, Level], ...]], ...]] = (
    ("VPWW55", (
        ("10", "レベル2大雨注意報", "advisory"), ("03", "レベル3大雨警報", "warning"),
        ("43", "レベル4大雨危険警報", "danger"), ("33", "レベル5大雨特別警報", "special"),
    )),
    ("VPWW56", (
        ("29", "レベル2土砂災害注意報", "advisory"), ("09", "レベル3土砂災害警報", "warning"),
        ("49", "レベル4土砂災害危険警報", "danger"), ("39", "レベル5土砂災害特別警報", "special"),
    )),
    ("VPWW57", (
        ("19", "レベル2高潮注意報", "advisory"), ("08", "レベル3高潮警報", "warning"),
        ("48", "レベル4高潮危険警報", "danger"), ("38", "レベル5高潮特別警報", "special"),
    )),
    ("VPWW58", (
        ("15", "強風注意報", "advisory"), ("05", "暴風警報", "warning"), ("35", "暴風特別警報", "special"),
        ("13", "風雪注意報", "advisory"), ("02", "暴風雪警報", "warning"), ("32", "暴風雪特別警報", "special"),
    )),
    ("VPWW59", (
        ("16", "波浪注意報", "advisory"), ("07", "波浪警報", "warning"), ("37", "波浪特別警報", "special"),
    )),
    ("VPWW60", (
        ("12", "大雪注意報", "advisory"), ("06", "大雪警報", "warning"), ("36", "大雪特別警報", "special"),
    )),
    ("VPWW61", (
        ("14", "雷注意報", "advisory"), ("17", "融雪注意報", "advisory"), ("20", "濃霧注意報", "advisory"),
        ("21", "乾燥注意報", "advisory"), ("22", "なだれ注意報", "advisory"), ("23", "低温注意報", "advisory"),
        ("24", "霜注意報", "advisory"), ("25", "着氷注意報", "advisory"), ("26", "着雪注意報", "advisory"),
        ("27", "その他の注意報", "advisory"), ("18", "洪水注意報", "advisory"), ("04", "洪水警報", "warning"),
    )),
)  # fmt: skip

KINDS: Final[dict[str, WarningKind]] = {
    code: WarningKind(code, name, level, telegram) for telegram, rows in _ROWS for code, name, level in rows
}
TELEGRAMS: Final = frozenset(telegram for telegram, _ in _ROWS)


def kind_of(code: str) -> WarningKind:
    """The kind with this code; an unknown one keeps its code as its name."""
    return KINDS.get(code) or WarningKind(code, f"コード{code[:8]}", "unknown", "")
