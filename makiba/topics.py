"""MQTT topics: `makiba/<gateway>/<verb>` and the committed feed `makiba-stored/<shard>`.

The broker's ACL (`deploy/broker.py`) is one pattern per verb on the certificate's name, so that these words
are also the borders between gateways.
"""

from __future__ import annotations

import re
import zlib
from typing import Final

ROOT: Final = "makiba"
STORED_ROOT: Final = "makiba-stored"

READINGS: Final = "readings"
ACK: Final = "ack"
STATUS: Final = "status"
CONFIG: Final = "config"
CONFIG_REPORTED: Final = "config/reported"

GATEWAY_WRITES: Final = (READINGS, STATUS, CONFIG_REPORTED)
GATEWAY_READS: Final = (ACK, CONFIG)

GATEWAY_PATTERN: Final = r"^gw-[a-z0-9][a-z0-9-]{0,59}$"
_GATEWAY = re.compile(GATEWAY_PATTERN)

SHARDS: Final = 16
"""How many parts the committed feed has; a worker leases some of them."""

COLLECTORS_GROUP: Final = "collectors"


def gateway_topic(gateway: str, verb: str) -> str:
    """`makiba/<gateway>/<verb>`."""
    return f"{ROOT}/{gateway}/{verb}"


def gateway_of(topic: str, verb: str) -> str | None:
    """The gateway that published on `topic`, or None when it is not a topic of `verb`.

    Answers go to a topic derived from this, never to an address that a sender chose.
    """
    head, _, rest = topic.partition("/")
    gateway, _, found = rest.partition("/")
    return gateway if head == ROOT and found == verb and _GATEWAY.fullmatch(gateway) else None


def all_gateways(verb: str) -> str:
    """The filter for `verb` of every gateway."""
    return f"{ROOT}/+/{verb}"


def shared(group: str, topic_filter: str) -> str:
    """A shared subscription (MQTT 5, section 4.8.2): each message goes to one member of `group`."""
    return f"$share/{group}/{topic_filter}"


def shard_of(site: str) -> int:
    """The shard of the committed feed that carries `site`: 0..SHARDS-1, the same on every machine."""
    return zlib.crc32(site.encode()) % SHARDS


def stored_topic(site: str) -> str:
    """Where a pack of `site` is published once it is committed."""
    return f"{STORED_ROOT}/{shard_of(site)}"
