"""The committed feed without a broker: what a collector publishes about what it stored, and what its readers read."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from paho.mqtt import _packet
from paho.mqtt.client import MQTTMessage, MQTTv5
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from collectors.feed import feed_packets
from collectors.ingest import Ingest
from collectors.judge import Pack
from collectors.quick_paho import frame
from collectors.registry.sources import add_http
from collectors.store import open_store
from makiba import topics
from makiba.link import message_of, readings_in
from makiba.reading import Reading
from makiba.senml import CONTENT_TYPE_CBOR, CONTENT_TYPE_JSON, encode_cbor, encode_json
from tests.service.collecting import CONSOLE, GATEWAY, SITE, batch_id, now_ms, readings, registry_with

SOURCE = "src-partner"


@pytest.fixture
def ingest(tmp_path: Path) -> Iterator[Ingest]:
    registry, store = registry_with(tmp_path), open_store(f"sqlite:{tmp_path / 'store.db'}")
    with registry.write() as session:
        add_http(session, CONSOLE, SOURCE, SITE, "Partner", now_ms())
    yield Ingest(registry, store)
    store.close()
    registry.close()


def message(topic: bytes, payload: bytes, properties: Properties | None) -> MQTTMessage:
    made = MQTTMessage(topic=topic)
    made.payload, made.properties = payload, properties
    return made


def fed(ingest: Ingest, packs: Sequence[Pack]) -> list[Reading]:
    """What readers of the feed read after `packs` were committed."""
    found: list[Reading] = []
    for packet in feed_packets(ingest.take(packs)):
        start, _ = frame(packet, 0)
        arrived = _packet.decode_publish(packet[0], packet[start:], MQTTv5)
        found += readings_in(message_of(message(arrived.topic, bytes(arrived.payload), arrived.properties)))
    return found


@pytest.mark.parametrize("sender", [GATEWAY, SOURCE])
@pytest.mark.parametrize("deflate", [False, True])
def test_a_pack_that_came_as_cbor_is_read_from_the_feed(ingest: Ingest, sender: str, deflate: bool) -> None:
    rows = readings(3, now_ms() - 5_000)
    plain = encode_cbor(rows)
    data, encoding = (zlib.compress(plain), "deflate") if deflate else (plain, None)
    pack = Pack(sender, batch_id(1), data, now_ms(), CONTENT_TYPE_CBOR, encoding)
    beside = Pack(GATEWAY, batch_id(2), encode_json(more := readings(2, now_ms() - 9_000, subject="x")), now_ms())
    assert sorted(fed(ingest, [pack, beside]), key=str) == sorted(rows + more, key=str)


@pytest.mark.parametrize("kind", [CONTENT_TYPE_JSON, CONTENT_TYPE_CBOR, ""])
def test_a_reader_believes_the_content_type_that_is_stated(kind: str) -> None:
    """A collector of another version may forward CBOR; without a statement it is JSON."""
    rows = readings(3, now_ms() - 5_000)
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if kind:
        properties.ContentType = kind
    data = encode_cbor(rows) if kind == CONTENT_TYPE_CBOR else encode_json(rows)
    assert readings_in(message_of(message(topics.stored_topic(SITE).encode(), data, properties))) == rows
