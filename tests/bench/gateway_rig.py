"""A gateway process under measurement: real broker, a collector that only acknowledges, a bus in a third process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from makiba import topics
from makiba.mqtt import MqttOptions, connect_properties, new_client
from makiba.reading import Reading
from makiba.senml import parse_json, readings_of
from makiba.wire import Ack, unpack_payload
from tests.chaos.faulty_server import FaultyServer
from tests.chaos.faulty_units import POINTS, Asked
from tests.parts import Broker, Process, makiba, wait_until

SITE, GATEWAY = "shikaoi-002", "gw-bench"


class AckingCollector:
    """Answers every batch at once and looks at nothing; what came is taken apart afterwards."""

    def __init__(self, options: MqttOptions) -> None:
        self.came: list[tuple[float, bytes, str | None]] = []
        self._ready = threading.Event()
        self._client = new_client(options, "collector")
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.connect(options.host, options.port, clean_start=True, properties=connect_properties())
        self._client.loop_start()
        self._client.subscribe(topics.all_gateways(topics.READINGS), 1)
        assert self._ready.wait(5)

    def _on_message(self, client: Any, _userdata: Any, message: Any) -> None:
        now_s = time.time()
        properties = dict(message.properties.UserProperty) if hasattr(message.properties, "UserProperty") else {}
        ack = Ack(batch=message.properties.CorrelationData.decode(), stored=1, time_ms=int(now_s * 1000))
        client.publish(topics.gateway_topic(GATEWAY, topics.ACK), ack.to_bytes(), qos=1)
        self.came.append((now_s, message.payload, properties.get("content-encoding")))

    def readings(self) -> Iterator[tuple[float, Reading]]:
        """Each reading once, with the time at which it came."""
        seen: set[tuple[Any, int]] = set()
        for at_s, payload, encoding in list(self.came):
            taken, refused = readings_of(parse_json(unpack_payload(payload, encoding)), at_s)
            assert not refused, refused
            for _, reading in taken:
                if (key := (reading.series, reading.time_ms)) not in seen:
                    seen.add(key)
                    yield at_s, reading

    def subjects(self) -> set[str]:
        """Whose values came."""
        return {r.series.subject for _, r in self.readings() if r.series.quantity == "value"}

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def profile(stride: int, wide: bool, timeout: str = "1s") -> str:
    """Ten values; `stride` registers from one to the next."""
    kind = "uint32" if wide else "uint16"
    registers = "".join(
        f"  - {{channel: p{i}, quantity: value, table: holding, address: {i * stride}, type: {kind}}}\n"
        for i in range(POINTS)
    )
    return (
        f"driver: modbus\nnames: {{ja: 計器, en: Meter}}\ntimeout: {timeout}\nmax_gap: 8\n"
        "source: {trust: proposed, document: tests/bench/gateway_rig.py}\n"
        f"registers:\n{registers}"
    )


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a process: CPU seconds of all its threads so far, and its largest resident memory."""

    cpu_s: float
    peak_mib: float


def usage(pid: int) -> Usage:
    """From /proc; nanoseconds from the scheduler."""
    cpu_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        cpu_ns += int((task / "schedstat").read_text().split()[0])
    status = Path(f"/proc/{pid}/status").read_text()
    peak_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return Usage(cpu_ns / 1e9, peak_kb / 1024)


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: what was asked and what came between `begin_s` and `end_s` (wall clock)."""

    begin_s: float
    end_s: float
    asked: Sequence[Asked]
    values: Sequence[tuple[float, Reading]]
    states: Sequence[Reading]
    cpu_s: float
    peak_mib: float
    log: str

    @property
    def seconds(self) -> float:
        return self.end_s - self.begin_s

    @property
    def points_per_s(self) -> float:
        """Measured in the window, and come to the collector."""
        return self.points / self.seconds

    @property
    def points(self) -> int:
        return sum(self.begin_s <= r.time_ms / 1000 < self.end_s for _, r in self.values)

    @property
    def came(self) -> int:
        """Values that came in the window."""
        return sum(self.begin_s <= at_s < self.end_s for at_s, _ in self.values)

    @property
    def asked_in_window(self) -> list[Asked]:
        return [a for a in self.asked if self.begin_s <= a.time_s < self.end_s]


@dataclass(frozen=True, slots=True)
class Run:
    """What is to be measured. `kind` is `rtu`, `tcp` or `rtu-over-tcp`."""

    kind: str
    seconds: float
    every: str
    devices: int = 20
    stride: int = 1
    wide: bool = False
    faults: float = 0.0
    dead: tuple[int, ...] = ()
    late_s: float = 6.0
    seed: int = 1


def measure(folder: Path, broker: Broker, run: Run) -> Measured:
    """Starts bus and gateway, lets every live device be heard, and measures."""
    folder.mkdir(parents=True)
    (folder / "meter.yaml").write_text(profile(run.stride * (1 + run.wide), run.wide), encoding="utf-8")
    collector = AckingCollector(broker.options("collector"))
    with _bus(folder, run) as bus:
        with _gateway(folder, broker, run, bus.where) as gateway:
            live = run.devices - len(run.dead)
            wait_until(lambda: len(collector.subjects()) >= live * POINTS, 30, gateway.log, every_s=0.3)
            begin_s, before = time.time(), usage(gateway.pid)
            wait_until(lambda: time.time() >= begin_s + run.seconds, run.seconds + 5, every_s=0.01)
            end_s, after = time.time(), usage(gateway.pid)
            assert gateway.terminate(20) == 0, gateway.log()
            log = gateway.log()
        asked = bus.stop()
    collector.close()
    readings = list(collector.readings())
    values = [(at_s, r) for at_s, r in readings if r.series.quantity == "value"]
    states = [r for _, r in readings if r.series.quantity == "state"]
    return Measured(begin_s, end_s, asked, values, states, after.cpu_s - before.cpu_s, after.peak_mib, log)


def _bus(folder: Path, run: Run) -> FaultyServer:
    arguments = ["--faults", str(run.faults), "--late", str(run.late_s), "--seed", str(run.seed)]
    arguments += [] if run.wide else ["--narrow"]
    arguments += ["--dead", *map(str, run.dead)] if run.dead else []
    return FaultyServer(run.kind, folder, *arguments)


@contextmanager
def _gateway(folder: Path, broker: Broker, run: Run, where: str) -> Iterator[Process]:
    options = broker.options(GATEWAY)
    tls = options.tls
    assert tls
    wire = {
        "rtu": f"rtu: {{port: {where}, baud: 9600}}",
        "tcp": f"tcp: {{host: 127.0.0.1, port: {where}}}",
        "rtu-over-tcp": f"tcp: {{host: 127.0.0.1, port: {where}, framing: rtu}}",
    }[run.kind]
    devices = "".join(
        f"      - {{name: meter-{u}, profile: meter, unit_id: {u}, every: {run.every}}}\n"
        for u in range(1, run.devices + 1)
    )
    file = folder / "gateway.yaml"
    file.write_text(
        f"gateway: {GATEWAY}\nsite: {SITE}\nprofiles: .\n"
        f"mqtt:\n  host: {options.host}\n  port: {options.port}\n"
        f"  tls: {{ca: {tls.ca}, cert: {tls.cert}, key: {tls.key}}}\n"
        f"spool: {{path: spool.db, force_every: 10s}}\nbuses:\n  line:\n    {wire}\n    devices:\n{devices}",
        encoding="utf-8",
    )
    with makiba("gateway", "run", "-c", str(file), log=folder / "gateway.log") as process:
        yield process
