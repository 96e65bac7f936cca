"""Finds what is on a bus. It only ever reads: Modbus functions 01-04, and who is there of SDI-12.

Likely settings come first (what most instruments are shipped with), and within one the likely addresses: those that
profiles are shipped with, then 1-16, then the rest. An instrument is recognised as soon as it answers, so that
stopping early keeps everything found so far. The time budget is kept: when it is over, the sweep ends where it is and
says what was not tried.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gateway.drivers._modbus_frames import Reply, ask
from gateway.interpret import every_read
from gateway.plan import Read
from gateway.sdi12 import Sdi12Profile
from gateway.tools.probe import Probe, SerialProbe, Setting
from gateway.tools.recognise import Fit, Signature, fit, looked_again, recognise
from gateway.tools.sdi12_scan import ADDRESSES, FIRST_S, SETTING, Line, Sdi12Sweep, Sensor
from gateway.tools.verdict import verdict

LIKELY: tuple[Setting, ...] = (
    Setting(9600),
    Setting(4800),
    Setting(19200),
    Setting(115200),
    Setting(2400),
    Setting(9600, "even"),
    Setting(19200, "even"),
)
RARE: tuple[Setting, ...] = (
    Setting(38400),
    Setting(57600),
    Setting(1200),
    Setting(4800, "even"),
    Setting(2400, "even"),
    Setting(9600, "odd"),
    Setting(9600, "none", 2),
    Setting(19200, "none", 2),
)
QUICK_S, FULL_S = 90.0, 1500.0
SDI12_S = 35.0
"""What SDI-12 may take beside the budget."""
LISTEN_S = 1.3
AGAIN_S = 2.0
"""A second look at what is not sure comes so long after the first."""
AGAIN_OF = 5
_LONGER_S = 0.3
"""How long a known instrument may take to begin a reply."""
_SENTENCE = re.compile(rb"\$([A-Z]{2})([A-Z]{3}),[^*\r\n]*\*([0-9A-F]{2})")


@dataclass(frozen=True, slots=True)
class Found:
    """An instrument that answered, and what it may be, the best first."""

    unit_id: int
    setting: Setting | None
    fits: tuple[Fit, ...]


@dataclass(frozen=True, slots=True)
class Talker:
    """Something that sends NMEA sentences by itself."""

    setting: Setting
    sentences: tuple[str, ...]


@dataclass(slots=True)
class Outcome:
    """What the sweep came to; grows while it runs."""

    found: list[Found] = field(default_factory=list)
    talkers: list[Talker] = field(default_factory=list)
    sdi12: Line = field(default_factory=Line)
    noisy: list[Setting] = field(default_factory=list)
    """Settings at which bytes came that were no reply: something talks there in another way."""
    untried: list[str] = field(default_factory=list)
    asked: int = 0
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """How far a sweep goes."""

    settings: tuple[Setting, ...] = LIKELY
    budget_s: float = QUICK_S
    is_full: bool = False
    unit_ids: tuple[int, ...] = ()
    """Only these, when any are given."""
    sdi12: Literal["also", "only", "no"] = "also"
    again_s: float = AGAIN_S
    sdi12_first_s: float = FIRST_S
    sdi12_addresses: str = ADDRESSES


class Sweep:
    """One sweep of one bus. `progress(setting, unit_id, outcome)` is called before each address."""

    def __init__(
        self,
        probe: Probe,
        signatures: Sequence[Signature],
        plan: Plan,
        progress: Callable[[Setting | None, int | str, Outcome], None],
        on_found: Callable[[Found | Sensor], None],
        sdi12_profiles: Sequence[tuple[str, Sdi12Profile]] = (),
    ) -> None:
        self._probe, self._signatures, self._plan = probe, signatures, plan
        self._sdi12_profiles = sdi12_profiles
        self._progress, self._on_found = progress, on_found
        self._until_s = time.monotonic() + plan.budget_s
        self._shipped: dict[int, list[Read]] = {}
        for s in signatures:
            if s.profile.unit_id is not None and (reads := every_read(s.profile)):
                self._shipped.setdefault(s.profile.unit_id, []).append(reads[0])
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Until everything of the plan is tried, the budget is over, or Ctrl-C; what was found stays."""
        try:
            if not isinstance(self._probe, SerialProbe):
                self._sweep_ids(self._likely_ids())
                self._sweep_ids(self._other_ids())
            else:
                if self._plan.sdi12 != "only":
                    self._sweep_settings(self._probe)
                # Last, and only where nothing speaks Modbus: its commands are noise to whoever does.
                if self._plan.sdi12 != "no" and not self.outcome.found and not self.outcome.talkers:
                    self._sweep_sdi12(self._probe)
        except KeyboardInterrupt:
            self.outcome.stopped = True
        return self.outcome

    def _sweep_sdi12(self, probe: SerialProbe) -> None:
        self._until_s = max(self._until_s, time.monotonic() + SDI12_S)

        def goes_on(address: str) -> bool:
            if self._is_over():
                self.outcome.untried.append(f"SDI-12: {address} …")
                return False
            self._progress(SETTING, address, self.outcome)
            return True

        how = (self._plan.sdi12_first_s, self._plan.sdi12_addresses)
        it = Sdi12Sweep(probe, self._sdi12_profiles, goes_on, self._on_found, *how)
        self.outcome.sdi12 = it.line
        if it.anybody() or self._plan.sdi12 == "only":
            it.sweep()
        self.outcome.asked += it.asked

    def _sweep_settings(self, probe: SerialProbe) -> None:
        for setting in self._plan.settings:
            if self._is_over():
                self.outcome.untried.append(str(setting))
                continue
            probe.use(setting)
            self._listen(probe, setting)
            if self._sweep_ids(self._likely_ids()):
                # One wire has one setting: whatever else hangs on it speaks like this too.
                self._sweep_ids(self._other_ids())
                if not self._plan.is_full:
                    return

    def _listen(self, probe: SerialProbe, setting: Setting) -> None:
        if setting not in (Setting(4800), Setting(9600)):
            return
        heard = probe.listen(LISTEN_S)
        names = {talker + kind for talker, kind, check in _SENTENCE.findall(heard) if _is_right(heard, talker + kind)}
        if names:
            self.outcome.talkers.append(Talker(setting, tuple(sorted(n.decode() for n in names))))
        elif heard:
            self._note_noise()

    def _is_over(self) -> bool:
        return time.monotonic() > self._until_s

    def _likely_ids(self) -> list[int]:
        if self._plan.unit_ids:
            return list(self._plan.unit_ids)
        return sorted(self._shipped, key=lambda i: (-len(self._shipped[i]), i)) + [
            i for i in range(1, 17) if i not in self._shipped
        ]

    def _other_ids(self) -> list[int]:
        if self._plan.unit_ids:
            return []
        likely = set(self._likely_ids())
        last = 247 if self._plan.is_full else 64
        return [i for i in range(1, last + 1) if i not in likely]

    def _sweep_ids(self, unit_ids: Sequence[int]) -> bool:
        """Whether anything is known at this setting."""
        for place, unit_id in enumerate(unit_ids):
            if self._is_over():
                rest = f"{self._probe.setting or 'TCP'}: {len(unit_ids) - place} addresses"
                self.outcome.untried.append(rest)
                break
            self._progress(self._probe.setting, unit_id, self.outcome)
            if self._is_there(unit_id):
                found = Found(unit_id, self._probe.setting, tuple(self._recognise(unit_id)))
                self.outcome.found.append(found)
                self._on_found(found)
        return any(f.setting == self._probe.setting for f in self.outcome.found)

    def _is_there(self, unit_id: int) -> bool:
        for read in self._questions(unit_id):
            reply = self._ask(unit_id, read)
            if reply.words is not None or reply.state.startswith("exception-"):
                # 10 and 11 come from a converter: the unit behind it is not there.
                return reply.state not in ("exception-10", "exception-11")
            if not reply.silent:
                self._note_noise()
        return False

    def _questions(self, unit_id: int) -> Iterator[Read]:
        yield Read("holding", 0, 1, ())
        yield Read("input", 0, 1, ())
        # Some say nothing at all to an address that they do not have.
        yield from self._shipped.get(unit_id, [])[:4]

    def _ask(self, unit_id: int, read: Read, *, patient: bool = False) -> Reply:
        self.outcome.asked += 1
        request = ask(unit_id, read)
        return self._probe.ask(request, _LONGER_S) if patient else self._probe.ask(request)

    def _note_noise(self) -> None:
        setting = self._probe.setting
        if setting and setting not in self.outcome.noisy:
            self.outcome.noisy.append(setting)

    def _recognise(self, unit_id: int) -> list[Fit]:
        memory = _Memory(lambda read: self._ask(unit_id, read, patient=True))
        setting = self._probe.setting
        first = sorted(self._signatures, key=lambda s: s.profile.unit_id != unit_id)
        began_s = time.monotonic()
        fits = recognise(first, memory.look, unit_id, setting)
        said = verdict(fits)
        if said is None or said.how == "sure" or self._is_over():
            return fits
        # What cannot be told apart at one look may be at two: a register that leaps is no soil temperature.
        time.sleep(max(0.0, began_s + self._plan.again_s - time.monotonic()))
        again = _Memory(lambda read: self._ask(unit_id, read, patient=True))
        named = {f.signature.name for f in fits[:AGAIN_OF]}
        fits = [
            looked_again(f, fit(f.signature, again.look, unit_id, setting)) if f.signature.name in named else f
            for f in fits
        ]
        return sorted(fits, key=lambda f: (-f.bits, f.signature.name))


