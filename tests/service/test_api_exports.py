"""Exports over HTTP: every form read with other people's readers, to whom, for how long, and what they cost."""

from __future__ import annotations

import csv
import io
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

import httpx
import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.outgoing import PER_PERSON, TOGETHER
from api.sessions import COOKIE
from collectors.registry import consent
from collectors.registry.people import viewer_of
from collectors.registry.schema import Site
from collectors.registry.sight import FarmSight, farm_sight
from collectors.registry.viewer import Service
from collectors.store import StoreUnavailable
from makiba import senml
from makiba.data_class import DataClass
from makiba.reading import Columns, Reading, Series
from tests.parts import PATIENCE, wait_until
from tests.service.serving import CONSOLE, OTHER, SITE
from tests.service.test_api_data import DAY, HOUR, KINDS, MILK, MIN, STATE, T0, Desk, made_desk, stand

FORMS = ("csv", "csv-cp932", "xlsx", "parquet", "senml")
MANY = 300_000


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Two farms with a little of everything."""
    with made_desk(tmp_path_factory.mktemp("exports")) as desk:
        desk.fill()
        desk.centre.store.write([Reading(STATE, T0 + 6 * MIN, "=HYPERLINK(1)"), Reading(STATE, T0 + 7 * MIN, "雪🐄")])
        desk.centre.store.write([Reading(Series(OTHER, "tank-1", "milk_temperature"), T0, 4.5)])
        yield desk


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A farm with more than a connection holds."""
    with made_desk(tmp_path_factory.mktemp("big")) as desk:
        desk.centre.store.write_columns(
            Columns([MILK] * MANY, [T0 + i * 1000 for i in range(MANY)], [i / 7 for i in range(MANY)])
        )
        desk.centre.clock.ms = T0 + MANY * 1000
        desk.cookies[desk.owner] = desk.centre.cookie(desk.owner)
        yield desk


def rows_of(answer: httpx.Response, form: str) -> list[dict[str, Any]]:
    """What a file holds, a row each, by the names of its heads."""
    if form == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        found: list[dict[str, Any]] = parquet.read_table(io.BytesIO(answer.content)).to_pylist()
        return found
    if form == "xlsx":
        book = openpyxl.load_workbook(io.BytesIO(answer.content))
        table: list[list[Any]] = [[cell.value for cell in row] for sheet in book for row in sheet.iter_rows()]
    else:
        text = answer.content.decode("utf-8-sig" if form == "csv" else "cp932")
        table = [list(row) for row in csv.reader(io.StringIO(text, newline=""))]
    return [dict(zip(table[0], row, strict=True)) for row in table[1:]]


def values_of(answer: httpx.Response, form: str) -> set[tuple[str, int, Any]]:
    """(series, time, value) of each reading in a long file with the heads of programs."""
    if form == "senml":
        if answer.json() == []:
            return set()
        taken, refused = senml.readings_of(senml.parse_json(answer.content), 0)
        assert refused == []
        return {(str(r.series), r.time_ms, r.value) for _, r in taken}
    found: set[tuple[str, int, Any]] = set()
    for row in rows_of(answer, form):
        name = f"{row['site']}/{row['subject']}/{row['quantity']}"
        value = row["text"] if row["value"] in ("", None) else float(row["value"])
        found.add((name, int(row["utc_ms"]), value))
    return found


def stored(desk: Desk, site: str = SITE) -> set[tuple[str, int, Any]]:
    store = desk.centre.store
    return {(str(s), p.time_ms, p.value) for s in store.series(site) for p in store.range(s, 0, T0 + 9 * DAY)}


def get(desk: Desk, path: str = f"/sites/{SITE}/export", person: int | None = None, **asked: Any) -> httpx.Response:
    answer = desk.get(path, person, **asked)
    assert answer.status_code == 200, answer.text
    return answer


# ------------------------------------------------------------------------------------------------------- forms


@pytest.mark.parametrize("form", FORMS)
def test_an_export_holds_every_reading_as_it_is(desk: Desk, form: str) -> None:
    answer = get(desk, form=form, language="codes")
    expected = stored(desk)
    if form in ("csv", "csv-cp932"):  # a spreadsheet opens it: formulas are guarded, and CP932 has no cow
        guarded = {"=HYPERLINK(1)": "'=HYPERLINK(1)", "雪🐄": "雪🐄" if form == "csv" else "雪〓"}
        expected = {(s, t, guarded.get(v, v)) for s, t, v in expected}
    assert values_of(answer, form) == expected


