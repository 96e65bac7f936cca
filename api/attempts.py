"""Attempts to sign in, counted by the registry: see `collectors.registry.attempts`."""

from __future__ import annotations

from collectors.registry import Registry, attempts
from collectors.registry.viewer import Service


class Attempts:
    """The failures of every key; threads and processes share them."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._viewer = Service("api")

    def begin(self, key: str, now_ms: int, free: int = attempts.FREE_FAILURES) -> int:
        """Milliseconds that `key` has to wait; at 0 the attempt is counted as failed until `succeeded`."""
        with self._registry.write() as session:
            return attempts.begin(session, self._viewer, key, now_ms, free)

    def succeeded(self, key: str) -> None:
        """Forgets the failures of `key`."""
        with self._registry.write() as session:
            attempts.succeeded(session, self._viewer, key)
