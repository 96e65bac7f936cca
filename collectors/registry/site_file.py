"""The site file: a farm as people write it down, validated, every error with its place.

Two phases: the file's form (keys, types, names), and, once that is right, what only the whole file shows (a
placement in a place that is not there, a subject in two places). What it says goes to the registry through
`sites.apply_site`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from collectors.registry.lora import LoraSpec
from collectors.registry.sites import PlacementSpec, PlaceSpec, SiteSpec
from collectors.registry.weather import WeatherSpec
from makiba.farm_settings import MOST_SETTINGS
from makiba.farm_settings import check as check_settings
from makiba.located_yaml import ConfigErrors, Duration, Located, Problem, load_located
from makiba.reading import SITE_PATTERN, SUBJECT_PATTERN
from makiba.rule import Rule, check_overrides
from makiba.topics import GATEWAY_PATTERN
from makiba.words import nearest

PlaceKind = Literal["barn", "parlour", "tank-room", "field", "pasture", "silo", "station"]

_ID = r"^[a-z0-9][a-z0-9-]{0,63}$"
_RULE = r"^[a-z0-9][a-z0-9._-]{0,63}$"


def _timezone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name!r} is not a time zone{nearest(name, available_timezones())}")
    return name


def _moment(given: Any) -> Any:
    """A date, or a date and time, in ISO 8601."""
    if not isinstance(given, str):
        raise ValueError(f"{given!r} is not a date; expected one such as 2026-07-01 or 2026-07-01T06:30")
    try:
        return datetime.fromisoformat(given)
    except ValueError:
        raise ValueError(f"{given!r} is not a date; expected one such as 2026-07-01 or 2026-07-01T06:30") from None


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Names(_Strict):
    """A name as the farm says it. Without `en` the Japanese one stands there too."""

    ja: str = Field(min_length=1, max_length=200)
    en: str = Field(default="", max_length=200)

    @property
    def english(self) -> str:
        return self.en or self.ja


class PlaceEntry(_Strict):
    """A barn, parlour, tank room, field, pasture, silo or station."""

    id: Annotated[str, Field(pattern=_ID)]
    kind: PlaceKind
    name: Names


class PlacementEntry(_Strict):
    """A subject in a place. `role` is what it is for there (`fan`, `compressor`, …); rules refer to it."""

    subject: Annotated[str, Field(pattern=SUBJECT_PATTERN)]
    place: str
    role: Annotated[str, Field(pattern=r"^[a-z0-9-]{0,32}$")] = ""
    name: Names | None = None
    since: Annotated[datetime, BeforeValidator(_moment)] | None = Field(
        default=None, description="When it was put there, in the site's time zone; default: when this is applied"
    )


class LoraEntry(_Strict):
    """A LoRaWAN device of the farm. `profile` is the name of a file in `firmware_configs/lorawan`.

    `every` is how often it is set to speak; one that stays away three times is silent. Default: 1h.
    """

    dev_eui: Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{16}$")]
    subject: Annotated[str, Field(pattern=SUBJECT_PATTERN)]
    profile: Annotated[str, Field(pattern=_ID)]
    every: Annotated[Duration, Field(ge=timedelta(seconds=10), le=timedelta(days=7))] | None = None


class WeatherEntry(_Strict):
    """Which areas and stations of the Japan Meteorological Agency are the farm's.

    The codes stand in https://www.jma.go.jp/bosai/common/const/area.json (offices, class10s, class20s) and
    https://www.jma.go.jp/bosai/amedas/const/amedastable.json (stations).
    """

    office: Annotated[str, Field(pattern=r"^[0-9]{6}$", description="Office that forecasts, such as 014030")]
    area: Annotated[str, Field(pattern=r"^[0-9]{6}$", description="Forecast area (class10), such as 014030")]
    municipality: Annotated[str, Field(pattern=r"^[0-9]{7}$", description="class20, such as 0163400")] = ""
    station: Annotated[str, Field(pattern=r"^[0-9]{5}$", description="Station of forecast temperatures")] = ""
    amedas: Annotated[str, Field(pattern=r"^[0-9]{5}$", description="AMeDAS station to read")] = ""
    subject: Annotated[str, Field(pattern=SUBJECT_PATTERN, description="Subject of what it measures")] = "amedas"


class SiteFile(_Strict):
    """A whole site file."""

    site: Annotated[str, Field(pattern=SITE_PATTERN)]
    name: Names
    timezone: Annotated[str, AfterValidator(_timezone)] = "Asia/Tokyo"
    gateways: list[Annotated[str, Field(pattern=GATEWAY_PATTERN)]] = Field(default_factory=list)
    places: list[PlaceEntry] = Field(default_factory=list)
    placements: list[PlacementEntry] = Field(default_factory=list)
    lorawan: list[LoraEntry] = Field(default_factory=list)
    weather: WeatherEntry | None = None
    rules: dict[Annotated[str, Field(pattern=_RULE)], dict[str, Any]] = Field(
        default_factory=dict, description="This farm's own numbers: for, clear_for and a rule's named numbers"
    )
    settings: dict[str, Any] = Field(
        default_factory=dict,
        max_length=MOST_SETTINGS,
        description="What the farm says of itself; see farm-settings.md",
    )


def load_site_file(file: Path, rules: Mapping[str, Rule] | None = None) -> SiteSpec:
    """The farm that `file` describes; `ConfigErrors` with every problem of the file otherwise.

    With `rules`, the farm's own numbers are checked against them.
    """
    located = load_located(file)
    model = located.validate(SiteFile)
    problems = list(_whole_file_problems(located, model))
    for rule, wrong in check_overrides(rules, model.rules) if rules is not None else ():
        problems.append(located.problem(("rules", rule), wrong))
    if problems:
        raise ConfigErrors(problems)
    return _spec(model)


def _whole_file_problems(located: Located, model: SiteFile) -> Iterator[Problem]:
    yield from _twice(located, [(g, ("gateways", i)) for i, g in enumerate(model.gateways)], "gateway")
    yield from _twice(located, [(p.id, ("places", i, "id")) for i, p in enumerate(model.places)], "place")
    yield from _twice(
        located, [(p.subject, ("placements", i, "subject")) for i, p in enumerate(model.placements)], "subject"
    )
    yield from _twice(
        located, [(d.dev_eui.lower(), ("lorawan", i, "dev_eui")) for i, d in enumerate(model.lorawan)], "device"
    )
    yield from _twice(
        located, [(d.subject, ("lorawan", i, "subject")) for i, d in enumerate(model.lorawan)], "subject"
    )
    known = [place.id for place in model.places]
    for index, placement in enumerate(model.placements):
        if placement.place not in known:
            yield located.problem(
                ("placements", index, "place"),
                f"no place {placement.place!r} in this file{nearest(placement.place, known)}",
            )
    for name, wrong in check_settings(model.settings, known, [p.subject for p in model.placements]):
        yield located.problem(("settings", name), wrong)


def _twice(located: Located, names: list[tuple[str, tuple[str | int, ...]]], what: str) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for name, path in names:
        if name in first:
            yield located.problem(path, f"{what} {name} stands twice (line {first[name]})")
        else:
            first[name] = located.place(path)[0]


def _spec(model: SiteFile) -> SiteSpec:
    zone = ZoneInfo(model.timezone)
    return SiteSpec(
        id=model.site,
        name_ja=model.name.ja,
        name_en=model.name.english,
        timezone=model.timezone,
        gateways=tuple(model.gateways),
        places=tuple(PlaceSpec(p.id, p.kind, p.name.ja, p.name.english) for p in model.places),
        placements=tuple(
            PlacementSpec(
                subject=p.subject,
                place=p.place,
                role=p.role,
                name_ja=p.name.ja if p.name else "",
                name_en=p.name.english if p.name else "",
                from_ms=_since_ms(p.since, zone),
            )
            for p in model.placements
        ),
        rules={rule: dict(numbers) for rule, numbers in model.rules.items()},
        lorawan=tuple(
            LoraSpec(d.dev_eui.lower(), d.subject, d.profile, d.every.total_seconds() if d.every else None)
            for d in model.lorawan
        ),
        weather=WeatherSpec(**model.weather.model_dump()) if model.weather else None,
        settings=dict(model.settings),
    )


def _since_ms(since: datetime | date | None, zone: ZoneInfo) -> int | None:
    if since is None:
        return None
    moment = since if isinstance(since, datetime) else datetime(since.year, since.month, since.day, tzinfo=zone)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return int(moment.astimezone(UTC).timestamp() * 1000)