def test_csv_opens_in_excel_on_a_japanese_windows(desk: Desk) -> None:
    asked: dict[str, Any] = {
        "subject": "tank-1",
        "quantity": "milk_temperature",
        "end_ms": T0 + 2 * MIN,
        "shown": True,
    }
    answer = get(desk, form="csv", **asked)
    assert answer.headers["content-type"].startswith("text/csv")
    heads = "時刻,現地時刻,UTCミリ秒,牧場,対象,項目,項目名,値,文字,単位"
    assert answer.content.decode("utf-8").splitlines() == [
        f"\ufeff{heads}",
        f"2026-09-22T00:00:00.000+09:00,2026-09-22 00:00:00,{T0},{SITE},tank-1,milk_temperature,乳温,4.0,,℃",
        f"2026-09-22T00:01:00.000+09:00,2026-09-22 00:01:00,{T0 + MIN},{SITE},tank-1,milk_temperature,乳温,4.0,,℃",
    ]
    assert answer.content.count(b"\r\n") == answer.content.count(b"\n") == 3
    other = get(desk, form="csv-cp932", **asked)
    assert other.content.decode("cp932").splitlines()[0] == heads
    assert "windows-31j" in other.headers["content-type"]


def test_a_workbook_has_dates_of_the_farm_numbers_and_no_formula(desk: Desk) -> None:
    book = openpyxl.load_workbook(io.BytesIO(get(desk, form="xlsx", subject="tank-1").content))
    sheet: Any = book.active
    table = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert table[0] == ["時刻", "UTCミリ秒", "牧場", "対象", "項目", "項目名", "値", "文字", "単位"]
    assert table[1][0] == datetime.fromisoformat("2026-09-22T00:00:00")
    assert {type(row[6]) for row in table[1:301]} <= {int, float}
    evil = next(cell for row in sheet.iter_rows() for cell in row if cell.value == "=HYPERLINK(1)")
    assert (evil.data_type, evil.quotePrefix) == ("s", True)


def test_windows_side_by_side_are_those_of_data(desk: Desk) -> None:
    asked: dict[str, Any] = {"start_ms": T0, "end_ms": T0 + 5 * HOUR, "width_ms": HOUR, "fold": ["min", "count"]}
    names = ["barn-1-climate/air_temperature", "tank-1/milk_temperature"]
    told = desk.farm("/data", series=names, **asked)
    rows = rows_of(get(desk, form="csv", language="codes", wide=True, quantity="*_temperature", **asked), "csv")
    assert [int(row["utc_ms"]) for row in rows] == told["times_ms"]
    for name, column in zip(names, told["columns"], strict=True):
        assert [int(row[f"{name} count"]) for row in rows] == column["count"]
        assert [float(row[f"{name} min [Cel]"]) for row in rows] == column["min"]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "text/csv"),
        ("text/html, */*;q=0.8", "text/csv"),
        ("application/senml+json", "application/senml+json"),
        ("text/csv;q=0.1, application/vnd.apache.parquet", "application/vnd.apache.parquet"),
        (
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ),
    ],
)
def test_the_form_is_what_accept_likes_best(desk: Desk, accept: str, media_type: str) -> None:
    answer = get(desk, quantity="ammonia", headers={"Accept": accept})
    assert answer.headers["content-type"].partition(";")[0] == media_type
    assert "Accept" in answer.headers["vary"]


def test_a_form_that_there_is_not_is_said_to_be_none(desk: Desk) -> None:
    answer = desk.get(f"/sites/{SITE}/export", headers={"Accept": "image/png"})
    assert (answer.status_code, answer.json()["type"]) == (406, "/problems/not-acceptable")
    assert "application/senml+json" in answer.json()["detail"]


def test_the_file_has_the_farm_s_name_and_days(desk: Desk) -> None:
    with desk.centre.registry.write() as session:
        farm = session.get(Site, SITE)
        assert farm is not None
        before, farm.name_ja = farm.name_ja, '  ../"鹿追"\\牧場\r\nX: y; 100%\u202e  '
    try:
        said = get(desk, form="xlsx", start_ms=T0, end_ms=T0 + DAY).headers["content-disposition"]
    finally:
        with desk.centre.registry.write() as session:
            session.get_one(Site, SITE).name_ja = before
    match = re.fullmatch(r"attachment; filename=\"([A-Za-z0-9._-]+)\"; filename\*=UTF-8''([A-Za-z0-9.%_~-]+)", said)
    assert match is not None, said
    assert match[1] == f"{SITE}_20260922_20260923.xlsx"
    name = unquote(match[2])
    assert name.endswith("_20260922_20260923.xlsx")
    assert "鹿追" in name
    assert not set(name) & set('/\\:*?"<>|%\r\n\u202e')
    assert not name.startswith((".", " "))


