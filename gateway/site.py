"""The gateway file: which buses and devices there are, and where measurements go.

`load_gateway` checks in two phases: each node against its model (those of a bus belong to its driver), then what of
the file is right as a whole: names, profiles, channels, unit ids. Everything is told in one pass, with file and line.
Paths in the file are relative to the file's folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, WithJsonSchema, create_model

from gateway.constants import ConstantValue, constants_for
from gateway.driver import Bus, ChannelUse, Device, Driver, Point
from gateway.outputs import MetricsOptions, OutputName, OutputOptions, PageOptions
from gateway.partial import Rest, split
from gateway.profile import LoadedProfile, Profile, ProfileShelf, Strict, Valued
from makiba.located_yaml import ConfigErrors, Duration, Located, Problem, load_located
from makiba.mqtt import MqttOptions, TlsOptions
from makiba.quantities import catalogue
from makiba.reading import SITE_PATTERN, Series
from makiba.settings import configs_dir
from makiba.topics import GATEWAY_PATTERN
from makiba.units import conversion, units_for
from makiba.words import nearest

if TYPE_CHECKING:
    from gateway.safety import Watch
    from makiba.rule import Rule

_AsPath = Annotated[Path, BeforeValidator(lambda v: Path(v) if isinstance(v, str) else v)]
BusName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]


class SpoolOptions(Strict):
    """Where what is not yet acknowledged is kept."""

    path: _AsPath = Path("spool.db")
    max_mb: int = Field(default=512, ge=1, le=1_000_000, description="Oldest data goes when it is full")
    hot: str = Field(
        default="auto",
        description="File for the last seconds: auto (in memory: /run or /dev/shm), off (beside the spool) or a path",
    )
    backlog_per_s: float = Field(
        default=50.0, gt=0, le=1000, description="Packs of backlog a second, of up to 1000 readings each"
    )
    force_every: Duration = Field(default=timedelta(seconds=10), description="A power cut costs at most this much")


class _GatewayFile(Strict):
    gateway: str = Field(pattern=GATEWAY_PATTERN)
    site: str = Field(pattern=SITE_PATTERN)
    mqtt: MqttOptions
    spool: SpoolOptions = SpoolOptions()
    profiles: _AsPath | None = Field(default=None, description="Folder of own profiles beside those of Makiba")
    outputs: dict[OutputName, OutputOptions] = Field(default={}, description="Sirens and lamps")
    safety: dict[str, Annotated[list[str], Field(min_length=1)]] = Field(
        default={}, description="Life-safety rules judged on this gateway, and the outputs that each sounds"
    )
    rules: dict[str, dict[str, Any]] = Field(
        default={}, description="The farm's own numbers for rules under 'safety', as in the centre's site file"
    )
    metrics: MetricsOptions | None = Field(default=None, description="OpenMetrics on loopback; off by default")
    page: PageOptions | None = Field(default=None, description="A read-only page; off by default")


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway file that passed every check; paths are absolute."""

    name: str
    site: str
    mqtt: MqttOptions
    spool: SpoolOptions
    buses: tuple[Bus, ...]
    file: Path
    outputs: Mapping[str, OutputOptions] = field(default_factory=dict)
    watches: tuple[Watch, ...] = ()
    metrics: MetricsOptions | None = None
    page: PageOptions | None = None


def kinds_named(file: Path) -> frozenset[str]:
    """The kinds of bus that the file speaks of, and what else stands in their place; nothing is checked."""
    data = load_located(file).data
    buses = data.get("buses") if isinstance(data, dict) else None
    found = [bus for bus in buses.values() if isinstance(bus, dict)] if isinstance(buses, dict) else []
    return frozenset(str(key) for bus in found for key in bus if key != "devices")


def load_gateway(file: Path, drivers: Mapping[str, Driver]) -> Gateway:
    """The gateway file, checked; `ConfigErrors` with everything that is wrong in it and in its profiles."""
    located = load_located(file)
    problems, rest = split(located, file_model(drivers))
    if rest is None:
        raise ConfigErrors(problems)
    return _Second(located, rest, file.resolve().parent, drivers, problems).gateway()


def check_files(gateway: Gateway) -> None:
    """`ConfigErrors` when a key or certificate that the file names is not there."""
    located = load_located(gateway.file)
    problems: list[Problem] = []
    for name in ("ca", "cert", "key") if gateway.mqtt.tls else ():
        path: Path = getattr(gateway.mqtt.tls, name)
        if not path.is_file():
            problems.append(located.problem(("mqtt", "tls", name), f"{path}: no such file"))
    if not gateway.spool.path.parent.is_dir():
        problems.append(located.problem(("spool", "path"), f"{gateway.spool.path.parent}: no such folder"))
    if problems:
        raise ConfigErrors(problems)


