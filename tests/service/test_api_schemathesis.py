"""The API against its own document: Schemathesis makes requests, right and wrong ones, and judges every answer.

Each operation is tried as the farm's owner, a guest, the administrator, a program and nobody, with made-up ids and
with real ones; then operations follow each other by the ids of their answers. `MAKIBA_SCHEMATHESIS` is how many
requests of each kind an operation gets, on PostgreSQL too; without it few, on SQLite, with the same seed each time.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api import tokens as written
from api.centre import PREFIX
from api.sessions import COOKIE
from collectors.registry import people, tokens
from makiba.data_class import DATA_CLASSES
from tests.service.borders import Room
from tests.service.borders_parts import ROOMS, ROUTES
from tests.service.serving import CONSOLE, SITE, WRITE, Centre, openapi

EXAMPLES = int(os.environ.get("MAKIBA_SCHEMATHESIS", "0"))
IS_LONG = EXAMPLES > 0
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    response_headers_conformance,
]  # fmt: skip
LABELS = sorted(f"{method.upper()} {PREFIX}{path}" for method, path in ROUTES)
WHO = ("owner", "guest", "admin", "program", "nobody")
NOT_TRIED = {"GET /api/v1/stream"}
"""A stream ends with whoever hears it; its tests are in `test_api_stream.py`."""


@cache
def the_schema() -> Any:
    return schemathesis.openapi.from_dict(dict(openapi()))


@cache
def all_operations() -> dict[str, Any]:
    return {found.ok().label: found.ok() for found in the_schema().get_all_operations()}


@dataclass
class Village:
    """A farm with something of everything on it, and who asks."""

    centre: Centre
    browser: httpx.Client
    people: dict[str, int] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    def settle(self) -> None:
        centre = self.centre
        self.people["owner"] = centre.person("owner", shikaoi_001="owner")
        self.people["guest"] = centre.person("guest", shikaoi_001="vet")
        self.people["admin"] = centre.person("admin", admin=True)
        centre.person("taro", shikaoi_002="owner")
        self.cookies = {who: centre.cookie(number) for who, number in self.people.items()}
        centre.consent(SITE, *DATA_CLASSES, person=self.people["guest"])
        for series, value in (("tank-1/milk_temperature", 4.0), ("tank-1/state", "ok"), ("fan-1/state", "ok")):
            centre.write(f"{SITE}/{series}", value)
        self.ids = {"site": SITE, "subject": "tank-1", "quantity": "milk_temperature"}

    def credentials(self, who: str) -> dict[str, str]:
        """Headers of somebody who is signed in just now: the request before may have ended their session."""
        if who == "nobody":
            return {}
        if who != "program":
            return {"Cookie": f"{COOKIE}={self.centre.cookie(self.people[who])}", **WRITE}
        token, now_ms = written.new(), self.centre.clock()
        with self.centre.registry.write() as session:
            tokens.revoke_all(session, CONSOLE, self.people["owner"], now_ms)
            person = people.viewer_of(session, CONSOLE, self.people["owner"], now_ms)
            if person is not None:
                wish = tokens.Wish("schemathesis", now_ms + 86_400_000)
                tokens.make(session, CONSOLE, person, token.id, token.secret_hash, wish, now_ms)
        return {"Authorization": f"Bearer {token.spell()}"}

    def ids_for(self, operation: str) -> dict[str, str]:
        """Ids of what stands on the farm, made anew for this operation."""
        method, path = operation.split(" ", 1)
        route = (method.lower(), path.removeprefix("/api/v1"))
        room: Room | None = next((r for r in ROOMS if route in r.about_a_farm or route in r.signed_in), None)
        return {**self.ids, **(room.ids(self, SITE) if room else {})}


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def village(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Village]:
    if request.param == "postgres" and not IS_LONG:
        pytest.skip("MAKIBA_SCHEMATHESIS=1 tries PostgreSQL too")
    url = request.getfixturevalue("postgres").ready("village") if request.param == "postgres" else ""
    centre = Centre(tmp_path_factory.mktemp("village"), registry_url=url)
    with centre.serving() as browser:
        village = Village(centre, browser)
        village.settle()
        yield village
    centre.registry.close()
    centre.store.close()


def tried(examples: int) -> hypothesis.settings:
    return hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate] if not IS_LONG else [Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )


@pytest.mark.timeout(1_800 if IS_LONG else 120)
@pytest.mark.parametrize("label", [label for label in LABELS if label not in NOT_TRIED])
def test_no_request_gets_an_answer_that_is_not_in_the_document(village: Village, label: str) -> None:
    operation = all_operations()[label]
    ids = village.ids_for(label)
    right = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    wrong = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    turn = itertools.count(LABELS.index(label))
    # A short run goes round, so that each operation meets some of them and each of them some operations.
    askers = st.sampled_from(WHO) if IS_LONG else st.builds(lambda: WHO[next(turn) % len(WHO)])
    has_input = bool(operation.definition.raw.get("parameters")) or "requestBody" in operation.definition.raw

    @tried(EXAMPLES * len(WHO) * 2 or 2)
    @hypothesis.given(case=st.one_of(right, wrong) if has_input else right, who=askers, is_real=st.booleans())
    def ask(case: Case[Any], who: str, is_real: bool) -> None:
        if is_real and case.path_parameters:
            case.path_parameters |= {name: one for name, one in ids.items() if name in case.path_parameters}
        headers = village.credentials(who)
        answer = case.call(base_url=str(village.browser.base_url), headers=headers, timeout=30)
        case.validate_response(answer, checks=CHECKS, headers=headers)
        if who == "nobody" and {"session", "token"} & {
            n for one in operation.definition.raw["security"] for n in one
        }:
            assert answer.status_code >= 400

    ask()


class Walk:
    """One operation after another, each with what the ones before answered."""

    def __init__(self, village: Village, who: str) -> None:
        base = the_schema().as_state_machine()

        class Machine(base):  # type: ignore[misc, valid-type]
            def get_call_kwargs(self, case: Case[Any]) -> dict[str, Any]:
                return {"base_url": str(village.browser.base_url), "headers": village.credentials(who), "timeout": 30}

            def before_call(self, case: Case[Any]) -> None:
                if case.path_parameters and "site" in case.path_parameters:
                    case.path_parameters["site"] = SITE

            def validate_response(
                self, response: Any, case: Case[Any], additional_checks: Any = None, **_: Any
            ) -> None:
                case.validate_response(response, checks=CHECKS)

        self.machine = Machine


@pytest.mark.timeout(3_600 if IS_LONG else 120)
@pytest.mark.parametrize("who", ["owner", "program"])
def test_operations_that_follow_each_other_answer_what_the_document_says(village: Village, who: str) -> None:
    steps = hypothesis.settings(tried(EXAMPLES * 5 or 1), stateful_step_count=10 if IS_LONG else 4)
    Walk(village, who).machine.run(settings=steps)


def test_what_a_path_does_not_do_is_405_with_what_it_does(village: Village) -> None:
    headers = village.credentials("owner")
    for path in openapi()["paths"]:
        url = path.format_map({name: SITE if name == "site" else "x" for name in _names(path)})
        served = {m for other, methods in openapi()["paths"].items() if _fits(other, url) for m in methods}
        others = sorted({"get", "put", "post", "delete", "patch", "head", "options", "trace"} - served)
        for method in others if IS_LONG else others[-1:]:
            answer = village.browser.request(method, url, headers=headers)
            assert answer.status_code == 405, (method, path)
            assert answer.headers["allow"] == ", ".join(sorted(m.upper() for m in served)), path


def _fits(template: str, url: str) -> bool:
    parts, words = template.split("/"), url.split("/")
    return len(parts) == len(words) and all(p.startswith("{") or p == w for p, w in zip(parts, words, strict=True))


def _names(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]
