"""`makiba demo --replay FILE.csv`: recorded data drive Modbus registers, and the real gateway and collector follow.

Without `--verify` a row a second, with all services and the pages to look at it. With `--verify` as fast as it goes
and without pages; then the store is compared with the file value for value: each row there exactly once, each number
the same double, each empty cell without a number and with the state `sentinel`. Times in the store are when the
gateway read a row; the recorded time is a value beside the others.
"""

from __future__ import annotations

import bisect
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from collectors.store import Store, open_store
from demo.home import HTTP_PORT, MQTT_PORT, DemoRuns, Home, default_home, free_port, port_for
from demo.recorded import Recording, RecordingError, read_recording
from demo.replay_server import GAP, UNIT, WIDTH
from demo.running import Options, StartFailed, StoreKind, run
from deploy.supervise import Child, listens, stop_on_signals
from makiba.reading import Series
from makiba.settings import Settings

SITE, DEVICE = "replay", "replay"
FAST, SLOW = "10ms", "1s"
NO_NEWS_S: Final = 30.0
"""With --verify: how long nothing new may come before what is there is compared."""
ROW: Final = Series(SITE, f"{DEVICE}.row", "value")


@dataclass(frozen=True, slots=True)
class ReplayScene:
    """A recording behind Modbus TCP."""

    file: Path
    recording: Recording
    every: str
    gateway: str = "gw-replay"

    def prepare(self, home: Home, tcp_port: int) -> dict[str, Any]:
        profiles = home.folder / "profiles"
        profiles.mkdir(exist_ok=True)
        _write_yaml(profiles / "recording.yaml", _profile(self.recording))
        _write_yaml(self.site_file(home), _site(self.recording, self.gateway))
        device = {"name": DEVICE, "profile": "recording", "unit_id": UNIT, "every": self.every}
        return {
            "gateway": self.gateway,
            "site": SITE,
            "profiles": "profiles",
            "spool": {"path": "spool.db", "max_mb": 512},
            "buses": {"recorded": {"tcp": {"host": "127.0.0.1", "port": tcp_port}, "devices": [device]}},
        }

    def site_file(self, home: Home) -> Path:
        return home.folder / "site.yaml"

    def instruments(self, home: Home, tcp_port: int, env: Mapping[str, str]) -> Child:
        del home
        command = [sys.executable, "-m", "demo.replay_server", str(self.file), "--tcp-port", str(tcp_port)]
        return Child("recording", command, env, ready=lambda: listens(tcp_port))


def replay_file(file: Path, store: StoreKind, home: Path | None, *, verify: bool) -> int:
    """Replays `file`; the command's exit code."""
    try:
        recording = read_recording(file)
    except RecordingError as error:
        print(error, file=sys.stderr)
        return 2
    scene = ReplayScene(file.resolve(), recording, FAST if verify else SLOW)
    temporary = home is None and verify
    if temporary:
        place = Home(Path(tempfile.mkdtemp(prefix="makiba-replay-")))
    else:
        place = Home(home.expanduser().resolve() if home else default_home(os.environ).path / "replay")
    ports = (free_port(), free_port()) if verify else (port_for(None, HTTP_PORT), port_for(None, MQTT_PORT))
    options = Options(place, scene, store, *ports, pages=not verify)
    progress = _Progress(recording)
    with stop_on_signals() as stop:
        try:
            run(options, stop, _say(recording), progress.is_done if verify else lambda _: False)
        except (DemoRuns, StartFailed) as error:
            print(error, file=sys.stderr)
            return 1
        except FileNotFoundError as error:
            print(error, file=sys.stderr)
            return 2
    if not verify:
        return 0
    good = progress.report()
    if good and temporary:
        shutil.rmtree(place.path, ignore_errors=True)
    return 0 if good else 1


def _say(recording: Recording) -> Callable[[str], None]:
    def say(address: str) -> None:
        what = f"{len(recording.rows)} rows of {len(recording.columns)} columns"
        print(f"replaying {what}" + (f"; look at them: {address}" if address else ""), flush=True)

    return say


@dataclass(slots=True)
class Comparison:
    """The store against the file."""

    rows: int = 0
    doubled: int = 0
    equal: int = 0
    wrong: int = 0
    missing: int = 0
    gaps: int = 0
    invented: int = 0
    states_wrong: int = 0
    first: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if len(self.first) < 10:
            self.first.append(text)

    @property
    def is_good(self) -> bool:
        return not (self.doubled or self.wrong or self.missing or self.invented or self.states_wrong)


