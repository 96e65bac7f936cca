"""Parts for tests of the collector: a registry with a farm, and gateways that speak real MQTT."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from collectors.registry import Registry, open_registry
from collectors.registry.sites import PlacementSpec, PlaceSpec, SiteSpec, apply_site
from collectors.registry.viewer import Service
from makiba import topics
from makiba.mqtt import MqttOptions, connect_properties, new_client
from makiba.reading import Reading, Series
from makiba.senml import CONTENT_TYPE_JSON, encode_json
from makiba.wire import Ack, BatchId, pack_payload
from tests.parts import wait_until

SITE, GATEWAY = "shikaoi-001", "gw-a"
CONSOLE = Service("console")
SPOOL = "00000000000000aa"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def farm(
    site: str = SITE, gateways: Sequence[str] = (GATEWAY,), placements: Sequence[PlacementSpec] = ()
) -> SiteSpec:
    places = (PlaceSpec("barn-1", "barn", "第1牛舎", "Barn 1"), PlaceSpec("tank", "tank-room", "処理室", "Tank room"))
    return SiteSpec(site, "鹿追1", "Shikaoi 1", gateways=tuple(gateways), places=places, placements=tuple(placements))


def registry_with(folder: Path, *specs: SiteSpec) -> Registry:
    """A registry in `folder` that knows `specs` (default: `farm()`)."""
    registry = open_registry(f"sqlite:{folder / 'registry.db'}", migrate=True)
    with registry.write() as session:
        for spec in specs or (farm(),):
            apply_site(session, CONSOLE, spec, now_ms())
    return registry


def readings(count: int, start_ms: int, site: str = SITE, subject: str = "barn-1-climate") -> list[Reading]:
    series = Series(site, subject, "air_temperature")
    return [Reading(series, start_ms + 1000 * i, 20.0 + i / 10) for i in range(count)]


def batch_id(number: int) -> bytes:
    return BatchId(SPOOL, number).to_bytes()


@dataclass
class Heard:
    """A message that came to a test's client."""

    topic: str
    payload: bytes
    properties: Any


@dataclass
class Talker:
    """A gateway, or any other client of the broker, as simple as can be."""

    options: MqttOptions
    name: str = GATEWAY
    heard: list[Heard] = field(default_factory=list)
    when_heard: Callable[[], object] = lambda: None

    def __enter__(self) -> Talker:
        return self.connect()

    def connect(self, *filters: str) -> Talker:
        ready = threading.Event()
        self.client = new_client(self.options, f"{self.name}-{time.time_ns()}")
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.on_message = self._keep
        self.client.connect(self.options.host, self.options.port, properties=connect_properties())
        self.client.loop_start()
        wait_until(self.client.is_connected, what=f"{self.name} is connected")
        self.client.subscribe([(f, _qos1()) for f in filters or (topics.gateway_topic(self.name, topics.ACK),)])
        assert ready.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _keep(self, _c: Any, _u: Any, message: paho.MQTTMessage) -> None:
        self.when_heard()
        self.heard.append(Heard(message.topic, bytes(message.payload), message.properties))

    def send(self, number: int, rows: Sequence[Reading], *, deflate: bool = False) -> None:
        packed = pack_payload(encode_json(rows), deflate=deflate)
        self.send_raw(packed.data, batch_id(number), user=packed.user_properties)

    def send_raw(
        self,
        data: bytes,
        correlation: bytes | None,
        *,
        user: Sequence[tuple[str, str]] = (),
        content_type: str = CONTENT_TYPE_JSON,
    ) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = content_type
        if correlation is not None:
            properties.CorrelationData = correlation
        if user:
            properties.UserProperty = list(user)
        topic = topics.gateway_topic(self.name, topics.READINGS)
        self.client.publish(topic, data, qos=1, properties=properties)

    def say(self, verb: str, data: bytes) -> None:
        self.client.publish(topics.gateway_topic(self.name, verb), data, qos=1, retain=True)

    def acks(self) -> dict[str, Ack]:
        """The answers heard so far, by batch."""
        return {ack.batch: ack for ack in (Ack.from_bytes(h.payload) for h in list(self.heard))}

    def ack_of(self, number: int, within_s: float = 5.0) -> Ack:
        key = batch_id(number).decode()
        wait_until(lambda: key in self.acks(), within_s, f"answer to batch {number}")
        return self.acks()[key]

    def is_unanswered(self, number: int, for_s: float) -> bool:
        """Whether no answer to this batch comes for so long."""
        key, until_s = batch_id(number).decode(), time.monotonic() + for_s
        while time.monotonic() < until_s:
            if key in self.acks():
                return False
            time.sleep(0.02)
        return True


def _qos1() -> Any:
    from paho.mqtt.subscribeoptions import SubscribeOptions

    return SubscribeOptions(qos=1)
