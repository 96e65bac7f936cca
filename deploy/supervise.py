"""Starts child processes, keeps them running, and ends them: for one machine without systemd.

Guarantees: a child starts when those it comes after are ready; one that dies is started again after a pause that
doubles (0.5 s to 10 s) until it has lived for half a minute; children are stopped in reverse order, with SIGTERM
and, when that does not help in time, SIGKILL. None outlives the supervisor: the kernel kills it when the
supervisor dies in whatever way (prctl(2), PR_SET_PDEATHSIG). It signals only process groups that it made.

It does not pass a child's output on: each writes into its own file in `logs`. It must be driven from the main
thread, because the kernel's promise is bound to the thread that started the child.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

PAUSE_FIRST_S: Final = 0.5
PAUSE_LONGEST_S: Final = 10.0
LIVED_S: Final = 30.0
"""A child that ran for so long before it died starts again after the shortest pause."""
RECOVERED_S: Final = 2.0
"""A child that died works again once it is ready and has lived so long."""
MISCONFIGURED: Final = 2
HOPELESS_DEATHS: Final = 3
STOP_WITHIN_S: Final = 8.0
TICK_S: Final = 0.05

_PR_SET_PDEATHSIG: Final = 1
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # what is ours is never behind a proxy
_libc = ctypes.CDLL(None, use_errno=True)  # loaded before any fork


@dataclass(frozen=True, slots=True)
class Child:
    """A program to run. `ready` says whether it does its work yet; without it, it is ready once it is started."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    after: Sequence[str] = ()
    ready: Callable[[], bool] | None = None


@dataclass(slots=True)
class _Run:
    """What is known of a child: its process, and when it may start next."""

    child: Child
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    due: float = 0.0
    pause_s: float = 0.0
    ready: bool = False
    held: bool = False
    deaths: int = 0
    last_code: int | None = None
    mourned: bool = False


def pause_after(lived_s: float, last_pause_s: float) -> float:
    """Seconds until a child that lived `lived_s` starts again."""
    if lived_s >= LIVED_S or last_pause_s == 0:
        return PAUSE_FIRST_S
    return min(last_pause_s * 2, PAUSE_LONGEST_S)


