"""A farm takes all of its data along, and nothing of it is left: in the store, the registry, or anybody's answer."""

from __future__ import annotations

import csv
import hashlib
import importlib
import io
import json
import os
import secrets
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Table, func, select
from sqlalchemy.orm import Session

from analytics import alert_book
from analytics.decision import Decision
from collectors.ingest import Ingest, Pack
from collectors.out import leave
from collectors.out.archive import archive
from collectors.registry import (
    admin,
    belongings,
    comparisons,
    dead_letters,
    leaving,
    once,
    people,
    sites,
    sources,
    tokens,
)
from collectors.registry.dead_letters import Letter
from collectors.registry.schema import Base, PersonRow
from collectors.registry.schema.comparisons import Comparison
from collectors.registry.viewer import Service
from makiba import senml
from makiba.reading import Reading, Series
from makiba.wire import BatchId
from tests.parts import ROOT, wait_until
from tests.service.serving import CONSOLE, OTHER, SITE, WRITE, Centre, sign_in

SECRETS = ("hanako", "6.640625", "shikaoi-001", "gw-a", "=cmd")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.long)])
def centre(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Centre]:
    """Two farms with people, readings, alerts, consents, letters and an import; `hanako` owns `SITE`."""
    url = ""
    if request.param == "postgres":
        url = request.getfixturevalue("postgres").ready(f"farms_{secrets.token_hex(4)}")
    yield from _furnished(tmp_path, url)


def _furnished(folder: Path, url: str) -> Iterator[Centre]:
    centre = Centre(folder, registry_url=url)
    centre.person("hanako", shikaoi_001="owner")
    centre.person("jiro", shikaoi_001="family", shikaoi_002="worker")
    centre.person("taro", shikaoi_002="owner")
    centre.person("vet", shikaoi_001="vet")
    for site in (SITE, OTHER):
        centre.consent(site, "tank", role="vet")
        for n in range(50):
            centre.write(f"{site}/tank-1/milk_temperature", 6.640625 + n / 64, centre.clock() - n * 60_000)
        centre.write(f"{site}/tank-1/firmware", "=cmd")
        with centre.registry.write() as session:
            decision = Decision(
                "open", site, "tank.hold", "tank-1", centre.clock(), centre.clock(), severity="critical"
            )
            alert_book.write(session, Service("analytics"), decision, centre.clock())
            sources.add_http(session, CONSOLE, f"src-{site}", site, "milk robot", centre.clock())
            gateway = "gw-a" if site == SITE else "gw-b"
            senders = (gateway, f"src-{site}")
            letters = [Letter(sender, "1-7", 0, centre.clock(), f"{site}/x", "why", "{}") for sender in senders]
            dead_letters.add(session, CONSOLE, letters)
    yield centre
    centre.registry.close()
    centre.store.close()


def rows_left(centre: Centre, words: tuple[str, ...]) -> dict[str, list[str]]:
    """Every cell of every table in which one of `words` stands, but for the receipt's."""
    found: dict[str, list[str]] = {}
    with centre.registry.read() as session:
        for table in Base.metadata.sorted_tables:
            for row in session.execute(select(table)):
                said = [str(cell) for cell in row if any(word in str(cell) for word in words)]
                if said and table.name != "departure":
                    found.setdefault(table.name, []).extend(said)
    return found


def number_of(centre: Centre, login: str) -> int:
    with centre.registry.read() as session:
        return session.scalars(select(PersonRow.id).where(PersonRow.login == login)).one()


def counted(centre: Centre) -> dict[str, int]:
    with centre.registry.read() as session:
        tables = Base.metadata.sorted_tables
        return {t.name: session.scalar(select(func.count()).select_from(t)) or 0 for t in tables}


