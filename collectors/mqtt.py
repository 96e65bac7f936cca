"""The way in from gateways: MQTT 5, any number of collectors on one shared subscription.

Three steps, each on its own thread. paho's thread puts what arrives into an inbox and returns. The worker takes all
that waits there, gives it to `Ingest` in one go, and sends in one piece the answers on the gateways' own ack topics,
the committed feed, and last the PUBACKs. The caller's thread keeps the connection.

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
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from paho.mqtt.subscribeoptions import SubscribeOptions

from collectors.feed import feed_of_readings, feed_packets
from collectors.inbox import Inbox, Topics, pack_of
from collectors.ingest import Ingest
from collectors.judge import Outcome, Pack
from collectors.quick_paho import Arrived, QuickClient, puback_packet, publish_packet
from collectors.registry import RegistryError
from collectors.store import StoreError
from makiba import topics
from makiba.mqtt import MqttOptions, connect_properties, new_client

RECEIVE_MAXIMUM: Final = 200
"""Packs that are on the way to a collector or in its hands: at most 50 MB, if each is as large as can be."""
REFUSED_LOG_S: Final = 60.0
"""A gateway's refusals are told in the log this often; its answers and the dead letters have them all."""
_BACKOFF_S: Final = (0.5, 10.0)
_STORE_BACKOFF_S: Final = (0.25, 5.0)
_ANSWER_WITHIN_S: Final = 10.0
_DRAIN_S: Final = 5.0

T = TypeVar("T")

log = logging.getLogger("makiba.collect")


