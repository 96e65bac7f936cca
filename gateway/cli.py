"""`makiba gateway …`: run it, and the technician's first tools.

Starting is light: what a command needs is imported when it is called.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.tools import commands

if TYPE_CHECKING:
    from gateway.driver import Bus, Device, Explained
    from gateway.site import Gateway

app = typer.Typer(
    help="Poll sensors and send what was measured (on the Pi); technician's tools.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[
    Path, typer.Option("-c", "--config", metavar="FILE", help="The gateway file, e.g. gateway.yaml")
]


@app.command()
def run(config: ConfigOption) -> None:
    """Poll the sensors and send what was measured.

    It goes on until it is stopped (Ctrl-C, systemctl stop). A wrong file stops it before anything is started, with
    the line of each error and exit code 2.

    Example: makiba gateway run -c gateway.yaml
    """
    from gateway import process

    process.become(config)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A gateway file, or a device profile")],
    lang: commands.Lang = None,
) -> None:
    """Check a gateway file or a device profile.

    No wire is touched. Of a gateway file it shows how busy each bus will be, of a profile what is read.

    Every error is shown with file, line, column and what was expected; exit code 2 then. Maps that nobody has
    verified are warned about.

    Example: makiba gateway check gateway.yaml
    """
    from gateway.drivers import drivers
    from gateway.profile import check_profile
    from gateway.tools.check import bus_report, gateway_warnings, is_profile, profile_report, profile_warnings
    from makiba.located_yaml import ConfigErrors, load_located

    say = commands.say_in(lang)
    try:
        located = load_located(file)
        if is_profile(located):
            loaded = check_profile(located, file.stem, {d.family: d.profile_model for d in drivers().values()})
            commands.tell((*profile_report(loaded, say), *profile_warnings(loaded, say)))
            return
    except ConfigErrors as errors:
        typer.echo(str(errors), err=True)
        raise typer.Exit(2) from None
    gateway = _load(file, with_outputs=True)
    lines = [
        say(
            f"{file}: {gateway.site} の ゲートウェイ {gateway.name}",
            f"{file}: gateway {gateway.name} of site {gateway.site}",
        )
    ]
    for bus in gateway.buses:
        lines += bus_report(bus, say)
    commands.tell((*lines, *gateway_warnings(gateway, located, say)))


@app.command()
def schema(
    kind: Annotated[str, typer.Argument(metavar="profile|gateway", help="Which kind of file")],
) -> None:
    """Print a JSON Schema, for an editor.

    With it an editor completes a profile or a gateway file and checks it while you type. The file's first line then
    is # yaml-language-server: $schema=profile.json

    Example: makiba gateway schema profile > profile.json
    """
    import json

    from gateway.drivers import drivers
    from gateway.schema import gateway_schema, profile_schema
    from makiba.words import nearest

    kinds = {"profile": profile_schema, "gateway": gateway_schema}
    if kind not in kinds:
        typer.echo(f"no schema of {kind!r}{nearest(kind, kinds)}; there are {', '.join(kinds)}", err=True)
        raise typer.Exit(2)
    typer.echo(json.dumps(kinds[kind](drivers()), ensure_ascii=False, indent=2))


@app.command()
def read(
    config: ConfigOption,
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="Name of a device in FILE")],
    lang: commands.Lang = None,
) -> None:
    """Read one device once and explain its answer.

    Shows each byte on the wire, how each value came about, what is out of range and what to do. A serial port can be
    open only once: stop the gateway before (sudo systemctl stop makiba-gateway). Exit code 1 when the device did not
    answer well.

    Example: makiba gateway read -c gateway.yaml tank-1
    """
    from gateway.tools.read_report import report

    say, gateway = commands.say_in(lang), _load(config)
    found = [(bus, d) for bus in gateway.buses for d in bus.devices if d.name == device]
    if not found:
        from makiba.words import nearest

        names = [d.name for bus in gateway.buses for d in bus.devices]
        typer.echo(f"{config}: no device {device!r}{nearest(device, names)}; there are {', '.join(names)}", err=True)
        raise typer.Exit(2)
    bus, target = found[0]
    try:
        explained = asyncio.run(_read_once(bus, target))
    except OSError as error:
        typer.echo(f"bus {bus.name}: {error}", err=True)
        typer.echo(f"→ makiba gateway doctor -c {config}", err=True)
        raise typer.Exit(1) from None
    commands.tell(report(bus, target, explained, say))
    raise typer.Exit(0 if explained.state == "ok" else 1)


@app.command()
def spool(config: ConfigOption, lang: commands.Lang = None) -> None:
    """Show what waits to be sent, and for how long there is room.

    What the centre has not acknowledged yet, why, and how many days the card lasts. The gateway may be running;
    nothing is changed.

    Example: makiba gateway spool -c gateway.yaml
    """
    from gateway.tools.spool_report import report

    say = commands.say_in(lang)
    commands.tell(report(_load(config), say))


async def _read_once(bus: Bus, device: Device) -> Explained:
    return await bus.driver.read_once(bus, device)


def _load(file: Path, *, with_files: bool = False, with_outputs: bool = False) -> Gateway:
    """The gateway file; every error on its own line and exit code 2 when it, or a file it names, is wrong."""
    from gateway.drivers import drivers
    from gateway.site import check_files, load_gateway
    from makiba.located_yaml import ConfigErrors

    try:
        gateway = load_gateway(file, drivers())
        if with_files:
            check_files(gateway)
        if with_outputs:
            _check_outputs(gateway)
        return gateway
    except ConfigErrors as errors:
        typer.echo(str(errors), err=True)
        raise typer.Exit(2) from None


def _check_outputs(gateway: Gateway) -> None:
    """`ConfigErrors` when this machine cannot have an output that the file names."""
    if not gateway.outputs:
        return
    from gateway.alarm import missing
    from makiba.located_yaml import ConfigErrors, load_located

    located = load_located(gateway.file)
    if problems := [located.problem(path, message) for path, message in missing(gateway)]:
        raise ConfigErrors(problems)


commands.add_to(app, _load)
