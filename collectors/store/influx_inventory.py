"""What an InfluxDB database holds: rows by level, edges, and fields that somebody else gave another type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from collectors.store.influx_marks import QUARTER_MARK
from collectors.store.influx_windows import STATE_QUERY, WINDOW, Query, state_of
from collectors.store.line_protocol import ANCHOR, from_groups, groups, identifier
from collectors.store.protocol import Inventory, Level

_TYPES: Final = {
    **dict.fromkeys(("value", "min", "mean", "max", "last", "sum"), "float"),
    **dict.fromkeys(("count", "changed", "folded", ANCHOR), "integer"),
    "text": "string",
}


def take_inventory(query: Query) -> Inventory:
    """Counts everything that is there."""
    counted: dict[Level, tuple[str, str]] = {
        "raw": ("value", from_groups(text=False)),
        "text": ("text", from_groups(text=True)),
        **{level: ("count", identifier(name)) for level, name in WINDOW.items()},
    }
    rows: dict[Level, int | None] = {
        level: sum(int(table["values"][0][1]) for table in query(f'SELECT count("{field}") FROM {source}'))  # noqa: S608
        for level, (field, source) in counted.items()
    }
    edges = [
        int(table["values"][0][0])
        for level in ("raw", "text")
        for end in ("first", "last")
        for table in query(f'SELECT {end}("{counted[level][0]}") FROM {counted[level][1]}')  # noqa: S608
    ]
    dirty_marks = f'SELECT "changed" FROM "{QUARTER_MARK}" WHERE "changed" != "folded"'  # noqa: S608
    dirty = query(f'SELECT count("changed") FROM ({dirty_marks})')  # noqa: S608
    raw = set(groups())
    keys = [key for table in query("SHOW SERIES") for (key,) in table["values"]]
    state = state_of(query(STATE_QUERY))
    return Inventory(
        series=sum("," in key and key.partition(",")[0] in raw for key in keys),
        rows=rows,
        dirty=sum(int(table["values"][0][1]) for table in dirty),
        oldest_ms=min(edges, default=None),
        newest_ms=max(edges, default=None),
        kept_from_ms=dict(state.kept_from_ms),
        problems=[
            f"measurement {table['name']}: field {name} is {kind} in places, expected {_TYPES[name]}: "
            "somebody else writes there, and readings of those weeks are rejected"
            for table in query("SHOW FIELD KEYS")
            for name, kind in table["values"]
            if _is_ours(table) and _TYPES.get(name, kind) != kind
        ],
    )


def _is_ours(table: Mapping[str, Any]) -> bool:
    return table["name"] in {*groups(), *WINDOW.values(), QUARTER_MARK}
