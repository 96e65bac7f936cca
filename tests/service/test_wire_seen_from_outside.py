"""What a gateway says, seen by a client and a reader that are not ours: `mosquitto_sub` and ten lines of RFC 8428."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.pki import authority
from tests.chaos.counting_meter import PROFILE, CountingMeter
from tests.parts import Broker, free_port, makiba, wait_until


def resolve(pack: list[dict[str, Any]]) -> list[tuple[str, float, Any, str | None]]:
    """(full name, time, value, unit) of each record: RFC 8428, section 4.6, by hand."""
    base: dict[str, Any] = {}
    rows = []
    for record in pack:
        assert set(record) <= {"bn", "bt", "bu", "bv", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut"}
        base.update({k: v for k, v in record.items() if k.startswith("b")})
        value = record["vs"] if "vs" in record else record["v"] + base.get("bv", 0)
        name = base.get("bn", "") + record.get("n", "")
        rows.append((name, base.get("bt", 0) + record.get("t", 0), value, record.get("u", base.get("bu"))))
    return rows


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[list[dict[str, Any]]]:
    """What an independent MQTT 5 client hears on every gateway's topics, as it arrives."""
    with Broker(tmp_path / "broker") as broker, CountingMeter(port := free_port()):
        (tmp_path / "counting-meter.yaml").write_text(PROFILE, encoding="utf-8")
        tls = broker.options("gw-1").tls
        assert tls
        (tmp_path / "gateway.yaml").write_text(
            f"""\
gateway: gw-1
site: shikaoi-001
mqtt: {{host: 127.0.0.1, port: {broker.port}, tls: {{ca: {tls.ca}, cert: {tls.cert}, key: {tls.key}}}}}
profiles: .
buses:
  meters:
    tcp: {{host: 127.0.0.1, port: {port}}}
    devices: [{{name: meter-1, profile: counting-meter, unit_id: 1, every: 200ms}}]
""",
            encoding="utf-8",
        )
        me = authority.issue(broker.pki, "collector")
        log = (tmp_path / "heard.jsonl").open("w+b")
        listener = subprocess.Popen(
            ["mosquitto_sub", "-V", "mqttv5", "-h", "127.0.0.1", "-p", str(broker.port), "-q", "1", "-F", "%j",
             "--cafile", str(broker.pki / "ca.pem"), "--cert", str(me.cert), "--key", str(me.key),
             "-t", "makiba/+/readings", "-t", "makiba/+/status"],
            stdout=log,
        )  # fmt: skip

        def messages() -> list[dict[str, Any]]:
            lines = Path(log.name).read_text(encoding="utf-8", errors="replace").splitlines()
            return [json.loads(line) for line in lines if line.endswith("}")]

        try:
            with makiba(
                "gateway", "run", "-c", str(tmp_path / "gateway.yaml"), log=tmp_path / "gateway.log"
            ) as gateway:
                wait_until(
                    lambda: len([m for m in messages() if m["topic"].endswith("readings")]) >= 5,
                    20,
                    lambda: f"five packs\n{gateway.log()}",
                )
                wait_until(lambda: any(m["topic"].endswith("status") for m in messages()), 5, "the status")
                yield messages()
        finally:
            listener.kill()
            listener.wait()
            log.close()


def test_an_independent_client_understands_what_a_gateway_says(heard: list[dict[str, Any]]) -> None:
    packs = [m for m in heard if m["topic"] == "makiba/gw-1/readings"]
    for message in packs:
        properties = message["properties"]
        assert properties["content-type"] == "application/senml+json"
        assert properties["payload-format-indicator"] == 1
        assert properties["user-properties"]["makiba-schema"] == "1"
        spool, number = properties["correlation-data"].split("/")
        assert len(spool) == 16
        assert int(number) >= 1
        assert message["qos"] == 1
        assert message["retain"] == 0
    rows = [row for m in packs for row in resolve(json.loads(m["payload"]))]
    numbers = [row for row in rows if row[0].endswith("/value")]
    assert {name for name, *_ in numbers} == {f"shikaoi-001/meter-1.p{i}/value" for i in range(10)}
    assert all(isinstance(value, float | int) and value >= 1 for _, _, value, _ in numbers)
    assert ("shikaoi-001/meter-1/state", "ok") in {(name, value) for name, _, value, _ in rows}
    assert len({m["properties"]["correlation-data"] for m in packs}) >= 3

    status = next(m for m in heard if m["topic"] == "makiba/gw-1/status")
    assert json.loads(status["payload"])["state"] == "online"
