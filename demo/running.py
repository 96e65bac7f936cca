"""A demo from its first process to its last: the simulated farm, a broker with TLS, gateway, centre and pages.

Guarantees: one address is said, once the pages answer; whatever was started is ended when this ends, however that
happens; nothing listens beyond this machine; no setting of the person's own installation reaches it. Certificates,
broker, gateway and services are the ones a farm has; only the instruments and the faults are simulated.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import yaml

from demo import faults, influx
from demo.farm import BARN_TTY, MAST_TTY
from demo.home import Home, free_port
from demo.physics import Season
from deploy import broker as mosquitto
from deploy.cli import makiba_command
from deploy.pki import authority
from deploy.supervise import TICK_S, Child, Stop, Supervisor, answers, listens
from makiba.settings import PREFIX, Settings, configs_dir, load_settings

FILES: Final = configs_dir() / "sites" / "demo"
POWER_CUT: Final = "gateway-power-cut"
START_WITHIN_S: Final = 90.0
RENEW_EVERY_S: Final = 3600.0
LOOK_AT_FAULTS_EVERY_S: Final = 0.2
ASK_EVERY_S: Final = 1.0

StoreKind = Literal["sqlite", "influx"]


class Scene(Protocol):
    """What is simulated: a farm's files, and the instruments that answer its gateway."""

    @property
    def gateway(self) -> str:
        """The gateway's id."""
        ...

    def prepare(self, home: Home, tcp_port: int) -> dict[str, Any]:
        """Writes what it needs into `home.folder` and gives the gateway's file without `mqtt` and `spool`."""
        ...

    def site_file(self, home: Home) -> Path:
        """The farm's file."""
        ...

    def instruments(self, home: Home, tcp_port: int, env: Mapping[str, str]) -> Child:
        """The process of the simulated instruments."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """What to run, and where. Without `pages` nobody looks on: no pages, no judging."""

    home: Home
    scene: Scene
    store: StoreKind
    http_port: int
    mqtt_port: int
    pages: bool = True


@dataclass(frozen=True, slots=True)
class FarmScene:
    """The demo's farm in a season."""

    season: Season
    gateway: str = "gw-demo"

    def prepare(self, home: Home, tcp_port: int) -> dict[str, Any]:
        for stale in (home.folder / BARN_TTY, home.folder / MAST_TTY):
            stale.unlink(missing_ok=True)
        data: dict[str, Any] = yaml.safe_load((FILES / "gateway.yaml").read_text(encoding="utf-8"))
        data["buses"]["barn"]["rtu"]["port"] = str(home.folder / BARN_TTY)
        data["buses"]["weather"]["nmea"]["port"] = str(home.folder / MAST_TTY)
        data["buses"]["tank-room"]["tcp"]["port"] = tcp_port
        return data

    def site_file(self, home: Home) -> Path:
        del home
        return FILES / "site.yaml"

    def instruments(self, home: Home, tcp_port: int, env: Mapping[str, str]) -> Child:
        lines = (home.folder / BARN_TTY, home.folder / MAST_TTY)
        command = [sys.executable, "-m", "demo.farm", "--folder", str(home.folder), "--tcp-port", str(tcp_port)]
        return Child(
            "farm", [*command, "--season", self.season], env,
            ready=lambda: all(line.is_symlink() for line in lines) and listens(tcp_port),
        )  # fmt: skip


class StartFailed(Exception):
    """A part does not come up; the text has the end of its log."""


def run(
    options: Options, stop: Stop, say: Callable[[str], None], done: Callable[[Settings], bool] = lambda _: False
) -> None:
    """Runs the demo until `stop`, or until `done` (asked once a second) says so.

    `say` gets the address once the pages answer; without pages '' once the broker does. Raises `DemoRuns`,
    `StartFailed`, `FileNotFoundError` (a program is not installed).
    """
    home = options.home
    with home.taken():
        plan = _Plan(options)
        with Supervisor(plan.ground(), logs=home.logs) as parts:
            parts.step()  # they come up while the registry is made ready
            from demo.visitor import Visitor  # here, because it takes as long as the broker to start

            with Visitor(plan.settings, options.scene.site_file(home)) as visitor:
                plan.wait_for_store(parts, stop)
                parts.add(plan.services())
                _until(parts, stop, lambda: parts.is_ready(*plan.awaited), plan.awaited[-1])
                if not stop:
                    address = f"{plan.settings.address}/#join={visitor.code}" if options.pages else ""
                    home.say_running(
                        {
                            "address": address,
                            "pid": os.getpid(),
                            "ports": plan.ports(),
                            "store": plan.settings.store_url,
                        }
                    )
                    say(address)
                    _attend(parts, home, stop, visitor.renew, lambda: done(plan.settings))
                home.running_file.unlink(missing_ok=True)


