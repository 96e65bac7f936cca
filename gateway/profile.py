"""A device profile: what an instrument gives and how it is read, as data.

This module has what the profiles of all drivers share; what is special to a protocol (registers, sentences)
is a subclass that the driver brings. A profile is one YAML file in `firmware_configs/devices`, its name is the
file's. Unknown keys are refused, every error is a place, and all of them are told in one pass: what a wrong node
leaves intact is checked too.

A profile carries a mark of trust and its source, because a register map that nobody has seen answering is a guess:
`verified` was read in the maker's document or on a device, `known` is widely known and not re-read, `proposed`
is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, GetJsonSchemaHandler

from gateway.partial import all_problems
from makiba.located_yaml import ConfigErrors, Duration, Located, Path_, Problem, load_located
from makiba.quantities import catalogue
from makiba.units import conversion, known_units, units_for
from makiba.words import nearest


class Strict(BaseModel):
    """Frozen, unknown keys forbidden, `"1"` is not `1`. Its validator is made when it is first used."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


def _known_quantity(name: str) -> str:
    if name not in catalogue():
        hint = nearest(name, catalogue()) or (
            "; makiba gateway schema profile lists all; with a 'channel' and a 'unit' it can be left out"
        )
        raise ValueError(f"quantity {name!r} is not in the catalogue{hint}")
    return name


_SPELT = {
    "degC": "Cel", "°C": "Cel", "℃": "Cel", "C": "Cel", "°F": "degF", "F": "degF", "°": "deg", "dS/m": "mS/cm",
    "percent": "%", "m³/h": "m3/h", "m³": "m3", "m^3": "m3", "W/m²": "W/m2", "l/min": "L/min", "l": "L", "Liter": "L",
}  # fmt: skip
"""How manuals spell units that are known under another name."""


def _known_unit(unit: str) -> str:
    if unit not in _all_units():
        spelt = _SPELT.get(unit, unit)
        hint = f"; did you mean {spelt!r}?" if spelt in _all_units() else nearest(unit, sorted(_all_units()))
        raise ValueError(f"unit {unit!r} is not known{hint}")
    return unit


def _in_order(pair: list[float]) -> list[float]:
    if pair[0] > pair[1]:
        raise ValueError(f"{pair} is empty: the lowest stands first")
    return pair


class _Words:
    """Lists the words that are known in the JSON Schema, so that an editor offers them."""

    def __init__(self, words: Callable[[], Iterable[str]]) -> None:
        self._words = words

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), "enum": sorted(self._words())}


def _all_units() -> frozenset[str]:
    return frozenset(q.unit for q in catalogue().values() if q.unit) | known_units()


QuantityName = Annotated[str, AfterValidator(_known_quantity), _Words(catalogue)]
UnitName = Annotated[str, AfterValidator(_known_unit), _Words(_all_units)]
ChannelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]
ConstantName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Pair = Annotated[list[FiniteFloat], Field(min_length=2, max_length=2), AfterValidator(_in_order)]


class Names(Strict):
    """What people call it."""

    ja: str
    en: str


class Source(Strict):
    """Where the facts come from, and how sure they are."""

    trust: Literal["verified", "known", "proposed"]
    document: str
    note: str = ""


class Valued(Strict):
    """One value that a device gives, however it comes about.

    Without `quantity` the channel is free: the gateway file says what it measures.
    """

    quantity: QuantityName | None = None
    channel: ChannelName | None = Field(default=None, description="Part of the subject's name after the dot")
    unit: UnitName | None = Field(
        default=None, description="Unit that the instrument gives; default: the catalogue's"
    )

    @property
    def unit_is_asked(self) -> bool:
        """Whether the gateway file says the unit, because it differs from one instrument to the next."""
        return False


class Measured(Valued):
    """A value that comes over the wire; the base of a register and of a sentence's field.

    value in `unit` = raw * scale + offset.
    """

    scale: FiniteFloat = 1.0
    offset: FiniteFloat = 0.0
    sentinels: tuple[float, ...] = Field(default=(), strict=False, description="Raw values that mean 'no value'")
    valid_raw: Pair | None = Field(default=None, description="Raw values outside are no measurements")


class Constant(Strict):
    """What only the site knows, such as the height a sensor hangs at. The gateway file gives it per device."""

    names: Names
    kind: Literal["number", "table"] = Field(
        default="number", description="table: pairs [value, what it means], rising, interpolated in between"
    )
    unit: UnitName | None = Field(default=None, description="Of the number, or of a table's first column")
    to_unit: UnitName | None = Field(default=None, description="Of a table's second column")
    default: FiniteFloat | None = None
    required: bool = False
    bounds: Pair | None = Field(default=None, description="Numbers outside are refused, in `unit`")


class Serial(Strict):
    """The serial line as the maker ships it."""

    baud: int = Field(default=9600, ge=50, le=4_000_000)
    parity: Literal["none", "even", "odd"] = "none"
    data_bits: Literal[7, 8] = 8
    stop_bits: Literal[1, 2] = 1