class _Memory:
    """What an instrument answered; nothing is asked twice that is known."""

    def __init__(self, read: Callable[[Read], Reply]) -> None:
        self._read = read
        self._words: dict[tuple[str, int], int] = {}
        self._refused: set[tuple[str, int, int]] = set()

    def look(self, read: Read) -> Sequence[int] | None:
        places = [(read.table, read.address + i) for i in range(read.count)]
        if all(place in self._words for place in places):
            return [self._words[place] for place in places]
        # What was refused in part is refused as a whole.
        if any(
            table == read.table and read.address <= first and first + count <= read.address + read.count
            for table, first, count in self._refused
        ):
            return None
        reply = self._read(read)
        if reply.words is None and not reply.state.startswith("exception-"):
            reply = self._read(read)  # once more: a line may lose a frame
        if reply.words is None:
            self._refused.add((read.table, read.address, read.count))
            return None
        self._words.update(zip(places, reply.words, strict=True))
        return reply.words


def _is_right(heard: bytes, name: bytes) -> bool:
    """Whether a sentence of that name came with its checksum right."""
    for found in _SENTENCE.finditer(heard):
        if found[1] + found[2] != name:
            continue
        body = found[0][1:].rpartition(b"*")[0]
        check = 0
        for byte in body:
            check ^= byte
        if check == int(found[3], 16):
            return True
    return False
