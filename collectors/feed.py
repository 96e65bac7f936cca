"""The committed feed: what was stored, published on `makiba-stored/<shard>` after the commit. A hint, QoS 0.

A message is JSON and says so. A JSON pack of which nothing was refused goes out as it came; one that came as CBOR,
or of which something was refused, is spelled anew. Packs of one commit and shard that are plain JSON and stand alone
(see `plain.Plain`) go together in one array, up to `TOGETHER_BYTES`, since a message costs the broker and each of its
readers more than the records in it. The readings in a message are always whole packs, each of one farm.

User properties name the packs of a message in their order: `gateway` and `batch`, once each per pack. A message of
one pack has its batch as correlation data too. What does not fit into a packet is left out: whoever reads the feed
fills such a hole from the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from collectors.judge import Outcome
from collectors.quick_paho import publish_packet
from makiba import topics
from makiba.reading import Reading
from makiba.senml import CONTENT_TYPE_JSON, encode_json
from makiba.wire import CONTENT_ENCODING, MAX_PACK_BYTES, SCHEMA, Payload, pack_payload

TOGETHER_BYTES: Final = 32 * 1024
TOGETHER_PACKS: Final = 64

_JSON: Final = CONTENT_TYPE_JSON.encode()
_ENCODING: Final = CONTENT_ENCODING.encode()
_SCHEMA: Final = (SCHEMA[0].encode(), SCHEMA[1].encode())


@dataclass(frozen=True, slots=True)
class Fed:
    """A part of the feed: the packs in `names` (gateway, batch), and their records as they are published."""

    topic: bytes
    data: bytes
    encoding: bytes | None
    names: Sequence[tuple[bytes, bytes]]


def feed_packets(outcomes: Iterable[Outcome]) -> Iterator[bytes]:
    """The feed's packets about `outcomes`, ready to be sent."""
    for fed in feed_of_outcomes(outcomes):
        yield packet_of(fed)


def feed_of_outcomes(outcomes: Iterable[Outcome]) -> Iterator[Fed]:
    """What the feed says about `outcomes`."""
    together: dict[bytes, list[tuple[bytes, tuple[bytes, bytes]]]] = {}
    sizes: dict[bytes, int] = {}
    for outcome in outcomes:
        one, pack = outcome.judged, outcome.judged.pack
        if one.end == one.start:
            continue
        topic = topics.stored_topic(one.columns.series[one.start].site).encode()
        name = (pack.gateway.encode(), pack.correlation if one.has_batch else b"")
        data = pack.payload
        plain = one.plain
        if plain is None:
            packed = pack_payload(encode_json(outcome.stored), deflate=False)
            yield from _alone(topic, packed, name)
        elif pack.content_encoding or not plain.stands_alone or data[:1] != b"[" or data[-1:] != b"]":
            encoding = (pack.content_encoding or "").encode() or None
            yield Fed(topic, data, encoding, (name,))
        else:
            waiting = together.setdefault(topic, [])
            size = sizes.get(topic, 0) + len(data)
            if waiting and (size > TOGETHER_BYTES or len(waiting) == TOGETHER_PACKS):
                yield _joined(topic, waiting)
                together[topic], size = (waiting := []), len(data)
            waiting.append((data, name))
            sizes[topic] = size
    for topic, waiting in together.items():
        yield _joined(topic, waiting)


def feed_of_readings(gateway: str, readings: Sequence[Reading]) -> Iterator[bytes]:
    """The feed's packet about readings that came in no pack."""
    topic = topics.stored_topic(readings[0].series.site).encode()
    packed = pack_payload(encode_json(readings), deflate=False)
    for fed in _alone(topic, packed, (gateway.encode(), b"")):
        yield packet_of(fed)


def _alone(topic: bytes, packed: Payload, name: tuple[bytes, bytes]) -> Iterator[Fed]:
    encoding = dict(packed.user_properties).get(CONTENT_ENCODING)
    if len(packed.data) <= MAX_PACK_BYTES:
        yield Fed(topic, packed.data, encoding.encode() if encoding else None, (name,))


def _joined(topic: bytes, waiting: Sequence[tuple[bytes, tuple[bytes, bytes]]]) -> Fed:
    names = [name for _, name in waiting]
    if len(waiting) == 1:
        return Fed(topic, waiting[0][0], None, names)
    return Fed(topic, b"[%b]" % b",".join([data[1:-1] for data, _ in waiting]), None, names)


def packet_of(fed: Fed) -> bytes:
    user = [_SCHEMA]
    if fed.encoding:
        user.append((_ENCODING, fed.encoding))
    for gateway, batch in fed.names:
        user.append((b"gateway", gateway))
        user.append((b"batch", batch))
    correlation = fed.names[0][1] if len(fed.names) == 1 else b""
    return publish_packet(fed.topic, fed.data, content_type=_JSON, correlation=correlation, user=user)
