"""systemd's watchdog is fed while polls and commits go on, not while either is stuck, and again when it is free."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway import hot
from gateway.board import Board
from gateway.bus import Heard, Poll, PolledBus
from gateway.clock import Clock
from gateway.drivers import drivers
from gateway.health import Health
from gateway.record import Recorder
from gateway.site import Gateway, load_gateway
from gateway.spool import Spool, SpoolEvents
from tests.parts import free_port

WATCHDOG_US = "300000"  # fed every 0.1 s
LONG_S = 1.0
"""Ten meals that are not served."""


class Systemd:
    """The notification socket that systemd would listen to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.meals = 0

    def fed(self) -> int:
        """How often so far."""
        while True:
            try:
                self.meals += self._socket.recv(256) == b"WATCHDOG=1"
            except BlockingIOError:
                return self.meals

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    it = Systemd(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(it.path))
    monkeypatch.setenv("WATCHDOG_USEC", WATCHDOG_US)
    yield it
    it.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "meter.yaml").write_text(
        "driver: modbus\nnames: {ja: 計器, en: Meter}\nsource: {trust: proposed, document: ours}\n"
        "registers: [{quantity: voltage, table: holding, address: 0, type: uint16}]\n",
        encoding="utf-8",
    )
    file = tmp_path / "gateway.yaml"
    file.write_text(
        f"gateway: gw-a\nsite: shikaoi-002\nprofiles: .\nmqtt: {{host: 127.0.0.1, port: {free_port()}}}\n"
        f"spool: {{path: spool.db, hot: hot}}\nbuses:\n  barn:\n    tcp: {{host: 127.0.0.1, port: {free_port()}}}\n"
        "    devices: [{name: meter-1, profile: meter, unit_id: 1, every: 1s}]\n",
        encoding="utf-8",
    )
    return file


class Line:
    """A bus's wire. While `flows` is not set a poll does not end, as when an adapter swallows it."""

    down_word = "bus-down"

    def __init__(self) -> None:
        self.lost, self.flows = asyncio.Event(), asyncio.Event()
        self.flows.set()

    async def open(self) -> None: ...

    async def poll(self, index: int) -> Poll:
        await self.flows.wait()
        return Poll([], {}, Heard.ANSWER)

    def ready_s(self, index: int) -> float:
        return 0.0

    def close(self) -> None: ...


@asynccontextmanager
async def running(gateway: Gateway) -> AsyncIterator[tuple[Line, Recorder]]:
    """Spool, bus and health as `gateway.service` joins them."""
    clock, line = Clock(), Line()
    spool = Spool(
        gateway.spool.path, max_mb=10, force_every_s=10, gateway=gateway.name, site=gateway.site, boot_id="b",
        now_ms=clock.now_ms, hot=gateway.spool.hot,
    )  # fmt: skip
    recorder = Recorder(gateway.site, clock, spool.append)
    health = Health(gateway, clock, spool, recorder, Board())
    spool.start(SpoolEvents())
    await spool.opened()
    bus = PolledBus(gateway.buses[0], [10_000_000], line, recorder)
    tasks = [asyncio.create_task(bus.run()), asyncio.create_task(health.feed_watchdog())]
    try:
        yield line, recorder
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await spool.stop()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 (a socket that is looked at)
            await asyncio.sleep(0.02)


async def starves(systemd: Systemd) -> bool:
    """Whether it stops being fed: nothing comes for `LONG_S`."""
    async with asyncio.timeout(10):
        while True:
            before = systemd.fed()
            await asyncio.sleep(LONG_S)
            if systemd.fed() == before:
                return True


def test_a_bus_that_hangs_is_not_covered_up(
    file: Path, systemd: Systemd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.health.STUCK_S", 0.5)

    async def story() -> None:
        async with running(load_gateway(file, drivers())) as (line, _):
            await until(lambda: systemd.fed() >= 5)
            line.flows.clear()
            assert await starves(systemd)
            assert "nothing goes on at barn" in caplog.text
            line.flows.set()
            fed = systemd.fed()
            await until(lambda: systemd.fed() >= fed + 5)

    asyncio.run(story())


def test_commits_that_hang_are_not_covered_up(
    file: Path, systemd: Systemd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.health.SPOOL_S", 0.5)
    ends = threading.Event()
    ends.set()
    write = hot._write_all

    def slow(fd: int, data: bytes) -> None:
        ends.wait()  # a write that the disk does not end
        write(fd, data)

    monkeypatch.setattr("gateway.hot._write_all", slow)

    async def story() -> None:
        async with running(load_gateway(file, drivers())) as (_, recorder):
            await until(lambda: systemd.fed() >= 5)
            ends.clear()
            try:
                recorder.record([], {"meter-1": "timeout"})
                assert await starves(systemd)
                assert "nothing goes on at spool" in caplog.text
            finally:
                ends.set()
            fed = systemd.fed()
            await until(lambda: systemd.fed() >= fed + 5)

    asyncio.run(story())
