"""Imports through the API: a file is looked at, applied, taken back; races, limits, and words in both languages."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from collectors.registry import animals, herd_events, imports
from collectors.registry.schema import AuditRow
from collectors.registry.schema.herd import Animal, HerdEvent
from collectors.registry.schema.imports import ImportFile
from makiba.herd_event import Heat
from tests.parts import wait_until
from tests.service.serving import CONSOLE, OTHER, SITE, WRITE, Centre

PATH = f"/api/v1/sites/{SITE}/imports"
HERD = """\
個体識別番号,牛番号,名号,生年月日,性別,群
1234567890,12,はな,R3.4.1,メス,搾乳牛
123456791,13,ゆき,2021/12/1,雌,どこか
1.23E+09,14,つき,4/1/2021,雌,
"""


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    made = Centre(tmp_path)
    made.person("hanako", shikaoi_001="owner")
    made.person("jiro", shikaoi_001="worker")
    made.person("taro", shikaoi_002="owner")
    yield made
    made.registry.close()
    made.store.close()


def bring(browser: httpx.Client, text: str | bytes, kind: str = "animals", **query: str) -> httpx.Response:
    body = text.encode() if isinstance(text, str) else text
    given = {"kind": kind, "name": "牛の一覧.csv", **query}
    return browser.post(PATH, params=given, content=body, headers={**WRITE, "Content-Type": "text/csv"})


def do(browser: httpx.Client, told: Any, what: str = "apply") -> Any:
    """Applies it or takes it back, and waits for the end."""
    answer = browser.post(f"{PATH}/{told['id']}/{what}", headers=WRITE)
    assert answer.status_code == 202, answer.text
    return wait_until(lambda: ended(browser, told), 10, "the step ends")


def ended(browser: httpx.Client, told: Any) -> Any:
    now = browser.get(f"{PATH}/{told['id']}").json()
    return None if now["state"].endswith("ing") else now


def announced(browser: httpx.Client, length: int) -> int:
    """The status of the answer to a file that is so long, before any of it was sent."""
    wire = http.client.HTTPConnection(browser.base_url.host, browser.base_url.port)
    with contextlib.closing(wire):
        wire.putrequest("POST", f"{PATH}?kind=animals&name=a.csv")
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        for name, value in {**WRITE, "Content-Length": str(length), "Cookie": cookie}.items():
            wire.putheader(name, value)
        wire.endheaders()
        return wire.getresponse().status


def rows(browser: httpx.Client, told: Any, **query: str) -> list[Any]:
    found: list[Any] = browser.get(f"{PATH}/{told['id']}/rows", params=query).json()["rows"]
    return found


def on_file(centre: Centre) -> list[dict[str, Any]]:
    """All that is known of the farm's animals and events, without what goes up with each change."""
    with centre.registry.read() as session:
        herd = [
            {name: getattr(row, name) for name in (*animals.EDITABLE, "status", "tag_from_ms")}
            for row in session.scalars(select(Animal).order_by(Animal.national_id))
        ]
        events = select(HerdEvent).where(HerdEvent.deleted_ms.is_(None)).order_by(HerdEvent.at_ms)
        return herd + [{"detail": e.detail, "at_ms": e.at_ms, "note": e.note} for e in session.scalars(events)]


