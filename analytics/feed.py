"""The committed feed as analytics listens to it: packs in a bounded queue, and how often the link began anew.

The feed is a hint. It may lose, and when nobody takes for long it drops the newest; whoever listens fills what is
missing from the store whenever `links` changed, and from time to time. One line is logged when the link breaks and
one when it is back.
"""

from __future__ import annotations

import logging
import queue
import threading
from typing import Final

from makiba import senml, wire
from makiba.link import ALL_STORED, Down, Event, Link, Message, Up, readings_in
from makiba.mqtt import MqttOptions
from makiba.reading import Reading

log = logging.getLogger(__name__)

WAITING_PACKS: Final = 2_000


class Feed:
    """Listens on threads of its own between `start` and `stop`."""

    def __init__(self, options: MqttOptions) -> None:
        self._where = f"broker {options.host}:{options.port}"
        self._packs: queue.Queue[list[Reading]] = queue.Queue(WAITING_PACKS)
        self._link = Link(options, "analytics", [ALL_STORED], self._take_note)
        self.up = threading.Event()
        self.links = 0
        """Counts what may have cost packs: links that began, and packs that found the queue full."""

    def start(self) -> None:
        self._link.start()

    def stop(self) -> None:
        self._link.stop()

    def take(self, within_s: float) -> list[list[Reading]]:
        """The packs that wait, in the order they came; none when none comes `within_s`."""
        try:
            packs = [self._packs.get(timeout=within_s)]
        except queue.Empty:
            return []
        for _ in range(self._packs.qsize()):  # this thread alone takes
            packs.append(self._packs.get_nowait())
        return packs

    def _take_note(self, event: Event) -> None:
        if isinstance(event, Message):
            self._put(event)
        elif isinstance(event, Up):
            log.info("%s: listening", self._where)
            self.links += 1
            self.up.set()
        elif isinstance(event, Down):
            log.warning("%s: %s; trying again", self._where, event.why)
            self.up.clear()

    def _put(self, message: Message) -> None:
        try:
            readings = readings_in(message)
        except (wire.WireError, senml.SenmlError) as error:
            log.warning("%s: a pack that cannot be read is passed over: %s", message.topic, error)
            return
        try:
            self._packs.put_nowait(readings)
        except queue.Full:
            self.links += 1
