"""What is done with what arrived: committed, answered, published on the feed, acknowledged; in this order.

The worker takes all that waits in the inbox, gives it to `Ingest`, and sends in one piece the answers on the
gateways' own ack topics, the committed feed, and last the PUBACKs. It never gives up while store or registry are
down: then nothing is acknowledged, and the broker stops sending once Receive Maximum is reached.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from collectors.feed import feed_of_readings, feed_packets
from collectors.inbox import Inbox, Topics, pack_of
from collectors.ingest import Ingest, Word
from collectors.judge import Outcome, Pack
from collectors.metrics import Figures
from collectors.quick_paho import Arrived, QuickClient, puback_packet, publish_packet
from collectors.registry import RegistryError
from collectors.store import StoreError
from makiba import topics

REFUSED_LOG_S: Final = 60.0
"""A gateway's refusals are told in the log this often; its answers and the dead letters have them all."""
UNKNOWN_LOG_S: Final = 3600.0
MAX_SAID: Final = 20_000
_STORE_BACKOFF_S: Final = (0.25, 5.0)

T = TypeVar("T")

log = logging.getLogger("makiba.collect")


class Worker:
    """Works on one thread, in `run`. `client` is the connection of now, None while there is none."""

    def __init__(self, ingest: Ingest, inbox: Inbox, most: int, figures: Figures | None = None) -> None:
        self._ingest = ingest
        self._most = most
        self._figures = figures
        self._topics = Topics()
        self._said: dict[tuple[str, str], tuple[float, int]] = {}
        self.inbox = inbox
        self.client: QuickClient | None = None
        self.give_up = threading.Event()
        """Set: what store or registry do not take at once is left to be sent again."""
        self.failing = threading.Event()
        """Set while store or registry are down."""

    def run(self) -> None:
        """Until the inbox has ended and is empty."""
        while arrived := self.inbox.take(self._most):
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
            if words:
                self._take_words(words)

    def _take_packs(self, packs: Sequence[tuple[Arrived, Pack]]) -> int:
        """Commits and answers as many of `packs` as one commit holds; how many those were."""
        began_s = time.monotonic()
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
        if client := self.client:
            client.send_together(out)
        acknowledge(done)
        for outcome in outcomes:
            if outcome.answer is None or outcome.refused:
                self._log(outcome)
        if self._figures:
            self._figures.committed(outcomes, time.monotonic() - began_s, time.time_ns() // 1_000_000)
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
        gateway = outcome.pack.gateway
        if outcome.held:
            self._say(
                ("unknown", gateway), UNKNOWN_LOG_S, 1,
                "%s: no site names this gateway, its readings wait there; add it to a site file and run "
                "`makiba site apply`", gateway,
            )  # fmt: skip
        elif outcome.judged.away:
            self._say(
                ("away", gateway), UNKNOWN_LOG_S, 1,
                "%s: the store server of its farm does not answer, its readings wait there; "
                "`makiba store servers list` shows why", gateway,
            )  # fmt: skip
        elif outcome.judged.put_off:
            self._say(
                ("put off", gateway), REFUSED_LOG_S, 1,
                "%s: its packs cost too much time (%s shows why), it has to wait", gateway, "`makiba site refused`",
            )  # fmt: skip
        elif outcome.refused:
            self._say(
                ("refused", gateway), REFUSED_LOG_S, len(outcome.refused),
                "%s: %d records refused; the first: %s",
                gateway, len(outcome.refused), outcome.refused[0].reason,
            )  # fmt: skip

    def _say(self, what: tuple[str, str], every_s: float, count: int, text: str, *values: object) -> None:
        """A warning, at most one `every_s` about the same; the next one says how many were kept back."""
        now_s = time.monotonic()
        before_s, kept_back = self._said.get(what, (-every_s, 0))
        if now_s - before_s < every_s:
            self._said[what] = (before_s, kept_back + count)
            return
        if len(self._said) > MAX_SAID:
            self._said.clear()
        self._said[what] = (now_s, 0)
        more = f" (and {kept_back} more since this was last said)" if kept_back else ""
        log.warning(text + "%s", *values, more)

    def _take_words(self, items: Sequence[Arrived]) -> None:
        """Gateways' states, wills and lists of devices; a collector that connects hears those of all of them."""
        words = [word for item in items if (word := _word_of(item)) is not None]
        try:
            news = self._persist(lambda: self._ingest.take_words(words)) if words else None
        except Exception:
            # As above: a defect of ours must not end the worker, nor hold up the words of others.
            if len(items) > 1:
                for item in items:
                    self._take_words([item])
                return
            log.exception("message on %.120r cannot be processed", items[0].topic)
            news = None
        for state in news or ():
            log.info("%s: %s", state.series.subject, state.value)
            if client := self.client:
                client.send_together(feed_of_readings(state.series.subject, [state]))
        acknowledge(items)

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
                self._note_failing(True)
                if failures == 1:
                    log.error("%s; nothing is answered until it is back", error)
                low, high = _STORE_BACKOFF_S
                asked = getattr(error, "retry_after_s", None)
                if self.give_up.wait(asked or min(high, low * 2 ** min(failures - 1, 8))):
                    return None
            else:
                self._note_failing(False)
                if failures:
                    log.info("store and registry are back after %d attempts", failures)
                return done

    def _note_failing(self, failing: bool) -> None:
        if failing:
            self.failing.set()
        else:
            self.failing.clear()
        if self._figures:
            self._figures.store_failing.set(int(failing))
            if failing:
                self._figures.store_failures.inc()


def _word_of(item: Arrived) -> Word | None:
    """What a gateway says in `item`; None for any other topic, and where it takes a retained message away."""
    topic = item.topic.decode("utf-8", "replace")
    for verb in (topics.STATUS, topics.CONFIG_REPORTED):
        gateway = topics.gateway_of(topic, verb)
        if gateway is not None and item.payload:
            return Word(gateway, verb, item.payload, item.received_ms)
    return None


def acknowledge(items: Sequence[Arrived]) -> None:
    """Tells the broker that `items` are dealt with, each on the connection that it came on."""
    by_client: dict[QuickClient, list[bytes]] = {}
    for item in items:
        if item.qos:
            by_client.setdefault(item.client, []).append(puback_packet(item.mid))
    for client, packets in by_client.items():
        client.send_together(packets)
