"""Lists in pages: `limit`, and a `cursor` that goes on behind the last row of the page before.

A route of a list takes a `Paging` and needs two lines:

    rows = animals.list_animals(session, viewer, site, page.ask, page.after)
    rows, next = page.cut(rows, lambda row: (row.at_ms, row.id))

The query sorts by the values that the cursor holds, the last of them an id, so that rows of one moment are neither
left out nor told twice; what is added meanwhile changes nothing behind the cursor. A cursor holds what its reader has
seen: the sorting values of a row of theirs. It is signed, and holds for this person or program, on this route, with
these path parameters and this query, for a day; whatever is wrong with one, the answer is the same.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Query, Request

from api.centre import Centre, CentreNow
from api.problems import Refused
from api.sessions import SignedIn
from collectors.registry.viewer import Person

MAX_ROWS: Final = 500
HOLDS_MS: Final = 86_400_000
_MAC_BYTES: Final = 16
_OF_THE_PAGE: Final = frozenset({"cursor", "limit"})

Row = TypeVar("Row")
Place = tuple[Any, ...]
"""The values by which a list is sorted, of one row."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted: `limit` rows behind `after`, or from the beginning."""

    limit: int
    after: Place | None
    _sign: Callable[[Place], str]

    @property
    def ask(self) -> int:
        """How many rows to ask the registry for: one more than is shown tells whether there are more."""
        return self.limit + 1

    def cut(self, rows: Sequence[Row], place: Callable[[Row], Place]) -> tuple[Sequence[Row], str | None]:
        """The rows to show, and the `next` of the answer; None at the end."""
        shown = rows[: self.limit]
        return shown, self._sign(place(shown[-1])) if len(rows) > self.limit else None


def page(
    request: Request,
    viewer: SignedIn,
    centre: CentreNow,
    limit: Annotated[int, Query(ge=1, le=MAX_ROWS, description="How many rows at most")] = 100,
    cursor: Annotated[
        str | None, Query(max_length=1000, description="The `next` of the page before; nothing else will do")
    ] = None,
) -> Page:
    """The page of this request; 400 when its cursor is none of ours, or not for this request."""
    bound = _bound(request, viewer)

    def sign(place: Place) -> str:
        return _spell(centre, bound, place)

    return Page(limit, None if cursor is None else _read(centre, bound, cursor), sign)


Paging = Annotated[Page, Depends(page)]


def wrong_cursor() -> Refused:
    """The answer to any cursor that does not hold here."""
    return Refused(400, "This cursor does not hold here (any more); begin again without one.", slug="cursor")


def _bound(request: Request, viewer: Person) -> bytes:
    """Whom and what a cursor holds for."""
    query = sorted((name, text) for name, text in request.query_params.multi_items() if name not in _OF_THE_PAGE)
    program = viewer.limit.token if viewer.limit else ""
    parts = [viewer.id, program, request.scope["route"].path, sorted(request.path_params.items()), query]
    return json.dumps(parts).encode()


def _spell(centre: Centre, bound: bytes, place: Place) -> str:
    payload = json.dumps([centre.clock(), *place], ensure_ascii=False, separators=(",", ":")).encode()
    return _base64(centre.key.sign("cursor", bound, payload)[:_MAC_BYTES] + payload)


def _read(centre: Centre, bound: bytes, cursor: str) -> Place:
    try:
        signed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise wrong_cursor() from None
    mac, payload = signed[:_MAC_BYTES], signed[_MAC_BYTES:]
    right = centre.key.sign("cursor", bound, payload)[:_MAC_BYTES]
    if not hmac.compare_digest(mac, right) or _base64(signed) != cursor:
        raise wrong_cursor()
    made_ms, *place = json.loads(payload)
    if not 0 <= centre.clock() - made_ms < HOLDS_MS:
        raise wrong_cursor()
    return tuple(place)


def _base64(signed: bytes) -> str:
    return base64.urlsafe_b64encode(signed).decode().rstrip("=")