class Profile(Strict):
    """What all profiles say. A driver's subclass adds how its values are found."""

    driver: str
    names: Names
    source: Source
    serial: Serial = Serial()
    timeout: Duration = Field(
        default=timedelta(seconds=1), description="How long a reply, or the next sentence, may take"
    )

    def measured(self) -> Iterator[tuple[Path_, Valued]]:
        """Each value with its path in the file."""
        raise NotImplementedError

    def site_constants(self) -> Mapping[str, Constant]:
        """What the gateway file may or has to say of each such device."""
        return {}

    def constants_of(self, index: int) -> frozenset[str]:
        """The constants without which the value at `index` of `measured` cannot be told."""
        del index
        return frozenset()

    def problems(self) -> Iterator[tuple[Path_, str]]:
        """What is wrong across fields; a driver adds its own checks."""
        seen: set[tuple[str | None, str | None]] = set()
        for path, value in self.measured():
            yield from _value_problems(path, value)
            if value.quantity is None:
                continue
            if not self.repeats_series() and (value.channel, value.quantity) in seen:
                yield path, f"{value.quantity} of channel {value.channel or '(none)'} stands twice"
            seen.add((value.channel, value.quantity))

    def repeats_series(self) -> bool:
        """Whether several entries may feed one series (sentences that say the same thing)."""
        return False


def _value_problems(path: Path_, value: Valued) -> Iterator[tuple[Path_, str]]:
    asks = value.unit_is_asked
    if isinstance(value, Measured) and value.scale == 0:
        yield (*path, "scale"), "is 0, so that every value would be the same"
    if value.quantity is None:
        if value.channel is None:
            yield path, "has neither a quantity nor a channel; a free channel needs a name"
        if value.unit is None and not asks:
            yield path, "has no quantity, so that it needs a unit"
    else:
        word = catalogue()[value.quantity]
        if word.kind != "text" and conversion(value.unit, word.unit) is None:
            units = ", ".join(units_for(word.unit)) or "none"
            yield (*path, "unit"), f"{value.unit!r} is no unit of {value.quantity}; expected one of {units}"
    if asks and (value.quantity or value.unit):
        yield (*path, "ask_unit"), "is for a free channel without a unit"


class LoadedProfile(Strict):
    """A profile, its name, and its file for errors."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)
    name: str
    profile: Profile
    located: Located


def exact(number: float) -> Fraction:
    """The fraction that the file's author meant: 0.1 is one tenth."""
    return Fraction(str(number))


def load_profile(file: Path, models: Mapping[str, type[Profile]]) -> LoadedProfile:
    """The profile in `file`, checked against the model of its driver; `ConfigErrors` otherwise."""
    located = load_located(file)
    return check_profile(located, file.stem, models)


def check_profile(located: Located, name: str, models: Mapping[str, type[Profile]]) -> LoadedProfile:
    """The same for a file that was read."""
    driver: Any = located.value(("driver",))
    known = ", ".join(sorted(models))
    problems: list[Problem] = []
    if str(driver) not in models:
        missing = driver is None
        told = "driver: is missing" if missing else f"{driver!r} is unknown{nearest(str(driver), models)}"
        problems.append(located.problem(() if missing else ("driver",), f"{told}; expected one of {known}"))
    model = models.get(str(driver)) or _likeliest(located.data, models)
    found = all_problems(located, model, lambda profile: profile.problems())
    # A driver that was guessed must not be told as the file's own fault twice.
    problems += [p for p in found if not (problems and p.path == "driver")]
    if problems:
        raise ConfigErrors(problems)
    return LoadedProfile(name=name, profile=located.validate(model), located=located)


def _likeliest(data: Any, models: Mapping[str, type[Profile]]) -> type[Profile]:
    """The model that shares most keys with a file whose driver is not known."""
    keys = set(data) if isinstance(data, dict) else set()
    return max((models[name] for name in sorted(models)), key=lambda m: len(keys & set(m.model_fields)))


class ProfileShelf:
    """The profiles at hand, by name; each file is read once, when it is asked for."""

    def __init__(self, folders: list[Path], models: Mapping[str, type[Profile]]) -> None:
        # A folder later in the list wins, so that a site can mend a profile that came with Makiba.
        self._files = {f.stem: f for folder in folders for f in sorted(folder.glob("*.yaml"))}
        self._models = models
        self._loaded: dict[str, LoadedProfile | ConfigErrors] = {}

    def names(self) -> list[str]:
        return sorted(self._files)

    def get(self, name: str) -> LoadedProfile:
        """`KeyError` when there is none of that name; `ConfigErrors` when its file is wrong."""
        if name not in self._loaded:
            try:
                self._loaded[name] = load_profile(self._files[name], self._models)
            except ConfigErrors as errors:
                self._loaded[name] = errors
        found = self._loaded[name]
        if isinstance(found, ConfigErrors):
            raise found
        return found
