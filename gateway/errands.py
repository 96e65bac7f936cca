"""What is done on a bus besides polling: one thing at a time, between two transactions, before the next poll.

The only errand there is writes a declared alarm output (`outputs.py`). It waits for the poll under way, at most the
timeouts of one device, and never for a poll that is not begun. While the line is down it fails at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

Errand = Callable[[Any], Awaitable[str]]
"""Gets the bus's line; returns `ok` or the word of a state."""


class Errands:
    """The queue between who asks and the bus's own task. Used from the event loop only."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self._queue: deque[tuple[Errand, asyncio.Future[str]]] = deque()

    async def ask(self, errand: Errand, within_s: float = 3.0) -> str:
        """What `errand` returned; `timeout` when the bus did not come to it."""
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._queue.append((errand, done))
        self.waiting.set()
        try:
            async with asyncio.timeout(within_s):
                return await done
        except TimeoutError:
            return "timeout"

    async def run_all(self, line: Any) -> None:
        """Runs what waits. What was given up is passed over."""
        while self._queue:
            errand, done = self._queue.popleft()
            if done.done():
                continue
            try:
                state = await errand(line)
            except OSError:
                state = "bus-down"
            if not done.done():
                done.set_result(state)
        self.waiting.clear()

    def refuse_all(self, state: str) -> None:
        """The line is down: whoever waits is told."""
        while self._queue:
            _, done = self._queue.popleft()
            if not done.done():
                done.set_result(state)
        self.waiting.clear()
