"""The committed feed, as the API listens to it.

`CommittedFeed` keeps one connection to the broker on a thread of its own and hands each committed pack to the
event loop. The feed is a hint: nothing is acknowledged end to end, a pack that cannot be read is passed over, and
when the loop does not keep up the oldest waiting packs are dropped (the pages read the store). While no stream is
open, packs are thrown away unread.

The link is made anew with jittered back-off for as long as the service runs; one line is logged when it breaks
and one when it is back.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import paho.mqtt.client as paho

from analytics.feed import readings_in
from makiba import senml, wire
from makiba.mqtt import MqttOptions, connect_properties, new_client
from makiba.reading import Reading
from makiba.topics import STORED_ROOT

log = logging.getLogger(__name__)

FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 10.0
CONNECT_WITHIN_S: Final = 5.0
WAITING_PACKS: Final = 256
ALL_SHARDS: Final = f"{STORED_ROOT}/+"


class CommittedFeed:
    """Calls `on_readings` and `on_link` on the event loop it was started from.

    `wanted` is asked, on the feed's thread, whether anybody listens.
    """

    def __init__(
        self,
        options: MqttOptions,
        *,
        on_readings: Callable[[list[Reading]], None],
        on_link: Callable[[bool], None],
        wanted: Callable[[], bool],
    ) -> None:
        self._options = options
        self._on_readings = on_readings
        self._on_link = on_link
        self._wanted = wanted
        self._inbox: deque[list[Reading]] = deque(maxlen=WAITING_PACKS)
        self._stopping = threading.Event()
        self._link_is_up: bool | None = None
        self._client: paho.Client | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="committed-feed", daemon=True)
        self._unreadable = 0

    def start(self) -> None:
        """Begins to listen; returns at once. Call it on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Leaves the broker. No call is made afterwards."""
        self._stopping.set()
        if self._client:
            self._client.disconnect()
        # The thread may still wait for a broker that does not answer; being a daemon it holds nobody up.
        await asyncio.to_thread(self._thread.join, 0.5)

    # ------------------------------------------------------------------ on the feed's own thread

    def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self._stopping.is_set():
            begun = time.monotonic()
            reason = self._listen()
            if self._stopping.is_set():
                return
            self._tell_link(False, reason)
            if time.monotonic() - begun > LONGEST_WAIT_S:
                wait_s = FIRST_WAIT_S
            self._stopping.wait(random.uniform(wait_s / 2, wait_s))  # noqa: S311 (spreads load, guards nothing)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    def _listen(self) -> str:
        """One connection, from its beginning to its end; returns why it ended."""
        reasons: list[str] = []
        try:
            client = new_client(self._options, f"api-{secrets.token_hex(12)}")  # guessed, it could be pushed off
        except OSError as error:  # ssl.SSLError is one too
            return f"key or certificate of `api`: {error}"
        client.connect_timeout = CONNECT_WITHIN_S

        def on_connect(client: paho.Client, _: Any, __: Any, reason: Any, ___: Any) -> None:
            if reason.is_failure:
                reasons.append(f"refused: {reason}")
            else:
                client.subscribe(ALL_SHARDS, qos=0)

        def on_subscribe(client: paho.Client, _: Any, __: int, codes: list[Any], ___: Any) -> None:
            if any(code.is_failure for code in codes):
                reasons.append(f"{ALL_SHARDS} is not allowed to this certificate")
                client.disconnect()
            else:
                self._tell_link(True, "")

        def on_disconnect(_: paho.Client, __: Any, ___: Any, reason: Any, ____: Any) -> None:
            reasons.append(str(reason))

        client.on_connect = on_connect
        client.on_subscribe = on_subscribe
        client.on_disconnect = on_disconnect
        client.on_message = self._on_message
        self._client = client
        try:
            client.connect(
                self._options.host, self._options.port, self._options.keepalive_s,
                clean_start=True, properties=connect_properties(),
            )  # fmt: skip
            if self._stopping.is_set():
                return "stopping"
            client.loop_forever(retry_first_connection=False)
        except (OSError, ssl.SSLError, ValueError) as error:
            reasons.append(str(error))
        return reasons[0] if reasons else "closed"

    def _on_message(self, _: paho.Client, __: Any, message: paho.MQTTMessage) -> None:
        if not self._wanted():
            return
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

    def _tell_link(self, up: bool, reason: str) -> None:
        if up == self._link_is_up:
            return
        if up:
            log.info("broker %s:%d: listening to the committed feed", self._options.host, self._options.port)
        else:
            log.warning("broker %s:%d: no committed feed: %s", self._options.host, self._options.port, reason)
        self._link_is_up = up
        self._call(self._on_link, up)

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