class Supervisor:
    """Runs `children`; a context manager that leaves none behind.

    `say` gets one line when a child dies and one when it works again, however often it tries in between.
    """

    def __init__(self, children: Sequence[Child], *, logs: Path, say: Callable[[str], None] | None = None) -> None:
        self._runs = {child.name: _Run(child) for child in children}
        self._logs = logs
        self._say = say or (lambda line: print(line, file=sys.stderr, flush=True))
        logs.mkdir(parents=True, exist_ok=True)

    def step(self) -> None:
        """Looks after every child once: call it every `TICK_S`."""
        now = time.monotonic()
        for run in self._runs.values():
            if run.process is not None and run.process.poll() is not None:
                self._buried(run, now)
            if run.process is None and not run.held and now >= run.due and self._may_start(run.child):
                self._start(run, now)
            if run.process is not None and not run.ready and (run.child.ready is None or run.child.ready()):
                run.ready = True
            if run.mourned and run.ready and now - run.started >= RECOVERED_S:
                run.mourned = False
                self._say(f"{run.child.name}: works again")

    def add(self, children: Sequence[Child]) -> None:
        """More children, after those that are there."""
        self._runs.update({child.name: _Run(child) for child in children})

    def is_ready(self, *names: str) -> bool:
        """Whether the children called `names` (all, without names) do their work."""
        return all(self._runs[name].ready for name in names or self._runs)

    def names(self) -> list[str]:
        return list(self._runs)

    def pids(self) -> dict[str, int]:
        """The process ids of those that run."""
        return {name: run.process.pid for name, run in self._runs.items() if run.process}

    def deaths(self, name: str) -> int:
        """How often `name` has died by itself."""
        return self._runs[name].deaths

    def hopeless(self) -> str | None:
        """A child that will not come up: its configuration is wrong (exit code 2), or it died three times."""
        for name, run in self._runs.items():
            if run.process is None and run.last_code == MISCONFIGURED:
                return name
            if run.deaths >= HOPELESS_DEATHS and not run.ready:
                return name
        return None

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def tail(self, name: str, lines: int = 15) -> str:
        """The last lines of a child's log."""
        try:
            text = self.log(name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:])

    def cut(self, name: str) -> None:
        """Kills `name` at once, like a power cut, and keeps it down until `release`."""
        run = self._runs[name]
        run.held, run.ready = True, False
        if run.process:
            _signal(run.process, signal.SIGKILL)
            run.process.wait()
            run.process = None

    def release(self, name: str) -> None:
        """Lets `name` run again after `cut`."""
        run = self._runs[name]
        run.held, run.due, run.pause_s = False, 0.0, 0.0

    def stop(self) -> None:
        """Ends all, last started first; those that do not follow SIGTERM in time are killed."""
        for run in reversed(self._runs.values()):
            if run.process is None:
                continue
            _signal(run.process, signal.SIGTERM)
            try:
                run.process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._say(f"{run.child.name}: does not stop, killed")
            # The group, not only the leader: whatever it started goes with it.
            _signal(run.process, signal.SIGKILL)
            run.process.wait()
            run.process = None

    def kill(self) -> None:
        """Ends all at once with SIGKILL."""
        for name in self._runs:
            self.cut(name)

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None or issubclass(kind, (KeyboardInterrupt, SystemExit)):
                self.stop()
        finally:
            self.kill()

    def _may_start(self, child: Child) -> bool:
        return all(self._runs[name].ready for name in child.after)

    def _start(self, run: _Run, now: float) -> None:
        supervisor = os.getpid()
        with self.log(run.child.name).open("ab") as log:
            run.process = subprocess.Popen(
                list(run.child.command), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=dict(run.child.env) if run.child.env else None,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops them in order
                preexec_fn=lambda: _die_with(supervisor),  # noqa: PLW1509 (main thread only, see above)
            )  # fmt: skip
        run.started, run.ready = now, False

    def _buried(self, run: _Run, now: float) -> None:
        assert run.process is not None
        _signal(run.process, signal.SIGKILL)  # what it may have started
        code = run.process.returncode
        how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        run.process, run.ready = None, False
        run.deaths += 1
        run.last_code = code
        run.pause_s = pause_after(now - run.started, run.pause_s)
        run.due = now + run.pause_s
        if run.mourned:
            return  # said already
        run.mourned = True
        self._say(
            f"{run.child.name}: ended with {how}, starts again in {run.pause_s:g} s (log: {self.log(run.child.name)})"
        )


def _die_with(supervisor: int) -> None:
    """In the child: be killed when the supervisor dies, also when that was just now."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor:
        os._exit(1)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Sends to the group that `process` leads."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return


class Stop:
    """Whether somebody asked to stop: Ctrl-C, SIGTERM, or the terminal went away."""

    def __init__(self) -> None:
        self.requests = 0

    def __bool__(self) -> bool:
        return self.requests > 0

    def ask(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Once is asking; asking again while it stops means: at once."""
        self.requests += 1
        if self.requests > 1:
            raise KeyboardInterrupt


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """SIGINT, SIGTERM and SIGHUP ask to stop while the block runs."""
    stop = Stop()
    before = {n: signal.signal(n, stop.ask) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody takes connections on `port`; for `Child.ready`."""
    with socket.socket() as sock:
        sock.settimeout(0.5)
        return sock.connect_ex((host, port)) == 0


def answers(url: str) -> bool:
    """Whether `url` answers with success; for `Child.ready`."""
    try:
        with _direct.open(url, timeout=1) as answer:
            return bool(200 <= answer.status < 300)
    except OSError:
        return False
