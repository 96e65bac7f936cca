"""A town that can be hurt: gateways in namespaces of their own, broker, relay, two collectors, a small disk.

Every process is started by the thread that runs the town and dies with it (`setpriv --pdeathsig`), so that nothing is
left over however the town ends. What ends by itself is started again a second later, as systemd would, and noted.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlencode
from urllib.request import urlopen

from collectors.store import Store, open_store
from deploy import broker as mosquitto
from deploy.influx_wal import cut_torn_ends
from deploy.pki import authority
from gateway.hot import peek_hot
from tests.chaos.counting_meter import PROFILE, CountingMeter
from tests.chaos.network import BROKER_HOST, RELAY_HOST, Network, inside, started_in
from tests.parts import ROOT, listens, makiba, wait_until
from tests.service.influx_parts import TOKEN, Influxd, V2Door

PORT: Final = 8883
METER_PORT: Final = 5020
UNIT: Final = 1
STEPPED: Final = Path(__file__).parent / "stepped"
AGAIN_S: Final = 1.0
STARTS_IN_S: Final = 0.3
"""No Python process polls anything sooner after its start."""


@dataclass(slots=True)
class Ended:
    """A process that ended and was not killed by us."""

    name: str
    code: int
    at_s: float


@dataclass
class Part:
    """One process: its command, and what happened to it. Times are of the monotonic clock."""

    name: str
    command: list[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], object] = lambda: None
    wanted: bool = False
    deaths: list[list[float]] = field(default_factory=list)
    stops: list[list[float]] = field(default_factory=list)
    _popen: subprocess.Popen[bytes] | None = None
    _again_s: float = 0.0

    def start(self) -> None:
        self.wanted = True
        if self._popen is not None and self._popen.poll() is None:
            return
        self.before()
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, **self.env},
                cwd=ROOT,
            )  # fmt: skip
        if self.deaths and len(self.deaths[-1]) == 1:
            self.deaths[-1].append(time.monotonic() + STARTS_IN_S)

    def kill(self) -> None:
        self.wanted = False
        self.go_on()
        if self._popen is not None and self._popen.poll() is None:
            at_s = time.monotonic()
            self._popen.kill()
            self._popen.wait()
            if not self.deaths or len(self.deaths[-1]) == 2:
                self.deaths.append([at_s])

    def stop(self) -> None:
        """SIGSTOP."""
        if self._popen is not None and self._popen.poll() is None:
            self.stops.append([time.monotonic()])
            self._popen.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT, if it was stopped."""
        if self.stops and len(self.stops[-1]) == 1:
            if self._popen is not None and self._popen.poll() is None:
                self._popen.send_signal(signal.SIGCONT)
            self.stops[-1].append(time.monotonic())

    def look_after(self) -> Ended | None:
        """Starts it again when it ended by itself a while ago; tells of it once."""
        if not self.wanted or self._popen is None or self._popen.poll() is None:
            return None
        now_s = time.monotonic()
        if not self._again_s:
            self._again_s = now_s + AGAIN_S
            self.deaths.append([now_s])
            return Ended(self.name, self._popen.returncode, now_s)
        if now_s >= self._again_s:
            self._again_s = 0.0
            self.start()
        return None


