"""The registry of a demo: its farm, and a person who may look at it with a code instead of a password.

The code holds as long as the demo runs: it is renewed now and then, and void as soon as the demo stops. Only its
hash is in the registry; the demo's own file with the code is readable by its owner alone.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from api.sessions import digest, new_code
from collectors.registry import Registry, open_registry, people
from collectors.registry.site_file import load_site_file
from collectors.registry.sites import apply_site
from collectors.registry.viewer import Service
from makiba.settings import Settings

LOGIN, NAME = "demo", "佐藤 さくら"
HOLDS_MS: Final = 24 * 3_600_000
_CONSOLE: Final = Service("console")


class Visitor:
    """Somebody who may look at the demo's farm, by `code`. A context manager: afterwards the code is void."""

    def __init__(self, settings: Settings, site_file: Path) -> None:
        self.code = new_code()
        self._registry: Registry = open_registry(settings.registry_url, migrate=True)
        spec = load_site_file(site_file)
        with self._registry.write() as session:
            apply_site(session, _CONSOLE, spec, _now_ms())
            person = people.person_by_login(session, _CONSOLE, LOGIN)
            if person is None:
                person = people.create_person(session, _CONSOLE, login=LOGIN, name=NAME, now_ms=_now_ms())
            people.grant_role(session, _CONSOLE, person.id, spec.id, "owner", _now_ms())
            self._person_id = person.id
        self.renew()

    def renew(self) -> None:
        """The code holds for another day."""
        self._let_hold_until(_now_ms() + HOLDS_MS)

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._let_hold_until(0)
        finally:
            self._registry.close()

    def _let_hold_until(self, expires_ms: int) -> None:
        with self._registry.write() as session:
            people.create_invitation(
                session, _CONSOLE, code_hash=digest(self.code), person_id=self._person_id, expires_ms=expires_ms,
                uses_left=None,
            )  # fmt: skip


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
