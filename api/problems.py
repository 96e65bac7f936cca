"""Errors of the API as `application/problem+json` (RFC 9457): type, title, status, detail.

A detail never says more than its reader may know: what another farm has answers 404 like what does not exist,
and a failure inside is logged here and told as 'something went wrong'.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from collectors.registry import RegistryError, RegistryMisconfigured
from collectors.registry.viewer import NotAllowed
from collectors.store import StoreError, StoreMisconfigured

log = logging.getLogger(__name__)

RETRY_AFTER_S = 5
"""When a client may ask again after the store or the registry did not answer."""


class Problem(BaseModel):
    """The body of every answer that is an error."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""


def problem(status: int, detail: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """The answer for an error `status`; `detail` is for people."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    content = body.model_dump_json().encode()
    return Response(content, status, dict(headers or {}), media_type="application/problem+json")


def not_found() -> HTTPException:
    """What is not there, or not there for this viewer: the two cannot be told apart."""
    return HTTPException(404, "There is nothing here.")


def explain_errors(app: FastAPI) -> None:
    """Makes `app` answer every error as a problem."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(NotAllowed, _not_allowed)
    app.add_exception_handler(StoreError, _unavailable)
    app.add_exception_handler(RegistryError, _unavailable)
    app.add_exception_handler(Exception, _failed)


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, error.detail, error.headers)


async def _invalid(_: Request, error: Exception) -> Response:
    # The value itself is not repeated: it may be a password.
    assert isinstance(error, RequestValidationError)
    return problem(422, "; ".join(_spell(e) for e in error.errors()))


def _spell(error: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"] if part != "body")
    return f"{where}: {error['msg']}" if where else str(error["msg"])


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