def leave_by_api(centre: Centre, browser: httpx.Client) -> Any:
    """The owner's way out, archive and all; the receipt and the archive."""
    path = f"/api/v1/sites/{SITE}"
    begun = browser.post(f"{path}/leave", json={"confirm": SITE}, headers=WRITE)
    assert begun.status_code == 201, begun.text
    centre.clock.ms = begun.json()["settled_ms"]
    packed = browser.get(f"{path}/archive")
    digest = hashlib.sha256(packed.content).hexdigest()
    told = browser.get(f"{path}/leave").json()
    assert told["archive_sha256"] == digest
    gone = browser.post(f"{path}/leave/delete", json={"confirm": SITE, "archive_sha256": digest}, headers=WRITE)
    assert gone.status_code == 200, gone.text
    return gone.json(), packed.content


def test_every_table_is_a_farms_or_says_why_not() -> None:
    assert belongings.unplaced_tables() == []


def test_the_archive_holds_every_reading_in_each_form_and_no_secret(centre: Centre) -> None:
    digests: list[str] = []
    data = b"".join(archive(centre.store, centre.registry, CONSOLE, SITE, centre.clock(), digests.append))
    assert digests == [hashlib.sha256(data).hexdigest()]
    bundle = zipfile.ZipFile(io.BytesIO(data))
    assert bundle.testzip() is None
    contents = json.loads(bundle.read("contents.json"))
    assert contents["readings"] == 51
    for entry in contents["files"]:
        held = bundle.read(entry["name"])
        assert (len(held), hashlib.sha256(held).hexdigest()) == (entry["bytes"], entry["sha256"])
    stored = {
        (str(series), point.time_ms): point.value
        for series in centre.store.series(SITE)
        for point in centre.store.range(series, 0, centre.clock() + 1)
    }
    readings, refused = senml.readings_of(senml.parse_json(bundle.read("readings.senml.json")), centre.clock() / 1000)
    assert refused == []
    assert {(str(r.series), r.time_ms): r.value for _, r in readings} == stored
    rows = list(csv.DictReader(io.StringIO(bundle.read("readings.csv").decode("utf-8-sig"))))
    in_csv = {
        (f"{r['site']}/{r['subject']}/{r['quantity']}", int(r["utc_ms"])): float(r["value"])
        if r["value"]
        else r["text"]
        for r in rows
    }
    assert in_csv == {key: "'" + v if isinstance(v, str) else v for key, v in stored.items()}
    registry = json.loads(bundle.read("registry.json"))
    assert {"name": "hanakoさん", "role": "owner"} in registry["people"]
    assert {
        "site",
        "gateway",
        "place",
        "placement",
        "consent",
        "alert",
        "alert_event",
        "source",
        "dead_letter",
    } <= set(registry)
    everything = data + b"".join(bundle.read(name) for name in bundle.namelist())
    assert OTHER.encode() not in everything
    assert b"argon2" not in everything
    assert b"token_hash" not in everything
    with centre.registry.read() as session:
        hashes = [row.token_hash for row in sources.list_sources(session, CONSOLE)]
    assert not any(h and h.encode() in everything for h in hashes)


def test_a_farm_that_left_is_nowhere_and_the_other_is_whole(centre: Centre) -> None:
    before_other = len(rows_left(centre, (OTHER, "taro", "gw-b")))
    stored_other = centre.store.latest(OTHER)
    with centre.serving() as browser:
        sign_in(browser)
        receipt, packed = leave_by_api(centre, browser)
        assert browser.get("/api/v1/session").status_code == 401  # hanako had this farm only
        assert browser.get(f"/api/v1/receipts/{receipt['id']}").json() == receipt
        sign_in(browser, "taro")
        assert browser.get(f"/api/v1/sites/{OTHER}/places").status_code == 200
    assert zipfile.ZipFile(io.BytesIO(packed)).testzip() is None
    assert rows_left(centre, SECRETS) == {}
    assert centre.store.series(SITE) == []
    assert centre.store.latest(OTHER) == stored_other
    assert len(rows_left(centre, (OTHER, "taro", "gw-b"))) == before_other
    assert receipt["deleted"]["series"] == 2
    assert receipt["deleted"]["person"] == 2  # the owner, and the vet who had to do with nobody else
    assert receipt["deleted"]["dead_letter"] == 2
    with centre.registry.read() as session:
        assert set(session.scalars(select(PersonRow.login))) == {"jiro", "taro"}


