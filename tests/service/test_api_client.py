"""A client that somebody writes who has nothing but the OpenAPI document: it knows operations by their names."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from collectors.registry.schema import Alert
from tests.service.serving import SITE, WRITE, Centre

OPTIONAL = {"etag", "idempotent-replayed", "link"}
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
        declared = operation["responses"][str(answer.status_code)]
        promised = {name.lower() for name in declared.get("headers", {})}
        assert promised - OPTIONAL <= set(answer.headers)
        return answer

    def events(self, **given: str) -> Generator[tuple[str, str, Any], None, None]:
        """(event, id, data) of the stream, as the document spells them."""
        with self._http.stream("GET", "/api/v1/stream", headers=given) as answer:
            told: dict[str, str] = {}
            for line in answer.iter_lines():
                if line:
                    name, _, text = line.partition(": ")
                    told[name] = text
                elif "event" in told:
                    yield told["event"], told.get("id", ""), json.loads(told["data"])
                    told = {}

    def every(self, name: str, **given: Any) -> list[Any]:
        """All rows of a list."""
        told = self(name, **given).json()
        rows = list(told["rows"])
        while told["next"]:
            told = self(name, **given, cursor=told["next"]).json()
            rows += told["rows"]
        return rows


@contextmanager
def program_of(centre: Centre, **wish: Any) -> Iterator[tuple[Client, Client, dict[str, Any]]]:
    """A person's browser and their program, which know the document alone; and the token as it was made."""
    with centre.signed_in() as browser:
        document = browser.get("/api/v1/openapi.json").json()
        browser.headers.update(WRITE)  # the scheme `page` of the document
        example = document["components"]["schemas"]["TokenIn"]["examples"][0]
        asked = example | {"expires_ms": centre.clock() + 86_400_000, "sites": [SITE], "classes": None} | wish
        person = Client(browser, document)
        made = person("tokens_make", asked, idempotency_key="k1").json()
        headers = {"Authorization": f"Bearer {made['token']}"}
        with httpx.Client(base_url=browser.base_url, headers=headers, timeout=20) as connection:
            yield person, Client(connection, document), asked | made


def test_a_program_keeps_a_herd(tmp_path: Path) -> None:
    centre = Centre(tmp_path)
    centre.person(shikaoi_001="owner")
    with program_of(centre, actions=["edit animals"]) as (_, program, _):
        hana = {"number": "305", "name": "はな", "sex": "female"}
        made = program("animals_add", hana, site=SITE, idempotency_key="cow-305")
        assert program("animals_add", hana, site=SITE, idempotency_key="cow-305").json() == made.json()
        program("animals_add", {"number": "306"}, site=SITE)
        assert [a["number"] for a in program.every("animals_list_of", site=SITE, limit=1)] == ["305", "306"]
        read = program("animals_one", site=SITE, animal="number:305")
        assert read.headers["etag"] == made.headers["etag"]
        changed = {"name": "はなこ"}
        seen = {"site": SITE, "animal": "number:305", "if_match": read.headers["etag"]}
        assert program("animals_change", changed, **seen).json()["name"] == "はなこ"
        refused = program("animals_change", changed, **seen)
        assert (refused.status_code, refused.json()["type"]) == (412, "/problems/changed")


def test_a_program_reads_values_side_by_side_as_a_file_and_as_they_come(tmp_path: Path) -> None:
    centre = Centre(tmp_path)
    centre.person(shikaoi_001="owner")
    start = centre.clock() - 3_600_000
    for n, (name, value) in enumerate(
        {"tank-1/milk_temperature": 4.2, "barn-1-climate/air_temperature": 80.0}.items()
    ):
        centre.write(f"{SITE}/{name}", value, start + n)
    with program_of(centre, actions=["acknowledge"]) as (_, program, _):
        names = [f"{row['subject']}/{row['quantity']}" for row in program.every("series_list_of", site=SITE, limit=1)]
        told = program("data_data", site=SITE, series=names, fold=["mean", "max"], start_ms=start - 60_000).json()
        assert {c["subject"]: [v for v in c["max"] if v is not None] for c in told["columns"]} == {
            "barn-1-climate": [80.0], "tank-1": [4.2],
        }  # fmt: skip
        file = program("exports_export", site=SITE, form="csv", quantity=["milk_temperature"], language="codes")
        assert "filename" in file.headers["content-disposition"]
        head, row = [line.split(",") for line in file.content.decode("utf-8-sig").splitlines()]
        assert dict(zip(head, row, strict=True))["utc_ms"] == str(start)
        with centre.registry.write() as session:
            session.add(alert_row("a1"))
        event, bookmark, _ = next(program.events())
        assert event == "hello"
        program("alerts_acknowledge", alert_id="a1")
        events = program.events(**{"Last-Event-ID": bookmark})
        assert next(events)[2]["resumed"] is True
        event, _, alert = next(events)
        assert (event, alert["id"], [e["id"] for e in alert["events"]]) == ("alert", "a1", [1])
        events.close()


def alert_row(alert: str, at_ms: int = 1) -> Alert:
    return Alert(
        id=alert, site_id=SITE, rule="tank.hold", subject=f"s-{alert}", place_id=None, severity="warning",
        onset_ms=at_ms, opened_ms=at_ms, seen_ms=5, ended_ms=None, signals={}, children=[],
    )  # fmt: skip


def test_a_client_written_from_the_document_alone_works(tmp_path: Path) -> None:
    centre = Centre(tmp_path)
    centre.person(shikaoi_001="owner")
    with centre.registry.write() as session:
        session.add_all(alert_row(f"a{n}", n // 3) for n in range(10))
    with program_of(centre, actions=["acknowledge"]) as (person, program, made):
        [site] = program("session_session").json()["sites"]
        alerts = program.every("alerts_list_of", site=site["id"], limit=3)
        assert sorted(a["id"] for a in alerts) == [f"a{n}" for n in range(10)]
        tag = program("alerts_list_of", site=SITE).headers["etag"]
        assert program("alerts_list_of", site=SITE, if_none_match=tag).status_code == 304
        assert program("alerts_acknowledge", alert_id="a3").json()["acknowledged_by"] == "hanakoさん"
        assert program("alerts_list_of", site=SITE, if_none_match=tag).status_code == 200
        refused = program("tokens_make", {n: made[n] for n in ("name", "expires_ms")})
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/not-for-programs")
        person("tokens_revoke", token_id=made["id"])
        assert program("session_session").status_code == 401
