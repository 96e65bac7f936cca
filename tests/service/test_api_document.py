"""The OpenAPI document, as a stranger reads it: valid, every example true, nothing undeclared."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from api.centre import PREFIX
from api.document import operations
from api.examples import EXAMPLES
from api.problems import MEDIA_TYPE, PROBLEMS
from tests.service.serving import Centre, openapi

DOCS = Path(__file__).parents[2] / "docs" / "api.md"


def schemas() -> Mapping[str, Any]:
    of_all: Mapping[str, Any] = openapi()["components"]["schemas"]
    return of_all


def all_operations() -> list[tuple[str, str, dict[str, Any]]]:
    """(path, method, operation) of each."""
    return list(operations(openapi()))


def name_of(operation: dict[str, Any]) -> str:
    return str(operation["operationId"])


def test_an_independent_tool_finds_it_valid() -> None:
    assert openapi()["openapi"].startswith("3.1.")
    validate(openapi())


def test_every_example_is_of_its_schema() -> None:
    document: Any = DRAFT202012.create_resource(openapi())
    registry: Any = Registry().with_resource("urn:api", document)
    for name, schema in schemas().items():
        validator = Draft202012Validator({"$ref": f"urn:api#/components/schemas/{name}"}, registry=registry)
        for example in schema.get("examples", ()):
            assert [f"{name}: {e.json_path}: {e.message}" for e in validator.iter_errors(example)] == []


def test_every_object_has_an_example_and_a_name_of_its_own() -> None:
    assert [name for name, s in schemas().items() if s.get("type") == "object" and "examples" not in s] == []
    assert [name for name in schemas() if not re.fullmatch(r"[A-Z][A-Za-z]{1,29}", name)] == []


def test_examples_are_of_schemas_that_there_are() -> None:
    assert sorted(EXAMPLES.keys() - schemas().keys()) == []


def test_tags_operations_and_parameters_say_what_they_are() -> None:
    used = {tag for _, _, operation in all_operations() for tag in operation["tags"]}
    assert used == {tag["name"] for tag in openapi()["tags"] if tag["description"]}
    assert all(operation["summary"] and operation["description"] for _, _, operation in all_operations())
    said = [
        (name_of(o), p["name"])
        for _, _, o in all_operations()
        for p in o.get("parameters", [])
        if "description" not in p
    ]
    assert said == []


def test_names_of_operations_are_readable_and_nobodys_twice() -> None:
    names = [name_of(operation) for _, _, operation in all_operations()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)+", name) for name in names)


def test_every_refusal_is_declared_with_the_one_schema() -> None:
    for _, _, operation in all_operations():
        name = name_of(operation)
        refusals = {code: answer for code, answer in operation["responses"].items() if code >= "4"}
        assert {"400", "422", "429", "503"} <= refusals.keys(), name
        assert "default" not in operation["responses"], name
        for answer in refusals.values():
            assert answer["content"] == {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}, name
        assert "Retry-After" in refusals["429"]["headers"], name
        if any({"session", "token"} & one.keys() for one in operation["security"]):
            assert {"401", "403", "404"} <= refusals.keys(), name


def test_every_route_says_what_it_answers() -> None:
    for path, _, operation in all_operations():
        name = name_of(operation)
        good = [code for code in operation["responses"] if code.startswith("2")]
        assert len(good) == 1, name
        if good != ["204"]:
            contents = operation["responses"][good[0]]["content"].values()
            assert contents, name
            assert all(content["schema"] for content in contents), name
        assert operation["summary"], name
        assert operation.get("description") or path.endswith("/stream"), name


def test_the_api_document_is_served(tmp_path: Path) -> None:
    with Centre(tmp_path).serving() as browser:
        document = browser.get(f"{PREFIX}/openapi.json").json()
    assert document["openapi"].startswith("3.")
    assert document["paths"].keys() == openapi()["paths"].keys()


def texts(schema: Any, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Where `schema` takes text of any length."""
    if isinstance(schema, list):
        for one in schema:
            yield from texts(one, seen)
    elif isinstance(schema, dict):
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if name and name not in seen:
            yield from (f"{name}: {where}" for where in texts(schemas()[name], seen | {name}))
        is_open = schema.get("type") == "string" and not {"maxLength", "enum", "const", "format"} & schema.keys()
        if is_open and re.search(r"[*+]|,\}|^$", schema.get("pattern", "")):
            yield str(schema.get("title", "?"))
        for key, one in schema.items():
            if key not in ("examples", "default", "example"):
                yield from texts(one, seen)


def test_no_body_takes_text_of_any_length() -> None:
    for _, _, operation in all_operations():
        media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        assert list(texts(media.get("schema", {}))) == [], name_of(operation)


def test_the_guide_names_every_route_and_every_problem_and_no_other() -> None:
    text = DOCS.read_text(encoding="utf-8")
    told = re.findall(r"^\| `(GET|POST|PUT|PATCH|DELETE)` \| `(/[^`]*)` \|", text, re.MULTILINE)
    assert len(set(told)) == len(told)
    there = {
        (m.upper(), p.removeprefix("/api/v1")): o["description"].split("\n\n")[0] for p, m, o in all_operations()
    }
    missing = [f"| `{m}` | `{p}` | {' '.join(why.split())} |" for (m, p), why in there.items() if (m, p) not in told]
    assert missing == [], "lines to be added to docs/api.md"
    assert sorted(set(told) - there.keys()) == []
    assert set(re.findall(r"^\| `/problems/([a-z-]+)` \|", text, re.MULTILINE)) == set(PROBLEMS)
