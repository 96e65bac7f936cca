"""The Grafana dashboard: each of its queries is answered by a real InfluxDB with our data."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collectors.store.influx import open_influx
from collectors.store.levels import DAY_MS, day_of
from makiba.quantities import catalogue
from makiba.reading import Columns, Series
from tests.parts import ROOT
from tests.service.influx_parts import INFLUXD, NO_INFLUXD, Influxd

DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/makiba-farm.json").read_text(encoding="utf-8"))
TARGETS = [
    pytest.param(panel, target["query"], id=f"{panel['id']}-{panel['title'].split('/')[-1].strip()}")
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", [])
]
VARIABLES = [variable for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    """A farm with every quantity of the catalogue, for two days until now, rolled up."""
    if INFLUXD is None:
        pytest.skip(NO_INFLUXD)
    with Influxd(tmp_path_factory.mktemp("influx")) as influxd:
        store = open_influx(influxd.base("makiba"))
        now_ms = time.time_ns() // 1_000_000
        columns = Columns()
        for known in catalogue().values():
            series = Series("farm-1", "barn-1", known.name)
            times = [*range(day_of(now_ms) - 2 * DAY_MS, now_ms, 1_800_000), now_ms]
            value: float | str = "ok" if known.kind == "text" else 0.5
            columns.extend(Columns([series] * len(times), times, [value] * len(times)))
        store.write_columns(columns)
        while store.roll_up(now_ms):
            pass
        store.close()
        yield influxd


def filled_in(query: str, days: int = 1) -> str:
    """What Grafana makes of `query` for the last `days`."""
    now_ms = time.time_ns() // 1_000_000
    for name, value in {
        "$timeFilter": f"time >= {now_ms - days * DAY_MS}ms AND time <= {now_ms}ms",
        "$__interval": "10m",
        "$site": "farm-1",
        "$subject": ".*",
    }.items():
        query = query.replace(name, value)
    assert "$" not in query.replace("$/", "")
    return query


@pytest.mark.parametrize(("panel", "query"), TARGETS)
def test_a_panel_has_an_answer(server: Influxd, panel: dict[str, Any], query: str) -> None:
    (result,) = server.ask(filled_in(query, int(panel.get("timeFrom", "1d").rstrip("d"))))["results"]
    assert "error" not in result
    tables = result["series"]
    assert tables
    columns = tables[0]["columns"]
    values = [value for table in tables for row in table["values"] for value in row[1:]]
    assert any(value is not None for value in values), columns
    alias = panel["targets"][0].get("alias", "")
    assert all(tag in tables[0].get("tags", {}) for tag in ("subject", "quantity") if f"$tag_{tag}" in alias)


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: str(variable["name"]))
def test_a_variable_has_values(server: Influxd, variable: dict[str, Any]) -> None:
    (result,) = server.ask(filled_in(variable["query"]))["results"]
    values = {row[1] for table in result["series"] for row in table["values"]}
    assert values == {"site": {"farm-1"}, "subject": {"barn-1"}}[variable["name"]]


def test_what_it_names_is_in_the_catalogue_and_every_panel_has_a_place_of_its_own() -> None:
    import re

    names = set(catalogue())
    groups = {known.group for known in catalogue().values()} | {"window_day", "quarter_mark"}
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            assert set(re.findall(r"\"quantity\" = '([^']+)'", target["query"])) <= names
            assert set(re.findall(r'FROM "([^"]+)"', target["query"])) <= groups
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_it_holds_no_address_and_no_secret() -> None:
    text = Path(ROOT / "deploy/grafana/makiba-farm.json").read_text(encoding="utf-8")
    assert "http" not in text
    assert "oken" not in text
