"""`makiba token`: tokens of programs, made at the machine's own command line for a person who asked for one.

The secret is printed once, on standard output and nowhere else. In the farm's audit it stands as done here.
"""

from __future__ import annotations

from typing import Annotated, cast

import typer

from api.cli import CONSOLE, command_registry, now_ms, wrong
from api.consent_cli import DAY_MS, day
from collectors.registry.viewer import FOR_PROGRAMS, Action
from makiba.data_class import DATA_CLASSES, DataClass

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Programs that act for a person, and their tokens.",
)

Login = Annotated[str, typer.Argument(help="Login of the person for whom the program acts")]


@app.command()
def make(
    login: Login,
    name: Annotated[str, typer.Option(help="What the program is called")],
    days: Annotated[float, typer.Option(help="For how many days it holds", min=0.01, max=366)],
    site: Annotated[list[str] | None, typer.Option(help="Of this farm only; may be repeated")] = None,
    show: Annotated[
        list[str] | None, typer.Option(help=f"These classes of data only: {', '.join(DATA_CLASSES)}; may be repeated")
    ] = None,
    may: Annotated[
        list[str] | None,
        typer.Option(help=f"It may change only this: {', '.join(sorted(FOR_PROGRAMS))}; may be repeated"),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="It changes nothing")] = False,
) -> None:
    """Make a token and print it, this once.

    A program with it can do what its person may, unless an option says less.
    """
    from api import tokens as written
    from collectors.registry import people, tokens

    if unknown := sorted({*(show or ())} - {*DATA_CLASSES}):
        raise wrong(f"--show {unknown[0]}: of {', '.join(DATA_CLASSES)}")
    if may and read_only:
        raise wrong("--may and --read-only exclude each other")
    if not 1 <= len(name.strip()) <= 100:
        raise wrong("--name: 1 to 100 characters")
    token, now = written.new(), now_ms()
    wish = tokens.Wish(
        name.strip(), now + round(days * DAY_MS), site or None, cast("list[DataClass] | None", show or None),
        [] if read_only else cast("list[Action] | None", may or None),
    )  # fmt: skip
    with command_registry() as registry, registry.write() as session:
        row = people.person_by_login(session, CONSOLE, login)
        person = people.viewer_of(session, CONSOLE, row.id, now) if row else None
        if person is None:
            raise wrong(f"nobody has the login {login!r}, or they are disabled; see `makiba user list`")
        try:
            tokens.make(session, CONSOLE, person, token.id, token.secret_hash, wish, now)
        except tokens.WrongToken as error:
            raise wrong(str(error)) from None
    typer.echo(token.spell())


@app.command("list")
def list_(login: Login) -> None:
    """List the tokens of a person.

    Each with id, name, farms, classes, actions, and until when, or that it is revoked.
    """
    from collectors.registry import people, tokens

    with command_registry() as registry, registry.read() as session:
        row = people.person_by_login(session, CONSOLE, login)
        if row is None:
            raise wrong(f"nobody has the login {login!r}; see `makiba user list`")
        for token in tokens.list_tokens(session, CONSOLE, row.id):
            state = f"revoked {day(token.revoked_ms)}" if token.revoked_ms else f"until {day(token.expires_ms)}"
            used = f"used {day(token.used_ms)}" if token.used_ms else "never used"
            scopes = [_spell(token.sites), _spell(token.classes), _spell(token.actions)]
            typer.echo("\t".join([token.id, token.name, *scopes, state, used]))


@app.command()
def revoke(login: Login, token_id: Annotated[str, typer.Argument(help="Its id, as `list` shows it")]) -> None:
    """End a token at once, on open streams too."""
    from collectors.registry import people, tokens

    with command_registry() as registry, registry.write() as session:
        row = people.person_by_login(session, CONSOLE, login)
        if row is None or tokens.revoke(session, CONSOLE, row.id, token_id, now_ms()) is None:
            raise wrong(f"{login} has no token {token_id}; see `makiba token list {login}`")


def _spell(words: list[str] | None) -> str:
    return "all" if words is None else ",".join(words) or "none"
