"""What `makiba watch` counts, as OpenMetrics; `makiba.figures` gives it out.

No label holds a farm's, a device's or a person's name: a page of figures is read by machines that may not know them,
and a label per farm would make thousands of series. Counters begin at zero with the process. Names and units follow
the OpenMetrics specification: seconds, `_total` for what only grows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from makiba.rule import SEVERITIES

_LAG_S: Final = (0.5, 1, 2, 5, 10, 30, 60, 300, 3600)
_WORK_S: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)


class Figures:
    """The figures of one worker. Its thread writes them, the page's thread reads them."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._judged = Counter(
            "makiba_watch_readings_judged",
            "Readings given to the judges: as the feed brought them, or from the store",
            ["source"],
            registry=registry,
        )
        self._holes = Counter(
            "makiba_watch_holes_filled",
            "Readings that the feed did not bring and the store had, after a farm's first look",
            registry=registry,
        )
        self._lag = Histogram(
            "makiba_watch_lag_seconds",
            "From a pack's newest reading being measured to its being judged; a backlog counts too",
            buckets=_LAG_S,
            registry=registry,
        )
        self._newest = Gauge(
            "makiba_watch_newest_reading_timestamp_seconds",
            "When the newest reading judged so far was measured; 0 before the first",
            registry=registry,
        )
        self.judging = Histogram(
            "makiba_watch_judge_seconds",
            "One round: judging what the feed brought, of all farms, and writing what follows",
            buckets=_WORK_S,
            registry=registry,
        )
        self._alerts = Gauge("makiba_watch_open_alerts", "Open alerts by severity", ["severity"], registry=registry)
        self._decisions = Counter(
            "makiba_watch_decisions", "Steps of alerts written into the book", ["kind"], registry=registry
        )
        self.farms = Gauge("makiba_watch_farms", "Farms that are watched", registry=registry)
        self.feed_up = Gauge(
            "makiba_watch_feed_up", "1 while the committed feed is listened to, else 0", registry=registry
        )
        self.defects = Counter(
            "makiba_watch_defects", "Times a farm could not be judged and was begun anew", registry=registry
        )
        self._newest_ms = 0
        for source in ("feed", "store"):
            self._judged.labels(source)
        self.count_alerts(())

    def took(self, count: int, found: int, newest_ms: int, now_ms: int) -> None:
        """A pack of `count` readings, the newest of `newest_ms`, and `found` more that were missing before it."""
        self._judged.labels("feed").inc(count)
        self.filled(found)
        self._lag.observe(max(0.0, (now_ms - newest_ms) / 1000))
        self._newest_ms = max(self._newest_ms, newest_ms)
        self._newest.set(self._newest_ms / 1000)

    def filled(self, count: int, *, at_start: bool = False) -> None:
        """`count` readings came from the store; `at_start` because a farm was looked at for the first time."""
        self._judged.labels("store").inc(count)
        if not at_start:
            self._holes.inc(count)

    def decided(self, kind: str) -> None:
        self._decisions.labels(kind).inc()

    def count_alerts(self, severities: Iterable[str]) -> None:
        """All alerts that are open now, each by its severity."""
        counts: Mapping[str, int] = _counted(severities)
        for severity in SEVERITIES:
            self._alerts.labels(severity).set(counts.get(severity, 0))


def _counted(words: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return counts
