"""Who is listening, and what each of them still has to be told.

`Hub` takes news (committed readings, steps of alerts, whether the broker is there) and gives it to every open
`Stream` whose viewer may see it: a reading by its class, an alert by the class `alerts`. Everything here runs on one
event loop, so that nothing is locked.

Streams that see the same of a farm are one audience of it. Whether a reading is for them is decided once per
audience, and it is put into bytes once for all, so that a thousand open pages cost little more than one.

Rights change while streams are open. `stale` names the streams whose rights have to be looked at, `allow` sets them:
what waits in a stream and may not be told any more is dropped in the same step. `checked_s` is when the rights were
last known to be right; who is shown something by consent is sent nothing while that is too long ago.

A stream's memory is bounded: of readings it keeps one per series, the newest that it has not sent yet; of alert
steps at most `MAX_STEPS`, and drops none: one that cannot keep up, or sends nothing for too long, is closed. Its
phone connects again, names the last step it saw, and is told the rest from the registry, or to read anew. Readings
are a hint of what the store holds, so that a page that was away reads the store.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

from api.ears import Ear
from api.shapes import ReadingNews
from collectors.registry.sight import FarmSight, Sight
from makiba.reading import Reading, Series

MAX_SERIES: Final = 20_000
MAX_STEPS: Final = 500
MAX_STREAMS_PER_PERSON: Final = 16
"""A person's oldest stream is closed when they open one more than this."""


Kind = Literal["readings", "alerts", "centre"]
KINDS: Final[frozenset[Kind]] = frozenset(get_args(Kind))


@dataclass(frozen=True, slots=True)
class Step:
    """A step in an alert's life, ready to be sent: `number` is the id of its event, `data` the alert as JSON.

    Without `data` it cannot be told, and only its number counts.
    """

    number: int
    site: str
    data: bytes


@dataclass(frozen=True, slots=True)
class News:
    """What a stream has to send now: readings as JSON objects, steps in order, the broker's state if it changed.

    `rights`: what its viewer may see has changed, so that the page has to read anew.
    """

    readings: tuple[bytes, ...] = ()
    steps: tuple[Step, ...] = ()
    broker: bool | None = None
    rights: bool = False


class Rights(Protocol):
    """What a session may be told (`api.sessions.Rights`)."""

    @property
    def sight(self) -> Sight: ...
    @property
    def version(self) -> int: ...
    @property
    def until_ms(self) -> int: ...


class Stream:
    """One open connection of a signed-in person.

    `sight` is right as long as the registry's number is `version` and it is before `until_ms`.
    """

    def __init__(
        self, ear: Ear, person: int, sight: Sight, version: int, until_ms: int, kinds: frozenset[Kind] = KINDS
    ) -> None:
        self.ear = ear
        self.person = person
        self.sight = sight
        self.version = version
        self.until_ms = until_ms
        self.kinds = kinds
        self._readings: dict[Series, tuple[int, bytes]] = {}
        self._steps: deque[Step] = deque()
        self._broker: bool | None = None
        self._rights = False
        self._wake = asyncio.Event()
        self.closed_because: str | None = None

    def allow(self, sight: Sight, version: int, until_ms: int) -> None:
        """From now on only what `sight` sees, also of what waits."""
        if sight != self.sight:
            self._rights = True
            self._wake.set()
        self.sight, self.version, self.until_ms = sight, version, until_ms
        self._readings = {s: r for s, r in self._readings.items() if sight.may_read(s, r[0])}
        self._steps = deque(s for s in self._steps if sight.may_be_told_alerts(s.site))

    def close(self, reason: str) -> None:
        """Ends the stream as soon as its writer looks."""
        self.closed_because = self.closed_because or reason
        self._wake.set()

    def add_reading(self, series: Series, time_ms: int, data: bytes) -> None:
        if "readings" not in self.kinds:
            return
        waiting = self._readings.get(series)
        if waiting is None and len(self._readings) >= MAX_SERIES:
            self.close("too slow: too many readings wait")
        elif waiting is None or waiting[0] <= time_ms:
            self._readings[series] = (time_ms, data)
            self._wake.set()

    def add_step(self, step: Step) -> None:
        if "alerts" not in self.kinds:
            return
        if len(self._steps) >= MAX_STEPS:
            self.close("too slow: too many steps of alerts wait")
        else:
            self._steps.append(step)
            self._wake.set()

    def add_broker(self, there: bool) -> None:
        if "centre" not in self.kinds:
            return
        self._broker = there
        self._wake.set()

    async def wait(self, within_s: float) -> bool:
        """Whether there is something to take or the stream is closed; waits for it up to `within_s`."""
        try:
            async with asyncio.timeout(within_s):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    def take(self) -> News:
        """All that waits; the stream holds nothing afterwards."""
        waiting = tuple(data for _, data in self._readings.values())
        news = News(waiting, tuple(self._steps), self._broker, self._rights)
        self._readings.clear()
        self._steps.clear()
        self._broker, self._rights = None, False
        self._wake.clear()
        return news


