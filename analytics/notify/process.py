"""The notifier's loop: carries what is due, makes lists, sends, beats. Any number of them may run.

Guarantees: everything that it knows is in the registry, so that it may be killed anywhere. A channel that hangs holds
up its own threads and nothing else. While the registry is down it waits; what was due is sent when it is back.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Final

from analytics.notify import beat, crowd, lists
from analytics.notify.begin import ME
from analytics.notify.carry import carry_one, is_due
from analytics.notify.port import Channel
from analytics.notify.send import LEASE_MS, send_one
from analytics.notify.who import Ways
from collectors.registry import Registry, RegistryUnavailable, outbox
from collectors.store import Store

log = logging.getLogger(__name__)

TICK_S: Final = 0.2
SLOW_S: Final = 2.0
"""How often lists, late summaries and requests for links are looked for."""
MONTHS_S: Final = 600.0
THREADS: Final = 3
"""Messages of one channel that are sent at once by one notifier."""
MAX_TRACEBACKS: Final = 10


def now_ms() -> int:
    """UTC in milliseconds."""
    return time.time_ns() // 1_000_000


class Notifier:
    """One notifier. `run` blocks until `stop` is set."""

    def __init__(
        self,
        registry: Registry,
        ways: Ways,
        *,
        store: Store | None = None,
        heartbeat_url: str = "",
        clock: Callable[[], int] = now_ms,
        lease_ms: int = LEASE_MS,
    ) -> None:
        self._months: dict[str, int | None] = {}
        self._registry, self._store, self._url, self._clock = registry, store, heartbeat_url, clock
        self._ways = replace(ways, months=self._months)
        self._lease, self._lease_ms = secrets.token_hex(16), lease_ms
        self._pools = {name: ThreadPoolExecutor(THREADS, thread_name_prefix=name) for name in ways.channels}
        self._rest = ThreadPoolExecutor(1, thread_name_prefix="closed")
        self._busy: dict[str, list[Future[None]]] = {}
        self._slow_at = self._beat_at = self._months_at = 0.0
        self._asked_ms = clock() - lists.MAIL_EVERY_MS
        self._broken = False
        self._silent = ""
        self._tracebacks = 0
        self._beating: Future[None] | None = None

    def run(self, stop: threading.Event) -> None:
        """Sends until `stop`; what is in a channel's hands then is waited for."""
        try:
            while not stop.is_set():
                self._guarded(self._step)
                self._ask_months()
                self._beat()
                stop.wait(TICK_S)
        finally:
            for pool in (*self._pools.values(), self._rest):
                pool.shutdown(wait=True, cancel_futures=True)

    # ------------------------------------------------------------------------------------- what is done

    def _step(self) -> None:
        at_ms = self._clock()
        with self._registry.read() as session:
            carries = is_due(session, at_ms)
        while carries:
            with self._registry.write() as session:
                carries = carry_one(session, self._ways, self._clock())
        if time.monotonic() >= self._slow_at:
            self._slow_at = time.monotonic() + SLOW_S
            self._slow()
        with self._registry.read() as session:
            due = outbox.channels_due(session, ME, self._clock())
        for channel in due:
            self._send(channel)

    def _slow(self) -> None:
        at_ms = self._clock()
        with self._registry.read() as session:
            whose = outbox.held_due(session, ME, at_ms)
            is_more = lists.is_more(session, self._asked_ms)
            is_crowd = crowd.is_to_tell(session, at_ms)
        if is_crowd:
            with self._registry.write() as session:
                crowd.tell_incidents(session, self._ways, at_ms)
        for person, contact in whose:
            with self._registry.write() as session:
                lists.fold(session, self._ways, person, contact, at_ms)
        if is_more:
            with self._registry.write() as session:
                lists.tell_late(session, self._ways, at_ms)
                lists.tell_who_asked(session, self._ways, self._asked_ms, at_ms)
            self._asked_ms = at_ms - lists.MAIL_EVERY_MS // 60

    def _send(self, channel: str) -> None:
        """Lets the channel's threads work, unless they do already. What is for one that is not open is passed on."""
        busy = [one for one in self._busy.get(channel, ()) if not one.done()]
        if len(busy) < THREADS:
            busy.append(self._pools.get(channel, self._rest).submit(self._guarded, lambda: self._empty(channel)))
        self._busy[channel] = busy

    def _empty(self, channel: str) -> None:
        lease = f"{self._lease[:16]}{secrets.token_hex(8)}"
        while send_one(self._registry, self._ways, channel, lease, self._clock, self._lease_ms):
            pass

    def _ask_months(self) -> None:
        """Finds out what each channel's month has; the vendor may be slow, and nobody waits for it."""
        if time.monotonic() >= self._months_at:
            self._months_at = time.monotonic() + MONTHS_S
            for name, channel in self._ways.channels.items():
                self._rest.submit(self._guarded, partial(self._ask_month, name, channel))

    def _ask_month(self, name: str, channel: Channel) -> None:
        self._months[name] = channel.monthly

    def _beat(self) -> None:
        if not self._url or time.monotonic() < self._beat_at or (self._beating and not self._beating.done()):
            return
        self._beat_at = time.monotonic() + beat.EVERY_S
        self._beating = self._rest.submit(self._guarded, self._look_and_beat)

    def _look_and_beat(self) -> None:
        at_ms = self._clock()
        silent = beat.is_alive(beat.look(self._registry, self._store, at_ms), at_ms)
        if silent != self._silent:
            log.warning("the heartbeat %s", f"ends: {silent} is not alive" if silent else "goes on")
            self._silent = silent
        if not silent and not beat.beat(self._url):
            log.warning("the heartbeat does not get through")

    def _guarded(self, work: Callable[[], None]) -> None:
        """Does `work`. A registry that is down is told of once; a defect must not end the notifier."""
        try:
            work()
        except RegistryUnavailable as error:
            if not self._broken:
                log.warning("registry: %s; trying again", error)
                self._broken = True
            time.sleep(TICK_S)
        except Exception:
            self._tracebacks += 1
            if self._tracebacks <= MAX_TRACEBACKS:
                log.exception("the notifier goes on")
            time.sleep(TICK_S)
        else:
            if self._broken:
                self._broken = False
                log.info("registry: is back")
