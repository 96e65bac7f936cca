"""A gateway process against pyModbusTCP's server and a talking mast, a real broker and a collector."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyModbusTCP.server import DataBank, ModbusServer

from tests.parts import Broker, free_port, makiba, wait_until
from tests.service.gateway_parts import GATEWAY, Collector, gateway_file
from tests.unit.test_gateway_nmea import framed

METER = {0x00: 201.3, 0x06: 2.5, 0x0C: 431.5, 0x12: 503.25, 0x1E: 0.86, 0x46: 50.0, 0x48: 12.5}


@contextmanager
def meter(port: int) -> Iterator[DataBank]:
    """An SDM120 behind a converter."""
    bank = DataBank()
    for address, value in METER.items():
        bank.set_input_registers(address, list(struct.unpack(">HH", struct.pack(">f", value))))
    server = ModbusServer("127.0.0.1", port, no_block=True, data_bank=bank)
    server.start()
    try:
        yield bank
    finally:
        server.stop()


def test_a_tcp_server_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    port = free_port()
    buses = (
        f"  power:\n    tcp: {{host: 127.0.0.1, port: {port}}}\n"
        "    devices: [{name: fan, profile: sdm120, unit_id: 1, every: 200ms}]\n"
    )
    with Broker() as broker:
        collector = Collector(broker.options("collector"))
        file = gateway_file(tmp_path, broker.options(GATEWAY), buses)
        with makiba("gateway", "run", "-c", str(file), log=tmp_path / "gateway.log") as gateway:
            collector.wait_for("fan", "state", "unreachable")
            collector.wait_for(f"{GATEWAY}.power", "state", "down")
            with meter(port):
                collector.wait_for("fan", "voltage", 201.3)
                collector.wait_for("fan", "power", 431.5)
                collector.wait_for("fan", "energy", 45_000_000.0)
                assert collector.values("fan", "state") == ["unreachable", "ok"]
            wait_until(lambda: collector.values("fan", "state")[-1] == "unreachable", 10)
            with meter(port) as bank:
                wait_until(lambda: collector.values("fan", "state")[-1] == "ok", 20)
                bank.set_input_registers(0, list(struct.unpack(">HH", struct.pack(">f", 198.7))))
                collector.wait_for("fan", "voltage", 198.7)
            assert gateway.terminate() == 0
        collector.close()


class Mast:
    """A pseudo-terminal on which a mast talks by itself."""

    def __init__(self) -> None:
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self.says: bytes = b""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._talk, daemon=True)
        self._thread.start()

    def _talk(self) -> None:
        while not self._stop.wait(0.1):
            for at in range(0, len(self.says), 7):  # in pieces, as serial lines do
                os.write(self.master, self.says[at : at + 7])
                time.sleep(0)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self.master)
        os.close(self._slave)


def test_a_mast_talks_and_falls_silent_and_talks_rubbish(tmp_path: Path) -> None:
    mast = Mast()
    mast.says = framed("WIMWV,90,R,1.3,M,A") + framed("WIMTA,-20.5,C")
    (tmp_path / "quick-mast.yaml").write_text(
        "driver: nmea\nnames: {ja: マスト, en: mast}\nsource: {trust: proposed, document: none}\ntimeout: 500ms\n"
        "values:\n  - {sentence: MTA, field: 1, quantity: air_temperature, sentinels: [999.9]}\n"
        "  - {sentence: MWV, field: 3, quantity: wind_speed}\n",
        encoding="utf-8",
    )
    buses = f"  weather:\n    nmea: {{port: {mast.port}}}\n    devices: [{{name: mast, profile: quick-mast}}]\n"
    with Broker() as broker:
        collector = Collector(broker.options("collector"))
        file = gateway_file(tmp_path, broker.options(GATEWAY), buses)
        file.write_text("profiles: .\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
        with makiba("gateway", "run", "-c", str(file), log=tmp_path / "gateway.log") as gateway:
            collector.wait_for("mast", "air_temperature", -20.5)
            collector.wait_for("mast", "wind_speed", 1.3)
            mast.says = framed("WIMTA,999.9,C")
            collector.wait_for("mast", "state", "sentinel")
            mast.says = b"$WIMTA,21.0,C*00\r\n"
            collector.wait_for("mast", "state", "crc")
            mast.says = b""
            collector.wait_for("mast", "state", "timeout")
            mast.says = framed("WIMTA,1.5,C")
            wait_until(lambda: collector.values("mast", "state")[-1] == "ok", 5)
            collector.wait_for("mast", "air_temperature", 1.5)
            assert gateway.terminate() == 0
        collector.close()
    mast.close()


def test_a_server_that_hangs_up_at_once_is_down_and_is_not_called_without_end(tmp_path: Path) -> None:
    """Converters that take one client only accept the next one and close."""
    calls: list[float] = []
    server = socket.create_server(("127.0.0.1", 0))

    def hang_up() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            calls.append(time.monotonic())
            connection.close()

    threading.Thread(target=hang_up, daemon=True).start()
    buses = (
        f"  power:\n    tcp: {{host: 127.0.0.1, port: {server.getsockname()[1]}}}\n"
        "    devices: [{name: fan, profile: sdm120, unit_id: 1, every: 100ms}]\n"
    )
    with Broker() as broker:
        collector = Collector(broker.options("collector"))
        file = gateway_file(tmp_path, broker.options(GATEWAY), buses)
        with makiba("gateway", "run", "-c", str(file), log=tmp_path / "gateway.log") as gateway:
            collector.wait_for(f"{GATEWAY}.power", "state", "down")
            collector.wait_for("fan", "state", "unreachable")
            wait_until(lambda: len(calls) >= 3, 10)
            assert calls[2] - calls[0] > 1.0
            assert gateway.terminate() == 0
        assert gateway.log().count("line is down") == 1
        collector.close()
    server.close()
