"""`makiba demo`: a simulated farm with all services, and switches for what can go wrong on it."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from demo.home import HTTP_PORT, MQTT_PORT, DemoRuns, Home, default_home, port_for

app = typer.Typer(
    help="A simulated farm with all services.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class SeasonChoice(StrEnum):
    """What the weather is like."""

    january = "january"
    july = "july"


class StoreChoice(StrEnum):
    """Where readings are kept."""

    sqlite = "sqlite"
    influx = "influx"


HomeOption = Annotated[Path | None, typer.Option("--home", help="Folder; default MAKIBA_HOME, else .makiba/demo")]


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    season: Annotated[SeasonChoice | None, typer.Option(help="Default: after the month")] = None,
    store: Annotated[StoreChoice, typer.Option(help="influx: Debian's InfluxDB 1.x")] = StoreChoice.sqlite,
    port: Annotated[int | None, typer.Option(help="Port of the pages", min=1, max=65535)] = None,
    home: HomeOption = None,
    check: Annotated[bool, typer.Option("--check", help="Without a person: a fault must become an alert")] = False,
    replay: Annotated[Path | None, typer.Option(help="Drive Modbus registers from a recorded CSV file")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="With --replay: compare the store with the file")] = False,
) -> None:
    """Start a simulated farm and all services, and print one address."""
    if context.invoked_subcommand is not None:
        return
    if verify and replay is None:
        raise _wrong("--verify belongs to --replay FILE.csv")
    if check and replay is not None:
        raise _wrong("--check and --replay are two things: ask for one")
    if replay is not None:
        from demo.replay import replay_file

        raise typer.Exit(replay_file(replay, store.value, home, verify=verify))
    if check:
        from demo.check import run_check

        raise typer.Exit(run_check(store.value, season.value if season else None))
    _run(season, store, port, _home(home))


def _run(season: SeasonChoice | None, store: StoreChoice, port: int | None, home: Home) -> None:
    from demo import physics, running
    from deploy.supervise import stop_on_signals

    scene = running.FarmScene(season.value if season else physics.season_of(datetime.now(UTC).month))
    options = running.Options(
        home,
        scene,
        store.value,
        port_for(port or _port_setting("MAKIBA_HTTP_PORT"), HTTP_PORT),
        port_for(_port_setting("MAKIBA_MQTT_PORT"), MQTT_PORT),
    )

    def say(address: str) -> None:
        typer.echo(
            f"\n  Makiba demo, さくら牧場 (Sakura Farm), {scene.season}: open this address\n\n    {address}\n\n"
            f"  Make something go wrong: on the page under 設定 / Settings, or\n"
            f"    {_command()} fault compressor-off on      ({_command()} faults lists them)\n"
            f"  Stop: Ctrl-C                               (logs: {home.logs})\n"
        )
        sys.stdout.flush()

    with stop_on_signals() as stop:
        try:
            running.run(options, stop, say)
        except DemoRuns as error:
            typer.echo(f"{error}\nStop it there with Ctrl-C, or start another one with --home DIR", err=True)
            raise typer.Exit(1) from None
        except FileNotFoundError as error:
            raise _wrong(str(error)) from None
        except running.StartFailed as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None


class Switch(StrEnum):
    """Whether a fault is there."""

    on = "on"
    off = "off"


@app.command("fault")
def fault(
    fault_id: Annotated[str, typer.Argument(metavar="ID", help="`makiba demo faults` lists them")],
    state: Annotated[Switch, typer.Argument(help="on or off")] = Switch.on,
    home: HomeOption = None,
) -> None:
    """Make something go wrong on the simulated farm, or mend it."""
    from demo import faults

    place = _home(home)
    try:
        faults.switch(place.faults, fault_id, state is Switch.on)
    except faults.UnknownFault as error:
        raise _wrong(str(error)) from None
    if place.running() is None:
        typer.echo(f"no demo runs in {place.path}", err=True)
        raise typer.Exit(1)


@app.command("faults")
def list_faults(home: HomeOption = None) -> None:
    """What can go wrong, and what is wrong now."""
    from demo import faults

    now = faults.read_faults(_home(home).faults)
    for known in faults.FAULTS:
        typer.echo(f"{'on ' if known.id in now.on else 'off'}  {known.id:<18} {known.en}  {known.ja}")


@app.command("link")
def link(home: HomeOption = None) -> None:
    """Print the address of the demo that runs, once more."""
    place = _home(home)
    said = place.running()
    if not said:
        typer.echo(f"no demo runs in {place.path}" if said is None else "the demo is still starting", err=True)
        raise typer.Exit(1)
    typer.echo(said["address"])


def _home(given: Path | None) -> Home:
    return Home(given.expanduser().resolve()) if given else default_home(os.environ)


def _command() -> str:
    """How a person calls this: `./run demo` in a checkout."""
    return "./run demo" if (Path.cwd() / "run").is_file() and (Path.cwd() / "demo").is_dir() else "makiba demo"


def _port_setting(variable: str) -> int | None:
    text = os.environ.get(variable, "")
    if not text:
        return None
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise _wrong(f"{variable}: {text!r} is no port; expected a number from 1 to 65535")
    return int(text)


def _wrong(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(2)
