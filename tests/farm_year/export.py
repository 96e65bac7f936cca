"""A year as files for `makiba backtest`: readings as `makiba export` writes them, the farm's site file, the labels.

One file for the whole year, since what holds for a file (a fault's span) is said by its name. The order is that of
measurement; what came late is where it belongs.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from makiba.quantities import catalogue
from makiba.reading import Reading
from tests.farm_year.hazards import hazards_of
from tests.farm_year.instruments import GATEWAY, PLACES, SITE
from tests.farm_year.labels import labels_of
from tests.farm_year.plan import DAY_MIN
from tests.farm_year.year import Year

READINGS = "year.csv"
HEADS = ("utc_ms", "site", "subject", "quantity", "value", "text", "unit")


def write(year: Year, folder: Path) -> int:
    """Writes `year.csv`, `site.yaml` and `labels.json`; how many readings."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "site.yaml").write_text(yaml.safe_dump(_site(year), allow_unicode=True, sort_keys=False))
    (folder / "labels.json").write_text(json.dumps({READINGS: _labels(year)}, indent=1))
    count = 0
    with (folder / READINGS).open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(HEADS)
        for r in _by_time(year):
            value, text = ("", r.value) if isinstance(r.value, str) else (r.value, "")
            rows.writerow([r.time_ms, *r.series, value, text, catalogue()[r.series.quantity].unit or ""])
            count += 1
    return count


def _by_time(year: Year) -> Iterator[Reading]:
    """All readings by when they were measured: a backlog of two days is the longest that is waited for."""
    waiting: list[Reading] = []
    for number, day in enumerate(year.stream().days()):
        waiting = sorted([*waiting, *(r for _, r in day)], key=lambda r: r.time_ms)
        before_ms = year.plan.at((number - 2) * DAY_MIN)
        done = next((i for i, r in enumerate(waiting) if r.time_ms >= before_ms), len(waiting))
        yield from waiting[:done]
        waiting = waiting[done:]
    yield from waiting


def _labels(year: Year) -> dict[str, Any]:
    faults = [
        {"name": f"{la.kind} {la.target}".strip(), "start": la.start_ms / 1000, "visible": la.visible_ms / 1000,
         "deadline": la.deadline_ms / 1000, "end": la.end_ms / 1000}
        for la in labels_of(year)
        if la.visible_ms is not None
    ]  # fmt: skip
    excused = [[h.start_ms / 1000, h.end_ms / 1000] for h in hazards_of(year) if h.severity != "info"]
    return {"faults": faults, "excused": excused, "until": year.plan.at(year.plan.minutes) / 1000}


def _site(year: Year) -> dict[str, Any]:
    name = {"ja": "ためしの 牧場", "en": "Trial farm"}
    placements = [
        {"subject": s, "place": p.place, **({"role": p.role} if p.role else {}), "name": {"ja": s, "en": s}}
        for s, p in year.farm.placed.items()
    ]
    return {
        "site": SITE, "name": name, "timezone": "Asia/Tokyo", "gateways": [GATEWAY],
        "places": [{"id": i, "kind": k, "name": {"ja": i, "en": i}} for i, k in PLACES.items()],
        "placements": placements, "settings": year.settings,
    }  # fmt: skip
