"""Who may look at the technical side of a farm, and who may try to change it.

The farm's own people, whom it shows the class `technical`, and, for looking only, the administrator.
"""

from __future__ import annotations

from api.problems import not_found
from api.sessions import Account
from collectors.registry.viewer import Person, belongs_to, may_see


def require_technical(viewer: Person, site: str) -> None:
    """404 unless `viewer` may see the technical side of `site`. Whether the farm is there at all is not told."""
    if not may_see(viewer, site, "technical"):
        raise not_found()


def require_technical_of_the_farm(account: Account, site: str) -> None:
    """404 unless they may see it by the farm's own word: an administrator without a role there changes nothing.

    The answer to a change, also a refusal, tells what is there, and so is a read from outside.
    """
    viewer = account.viewer
    shown = belongs_to(viewer, site) or "technical" in viewer.grants.get(site, ())
    if not shown or not may_see(viewer, site, "technical"):
        raise not_found()
    account.note(site, {"technical"})