def test_what_is_packed_on_its_way_is_the_same(desk: Desk) -> None:
    plain = get(desk, form="csv", headers={"Accept-Encoding": "identity"})
    packed = get(desk, form="csv", headers={"Accept-Encoding": "br, gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content
    for forbidden in ("gzip;q=0", "deflate", "gzip;q=0.000"):
        assert "content-encoding" not in get(desk, form="csv", headers={"Accept-Encoding": forbidden}).headers
    book = get(desk, form="xlsx", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in book.headers


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"subject": "nobody"}, 404, "nothing here"),
        ({"class": "herd"}, 404, "nothing here"),
        ({"form": "senml", "width_ms": HOUR}, 422, "senml holds readings as they are"),
        ({"form": "doc"}, 422, "query.form"),
        ({"fold": "mean"}, 422, "only with wide and width_ms"),
        ({"start_ms": T0, "end_ms": T0}, 422, "not before end_ms"),
    ],
)
def test_what_cannot_be_had_is_a_problem_and_no_file(
    desk: Desk, asked: dict[str, Any], status: int, said: str
) -> None:
    answer = desk.get(f"/sites/{SITE}/export", **asked)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert said in answer.text
    assert "content-disposition" not in answer.headers


def test_too_much_for_excel_is_said_before_the_first_byte(big: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collectors.out.xlsx_form.MAX_ROWS", MANY - 1)
    answer = big.get(f"/sites/{SITE}/export", form="xlsx")
    assert answer.status_code == 422
    assert "too many for Excel" in answer.json()["detail"]
    assert "csv or parquet" in answer.json()["detail"]


# ------------------------------------------------------------------------------------------------------ to whom


def test_a_file_of_several_farms_holds_what_each_shows_of_the_class(desk: Desk) -> None:
    guest = desk.centre.person(secrets.token_hex(8), password=None, shikaoi_001="vet", shikaoi_002="vet")
    desk.cookies[guest] = desk.centre.cookie(guest)
    assert desk.get("/export", guest).status_code == 404
    desk.centre.consent(SITE, "tank", "technical", person=guest)
    desk.centre.consent(OTHER, "tank", person=guest)

    def told(**asked: Any) -> set[str]:
        return {name for name, _, _ in values_of(get(desk, "/export", guest, form="parquet", **asked), "parquet")}

    milk = {f"{site}/tank-1/milk_temperature" for site in (SITE, OTHER)}
    assert told() == milk | {str(STATE)}
    assert told(**{"class": "tank"}) == milk | {str(STATE)}
    assert told(**{"class": "technical"}) == {str(STATE)}
    wide = rows_of(get(desk, "/export", guest, form="csv", language="codes", wide=True, quantity="milk*"), "csv")
    assert {f"{name} [Cel]" for name in milk} < set(wide[0])
    said = get(desk, "/export", guest, form="csv").headers["content-disposition"]
    assert unquote(said.partition("UTF-8''")[2]) == "牧場のデータ_20260924.csv"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_guest_s_file_is_what_sight_allows_value_by_value(desk: Desk, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, 300), min_size=1, max_size=4)))
    for subject in ("barn-1-climate", "tank-1"):
        edges = [0, *(T0 + cut * MIN for cut in cuts), None]
        stays = [
            (a or 0, b, data.draw(st.sampled_from(KINDS))) for a, b in pairwise(edges) if data.draw(st.booleans())
        ]
        stand(desk, SITE, subject, *stays)
    classes: list[DataClass] = data.draw(
        st.lists(
            st.sampled_from(["barn", "tank", "field", "weather", "technical"]), min_size=1, max_size=3, unique=True
        )
    )
    form = data.draw(st.sampled_from(["csv", "xlsx", "parquet", "senml"]))
    of_class = data.draw(st.sampled_from([None, *classes]))
    guest = desk.centre.person(secrets.token_hex(8), password=None, shikaoi_001="vet")
    desk.centre.consent(SITE, *classes, person=guest)
    desk.cookies[guest] = desk.centre.cookie(guest)
    with desk.centre.registry.read() as session:
        person = viewer_of(session, Service("api"), guest, desk.centre.clock())
        assert person is not None
        sight = farm_sight(session, Service("api"), person, SITE)
    narrowed = FarmSight(sight.classes if of_class is None else frozenset({of_class}), False, sight.stood)
    guarded = {"=HYPERLINK(1)": "'=HYPERLINK(1)"} if form == "csv" else {}
    expected = {
        (name, time_ms, guarded.get(value, value))
        for name, time_ms, value in stored(desk)
        if narrowed.may_read(name.split("/")[1], name.split("/")[2], time_ms)
    }
    asked: dict[str, Any] = {"form": form, "language": "codes", **({"class": of_class} if of_class else {})}
    if form == "senml":
        del asked["language"]
    answer = desk.get(f"/sites/{SITE}/export", guest, **asked)
    if answer.status_code == 404:
        assert expected == set()
        return
    assert values_of(answer, form) == expected
    if form in ("csv", "xlsx"):
        windows = rows_of(desk.get(f"/sites/{SITE}/export", guest, **asked, width_ms=15 * MIN), form)
        whole = rows_of(desk.get(f"/sites/{SITE}/export", **asked, width_ms=15 * MIN), form)

        def is_theirs(row: Mapping[str, Any]) -> bool:
            at = int(row["utc_ms"])
            return all(narrowed.may_read(row["subject"], row["quantity"], at + i * MIN) for i in range(15))

        assert windows == [row for row in whole if is_theirs(row)]


