"""One gateway against Modbus servers written by others, at the same time."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.parts import Broker, makiba, wait_until
from tests.service.gateway_parts import GATEWAY, Collector, gateway_file
from tests.service.modbus_stacks import POINTS, free_ports, stacks

PROFILE = (
    "driver: modbus\nnames: {ja: 計器, en: Meter}\nsource: {trust: proposed, document: tests}\nregisters:\n"
    + "".join(f"  - {{channel: p{i}, quantity: value, address: {i}, type: uint16}}\n" for i in range(POINTS))
)


def test_servers_of_five_makers_are_read_alike(tmp_path: Path) -> None:
    present = {name: stack for name, stack in stacks().items() if stack}
    assert len(present) >= 4  # umodbus and libmodbus are tried where they are installed
    (tmp_path / "meter.yaml").write_text(PROFILE, encoding="utf-8")
    with ExitStack() as stack:
        buses = ""
        ports = free_ports(len(present))
        for place, (name, server) in enumerate(present.items()):
            where = stack.enter_context(server(1000 * (place + 1), ports[place]))
            devices = f"      - {{name: {name}, profile: meter, unit_id: 1, every: 200ms}}\n"
            if name.endswith("-rtu"):  # where a unit that is not there must not disturb
                devices += f"      - {{name: {name}-gone, profile: meter, unit_id: 9, every: 200ms}}\n"
            buses += f"  {name}:\n    {where}\n    devices:\n{devices}"
        broker = stack.enter_context(Broker())
        collector = Collector(broker.options("collector"))
        stack.callback(collector.close)
        file = gateway_file(tmp_path, broker.options(GATEWAY), buses)
        file.write_text("profiles: .\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
        with makiba("gateway", "run", "-c", str(file), log=tmp_path / "gateway.log") as gateway:
            for place, name in enumerate(present):
                for point in range(POINTS):
                    collector.wait_for(f"{name}.p{point}", "value", 1000 * (place + 1) + point)
                collector.wait_for(name, "state", "ok")
                if name.endswith("-rtu"):
                    collector.wait_for(f"{name}-gone", "state", "timeout")
            wait_until(lambda: all(len(collector.values(f"{n}.p9", "value")) >= 10 for n in present), 20)
            assert gateway.terminate() == 0, gateway.log()
        for place, name in enumerate(present):
            for point in range(POINTS):
                assert set(collector.values(f"{name}.p{point}", "value")) == {1000 * (place + 1) + point}
            assert collector.values(name, "state") == ["ok"]
