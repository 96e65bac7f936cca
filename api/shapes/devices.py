"""Devices, gateways and their states; completeness."""

from __future__ import annotations

from typing import Literal

from api.shapes import Names, Shape


class StateOut(Shape):
    """`state` since `since_ms`; `since_is_exact` false: it was so at the beginning of what was looked at.

    `said_ms`: when it was last said. A gateway says a state again within 10 minutes; longer ago, it is not heard.
    """

    state: str
    since_ms: int
    since_is_exact: bool
    said_ms: int


class DeviceSubjectOut(Shape):
    """A subject of a device: where it stands, what it is for, its own state where it has one."""

    subject: str
    name: Names
    place: str | None
    role: str
    state: StateOut | None
    last_reading_ms: int | None


class DeviceOut(Shape):
    """A device. `every_s`: how often it is set to measure. `last_reading_ms`: of all its subjects; null: never."""

    name: str
    gateway: str
    bus: str
    profile: str
    every_s: float
    state: StateOut | None
    last_reading_ms: int | None
    maintenance: list[str]
    subjects: list[DeviceSubjectOut]


class DevicesOut(Shape):
    rows: list[DeviceOut]
    next: str | None


class StretchOut(Shape):
    """`subject` was in `state` in [from_ms, to_ms), last said at `heard_ms`; `to_ms` null: until the end."""

    subject: str
    state: str
    from_ms: int
    heard_ms: int
    to_ms: int | None


class StretchesOut(Shape):
    rows: list[StretchOut]
    next: str | None


class ReportedOut(Shape):
    value: float
    time_ms: int


class RefusedOut(Shape):
    """Records that were refused in the last 30 days: kept with their reason, and counted only."""

    letters: int
    left_out: int
    last_ms: int


class GatewayRowOut(Shape):
    """A gateway. `backlog`: readings that wait on it; `dropped`: lost since its card was new; as it last said itself.

    `revoked_ms`: what it sends is refused since then.
    """

    id: str
    status: str
    status_ms: int
    software: str
    revoked_ms: int | None
    devices: int
    backlog: ReportedOut | None
    dropped: ReportedOut | None
    disk_free: ReportedOut | None
    clock_offset: ReportedOut | None
    refused: RefusedOut | None


class GatewaysOut(Shape):
    rows: list[GatewayRowOut]
    next: str | None


# ------------------------------------------------------------------------------------------ completeness


class LastedOut(Shape):
    """How long a state other than ok lasted on the days on which something is missing."""

    state: str
    ms: int


class SeriesCoverageOut(Shape):
    """How complete a series is. `expected` null: nobody knows how often it should come (`basis` unknown).

    `basis`: `reported`, by what its gateway said of its pace then; `assumed`, by what it said later. `gap_from_ms`,
    `gap_to_ms`: its longest time without a reading; null where nothing is missing.
    """

    subject: str
    quantity: str
    name: Names
    device: str | None
    present: int
    expected: int | None
    basis: Literal["reported", "assumed", "unknown"]
    coverage: float | None
    gap_from_ms: int | None
    gap_to_ms: int | None
    states: list[LastedOut]
    maintenance_ms: int


class RecordedGapOut(Shape):
    """A gap that a gateway recorded itself: it had to drop readings, or thin them to minute means."""

    gateway: str
    said_ms: int
    from_ms: int | None
    to_ms: int | None
    readings: int
    thinned: bool


class CompletenessTotalOut(Shape):
    """Of all series with a known pace: readings that came (at most what should have) and that should have."""

    series: int
    known: int
    present: int
    expected: int
    coverage: float | None


class CompletenessOut(Shape):
    from_ms: int
    to_ms: int
    total: CompletenessTotalOut
    series: list[SeriesCoverageOut]
    gateway_gaps: list[RecordedGapOut]
