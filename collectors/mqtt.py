"""The way in from gateways: MQTT 5, any number of collectors on one shared subscription.

Three threads. paho's puts what arrives into an inbox and returns; the worker (`worker.py`) commits and answers; the
caller's keeps the connection.

Nothing is acknowledged before it is committed, so that the broker sends at most Receive Maximum packs ahead: a store
that is down fills the inbox and then stops the flow, and the process goes on. When the connection breaks, what
waits in the inbox is forgotten: the broker forgets it too, and gateways send again what was not answered.
"""

from __future__ import annotations

import logging
import random
import secrets
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from paho.mqtt.subscribeoptions import SubscribeOptions

from collectors.feed import feed_packets
from collectors.inbox import Inbox
from collectors.ingest import Ingest
from collectors.judge import Outcome
from collectors.metrics import Figures
from collectors.quick_paho import QuickClient
from collectors.worker import Worker
from makiba import topics
from makiba.mqtt import MqttOptions, connect_properties, new_client

RECEIVE_MAXIMUM: Final = 256
"""Packs that are on the way to a collector or in its hands: at most 64 MiB, if each is as large as can be."""
_BACKOFF_S: Final = (0.5, 10.0)
_ANSWER_WITHIN_S: Final = 10.0
_DRAIN_S: Final = 5.0
_LEAST_S: Final = 1.0

log = logging.getLogger("makiba.collect")


class Collector:
    """One collector. `run` blocks until `stop` is set, then finishes what it has in hand."""

    def __init__(
        self,
        options: MqttOptions,
        ingest: Ingest,
        *,
        receive_maximum: int = RECEIVE_MAXIMUM,
        figures: Figures | None = None,
    ) -> None:
        self._options = options
        self._receive_maximum = receive_maximum
        self._figures = figures
        self.inbox = Inbox(4 * receive_maximum, enough=max(1, receive_maximum // 2))
        self._worker = Worker(ingest, self.inbox, receive_maximum, figures)
        self._thread = threading.Thread(target=self._worker.run, name="collector-worker", daemon=True)
        self._drain_until_s = 0.0
        self.connected = threading.Event()
        if figures:
            figures.watch_inbox(lambda: len(self.inbox))

    def run(self, stop: threading.Event) -> bool:
        """Connects, and again whenever the connection breaks, until `stop`. False when the worker had to be left
        behind, in a call of store or registry that does not come back: then neither may be closed."""
        self._thread.start()
        failures = 0
        while not stop.is_set():
            problem, was_up = self._one_connection(stop)
            if stop.is_set():
                break
            failures = 1 if was_up else failures + 1
            if failures == 1:
                log.warning("broker %s:%s: %s; trying again", self._options.host, self._options.port, problem)
            low, high = _BACKOFF_S
            stop.wait(min(high, low * 2 ** min(failures - 1, 8)) * random.uniform(0.5, 1.0))  # noqa: S311 (jitter)
        self._worker.give_up.set()
        self.inbox.end()
        self._thread.join(max(_LEAST_S, self._drain_until_s - time.monotonic()))
        return not self._thread.is_alive()

    def announce(self, outcome: Outcome) -> None:
        """Publishes what came in by another way on the committed feed. From any thread; a hint, as all of it."""
        if client := self._worker.client:
            client.send_together(feed_packets([outcome]))

    # ------------------------------------------------------------------------------------------- the connection

    def _one_connection(self, stop: threading.Event) -> tuple[str, bool]:
        """One connection from CONNECT to its end: why it ended, and whether messages could come on it."""
        broken = threading.Event()
        answered = threading.Event()
        said: list[str] = []
        try:
            client = new_client(self._options, f"collector-{secrets.token_hex(8)}", kind=QuickClient)
        except OSError as error:
            return f"TLS files: {error}", False

        def on_connect(_c: Any, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
            if reason.is_failure:
                said.append(f"refused the connection: {reason}")
                broken.set()
                return
            client.subscribe(_subscriptions())

        def on_subscribe(_c: Any, _u: Any, _mid: int, reasons: Sequence[Any], _p: Any) -> None:
            if any(reason.is_failure for reason in reasons):
                said.append(f"refused a subscription: {', '.join(map(str, reasons))}")
                broken.set()
            answered.set()

        def on_disconnect(_c: Any, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
            said.append(f"connection lost: {reason}")
            broken.set()

        client.on_connect, client.on_subscribe = on_connect, on_subscribe
        client.on_disconnect, client.on_arrived = on_disconnect, self.inbox.put
        properties = connect_properties(receive_maximum=self._receive_maximum)
        try:
            client.connect(
                self._options.host,
                self._options.port,
                keepalive=self._options.keepalive_s,
                clean_start=True,
                properties=properties,
            )
        except (OSError, ValueError) as error:
            return f"cannot be reached: {error}", False
        client.loop_start()
        try:
            deadline = time.monotonic() + _ANSWER_WITHIN_S
            while not (answered.wait(0.05) or broken.is_set() or stop.is_set()):
                if time.monotonic() > deadline:
                    return f"no answer within {_ANSWER_WITHIN_S:g} s", False
            up = answered.is_set() and not broken.is_set()
            if up:
                log.info("broker %s:%s: connected", self._options.host, self._options.port)
                self._worker.client = client
                self.connected.set()
                if self._figures:
                    self._figures.broker_up.set(1)
                while not (stop.is_set() or broken.wait(0.1)):
                    if not self._thread.is_alive():
                        raise RuntimeError("the collector's worker died; see the log above")
            if stop.is_set() and not broken.is_set():
                self._drain(client)
            return (said[0] if said else "stopped"), up
        finally:
            self.connected.clear()
            if self._figures:
                self._figures.broker_up.set(0)
            self.inbox.forget()
            client.disconnect()
            # paho's thread ends when all is sent, which a broker that takes nothing any more can delay for long.
            ending = threading.Thread(target=client.loop_stop, daemon=True)
            ending.start()
            ending.join(_LEAST_S)

    def _drain(self, client: QuickClient) -> None:
        """Takes no more, finishes what is in hand, and lets its answers out."""
        self._drain_until_s = time.monotonic() + _DRAIN_S
        client.unsubscribe([topic for topic, _ in _subscriptions()])
        self.inbox.end()
        # What a store that is down cannot take now, its gateways send again: no use in waiting for it.
        while (
            self._thread.is_alive() and time.monotonic() < self._drain_until_s and not self._worker.failing.is_set()
        ):
            self._thread.join(0.05)
        deadline = time.monotonic() + 1.0
        while client.want_write() and time.monotonic() < deadline:
            time.sleep(0.01)


def _subscriptions() -> list[tuple[str, SubscribeOptions]]:
    once = SubscribeOptions(qos=1)
    # Readings that somebody had retained were taken when they came; Mosquitto would give them to each new member.
    fresh = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
    return [
        (topics.shared(topics.COLLECTORS_GROUP, topics.all_gateways(topics.READINGS)), fresh),
        (topics.all_gateways(topics.STATUS), once),
        (topics.all_gateways(topics.CONFIG_REPORTED), once),
    ]
