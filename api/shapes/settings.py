"""What a farm says of itself, and what it may say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from api.shapes import Given, Line, Names, Shape
from makiba.farm_settings import MOST_SETTINGS, MOST_WINDOWS, Kind, Scope

_SAID: dict[str, Any] = {
    "cows": 70, "milking_times": ["05:00-07:30", "16:30-19:00"], "pickup_days": "every-second-day",
    "pickup_on": "2026-05-01", "pickup_time": "09:30", "barn-1.barn_type": "freestall", "generator": "yes",
}  # fmt: skip
_KEY: dict[str, Any] = {
    "key": "vacuum_setpoint", "kind": "number", "unit": "kPa", "lowest": 20.0, "highest": 70.0, "choices": {},
    "scopes": ["farm", "place", "subject"], "name": {"ja": "真空の 設定", "en": "vacuum set point"},
    "ask": {"ja": "真空計は いくつに 合わせていますか。", "en": "At what is the vacuum regulator set?"},
}  # fmt: skip
_WRONG: dict[str, Any] = {"setting": "barn-7.barn_type", "why": "no place 'barn-7' on this farm"}

SettingName = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9:._-]{0,63}\.)?[a-z][a-z0-9_]{0,63}$")]
Word = Annotated[Line, Field(max_length=40)]
SettingValue = bool | int | float | Word | Annotated[list[Word], Field(max_length=MOST_WINDOWS)]


class SettingsIn(Given):
    """All that the farm says of itself; what is left out is said no more."""

    settings: dict[SettingName, SettingValue] = Field(max_length=MOST_SETTINGS)

    model_config = ConfigDict(json_schema_extra={"examples": [{"settings": _SAID}]})


class KeyOut(Shape):
    """A thing that a farm may say: what it is asked, and how the answer is written."""

    key: str
    kind: Kind
    unit: str | None
    lowest: float | None
    highest: float | None
    choices: dict[str, Names]
    scopes: list[Scope]
    name: Names
    ask: Names

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [_KEY]})


class SettingWrong(Shape):
    """A setting that is not looked at any more, such as one of a place that is gone."""

    setting: str
    why: str

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [_WRONG]})


class SettingsOut(Shape):
    """`said_by`: people in the API, the farm's site file, or nobody yet."""

    settings: dict[str, SettingValue]
    version: int
    said_by: Literal["people", "file", "nobody"]
    wrong: list[SettingWrong]
    keys: list[KeyOut]

    model_config = ConfigDict(
        frozen=True, extra="forbid",
        json_schema_extra={"examples": [
            {"settings": _SAID, "version": 3, "said_by": "people", "wrong": [_WRONG], "keys": [_KEY]}
        ]},
    )  # fmt: skip