def test_a_file_is_looked_at_applied_and_taken_back(centre: Centre) -> None:
    with centre.signed_in() as browser:
        before = on_file(centre)
        answer = bring(browser, HERD.encode("cp932"))
        assert answer.status_code == 201, answer.text
        plan = answer.json()
        assert answer.headers["Location"] == f"{PATH}/{plan['id']}"
        counted = {name: plan["counts"][name] for name in ("create", "update", "unchanged", "refused", "warnings")}
        assert counted == {"create": 2, "update": 0, "unchanged": 0, "refused": 1, "warnings": 2}
        assert [c["field"] for c in plan["columns"]] == ["national_id", "number", "name", "born_on", "sex", "group"]
        assert "CP932" in plan["said"][0]["why"]["en"]
        assert on_file(centre) == before, "nothing is written by looking"

        [bad] = rows(browser, plan, action="refused")
        assert (bad["line"], [(s["column"], s["is_refusal"]) for s in bad["said"]]) == (4, [(1, True), (16, True)])
        assert "digits are lost" in bad["said"][0]["why"]["en"]
        assert "丸めています" in bad["said"][0]["why"]["ja"]
        yuki = rows(browser, plan)[1]
        said = [s["why"]["en"] for s in yuki["said"]]
        assert ("0123456791" in said[0], "no group" in said[1]) == (True, True)

        done = do(browser, plan)
        assert (done["state"], done["applied_by"], done["counts"]["left"]) == ("applied", "hanakoさん", 0)
        assert [(a["national_id"], a["name"]) for a in on_file(centre)] == [
            ("0123456791", "ゆき"), ("1234567890", "はな"),
        ]  # fmt: skip
        again = bring(browser, HERD.encode("cp932")).json()
        assert (again["counts"]["create"], again["counts"]["unchanged"]) == (0, 2)

        back = do(browser, plan, "undo")
        assert (back["state"], back["counts"]["kept"]) == ("undone", 0)
        assert on_file(centre) == before
        refused = browser.post(f"{PATH}/{plan['id']}/undo", headers=WRITE)
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/import-state")
    with centre.registry.read() as session:
        written = select(AuditRow).where(AuditRow.site_id == SITE, AuditRow.what.like("import.%"))
        audit = session.scalars(written.order_by(AuditRow.at_ms)).all()
        assert [row.what for row in audit] == ["import.applied", "import.undone"]
        assert audit[0].detail["file"] == "牛の一覧.csv"
        assert audit[0].name == "hanakoさん"


def test_fields_that_differ_are_shown_and_restored(centre: Centre) -> None:
    with centre.signed_in() as browser:
        do(browser, bring(browser, HERD).json())
        before = on_file(centre)
        tagged = "個体識別番号,名号,電子耳標\n1234567890,はなこ,392000000000123\n"
        plan = bring(browser, tagged).json()
        [row] = rows(browser, plan)
        assert row["action"] == "update"
        assert row["changes"] == [
            {"field": "tag", "before": None, "after": "392000000000123"},
            {"field": "name", "before": "はな", "after": "はなこ"},
        ]
        do(browser, plan)
        plan2 = bring(browser, tagged.replace("123\n", "124\n")).json()
        do(browser, plan2)
        do(browser, plan2, "undo")
        do(browser, plan, "undo")
        assert on_file(centre) == before


def test_what_somebody_changed_since_is_left_by_the_undo_and_named(centre: Centre) -> None:
    with centre.signed_in() as browser:
        plan = bring(browser, HERD).json()
        do(browser, plan)
        with centre.registry.write() as session:
            hana = animals.find(session, CONSOLE, SITE, "number:12", lock=True)
            yuki = animals.find(session, CONSOLE, SITE, "number:13", lock=True)
            assert hana
            assert yuki
            animals.change(session, CONSOLE, hana, {"note": "角が まがっている"}, centre.clock())
            herd_events.enter(session, CONSOLE, yuki, herd_events.Told(centre.clock(), Heat()), centre.clock())
        back = do(browser, plan, "undo")
        assert (back["state"], back["counts"]["kept"]) == ("undone", 2)
        kept = rows(browser, plan, state="kept")
        assert [r["label"] for r in kept] == ["1234567890", "0123456791"]
        assert "changed since" in kept[0]["said"][-1]["why"]["en"]
        assert "残します" in kept[1]["said"][-1]["why"]["ja"]
        assert len([a for a in on_file(centre) if "national_id" in a]) == 2


