"""What a crop needs to know: when irrigation begins to pay, and what frost hurts it. Pure.

Crops are known by the words people write (potato, and its Japanese names); one that is not known has no numbers, so
that rules about it watch nothing. Starts of irrigation and periods: HRO Kitami 1992 (seikajoho h05). Frost: NDSU (dry
bean 0 to -1 ℃), general knowledge for the others; tissue temperature, highly local. Days from sowing to emergence are
proposed: a cold spring needs more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Protocol

from makiba.reading import Value

CANOPY_AFTER_D: Final = 20


class Grown(Protocol):
    """A season, as the registry has it."""

    crop: str
    sown_on: date | None
    planted_on: date | None


@dataclass(frozen=True, slots=True)
class Crop:
    """`words`: a season is of this crop when one of them stands in what people wrote. Until (month, day)."""

    words: tuple[str, ...]
    emerges_d: int
    pf_start: float | None = None
    pays_from_d: int = 0
    pays_until: tuple[int, int] = (7, 31)
    frost_c: float | None = None


CROPS: Final[Mapping[str, Crop]] = {
    "soybean": Crop(("大豆", "だいず", "ダイズ", "soy"), 12, frost_c=-2.0),
    "bean": Crop(("小豆", "あずき", "アズキ", "いんげん", "インゲン", "菜豆", "金時", "手亡", "bean", "adzuki"), 12,
                 frost_c=-0.5),
    "potato": Crop(("馬鈴薯", "ばれいしょ", "じゃがいも", "ジャガイモ", "いも", "potato"), 25, 2.5, 0, (7, 31), -1.0),
    "sugar-beet": Crop(("てん菜", "テンサイ", "甜菜", "ビート", "beet"), 14, 2.7, 0, (7, 15), -2.0),
    "onion": Crop(("玉ねぎ", "玉葱", "たまねぎ", "タマネギ", "onion"), 14, 2.3, 0, (6, 30)),
    "maize": Crop(("とうもろこし", "トウモロコシ", "デントコーン", "コーン", "maize", "corn"), 12, frost_c=-2.0),
    "spring-wheat": Crop(("春まき", "春播", "spring wheat"), 10, 2.5, 25, (6, 25)),
    "wheat": Crop(("小麦", "wheat"), 10),
    "grass": Crop(("牧草", "チモシー", "オーチャード", "grass", "timothy"), 0),
}  # fmt: skip
"""The first that fits; irrigation pays so many days after emergence, or after planting."""


def crop_of(words: str) -> str | None:
    """The crop that people mean by `words`; None: none that is known."""
    written = words.casefold().replace("-", " ").strip()
    return next((name for name, crop in CROPS.items() if any(word in written for word in crop.words)), None)


def crop_facts(place: str, season: Grown, today: date) -> Iterator[tuple[tuple[str, str | None], Value]]:
    """What is known of what grows in `place`."""
    begun = season.planted_on or season.sown_on
    if begun is not None and begun > today:
        return
    name = crop_of(season.crop)
    if name is None:
        yield ("crop", place), season.crop
        return
    crop = CROPS[name]
    yield ("crop", place), name
    if crop.pf_start is not None:
        yield ("crop_pf_start", place), crop.pf_start
    if crop.frost_c is not None:
        yield ("crop_frost", place), crop.frost_c
    if begun is None:
        return
    emerged = begun if season.planted_on is not None else begun + timedelta(days=crop.emerges_d)
    if today >= emerged:
        yield ("days_since_emergence", place), float((today - emerged).days)
    has_canopy = (today - emerged).days >= CANOPY_AFTER_D
    yield ("crop_canopy", place), "yes" if has_canopy else "no"
    if crop.pf_start is not None:
        until = date(today.year, *crop.pays_until)
        pays = emerged + timedelta(days=crop.pays_from_d) <= today <= until
        yield ("crop_irrigation_pays", place), "yes" if pays else "no"
