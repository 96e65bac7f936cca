"""The committed feed as analytics listens to it: packs in a bounded queue, and how often the link began anew.

The feed is a hint. It may lose, and when nobody takes for long it drops the newest; whoever listens fills what is
missing from the store whenever `links` changed, and from time to time. One line is logged when the link breaks and
one when it is back. It brings the farms of the shards that are listened to; another choice is a link of its own.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterable
from typing import Final

from analytics.packs import Packs
from makiba import senml, wire
from makiba.link import ALL_STORED, Down, Event, Link, Message, Up
from makiba.mqtt import MqttOptions
from makiba.reading import Reading
from makiba.topics import SHARDS, STORED_ROOT

log = logging.getLogger(__name__)

WAITING_PACKS: Final = 4_000


class Feed:
    """Listens on threads of its own between `listen` and `stop`."""

    def __init__(self, options: MqttOptions) -> None:
        self._options = options
        self._where = f"broker {options.host}:{options.port}"
        self._messages: queue.Queue[Message] = queue.Queue(WAITING_PACKS)
        self._packs = Packs()
        self._shards: frozenset[int] = frozenset()
        self._link: Link | None = None
        self.up = threading.Event()
        self.links = 0
        """Counts what may have cost packs: links that began, and packs that found the queue full."""

    def listen(self, shards: Iterable[int]) -> None:
        """From now on these shards are listened to; what comes between two links is missing, and `links` says so."""
        wanted = frozenset(shards)
        if wanted == self._shards:
            return
        self._leave()
        self._shards = wanted
        if wanted:
            everything = len(wanted) == SHARDS
            filters = [ALL_STORED] if everything else [f"{STORED_ROOT}/{shard}" for shard in sorted(wanted)]
            link = Link(self._options, "analytics", filters, lambda event: self._take_note(link, event))
            self._link = link
            link.start()

    def stop(self) -> None:
        if self._link is not None:
            self._link.stop()

    def take(self, within_s: float) -> list[list[Reading]]:
        """The packs that wait, in the order they came; none when none comes `within_s`."""
        try:
            messages = [self._messages.get(timeout=within_s)]
        except queue.Empty:
            return []
        for _ in range(self._messages.qsize()):  # this thread alone takes
            messages.append(self._messages.get_nowait())
        return [pack for message in messages if (pack := self._read(message)) is not None]

    def _read(self, message: Message) -> list[Reading] | None:
        try:
            return self._packs.readings_in(message)
        except (wire.WireError, senml.SenmlError) as error:
            log.warning("%s: a pack that cannot be read is passed over: %s", message.topic, error)
            return None

    def _leave(self) -> None:
        """Ends the link in the background: a broker that does not answer holds nobody up."""
        if self._link is not None:
            threading.Thread(target=self._link.stop, name="link-ends", daemon=True).start()
        self._link = None
        self.up.clear()

    def _take_note(self, link: Link, event: Event) -> None:
        if isinstance(event, Message):
            self._put(event)
        elif link is not self._link:
            return  # of one that was left
        elif isinstance(event, Up):
            log.info("%s: listening", self._where)
            self.links += 1
            self.up.set()
        elif isinstance(event, Down):
            log.warning("%s: %s; trying again", self._where, event.why)
            self.up.clear()

    def _put(self, message: Message) -> None:
        try:
            self._messages.put_nowait(message)
        except queue.Full:
            self.links += 1