def test_a_guest_s_file_stands_in_the_audit_before_it_is_sent_with_what_of_when(desk: Desk) -> None:
    guest = desk.centre.person("auditor", password=None, shikaoi_001="vet")
    desk.centre.consent(SITE, "tank", "barn", person=guest)
    stand(desk, SITE, "tank-1", (0, None, "tank-room"))
    desk.cookies[guest] = desk.centre.cookie(guest)
    get(desk, person=guest, subject="tank-1", start_ms=T0, end_ms=T0 + HOUR)
    rows = [r for r in desk.farm("/audit")["rows"] if r["name"] == "auditorさん" and r["kind"] == "read"]
    assert [(r["what"], r["data_class"]["id"], r["from_ms"], r["to_ms"], r["count"]) for r in rows] == [
        ("/sites/{site}/export", "tank", T0, T0 + HOUR, 1)
    ]
    assert rows[0]["what_name"]["ja"] == "データを ファイルに しました"


# --------------------------------------------------------------------------------------------------- for how long


class Reader:
    """A client of its own that takes as much as it is told to."""

    def __init__(self, desk: Desk, person: int, query: str = "form=csv", small: bool = True) -> None:
        url = desk.browser.base_url
        self.socket = socket.socket()
        if small:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        self.socket.settimeout(20)
        self.socket.connect((url.host, url.port or 80))
        head = (
            f"GET /api/v1/sites/{SITE}/export?{query} HTTP/1.1\r\nHost: {url.host}:{url.port}\r\n"
            f"Cookie: {COOKIE}={desk.cookies[person]}\r\nAccept-Encoding: identity\r\n\r\n"
        )
        self.socket.sendall(head.encode())
        self._parts: list[bytes] = []

    @property
    def got(self) -> bytes:
        """All that came."""
        return b"".join(self._parts)

    def take(self, bytes_: int) -> int:
        """Up to so many more; how many came, 0 at the end."""
        self._parts.append(self.socket.recv(bytes_))
        return len(self._parts[-1])

    def until_it_ends(self, within_s: float) -> float:
        """Takes all; how long it took until the connection was cut or closed."""
        began_s = time.monotonic()
        self.socket.settimeout(within_s * PATIENCE)
        try:
            while self.take(1 << 20):
                pass
        except ConnectionResetError:
            pass
        return time.monotonic() - began_s

    @property
    def is_whole(self) -> bool:
        """Whether the server said that this was all (RFC 9112, section 7.1: the last chunk)."""
        return self.got.endswith(b"\r\n0\r\n\r\n")

    def close(self) -> None:
        self.socket.close()


def under_way(desk: Desk) -> int:
    assert desk.centre.running is not None
    return len(desk.centre.running.state.slots)


def guest_of(desk: Desk) -> tuple[int, str]:
    guest = desk.centre.person(secrets.token_hex(8), password=None, shikaoi_001="vet")
    given = desk.centre.consent(SITE, "tank", person=guest)
    desk.cookies[guest] = desk.centre.cookie(guest)
    return guest, given