def file_model(drivers: Mapping[str, Driver]) -> type[Strict]:
    """The file's model: a bus is one of the kinds that a driver brings."""
    kinds: list[Any] = [
        Annotated[
            create_model(
                f"Bus_{kind}",
                __base__=Strict,
                **{
                    kind: (driver.bus_model, ...),
                    "devices": (Annotated[list[driver.device_model], Field(min_length=1)], ...),  # type: ignore[name-defined]
                },  # type: ignore[call-overload]
            ),
            Tag(f"<{kind}>"),
        ]
        for kind, driver in drivers.items()
    ]

    def refuse(given: Any) -> Any:
        words = [k for k in given if k != "devices"] if isinstance(given, dict) else []
        hint = next((h for w in words if (h := nearest(str(w), drivers))), "")
        raise ValueError(f"has no kind of bus{hint}; expected one of {', '.join(drivers)}")

    unknown: Any = Annotated[Any, AfterValidator(refuse), WithJsonSchema({"not": {}}), Tag("<?>")]

    def kind_of(given: Any) -> str:
        found = [k for k in drivers if isinstance(given, dict) and k in given]
        # In brackets, so that no node of the file can be called the same and errors find their place.
        return f"<{found[0]}>" if found else "<?>"

    bus: Any = Annotated[Union[(*kinds, unknown)], Discriminator(kind_of)]
    buses: Any = Annotated[dict[BusName, bus], Field(min_length=1)]
    return create_model("GatewayFile", __base__=_GatewayFile, buses=(buses, ...))