def test_a_plan_is_refused_whole_when_what_it_is_about_was_changed_meanwhile(centre: Centre) -> None:
    with centre.signed_in() as browser:
        do(browser, bring(browser, HERD).json())
        more = "個体識別番号,名号\n1234567890,はなこ\n0123456791,ゆきこ\n5555555555,あたらしい\n"
        plan = bring(browser, more).json()
        with centre.registry.write() as session:
            hana = animals.find(session, CONSOLE, SITE, "number:12", lock=True)
            assert hana
            animals.change(session, CONSOLE, hana, {"name": "はなえ"}, centre.clock())
            animals.add(session, CONSOLE, SITE, {"national_id": "5555555555"}, centre.clock())
        before = on_file(centre)
        answer = browser.post(f"{PATH}/{plan['id']}/apply", headers=WRITE)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/import-stale")
        assert [e["where"] for e in answer.json()["errors"]] == ["line 2", "line 4"]
        assert on_file(centre) == before
        assert ended(browser, plan)["state"] == "planned"


def test_events_by_animal_kind_and_day(centre: Centre) -> None:
    with centre.signed_in() as browser:
        do(browser, bring(browser, HERD).json())
        wide = "牛番号,分娩日,授精日,種雄牛\n12,R7.4.1,2025/7/20,ヒーロー\n13,,2025-08-01,\n99,2025/1/1,,\n"
        plan = bring(browser, wide, "events").json()
        assert (plan["counts"]["create"], plan["counts"]["refused"]) == (3, 1)
        before = on_file(centre)
        do(browser, plan)
        told = [e["detail"] for e in on_file(centre) if "detail" in e]
        assert [d["kind"] for d in told] == ["calving", "insemination", "insemination"]
        assert told[1]["bull"] == "ヒーロー"
        corrected = "牛番号,種類,日付,種雄牛,結果\n12,授精,2025/7/20,スター,受胎\n12,分娩,2025/4/1,,\n"
        update = bring(browser, corrected, "events").json()
        assert (update["counts"]["update"], update["counts"]["unchanged"]) == (1, 1)
        [change] = rows(browser, update, action="update")
        assert change["changes"] == [
            {"field": "detail.bull", "before": "ヒーロー", "after": "スター"},
            {"field": "detail.result", "before": "unknown", "after": "pregnant"},
        ]
        do(browser, update)
        do(browser, update, "undo")
        do(browser, plan, "undo")
        assert on_file(centre) == before


def test_fields_with_what_grows_on_them(centre: Centre) -> None:
    text = "圃場番号,圃場名,土壌,作物,品種,播種日\n1,裏の畑,黒ボク土,小麦,きたほなみ,2025/9/20\n2,西3号,泥炭,牧草,,\n"
    with centre.signed_in() as browser:
        plan = bring(browser, text, "fields").json()
        assert (plan["counts"]["create"], plan["counts"]["beside"]) == (2, {"season": 2})
        do(browser, plan)
        fields = browser.get(f"/api/v1/sites/{SITE}/fields").json()["rows"]
        assert [(f["number"], f["soil"]["id"] if isinstance(f["soil"], dict) else f["soil"]) for f in fields] == [
            ("1", "andosol"), ("2", "peat"),
        ]  # fmt: skip
        assert bring(browser, text, "fields").json()["counts"]["unchanged"] == 2
        do(browser, plan, "undo")
        assert browser.get(f"/api/v1/sites/{SITE}/fields").json()["rows"] == []


def test_readings_say_that_they_stay_and_are_stored(centre: Centre) -> None:
    days = "2026/5/31,123456789,31.4,28\n2026/5/31,1234567890,x,30\n2026/5/31,1234567891,,31\n"
    text = f"検定日,個体識別番号,乳量,体重\n{days}"
    with centre.signed_in() as browser:
        plan = bring(browser, text.encode("cp932"), "readings").json()
        said = [s["why"]["en"] for s in plan["said"]]
        assert any("cannot be taken back" in one for one in said)
        assert any("look like milk_yield" in one for one in said), "milk in a column of weights"
        counts = plan["counts"]
        assert (counts["create"], counts["refused"], counts["warnings"]) == (4, 1, 1)
        [kept] = list((centre.folder / "uploads").iterdir())
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        done = do(browser, plan)
        assert (done["state"], done["counts"]["stored"], done["undo_until_ms"]) == ("applied", 4, None)
        assert {str(series) for series in centre.store.series(SITE)} >= {f"{SITE}/0123456789/milk_yield"}
        assert list((centre.folder / "uploads").iterdir()) == []
        refused = browser.post(f"{PATH}/{plan['id']}/undo", headers=WRITE)
        assert (refused.status_code, "測定値" in refused.json()["detail"]) == (409, True)


