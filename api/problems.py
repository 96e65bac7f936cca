"""Errors of the API as `application/problem+json` (RFC 9457): type, title, status, detail, and errors of a 422.

A program acts on `type`: `/problems/<slug>` where docs/api.md says what to do, `about:blank` where the status says it
all. `Refused` is raised for the former, Starlette's `HTTPException` for the latter. A detail never says more than its
reader may know: what another farm has answers 404 like what does not exist, and a failure inside is logged here and
told as 'something went wrong'.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from collectors.registry import RegistryError, RegistryMisconfigured
from collectors.registry.viewer import NotAllowed
from collectors.store import StoreError, StoreMisconfigured

log = logging.getLogger(__name__)

Row = TypeVar("Row")

RETRY_AFTER_S = 5
"""When a client may ask again after the store or the registry did not answer."""


NOTHING_HERE: Final = "There is nothing here."
MAX_ERRORS: Final = 20
MEDIA_TYPE: Final = "application/problem+json"

PROBLEMS: Final[Mapping[str, str]] = {
    "invalid": "The body, a parameter or a header is not of the form that the document asks for; see `errors`.",
    "cursor": "The cursor is none of ours, is for another list, person or query, or is older than a day.",
    "no-if-match": "The row can be changed only with `If-Match`.",
    "changed": "Somebody changed the row in between: read it again, and decide anew.",
    "key-used": "The `Idempotency-Key` came already, with another body or query.",
    "answer-not-kept": "The request with this `Idempotency-Key` was done already; its answer held a secret.",
    "too-many": "Too many requests: wait for `Retry-After` seconds.",
    "two-credentials": "A request has either the session's cookie or a program's token.",
    "not-for-programs": "Only a person at a browser may do this, no program with a token.",
    "proof-needed": "Its person proves first who they are, with `POST /session/proof`; then the same again.",
    "not-proved": "Password, code or passkey do not fit; the session goes on.",
    "code-needed": "The password is right; a code of the authenticator app follows, or a recovery code.",
    "weak-password": "The new password is not taken; `errors` says why: `too-short`, `too-long`, `common`, `yours`.",
    "last-way-in": "Without this its person could not sign in any more.",
    "no-passkeys-here": "Browsers know no passkeys for the address of these pages.",
    "sent-twice": "A header stands in the request more than once.",
    "host": "The request names another host than the one that these pages are served as.",
    "no-write-header": "A request that changes something needs `X-Makiba: 1`, or a program's token.",
    "not-acceptable": "The answer is not to be had in any form that `Accept` names; the detail says in which it is.",
    "not-a-table": "The file, or its mapping, cannot be read as rows of that kind; see `errors`.",
    "import-state": "The import is not in a state in which this can be done; the detail says why.",
    "import-stale": "What the plan is about was changed since: nothing was done; bring the file again.",
    "no-font": "The machine has no font to write a picture's words with; the same as SVG needs none.",
    "too-large": "The body is longer than this route takes, or its length is not announced.",
}
"""What a program can act on: each slug with its meaning. docs/api.md has the same list, and a test compares."""


class FieldError(BaseModel):
    """What is wrong with one field: `where` it stands, such as `classes.0` or `query.limit`."""

    where: str
    why: str


class Problem(BaseModel):
    """The body of every answer that is an error."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "There is nothing here."}
            ]
        }
    )

    type: str = Field("about:blank", description="`/problems/<slug>` where a program can act on it")
    title: str = Field(description="The status in words")
    status: int = Field(ge=400, le=599)
    detail: str = Field("", description="For people")
    errors: list[FieldError] | None = Field(None, description="Of a 422: what is wrong, field by field")


class Refused(HTTPException):
    """A refusal that a program can act on: `slug` is one of `PROBLEMS`."""

    def __init__(
        self,
        status_code: int,
        detail: str,
        headers: Mapping[str, str] | None = None,
        *,
        slug: str,
        errors: Sequence[FieldError] | None = None,
    ) -> None:
        super().__init__(status_code, detail, headers)
        if slug not in PROBLEMS:
            raise ValueError(f"no problem {slug!r}; api.problems.PROBLEMS has them")
        self.slug = slug
        self.errors = errors


