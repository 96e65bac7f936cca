"""`makiba pki` and `makiba up`: keys and certificates, and the centre's services together on one machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Final

import typer

from deploy import supervise
from makiba.settings import Settings, load_settings

ASK_WEATHER_EVERY_S: Final = 600.0

pki = typer.Typer(help="Keys and certificates of gateways and services.", no_args_is_help=True)
up = typer.Typer(help="Collector, analytics and pages together on one machine.")

Folder = Annotated[
    Path | None, typer.Option("--folder", help="Folder of the authority; default: MAKIBA_PKI, else MAKIBA_HOME/pki")
]


@pki.command("init")
def pki_init(folder: Folder = None) -> None:
    """Make the authority, unless it is there already."""
    from deploy.pki import authority

    with _told():
        typer.echo(authority.init(folder or load_settings().pki_dir))


@pki.command("issue")
def pki_issue(
    name: Annotated[str, typer.Argument(help="broker, collector, analytics, api, or a gateway: gw-…")],
    host: Annotated[
        list[str] | None, typer.Option("--host", help="For the broker: a name or address it is reached by")
    ] = None,
    folder: Folder = None,
) -> None:
    """Issue a certificate, or show the one that is there while it is good."""
    from deploy.pki import authority

    with _told():
        issued = authority.issue(folder or load_settings().pki_dir, name, hosts=host or ())
    typer.echo(issued.cert)
    typer.echo(issued.key)


@pki.command("list")
def pki_list(folder: Folder = None) -> None:
    """What has been issued, and until when it is good."""
    from deploy.pki import authority

    for issued in authority.certificates(folder or load_settings().pki_dir):
        hosts = " ".join(issued.hosts)
        typer.echo(f"{issued.name:<24} until {issued.expires:%Y-%m-%d}  {hosts}".rstrip())


@up.callback(invoke_without_command=True)
def up_run(
    broker: Annotated[bool, typer.Option("--broker", help="Start Mosquitto too, with TLS and its ACL")] = False,
) -> None:
    """Run collector, analytics and pages until Ctrl-C; what dies is started again.

    The weather too, once a farm's file names a place of the weather service.
    """
    settings = load_settings()
    with _told():
        children = centre(settings, with_broker=broker)
    logs = settings.home / "logs"
    with supervise.stop_on_signals() as stop, supervise.Supervisor(children, logs=logs) as parts:
        told = False
        weather = Weather(settings)
        while not stop:
            parts.step()
            if told and weather.is_wanted():
                parts.add([weather.child])
            if not told and parts.is_ready("serve"):
                told = True
                typer.echo(f"Makiba: {settings.address}   (logs: {logs}; Ctrl-C stops)")
                subprocess.run(
                    makiba_command("user", "first-link", "--if-needed"), stdin=subprocess.DEVNULL, check=False
                )
            if not told and (name := parts.hopeless()):
                typer.echo(f"{name} does not start; the end of its log:\n{parts.tail(name)}", err=True)
                raise typer.Exit(2)
            time.sleep(supervise.TICK_S)


def centre(settings: Settings, *, with_broker: bool) -> list[supervise.Child]:
    """The centre's processes on the settings in force; issues the certificates that a broker of our own needs."""
    from deploy import broker as mosquitto
    from deploy.pki import authority

    env = dict(os.environ)
    health = f"http://{_reachable(settings.http_host)}:{settings.http_port}/api/v1/health"
    children = []
    if with_broker:
        for name in authority.SERVICES:
            authority.issue(settings.pki_dir, name)
        config = mosquitto.write_config(
            settings.home / "broker", pki=settings.pki_dir, port=settings.mqtt_port, host=settings.mqtt_host
        )
        reachable, port = _reachable(settings.mqtt_host), settings.mqtt_port
        children.append(
            supervise.Child(
                "broker",
                [mosquitto.program(), "-c", str(config)],
                env,
                ready=lambda: supervise.listens(port, reachable),
            )
        )
    else:
        _require_keys(settings)
    after = tuple(child.name for child in children)
    return [
        *children,
        supervise.Child("collect", makiba_command("collect"), _with_port(env, settings, 0), after),
        supervise.Child("watch", makiba_command("watch"), _with_port(env, settings, 1), after),
        supervise.Child(
            "serve",
            makiba_command("serve", "--no-first-link"),  # its console is a log; `up` says it
            _with_port(env, settings, 2),
            after,
            ready=lambda: supervise.answers(health),
        ),
        *(
            [supervise.Child("notify", makiba_command("notify"), _with_port(env, settings, 3))]
            if settings.tells
            else []
        ),
    ]


class Weather:
    """The weather's process, which is started once a farm names a place of the weather service.

    Whether one does, a command says that ends again: this process stays small, and opens no registry.
    """

    def __init__(self, settings: Settings) -> None:
        self.child = supervise.Child("weather", makiba_command("weather", "run"), dict(os.environ))
        self._log = settings.home / "logs" / "weather-places.log"
        self._asking: subprocess.Popen[bytes] | None = None
        self._ask_at = 0.0
        self._done = False

    def is_wanted(self) -> bool:
        """True once. Call it again and again; it asks every `ASK_WEATHER_EVERY_S`."""
        if self._done:
            return False
        if self._asking is None and time.monotonic() >= self._ask_at:
            self._ask_at = time.monotonic() + ASK_WEATHER_EVERY_S
            with self._log.open("wb") as log:
                self._asking = subprocess.Popen(
                    makiba_command("weather", "places"), stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
        if self._asking is not None and self._asking.poll() is not None:
            self._done = self._asking.returncode == 0
            self._asking = None
        return self._done


def _with_port(env: dict[str, str], settings: Settings, number: int) -> dict[str, str]:
    """`env` with a port of its own for the figures of the service `number`: on one machine they share none."""
    if settings.metrics_port == 0:
        return env
    return {**env, "MAKIBA_METRICS_PORT": str(settings.metrics_port + number)}


def _require_keys(settings: Settings) -> None:
    folder = settings.pki_dir
    names = ("collector", "analytics", "api")
    missing = [
        f
        for f in ("ca.pem", *(f"{n}.{kind}" for n in names for kind in ("pem", "key")))
        if not (folder / f).is_file()
    ]
    if missing:
        raise FileNotFoundError(
            f"{folder}: no {', '.join(missing)}; `makiba pki issue NAME` makes them, or copy them from where the "
            "broker is; `makiba up --broker` starts a broker of its own"
        )


def makiba_command(*arguments: str) -> list[str]:
    """The command line of `makiba …` with this very Python."""
    return [sys.executable, "-m", "makiba", *arguments]


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)


class _told:
    """Says what is wrong in one line and ends with exit code 2."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        from deploy.pki.authority import PkiError

        if isinstance(error, (PkiError, FileNotFoundError)):
            typer.echo(str(error), err=True)
            raise typer.Exit(2) from None
