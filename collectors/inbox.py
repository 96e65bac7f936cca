"""What arrived from the broker and waits for the worker, and the pack in a message.

Bounded without a limit of its own: the broker sends at most Receive Maximum messages that are not acknowledged.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import paho.mqtt.client as paho

from collectors.ingest import Pack
from makiba import topics
from makiba.senml import CONTENT_TYPE_JSON
from makiba.wire import CONTENT_ENCODING


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message and the connection that it came on."""

    client: paho.Client
    message: paho.MQTTMessage
    received_ms: int


class Inbox:
    """What arrived and is not dealt with. Bounded by Receive Maximum, and by `limit` for what comes with QoS 0."""

    def __init__(self, limit: int) -> None:
        self._items: deque[Arrived] = deque()
        self._changed = threading.Condition()
        self._limit = limit
        self._ended = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Arrived) -> None:
        with self._changed:
            if item.message.qos == 0 and len(self._items) >= self._limit:
                return  # nobody was promised anything: its gateway sends it again
            self._items.append(item)
            self._changed.notify()

    def forget(self) -> None:
        """Drops all: their connection is gone."""
        with self._changed:
            self._items.clear()

    def take(self, most: int) -> list[Arrived]:
        """Waits for something and gives up to `most`; an empty list when the inbox has ended and is empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._ended)
            return [self._items.popleft() for _ in range(min(most, len(self._items)))]

    def end(self) -> None:
        """What is in here is still given out; then `take` answers with nothing."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def pack_of(item: Arrived) -> Pack | None:
    """The pack in a message on a readings topic; None for any other topic."""
    message = item.message
    gateway = topics.gateway_of(message.topic, topics.READINGS)
    if gateway is None:
        return None
    properties = message.properties
    user = dict(getattr(properties, "UserProperty", []))
    return Pack(
        gateway=gateway,
        correlation=getattr(properties, "CorrelationData", b""),
        payload=bytes(message.payload),
        received_ms=item.received_ms,
        content_type=getattr(properties, "ContentType", CONTENT_TYPE_JSON),
        content_encoding=user.get(CONTENT_ENCODING),
    )
