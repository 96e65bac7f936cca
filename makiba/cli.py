"""`makiba`: the root of the command line.

Each room registers its commands as an entry point of the group `makiba.commands`; one is imported only when
it is called, so that a Pi with only the gateway installed has a `makiba` that knows what it can do.
"""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.main import get_command as command_of

from makiba.located_yaml import ConfigErrors
from makiba.words import nearest

GROUP = "makiba.commands"
SUMMARIES = {
    "gateway": "Poll sensors and send what was measured (on the Pi); technician's tools",
    "collect": "Take what gateways send into the store",
    "watch": "Judge the readings and keep the alert book",
    "notify": "Tell people what is in the alert book",
    "backtest": "What the rules would have done with recorded readings: files or the store",
    "serve": "Serve the pages and the API",
    "up": "Collector, analytics and pages together on one machine",
    "demo": "A simulated farm with all services",
    "store": "Look into the store of readings",
    "backup": "Copy store and registry while everything runs, verified",
    "site": "Farms: from a file, as an archive, out of here; their gateways",
    "source": "Systems that send for a farm over HTTP, and their tokens",
    "lorawan": "LoRaWAN devices behind ChirpStack",
    "weather": "The weather service's forecasts, warnings and observations",
    "import": "Files: animals, events, fields, readings (CSV); ICAR documents",
    "export": "Readings, or windows of them, into a file: CSV, Parquet, SenML",
    "tail": "What comes in just now, line by line",
    "outlet": "A farm's sensors in another system, as they come: Home Assistant",
    "user": "People who may sign in; the first administrator; who cannot get in",
    "consent": "What a farm shows to people outside it",
    "token": "Programs that act for a person, and their tokens",
    "pki": "Keys and certificates of gateways and services",
}


_EXTRAS = {
    "gateway": "gateway",
    **dict.fromkeys(
        ("collect", "store", "backup", "site", "export", "tail", "outlet", "source", "lorawan", "weather", "import"),
        "collector",
    ),
    "watch": "analytics",
    "backtest": "analytics",
    "notify": "analytics",
    "demo": "demo",
}
"""The extra whose libraries a command needs, where it is not `api`."""


class _Rooms(typer.core.TyperGroup):
    """Finds a room's commands by entry point."""

    def _points(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=GROUP)}

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        known = self._points()
        return [n for n in SUMMARIES if n in known] + sorted(n for n in known if n not in SUMMARIES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        point = self._points().get(cmd_name)
        if point is None:
            return None
        try:
            app = point.load()
        except ModuleNotFoundError as error:
            if error.name and error.name.split(".")[0] in ("makiba", point.module.split(".")[0]):
                raise
            return _missing(cmd_name, str(error.name))
        command = command_of(app)
        command.name = cmd_name
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in self._points():
            ctx.fail(f"no command {args[0]!r}{nearest(args[0], self._points())}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES.get(name, "")) for name in self.list_commands(ctx)])


def _missing(name: str, module: str) -> Any:
    """A command whose libraries are not on this machine: it says so when it is called."""
    app = typer.Typer(add_completion=False)

    @app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
    def say() -> None:
        extra = _EXTRAS.get(name, "api")
        typer.echo(f"makiba {name} needs {module}, which is not installed: pip install 'makiba[{extra}]'", err=True)
        raise typer.Exit(2)

    return command_of(app)


root = typer.Typer(
    name="makiba",
    cls=_Rooms,
    help="Makiba watches a farm: sensors, readings, alerts.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@root.callback()
def _root() -> None:
    pass


def main() -> None:
    """Runs `makiba`; a wrong configuration ends with exit code 2 and every problem on its own line."""
    try:
        root()
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        raise SystemExit(2) from None
