"""Idempotency-Key: a POST that comes twice is done once, and answered the same.

A route that makes something takes a `Once` and writes inside it:

    with once.write(site, "edit animals") as session:
        row = animals.create(session, viewer, site, ...)
        return once.made(shown(row), f"/sites/{site}/animals/{row.id}", version=row.version)

Rights come first: who may not see `site` gets 404 and who may not do it 403, before anybody learns what was answered
to a key. The key is claimed, and its answer kept, in the transaction of the write; a refusal inside it keeps nothing,
so that the same key may come again. With `secret=True` the answer is not kept: the same again is a 409 that names
what was made. Without the header nothing of this happens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeVar, cast

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel
from sqlalchemy.orm import Session

from api.centre import PREFIX, Centre, CentreNow
from api.problems import Answered, Refused, invalid, not_found, take_headers
from api.sessions import SignedIn
from api.sessions import writing as writing_session
from collectors.registry import once
from collectors.registry.viewer import Action, Person, may_see, require

MAX_KEY: Final = 255
_KEY: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")

Told = TypeVar("Told", bound=BaseModel)


@dataclass
class Writing:
    """One request that makes something, with its Idempotency-Key or without."""

    centre: Centre
    viewer: Person
    request: Request
    response: Response
    key_hash: str | None
    request_hash: str
    _session: Session | None = field(default=None, init=False)
    _is_kept: bool = field(default=False, init=False)

    def came(self, body: bytes) -> None:
        """What the request asks for. Of a long body, which is never in memory whole, its route tells a hash."""
        asked = (self.request.url.path.encode(), self.request.url.query.encode(), body)
        self.request_hash = self.centre.key.sign("once request", *asked).hex()

    @contextmanager
    def write(self, site: str | None = None, action: Action | None = None) -> Iterator[Session]:
        """A writing session of the registry; what it does is done once per key. 404 and 403 before anything else."""
        if site is not None and not may_see(self.viewer, site):
            raise not_found()
        if site is not None and action is not None:
            require(self.viewer, site, action)
        with writing_session(self.centre, self.viewer, site) as session:
            if self.key_hash is not None:
                self._claim(session, self.key_hash, site)
            self._session, self._is_kept = session, self.key_hash is None
            try:
                yield session
                if not self._is_kept:
                    raise RuntimeError("a write with an Idempotency-Key ended without made()")
            finally:
                self._session = None

    def made(
        self, told: Told, location: str, *, status: int = 201, version: int | None = None, secret: bool = False
    ) -> Told:
        """The answer, inside `write`: `told`, with its address (below the API's prefix) and the row's ETag."""
        assert self._session is not None, "made() belongs inside write()"
        headers = {"Location": PREFIX + location} | ({"ETag": f'"{version}"'} if version is not None else {})
        body = told.model_dump_json()
        if self.key_hash is not None:
            kept = once.Answer(status, headers, None if secret else body)
            once.keep(self._session, self.viewer, self.key_hash, kept)
            self._is_kept = True
        return cast("Told", _answer(status, headers, body, self.response))

    def _claim(self, session: Session, key_hash: str, site: str | None) -> None:
        if not self.request_hash:
            raise RuntimeError("the route of a long body says with came() what came")
        now_ms = self.centre.clock()
        try:
            before = once.claim(session, self.viewer, key_hash, self.request_hash, site, now_ms)
        except once.KeyUsed:
            detail = "This Idempotency-Key came already, with another request; take a new one for each write."
            raise Refused(422, detail, slug="key-used") from None
        if before is None:
            return
        if before.body is None:
            detail = "This was done already. Its answer is not kept; what was made is at Location."
            raise Refused(409, detail, before.headers, slug="answer-not-kept")
        headers = {**before.headers, "Idempotent-Replayed": "true"}
        raise Answered(_answer(before.status, headers, before.body, self.response))


async def writing(
    request: Request,
    response: Response,
    viewer: SignedIn,
    centre: CentreNow,
    idempotency_key: Annotated[
        str | None,
        Header(
            max_length=MAX_KEY,
            description="A random text of yours: the same write with the same key is done once within 24 hours",
        ),
    ] = None,
) -> Writing:
    """The write of this request. `async`: a short body is read here, as it came."""
    if idempotency_key is None:
        return Writing(centre, viewer, request, response, None, "")
    if not _KEY.fullmatch(idempotency_key):
        raise invalid("header.idempotency-key", "1 to 255 printable ASCII characters")
    who = f"{viewer.id}/{viewer.limit.token if viewer.limit else ''}".encode()
    template = f"{request.method} {request.scope['route'].path}".encode()
    key_hash = centre.key.sign("once key", who, template, idempotency_key.encode()).hex()
    write = Writing(centre, viewer, request, response, key_hash, "")
    if not hasattr(request.scope["route"].endpoint, "max_body_bytes"):
        write.came(await request.body())
    return write


Once = Annotated[Writing, Depends(writing)]


def _answer(status: int, headers: dict[str, str], body: str, kept: Response) -> Response:
    answer = Response(body, status, headers, media_type="application/json")
    take_headers(kept, answer)
    return answer