def test_a_file_that_cannot_be_read_says_where_and_leaves_nothing(centre: Centre) -> None:
    with centre.signed_in() as browser:
        for body, word in (
            (b"a,b\n1,2\n", "no column says which one"),
            (b"PK\x03\x04rest", "workbook"),
            ("個体識別番号\n1\n".encode("utf-16"), "UTF-16"),
        ):
            answer = bring(browser, body)
            assert (answer.status_code, answer.json()["type"]) == (422, "/problems/not-a-table")
            assert word in answer.json()["errors"][0]["why"]
        mapping = "kind: animals\ncolumns:\n  - {column: 個体, field: national_idd}\n"
        answer = bring(browser, "個体\n1234567890\n", mapping=mapping)
        assert answer.json()["errors"][0]["where"] == "mapping:3:18"
        assert "national_id" in answer.json()["errors"][0]["why"]
        answer = bring(browser, "個体\n1234567890\n", mapping=mapping.replace("idd", "id"))
        assert answer.json()["counts"]["create"] == 1
        assert bring(browser, "").status_code == 422
        laughs = "a: &a [x, x]\n" + "\n".join(f"b{i}: &b{i} [*a, *a]" for i in range(20))
        for hostile in (laughs, "[" * 7_000, "kind: " + "9" * 5_000, "kind: animals\nfile: {heads: 1_0}", "\t"):
            answer = bring(browser, "個体\n1\n", mapping=hostile)
            assert (answer.status_code, answer.json()["type"]) == (422, "/problems/not-a-table"), hostile[:20]
        twice = "kind: animals\ncolumns: [{column: 個体, field: born_on, format: '%Y%Y'}, {column: n, field: number}]"
        plan = bring(browser, "個体,n\n20262026,1\n", mapping=twice).json()
        assert plan["counts"]["refused"] == 1
        assert announced(browser, 20_000_001) == 413
        assert list((centre.folder / "uploads").iterdir()) == []
        assert len(browser.get(PATH).json()["rows"]) == 2


def test_the_same_key_brings_a_file_once(centre: Centre) -> None:
    with centre.signed_in() as browser:
        headers = {**WRITE, "Idempotency-Key": "monday"}
        first, second = (
            browser.post(PATH, params={"kind": "animals", "name": "a.csv"}, content=HERD.encode(), headers=headers)
            for _ in range(2)
        )
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.json()["id"] == second.json()["id"]
        assert len(browser.get(PATH).json()["rows"]) == 1
        other = browser.post(PATH, params={"kind": "animals", "name": "b.csv"}, content=b"x", headers=headers)
        assert other.status_code == 422


def test_workers_bring_events_and_do_not_take_them_back_and_nothing_of_another_farm_answers(centre: Centre) -> None:
    with centre.signed_in() as browser:
        plan = bring(browser, HERD).json()
        do(browser, plan)
    with centre.signed_in("jiro") as browser:
        assert bring(browser, HERD).status_code == 403
        assert bring(browser, "日時,subject,気温\n", "readings").status_code == 403
        assert browser.post(f"{PATH}/{plan['id']}/undo", headers=WRITE).status_code == 403
        events = bring(browser, "牛番号,発情日\n12,2026/5/1\n", "events").json()
        do(browser, events)
        assert browser.post(f"{PATH}/{events['id']}/undo", headers=WRITE).status_code == 403
    with centre.signed_in("taro") as browser:
        for method, path in (
            ("GET", PATH), ("GET", f"{PATH}/{plan['id']}"), ("POST", f"{PATH}/{plan['id']}/apply"),
            ("GET", f"/api/v1/sites/{OTHER}/imports/{plan['id']}/rows"),
        ):  # fmt: skip
            assert browser.request(method, path, headers=WRITE).status_code == 404