def fill(centre: Centre, site: str, owner: int) -> None:
    """Something in every part that a farm may use, with the farm's name or its people's in it."""
    for part in ("first", "farm", "herd", "imports", "incidents", "people"):
        importlib.import_module(f"tests.service.borders.{part}").ROOM.ids(Filled(centre), site)
    now_ms, word = centre.clock(), f"word of {site}"
    with centre.registry.write() as session:
        person = people.viewer_of(session, Service("api"), owner, now_ms)
        assert person is not None
        for sites_, name in (((site,), word), ((SITE, OTHER), "both"), (None, "all")):
            wish = tokens.Wish(name, now_ms + 86_400_000, sites_)
            if all(one in person.roles for one in sites_ or ()):
                tokens.make(session, CONSOLE, person, secrets.token_hex(8), secrets.token_hex(32), wish, now_ms)
        comparisons.join(session, CONSOLE, site, "tank", now_ms)
        admin.note(session, CONSOLE, "added", session.get_one(PersonRow, owner), now_ms)
        once.claim(session, person, secrets.token_hex(32), "0" * 64, site, now_ms)
        session.merge(Comparison(measure="m", period="2026-01", published_ms=1, parties=8, bands=[]))
        session.flush()
        for table in belongings.tables_of(site):
            if not session.scalar(select(func.count()).select_from(table).where(belongings.tables_of(site)[table])):
                session.execute(table.insert().values(made_up(session, table, site, word, owner)))


def made_up(session: Session, table: Table, site: str, word: str, owner: int) -> dict[str, Any]:
    """A row of `table` that is of `site`: keys of rows that there are, and `word` in every text that takes it."""
    of = belongings.tables_of(site)
    row: dict[str, Any] = {}
    for column in table.columns:
        key = next(iter(column.foreign_keys), None)
        kind = column.type.python_type
        if column.name == "id" and kind is int:
            continue  # the database's own number
        if column.name in ("site_id", "site"):
            row[column.name] = site
        elif column.name == "person_id":
            row[column.name] = owner
        elif key is not None:
            found = select(key.column).where(of[key.column.table]) if key.column.table in of else select(key.column)
            row[column.name] = session.scalar(found.limit(1))
        elif column.name == "gateway_id":
            row[column.name] = f"src-{site}"
        elif kind is str:
            row[column.name] = word[-(getattr(column.type, "length", None) or 200) :]
        elif kind in (dict, list, object):  # JSON
            row[column.name] = {"word": word}
        else:
            row[column.name] = kind(1)
    return row


@dataclass(frozen=True)
class Filled:
    centre: Centre


def test_a_farm_that_used_every_part_leaves_no_cell_behind(centre: Centre) -> None:
    hanako, taro = number_of(centre, "hanako"), number_of(centre, "taro")
    for site, owner in ((SITE, hanako), (OTHER, taro)):
        fill(centre, site, owner)
    before = rows_left(centre, (OTHER, "taro", "gw-b"))
    with centre.registry.read() as session:
        tables = belongings.tables_of(SITE)
        assert [t.name for t in tables if not session.scalar(select(func.count()).where(tables[t]))] == []
    with centre.signed_in() as browser:
        receipt, packed = leave_by_api(centre, browser)
    bundle = zipfile.ZipFile(io.BytesIO(packed))
    registry = bundle.read("registry.json").decode()
    assert {t.name for t in tables} - {"site"} <= set(json.loads(registry)) | {
        "role",
        "recovery_link",
        "account_role",
    }
    for secret in (OTHER, "taro", "gw-b", "code_hash", "secret_hash"):
        assert secret not in registry
    assert rows_left(centre, (*SECRETS, f"word of {SITE}")) == {}
    after = rows_left(centre, (OTHER, "taro", "gw-b"))
    assert {name: len(cells) for name, cells in after.items()} == {name: len(cells) for name, cells in before.items()}
    assert receipt["deleted"]["animal"] > 0