class Town:
    """The parts by name: `gw-0` …, `broker`, `relay`, `collector-1`, `collector-2`, perhaps `influxd`.

    To be used by a thread inside the hub's namespace. `store` is `sqlite`, `influx1` or `influx2`.
    """

    def __init__(self, folder: Path, network: Network, store: str, disk_mb: int) -> None:
        self.folder, self.network, self.kind = folder, network, store
        self.disk = folder / "disk"
        self.home = self.disk / "home"
        self.delay = folder / "delay"
        self.gateways = [f"gw-{number}" for number in range(len(network.gateways))]
        self.sites = {gateway: f"town-{number + 100}" for number, gateway in enumerate(self.gateways)}
        self.meters: dict[str, CountingMeter] = {}
        self.parts: dict[str, Part] = {}
        self.ended: list[Ended] = []
        self._disk_mb = disk_mb
        self._influx: Influxd | None = None
        self._door: V2Door | None = None
        self.store_url = f"sqlite:{self.home}/store.db"

    # ------------------------------------------------------------------------------------------ building it

    def __enter__(self) -> Town:
        self.disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self._disk_mb}m", "town", self.disk], check=True)
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _build(self) -> None:
        self.home.mkdir()
        self.delay.write_text("0")
        pki = self.folder / "pki"
        authority.issue(pki, authority.BROKER, hosts=(BROKER_HOST, RELAY_HOST))
        for name in (*authority.SERVICES, *self.gateways):
            authority.issue(pki, name)
        config = mosquitto.write_config(self.folder / "broker", pki=pki, port=PORT, host=BROKER_HOST)
        self._add("broker", [mosquitto.program(), "-c", str(config)])
        relay = ["-m", "tests.chaos.relay", RELAY_HOST, str(PORT), BROKER_HOST, str(PORT), str(self.delay)]
        self._add("relay", [sys.executable, *relay])
        self._add_store()
        self._apply_sites(self.env(BROKER_HOST))
        for number, host in enumerate((BROKER_HOST, RELAY_HOST), 1):
            self._add(f"collector-{number}", [sys.executable, "-m", "makiba", "collect"], env=self.env(host))
        (self.folder / "counting-meter.yaml").write_text(PROFILE + "timeout: 1s\n", encoding="utf-8")
        for number, gateway in enumerate(self.gateways):
            self._add_gateway(number, gateway, pki)

    def env(self, host: str) -> dict[str, str]:
        """`MAKIBA_*` of a service that reaches the broker at `host`."""
        return {
            "MAKIBA_HOME": str(self.home), "MAKIBA_MQTT_HOST": host, "MAKIBA_MQTT_PORT": str(PORT),
            "MAKIBA_PKI": str(self.folder / "pki"), "MAKIBA_STORE": self.store_url,
            **({"MAKIBA_STORE_TOKEN": TOKEN} if self.kind == "influx2" else {}),
        }  # fmt: skip

    def _add(self, name: str, command: list[str], env: Mapping[str, str] | None = None, namespace: str = "") -> None:
        hold = ["setpriv", "--pdeathsig", "KILL", "--"]
        whole = [*(inside(namespace) if namespace else []), *hold, *command]
        self.parts[name] = Part(name, whole, self.folder / f"{name}.log", env or {})

    def _add_store(self) -> None:
        if self.kind == "sqlite":
            return
        self._influx = Influxd(self.disk / "influx")
        self.store_url = self._influx.url
        self._add("influxd", self._influx.process.command)
        self.parts["influxd"].before = lambda: cut_torn_ends(self.disk / "influx")
        if self.kind == "influx2":
            self._door = V2Door(self._influx.port)
            self._door.__enter__()
            self.store_url = self._door.url

    def _apply_sites(self, env: Mapping[str, str]) -> None:
        files = []
        for gateway, site in self.sites.items():
            files.append(self.folder / f"{site}.yaml")
            files[-1].write_text(
                f"site: {site}\nname: {{ja: 試験牧場, en: Test farm}}\ngateways: [{gateway}]\n"
                "places: [{id: barn-1, kind: barn, name: {ja: 牛舎, en: Barn}}]\n",
                encoding="utf-8",
            )
        apply = makiba("site", "apply", *map(str, files), log=self.folder / "apply.log", env=env).start()
        assert apply.wait(120) == 0, apply.log()

    def _add_gateway(self, number: int, gateway: str, pki: Path) -> None:
        home = self.folder / gateway
        home.mkdir()
        (home / "offset").write_text("0")
        host = RELAY_HOST if number % 4 == 3 else BROKER_HOST
        file = home / "gateway.yaml"
        file.write_text(
            f"gateway: {gateway}\nsite: {self.sites[gateway]}\n"
            f"mqtt: {{host: {host}, port: {PORT}, "
            f"tls: {{ca: {pki}/ca.pem, cert: {pki}/{gateway}.pem, key: {pki}/{gateway}.key}}}}\n"
            f"profiles: ..\nspool: {{path: spool.db, max_mb: 64, force_every: 10s, hot: spool.hot}}\n"
            f"buses:\n  meters:\n    tcp: {{host: 127.0.0.1, port: {METER_PORT}}}\n"
            f"    devices: [{{name: meter, profile: counting-meter, unit_id: {UNIT}, every: 1s}}]\n",
            encoding="utf-8",
        )
        run = [sys.executable, "-m", "makiba", "gateway", "run", "-c", str(file)]
        clock = {"PYTHONPATH": str(STEPPED), "TOWN_CLOCK": str(home / "offset")}
        namespace = self.network.gateways[number]
        self._add(gateway, run, clock, namespace)
        self.meters[gateway] = started_in(namespace, lambda: CountingMeter(METER_PORT).__enter__())

    def __exit__(self, *_: object) -> None:
        try:
            for part in self.parts.values():
                part.kill()
            for meter in self.meters.values():
                meter.__exit__()
            if self._door:
                self._door.__exit__()
        finally:
            subprocess.run(["umount", "--lazy", self.disk], check=False)

    # ------------------------------------------------------------------------------------------ living

    def start(self) -> None:
        for part in self.parts.values():
            part.start()
        if self._influx and self._door:
            self._make_bucket(self._influx.port)

    def _make_bucket(self, port: int) -> None:
        """A bucket is made by whoever gives out the token."""
        wait_until(lambda: listens(port), 60, "influxd listens")
        query = urlencode({"q": "CREATE DATABASE makiba"}).encode()
        with urlopen(f"http://127.0.0.1:{port}/query", query, timeout=30) as answer:
            assert answer.status == 200

    def look_after(self) -> None:
        """Starts again what ended by itself."""
        for part in self.parts.values():
            if ended := part.look_after():
                self.ended.append(ended)

    def open_store(self) -> Store:
        return open_store(self.store_url, token=TOKEN if self.kind == "influx2" else None)

    def served(self, gateway: str) -> list[tuple[int, float]]:
        """(number, monotonic time) of each answer of a gateway's meter."""
        return list(self.meters[gateway].served.get(UNIT, ()))

    def waiting(self) -> dict[str, int]:
        """Readings in each gateway's spool that is not empty."""
        found = {}
        for gateway in self.gateways:
            state = peek_hot(self.folder / gateway / "spool.hot")
            count = sum(b.readings for b in state.batches.values()) if state else 0
            with (
                suppress(sqlite3.OperationalError),
                closing(sqlite3.connect(f"file:{self.folder / gateway}/spool.db?mode=ro", uri=True)) as db,
            ):
                count += db.execute("SELECT coalesce(sum(readings), 0) FROM batch").fetchone()[0]
            if count:
                found[gateway] = count
        return found

    # ------------------------------------------------------------------------------------------ the disk

    def fill_disk(self) -> None:
        """Not a byte is left for anybody."""
        with (self.disk / "filler").open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                with suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass

    def free_disk(self) -> None:
        """There is room again. InfluxDB 1.x takes no write any more until it is started again (its own defect)."""
        (self.disk / "filler").unlink(missing_ok=True)
        if (influxd := self.parts.get("influxd")) and influxd.wanted:
            influxd.kill()
            influxd.start()

    def make_read_only(self) -> None:
        """Nobody who opens the store from now on can write; who has it open can (chattr +i)."""
        self._chattr("+i")

    def make_writable(self) -> None:
        self._chattr("-i")

    def _chattr(self, mode: str) -> None:
        if files := [str(f) for f in (self.home / "store.db", self.home / "store.db-wal") if f.exists()]:
            subprocess.run(["chattr", mode, *files], check=False, capture_output=True)
