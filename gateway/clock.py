"""UTC for readings, from the monotonic clock.

Readings are stamped on the monotonic clock, which nobody sets, and mapped to UTC by an offset. Guarantee: within a
boot the time that `now_ms` gives never runs backwards and never stands, over steps of the wall clock by up to a day
and over `kill -9` (the newest time and the offset are kept in the hot file).

Whose word is taken, the better one first:
- `synchronised`: the wall clock, while the kernel says that something keeps it right (NTP, PTP, GPS). A step that
  somebody makes by hand clears the kernel's flag, so that it is not followed.
- `collector`: the time in an answer, when nothing keeps the wall clock right. It is good to half a round trip.
- `wall`: the wall clock on a machine that has a clock chip, when it is not before what is known to be past.
- `unknown`: none of these. Readings get a provisional time, which begins after everything that the card knows to have
  been stamped; the spool holds them and shifts them to UTC, once, before they are published for the first time.

A step forward is followed at once. A step back is absorbed: time runs at half speed until the truth has caught up, so
that no two polls get one time. A step back of more than a day is followed at once: what was stamped before it was
refused by the centre as more than a day ahead, so that nothing can collide.

Not guaranteed: that a clock chip, or whoever the kernel believes, is right.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from gateway.hot import ClockNote
from makiba.reading import Reading, Series

JUMP_BACK_NS: Final = 86_400_000_000_000
NOTICEABLE_NS: Final = 500_000_000
BUILT_MS: Final = 1_793_000_000_000
"""2026-10-26: no gateway with this software can have measured before it."""
AHEAD_MS: Final = 900_000
"""The card's note of the time is at most ten minutes old; a provisional time begins beyond it."""
MS: Final = 1_000_000

UNKNOWN, WALL, COLLECTOR, SYNCHRONISED = "unknown", "wall", "collector", "synchronised"


