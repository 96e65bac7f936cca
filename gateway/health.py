"""How the gateway itself is: once a minute as readings, always as OpenMetrics, and to systemd's watchdog.

The watchdog is fed only while the work goes on: every polled bus came to the end of a poll (or of an attempt to open
its line) not long ago, and the spool's thread answers. A full card or a dead bus is no reason to start again, and is
told as a state instead. Once a second the clock is followed, and states are said again before they are old.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence

from gateway.board import THROTTLED, UNDER_VOLTAGE, Board, disk_of
from gateway.clock import Clock
from gateway.counts import Counts
from gateway.driver import Bus
from gateway.record import Recorder
from gateway.site import Gateway
from gateway.spool import Spool
from gateway.systemd import notify, watchdog_s
from makiba.reading import Series

log = logging.getLogger("makiba.gateway.health")

EVERY_S = 60.0
STUCK_S = 120.0
"""A polled bus whose task did nothing for so long, or for three of its slowest polls, is stuck."""
SPOOL_S = 10.0


class Health:
    """The gateway's own figures."""

    def __init__(self, gateway: Gateway, clock: Clock, spool: Spool, recorder: Recorder, board: Board) -> None:
        self._gateway, self._clock, self._spool, self._recorder = gateway, clock, spool, recorder
        self._board = board
        self._began_s = time.monotonic()
        self._busy_since = (self._began_s, dict[str, int]())
        self._utilisation: dict[str, float] = {}

    @property
    def counts(self) -> Counts:
        return self._recorder.counts

    def measure(self) -> list[tuple[Series, float]]:
        """This minute's readings."""
        self._note_utilisation()
        site, name = self._gateway.site, self._gateway.name
        found = [(Series(site, name, quantity), value) for quantity, value in self.figures()]
        buses = ((Series(site, bus, "bus_utilisation"), share) for bus, share in self._utilisation.items())
        return [*found, *buses]

    def _note_utilisation(self) -> None:
        now_s, (then_s, before) = time.monotonic(), self._busy_since
        busy = dict(self.counts.busy_ns)
        if now_s - then_s >= 1:
            self._utilisation = {
                f"{self._gateway.name}.{bus}": min((ns - before.get(bus, 0)) / 1e9 / (now_s - then_s), 1.0)
                for bus, ns in busy.items()
            }
            self._busy_since = (now_s, busy)

    def figures(self) -> Iterator[tuple[str, float]]:
        """(quantity, value) of the gateway as a whole, in the catalogue's units; what is not known is left out."""
        counts = self.counts
        yield "spool_backlog", float(self._spool.waiting)
        yield "polls", float(counts.polls.total())
        for kind in ("timeout", "damaged", "exception", "other"):
            yield f"polls_{kind}", float(counts.errors_of(kind))
        if self._clock.is_known:
            yield "clock_offset", round(self._clock.now_ms() / 1000 - time.time(), 3)
        if (cpu_c := self._board.cpu_c()) is not None:
            yield "cpu_temperature", cpu_c
        if (power := self._board.power()) is not None:
            yield "under_voltage", float(power.now(UNDER_VOLTAGE) or power.since_boot(UNDER_VOLTAGE))
            yield "throttled", float(power.now(THROTTLED))
        if (written := self._board.written_bytes()) is not None:
            yield "card_written", float(written)
        if disk := disk_of(self._gateway.spool.path):
            yield "disk_free", disk.free_bytes / disk.size_bytes if disk.size_bytes else 0.0

    def stuck(self, now_s: float) -> list[str]:
        """Buses whose task does nothing any more."""
        polled = [bus for bus in self._gateway.buses if bus.driver.loads(bus)]
        return [b.name for b in polled if now_s - self.counts.lively_s.get(b.name, self._began_s) > _patience_s(b)]

    async def keep(self) -> None:
        """Runs until cancelled."""
        due_s = time.monotonic()
        while True:
            step_ns = self._clock.follow()
            if step_ns:
                log.warning("the wall clock was set by %+.1f s", step_ns / 1e9)
            if time.monotonic() >= due_s:
                due_s += EVERY_S
                self._recorder.record(self.measure(), {})
                self._recorder.say_again()
            await asyncio.sleep(1.0)

    async def feed_watchdog(self) -> None:
        """Tells systemd that the gateway is up, and goes on telling it while that is true."""
        notify("READY=1")
        longest_s = watchdog_s()
        if longest_s is None:
            await asyncio.Event().wait()
        assert longest_s is not None
        said: Sequence[str] = ()
        while True:
            stuck = self.stuck(time.monotonic())
            if not await self._spool_answers():
                stuck.append("spool")
            if stuck and stuck != said:
                log.error("the watchdog is not fed: nothing goes on at %s", ", ".join(stuck))
            said = stuck
            if not stuck:
                notify("WATCHDOG=1")
            await asyncio.sleep(longest_s / 3)

    async def _spool_answers(self) -> bool:
        try:
            async with asyncio.timeout(SPOOL_S):
                await self._spool.flush()
        except TimeoutError:
            return False
        return True


def _patience_s(bus: Bus) -> float:
    slowest = max((device.options.every for device in bus.devices if device.options.every), default=None)
    return max(STUCK_S, 3 * slowest.total_seconds() if slowest else 0.0)


def open_metrics(health: Health) -> str:
    """The figures as OpenMetrics text."""
    kinds = {"polls", "polls_timeout", "polls_damaged", "polls_exception", "polls_other", "card_written"}
    lines: list[str] = []
    for name, value in health.figures():
        full = f"makiba_gateway_{name}"
        is_counter = name in kinds
        lines += [
            f"# TYPE {full} {'counter' if is_counter else 'gauge'}",
            f"{full}{'_total' if is_counter else ''} {value:g}",
        ]
    for name, per_bus in (("polls", health.counts.polls), ("busy_seconds", health.counts.busy_ns)):
        full = f"makiba_bus_{name}"
        lines.append(f"# TYPE {full} counter")
        scale = 1e-9 if name == "busy_seconds" else 1
        lines += [f'{full}_total{{bus="{bus}"}} {n * scale:g}' for bus, n in per_bus.items()]
    lines.append("# TYPE makiba_bus_errors counter")
    lines += [f'makiba_bus_errors_total{{bus="{b}",kind="{k}"}} {n}' for (b, k), n in health.counts.errors.items()]
    return "\n".join([*lines, "# EOF", ""])
