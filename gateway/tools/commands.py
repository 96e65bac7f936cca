"""The technician's commands that talk in two languages: `silence`, `doctor`, `scan`. Added to `makiba gateway`.

Starting is light: what a command needs is imported when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gateway.site import Gateway
    from gateway.tools.language import Say

Lang = Annotated[
    str | None, typer.Option("--lang", metavar="ja|en", help="Language of what is said; default: the terminal's")
]
Config = Annotated[Path, typer.Option("-c", "--config", metavar="FILE", help="The gateway file, e.g. gateway.yaml")]
Load = Callable[[Path], "Gateway"]


def add_to(app: typer.Typer, load: Load) -> None:
    """Adds the commands; `load` reads a gateway file or ends with its errors."""

    @app.command()
    def scan(
        port: Annotated[
            str | None, typer.Option("--port", metavar="PORT", help="Serial port, e.g. /dev/ttyUSB0")
        ] = None,
        tcp: Annotated[
            str | None,
            typer.Option("--tcp", metavar="HOST:PORT", help="Modbus TCP server or converter; port 502 if left out"),
        ] = None,
        full: Annotated[
            bool, typer.Option("--full/--quick", help="All speeds and addresses (25 min), or the likely ones (90 s)")
        ] = False,
        seconds: Annotated[
            float | None, typer.Option("--seconds", min=1, metavar="SECONDS", help="Stop after so long instead")
        ] = None,
        baud: Annotated[
            list[int] | None,
            typer.Option("--baud", metavar="BAUD", help="Only this speed, e.g. 9600; may be given again"),
        ] = None,
        unit_id: Annotated[
            list[int] | None,
            typer.Option(
                "--unit-id", min=0, max=255, metavar="ID", help="Only this Modbus address (1-247); may be given again"
            ),
        ] = None,
        sdi12: Annotated[
            bool | None,
            typer.Option(
                "--sdi12/--no-sdi12", help="Only SDI-12, or none of it; default: last, if nothing else answers"
            ),
        ] = None,
        output: Annotated[
            Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write a gateway file")
        ] = None,
        profiles: Annotated[
            Path | None, typer.Option("--profiles", metavar="FOLDER", help="Own profiles beside Makiba's")
        ] = None,
        gateway: Annotated[
            str, typer.Option("--gateway", metavar="NAME", help="This gateway's name, for the file")
        ] = "gw-1",
        site: Annotated[str, typer.Option("--site", metavar="NAME", help="The farm's name, for the file")] = "site-1",
        every: Annotated[
            str, typer.Option("--every", metavar="TIME", help="How often to read, for the file: 500ms, 30s, 5min")
        ] = "30s",
        lang: Lang = None,
    ) -> None:
        """Find the instruments on a bus; write a gateway file.

        Nothing is ever written to an instrument. Stop the gateway before: a port can be open only once. Ctrl-C ends
        the search and keeps what was found. Exit code 1 when nothing was found.

        Examples:

        makiba gateway scan --port /dev/ttyUSB0 -o gateway.yaml

        makiba gateway scan --tcp 192.168.1.50 --unit-id 1

        makiba gateway scan --port /dev/ttyUSB1 --sdi12 -o soil.yaml
        """
        from gateway.tools.scan_report import plan_for, serial_ports
        from gateway.tools.scan_report import scan as run

        say = say_in(lang)
        _refuse_what_would_not_run(gateway, site, every)
        if (port is None) == (tcp is None):
            there = ", ".join(str(p) for p in serial_ports()) or say("ありません", "none")
            typer.echo(
                say(
                    f"--port か --tcp の どちらかを つけてください。ポート: {there}",
                    f"Give either --port or --tcp. Serial ports here: {there}",
                ),
                err=True,
            )
            raise typer.Exit(2)
        if output and output.exists():
            typer.echo(
                say(
                    f"{output} は もう あります。別の 名前に してください。",
                    f"{output} is there already; choose another name.",
                ),
                err=True,
            )
            raise typer.Exit(2)
        try:
            plan = plan_for(full, seconds, baud or [], unit_id or [], sdi12)
            found = run(
                port=port, tcp=tcp, plan=plan, profiles=profiles, output=output,
                gateway=gateway, site=site, every=every, say=say,
            )  # fmt: skip
        except OSError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None
        raise typer.Exit(0 if found else 1)

    @app.command("let-go")
    def let_go(config: Config) -> None:
        """Let alarm outputs fall, so that they sound.

        For systemd, after a crash (ExecStopPost=): only outputs that are held while all is well (energised-when-ok).

        Example: makiba gateway let-go -c gateway.yaml
        """
        import asyncio

        from gateway.alarm import let_go as run

        done = asyncio.run(run(load(config)))
        tell(f"{name}: {state}" for name, state in done.items())
        raise typer.Exit(0 if all(state == "ok" for state in done.values()) else 1)

    @app.command()
    def doctor(
        config: Config,
        polls: Annotated[int, typer.Option("--polls", min=1, max=1000, help="Polls of each device")] = 10,
        lang: Lang = None,
    ) -> None:
        """Look for what is wrong, and say what to do.

        Buses and their wiring, clock, broker, certificate, disk, power. Each line is ok, warn or FAIL. The wiring is
        tested only while the gateway is stopped. Exit code 1 when something fails.

        Example: makiba gateway doctor -c gateway.yaml
        """
        from gateway.tools.doctor import examine

        worst = 0
        for finding in examine(load(config), polls, say_in(lang)):
            tell(str(finding).splitlines())
            worst = max(worst, finding.level == "FAIL")
        raise typer.Exit(worst)

    @app.command()
    def silence(config: Config, lang: Lang = None) -> None:
        """Reset an alarm by hand, after the gas is gone.

        The gateway has to run. Gas that is still there cannot be silenced, exit code 1 then: go in only with a
        certified monitor. The centre's alert is reset on its page.

        Example: makiba gateway silence -c gateway.yaml
        """
        from gateway.tools.silence import silence as reset

        lines, is_quiet = reset(load(config), say_in(lang))
        tell(lines)
        raise typer.Exit(0 if is_quiet else 1)


def _refuse_what_would_not_run(gateway: str, site: str, every: str) -> None:
    """Names and a time that the written file could not have; exit code 2."""
    import re

    from makiba.located_yaml import parse_duration
    from makiba.reading import SITE_PATTERN
    from makiba.topics import GATEWAY_PATTERN

    try:
        parse_duration(every)
        for option, name, pattern in (("--gateway", gateway, GATEWAY_PATTERN), ("--site", site, SITE_PATTERN)):
            if not re.fullmatch(pattern, name):
                raise ValueError(f"{option}: {name!r} is no such name; expected {pattern}")
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


def tell(lines: Iterable[str]) -> None:
    """Prints `lines`; on a terminal that is narrower than a line it is wrapped between words, as a phone needs it."""
    from gateway.tools.columns import here

    for line in lines:
        for part in here(line):
            typer.echo(part)


def say_in(lang: str | None) -> Say:
    """The texts of `--lang`; ends with exit code 2 on another word."""
    from gateway.tools.language import Say, language

    try:
        return Say(language(lang))
    except ValueError as error:
        typer.echo(f"--lang: {error}", err=True)
        raise typer.Exit(2) from None
