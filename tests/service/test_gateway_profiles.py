"""What a profile says of gates, texts and site constants, through a whole gateway and `makiba gateway read`."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyModbusTCP.server import DataBank, ModbusServer

from tests.parts import Broker, free_port, makiba, wait_until
from tests.service.gateway_parts import GATEWAY, Collector, gateway_file
from tests.service.test_gateway_cli import call, write


@contextmanager
def server(port: int) -> Iterator[DataBank]:
    bank = DataBank()
    running = ModbusServer("127.0.0.1", port, no_block=True, data_bank=bank)
    running.start()
    try:
        yield bank
    finally:
        running.stop()


def rki(bank: DataBank, state: int, gas: str, reading: float) -> None:
    """Channel 2 of the digester monitor: state, float, name."""
    bank.set_holding_registers(15, [state << 8, *struct.unpack(">HH", struct.pack(">f", reading))])
    bank.set_holding_registers(20, list(struct.unpack(">4H", gas.encode().ljust(8))))


def test_a_status_keeps_a_value_from_being_believed_and_a_text_arrives(tmp_path: Path) -> None:
    port = free_port()
    buses = (
        f"  gas:\n    tcp: {{host: 127.0.0.1, port: {port}}}\n    devices:\n"
        "      - {name: digester, profile: rki-digester, unit_id: 1, every: 100ms,\n"
        '         channels: {ch2: {quantity: methane, unit: "%"}}}\n'
    )
    with Broker() as broker, server(port) as bank:
        rki(bank, 3, "CH4", 55.0)  # warming up
        collector = Collector(broker.options("collector"))
        file = gateway_file(tmp_path, broker.options(GATEWAY), buses)
        with makiba("gateway", "run", "-c", str(file), log=tmp_path / "gateway.log") as gateway:
            collector.wait_for("digester.ch2", "state", "warm-up")
            collector.wait_for("digester.ch2", "gas_name", "CH4")
            assert collector.values("digester.ch2", "methane") == []
            rki(bank, 2, "CH4", 52.5)
            collector.wait_for("digester.ch2", "methane", 0.525)
            rki(bank, 4, "CH4", 10.0)
            collector.wait_for("digester.ch2", "state", "failed")
            wait_until(lambda: collector.values("digester.ch2", "state") == ["warm-up", "ok", "failed"], 5)
            assert set(collector.values("digester.ch2", "methane")) <= {0.525}
            assert gateway.terminate() == 0
        collector.close()


def test_read_explains_texts_gates_and_what_is_derived(tmp_path: Path) -> None:
    port = free_port()
    file = write(
        tmp_path,
        "gateway: gw-1\nsite: shikaoi-001\nmqtt: {port: 8883}\nbuses:\n"
        f"  silo:\n    tcp: {{host: 127.0.0.1, port: {port}}}\n    devices:\n"
        "      - {name: feed, profile: dfrobot-sen0676, unit_id: 1, every: 1min,\n"
        "         constants: {installation_height: 4.2 m, fill_by_distance: [[0.2, 100], [4.2, 0]]}}\n"
        "      - {name: digester, profile: rki-digester, unit_id: 2, every: 1min,\n"
        '         channels: {ch2: {quantity: methane, unit: "%"}}}\n',
    )
    with server(port) as bank:
        bank.set_holding_registers(1, [1700])
        rki(bank, 3, "CH4", 55.0)
        done = call("read", "-c", file, "feed")
        assert done.returncode == 0, done.stderr
        assert "feed level: 2.50 m   [from distance, installation_height]" in done.stdout
        assert "feed fill level: 62 %" in done.stdout
        done = call("read", "-c", file, "digester")
        assert "digester.ch2 gas name: CH4   [holding 20 (0x0014) ascii]" in done.stdout
        assert "digester.ch2 methane: no value (warm-up)" in done.stdout
