"""Moving farms out of an InfluxDB and into one: which there are, what has expired, and roll-ups as they stand.

Carried roll-ups get no mark: nothing is dirty about them, and their raw is not there to fold them from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from collectors.store.influx_http import Bucket, Database
from collectors.store.influx_rollup import RollUps
from collectors.store.influx_windows import ROW, WINDOW, window_line, window_of
from collectors.store.line_protocol import EARLIEST_MS, groups, identifier, tags_are, where
from collectors.store.protocol import Level, StoreMisconfigured, Window
from makiba.reading import Series

_SITES_PER_QUERY: Final = 100


class _Influx(Protocol):
    """What this part needs of the store it belongs to."""

    _target: Database | Bucket
    _rollups: RollUps

    def _query(self, statement: str) -> list[dict[str, Any]]: ...


class Moves:
    """The part of `InfluxStore` that `protocol.Movable` asks for."""

    def sites(self: _Influx) -> list[str]:
        holding = ", ".join(identifier(name) for name in (*groups(), *WINDOW.values()))
        tables = self._query(f'SHOW TAG VALUES FROM {holding} WITH KEY = "site"')
        named = sorted({str(row[1]) for table in tables for row in table["values"]})
        # An index in memory may still name a site that was deleted.
        found = []
        for start in range(0, len(named), _SITES_PER_QUERY):
            some = named[start : start + _SITES_PER_QUERY]
            asked = [f"SHOW SERIES FROM {holding} WHERE {tags_are({'site': site})} LIMIT 1" for site in some]
            found += sorted({some[table["statement"]] for table in self._query("; ".join(asked))})
        return found

    def horizons(self: _Influx) -> Mapping[Level, int]:
        return {level: at for level, at in self._rollups.state().kept_from_ms.items() if at > EARLIEST_MS}

    def rollups(
        self: _Influx, series: Series, level: Level, start_ms: int, end_ms: int, limit: int | None = None
    ) -> list[Window]:
        if level not in WINDOW or end_ms <= start_ms or limit == 0:
            return []
        most = f" LIMIT {limit}" if limit is not None else ""
        tables = self._query(
            f"SELECT {ROW} FROM {identifier(WINDOW[level])} "  # noqa: S608 (quoted)
            f"WHERE {where(series, start_ms, end_ms)} ORDER BY time ASC{most}"
        )
        return [window_of(row) for table in tables for row in table["values"]]

    def carry(self: _Influx, series: Series, level: Level, windows: Sequence[Window]) -> None:
        raw_from_ms = self._rollups.state().kept_from_ms.get("raw", EARLIEST_MS)
        if any(window.start_ms >= raw_from_ms for window in windows):
            raise StoreMisconfigured("a roll-up that begins after the raw horizon cannot be carried")
        lines = [window_line(WINDOW[level], series, window) for window in windows]
        if lines:
            self._target.write("\n".join(lines).encode())