class _Second:
    """The second phase: names, profiles and channels of what of the file is right."""

    def __init__(
        self,
        located: Located,
        rest: Rest[Any],
        folder: Path,
        drivers: Mapping[str, Driver],
        problems: list[Problem],
    ) -> None:
        parsed = rest.model
        self._located = located
        self._original = rest.original
        self._parsed = parsed
        self._folder = folder
        self._drivers = drivers
        models: dict[str, type[Profile]] = {d.family: d.profile_model for d in drivers.values()}
        folders = [configs_dir() / "devices"]
        if parsed.profiles:
            folders.append(folder / parsed.profiles)
        self._shelf = ProfileShelf(folders, models)
        self._names: dict[str, int] = {}
        # By text: a profile used twice is reported once.
        self._problems: dict[str, Problem] = {str(p): p for p in problems}

    def gateway(self) -> Gateway:
        p = self._parsed
        buses = tuple(self._with_coils(self._bus(name, bus)) for name, bus in p.buses.items())
        watches = self._watches(buses) if p.outputs or p.safety or p.rules else ()
        if self._problems:
            raise ConfigErrors(list(self._problems.values()))
        hot = p.spool.hot if p.spool.hot in ("auto", "off") else str(self._folder / p.spool.hot)
        spool = p.spool.model_copy(update={"path": self._folder / p.spool.path, "hot": hot})
        return Gateway(
            p.gateway,
            p.site,
            self._mqtt(p.mqtt),
            spool,
            buses,
            self._folder / Path(self._located.file).name,
            p.outputs,
            watches,
            p.metrics,
            p.page,
        )

    def _watches(self, buses: tuple[Bus, ...]) -> tuple[Watch, ...]:
        from gateway.safety import plan_watches, problems  # a gateway without alarms holds no rules in memory

        p, rules = self._parsed, self._rules()
        if not self._problems:
            for path, message in problems(p.safety, p.outputs, rules, buses, p.rules):
                self._say(path, message)
        return () if self._problems else plan_watches(p.safety, rules, buses, p.rules)

    def _rules(self) -> Mapping[str, Rule]:
        from makiba.rule import load_rules

        try:
            return load_rules(configs_dir() / "rules")
        except ConfigErrors as errors:
            self._problems.update((str(p), p) for p in errors.problems)
            return {}

    def _with_coils(self, bus: Bus) -> Bus:
        declared = [o.modbus for o in self._parsed.outputs.values() if o.modbus and o.modbus.bus == bus.name]
        return replace(bus, coils=frozenset((coil.unit_id, coil.coil) for coil in declared))

    def _mqtt(self, mqtt: MqttOptions) -> MqttOptions:
        if not mqtt.tls:
            return mqtt
        files = {name: self._folder / getattr(mqtt.tls, name) for name in ("ca", "cert", "key")}
        return mqtt.model_copy(update={"tls": TlsOptions(**files)})

    def _say(self, path: tuple[str | int, ...], message: str) -> None:
        problem = self._located.problem(self._original(path), message)
        self._problems[str(problem)] = problem

    def _line(self, path: tuple[str | int, ...]) -> int:
        return self._located.place(self._original(path))[0]

    def _bus(self, name: str, parsed: Any) -> Bus:
        kind = next(k for k in self._drivers if hasattr(parsed, k))
        driver, options = self._drivers[kind], getattr(parsed, kind)
        path = ("buses", name)
        devices: list[Device] = []
        for index, device in enumerate(parsed.devices):
            here = (*path, "devices", index)
            line = self._line((*here, "name"))
            if device.name in self._names:
                self._say((*here, "name"), f"{device.name!r} is used twice (line {self._names[device.name]})")
            self._names.setdefault(device.name, line)
            if f"{self._parsed.gateway}.{name}" == device.name:
                self._say((*here, "name"), f"{device.name!r} is the name of the bus's own state")
            loaded = self._profile((*here, "profile"), device.profile, driver)
            if loaded:
                devices.append(self._device(here, device, loaded))

        def line_of(where: tuple[str | int, ...]) -> int:
            return self._line((*path, *where))

        for where, message in driver.problems(options, parsed.devices, line_of):
            self._say((*path, *where), message)
        return Bus(name, f"{self._parsed.gateway}.{name}", driver, options, tuple(devices))

    def _profile(self, path: tuple[str | int, ...], name: str, driver: Driver) -> LoadedProfile | None:
        try:
            loaded = self._shelf.get(name)
        except KeyError:
            self._say(path, f"{name!r} is unknown{nearest(name, self._shelf.names())}")
            return None
        except ConfigErrors as errors:
            self._problems.update((str(p), p) for p in errors.problems)
            return None
        if loaded.profile.driver != driver.family:
            self._say(
                path,
                f"{name!r} is read by driver {loaded.profile.driver!r}, a {driver.kind} bus by {driver.family!r}",
            )
            return None
        return loaded

    def _device(self, here: tuple[str | int, ...], options: Any, loaded: LoadedProfile) -> Device:
        free = {m.channel for _, m in loaded.profile.measured() if m.quantity is None and m.channel}
        for channel in options.channels:
            if channel not in free:
                known = f"; free channels are {', '.join(sorted(free))}" if free else "; it has no free channels"
                self._say(
                    (*here, "channels", channel),
                    f"{loaded.name} has no free channel {channel!r}" + (nearest(channel, free) or known),
                )
        constants = self._constants(here, options, loaded)
        points = tuple(self._points(here, options, loaded, constants))
        if not points and free:
            self._say(here, f"none of the channels of {loaded.name} is used; list them under 'channels'")
        return Device(options.name, loaded.name, loaded.profile, options, points, constants)

    def _constants(
        self, here: tuple[str | int, ...], options: Any, loaded: LoadedProfile
    ) -> Mapping[str, ConstantValue]:
        found: dict[str, ConstantValue] = {}
        for name, value in constants_for(loaded.profile.site_constants(), options.constants, loaded.name):
            if isinstance(value, ValueError):
                self._say((*here, "constants", name), str(value))
            else:
                found[name] = value
        return found

    def _points(
        self,
        here: tuple[str | int, ...],
        options: Any,
        loaded: LoadedProfile,
        constants: Mapping[str, ConstantValue],
    ) -> Iterator[Point]:
        for index, (_, measured) in enumerate(loaded.profile.measured()):
            if loaded.profile.constants_of(index) - constants.keys():
                continue  # the site does not say what it needs
            name, unit = measured.quantity, None
            if name is None:
                use = options.channels.get(measured.channel)
                if use is None:
                    continue
                name, unit = use.quantity, use.unit
                problem = _channel_problem(use, measured, loaded.name)
                if problem:
                    self._say((*here, "channels", str(measured.channel)), problem)
                    continue
            subject = f"{options.name}.{measured.channel}" if measured.channel else options.name
            try:
                series = Series(self._parsed.site, subject, name)
            except ValueError as error:
                self._say((*here, "name"), str(error))
                continue
            yield Point(index, series, catalogue()[name], unit)


def _channel_problem(use: ChannelUse, measured: Valued, profile: str) -> str | None:
    """Why a free channel cannot be used like that."""
    word = catalogue()[use.quantity]
    expected = f"expected a unit of {', '.join(units_for(word.unit)) or 'none'}"
    asks = measured.unit_is_asked
    if asks and use.unit is None:
        return f"needs the unit that the instrument shows, as {{quantity: {use.quantity}, unit: …}}; {expected}"
    if use.unit is not None and not asks:
        return f"{profile} gives {measured.unit!r}; leave 'unit' out"
    unit = use.unit if asks else measured.unit
    if conversion(unit, word.unit) is None or word.kind == "text":
        return f"{use.quantity} cannot come from {profile}, which gives {unit!r}; {expected}"
    return None