def test_nothing_is_taken_while_it_leaves_and_all_of_it_when_it_stays(centre: Centre) -> None:
    ingest = Ingest(centre.registry, centre.store, monotonic_s=lambda: centre.clock() / 1000)

    def send(batch: int) -> Any:
        reading = Reading(Series(SITE, "tank-1", "milk_temperature"), centre.clock(), 3.0 + batch)
        return ingest.take(
            [Pack("gw-a", BatchId("ab" * 8, batch).to_bytes(), senml.encode_json([reading]), centre.clock())]
        )[0]

    assert send(1).answer is not None
    with centre.registry.write() as session:
        leaving.begin(session, CONSOLE, SITE, centre.clock())
    centre.clock.ms += 6_000
    held = send(2)
    assert held.answer is None  # the gateway keeps it
    assert centre.store.latest(SITE)[Series(SITE, "tank-1", "milk_temperature")].value == 4.0
    with centre.registry.write() as session:
        leaving.stay(session, CONSOLE, SITE, centre.clock())
    centre.clock.ms += 6_000
    assert send(3).answer is not None
    assert counted(centre)["dead_letter"] == 4


def test_deleting_asks_for_the_whole_archive_the_farms_name_and_patience(centre: Centre) -> None:
    path = f"/api/v1/sites/{SITE}"
    with centre.signed_in() as browser:

        def say(what: str, **body: Any) -> int:
            return browser.post(f"{path}/{what}", json=body, headers=WRITE).status_code

        def digest_of_archive() -> str:
            return hashlib.sha256(browser.get(f"{path}/archive").content).hexdigest()

        assert say("leave/delete", confirm=SITE, archive_sha256=None) == 409
        assert say("leave", confirm=OTHER) == 422
        assert say("leave", confirm=SITE) == 201
        early = digest_of_archive()
        assert say("leave/delete", confirm=SITE, archive_sha256=early) == 409  # readings may still be on their way
        centre.clock.ms += leaving.SETTLE_MS
        assert say("leave/delete", confirm=SITE, archive_sha256=early) == 409
        whole = digest_of_archive()
        assert say("leave/delete", confirm=OTHER, archive_sha256=whole) == 422
        assert say("leave/delete", confirm=SITE, archive_sha256="0" * 64) == 409
        assert counted(centre)["site"] == 2
        assert say("leave/delete", confirm=SITE, archive_sha256=whole) == 200
        assert counted(centre)["site"] == 1


