"""The one job that keeps roll-ups fresh and forgets what has expired: the same for every store.

Nothing depends on it for being right: `windows` reads raw what is not rolled up. It keeps charts fast and the store
small. Any number of these may run at once, in collectors and on the command line; one that dies leaves nothing half
done, and another goes on. It works in short slices and rests between them as long as each took, so that writers get
their turn."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from collectors.store.levels import DAY_MS
from collectors.store.protocol import LEVELS, Level, Store, StoreError
from makiba.located_yaml import ConfigErrors, Problem
from makiba.settings import PREFIX, Settings

LAG_MS: Final = 120_000
"""How long after a window's end it is folded: what comes later makes it dirty again, which costs a little."""

EVERY_S: Final = 10.0
EXPIRE_EVERY_S: Final = 3600.0
LONGEST_REST_S: Final = 0.5

log = logging.getLogger("makiba.store")


@dataclass(frozen=True, slots=True)
class Policy:
    """How long each level is kept, in ms; a level that is not named is kept for ever."""

    keep_ms: Mapping[Level, int] = field(default_factory=dict)


def policy_of(settings: Settings) -> Policy:
    """What the settings say; `ConfigErrors` where a coarser level would go before a finer one."""
    keep_ms: dict[Level, int] = {}
    for level in LEVELS:
        days = getattr(settings, f"keep_{level}")
        if days:
            keep_ms[level] = int(days.removesuffix("d")) * DAY_MS
    ladder: tuple[Level, ...] = ("raw", "minute", "quarter", "day")
    problems = [
        Problem(f"{PREFIX}KEEP_{coarser.upper()}", 1, 1, "", f"is shorter than {PREFIX}KEEP_{finer.upper()}")
        for finer, coarser in pairwise(ladder)
        if keep_ms.get(coarser, 1 << 62) < keep_ms.get(finer, 1 << 62)
    ]
    if problems:
        raise ConfigErrors(problems)
    return Policy(keep_ms)


def roll_up_all(
    store: Store,
    before_ms: int,
    *,
    rest: Callable[[float], bool] = lambda _: False,
    tell: Callable[[int], None] = lambda _: None,
) -> int:
    """Folds everything that is due; how many windows that were.

    `rest` is called between slices with seconds and ends the work when it answers true; `tell` hears the sum so far.
    """
    done = 0
    while True:
        began_s = time.monotonic()
        count = store.roll_up(before_ms)
        if not count:
            return done
        done += count
        tell(done)
        if rest(min(time.monotonic() - began_s, LONGEST_REST_S)):
            return done


def expire_all(store: Store, policy: Policy, now_ms: int) -> dict[Level, int]:
    """Forgets what the policy says, finer levels first; the horizon of each level that has one."""
    return {level: store.expire(level, now_ms - policy.keep_ms[level]) for level in LEVELS if level in policy.keep_ms}


class RollUpJob:
    """The job as a thread of a collector. Store errors are logged when they begin and when they end."""

    def __init__(self, store: Store, policy: Policy, *, now_ms: Callable[[], int] | None = None) -> None:
        self._store = store
        self._policy = policy
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self._failing = False
        self._next_expiry_s = 0.0

    def start(self, stop: threading.Event) -> threading.Thread:
        thread = threading.Thread(target=self.run, args=(stop,), name="roll-up", daemon=True)
        thread.start()
        return thread

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.step(stop)
            stop.wait(EVERY_S)

    def step(self, stop: threading.Event) -> None:
        """What is due now."""
        try:
            roll_up_all(self._store, self._now_ms() - LAG_MS, rest=stop.wait)
            if self._policy.keep_ms and time.monotonic() >= self._next_expiry_s and not stop.is_set():
                expire_all(self._store, self._policy, self._now_ms())
                self._next_expiry_s = time.monotonic() + EXPIRE_EVERY_S
        except StoreError as error:
            if not self._failing and not stop.is_set():
                log.warning("roll-ups wait: %s", error)
            self._failing = True
        except Exception:  # whatever it is, collecting goes on; the next step may do better
            if not self._failing:
                log.exception("roll-ups wait: a defect")
            self._failing = True
        else:
            if self._failing:
                log.info("roll-ups go on")
            self._failing = False
