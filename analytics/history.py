"""Reads what came late on a thread of its own, one farm after the other, so that judging goes on meanwhile."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping
from typing import Final

from analytics.backlog import Outage
from analytics.context import FarmContexts
from analytics.facts import Facts
from analytics.farm import Farm
from analytics.judge import Judge
from analytics.late import Found, judge_again
from analytics.rules import FarmRules
from analytics.watched import Watched
from collectors.store import Store, StoreUnavailable
from makiba.rule import Rule

log = logging.getLogger(__name__)

RETRY_S: Final = 2.0


class History:
    """The thread that judges past stretches again."""

    def __init__(self, store: Store, rules: Mapping[str, Rule]) -> None:
        self._store, self._rules = store, rules
        self._asked: queue.Queue[tuple[Farm, FarmRules, Facts | None, Outage] | None] = queue.Queue()
        self._found: queue.Queue[Found] = queue.Queue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What was asked for and not found yet is asked for again by whoever goes on."""
        self._stop.set()
        self._asked.put(None)

    def ask(self, watched: Watched, outage: Outage) -> None:
        self._asked.put((watched.farm, watched.rules, watched.facts, outage))

    def found(self) -> list[Found]:
        """What is ready to be written."""
        found = []
        while True:
            try:
                found.append(self._found.get_nowait())
            except queue.Empty:
                return found

    def _run(self) -> None:
        while (job := self._asked.get()) is not None and not self._stop.is_set():
            farm, rules, facts, outage = job
            try:
                judge = Judge(farm, rules, FarmContexts(farm))
                self._found.put(judge_again(judge, facts, self._store, farm.site, outage))
            except StoreUnavailable:
                self._stop.wait(RETRY_S)
                self._asked.put(job)
            except Exception:
                log.exception("%s: what came late cannot be judged; it is left out", farm.site)
                self._found.put(Found(farm.site, outage, (), 0))
