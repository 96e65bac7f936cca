"""The committed feed as analytics listens to it: packs in a bounded queue, and how often the link began anew.

The feed is a hint. It may lose, and when nobody takes for long it drops the newest; whoever listens fills what is
missing from the store whenever `links` changed, and from time to time. The link is made anew with jittered back-off;
one line is logged when it breaks and one when it is back.
"""

from __future__ import annotations

import logging
import queue
import random
import secrets
import threading
import time
from typing import Any, Final

import paho.mqtt.client as paho

from makiba import senml, wire
from makiba.mqtt import MqttOptions, connect_properties, new_client
from makiba.reading import Reading
from makiba.topics import STORED_ROOT

log = logging.getLogger(__name__)

WAITING_PACKS: Final = 2_000
CONNECT_WITHIN_S: Final = 5.0
_BACKOFF_S: Final = (0.5, 10.0)
_ALL_SHARDS: Final = f"{STORED_ROOT}/+"


class Feed:
    """Listens on threads of its own between `start` and `stop`."""

    def __init__(self, options: MqttOptions) -> None:
        self._options = options
        self._packs: queue.Queue[list[Reading]] = queue.Queue(WAITING_PACKS)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="committed-feed", daemon=True)
        self.up = threading.Event()
        self.links = 0
        """Counts what may have cost packs: links that began, and packs that found the queue full."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(CONNECT_WITHIN_S + 1)

    def take(self, within_s: float) -> list[list[Reading]]:
        """The packs that wait, in the order they came; none when none comes `within_s`."""
        try:
            packs = [self._packs.get(timeout=within_s)]
        except queue.Empty:
            return []
        for _ in range(self._packs.qsize()):  # this thread alone takes
            packs.append(self._packs.get_nowait())
        return packs

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            why, was_up = self._one_link()
            if self._stopping.is_set():
                return
            failures = 1 if was_up else failures + 1
            if failures == 1:
                log.warning("broker %s:%s: %s; trying again", self._options.host, self._options.port, why)
            low, high = _BACKOFF_S
            self._stopping.wait(min(high, low * 2 ** min(failures - 1, 8)) * random.uniform(0.5, 1.0))  # noqa: S311

    def _one_link(self) -> tuple[str, bool]:
        """One connection from its beginning to its end: why it ended, and whether packs could come on it."""
        said: list[str] = []
        over = threading.Event()
        was_up = threading.Event()
        try:
            client = new_client(self._options, f"analytics-{secrets.token_hex(8)}")
        except OSError as error:
            return f"key or certificate of `analytics`: {error}", False
        client.connect_timeout = CONNECT_WITHIN_S

        def end(why: str) -> None:
            said.append(why)
            over.set()

        def on_connect(_c: Any, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
            if reason.is_failure:
                end(f"refused the connection: {reason}")
            else:
                client.subscribe(_ALL_SHARDS, qos=0)

        def on_subscribe(_c: Any, _u: Any, _mid: int, reasons: Any, _p: Any) -> None:
            if any(reason.is_failure for reason in reasons):
                end(f"{_ALL_SHARDS} is not allowed to this certificate")
                return
            log.info("broker %s:%s: listening", self._options.host, self._options.port)
            self.links += 1
            was_up.set()
            self.up.set()

        client.on_connect, client.on_subscribe = on_connect, on_subscribe
        client.on_disconnect = lambda _c, _u, _f, reason, _p: end(f"connection lost: {reason}")
        client.on_message = lambda _c, _u, message: self._put(message)
        try:
            client.connect(
                self._options.host,
                self._options.port,
                keepalive=self._options.keepalive_s,
                clean_start=True,
                properties=connect_properties(receive_maximum=100),
            )
        except (OSError, ValueError) as error:
            return f"cannot be reached: {error}", False
        client.loop_start()
        try:
            answer_by = time.monotonic() + CONNECT_WITHIN_S
            while not (self._stopping.is_set() or over.wait(0.1)):
                if not was_up.is_set() and time.monotonic() > answer_by:
                    end("no answer")
            return (said[0] if said else "stopped"), was_up.is_set()
        finally:
            self.up.clear()
            client.disconnect()
            client.loop_stop()

    def _put(self, message: paho.MQTTMessage) -> None:
        try:
            readings = readings_in(message)
        except (wire.WireError, senml.SenmlError) as error:
            log.warning("%s: a pack that cannot be read is passed over: %s", message.topic, error)
            return
        try:
            self._packs.put_nowait(readings)
        except queue.Full:
            self.links += 1


def readings_in(message: paho.MQTTMessage) -> list[Reading]:
    """The readings of one message of the committed feed; `WireError` or `SenmlError` when it is not one."""
    properties = getattr(message, "properties", None)
    user = dict(getattr(properties, "UserProperty", None) or ())
    kind = str(getattr(properties, "ContentType", None) or senml.CONTENT_TYPE_JSON)
    pack = wire.unpack_payload(bytes(message.payload), user.get(wire.CONTENT_ENCODING))
    taken, _ = senml.readings_of(senml.parse(pack, kind), time.time())
    return [reading for _, reading in taken]
