"""The OpenAPI document: what FastAPI makes of the routes, and what holds for all of them.

FastAPI knows parameters, bodies and good answers. Added here, by rule and so for every route alike: who may ask
(cookie, token or nobody), each refusal that can come with the one schema of problems, the headers of answers, an
example and words (`api.examples`, `api.glossary`) where a shape has none, and names of operations that stay: the
module and the function, such as `alerts_list_of`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api import glossary
from api.examples import completed
from api.problems import MEDIA_TYPE, Problem
from api.shapes import CentreNews, Given, HelloNews, ReadingNews, Shape, TimeNews

_WRITES: Final = frozenset({"post", "put", "patch", "delete"})
_FASTAPIS_OWN: Final = ("HTTPValidationError", "ValidationError")

_STREAMED: Final = (HelloNews, ReadingNews, TimeNews, CentreNews)
"""What no answer is, but what is in the events of a stream."""

_GOOD: Final[Mapping[str, str]] = {
    "200": "What was asked for",
    "201": "What was made",
    "202": "It goes on; how far it is, in its present state",
    "204": "It is done; there is nothing to say",
}

_ALWAYS: Final = (400, 421, 422, 429, 500, 503)
"""A header twice, another host, a wrong parameter, too often, a failure, a database that is away."""

_SCHEMES: Final[Mapping[str, Any]] = {
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "makiba_session",
        "description": "A person at a browser, signed in by `POST /session`; over HTTPS `__Host-makiba_session`.",
    },
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "mkb_<id>_<secret><check>",
        "description": "A program that acts for a person, with a token of `POST /tokens`; never beside a cookie.",
    },
    "page": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Makiba",
        "description": "The value 1, beside the cookie in whatever changes something: foreign pages cannot send it.",
    },
}

_HEADERS: Final[Mapping[str, Any]] = {
    "ETag": {
        "description": "The state of the answer, for If-None-Match; of a row that can be changed, for If-Match too",
        "schema": {"type": "string"},
    },
    "ContentDisposition": {
        "description": "The name under which to keep the file, where it is one (RFC 6266)",
        "schema": {"type": "string"},
    },
    "Link": {"description": 'As SenML: the next page, `<…>; rel="next"`', "schema": {"type": "string"}},
    "Location": {"description": "Where what was made is", "schema": {"type": "string", "format": "uri-reference"}},
    "RetryAfter": {
        "description": "In how many seconds to ask again",
        "schema": {"type": "integer", "minimum": 1},
    },
    "Replayed": {
        "description": "`true`: this Idempotency-Key came before, and this is the answer of then",
        "schema": {"type": "string", "const": "true"},
    },
    "WWWAuthenticate": {"description": "`Bearer`", "schema": {"type": "string"}},
}


def operation_id(route: APIRoute) -> str:
    """The module and the function of a route."""
    return f"{route.endpoint.__module__.rpartition('.')[2]}_{route.name}"


def describe(app: FastAPI) -> None:
    """Makes `app` tell the whole document."""
    plain = app.openapi

    def whole() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(plain())
        return app.openapi_schema

    app.openapi = whole  # type: ignore[method-assign]


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    document["info"]["description"] = glossary.ABOUT
    document["tags"] = [{"name": name, "description": told} for name, told in glossary.TAGS.items()]
    for _, method, operation in operations(document):
        operation["summary"] = _first_sentence(operation["description"])
        for parameter in operation.get("parameters", []):
            _explain(parameter, glossary.of_parameter(parameter["name"].lower(), parameter["in"]))
        operation["security"] = _security(method, {name for one in operation.get("security", []) for name in one})
        if operation.pop("x-called-by", None):  # a vendor's machine, by a signature of its own
            operation["security"] = []
        responses = operation["responses"]
        responses.pop("default", None)
        for code, answer in responses.items():
            if answer["description"] == "Successful Response":
                answer["description"] = _GOOD.get(code, _GOOD["200"])
        for code in sorted({*_refusals(method, operation), *(int(c) for c in responses if c >= "4")}):
            own = responses.get(str(code), {}) if str(code) != "422" else {}
            responses[str(code)] = _refusal(code, own.get("description"))
        _add_headers(operation)
    components = document.setdefault("components", {})
    components["securitySchemes"] = dict(_SCHEMES)
    components["headers"] = dict(_HEADERS)
    schemas = components.setdefault("schemas", {})
    for name in _FASTAPIS_OWN:
        schemas.pop(name, None)
    for model in (Problem, *_STREAMED):
        told = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= told.pop("$defs", {})
        schemas[model.__name__] = told
    for _, _, operation in operations(document):
        for answer in operation["responses"].values():
            for media in answer.get("content", {}).values():
                _hoist(media.get("schema", {}), schemas)
    _restore_examples(schemas)
    completed(schemas)
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            kinds = {field.get("type"), *(one.get("type") for one in field.get("anyOf", ()))}
            _explain(field, glossary.of_field(name, is_integer="integer" in kinds))
    return document


def _explain(told: dict[str, Any], words: str | None) -> None:
    if words is not None:
        told.setdefault("description", words)


def _first_sentence(text: str) -> str:
    """What a list of operations shows: the first sentence, without what follows a colon."""
    return " ".join(re.split(r"[.:;](?:\s|$)", text, maxsplit=1)[0].split())


def _restore_examples(schemas: dict[str, Any]) -> None:
    """FastAPI drops every null of its document, and with it the fields of examples that are null."""
    for model in _models(Given, Shape):
        extra = model.model_config.get("json_schema_extra")
        if isinstance(extra, dict) and "examples" in extra:
            long = f"{model.__module__}.{model.__qualname__}".replace(".", "__")
            for name in {long, model.__name__} & schemas.keys():
                if name == long or long not in schemas:
                    schemas[name]["examples"] = extra["examples"]


def _models(*roots: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for root in roots:
        yield root
        yield from _models(*root.__subclasses__())


def _hoist(schema: dict[str, Any], schemas: dict[str, Any]) -> None:
    """What a route that made its schema by itself defines inside it becomes a component like all others."""
    inner = schema.pop("$defs", {})
    schemas |= {name: one for name, one in inner.items() if name not in schemas}
    for one in (schema, *inner.values()):
        _point_to_components(one)


def _point_to_components(node: Any) -> None:
    if isinstance(node, dict):
        if isinstance(ref := node.get("$ref"), str):
            node["$ref"] = ref.replace("#/$defs/", "#/components/schemas/")
        for inner in node.values():
            _point_to_components(inner)
    elif isinstance(node, list):
        for inner in node:
            _point_to_components(inner)


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every (path, method, operation) of a document."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _security(method: str, found: set[str]) -> list[dict[str, list[str]]]:
    """Who may ask. `browser` in `found`: people only."""
    page: dict[str, list[str]] = {"page": []} if method in _WRITES else {}
    if not found:
        return [page] if page else []
    person: dict[str, list[str]] = {"session": []} | page
    return [person] if "browser" in found else [person, {"token": []}]


def _refusals(method: str, operation: Mapping[str, Any]) -> set[int]:
    taken = {p["name"].lower() for p in operation.get("parameters", []) if p["in"] == "header"}
    codes = {*_ALWAYS}
    if any(one.keys() & {"session", "token"} for one in operation["security"]):
        codes |= {401, 403, 404}
    if any(p["in"] == "path" for p in operation.get("parameters", [])):
        codes |= {404}
    if method in _WRITES:
        codes |= {401, 403, 404, 409, 413}
    if "if-match" in taken:
        codes |= {412, 428}
    return codes


def _refusal(code: int, described: str | None) -> dict[str, Any]:
    headers = {429: {"Retry-After": "RetryAfter"}, 503: {"Retry-After": "RetryAfter"}}.get(code, {})
    if code == 401:
        headers = {"WWW-Authenticate": "WWWAuthenticate"}
    told: dict[str, Any] = {
        "description": described or HTTPStatus(code).phrase,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    return told | ({"headers": _refer(headers)} if headers else {})


def _add_headers(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    taken = {p["name"].lower() for p in operation.get("parameters", []) if p["in"] == "header"}
    if "if-none-match" in taken and "200" in responses:
        responses["200"].setdefault("headers", {}).update(_refer({"ETag": "ETag"}))
        responses["304"] = {"description": "It is what you have", "headers": _refer({"ETag": "ETag"})}
    if "if-match" in taken and "200" in responses:
        responses["200"].setdefault("headers", {}).update(_refer({"ETag": "ETag"}))
    if "201" in responses:
        responses["201"].setdefault("headers", {}).update(_refer({"Location": "Location", "ETag": "ETag"}))
    for name, answer in ((n, a) for a in responses.values() for n in _of_media(a.get("content", {}))):
        answer.setdefault("headers", {}).update(_refer({name: name.replace("-", "")}))
    if "idempotency-key" in taken:
        made = next(answer for code, answer in responses.items() if code < "3")
        made.setdefault("headers", {}).update(_refer({"Idempotent-Replayed": "Replayed"}))


def _of_media(content: Mapping[str, Any]) -> Iterator[str]:
    """Headers that go with a form: the name of a file, the next page of what has no `next`."""
    if any(name in content for name in ("text/csv", "application/zip")):
        yield "Content-Disposition"
    if any(name.startswith("application/senml") for name in content):
        yield "Link"


def _refer(headers: Mapping[str, str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{part}"} for name, part in headers.items()}