def _attend(parts: Supervisor, home: Home, stop: Stop, renew: Callable[[], None], done: Callable[[], bool]) -> None:
    """Looks after the parts, and cuts the gateway's power while that fault is on."""
    watched = faults.Watched(home.faults)
    is_cut, look_at, ask_at, renew_at = False, 0.0, 0.0, time.monotonic() + RENEW_EVERY_S
    while not stop:
        parts.step()
        now = time.monotonic()
        if now >= look_at:
            look_at = now + LOOK_AT_FAULTS_EVERY_S
            cut = POWER_CUT in watched.now().on
            if cut != is_cut:
                (parts.cut if cut else parts.release)("gateway")
                is_cut = cut
        if now >= ask_at:
            ask_at = now + ASK_EVERY_S
            if done():
                return
        if now >= renew_at:
            renew_at = now + RENEW_EVERY_S
            renew()
        time.sleep(TICK_S)


def _until(parts: Supervisor, stop: Stop, condition: Callable[[], bool], name: str) -> None:
    """Returns when `condition` holds or somebody asks to stop; `StartFailed` when it will not come to that."""
    deadline = time.monotonic() + START_WITHIN_S
    while not stop and not condition():
        parts.step()
        dead = parts.hopeless()
        if dead or time.monotonic() > deadline:
            raise StartFailed(f"{dead or name} does not start; the end of its log:\n{parts.tail(dead or name)}")
        time.sleep(TICK_S)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log)"


class _Plan:
    """The demo's files and processes."""

    def __init__(self, options: Options) -> None:
        self._options = options
        home = options.home
        self._tcp_port = free_port()
        self._influx_ports = (free_port(), free_port()) if options.store == "influx" else None
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
        self.env |= {
            "PYTHONUNBUFFERED": "1",
            "MAKIBA_HOME": str(home.path),
            "MAKIBA_HTTP_PORT": str(options.http_port),
            "MAKIBA_MQTT_PORT": str(options.mqtt_port),
        }
        if self._influx_ports:
            self.env["MAKIBA_STORE"] = influx.store_url(self._influx_ports[0])
        self.settings: Settings = load_settings(self.env)
        self.awaited = ("broker", "serve") if options.pages else ("broker",)
        for name in (*authority.SERVICES, options.scene.gateway):
            authority.issue(home.pki, name)
        faults.clear(home.faults)
        for stale in home.logs.glob("*.log"):
            stale.unlink(missing_ok=True)
        self._broker_config = mosquitto.write_config(home.path / "broker", pki=home.pki, port=options.mqtt_port)
        _write_gateway_file(home, options, options.scene.prepare(home, self._tcp_port))

    def ports(self) -> dict[str, int]:
        return {"http": self._options.http_port, "mqtt": self._options.mqtt_port, "modbus": self._tcp_port}

    def ground(self) -> list[Child]:
        """What needs nothing before it: the pages (they take longest), broker, instruments, perhaps InfluxDB."""
        home, mqtt_port = self._options.home, self._options.mqtt_port
        broker = [mosquitto.program(), "-c", str(self._broker_config)]
        health = f"{self.settings.address}/api/v1/health"
        children = [
            Child("broker", broker, self.env, ready=lambda: listens(mqtt_port)),
            self._options.scene.instruments(home, self._tcp_port, self.env),
        ]
        if self._options.pages:
            pages = [sys.executable, "-m", "demo.web"]
            children.insert(0, Child("serve", pages, self.env, ready=lambda: answers(health)))
        if self._influx_ports:
            children.append(influx.child(home.path / "influx", *self._influx_ports))
        return children

    def services(self) -> list[Child]:
        """Those that need the farm in the registry: the gateway, and what takes and judges its readings."""
        gateway = makiba_command("gateway", "run", "-c", str(self._options.home.gateway_file))
        instruments = self._options.scene.instruments(self._options.home, self._tcp_port, self.env).name
        log = self._options.home.logs / "collect.log"
        # A broker drops what nobody listens to, and the gateway sends it again after ten seconds only.
        children = [
            Child(
                "collect", makiba_command("collect"), self.env, ("broker",), ready=lambda: ": connected" in tail(log)
            ),
            Child("gateway", gateway, self.env, after=("broker", "collect", instruments)),
        ]
        if self._options.pages:
            children.append(Child("watch", makiba_command("watch"), self.env, after=("broker",)))
            if self.settings.tells:
                children.append(Child("notify", makiba_command("notify"), self.env))
        return children

    def wait_for_store(self, parts: Supervisor, stop: Stop) -> None:
        """InfluxDB answers and has a database; nothing to do for SQLite."""
        if self._influx_ports:
            _until(parts, stop, lambda: parts.is_ready("influx"), "influx")
            if not stop:
                influx.create_database(self._influx_ports[0])


def _write_gateway_file(home: Home, options: Options, data: dict[str, Any]) -> None:
    """The scene's gateway file with this demo's broker and keys."""
    data["mqtt"] = {
        "host": "127.0.0.1",
        "port": options.mqtt_port,
        "tls": {
            "ca": str(home.pki / "ca.pem"),
            "cert": str(home.pki / f"{data['gateway']}.pem"),
            "key": str(home.pki / f"{data['gateway']}.key"),
        },
    }
    text = "# Written by makiba demo.\n" + yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    temp = home.gateway_file.with_suffix(".new")
    temp.write_text(text, encoding="utf-8")
    os.replace(temp, home.gateway_file)
