"""The gateway as a process: what runs beside what, and in which order it stops.

A task per bus, one for the link, one for health; the spool has its own thread. Stopping: polling ends, what was
measured is committed, `stopped` is published, the link and the file are closed. Nothing is lost by not getting that
far.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from gateway.clock import Clock, read_boot_id
from gateway.driver import Bus
from gateway.health import keep_health
from gateway.record import Recorder
from gateway.site import Gateway
from gateway.spool import Spool
from gateway.uplink import Uplink
from makiba.reading import Reading, Series

log = logging.getLogger("makiba.gateway")

RESTART_S = 10.0


async def serve(gateway: Gateway) -> None:
    """Runs until SIGTERM or SIGINT."""
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
        dropped=Series(gateway.site, gateway.name, "spool_dropped"),
        boot_id=read_boot_id(),
        now_ms=clock.now_ms,
    )
    uplink = Uplink(gateway.name, gateway.site, gateway.mqtt, clock, software=software(), reported=reported(gateway))
    uplink.attach(spool)

    def keep(readings: Sequence[Reading]) -> None:
        spool.append(readings)

    recorder = Recorder(gateway.site, clock, keep)
    uplink.on_trouble = lambda state: recorder.record((), {f"{gateway.name}.spool": state})
    spool_failed: asyncio.Future[None] = loop.create_future()
    uplink.on_died = spool_failed.set_exception
    spool.start(uplink)
    log.info("gateway %s of site %s: %d buses", gateway.name, gateway.site, len(gateway.buses))
    link = asyncio.create_task(uplink.run(), name="uplink")
    pollers = [asyncio.create_task(_keep_bus(bus, recorder), name=f"bus {bus.name}") for bus in gateway.buses]
    pollers.append(
        asyncio.create_task(keep_health(gateway.name, gateway.site, clock, spool, recorder), name="health")
    )
    stop = asyncio.create_task(stopping.wait(), name="stop")
    try:
        # A task that ends by itself is a defect; the process ends with it and is started again by systemd.
        ends: set[asyncio.Future[Any]] = {stop, link, spool_failed, *pollers}
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
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


def software() -> str:
    """Name and version, as the status says it."""
    try:
        return f"makiba {version('makiba')}"
    except PackageNotFoundError:
        return "makiba"


def reported(gateway: Gateway) -> dict[str, Any]:
    """What the gateway tells the centre about its configuration."""
    return {
        "gateway": gateway.name,
        "site": gateway.site,
        "software": software(),
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
