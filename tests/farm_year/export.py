"""A year as CSV, one file a month, for `makiba backtest` and for whoever wants to look at it."""

from __future__ import annotations

import csv
from pathlib import Path

import yaml

from tests.farm_year.weather import local_day
from tests.farm_year.year import Year


def write(year: Year, folder: Path) -> int:
    """Writes the readings and the farm's site file; how many readings."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "site.yaml").write_text(yaml.safe_dump(_site(year), allow_unicode=True, sort_keys=False))
    count = 0
    for number, day in enumerate(year.stream().days()):
        name = folder / f"{local_day(year.plan, number):%Y-%m}.csv"
        with name.open("a", newline="") as file:
            rows = csv.writer(file)
            if file.tell() == 0:
                rows.writerow(["time_ms", "site", "subject", "quantity", "value"])
            for _, r in day:
                rows.writerow([r.time_ms, *r.series, r.value])
                count += 1
    return count


def _site(year: Year) -> dict[str, object]:
    from tests.farm_year.instruments import GATEWAY, PLACES, SITE

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
