"""Who sends: the farm that each gateway or source may write for, as the registry says, and the names it uses.

The registry is asked for all senders of a commit at once, and about each of them at most every `SITE_EXPIRES_S`, so
that a revocation works after that. What is remembered is bounded, whatever senders make up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from collectors.judge import Owner
from collectors.plain import MAX_NAMES, Names
from collectors.registry import Registry, sources
from collectors.registry.viewer import Service

SITE_EXPIRES_S: Final = 5.0
UNKNOWN_EXPIRES_S: Final = 1.0
MAX_SENDERS: Final = 20_000
NAMES_EACH: Final = 5_000
TRIM_S: Final = 1.0
SHARE: Final = 0.05
CREDIT_S: Final = 1.0
"""A sender whose packs need the general way may use a twentieth of a collector, and one second in advance: some 300
records a second. Beyond that its packs are not looked into and not answered, so that it sends them again later."""

_COLLECTOR: Final = Service("collector")


@dataclass(slots=True)
class Sender:
    """What is known about a sender until `until_s` on the monotonic clock, and what it owes: seconds of work on packs
    that were not plain, forgiven at `SHARE` of the time that passes."""

    owner: Owner
    until_s: float
    names: Names
    owes_s: float = 0.0
    owed_at_s: float = 0.0

    def owes_too_much(self, now_s: float) -> bool:
        """Whether its packs have to wait, so that those of others do not."""
        if self.owes_s:
            self.owes_s = max(0.0, self.owes_s - SHARE * (now_s - self.owed_at_s))
            self.owed_at_s = now_s
        return self.owes_s > CREDIT_S

    def charge(self, work_s: float, now_s: float) -> None:
        self.owes_too_much(now_s)
        self.owes_s += work_s
        self.owed_at_s = now_s


class Senders:
    """A memory of senders. One thread uses it."""

    def __init__(self, registry: Registry, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._monotonic_s = monotonic_s
        self._known: dict[str, Sender] = {}
        self._trim_s = 0.0

    def of(self, names: Collection[str]) -> dict[str, Sender]:
        """Each of `names`; raises what the registry raises."""
        now_s = self._monotonic_s()
        known = self._known
        due = [name for name in names if (sender := known.get(name)) is None or sender.until_s <= now_s]
        if due:
            with self._registry.read() as session:
                owners = sources.owners_of(session, _COLLECTOR, sorted(due))
            for name in due:
                found = owners.get(name)
                self._note(name, Owner(found.site, found.revoked) if found else Owner(None), now_s)
        return {name: known[name] for name in names}

    def now_s(self) -> float:
        return self._monotonic_s()

    def _note(self, name: str, owner: Owner, now_s: float) -> None:
        until_s = now_s + (UNKNOWN_EXPIRES_S if owner.site is None else SITE_EXPIRES_S)
        before = self._known.get(name)
        if before is not None and before.owner.site == owner.site:
            before.owner, before.until_s = owner, until_s
        else:
            self._known[name] = Sender(owner, until_s, Names(owner.site or ""))

    def trim(self) -> None:
        """Forgets what is too much, looking once a second. Called between commits."""
        now_s = self._monotonic_s()
        if now_s < self._trim_s:
            return
        self._trim_s = now_s + TRIM_S
        for sender in self._known.values():
            if len(sender.names.known) > NAMES_EACH:
                sender.names = Names(sender.names.site)
        total = sum(len(sender.names.known) for sender in self._known.values())
        # The youngest first: senders come in turns, and forgetting the oldest would forget each just before its turn.
        while self._known and (total > MAX_NAMES or len(self._known) > MAX_SENDERS):
            _, sender = self._known.popitem()
            total -= len(sender.names.known)