def test_an_import_that_died_goes_on_when_it_is_asked_for_again(centre: Centre) -> None:
    with centre.signed_in() as browser:
        plan = bring(browser, HERD).json()
        with centre.registry.write() as session:
            row = imports.get_import(session, CONSOLE, SITE, plan["id"], lock=True)
            assert row
            imports.begin_apply(session, CONSOLE, row, centre.clock())  # and whoever did is gone
        refused = browser.post(f"{PATH}/{plan['id']}/apply", headers=WRITE)
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/import-state")
        other = bring(browser, HERD.replace("12,はな", "15,はな")).json()
        refused = browser.post(f"{PATH}/{other['id']}/apply", headers=WRITE)
        assert "Another import" in refused.json()["detail"]
        centre.clock.ms += imports.QUIET_MS
        assert do(browser, plan)["state"] == "applied"
        assert len(on_file(centre)) >= 2


def test_plans_are_forgotten_after_a_day_and_an_undo_ends_after_thirty(centre: Centre) -> None:
    with centre.signed_in() as browser:
        applied, old = bring(browser, HERD).json(), bring(browser, HERD, "animals").json()
        do(browser, applied)
        centre.clock.ms += imports.PLAN_MS + 1
        answer = browser.post(f"{PATH}/{old['id']}/apply", headers=WRITE)
        assert (answer.status_code, "day ago" in answer.json()["detail"]) == (409, True)
        bring(browser, HERD)
        assert browser.get(f"{PATH}/{old['id']}").status_code == 404
    centre.clock.ms += imports.UNDO_MS
    with centre.signed_in() as browser:
        assert "30 days" in browser.post(f"{PATH}/{applied['id']}/undo", headers=WRITE).json()["detail"]


def test_what_a_crash_left_is_deleted_when_the_service_begins(centre: Centre) -> None:
    text = "検定日,個体識別番号,乳量\n2026/5/31,1234567890,31.4\n"
    with centre.signed_in() as browser:
        bring(browser, text, "readings")
    [kept] = (centre.folder / "uploads").iterdir()
    left = centre.folder / "uploads" / "left"
    left.write_bytes(b"x")
    for path in (kept, left):
        os.utime(path, (0, 0))
    with centre.serving():
        wait_until(lambda: not left.exists(), 10, "what nobody needs is deleted")
        assert kept.exists(), "a plan of today needs it"
    centre.clock.ms += imports.PLAN_MS + 1
    with centre.serving():
        wait_until(lambda: not kept.exists(), 10, "the plan is forgotten, and its file")


def test_rights_that_end_in_the_middle_stop_the_import(centre: Centre) -> None:
    from collectors.imports import work
    from collectors.imports.mapping import no_mapping
    from collectors.registry.viewer import NotAllowed, Viewer

    file = centre.folder / "a.csv"
    file.write_text(HERD, encoding="utf-8")
    row = work.plan_file(
        centre.registry, CONSOLE, SITE, file, kind="animals", name="a.csv", mapping=no_mapping("animals"),
        clock=centre.clock,
    )  # fmt: skip
    work.begin_apply(centre.registry, CONSOLE, SITE, row.id, centre.clock)

    def gone(*_: Any) -> Viewer:
        raise NotAllowed("gone")

    with pytest.raises(NotAllowed):
        work.go_on(centre.registry, CONSOLE, SITE, row.id, centre.clock, look_again=gone)
    assert on_file(centre) == []
    with centre.registry.read() as session:
        found = session.get(ImportFile, row.id)
        assert found
        assert found.state == "applying"


def test_the_document_tells_how_a_file_is_sent(centre: Centre) -> None:
    with centre.serving() as browser:
        document = browser.get("/api/v1/openapi.json").json()
        post = document["paths"]["/api/v1/sites/{site}/imports"]["post"]
        assert "text/csv" in post["requestBody"]["content"]
        assert json.dumps(post).count("kind") >= 1
