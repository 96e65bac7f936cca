"""The link to the broker: batches out, answers in.

Guarantees. A batch is published only while connected and only after it was committed to the spool; it leaves the
spool only when the collector has answered for it. A broken link is tried again for ever (0.5 s doubling to 10 s, with
jitter), each time with a new client, so that no queue but the spool outlives a connection. The broker's retained
`status` says online, offline (its will) or stopped.

Not guaranteed: that a batch goes out once. It goes out again when its answer is late or the link broke; the
store is idempotent.

When the broker has nobody to give a batch to, it says so and the batch goes again within a second. A gateway whose
clock nobody keeps asks the collector: it publishes a pack of nothing but a base name, whose answer has the time.

What goes when is decided by `window.py`; a connection is `link.py`. Everything happens on the event loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import secrets
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

from gateway.clock import Clock
from gateway.link import BatchProperties, Link, LinkError
from gateway.packs import Batch
from gateway.spool import Spool, SpoolEvents
from gateway.window import Sending, Window
from makiba import topics
from makiba.mqtt import MqttOptions, new_client
from makiba.wire import (
    CONTENT_ENCODING,
    DEFLATE,
    SCHEMA,
    Ack,
    BatchId,
    GatewayStatus,
    Payload,
    WireError,
    pack_payload,
)

log = logging.getLogger("makiba.gateway.uplink")

ANSWER_S = 10.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
NOBODY_LISTENS = 0x10
"""PUBACK: no matching subscribers (MQTT 5, section 3.4.2.1)."""
ASK_TIME_S = 10.0
PAGE_AGAIN_S = 1.0
SENT_REMEMBERED = 256
REFUSED_LOGGED = 3
"""Refused records of one batch that are logged in full."""


class Uplink(SpoolEvents):
    """Runs until cancelled."""

    def __init__(
        self,
        gateway: str,
        site: str,
        options: MqttOptions,
        clock: Clock,
        *,
        software: str,
        reported: dict[str, Any],
        window: Window | None = None,
    ) -> None:
        self._gateway = gateway
        self._readings_topic = topics.gateway_topic(gateway, topics.READINGS)
        self._site = site
        self._options = options
        self._clock = clock
        self._software = software
        self._reported = reported
        self._window = window or Window()
        self._spool: Spool | None = None
        self._spool_ids: set[str] = set()
        self._sent: dict[int, BatchId] = {}
        self._time_id = secrets.token_hex(8)
        self._asked_ns: dict[int, int] = {}
        self._link: Link | None = None
        self._connection = 0
        self._timer: asyncio.TimerHandle | None = None
        self._page_task: asyncio.Task[None] | None = None
        self._failing = False
        self._settled = asyncio.Event()
        self.on_trouble: Callable[[str], None] = lambda _state: None
        self.on_died: Callable[[BaseException], None] = lambda _error: None
        self.on_unset: Callable[[list[tuple[str, int, int]]], None] = lambda _boots: None
        self._chance = random.Random()  # noqa: S311 (jitter, not a secret)

    # ------------------------------------------------------------------------------------------ the spool's events

    @property
    def is_connected(self) -> bool:
        """Whether the broker has us."""
        return self._link is not None

    def attach(self, spool: Spool) -> None:
        self._spool = spool

    def opened(self, spool_id: str, batches: Sequence[Batch]) -> None:
        self._spool_ids.add(spool_id)
        self._window.opened(spool_id, batches)
        self._pump()

    def card_opened(self, spool_id: str, last_number: int) -> None:
        self._spool_ids.add(spool_id)
        self._window.card_opened(spool_id, last_number)
        self._pump()

    def committed(self, batches: Sequence[Batch]) -> None:
        self._window.committed(batches)
        self._pump()

    def journaled(self, upto: int, last_number: int) -> None:
        self._window.journaled(upto, last_number)
        self._pump()

    def found_unset(self, boots: list[tuple[str, int, int]]) -> None:
        self.on_unset(boots)

    def trouble(self, state: str) -> None:
        self.on_trouble(state)

    def died(self, error: BaseException) -> None:
        self.on_died(error)

    # ------------------------------------------------------------------------------------------ the link

    async def run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            began_s = time.monotonic()
            try:
                await self._connection_life()
            except (LinkError, OSError, TimeoutError) as error:
                if not self._failing:
                    log.warning("broker %s:%d: %s", self._options.host, self._options.port, _reason(error))
                self._failing = True
            if time.monotonic() - began_s > LONGEST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(pause_s * self._chance.uniform(0.5, 1.0))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _connection_life(self) -> None:
        """From connecting to losing the link, which is always an error here."""
        client = new_client(self._options, self._gateway)
        client.connect_timeout = ANSWER_S / 2
        self._connection = max(self._connection + 1, self._clock.now_ms())
        client.will_set(
            topics.gateway_topic(self._gateway, topics.STATUS), self._status("offline"), qos=1, retain=True
        )
        link = Link(client, self._on_ack, self._on_puback)
        self._sent.clear()
        asking: asyncio.Task[None] | None = None
        try:
            await link.connect(self._options, topics.gateway_topic(self._gateway, topics.ACK), ANSWER_S)
            self._greet(link)
            self._link = link
            self._window.connect()
            self._pump()
            if self._failing:
                log.info("broker %s:%d: connected", self._options.host, self._options.port)
            self._failing = False
            asking = asyncio.create_task(self._ask_time(link), name="time")
            raise LinkError(f"link lost: {await link.lost}")
        finally:
            if asking:
                asking.cancel()
            self._link = None
            self._window.disconnect()
            if self._timer:
                self._timer.cancel()
                self._timer = None
            link.close()

    async def _ask_time(self, link: Link) -> None:
        """Until UTC is known: asks the collector for the time, which no reading may go without."""
        number = 0
        while not self._clock.is_known:
            number += 1
            self._asked_ns = {number: time.monotonic_ns()}
            pack = json.dumps([{"bn": f"{self._site}/"}], separators=(",", ":")).encode()
            mid = self._publish_payload(link, BatchId(self._time_id, number), pack_payload(pack, deflate=False))
            self._sent[mid] = BatchId(self._time_id, number)
            await asyncio.sleep(min(1.0 * 2 ** (number - 1), ASK_TIME_S) * self._chance.uniform(0.75, 1.0))

    def _greet(self, link: Link) -> None:
        for verb, payload in (
            (topics.STATUS, self._status("online")),
            (topics.CONFIG_REPORTED, json.dumps(self._reported, ensure_ascii=False).encode()),
        ):
            link.publish(topics.gateway_topic(self._gateway, verb), payload, retain=True)

    def _status(self, state: str) -> bytes:
        return GatewayStatus(
            state=state,
            connection=f"{self._connection:014d}",
            time_ms=self._clock.now_ms(),
            site=self._site,
            software=self._software,
        ).to_bytes()

    async def stop(self, within_s: float = 2.0) -> None:
        """Gives what is under way a moment to be acknowledged, says `stopped`, and disconnects."""
        link = self._link
        if link is None:
            return
        if not self._window.is_idle:
            self._settled.clear()
            try:
                async with asyncio.timeout(within_s / 2):
                    await self._settled.wait()
            except TimeoutError:
                log.info("stopping with batches unacknowledged; they are kept in the spool")
        topic = topics.gateway_topic(self._gateway, topics.STATUS)
        await link.taken(link.publish(topic, self._status("stopped"), retain=True), within_s / 2)

    # ------------------------------------------------------------------------------------------ batches

    def _pump(self) -> None:
        """Publishes what may go now, asks for backlog when it runs out, and sets the alarm for the next time."""
        if self._link is None:
            return
        while sending := self._window.next(time.monotonic(), self._chance.random()):
            self._publish(self._link, sending)
        if self._page_task is None and (asked := self._window.wanted()):
            self._page_task = asyncio.create_task(self._fetch(asked), name="backlog")
        self._wake_in(self._window.wake_s(time.monotonic()))

    def _wake_in(self, wake_s: float | None) -> None:
        """Sets the alarm, unless one rings before: that one finds nothing to do and sets the next."""
        if wake_s is None:
            return
        loop = asyncio.get_running_loop()
        at_s = loop.time() + wake_s + 0.001
        if self._timer:
            if self._timer.when() <= at_s:
                return
            self._timer.cancel()
        self._timer = loop.call_at(at_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._pump()

    async def _fetch(self, asked: tuple[int, int, int]) -> None:
        assert self._spool is not None
        batches = await self._spool.page(*asked)
        if batches is None:
            await asyncio.sleep(PAGE_AGAIN_S)
        self._page_task = None
        if batches is not None:
            self._window.page(batches, asked)
        self._pump()

    def _publish(self, link: Link, sending: Sending) -> None:
        batch = sending.batch
        if batch.is_deflated:
            payload = Payload(batch.pack, (SCHEMA, (CONTENT_ENCODING, DEFLATE)))
        else:
            # Small and recent, live or not: plain for any reader. What waited longer was merged and deflated.
            payload = pack_payload(batch.pack, deflate=False)
        self._sent[self._publish_payload(link, batch.id, payload)] = batch.id
        while len(self._sent) > SENT_REMEMBERED:
            del self._sent[next(iter(self._sent))]

    def _publish_payload(self, link: Link, batch: BatchId, payload: Payload) -> int:
        """Publishes; returns the packet's identifier."""
        properties = BatchProperties(batch.to_bytes(), payload.user_properties)
        return link.publish(self._readings_topic, payload.data, properties=properties)

    def _on_puback(self, mid: int, reason: int) -> None:
        """The broker took a packet; only that nobody listens is of interest."""
        batch = self._sent.pop(mid, None)
        if batch and reason == NOBODY_LISTENS:
            self._window.nobody_listens(batch, time.monotonic(), self._chance.random())
            self._pump()

    def _on_ack(self, data: bytes) -> None:
        try:
            ack = Ack.from_bytes(data)
            batch = BatchId.from_bytes(ack.batch.encode())
        except WireError as error:
            log.warning("an answer was not understood: %s", error)
            return
        asked_ns = self._asked_ns.pop(batch.number, None) if batch.spool == self._time_id else None
        if asked_ns is not None:
            if self._clock.hear(ack.time_ms, time.monotonic_ns() - asked_ns):
                log.warning("the time was corrected by the collector's")
            return
        if batch.spool not in self._spool_ids or self._spool is None:
            return  # of another card, or of a file that is gone
        if self._window.acknowledged(batch, time.monotonic()):
            for refused in ack.refused[:REFUSED_LOGGED]:
                log.error("batch %s: refused %r: %s", batch, refused.name[:200], refused.reason[:300])
            if len(ack.refused) > REFUSED_LOGGED:
                log.error("batch %s: %d more records refused", batch, len(ack.refused) - REFUSED_LOGGED)
        self._spool.acknowledged(batch)
        self._pump()
        if self._window.is_idle:
            self._settled.set()


def _reason(error: BaseException) -> str:
    """What to tell the technician."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer"
    return str(error) or type(error).__name__
