"""The committed feed, as the API listens to it.

`CommittedFeed` hands each committed pack to the event loop. The feed is a hint: nothing is acknowledged end to end, a
pack that cannot be read is passed over, and when the loop does not keep up the oldest waiting packs are dropped (the
pages read the store). While no stream is open, packs are thrown away unread.

One line is logged when the link breaks and one when it is back.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from makiba import senml, wire
from makiba.link import ALL_STORED, Down, Event, Link, Message, Up, readings_in
from makiba.mqtt import MqttOptions
from makiba.reading import Reading

log = logging.getLogger(__name__)

WAITING_PACKS: Final = 256
LEAVE_WITHIN_S: Final = 0.5


class CommittedFeed:
    """Calls `on_readings` and `on_link` on the event loop it was started from.

    `wanted` is asked, on the link's thread, whether anybody listens.
    """

    def __init__(
        self,
        options: MqttOptions,
        *,
        on_readings: Callable[[list[Reading]], None],
        on_link: Callable[[bool], None],
        wanted: Callable[[], bool],
    ) -> None:
        self._where = f"broker {options.host}:{options.port}"
        self._on_readings = on_readings
        self._on_link = on_link
        self._wanted = wanted
        self._inbox: deque[list[Reading]] = deque(maxlen=WAITING_PACKS)
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._link = Link(options, "api", [ALL_STORED], self._take_note)
        self._unreadable = 0

    def start(self) -> None:
        """Begins to listen; returns at once. Call it on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._link.start()

    async def stop(self) -> None:
        """Leaves the broker. No call is made afterwards."""
        self._stopping.set()
        await asyncio.to_thread(self._link.stop, LEAVE_WITHIN_S)

    # ------------------------------------------------------------------ on the link's threads

    def _take_note(self, event: Event) -> None:
        if isinstance(event, Message):
            if self._wanted():
                self._put(event)
        elif isinstance(event, Up):
            log.info("%s: listening to the committed feed", self._where)
            self._call(self._on_link, True)
        elif isinstance(event, Down):
            log.warning("%s: no committed feed: %s", self._where, event.why)
            self._call(self._on_link, False)

    def _put(self, message: Message) -> None:
        try:
            readings = readings_in(message)
        except (wire.WireError, senml.SenmlError) as error:
            self._unreadable += 1
            if self._unreadable == 1:
                log.warning("committed feed %s: a pack cannot be read: %s", message.topic, error)
            return
        if readings:
            self._inbox.append(readings)
            self._call(self._deliver)

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        assert self._loop
        if not self._stopping.is_set():
            try:
                self._loop.call_soon_threadsafe(function, *arguments)
            except RuntimeError:  # the loop closed between the check and the call
                self._stopping.set()

    # ------------------------------------------------------------------ on the event loop

    def _deliver(self) -> None:
        while self._inbox and not self._stopping.is_set():
            self._on_readings(self._inbox.popleft())
