"""A client that somebody writes who has nothing but the OpenAPI document: it knows operations by their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from collectors.registry.schema import Alert
from tests.service.serving import SITE, WRITE, Centre

METHODS = ("get", "put", "post", "patch", "delete")


class Client:
    """Calls operations of a document: what of the arguments is path, query, header or body, the document says."""

    def __init__(self, http: httpx.Client, document: dict[str, Any]) -> None:
        self._http = http
        self._operations = {
            item[method]["operationId"]: (method, path, item[method])
            for path, item in document["paths"].items()
            for method in METHODS
            if method in item
        }

    def __call__(self, name: str, body: Any = None, **given: Any) -> httpx.Response:
        method, path, operation = self._operations[name]
        places = {p["name"]: p["in"] for p in operation.get("parameters", [])}
        parts: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
        for key, value in given.items():
            spelled = next(n for n in places if n.lower().replace("-", "_") == key)
            parts[places[spelled]][spelled] = value
        answer = self._http.request(
            method, path.format(**parts["path"]), params=parts["query"], headers=parts["header"], json=body
        )
        assert str(answer.status_code) in operation["responses"]
        return answer

    def every(self, name: str, **given: Any) -> list[Any]:
        """All rows of a list."""
        told = self(name, **given).json()
        rows = list(told["rows"])
        while told["next"]:
            told = self(name, **given, cursor=told["next"]).json()
            rows += told["rows"]
        return rows


def test_a_client_written_from_the_document_alone_works(tmp_path: Path) -> None:
    centre = Centre(tmp_path)
    centre.person(shikaoi_001="owner")
    with centre.registry.write() as session:
        session.add_all(
            Alert(
                id=f"a{n}", site_id=SITE, rule="tank.hold", subject=f"s{n}", place_id=None, severity="warning",
                onset_ms=n // 3, opened_ms=n // 3, seen_ms=5, ended_ms=None, signals={}, children=[],
            )
            for n in range(10)
        )  # fmt: skip
    with centre.signed_in() as browser:
        document = browser.get("/api/v1/openapi.json").json()
        browser.headers.update(WRITE)  # the scheme `page` of the document
        person = Client(browser, document)
        wish = document["components"]["schemas"]["TokenIn"]["examples"][0]
        wish |= {
            "expires_ms": centre.clock() + 86_400_000,
            "sites": [SITE],
            "classes": None,
            "actions": ["acknowledge"],
        }
        made = person("tokens_make", wish, idempotency_key="k1").json()
        with httpx.Client(
            base_url=browser.base_url, headers={"Authorization": f"Bearer {made['token']}"}
        ) as connection:
            program = Client(connection, document)
            [site] = program("session_session").json()["sites"]
            alerts = program.every("alerts_list_of", site=site["id"], limit=3)
            assert sorted(a["id"] for a in alerts) == [f"a{n}" for n in range(10)]
            tag = program("alerts_list_of", site=SITE).headers["etag"]
            assert program("alerts_list_of", site=SITE, if_none_match=tag).status_code == 304
            assert program("alerts_acknowledge", alert_id="a3").json()["acknowledged_by"] == "hanakoさん"
            assert program("alerts_list_of", site=SITE, if_none_match=tag).status_code == 200
            refused = program("tokens_make", wish)
            assert (refused.status_code, refused.json()["type"]) == (403, "/problems/not-for-programs")
            person("tokens_revoke", token_id=made["id"])
            assert program("session_session").status_code == 401
