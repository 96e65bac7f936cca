"""A connection to the broker that only listens: what came, and when it breaks and returns.

It is a hint, as the committed feed is: what comes while the link is down does not come later. The link is made anew
with jittered back-off until it is stopped. `tell` is called on the link's own threads and must not take long.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import paho.mqtt.client as paho

from makiba import senml, wire
from makiba.mqtt import MqttOptions, connect_properties, new_client
from makiba.reading import Reading
from makiba.topics import STORED_ROOT

ALL_STORED: Final = f"{STORED_ROOT}/+"
"""The committed feed of all farms."""
ANSWER_WITHIN_S: Final = 5.0
_BACKOFF_S: Final = (0.5, 10.0)


@dataclass(frozen=True, slots=True)
class Message:
    """A publication: `content_type` and `content_encoding` as its sender stated them."""

    topic: str
    payload: bytes
    content_type: str
    content_encoding: str | None


@dataclass(frozen=True, slots=True)
class Up:
    """The link is there and everything asked for is listened to."""


@dataclass(frozen=True, slots=True)
class Down:
    """The link broke, or could not be made; said once until it is there again."""

    why: str


Event = Message | Up | Down


class Link:
    """Listens to `filters` with the certificate in `options`, and tells what happens, between `start` and `stop`."""

    def __init__(
        self, options: MqttOptions, name: str, filters: Sequence[str], tell: Callable[[Event], None]
    ) -> None:
        self._options, self._name, self._filters, self._tell = options, name, filters, tell
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, within_s: float = ANSWER_WITHIN_S + 1) -> None:
        """Leaves the broker. A thread that still waits for one that does not answer holds nobody up."""
        self._stopping.set()
        self._thread.join(within_s)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            why, was_up = self._one_link()
            if self._stopping.is_set():
                return
            failures = 1 if was_up else failures + 1
            if failures == 1:
                self._tell(Down(why))
            low, high = _BACKOFF_S
            self._stopping.wait(min(high, low * 2 ** min(failures - 1, 8)) * random.uniform(0.5, 1.0))  # noqa: S311

    def _one_link(self) -> tuple[str, bool]:
        """One connection from its beginning to its end: why it ended, and whether anything could come on it."""
        said: list[str] = []
        over, was_up = threading.Event(), threading.Event()
        try:
            # A name that can be guessed could be pushed off by somebody who takes it too.
            client = new_client(self._options, f"{self._name}-{secrets.token_hex(8)}")
        except OSError as error:
            return f"key or certificate of `{self._name}`: {error}", False
        client.connect_timeout = ANSWER_WITHIN_S

        def end(why: str) -> None:
            said.append(why)
            over.set()

        def on_connect(_c: Any, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
            if reason.is_failure:
                end(f"refused the connection: {reason}")
            else:
                client.subscribe([(one, 0) for one in self._filters])

        def on_subscribe(_c: Any, _u: Any, _mid: int, reasons: Any, _p: Any) -> None:
            if any(reason.is_failure for reason in reasons):
                end(f"{', '.join(self._filters)}: not allowed to this certificate")
            else:
                was_up.set()
                self._tell(Up())

        client.on_connect, client.on_subscribe = on_connect, on_subscribe
        client.on_disconnect = lambda _c, _u, _f, reason, _p: end(f"connection lost: {reason}")
        client.on_message = lambda _c, _u, message: self._tell(message_of(message))
        host, port = self._options.host, self._options.port
        try:
            client.connect(host, port, self._options.keepalive_s, clean_start=True, properties=connect_properties())
        except (OSError, ValueError) as error:
            return f"cannot be reached: {error}", False
        client.loop_start()
        try:
            answer_by = time.monotonic() + ANSWER_WITHIN_S
            while not (self._stopping.is_set() or over.wait(0.1)):
                if not was_up.is_set() and time.monotonic() > answer_by:
                    end("no answer")
            return (said[0] if said else "stopped"), was_up.is_set()
        finally:
            client.disconnect()
            client.loop_stop()


def message_of(message: paho.MQTTMessage) -> Message:
    properties = message.properties
    user = dict(getattr(properties, "UserProperty", None) or ())
    kind = getattr(properties, "ContentType", None) or senml.CONTENT_TYPE_JSON
    return Message(message.topic, bytes(message.payload), str(kind), user.get(wire.CONTENT_ENCODING))


def readings_in(message: Message) -> list[Reading]:
    """The readings of packs; `wire.WireError` or `senml.SenmlError` when it holds none."""
    pack = wire.unpack_payload(message.payload, message.content_encoding)
    taken, _ = senml.readings_of(senml.parse(pack, message.content_type), time.time())
    return [reading for _, reading in taken]
