"""Whether what was begun for a viewer may go on: whoever sends something for minutes asks again and again.

The registry's number of the rights is one row; only when it is another, or when something ends by its own time, is
what the viewer sees worked out anew, and compared with what it was begun with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends

from api.centre import Centre, CentreNow
from api.ears import Ear
from api.sessions import LookingNow, Rights, rights_of, version_now
from collectors.out.stretches import seen
from collectors.registry.sight import Sight, Span
from makiba.reading import Series


@dataclass(frozen=True, slots=True)
class Still:
    """The viewer of a request, by the key of their session or program."""

    centre: Centre
    key: str

    def looker(self, allows: Callable[[Sight], bool]) -> Callable[[], bool]:
        """Says whether the viewer is still let in, and what they see still `allows` what was begun."""
        return self.rights_looker(lambda rights: allows(rights.sight))

    def rights_looker(self, allows: Callable[[Rights], bool]) -> Callable[[], bool]:
        """The same, for what goes by more than what they see."""
        ear = Ear(self.key)
        known: list[Rights] = []

        def look() -> bool:
            if known and known[0].version == version_now(self.centre) and self.centre.clock() < known[0].until_ms:
                return True
            _, found = rights_of(self.centre, [ear])
            rights = found.get(ear)
            if rights is None or not allows(rights):
                return False
            known[:] = [rights]
            return True

        return look


def sees_all_of(sight: Sight, stretches: Sequence[tuple[Series, Sequence[Span]]]) -> bool:
    """Whether each of these times of a series is for who sees `sight`."""
    for series, wanted in stretches:
        spans = sight.of(series.site).spans(series.subject, series.quantity)
        if any(list(seen(spans, start_ms, end_ms)) != [(start_ms, end_ms)] for start_ms, end_ms in wanted):
            return False
    return True


def still(looking: LookingNow, centre: CentreNow) -> Still:
    """How the viewer of this request came in."""
    return Still(centre, looking.key)


StillThere = Annotated[Still, Depends(still)]
