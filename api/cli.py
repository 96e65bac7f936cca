"""`makiba serve` and `makiba user`.

Secrets never stand in an argument or a log: a password is asked for or read from standard input, and an invitation
puts its code behind the `#` of an address, which browsers keep to themselves.
"""

from __future__ import annotations

import getpass
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from collectors.registry import Registry, RegistryError, RegistryMisconfigured, open_registry
from collectors.registry.viewer import Role, Service
from makiba.settings import Settings, load_settings

CONSOLE = Service("console")

serve = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
user = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="People who may sign in.",
)


@serve.command()
def run(
    host: Annotated[str, typer.Option(help="Address to listen on; default: setting http_host")] = "",
    port: Annotated[
        int, typer.Option(help="Port; default: setting http_port", min=0, max=65535, show_default=False)
    ] = 0,
    first: Annotated[bool, typer.Option("--first-link/--no-first-link", hidden=True)] = True,
) -> None:
    """Serve the pages and the API. Listens on this machine only unless told otherwise."""
    # Imported here: `makiba user` need not wait for the web framework.
    from api.app import create_app
    from api.oidc import OidcMisconfigured, open_oidc

    settings = load_settings()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for chatty in ("uvicorn", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        open_oidc(settings)
    except OidcMisconfigured as error:
        raise wrong(str(error)) from None
    if first:
        say_first_link(settings)
    serve_app(create_app(settings), host or settings.http_host, port or settings.http_port)


def serve_app(app: object, host: str, port: int) -> None:
    """Serves a FastAPI application on `host`:`port` until a signal; ends the command when that cannot be."""
    from fastapi import FastAPI

    from api.server import listen, serve
    from collectors.store import StoreMisconfigured
    from makiba.figures import PortTaken
    from makiba.keys import KeyUnusable

    assert isinstance(app, FastAPI)
    try:
        sock = listen(host, port)
    except OSError as error:
        typer.echo(f"cannot listen on {host}:{port}: {error.strerror or error}", err=True)
        raise typer.Exit(1) from None
    with sock:
        typer.echo(f"pages on http://{host}:{sock.getsockname()[1]}", err=True)
        try:
            serve(app, sock)
        except (KeyUnusable, PortTaken, RegistryMisconfigured, StoreMisconfigured) as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(2) from None
        except RegistryError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None


def say_first_link(settings: Settings) -> bool:
    """While nobody administers this Makiba, says a new link by which somebody becomes it, and the older ones die."""
    from api.sessions import digest, new_code
    from collectors.registry import invitations

    code = new_code()
    with command_registry(settings, migrate=True) as registry, registry.write() as session:
        if not invitations.make_first_link(session, CONSOLE, digest(code), now_ms()):
            return False
    minutes = invitations.FIRST_LINK_MS // 60_000
    typer.echo(
        f"Nobody administers this Makiba yet. Open this address within {minutes} minutes, once, to do it:\n"
        f"管理者が まだ いません。{minutes}分以内に この アドレスを 開いて、管理者に なってください（1回だけ）:\n"
        f"  {settings.address.rstrip('/')}/#first={code}",
        err=True,
    )
    return True


@user.command("first-link")
def first_link(if_needed: Annotated[bool, typer.Option("--if-needed", hidden=True)] = False) -> None:
    """Print a link that makes the first administrator.

    Once, within an hour; the links before hold no more. Refused once somebody administers this Makiba.
    """
    if not say_first_link(load_settings()) and not if_needed:
        raise wrong("there is an administrator already; see `makiba user list`")


@user.command()
def password(login: Annotated[str, typer.Argument(help="The person's login")]) -> None:
    """Give a person a new password.

    It is asked for, or read from standard input. They are signed out everywhere.
    """
    from api.password_rules import PasswordRefused, check_new_password
    from api.passwords import Passwords
    from collectors.registry import people

    new = _ask_password()
    with command_registry() as registry:
        with registry.read() as session:
            person = people.person_by_login(session, CONSOLE, login)
        if person is None:
            raise _nobody(login)
        try:
            check_new_password(new, [person.login, person.name])
            password_hash = Passwords().hash(new)
        except (PasswordRefused, ValueError) as error:
            raise wrong(str(error)) from None
        with registry.write() as session:
            people.set_password_hash(session, CONSOLE, person.id, password_hash)
            people.delete_sessions(session, CONSOLE, person.id)


@user.command()
def recover(login: Annotated[str, typer.Argument(help="The person's login")]) -> None:
    """Print a link for who cannot get in any more.

    It lets them in once, within an hour. All that let them in before is void at once.
    """
    from api.sessions import digest, new_code
    from collectors.registry import admin, people, recovery

    code = new_code()
    settings = load_settings()
    with command_registry(settings) as registry, registry.write() as session:
        person = people.person_by_login(session, CONSOLE, login)
        if person is None or person.disabled_ms is not None:
            raise _nobody(login)
        recovery.answer_as_admin(session, CONSOLE, person, code_hash=digest(code), now_ms=now_ms())
        admin.note(session, CONSOLE, "reset", person, now_ms())
    typer.echo(f"{settings.address.rstrip('/')}/#join={code}")


@user.command()
def add(
    login: Annotated[str, typer.Argument(help="What they sign in with: a mail address, or a short word")],
    name: Annotated[str, typer.Option(help="How others see them")],
    site: Annotated[list[str], typer.Option(help="SITE:ROLE, such as shikaoi-012:owner; may be repeated")] = [],  # noqa: B006
    admin: Annotated[bool, typer.Option("--admin", help="Sees every farm")] = False,
    language: Annotated[str, typer.Option(help="ja or en")] = "ja",
    no_password: Annotated[bool, typer.Option("--no-password", help="Signs in by invitation only")] = False,
) -> None:
    """Add a person. The password is asked for, or read from standard input when that is not a terminal."""
    from api.passwords import Passwords, PasswordTooShort
    from collectors.registry import people

    if language not in ("ja", "en"):
        raise wrong(f"--language {language}: expected ja or en")
    if not login.strip() or not name.strip():
        raise wrong("a login and a name may not be empty")
    roles = [_role(text) for text in site]
    with command_registry(migrate=True) as registry:
        try:
            password_hash = None if no_password else Passwords().hash(_ask_password())
            with registry.write() as session:
                person = people.create_person(
                    session,
                    CONSOLE,
                    login=login,
                    name=name.strip(),
                    now_ms=now_ms(),
                    language=language,
                    password_hash=password_hash,
                    is_admin=admin,
                )
                for farm, role in roles:
                    people.grant_role(session, CONSOLE, person.id, farm, role, now_ms())
        except (people.LoginTaken, PasswordTooShort, LookupError) as error:
            raise wrong(str(error)) from None
    typer.echo(f"{person.login} may sign in now" if password_hash else f"{person.login} is known; invite them now")


@user.command()
def invite(
    login: Annotated[str, typer.Argument(help="The person's login")],
    hours: Annotated[float, typer.Option(help="For how long the code holds", min=0.01, max=24 * 366)] = 72,
    uses: Annotated[int, typer.Option(help="How often; 0: as often as wanted until then", min=0, max=1000)] = 1,
) -> None:
    """Print an address that signs a person in. Whoever has it can use it: give it to them alone."""
    from api.sessions import digest, new_code
    from collectors.registry import people

    code = new_code()
    settings = load_settings()
    with command_registry(settings) as registry, registry.write() as session:
        person = people.person_by_login(session, CONSOLE, login)
        if person is None or person.disabled_ms is not None:
            raise _nobody(login)
        people.create_invitation(
            session,
            CONSOLE,
            code_hash=digest(code),
            person_id=person.id,
            expires_ms=now_ms() + round(hours * 3_600_000),
            uses_left=uses or None,
        )
    typer.echo(f"{settings.address.rstrip('/')}/#join={code}")


@user.command("list")
def list_() -> None:
    """List everybody: login, name, farms and roles."""
    from collectors.registry import people

    with command_registry() as registry, registry.read() as session:
        everybody = people.list_people(session, CONSOLE)
        roles: dict[int, list[str]] = {}
        for row in people.list_roles(session, CONSOLE):
            roles.setdefault(row.person_id, []).append(f"{row.site_id}:{row.role}")
    for person in everybody:
        marks = ["admin"] if person.is_admin else []
        marks += [] if person.password_hash else ["by invitation only"]
        if person.disabled_ms is not None:
            marks.append(f"disabled {datetime.fromtimestamp(person.disabled_ms / 1000, UTC):%Y-%m-%d}")
        typer.echo("\t".join([person.login, person.name, " ".join(roles.get(person.id, [])), ", ".join(marks)]))


@user.command()
def disable(
    login: Annotated[str, typer.Argument(help="The person's login")],
    undo: Annotated[bool, typer.Option("--undo", help="Let them in again")] = False,
) -> None:
    """Shut a person out, in every browser, at once."""
    from collectors.registry import people

    with command_registry() as registry, registry.write() as session:
        person = people.person_by_login(session, CONSOLE, login)
        if person is None:
            raise _nobody(login)
        people.set_disabled(session, CONSOLE, person.id, None if undo else now_ms())


def _nobody(login: str) -> typer.Exit:
    return wrong(f"nobody signs in as {login!r}; see `makiba user list`")


def _role(text: str) -> tuple[str, Role]:
    from collectors.registry.people import ROLES

    farm, _, role = text.rpartition(":")
    if not farm or role not in ROLES:
        raise wrong(f"--site {text}: expected SITE:ROLE with a role of {', '.join(ROLES)}")
    return farm, role


def _ask_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise wrong("the two are not the same")
    return password


@contextmanager
def command_registry(settings: Settings | None = None, *, migrate: bool = False) -> Iterator[Registry]:
    """The registry; only with `migrate` a new one is made, so that a mistyped home is noticed."""
    settings = settings or load_settings()
    password = settings.registry_password
    try:
        registry = open_registry(
            settings.registry_url, password=password.get_secret_value() if password else None, migrate=migrate
        )
        try:
            yield registry
        finally:
            registry.close()
    except RegistryError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2 if isinstance(error, RegistryMisconfigured) else 1) from None


def wrong(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(2)


def now_ms() -> int:
    return time.time_ns() // 1_000_000