class Answered(Exception):
    """Not an error: the whole answer is known already, such as a 304; raised from wherever that is found out."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def invalid(where: str, why: str) -> Refused:
    """422 about one field."""
    return Refused(
        422, f"{where}: {why}" if where else why, slug="invalid", errors=[FieldError(where=where, why=why)]
    )


def problem(
    status: int,
    detail: str = "",
    headers: Mapping[str, str] | None = None,
    *,
    slug: str | None = None,
    errors: Sequence[FieldError] | None = None,
) -> Response:
    """The answer for an error `status`; `detail` is for people."""
    body = Problem(
        type=f"/problems/{slug}" if slug else "about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        errors=list(errors) if errors else None,
    )
    content = body.model_dump_json(exclude_none=True).encode()
    return Response(content, status, dict(headers or {}), media_type=MEDIA_TYPE)


def not_found() -> HTTPException:
    """What is not there, or not there for this viewer: the two cannot be told apart."""
    return HTTPException(404, NOTHING_HERE)


def existing(row: Row | None) -> Row:
    """`row`, or 404 where there is none for this viewer."""
    if row is None:
        raise not_found()
    return row


def explain_errors(app: FastAPI) -> None:
    """Makes `app` answer every error as a problem."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Answered, _answered)
    app.add_exception_handler(NotAllowed, _not_allowed)
    app.add_exception_handler(StoreError, _unavailable)
    app.add_exception_handler(RegistryError, _unavailable)
    app.add_exception_handler(Exception, _failed)


async def _answered(_: Request, error: Exception) -> Response:
    assert isinstance(error, Answered)
    return error.response


def take_headers(source: Response, target: Response) -> None:
    """Headers that dependencies set (a cookie that was renewed) go along with a response that a route made itself."""
    own = {name for name, _ in target.raw_headers}
    target.raw_headers.extend((n, v) for n, v in source.raw_headers if n not in own and n != b"content-length")


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error, Refused):
        return problem(error.status_code, error.detail, error.headers, slug=error.slug, errors=error.errors)
    headers = dict(error.headers or {})
    if error.status_code == 404 and error.detail == HTTPStatus(404).phrase:
        return problem(404, NOTHING_HERE, headers)
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods(request)) or headers.get("Allow", "")
        return problem(405, f"Only {headers['Allow']} is served here.", headers)
    return problem(error.status_code, error.detail, headers)


def _methods(request: Request) -> list[str]:
    """What may be asked of this path, by the API's own document: each route knows its own methods only."""
    found: set[str] = set()
    for template, methods in request.app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\\{[^/]*?\\}", "[^/]+", re.escape(template)), request.url.path):
            found |= {method.upper() for method in methods}
    return sorted(found)


async def _invalid(_: Request, error: Exception) -> Response:
    # The value itself is not repeated: it may be a password.
    assert isinstance(error, RequestValidationError)
    errors = [_field_error(e) for e in error.errors()[:MAX_ERRORS]]
    detail = "; ".join(f"{e.where}: {e.why}" if e.where else e.why for e in errors)
    return problem(422, detail, slug="invalid", errors=errors)


def _field_error(error: Mapping[str, Any]) -> FieldError:
    kind, *rest = error["loc"]
    # A name in a body's path may be the sender's own, of any length and any characters.
    where = ".".join(str(part)[:64] for part in (rest if kind == "body" else (kind, *rest))[:12])
    return FieldError(where=_printable(where), why=_printable(str(error["msg"])[:200]))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


async def _not_allowed(_: Request, __: Exception) -> Response:
    return problem(403, "You may look at this; what you asked for is for others to do.")


async def _unavailable(request: Request, error: Exception) -> Response:
    log.warning("%s %s: %s", request.method, json.dumps(request.url.path), error)
    if isinstance(error, StoreMisconfigured | RegistryMisconfigured):
        return problem(500, "Makiba is not set up rightly; its log says what to change.")
    detail = "The database does not answer just now; please try again."
    return problem(503, detail, {"Retry-After": str(RETRY_AFTER_S)})


async def _failed(_: Request, __: Exception) -> Response:
    # Starlette logs the exception with its traceback.
    return problem(500, "Something went wrong here; Makiba's log says what.")