@pytest.mark.parametrize("form", ["csv", "xlsx", "senml"])
def test_a_withdrawal_cuts_a_file_within_a_second_and_it_ends_broken(big: Desk, form: str) -> None:
    guest, given = guest_of(big)
    reader = Reader(big, guest, f"form={form}")
    reader.take(20_000)
    with big.centre.registry.write() as session:
        consent.withdraw(session, CONSOLE, SITE, given, big.centre.clock())
    withdrawn_s = time.monotonic()
    reader.until_it_ends(5)
    assert time.monotonic() - withdrawn_s < 3.0 * PATIENCE  # at once; the second is `./run bench api`'s to measure
    wait_until(lambda: under_way(big) == 0, 5)
    assert not reader.is_whole
    assert len(reader.got) < MANY * 20  # far from all of it, in any form
    assert big.get(f"/sites/{SITE}/export", guest).status_code == 404


@pytest.mark.parametrize("what", ["signed out", "consent over"])
def test_whatever_ends_the_rights_cuts_the_file(big: Desk, what: str) -> None:
    guest, _ = guest_of(big)
    if what == "consent over":
        with big.centre.registry.write() as session:
            for row in consent.list_consents(session, CONSOLE, SITE):
                if row.person_id == guest:
                    row.until_ms = big.centre.clock() + 5_000
    reader = Reader(big, guest)
    reader.take(20_000)
    assert under_way(big) == 1
    if what == "signed out":
        big.browser.delete("/api/v1/session", headers={"Cookie": f"{COOKIE}={big.cookies[guest]}", "X-Makiba": "1"})
    else:
        big.centre.clock.ms += 6_000
    reader.until_it_ends(5)
    assert not reader.is_whole
    wait_until(lambda: under_way(big) == 0, 5)


def test_other_changes_of_rights_leave_a_file_alone(big: Desk) -> None:
    guest, _ = guest_of(big)
    reader = Reader(big, guest, f"form=csv&end_ms={T0 + 200_000_000}", small=False)
    reader.take(20_000)
    big.centre.consent(SITE, "barn", person=guest)
    stand(big, SITE, "tank-1", (0, None, "field"))  # milk is the tank's wherever it is measured
    guest_of(big)
    reader.until_it_ends(20)
    assert reader.is_whole
    assert reader.got.count(b"milk_temperature") > 199_000  # heads of chunks stand in some


def test_a_slow_reader_slows_the_making_and_one_that_goes_ends_it(big: Desk) -> None:
    store: Any = big.centre.running.state.centre.store  # type: ignore[union-attr]
    read, made = store.range, [0]

    def counted(*asked: Any) -> Any:
        made[0] += 1
        return read(*asked)

    store.range = counted
    try:
        reader = Reader(big, big.owner)
        reader.take(1_000)
        for _ in range(20):  # until nothing more is made
            before = made[0]
            threading.Event().wait(0.2)
            if made[0] == before:
                break
        assert made[0] < MANY // 5_000 / 2
        assert under_way(big) == 1
        before = made[0]
        reader.close()
        wait_until(lambda: under_way(big) == 0, 3)
        assert made[0] <= before + 2
    finally:
        del store.range


def test_a_person_has_so_many_files_at_once_and_others_are_not_held_up(big: Desk) -> None:
    readers = [Reader(big, big.owner) for _ in range(PER_PERSON)]
    for reader in readers:
        reader.take(1_000)
    refused = big.get(f"/sites/{SITE}/export")
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many")
    assert int(refused.headers["retry-after"]) > 0
    guest, _ = guest_of(big)
    other = Reader(big, guest)
    other.take(1_000)
    assert other.got.startswith(b"HTTP/1.1 200")
    for reader in (*readers, other):
        reader.close()
    wait_until(lambda: under_way(big) == 0, 3)
    assert PER_PERSON < TOGETHER


def test_a_store_that_fails_in_the_middle_breaks_the_file_and_one_that_fails_at_once_is_a_problem(big: Desk) -> None:
    store: Any = big.centre.running.state.centre.store  # type: ignore[union-attr]
    read, left = store.range, [0]

    def failing(*asked: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise StoreUnavailable("away")
        return read(*asked)

    store.range = failing
    try:
        assert big.get(f"/sites/{SITE}/export").status_code == 503
        left[0] = 3
        reader = Reader(big, big.owner, small=False)
        reader.until_it_ends(5)
        assert reader.got.startswith(b"HTTP/1.1 200")
        assert not reader.is_whole
    finally:
        del store.range
    wait_until(lambda: under_way(big) == 0, 3)
