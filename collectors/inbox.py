"""What arrived from the broker and waits for the worker, and the pack in a message.

Bounded without a limit of its own: the broker sends at most Receive Maximum messages that are not acknowledged.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from collectors.judge import Pack
from collectors.quick_paho import Arrived
from makiba import topics
from makiba.senml import CONTENT_TYPE_JSON

GATHER_S: Final = 0.04
"""Under load a commit begins this long after the one before at the earliest, or once `enough` packs wait. The first
pack after a pause never waits."""


class Inbox:
    """What arrived and is not dealt with. Bounded by Receive Maximum, and by `limit` for what comes with QoS 0."""

    def __init__(self, limit: int, enough: int = 1) -> None:
        self._items: deque[Arrived] = deque()
        self._changed = threading.Condition()
        self._limit = limit
        self._enough = enough
        self._wanted = 1
        self._next_s = 0.0
        self._ended = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, items: Sequence[Arrived]) -> None:
        with self._changed:
            for item in items:
                # A message with QoS 0 was promised to nobody: its gateway sends it again.
                if item.qos or len(self._items) < self._limit:
                    self._items.append(item)
            if len(self._items) >= self._wanted:
                self._changed.notify()

    def forget(self) -> None:
        """Drops all: their connection is gone."""
        with self._changed:
            self._items.clear()

    def take(self, most: int) -> list[Arrived]:
        """Waits for something and gives up to `most`; an empty list when the inbox has ended and is empty."""
        with self._changed:
            while True:
                self._wait(1, None)
                wait_s = self._next_s - time.monotonic()
                if wait_s > 0:
                    self._wait(self._enough, wait_s)
                if self._items or self._ended:  # what was being gathered may be forgotten meanwhile
                    break
            self._next_s = time.monotonic() + GATHER_S
            return [self._items.popleft() for _ in range(min(most, len(self._items)))]

    def _wait(self, wanted: int, within_s: float | None) -> None:
        self._wanted = wanted
        self._changed.wait_for(lambda: len(self._items) >= wanted or self._ended, within_s)

    def end(self) -> None:
        """What is in here is still given out; then `take` answers with nothing."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def pack_of(item: Arrived, gateway: str) -> Pack:
    """The pack in a message of `gateway`."""
    kind, encoding = item.content_type, item.content_encoding
    return Pack(
        gateway,
        item.correlation,
        item.payload,
        item.received_ms,
        CONTENT_TYPE_JSON if kind is None or kind == _JSON else kind.decode("utf-8", "replace"),
        None if encoding is None else encoding.decode("utf-8", "replace"),
        item.problem,
    )


_JSON: Final = CONTENT_TYPE_JSON.encode()


class Topics:
    """Which gateway a readings topic is of, remembered."""

    def __init__(self) -> None:
        self._known: dict[bytes, str | None] = {}

    def gateway_of(self, topic: bytes) -> str | None:
        """The gateway that published readings on `topic`; None for any other topic."""
        try:
            return self._known[topic]
        except KeyError:
            if len(self._known) > _TOPICS:
                self._known.clear()
            found = topics.gateway_of(topic.decode("utf-8", "replace"), topics.READINGS)
            self._known[topic] = found
            return found


_TOPICS: Final = 20_000