@dataclass(frozen=True, slots=True)
class ClockMap:
    """UTC = monotonic + `offset_ns`, at least as seen at `mono_ns`; `behind_ns` is still to be absorbed."""

    mono_ns: int
    offset_ns: int
    behind_ns: int = 0

    def utc_ns(self, mono_ns: int) -> int:
        """UTC at `mono_ns`, not before this map's own instant."""
        elapsed = max(mono_ns - self.mono_ns, 0)
        return self.mono_ns + elapsed + self.offset_ns + self.behind_ns - min(elapsed // 2, self.behind_ns)


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at this machine's clocks. `is_kept`: there is a clock chip, or a host that keeps the wall clock."""

    mono_ns: int
    wall_ns: int
    is_synchronised: bool
    is_kept: bool


@dataclass(frozen=True, slots=True)
class Told:
    """The map in force and whose word it is; `is_synchronised`: at the last look."""

    map: ClockMap
    source: str
    is_synchronised: bool = False


def start_map(mono_ns: int, wall_ns: int) -> ClockMap:
    return ClockMap(mono_ns, wall_ns - mono_ns)


def follow_map(before: ClockMap, mono_ns: int, utc_ns: int) -> tuple[ClockMap, int]:
    """The map from now on, and by how many ns the truth stepped since (0: it only drifted)."""
    offset = utc_ns - mono_ns
    step = offset - before.offset_ns
    ahead = before.utc_ns(mono_ns) - utc_ns  # what we have already given out beyond the truth
    if ahead <= 0 or ahead > JUMP_BACK_NS:
        after = ClockMap(mono_ns, offset)
    else:
        after = replace(before, mono_ns=mono_ns, offset_ns=offset, behind_ns=ahead)
    return after, step if abs(step) >= NOTICEABLE_NS else 0


def begin(seen: Seen, note: ClockNote, newest_ms: int, noted_ms: int) -> tuple[Told, ClockNote]:
    """Where a process starts: with what this boot knew before, or what the card noted, or the wall clock."""
    if note.utc_ms is not None:
        source = WALL if seen.is_kept and seen.wall_ns >= BUILT_MS * MS else COLLECTOR
        told = Told(_beyond(ClockMap(seen.mono_ns, note.utc_ms * MS), newest_ms), source)
        told, _ = look(told, seen, BUILT_MS)
        return told, note
    floor_ms = max(noted_ms, BUILT_MS)
    provisional_ms = note.provisional_ms
    if provisional_ms is None:
        provisional_ms = floor_ms + AHEAD_MS - seen.mono_ns // MS
    told, _ = look(Told(ClockMap(seen.mono_ns, provisional_ms * MS), UNKNOWN), seen, floor_ms)
    if told.source != UNKNOWN and note.provisional_ms is None:
        told = replace(told, map=_beyond(told.map, newest_ms))
    return told, replace(note, provisional_ms=provisional_ms)


def look(told: Told, seen: Seen, floor_ms: int) -> tuple[Told, int]:
    """What holds after a look at the clocks, and the step in ns that was followed."""
    told = replace(told, is_synchronised=seen.is_synchronised)
    if seen.is_synchronised:
        source = SYNCHRONISED
    elif told.source == WALL or (told.source == UNKNOWN and seen.is_kept and seen.wall_ns >= floor_ms * MS):
        source = WALL
    else:
        return told, 0
    if told.source == UNKNOWN:
        return replace(told, map=start_map(seen.mono_ns, seen.wall_ns), source=source), 0
    after, step = follow_map(told.map, seen.mono_ns, seen.wall_ns)
    return replace(told, map=after, source=source), step


def hear(told: Told, mono_ns: int, collector_ms: int, round_trip_ns: int) -> tuple[Told, int]:
    """What holds after an answer, sent by the collector at `collector_ms`, and the step in ns that was followed."""
    if told.is_synchronised:
        return told, 0
    utc_ns = collector_ms * MS + round_trip_ns // 2
    if told.source == UNKNOWN:
        return replace(told, map=start_map(mono_ns, utc_ns), source=COLLECTOR), 0
    true_enough_ns = 2_000_000_000 + round_trip_ns
    if abs(mono_ns + told.map.offset_ns - utc_ns) <= true_enough_ns:
        return told, 0
    after, step = follow_map(told.map, mono_ns, utc_ns)
    return replace(told, map=after, source=COLLECTOR), step


def _beyond(map_: ClockMap, newest_ms: int) -> ClockMap:
    """`map_`, giving nothing that was given already by the process before."""
    behind = (newest_ms + 1) * MS - map_.utc_ns(map_.mono_ns)
    return replace(map_, behind_ns=behind) if 0 < behind <= JUMP_BACK_NS else map_


class Clock:
    """The rim: reads the clocks of this machine. Used from the event loop; `now_ms` from any thread."""

    def __init__(self, see: Callable[[], Seen] | None = None) -> None:
        self._see = see or see_clocks
        self._mono_ns: Callable[[], int] = (lambda: self._see().mono_ns) if see else time.monotonic_ns
        self._floor_ms = BUILT_MS
        self._provisional_ms: int | None = None
        self._told, _ = begin(self._see(), ClockNote(), 0, 0)
        self.on_known: Callable[[int, ClockNote], None] = lambda _shift_ms, _note: None
        """Called once, when UTC is known: by how much provisional times are to be shifted, and what to note."""
        self.on_note: Callable[[ClockNote], None] = lambda _note: None
        """Called when there is something to keep for a process that is started again in this boot."""
        self._noted = ClockNote()

    def begin(self, note: ClockNote, newest_ms: int, noted_ms: int) -> None:
        """What the spool knew. Before this nothing may be stamped."""
        self._floor_ms = max(noted_ms, BUILT_MS)
        self._told, noted = begin(self._see(), note, newest_ms, noted_ms)
        self._provisional_ms = noted.provisional_ms
        self.on_note(noted)
        if self.is_known:
            self._tell()

    @property
    def is_known(self) -> bool:
        """Whether `now_ms` is UTC, as opposed to provisional."""
        return self._told.source != UNKNOWN

    @property
    def source(self) -> str:
        """Whose word the time is."""
        return self._told.source

    def now_ms(self) -> int:
        """UTC in milliseconds; provisional while it is not known."""
        return self._told.map.utc_ns(self._mono_ns()) // MS

    def follow(self) -> int:
        """Looks at the clocks; returns the step in ns when one was followed since the last look, else 0."""
        was_known = self.is_known
        self._told, step = look(self._told, self._see(), self._floor_ms)
        self._told_more(was_known)
        return step

    def hear(self, collector_ms: int, round_trip_ns: int) -> int:
        """An answer came; returns the step in ns when one was followed."""
        was_known = self.is_known
        self._told, step = hear(self._told, self._see().mono_ns, collector_ms, round_trip_ns)
        self._told_more(was_known)
        return step

    def _told_more(self, was_known: bool) -> None:
        if self.is_known and not was_known:
            self._tell()
        elif self.is_known and abs(self._told.map.offset_ns // MS - (self._noted.utc_ms or 0)) > 1000:
            self._noted = ClockNote(self._provisional_ms, self._told.map.offset_ns // MS)
            self.on_note(self._noted)

    def _tell(self) -> None:
        utc_ms = self._told.map.offset_ns // MS
        shift_ms = utc_ms - self._provisional_ms if self._provisional_ms is not None else 0
        self._noted = ClockNote(self._provisional_ms, utc_ms)
        self.on_known(shift_ms, self._noted)


def unset_readings(site: str, subject: str, first_ms: int, last_ms: int, began_ms: int) -> list[Reading]:
    """What is said about a boot that ended before it knew UTC: its readings stand between two times, in truth between
    what the card had noted before and `began_ms`, when the boot began that knows."""
    state = Series(site, subject, "state")
    earliest, latest = (_stamp(ms) for ms in (first_ms - AHEAD_MS, max(began_ms, first_ms - AHEAD_MS)))
    said = [Reading(state, first_ms, f"unset {earliest}/{latest}")]
    return [*said, Reading(state, last_ms + 1, "ok")] if last_ms + 1 < began_ms else said


def _stamp(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def see_clocks() -> Seen:
    """This machine's clocks."""
    return Seen(time.monotonic_ns(), time.time_ns(), _is_synchronised(), _is_kept())


_TIMEX_BYTES: Final = 208
_STATUS_AT: Final = 40 if ctypes.sizeof(ctypes.c_long) == 8 else 20
_STA_UNSYNC: Final = 0x40


def _is_synchronised() -> bool:
    """What the kernel says (adjtimex(2)); False where it cannot be asked."""
    try:
        timex = ctypes.create_string_buffer(_TIMEX_BYTES * 2)
        state = ctypes.CDLL(None).adjtimex(timex)
    except (OSError, AttributeError):
        return False
    status = int.from_bytes(timex.raw[_STATUS_AT : _STATUS_AT + 4], "little")
    return state >= 0 and state != 5 and not status & _STA_UNSYNC


def _is_kept() -> bool:
    """Whether the wall clock ran while the machine was off: a clock chip, or no board that could lack one.

    A Raspberry Pi 5 has a chip and usually no battery for it: after a power cut it counts from 1970.
    """
    chips = list(Path("/sys/class/rtc").glob("rtc*/since_epoch"))
    if not chips:
        return not Path("/proc/device-tree/model").exists()
    try:
        return any(int(chip.read_text()) * 1000 >= BUILT_MS for chip in chips)
    except (OSError, ValueError):
        return False


def read_boot_id() -> str:
    """The kernel's id of this boot; a random one where it has none, which counts as a new boot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return str(uuid4())
