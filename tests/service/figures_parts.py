"""A page of figures, as a monitoring server asks for it and reads it."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass

from prometheus_client.openmetrics.parser import text_string_to_metric_families

OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Page:
    """Each sample by its name and labels, `name{label=value,…}`."""

    samples: dict[str, float]
    labels: frozenset[tuple[str, str]]

    def __getitem__(self, name: str) -> float:
        return self.samples[name]


def page(port: int) -> Page:
    """The figures on `port`, read strictly as OpenMetrics."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": OPEN_METRICS})
    with _direct.open(request, timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        text = answer.read().decode()
    samples: dict[str, float] = {}
    labels: set[tuple[str, str]] = set()
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]
        for sample in family.samples:
            spelled = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            samples[f"{sample.name}{{{spelled}}}" if spelled else sample.name] = sample.value
            labels |= set(sample.labels.items())
    return Page(samples, frozenset(labels))
