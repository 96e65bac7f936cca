"""The readings of a farm from the store, ascending in time, a page of each series at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from collectors.console import fail, open_own_store
from collectors.out import pages
from collectors.out.known import missing_file
from collectors.registry.sight import Span
from makiba.reading import Reading
from makiba.settings import Settings


def store_readings(settings: Settings, site: str, start_ms: int, end_ms: int) -> Iterator[Reading]:
    """Every reading of `site` in [start_ms, end_ms)."""
    if file := missing_file(settings.store_url):
        fail(f"no store at {file}; MAKIBA_HOME or MAKIBA_STORE says where it is")
    with closing(open_own_store(settings)) as store:
        series = store.series(site)
        stretch: list[Span] = [(start_ms, end_ms)]
        for time_ms, place, point in pages.side_by_side(store, series, [stretch] * len(series)):
            yield Reading(series[place], time_ms, point.value)
