"""The technician's commands that talk in two languages: `silence`, `doctor`, `scan`. Added to `makiba gateway`.

Starting is light: what a command needs is imported when it is called.
"""

from __future__ import annotations

from collections.abc import Callable
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
    def silence(config: Config, lang: Lang = None) -> None:
        """Reset an alarm by hand, after the gas is gone. The gateway has to run.

        Gas that is still there cannot be silenced: go in only with a certified monitor. Exit code 1 then.
        """
        from gateway.tools.silence import silence as reset

        lines, is_quiet = reset(load(config), _say(lang))
        for line in lines:
            typer.echo(line)
        raise typer.Exit(0 if is_quiet else 1)


def _say(lang: str | None) -> Say:
    from gateway.tools.language import Say, language

    try:
        return Say(language(lang))
    except ValueError as error:
        typer.echo(f"--lang: {error}", err=True)
        raise typer.Exit(2) from None
