"""What `makiba collect` counts, as OpenMetrics; `makiba.figures` gives it out.

No label holds a farm's or a gateway's name: a page of figures is read by machines that may not know them. Counters
begin at zero with the process. Names and units follow the OpenMetrics specification: seconds, `_total` for what only
grows.
"""

from __future__ import annotations

import re
from collections import Counter as Count
from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from collectors.judge import Outcome

_COMMIT_S: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)
_FRESH_S: Final = (0.1, 0.3, 1, 2, 5, 10, 30, 60, 300, 3600, 86_400)

# The first that is found in a refusal's reason says what kind of reason it is.
_KINDS: Final = (
    ("site", r"is not the site of"),
    ("revoked", r"is revoked"),
    ("batch", r"^correlation data"),
    ("words", r"^(status|config/reported) cannot be read"),
    ("time", r"\btime\b|'t' is not|'ut' is not"),
    ("implausible", r"is outside"),
    ("unit", r"^unit |'u' is not"),
    ("quantity", r"is not in the catalogue"),
    ("name", r"is not of the form|is not site/subject/quantity|has no name|'n' is not"),
    ("unreadable", r"^not (JSON|CBOR)|pack|inflate|^content|^record \d|^MQTT"),
    ("value", r"text|number|value|'vb'|'vd'|'s' is not"),
)
_KIND: Final = [(kind, re.compile(pattern)) for kind, pattern in _KINDS]
KINDS: Final = (*(kind for kind, _ in _KINDS), "store")
PACKS: Final = ("stored", "partly", "refused", "held", "put-off", "away")


def kind_of(reason: str) -> str:
    """What kind of reason a refusal has; `store` for what only the store can say."""
    return next((kind for kind, pattern in _KIND if pattern.search(reason)), "store")


class Figures:
    """The figures of one collector. Its worker writes them, the page's thread reads them."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._packs = Counter(
            "makiba_collect_packs",
            "Packs by what became of them; held: no farm knows the gateway, put-off: it costs too much, "
            "away: its farm's store server does not answer",
            ["outcome"],
            registry=registry,
        )
        self._readings = Counter(
            "makiba_collect_readings", "Readings committed, those that came again included", registry=registry
        )
        self._refused = Counter(
            "makiba_collect_refused", "Records refused, by the kind of reason", ["reason"], registry=registry
        )
        self._commit = Histogram(
            "makiba_collect_commit_seconds",
            "One commit: judging packs, store, dead letters",
            buckets=_COMMIT_S,
            registry=registry,
        )
        self._fresh = Histogram(
            "makiba_collect_freshness_seconds",
            "From a pack's last reading being measured to its being committed; a backlog counts too",
            buckets=_FRESH_S,
            registry=registry,
        )
        self._inbox = Gauge(
            "makiba_collect_inbox", "Messages that have arrived and are not dealt with", registry=registry
        )
        self.store_failing = Gauge(
            "makiba_collect_store_failing", "1 while store or registry does not take what is there", registry=registry
        )
        self.store_failures = Counter(
            "makiba_collect_store_failures", "Attempts that store or registry did not take", registry=registry
        )
        self._last = Gauge(
            "makiba_collect_last_commit_timestamp_seconds", "When something was committed last", registry=registry
        )
        self.broker_up = Gauge(
            "makiba_collect_broker_up", "1 while the collector is connected to the broker", registry=registry
        )
        for outcome in PACKS:
            self._packs.labels(outcome)
        for kind in KINDS:
            self._refused.labels(kind)

    def watch_inbox(self, length: Callable[[], int]) -> None:
        self._inbox.set_function(length)

    def committed(self, outcomes: Sequence[Outcome], took_s: float, now_ms: int) -> None:
        """A commit that took `took_s` and made `outcomes`."""
        kinds = Count(map(_spell, outcomes))
        for kind, count in kinds.items():
            self._packs.labels(kind).inc(count)
        self._readings.inc(sum(outcome.count for outcome in outcomes))
        reasons = Count(kind_of(refusal.reason) for outcome in outcomes for refusal in outcome.refused)
        for reason, count in reasons.items():
            self._refused.labels(reason).inc(count)
        for outcome in outcomes:
            if outcome.count:
                age_s = (now_ms - outcome.judged.columns.times_ms[outcome.judged.end - 1]) / 1000
                self._fresh.observe(max(0.0, age_s))
        self._commit.observe(took_s)
        self._last.set(now_ms / 1000)


def _spell(outcome: Outcome) -> str:
    if outcome.held:
        return "held"
    if outcome.judged.away:
        return "away"
    if outcome.judged.put_off:
        return "put-off"
    if not outcome.refused:
        return "stored"
    return "partly" if outcome.count else "refused"