class Hub:
    """All open streams."""

    def __init__(self) -> None:
        self._streams: dict[Stream, None] = {}
        self._audiences: dict[str, dict[FarmSight, dict[Stream, None]]] = {}
        """By farm, and by what they see of it, the streams that see something of it."""
        self._closed = False
        self.ending = threading.Event()
        """Set once the service is about to end: what works in the background stops at its next step."""
        self.broker: bool | None = None
        self.checked_s = float("-inf")
        """When, on the monotonic clock, the rights of every stream were last known to be right."""
        self.last_step = 0
        """Id of the newest alert event that was given to the streams."""

    def __len__(self) -> int:
        return len(self._streams)

    def open(
        self,
        ear: Ear,
        person: int,
        sight: Sight,
        version: int = 0,
        until_ms: int = 1 << 62,
        kinds: frozenset[Kind] = KINDS,
    ) -> Stream:
        """A new stream that gets all news from now on, and first the broker's state if that is bad."""
        stream = Stream(ear, person, sight, version, until_ms, kinds)
        own = [s for s in self._streams if s.person == person and s.closed_because is None]
        for oldest in own[: max(0, len(own) + 1 - MAX_STREAMS_PER_PERSON)]:
            oldest.close("the same person opened many more")
        self._streams[stream] = None
        stream.sight = self._join(stream, sight)
        if self.broker is False:
            stream.add_broker(False)
        if self._closed:
            stream.close("the service is stopping")
        return stream

    def forget(self, stream: Stream) -> None:
        """`stream` is gone."""
        if stream in self._streams:
            del self._streams[stream]
            self._leave(stream)

    def _join(self, stream: Stream, sight: Sight) -> Sight:
        """Makes `stream` one of the audience of each farm of `sight`; the same sight, sharing what others see too."""
        shared: dict[str, FarmSight] = {}
        for site in (*sight.homes, *sight.parts):
            groups = self._audiences.setdefault(site, {})
            part = sight.of(site)
            group = groups.setdefault(part, {})
            if group:
                part = next(iter(group)).sight.of(site)
            group[stream] = None
            if site in sight.parts:
                shared[site] = part
        return Sight(sight.homes, shared)

    def _leave(self, stream: Stream) -> None:
        for site in (*stream.sight.homes, *stream.sight.parts):
            groups = self._audiences[site]
            part = stream.sight.of(site)
            del groups[part][stream]
            if not groups[part]:
                del groups[part]
            if not groups:
                del self._audiences[site]

    def readings(self, readings: Iterable[Reading]) -> None:
        """Gives `readings`, committed just now, to who may see them."""
        for reading in readings:
            data: bytes | None = None
            series = reading.series
            for sight, streams in self._audiences.get(series.site, {}).items():
                if sight.may_read(series.subject, series.quantity, reading.time_ms):
                    data = data or _reading_json(reading)
                    for stream in streams:
                        stream.add_reading(series, reading.time_ms, data)

    def steps(self, steps: Iterable[Step]) -> None:
        """Gives `steps`, in the order of the alert book, to who may see them."""
        for step in steps:
            self.last_step = max(self.last_step, step.number)
            for sight, streams in self._audiences.get(step.site, {}).items():
                if step.data and "alerts" in sight.classes:
                    for stream in streams:
                        stream.add_step(step)

    def set_broker(self, there: bool) -> None:
        """Tells every stream when the broker went or came back."""
        was, self.broker = self.broker, there
        if there != (was is not False):  # not known yet counts as there
            for stream in self._streams:
                stream.add_broker(there)

    def stale(self, version: int, now_ms: int) -> frozenset[Ear]:
        """The ears of the streams whose rights are not those of `version`, or end by themselves before now."""
        return frozenset(s.ear for s in self._streams if s.version != version or s.until_ms <= now_ms)

    def allow(self, allowed: Mapping[Ear, Rights], *, of: frozenset[Ear]) -> None:
        """What each of the ears `of` may be told from now on; streams of those not in `allowed` end."""
        for stream in self._streams:
            if stream.ear not in of:
                continue
            rights = allowed.get(stream.ear)
            if rights is None:
                stream.close("the session ended")
            elif stream.version <= rights.version:  # not an older answer than it has
                self._leave(stream)
                stream.allow(self._join(stream, rights.sight), rights.version, rights.until_ms)

    def close(self) -> None:
        """Ends every stream, and those opened from now on: the service is stopping."""
        self._closed = True
        self.ending.set()
        for stream in self._streams:
            stream.close("the service is stopping")


def _reading_json(reading: Reading) -> bytes:
    return (
        ReadingNews(
            site=reading.series.site,
            subject=reading.series.subject,
            quantity=reading.series.quantity,
            time_ms=reading.time_ms,
            value=reading.value,
        )
        .model_dump_json()
        .encode()
    )
