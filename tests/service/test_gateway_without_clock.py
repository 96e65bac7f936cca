"""A gateway whose clock nobody keeps: readings wait for the collector's time and have it when they are published."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from collectors.judge import Owner, Pack, judge, outcome_of
from gateway.clock import BUILT_MS, Clock, Seen
from gateway.hot import ClockNote
from gateway.record import Recorder
from gateway.spool import Spool
from gateway.uplink import Uplink
from makiba.reading import Columns, Series
from makiba.senml import CONTENT_TYPE_JSON
from tests.parts import Broker
from tests.service.gateway_parts import GATEWAY, SITE, Collector


@dataclass
class Dark:
    """A board without a clock chip: its wall clock stands in 1970."""

    def see(self) -> Seen:
        return Seen(time.monotonic_ns(), 0, is_synchronised=False, is_kept=False)


def test_readings_are_held_until_the_collector_says_the_time_and_go_with_it(tmp_path: Path) -> None:
    series = Series(SITE, "tank-1", "milk_temperature")

    async def live(broker: Broker) -> tuple[int, int, list[int]]:
        clock = Clock(Dark().see)
        spool = Spool(
            tmp_path / "spool.db", max_mb=10, force_every_s=10, gateway=GATEWAY, site=SITE, boot_id="b",
            now_ms=clock.now_ms, hot=str(tmp_path / "hot"), is_held=True,
        )  # fmt: skip
        uplink = Uplink(GATEWAY, SITE, broker.options(GATEWAY), clock, software="test", reported={})
        uplink.attach(spool)
        known: list[int] = []

        def settle(shift_ms: int, note: ClockNote) -> None:
            known.append(shift_ms)
            spool.settle(shift_ms, note)

        clock.on_known = settle
        spool.start(uplink)
        opened = await spool.opened()
        clock.begin(opened.clock, opened.newest_ms, opened.noted_ms)
        assert clock.now_ms() > BUILT_MS
        recorder = Recorder(SITE, clock, spool.append)
        recorder.record([(series, 4.0)], {})
        measured_ms = time.time_ns() // 1_000_000
        link = asyncio.create_task(uplink.run())
        await asyncio.sleep(1.0)
        assert not known, "nobody has said the time"
        collector = await asyncio.to_thread(Collector, broker.options("collector"))
        async with asyncio.timeout(15):
            while not collector.values("tank-1", "milk_temperature"):  # noqa: ASYNC110 (another thread's)
                await asyncio.sleep(0.02)
        times = [r.time_ms for h in collector.heard for r in h.readings if r.series == series]
        link.cancel()
        await asyncio.gather(link, return_exceptions=True)
        await spool.stop()
        collector.close()
        return measured_ms, len(known), times

    with Broker() as broker:
        measured_ms, settled, times = asyncio.run(live(broker))
    assert settled == 1
    assert len(set(times)) == 1
    assert abs(times[0] - measured_ms) < 500


def test_a_question_for_the_time_is_answered_and_leaves_no_dead_letter() -> None:
    pack = Pack("gw-1", b"a" * 16 + b"/1", b'[{"bn":"shikaoi-001/"}]', 1_800_000_000_000, CONTENT_TYPE_JSON)
    judged = judge(pack, Owner("shikaoi-001"), Columns())
    outcome = outcome_of(judged, 1_800_000_000_123)
    assert (outcome.count, outcome.refused) == (0, ())
    assert outcome.ack
    assert (outcome.ack.stored, outcome.ack.time_ms) == (0, 1_800_000_000_123)
