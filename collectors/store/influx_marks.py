"""What InfluxDB remembers about its roll-ups: marks that a window changed, and that it was folded. Pure.

InfluxDB has no compare-and-set and dislikes deletes, but it merges the fields of a point that is written again. So a
mark is one point per site and window with two numbers:

- `changed`: a number nobody else uses, new with each write that touches the window,
- `folded`: the `changed` that whoever folded the window had read before reading the window's raw readings.

The window is *dirty* while the two differ. A writer sets `changed`, and `folded` to 0 (so that both are always there
and the server itself can compare them); a roll-up job sets `folded` alone. Whatever happens meanwhile, at any number
of writers and jobs, a window that changed after it was read stays dirty. Writing a mark again changes nothing.

| measurement | tags | time | says |
| --- | --- | --- | --- |
| `quarter_mark` | site | start of a quarter hour | its minutes and itself are, or are not, those of its readings |
| `day_mark` | site | midnight UTC+9 | its day is, or is not, that of its quarter hours |
| `late_mark` | site | midnight UTC of the day of writing | quarters that are hours or years old changed then |

`late_mark` is what a job looks at to find old windows that changed, without a look at years of marks.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Final

from collectors.store.levels import QUARTER_MS, day_of, quarter_of
from collectors.store.line_protocol import tag
from makiba.reading import Series

QUARTER_MARK: Final = "quarter_mark"
DAY_MARK: Final = "day_mark"
LATE_MARK: Final = "late_mark"
MARKS: Final = (QUARTER_MARK, DAY_MARK, LATE_MARK)

LATE_MS: Final = 3 * 3_600_000
"""Windows that ended longer ago, or are that far ahead, are found by their site's `late_mark`."""
_UTC_DAY_MS: Final = 86_400_000


def new_change(now_ms: int) -> int:
    """A number that no other call gives: time and chance, positive in 64 bits."""
    return (now_ms << 21) | secrets.randbits(21)


def windows_of(series: Iterable[Series], times_ms: Iterable[int]) -> set[tuple[str, int]]:
    """(site, start) of each quarter hour that readings of these series and times lie in."""
    return {(one[0], time_ms // QUARTER_MS * QUARTER_MS) for one, time_ms in zip(series, times_ms, strict=True)}


def changed_lines(windows: Iterable[tuple[str, int]], now_ms: int) -> list[str]:
    """The lines that mark quarter hours as changed at `now_ms`."""
    change = new_change(now_ms)
    lines = []
    late = set()
    for site, start_ms in windows:
        lines.append(_changed(QUARTER_MARK, site, start_ms, change))
        if not now_ms - LATE_MS < start_ms <= now_ms + LATE_MS:
            late.add(site)
    today_ms = now_ms - now_ms % _UTC_DAY_MS
    return lines + [_changed(LATE_MARK, site, today_ms, change) for site in sorted(late)]


def open_to_folding(windows: Iterable[tuple[str, int]], now_ms: int) -> set[tuple[str, int]]:
    """Those of `windows` that a job might be folding at this moment: all but the quarter hour that it is now."""
    current = quarter_of(now_ms)
    return {window for window in windows if window[1] != current}


def day_changed_lines(windows: Iterable[tuple[str, int]], now_ms: int) -> list[str]:
    """The lines that mark the days of quarter hours as changed."""
    change = new_change(now_ms)
    return [_changed(DAY_MARK, site, at, change) for site, at in sorted({(s, day_of(start)) for s, start in windows})]


def folded_line(measurement: str, site: str, start_ms: int, change: int) -> str:
    """The line that says that a window was folded with all that was there at `change`."""
    return f"{measurement},site={tag(site)} folded={change}i {start_ms}000000"


def _changed(measurement: str, site: str, start_ms: int, change: int) -> str:
    return f"{measurement},site={tag(site)} changed={change}i,folded=0i {start_ms}000000"


def runs(starts_ms: Sequence[int], width_ms: int, longest: int) -> list[tuple[int, int]]:
    """[from, to) of neighbouring windows among `starts_ms`, at most `longest` windows each."""
    found: list[tuple[int, int]] = []
    for start in sorted(starts_ms):
        if found and found[-1][1] == start and start - found[-1][0] < longest * width_ms:
            found[-1] = (found[-1][0], start + width_ms)
        else:
            found.append((start, start + width_ms))
    return found