def test_killed_at_any_step_the_deletion_is_finished_at_the_next_start(
    centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    with centre.registry.write() as session:
        leaving.begin(session, CONSOLE, SITE, centre.clock())
    centre.clock.ms += leaving.SETTLE_MS
    with centre.registry.write() as session:
        departure = leaving.begin_deleting(session, CONSOLE, SITE, centre.clock(), None).id

    class Killed(BaseException):
        pass

    deletions = 0

    def dies(after: int, then: Callable[[str], None]) -> Callable[[str], None]:
        def delete_site(site: str) -> None:
            nonlocal deletions
            deletions += 1
            if deletions == after:
                raise Killed
            then(site)

        return delete_site

    real = centre.store.delete_site
    for after in (1, 2):
        deletions = 0
        monkeypatch.setattr(centre.store, "delete_site", dies(after, real), raising=False)
        with pytest.raises(Killed):
            leave.delete_farm(centre.registry, centre.store, CONSOLE, departure, centre.clock())
    monkeypatch.undo()
    # After the second the rows are gone already: the receipt stands, and asking again says so.
    with centre.registry.read() as session:
        assert leaving.unfinished(session, CONSOLE) == []
        done = leaving.receipt(session, CONSOLE, departure)
        assert done is not None
        assert done.counts["site"] == 1
    assert rows_left(centre, SECRETS) == {}
    assert centre.store.series(SITE) == []


def test_a_killed_deletion_goes_on_when_the_api_starts(centre: Centre) -> None:
    with centre.registry.write() as session:
        leaving.begin(session, CONSOLE, SITE, centre.clock())
    centre.clock.ms += leaving.SETTLE_MS
    with centre.registry.write() as session:
        leaving.begin_deleting(session, CONSOLE, SITE, centre.clock(), None)
    with centre.serving():
        wait_until(lambda: counted(centre)["site"] == 1, 10, lambda: str(counted(centre)))
    assert rows_left(centre, SECRETS) == {}


def read_the_rest(centre: Centre, parts: Iterator[bytes]) -> None:
    """Takes what is left once the service has let go of the file."""
    assert centre.running
    slots = centre.running.state.slots
    wait_until(lambda: len(slots) == 0, 10, "the service ends the file")
    for _ in parts:
        pass


def test_an_owner_who_is_one_no_more_gets_half_an_archive_and_an_error(centre: Centre) -> None:
    readings = [
        Reading(Series(SITE, "tank-1", "milk_temperature"), centre.clock() - n * 1000, n / 100) for n in range(60_000)
    ]
    centre.store.write(readings)
    with centre.signed_in() as browser:
        with browser.stream("GET", f"/api/v1/sites/{SITE}/archive") as answer:
            parts = answer.iter_raw(16_384)
            next(parts)
            with centre.registry.write() as session:
                hanako = people.person_by_login(session, Service("api"), "hanako")
                assert hanako is not None
                people.grant_role(session, CONSOLE, hanako.id, SITE, "worker", centre.clock())
            with pytest.raises(httpx.TransportError):
                read_the_rest(centre, parts)


def test_whoever_signs_out_gets_no_more_of_an_archive(centre: Centre) -> None:
    readings = [
        Reading(Series(SITE, "tank-1", "milk_temperature"), centre.clock() - n * 1000, n / 100) for n in range(60_000)
    ]
    centre.store.write(readings)
    with centre.signed_in() as browser:
        with browser.stream("GET", f"/api/v1/sites/{SITE}/archive") as answer:
            parts = answer.iter_raw(16_384)
            next(parts)
            elsewhere = httpx.Client(base_url=browser.base_url, cookies=browser.cookies)
            assert elsewhere.delete("/api/v1/session", headers=WRITE).status_code == 204
            with pytest.raises(httpx.TransportError):
                read_the_rest(centre, parts)
            elsewhere.close()


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "makiba", "site", *arguments], cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"MAKIBA_HOME": str(folder)}, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_the_command_line_takes_a_farm_away_and_prints_a_receipt(tmp_path: Path) -> None:
    centre = Centre(tmp_path)
    centre.person("hanako", shikaoi_001="owner")
    centre.write(f"{SITE}/tank-1/milk_temperature", 3.5)
    with centre.registry.write() as session:
        leaving.begin(session, CONSOLE, SITE, centre.clock() - leaving.SETTLE_MS)
    file = tmp_path / "farm.zip"
    asked = run(tmp_path, "leave", SITE, "--archive", str(file))
    assert (asked.returncode, "--yes" in asked.stderr) == (2, True)
    done = run(tmp_path, "leave", SITE, "--archive", str(file), "--yes")
    assert done.returncode == 0, done.stderr
    digest, receipt = done.stdout.splitlines()
    assert digest.split()[0] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert oct(os.stat(file).st_mode & 0o777) == "0o600"
    told = json.loads(receipt)
    assert told["deleted"]["site"] == 1
    assert "card" in done.stderr
    with centre.registry.read() as session:
        assert sites.get_site(session, CONSOLE, SITE) is None
    again = run(tmp_path, "leave", SITE, "--without-archive", "--yes")
    assert (again.returncode, "site list" in again.stderr) == (2, True)
    both = run(tmp_path, "leave", OTHER, "--yes")
    assert (both.returncode, "one of the two" in both.stderr) == (2, True)
