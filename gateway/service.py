"""The gateway as a process: what runs beside what, and in which order it stops.

A task per bus, one for the link, one for health, one for alarms; the spool has its own thread. Stopping: alarm
outputs are let go, polling ends, what was measured is committed, `stopped` is published, the link and the file are
closed. Nothing is lost by not getting that far.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gateway.board import Board
from gateway.clock import Clock, read_boot_id, unset_readings
from gateway.driver import Bus
from gateway.health import Health
from gateway.hot import ClockNote, SpoolInUse
from gateway.latest import Latest
from gateway.record import Recorder
from gateway.site import Gateway
from gateway.spool import Spool
from gateway.systemd import notify
from gateway.uplink import Uplink
from gateway.window import Window, WindowRules
from makiba.reading import Reading

if TYPE_CHECKING:
    from gateway.alarm import Safety

log = logging.getLogger("makiba.gateway")

RESTART_S = 10.0


async def serve(gateway: Gateway, software: str) -> None:
    """Runs until SIGTERM or SIGINT. `software` is what the status calls it."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.set_exception_handler(_say_unexpected)
    clock = Clock()
    spool = Spool(
        gateway.spool.path,
        max_mb=gateway.spool.max_mb,
        force_every_s=gateway.spool.force_every.total_seconds(),
        gateway=gateway.name,
        site=gateway.site,
        boot_id=read_boot_id(),
        now_ms=clock.now_ms,
        hot=gateway.spool.hot,
        is_held=True,
    )
    uplink = Uplink(
        gateway.name,
        gateway.site,
        gateway.mqtt,
        clock,
        software=software,
        reported=reported(gateway, software),
        window=Window(WindowRules(backlog_per_s=gateway.spool.backlog_per_s)),
    )
    uplink.attach(spool)

    latest = Latest()

    def keep(readings: Sequence[Reading]) -> None:
        # First, since a siren waits for nothing. What belongs to an alarm must outlive a power cut that follows it.
        is_alarm = safety is not None and safety.see(readings)
        spool.append(readings, urgent=is_alarm)
        if gateway.page:
            latest.take(readings)

    recorder = Recorder(gateway.site, clock, keep)
    safety = _safety(gateway, recorder)
    health = Health(gateway, clock, spool, recorder, Board())
    early: list[str] = []  # troubles of the spool before there is a clock to stamp them with
    uplink.on_trouble = early.append
    spool_failed: asyncio.Future[None] = loop.create_future()
    uplink.on_died = spool_failed.set_exception
    _join_clock(clock, spool, uplink, recorder, gateway)
    try:
        spool.start(uplink)
    except SpoolInUse as error:
        log.error("%s", error)
        raise SystemExit(1) from None
    # Nothing is polled before there is a file to keep it in; a card that hangs must not hold that up for ever.
    known = await spool.opened()
    clock.begin(known.clock, known.newest_ms, known.noted_ms)
    uplink.on_trouble = lambda state: recorder.record((), {f"{gateway.name}.spool": state})
    for state in early:
        uplink.on_trouble(state)
    log.info("gateway %s of site %s: %d buses", gateway.name, gateway.site, len(gateway.buses))
    link = asyncio.create_task(uplink.run(), name="uplink")
    pollers = [asyncio.create_task(_keep_bus(bus, recorder), name=f"bus {bus.name}") for bus in gateway.buses]
    pollers.append(asyncio.create_task(health.keep(), name="health"))
    pollers.append(asyncio.create_task(health.feed_watchdog(), name="watchdog"))
    if safety:
        pollers.append(asyncio.create_task(safety.run(), name="safety"))
    pollers += _local_pages(gateway, clock, spool, uplink, health, latest)
    pollers.append(asyncio.create_task(_note_time(clock, spool), name="note time"))
    stop = asyncio.create_task(stopping.wait(), name="stop")
    try:
        # A task that ends by itself is a defect; the process ends with it and is started again by systemd.
        ends: set[asyncio.Future[Any]] = {stop, link, spool_failed, *pollers}
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        notify("STOPPING=1")
        if safety:
            await safety.stop()
        await _cancel(pollers)
        await spool.flush()
        await asyncio.sleep(0)
        await uplink.stop()
    finally:
        await _cancel([stop, link, *pollers])
        await spool.stop()
    for task in done - {stop}:
        task.result()
    log.info("gateway %s stopped", gateway.name)


def _safety(gateway: Gateway, recorder: Recorder) -> Safety | None:
    """The alarms of this gateway; None when it has none."""
    if not gateway.watches:
        return None
    from gateway.alarm import OutputMissing, Safety  # with the judge and its rules

    try:
        return Safety(gateway, recorder)
    except OutputMissing as error:
        log.error("%s", error)
        raise SystemExit(2) from None


def _local_pages(
    gateway: Gateway, clock: Clock, spool: Spool, uplink: Uplink, health: Health, latest: Latest
) -> list[asyncio.Task[None]]:
    if not (gateway.metrics or gateway.page):
        return []
    from gateway.served import serve_locally  # most gateways serve nothing, and hold nothing for it

    return serve_locally(gateway, clock, spool, uplink, health, latest)


def _join_clock(clock: Clock, spool: Spool, uplink: Uplink, recorder: Recorder, gateway: Gateway) -> None:
    """What the clock and the spool tell each other, and how that shows."""
    subject = f"{gateway.name}.clock"

    def known(shift_ms: int, note: ClockNote) -> None:
        spool.settle(shift_ms, note)
        recorder.record((), {subject: "ok"})
        log.info("the time is known (%s)", clock.source)

    def unset(boots: list[tuple[str, int, int]]) -> None:
        began_ms = clock.now_ms() - time.monotonic_ns() // 1_000_000
        for boot, first_ms, last_ms in boots:
            log.warning("boot %s ended before it knew the time; its readings say so", boot)
            spool.append(unset_readings(gateway.site, subject, first_ms, last_ms, began_ms))

    clock.on_known, clock.on_note, uplink.on_unset = known, spool.note_clock, unset


async def _note_time(clock: Clock, spool: Spool) -> None:
    """Keeps a note on the card of what time it is, for a boot that has no clock."""
    while True:
        if clock.is_known:
            spool.note_time(clock.now_ms())
        await asyncio.sleep(60.0)


async def _keep_bus(bus: Bus, recorder: Recorder) -> None:
    """Keeps one bus; a defect in its driver must not stop the others."""
    while True:
        try:
            await bus.driver.run(bus, recorder)
        except Exception:
            log.exception("bus %s: unexpected error; starting again in %.0f s", bus.name, RESTART_S)
            recorder.record((), {bus.subject: "down"})
        await asyncio.sleep(RESTART_S)


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _say_unexpected(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A library's callback raised: one line; what it was about ends in a timeout there."""
    del loop
    log.error("%s: %r", context.get("message"), context.get("exception"))


def reported(gateway: Gateway, software: str) -> dict[str, Any]:
    """What the gateway tells the centre about its configuration."""
    return {
        "gateway": gateway.name,
        "site": gateway.site,
        "software": software,
        "devices": [
            {
                "name": device.name,
                "bus": bus.name,
                "profile": device.profile_name,
                "every_s": (device.options.every or device.profile.timeout).total_seconds(),
                "subjects": list(device.subjects),
            }
            for bus in gateway.buses
            for device in bus.devices
        ],
    }
