"""`makiba consent`: what a farm shows to people outside it, given and withdrawn at the machine's own command line.

For a farm whose owner has told so whoever runs the machine. It stands in the farm's audit as done here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, cast

import typer

from api.cli import CONSOLE, command_registry, now_ms, wrong
from collectors.registry.viewer import OUTSIDERS, Role
from makiba.data_class import DATA_CLASSES, DataClass

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="What a farm shows to people outside it.",
)

DAY_MS = 86_400_000


@app.command()
def give(
    site: Annotated[str, typer.Argument(help="Whose data")],
    to: Annotated[str, typer.Option(help=f"A role ({', '.join(sorted(OUTSIDERS))}), or the login of one person")],
    show: Annotated[list[str], typer.Option(help=f"May be repeated: {', '.join(DATA_CLASSES)}")],
    days: Annotated[float, typer.Option(help="For how long; 0: until it is withdrawn", min=0, max=36_500)] = 0,
) -> None:
    """Show some of a farm's data to somebody.

    Classes of it, to everybody with a role there or to one person who has such a role. Prints the id of the consent.
    """
    from collectors.registry import consent, people, sites

    with command_registry() as registry, registry.write() as session:
        if sites.get_site(session, CONSOLE, site) is None:
            raise wrong(f"no site {site}; see `makiba site list`")
        person = None if to in OUTSIDERS else people.person_by_login(session, CONSOLE, to)
        if person is None and to not in OUTSIDERS:
            raise wrong(f"{to!r} is no role of {', '.join(sorted(OUTSIDERS))} and nobody's login")
        now = now_ms()
        try:
            row = consent.give(
                session, CONSOLE, site, classes=cast("list[DataClass]", show), now_ms=now,
                role=None if person else cast("Role", to), person_id=person.id if person else None,
                until_ms=now + round(days * DAY_MS) if days else None,
            )  # fmt: skip
        except ValueError as error:
            raise wrong(str(error)) from None
    typer.echo(row.id)


@app.command("list")
def list_(site: Annotated[str, typer.Argument(help="Whose data")]) -> None:
    """List all consents of a farm.

    Each with id, to whom, what, since when, and until when, or that it is withdrawn.
    """
    from collectors.registry import consent, people

    with command_registry() as registry, registry.read() as session:
        for row in consent.list_consents(session, CONSOLE, site):
            person = people.get_person(session, CONSOLE, row.person_id) if row.person_id is not None else None
            until = f"until {day(row.until_ms)}" if row.until_ms else "in force"
            state = f"withdrawn {day(row.withdrawn_ms)}" if row.withdrawn_ms else until
            to = row.role or (person.login if person else "(gone)")
            typer.echo("\t".join([row.id, to, " ".join(row.classes), day(row.from_ms), state]))


@app.command()
def withdraw(
    site: Annotated[str, typer.Argument(help="Whose data")],
    consent_id: Annotated[str, typer.Argument(help="Its id, as `list` shows it")],
) -> None:
    """End a consent at once, on open pages too."""
    from collectors.registry import consent

    with command_registry() as registry, registry.write() as session:
        if consent.withdraw(session, CONSOLE, site, consent_id, now_ms()) is None:
            raise wrong(f"{site} gave no consent {consent_id}; see `makiba consent list {site}`")


def day(at_ms: int) -> str:
    """A time as a command prints it."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M}Z"