def compare(recording: Recording, store: Store) -> Comparison:
    """Every value of the file with every value in the store, and nothing in the store besides."""
    found = Comparison()
    end_ms = 1 << 53
    time_of: dict[int, int] = {}
    for point in store.range(ROW, 0, end_ms):
        number = int(float(point.value))
        if number in time_of:
            found.doubled += 1
            found.note(f"row {number} is there twice")
        time_of[number] = point.time_ms
    found.rows = len(time_of)
    times = set(time_of.values())
    for index, column in enumerate(recording.columns):
        subject = f"{DEVICE}.{column.channel}"
        points = {p.time_ms: p.value for p in store.range(Series(SITE, subject, column.quantity), 0, end_ms)}
        states = store.range(Series(SITE, subject, "state"), 0, end_ms)
        state_times = [p.time_ms for p in states]
        for extra in points.keys() - times:
            found.invented += 1
            found.note(f"{subject}: a value at {extra} ms, where no row was read")
        for number, row in enumerate(recording.rows, start=1):
            expected, at_ms = row.values[index], time_of.get(number)
            got = points.get(at_ms) if at_ms is not None else None
            if expected is None:
                found.gaps += got is None
                found.invented += got is not None
            else:
                found.equal += got == expected
                found.missing += got is None
                found.wrong += got is not None and got != expected
            if got != expected:
                found.note(f"{subject}, row {number}: the file has {expected}, the store {got}")
            if at_ms is not None:
                place = bisect.bisect_right(state_times, at_ms) - 1
                state = states[place].value if place >= 0 else None
                if state != ("sentinel" if expected is None else "ok"):
                    found.states_wrong += 1
                    found.note(f"{subject}, row {number}: state {state}")
    return found


class _Progress:
    """Waits until all rows are in the store, then compares."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._began = self._news_at = time.monotonic()
        self._said_at = 0.0
        self._stored = 0
        self._store: Store | None = None
        self._found: Comparison | None = None
        self._took_s = 0.0

    def is_done(self, settings: Settings) -> bool:
        """Asked once a second while the services run."""
        now, total = time.monotonic(), len(self._recording.rows)
        if self._store is None:
            self._store = open_store(settings.store_url)
            self._began = self._news_at = now
        stored = len(self._store.range(ROW, 0, 1 << 53))
        if stored > self._stored:
            self._stored, self._news_at = stored, now
        if now - self._said_at >= 10:
            self._said_at = now
            print(f"{now - self._began:5.0f} s  {stored} of {total} rows in the store", flush=True)
        if stored < total and now - self._news_at < NO_NEWS_S:
            return False
        self._took_s = self._news_at - self._began
        self._found = compare(self._recording, self._store)
        self._store.close()
        return True

    def report(self) -> bool:
        """Prints what was found; whether the store has the file."""
        found, total = self._found, len(self._recording.rows)
        if found is None:
            print("stopped before all was there", file=sys.stderr)
            return False
        rate = found.rows / self._took_s if self._took_s else 0.0
        print(f"rows    {found.rows} of {total} in the store, {found.doubled} twice; "
              f"{self._took_s:.0f} s, {rate:.0f} rows/s")  # fmt: skip
        print(f"values  {found.equal} equal, {found.wrong} different, {found.missing} missing")
        print(f"gaps    {found.gaps} kept, {found.invented} with a number; {found.states_wrong} states wrong")
        for text in found.first:
            print(f"        {text}")
        good = found.is_good and found.rows == total
        print("the store has the file, value for value" if good else "the store and the file differ")
        return good


def _profile(recording: Recording) -> dict[str, Any]:
    """The recording's registers as a device profile; see `demo/replay_server.py`."""
    channels = [("row", "value"), ("recorded-s", "value"), *((c.channel, c.quantity) for c in recording.columns)]
    registers = [
        {"channel": channel, "quantity": quantity, "address": WIDTH * i, "type": "float64", "sentinels": [GAP]}
        for i, (channel, quantity) in enumerate(channels)
    ]
    return {
        "driver": "modbus",
        "names": {"ja": "記録の 再生", "en": "Replayed recording"},
        "source": {"trust": "proposed", "document": "demo/replay_server.py"},
        "registers": registers,
        "max_registers": 124,
        # The server cannot know whether it was heard: a machine that is busy for a second must not cost a row.
        "timeout": "20s",
        "learn_timeout": False,
    }


def _site(recording: Recording, gateway: str) -> dict[str, Any]:
    place = "recording"
    placements = [
        {"subject": f"{DEVICE}.{c.channel}", "place": place, "name": {"ja": c.header[:200], "en": c.header[:200]}}
        for c in recording.columns
    ]
    return {
        "site": SITE,
        "name": {"ja": "記録の 再生", "en": "Replayed recording"},
        "timezone": "Asia/Tokyo",
        "gateways": [gateway],
        "places": [{"id": place, "kind": "field", "name": {"ja": recording.name[:200], "en": recording.name[:200]}}],
        "placements": placements,
    }


def _write_yaml(path: Path, data: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")