class Collector:
    """One collector. `run` blocks until `stop` is set, then finishes what it has in hand."""

    def __init__(self, options: MqttOptions, ingest: Ingest, *, receive_maximum: int = RECEIVE_MAXIMUM) -> None:
        self._options = options
        self._ingest = ingest
        self._receive_maximum = receive_maximum
        self._topics = Topics()
        self.inbox = Inbox(4 * receive_maximum, enough=max(1, receive_maximum // 2))
        self._give_up = threading.Event()
        self._failing = threading.Event()
        self._client: QuickClient | None = None
        self._unknown: dict[str, float] = {}
        self._refused: dict[str, tuple[float, int]] = {}
        self.connected = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Connects, and again whenever the connection breaks, until `stop`."""
        worker = threading.Thread(target=self._work, name="collector-worker", daemon=True)
        worker.start()
        failures = 0
        while not stop.is_set():
            problem, was_up = self._one_connection(stop, worker)
            if stop.is_set():
                break
            failures = 1 if was_up else failures + 1
            if failures == 1:
                log.warning("broker %s:%s: %s; trying again", self._options.host, self._options.port, problem)
            low, high = _BACKOFF_S
            stop.wait(min(high, low * 2 ** min(failures - 1, 8)) * random.uniform(0.5, 1.0))  # noqa: S311 (jitter)
        self._finish(worker)

    def announce(self, outcome: Outcome) -> None:
        """Publishes what came in by another way on the committed feed. From any thread; a hint, as all of it."""
        if client := self._client:
            client.send_together(feed_packets([outcome]))

    # ------------------------------------------------------------------------------------------- the connection

    def _one_connection(self, stop: threading.Event, worker: threading.Thread) -> tuple[str, bool]:
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
                self._client = client
                self.connected.set()
                while not (stop.is_set() or broken.wait(0.1)):
                    if not worker.is_alive():
                        raise RuntimeError("the collector's worker died; see the log above")
            if stop.is_set() and not broken.is_set():
                self._drain(client, worker)
            return (said[0] if said else "stopped"), up
        finally:
            self.connected.clear()
            self.inbox.forget()
            client.disconnect()
            client.loop_stop()

    def _drain(self, client: QuickClient, worker: threading.Thread) -> None:
        """Takes no more, finishes what is in hand, and lets its answers out."""
        client.unsubscribe([topic for topic, _ in _subscriptions()])
        self.inbox.end()
        deadline = time.monotonic() + _DRAIN_S
        # What a store that is down cannot take now, its gateways send again: no use in waiting for it.
        while worker.is_alive() and time.monotonic() < deadline and not self._failing.is_set():
            worker.join(0.05)
        deadline = time.monotonic() + 1.0
        while client.want_write() and time.monotonic() < deadline:
            time.sleep(0.01)

    def _finish(self, worker: threading.Thread) -> None:
        self._give_up.set()
        self.inbox.end()
        worker.join(_DRAIN_S)

    # ----------------------------------------------------------------------------------------------- the worker

    def _work(self) -> None:
        while arrived := self.inbox.take(self._receive_maximum):
            packs: list[tuple[Arrived, Pack]] = []
            words: list[Arrived] = []
            for item in arrived:
                gateway = self._topics.gateway_of(item.topic)
                if gateway is None:
                    words.append(item)
                else:
                    packs.append((item, pack_of(item, gateway)))
            while packs:
                packs = packs[self._take_packs(packs) :]
            for item in words:
                self._take_word(item)

    def _take_packs(self, packs: Sequence[tuple[Arrived, Pack]]) -> int:
        """Commits and answers as many of `packs` as one commit holds; how many those were."""
        try:
            outcomes = self._persist(lambda: self._ingest.take_some([pack for _, pack in packs]))
        except Exception:
            # A defect of ours met something in these packs. Alone, each of the others is still served; the one
            # that cannot be is not answered, so that its gateway keeps it, and does not hold up anybody.
            if len(packs) > 1:
                for one in packs:
                    self._take_packs([one])
                return len(packs)
            item, pack = packs[0]
            log.exception("%s: batch %.80r cannot be processed; not answered", pack.gateway, pack.correlation)
            item.client.send_together([puback_packet(item.mid)] if item.qos else [])
            return 1
        if outcomes is None:
            return len(packs)
        done = [item for item, _ in packs[: len(outcomes)]]
        # The answers first: the acknowledgements let the broker send more, which must not come before them.
        out = [self._answer(outcome) for outcome in outcomes if outcome.answer is not None]
        out += feed_packets(outcomes)
        if client := self._client:
            client.send_together(out)
        acknowledge(done)
        for outcome in outcomes:
            if outcome.held or outcome.refused:
                self._log(outcome)
        return len(outcomes)

    def _answer(self, outcome: Outcome) -> bytes:
        """On the connection of now, be it another than the pack's. QoS 0: what is lost with a connection is asked
        for again by sending the batch again."""
        pack = outcome.pack
        return publish_packet(
            b"makiba/%b/ack" % pack.gateway.encode(),
            outcome.answer or b"",
            content_type=b"application/json",
            correlation=pack.correlation,
        )

    def _log(self, outcome: Outcome) -> None:
        gateway, now_s = outcome.pack.gateway, time.monotonic()
        if outcome.held:
            self._say_unknown(gateway)
            return
        before_s, kept_back = self._refused.get(gateway, (-REFUSED_LOG_S, 0))
        if now_s - before_s < REFUSED_LOG_S:
            self._refused[gateway] = (before_s, kept_back + len(outcome.refused))
            return
        self._refused[gateway] = (now_s, 0)
        more = f", and {kept_back} more since the last such line" if kept_back else ""
        log.warning(
            "%s: %d records refused%s; the first: %s",
            gateway, len(outcome.refused), more, outcome.refused[0].reason,
        )  # fmt: skip

    def _take_word(self, item: Arrived) -> None:
        """A gateway's status, its will, or the list of its devices. An empty one takes a retained one away."""
        topic, payload, at_ms = item.topic.decode("utf-8", "replace"), item.payload, item.received_ms
        status, reported = topics.gateway_of(topic, topics.STATUS), topics.gateway_of(topic, topics.CONFIG_REPORTED)
        try:
            if status is not None and payload:
                self._take_status(status, payload, at_ms)
            elif reported is not None and payload:
                self._persist(lambda: self._ingest.take_reported(reported, payload, at_ms))
        except Exception:
            # As above: a defect of ours must not end the worker.
            log.exception("message on %.120r cannot be processed", topic)
        acknowledge([item])

    def _take_status(self, gateway: str, payload: bytes, received_ms: int) -> None:
        if state := self._persist(lambda: self._ingest.take_status(gateway, payload, received_ms)):
            log.info("%s: %s", gateway, state[0].value)
            if client := self._client:
                client.send_together(feed_of_readings(gateway, state))

    def _persist(self, attempt: Callable[[], T]) -> T | None:
        """What `attempt` returns, as soon as store and registry take it; None when stopping comes first.

        Meanwhile nothing is acknowledged, and the broker stops sending once Receive Maximum is reached.
        """
        failures = 0
        while True:
            try:
                done = attempt()
            except (StoreError, RegistryError) as error:
                failures += 1
                self._failing.set()
                if failures == 1:
                    log.error("%s; nothing is answered until it is back", error)
                low, high = _STORE_BACKOFF_S
                asked = getattr(error, "retry_after_s", None)
                if self._give_up.wait(asked or min(high, low * 2 ** min(failures - 1, 8))):
                    return None
            else:
                self._failing.clear()
                if failures:
                    log.info("store and registry are back after %d attempts", failures)
                return done

    def _say_unknown(self, gateway: str) -> None:
        """One line per gateway and hour."""
        now_s = time.monotonic()
        if now_s - self._unknown.get(gateway, -3600.0) >= 3600:
            self._unknown[gateway] = now_s
            log.warning(
                "%s: no site names this gateway, its readings wait there; add it to a site file and run "
                "`makiba site apply`",
                gateway,
            )


def acknowledge(items: Sequence[Arrived]) -> None:
    """Tells the broker that `items` are dealt with, each on the connection that it came on."""
    by_client: dict[QuickClient, list[bytes]] = {}
    for item in items:
        if item.qos:
            by_client.setdefault(item.client, []).append(puback_packet(item.mid))
    for client, packets in by_client.items():
        client.send_together(packets)


def _subscriptions() -> list[tuple[str, SubscribeOptions]]:
    once = SubscribeOptions(qos=1)
    return [
        (topics.shared(topics.COLLECTORS_GROUP, topics.all_gateways(topics.READINGS)), once),
        (topics.all_gateways(topics.STATUS), once),
        (topics.all_gateways(topics.CONFIG_REPORTED), once),
    ]
