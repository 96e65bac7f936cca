"""ETags: an answer that did not change is not sent again, and nobody overwrites what they have not seen.

A route takes a `Tagging` and says, after rights and audit, what its answer is a state of:

    tags.version(row.version)          # of one editable row: `"3"`
    return tags.content(told)          # of what has no version: a weak hash of the answer

When `If-None-Match` names it, the answer is 304. A route that changes an editable row says, once the row is found
(locked, `with_for_update=True`) and before it changes it,

    tags.expect(row.version)           # 428 without If-Match, 412 when it names another state

and once it is changed

    tags.changed(row.version)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar, cast

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel

from api.problems import Answered, Refused, take_headers

Told = TypeVar("Told", bound=BaseModel)
_TAG: Final = re.compile(r'\s*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")\s*(?:,|$)')
MAX_TAGS: Final = 50


@dataclass(frozen=True, slots=True)
class Tags:
    """The conditions of a request, and the headers of its answer."""

    request: Request
    response: Response
    if_match: str | None

    def version(self, version: int) -> None:
        """The answer is version `version` of one row."""
        self._told(f'"{version}"')

    def content(self, told: Told, *, but: Collection[str] = ()) -> Told:
        """`told` as the answer, with a tag made of what it says; fields `but` are left out of that (a clock)."""
        body = told.model_dump_json().encode()
        state = told.model_dump_json(exclude=set(but)).encode() if but else body
        # FastAPI sends a response as it is; the type is for the document.
        return cast("Told", self.spelled(body, state=state))

    def spelled(self, body: bytes, media_type: str = "application/json", *, state: bytes | None = None) -> Response:
        """`body` as the answer, with a tag made of it, or of `state` where it tells what changes by itself (a clock).

        The tags of several forms of one answer differ.
        """
        told = hashlib.sha256(media_type.encode() + b"\n" + (body if state is None else state))
        self._told(f'W/"{told.hexdigest()[:24]}"')
        answer = Response(body, media_type=media_type)
        take_headers(self.response, answer)
        return answer

    def expect(self, version: int) -> None:
        """Goes on if the writer has seen `version`. Call it with the row locked."""
        if self.if_match is None:
            raise Refused(
                428,
                "Say with If-Match which version you have seen: the ETag of the answer to GET.",
                slug="no-if-match",
            )
        if self.if_match.strip() != "*" and f'"{version}"' not in parse_tags(self.if_match):
            raise Refused(
                412, "Somebody changed this in between; read it again.", {"ETag": f'"{version}"'}, slug="changed"
            )

    def changed(self, version: int) -> None:
        """The row is version `version` now."""
        self.response.headers["ETag"] = f'"{version}"'

    def _told(self, tag: str) -> None:
        self.response.headers["ETag"] = tag
        self.response.headers.setdefault("Cache-Control", "private, no-cache")
        known = self.request.headers.get("if-none-match")
        if known is not None and (known.strip() == "*" or tag.removeprefix("W/") in _weakly(known)):
            unchanged = Response(status_code=304)
            take_headers(self.response, unchanged)
            raise Answered(unchanged)


def tags(
    request: Request,
    response: Response,
    _: Annotated[
        str | None, Header(alias="If-None-Match", description="The ETag that you have: 304 if it still holds")
    ] = None,
) -> Tags:
    """The tags of this request."""
    return Tags(request, response, request.headers.get("if-match"))


def tags_of_change(
    request: Request,
    response: Response,
    if_match: Annotated[
        str | None, Header(description="The ETag of the version that you have seen; 428 without")
    ] = None,
) -> Tags:
    """The tags of a request that changes a row."""
    return Tags(request, response, if_match)


Tagging = Annotated[Tags, Depends(tags)]
"""For what is read."""

Changing = Annotated[Tags, Depends(tags_of_change)]
"""For PUT, PATCH and DELETE of an editable row."""


def parse_tags(header: str) -> list[str]:
    """The tags of `If-Match` or `If-None-Match`; empty when it is not a list of tags."""
    found: list[str] = []
    at = 0
    while at < len(header):
        match = _TAG.match(header, at)
        if match is None or len(found) == MAX_TAGS:
            return []
        found.append(match[1])
        at = match.end()
    return found


def _weakly(header: str) -> list[str]:
    return [tag.removeprefix("W/") for tag in parse_tags(header)]
