"""ICAR ADE documents into a real store and registry, by the command and by its parts.

The documents are our own, in the shapes that the standard's schemas fix: a collection with `view` and `member`, as
its examples exampleInseminationEventResources_Finland, examplePregnancyCheckEventResources_Finland and
exampleDryOffEventResources_Finland and _Sweden have it, with times without a zone and seven digits of a second.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from collectors.ingest import Ingest
from collectors.registry import Registry, animals, dead_letters, herd_events, open_registry, sources
from collectors.registry.sites import SiteSpec, apply_site
from collectors.registry.viewer import Service
from collectors.store import Store, open_store
from collectors.ways.icar import How, NotIcar, Refusal, read, resources_in
from collectors.ways.icar_import import IcarImport, Tally
from collectors.ways.port import IngestDoor
from makiba.cow import DAY_MS
from makiba.reading import Series
from tests.service.ways_parts import run

CONSOLE = Service("console")
SITE = "shikaoi-001"
COW, TAG = "1409876543", "392000140987654"
TOKYO = How(ZoneInfo("Asia/Tokyo"))
META = {"source": "jp.example.parlour", "modified": "2026-03-02T06:00:01.0421042+00:00", "created": None}


def resource(n: int, **members: Any) -> dict[str, Any]:
    """A resource of the cow, as a milking system writes it."""
    return {
        "id": f"e-{n}",
        "animal": {"id": COW, "scheme": "jp.example.cow"},
        "eventDateTime": "2026-03-02T05:40:00+09:00",
        "location": {"id": "1234", "scheme": "jp.example.farm"},
        "meta": META,
        **members,
    }


def visit(n: int = 1, **members: Any) -> dict[str, Any]:
    return resource(
        n,
        **{
            "resourceType": "icarMilkingVisitEventResource",
            "milkingStartingDateTime": "2026-03-01T20:31:05.250Z",
            "milkingDuration": {"unitCode": "MIN", "value": 6.5},
            "milkingMilkWeight": {"unitCode": "KGM", "value": 14.25},
            "milkingComplete": True,
            "quarterMilkings": None,
            "milkCharacteristics": [
                {"characteristic": "SCC", "value": "182", "measuringDevice": None},
                {"characteristic": "AVGCOND", "value": "5.4", "unit": "mS/cm"},
                {"characteristic": "FAT", "value": "3.91", "unit": "VP"},
                {"characteristic": "UREA", "value": "240"},
                {"characteristic": "BLOOD", "value": "false"},
            ],
            **members,
        },
    )


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)


class Farm:
    def __init__(self, folder: Path) -> None:
        self.registry: Registry = open_registry(f"sqlite:{folder}/registry.db", migrate=True)
        self.store: Store = open_store(f"sqlite:{folder}/store.db")
        with self.registry.write() as session:
            apply_site(session, CONSOLE, SiteSpec(SITE, "牧場", "farm"), 1)
            self.source = sources.ensure_own(session, CONSOLE, "import", SITE, 1).id
            self.cow = animals.add(session, CONSOLE, SITE, {"national_id": COW, "tag": TAG, "number": "305"}, 1).id
        self.refused: list[Refusal] = []

    def take(self, *resources: Any, how: How = TOKYO, create: bool = False, preview: bool = False) -> Tally:
        """Imports a collection of these resources."""
        payload = json.dumps({"view": {"totalItems": len(resources)}, "member": resources}).encode()
        door = None if preview else IngestDoor(Ingest(self.registry, self.store))
        self.refused = []
        work = IcarImport(payload, how, SITE, self.source, self.registry, door, self.refused.append, CONSOLE, create)
        work.run(threading.Event())
        return work.tally

    def latest(self, subject: str = COW) -> dict[str, tuple[int, float | str]]:
        found = self.store.latest(SITE)
        return {s.quantity: (p.time_ms, p.value) for s, p in found.items() if s.subject == subject}

    def events(self, *, deleted: bool = False) -> list[Any]:
        with self.registry.read() as session:
            return list(herd_events.list_events(session, CONSOLE, SITE, limit=100, deleted=deleted))

    def letters(self) -> list[Any]:
        with self.registry.read() as session:
            return list(dead_letters.list_letters(session, CONSOLE, gateway=self.source, limit=100))


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    made = Farm(tmp_path)
    yield made
    made.registry.close()
    made.store.close()


# --------------------------------------------------------------------------------------------------- measured


def test_a_milking_becomes_readings_in_the_catalogues_units(farm: Farm) -> None:
    tally = farm.take(visit())
    at = ms("2026-03-01T20:31:05.250Z")
    assert farm.latest() == {
        "milk_yield": (at, 14.25),
        "milking_duration": (at, 390.0),
        "somatic_cells": (at, 182_000.0),
        "milk_conductivity": (at, pytest.approx(0.54)),
        "milk_fat": (at, pytest.approx(0.0391)),
        "milk_urea_nitrogen": (at, pytest.approx(0.1119, abs=1e-4)),  # 240 mg/L of urea, 11.2 mg/dL of its nitrogen
    }
    assert (tally.readings, tally.refused) == (6, 0)
    assert farm.take(visit()).readings == 6
    assert len(farm.store.range(Series(SITE, COW, "milk_yield"), 0, at + 1)) == 1


def test_weights_come_in_any_unit_of_the_standard(farm: Farm) -> None:
    def weighed(n: int, day: int, **weight: Any) -> Any:
        when = f"2026-03-{day:02}T06:00:00+09:00"
        return resource(n, resourceType="icarWeightEventResource", eventDateTime=when, weight=weight)

    tally = farm.take(
        weighed(1, 1, measurement=612.5),
        weighed(2, 2, measurement=613_000, units="GRM"),
        weighed(3, 3, measurement=1_351.0, units="LBR", method="LoadCell"),
        weighed(4, 4, measurement=600, units="STN"),
        weighed(5, 5, measurement=60_000),
    )
    points = farm.store.range(Series(SITE, COW, "body_weight"), 0, ms("2027-01-01T00:00:00Z"))
    assert [round(float(p.value), 1) for p in points] == [612.5, 613.0, 612.8]
    assert (tally.readings, [r.index for r in farm.refused]) == (3, [3, 4])
    assert "STN" in farm.refused[0].reason
    assert "cannot be a body_weight" in farm.refused[1].reason


def test_readings_go_by_what_the_animal_was_called_then(farm: Farm) -> None:
    with farm.registry.write() as session:
        other = animals.add(session, CONSOLE, SITE, {"tag": "982000001088420"}, 1)
        changed = {"tag": "982000001088421"}
        animals.change(session, CONSOLE, other, changed, 2, tag_from_ms=ms("2026-03-01T00:00:00Z"))
        animals.add(session, CONSOLE, SITE, {"number": "9"}, 1)
    before = visit(
        1, milkingStartingDateTime="2026-02-27T20:00:00Z", animal={"id": "982 000001088420", "scheme": "x"}
    )
    after = visit(2, animal={"id": "982000001088421", "scheme": "x"})
    late = visit(3, animal={"id": "982000001088420", "scheme": "x"})
    nameless = visit(4, animal={"id": "9", "scheme": "farm"})
    how = How(TOKYO.zone, {"farm": "number"})
    tally = farm.take(before, after, late, nameless, visit(5, animal={"id": TAG, "scheme": "x"}), how=how)
    assert farm.latest("982000001088420")["milk_yield"][0] == ms("2026-02-27T20:00:00Z")
    assert farm.latest("982000001088421")["milk_yield"][0] == ms("2026-03-01T20:31:05.250Z")
    assert farm.latest()["milk_yield"]  # by her tag, under her ten digits
    assert [r.index for r in farm.refused] == [2, 3]
    assert tally.unknown == {"tag:982000001088420"}
    assert "ten digits" in farm.refused[1].reason


# --------------------------------------------------------------------------------------------------- happened

STORY = [
    resource(
        1, resourceType="icarReproParturitionEventResource", eventDateTime="2025-01-10T03:20:00+09:00",
        calvingEase="DifficultVeterinaryCare", liveProgeny=1, totalProgeny=2,
        progenyDetails=[
            {
                "specie": "Cattle", "gender": "Female", "birthStatus": "Alive",
                "identifier": {"id": "1412345670", "scheme": "jp.example.cow"},
                "birthWeight": {"measurement": 41.5, "units": "KGM"},
            },
            {"specie": "Cattle", "gender": "Male", "birthStatus": "Stillborn"},
        ],
    ),
    resource(
        2, resourceType="icarReproHeatEventResource", eventDateTime="2025-03-01T12:00:00Z",
        commencementDateTime="2025-03-01T05:00:00Z",
        visualDetection={"heatIntensity": "VeryStrong", "heatSigns": ["StandingHeat", "Mounting"]},
    ),
    # Without a type, a zone, or anything that is not needed: as the standard's own examples are.
    resource(
        3, eventDateTime="2025-03-02T00:00:00", inseminationType="Insemination", responsible="授精師 田中",
        sireIdentifiers=[{"id": "JP5H54321", "scheme": "jp.example.bull"}], sireURI=None, farmContainer=6202,
        straw={"batch": "B-77", "id": None}, embryo=None,
    ),
    resource(4, eventDateTime="2025-04-05T00:00:00", method="Ecography", result="Pregnant", foetalAge=None),
    resource(5, eventType="icarMilkingDryOffEventResource", eventDateTime="2025-10-10T09:00:00+09:00"),
    resource(6, resourceType="icarReproAbortionEventResource", eventDateTime="2025-10-20T09:00:00+09:00"),
]  # fmt: skip


def test_reproduction_becomes_events_of_the_herd(farm: Farm) -> None:
    tally = farm.take(*STORY)
    assert (tally.entered, tally.refused) == (6, 0)
    found = {e.kind: e for e in farm.events()}
    assert {e.animal_id for e in found.values()} == {farm.cow}
    assert found["calving"].detail == {
        "kind": "calving", "ease": "veterinary",
        "calves": [
            {"animal": "1412345670", "sex": "female", "alive": True, "weight_kg": 41.5},
            {"animal": "", "sex": "male", "alive": False, "weight_kg": None},
        ],
    }  # fmt: skip
    heat = found["heat"]
    assert (heat.at_ms, heat.detail["strength"]) == (ms("2025-03-01T05:00:00Z"), "strong")
    served = found["insemination"]
    assert served.at_ms == ms("2025-03-02T00:00:00+09:00")  # without a zone it is the farm's
    assert served.detail == {
        "kind": "insemination", "bull": "JP5H54321", "method": "artificial", "straw": "B-77",
        "technician": "授精師 田中", "result": "unknown",
    }  # fmt: skip
    assert found["pregnancy-check"].detail["method"] == "ultrasound"
    with farm.registry.read() as session:
        row = animals.find(session, CONSOLE, SITE, farm.cow)
        assert row
        then = ms("2025-10-15T00:00:00Z")
        state = herd_events.states_of(session, CONSOLE, SITE, [row], then)[farm.cow]
    assert state.expected_calving_ms == served.at_ms + 280 * DAY_MS
    assert state.dry_since_ms == ms("2025-10-10T09:00:00+09:00")


def test_the_same_document_again_changes_nothing_and_a_corrected_one_corrects(farm: Farm) -> None:
    farm.take(*STORY)
    before = [(e.id, e.version) for e in farm.events()]
    again = farm.take(*STORY)
    assert (again.entered, again.corrected, again.unchanged) == (0, 0, 6)
    assert [(e.id, e.version) for e in farm.events()] == before
    moved = STORY[4] | {"eventDateTime": "2025-10-11T09:00:00+09:00"}
    assert farm.take(moved).corrected == 1
    [dry] = [e for e in farm.events() if e.kind == "dry-off"]
    assert (dry.version, dry.at_ms) == (2, ms("2025-10-11T09:00:00+09:00"))
    # The source takes it back; and what somebody deleted by hand does not come back.
    assert farm.take(moved | {"meta": META | {"isDeleted": True}}).deleted == 1
    assert farm.take(moved).unchanged == 1
    assert [e.deleted_why for e in farm.events(deleted=True) if e.deleted_ms] == ["meta.isDeleted"]
    # The id is the source's own: another kind or source of the same id is another event.
    other = STORY[4] | {"meta": META | {"source": "jp.example.other"}}
    assert farm.take(other).entered == 1
    # ... and of another animal it is a mistake.
    with farm.registry.write() as session:
        animals.add(session, CONSOLE, SITE, {"national_id": "1409876544"}, 1)
    wrong = STORY[0] | {"animal": {"id": "1409876544", "scheme": "jp.example.cow"}}
    assert farm.take(wrong).refused == 1
    assert "another animal's" in farm.refused[0].reason


def test_calves_that_are_only_counted(farm: Farm) -> None:
    farm.take(resource(1, liveProgeny=1, totalProgeny=2), resource(2, calvingEase="EasyUnassisted", progeny=None))
    calves = [[c["alive"] for c in e.detail["calves"]] for e in farm.events()]
    assert sorted(calves) == [[], [True, False]]


# --------------------------------------------------------------------------------------------------- refused


def test_what_is_refused_is_told_with_its_reason_and_kept(farm: Farm) -> None:
    document = [
        visit(1, animal={"id": "1400000000", "scheme": "jp.example.cow"}),
        visit(2, animal={"id": "FI000010065148-2", "scheme": "fi.animal-id"}),
        visit(3, milkingMilkWeight={"unitCode": "KGM", "value": 4118}, milkCharacteristics=None),
        visit(4, milkingStartingDateTime="yesterday"),
        visit(5, milkingMilkWeight=None),
        resource(6, resourceType="icarFeedIntakeEventResource"),
        resource(7),
        resource(8, inseminationType="Magic"),
        resource(9, resourceType="icarMilkingDryOffEventResource", eventDateTime="2999-01-01T00:00:00Z"),
        visit(10, meta=META | {"isDeleted": True}),
        "no object",
        visit(12),
    ]
    tally = farm.take(*document)
    reasons = {r.index + 1: r.reason for r in farm.refused}
    told = {
        1: "no animal national-id:1400000000", 2: "--scheme fi.animal-id=", 3: "cannot be a milk_yield",
        4: "ISO 8601", 5: "milkingMilkWeight", 6: "not read by Makiba", 7: "give --type", 8: "inseminationType",
        9: "not happened yet", 10: "isDeleted", 11: "no object",
    }  # fmt: skip
    assert reasons.keys() == told.keys()
    for n, part in told.items():
        assert part in reasons[n], n
    assert (tally.refused, tally.readings) == (11, 7)  # of the third its duration is right
    letters = farm.letters()
    assert sorted(letter.record_index + 1 for letter in letters) == list(range(1, 12))
    assert {letter.reason for letter in letters} == set(reasons.values())
    farm.take(*document)
    assert len(farm.letters()) == 11


def test_unknown_animals_are_added_when_told_so(farm: Farm) -> None:
    how = How(TOKYO.zone, {"fi.animal-id": "number"}, "dry-off")
    story = [
        visit(1, animal={"id": "JPN001400000000", "scheme": "jp.example.cow"}),
        resource(2, animal={"id": "FI000010065148-2", "scheme": "fi.animal-id"}),
    ]
    preview = farm.take(*story, how=how, create=True, preview=True)
    assert preview.unknown == {"national-id:1400000000", "number:FI000010065148-2"}
    assert farm.letters() == []
    tally = farm.take(*story, how=how, create=True)
    assert (tally.created, tally.refused) == (["national-id:1400000000", "number:FI000010065148-2"], 0)
    assert farm.latest("1400000000")["milk_yield"][1] == 14.25
    assert farm.take(*story, how=how, create=True).created == []


def test_other_locations_are_left_out_and_what_is_no_document_says_so(farm: Farm) -> None:
    own, foreign = visit(1), visit(2, location={"id": "9999", "scheme": "jp.example.farm"})
    assert farm.take(own, foreign, how=How(TOKYO.zone, location="1234")).refused == 1
    assert [r.index for r in farm.refused] == [1]
    wrongs: list[Any] = [{}, {"member": {}}, 5, "x", None]
    for wrong in wrongs:
        with pytest.raises(NotIcar):
            resources_in(wrong)
    assert len(resources_in([own, foreign])) == 2
    [measured] = read(resources_in(own), TOKYO)
    assert not isinstance(measured, Refusal)


# --------------------------------------------------------------------------------------------------- the command


def test_the_command_reads_files_and_says_what_became_of_them(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    made = Farm(home)
    made.registry.close()
    made.store.close()
    good, bad, none, two = (tmp_path / f"{name}.json" for name in ("good", "bad", "none", "two"))
    good.write_text(json.dumps({"member": [visit(1), *STORY]}), encoding="utf-8")
    bad.write_text(json.dumps(resource(7)), encoding="utf-8")
    none.write_text("[NaN", encoding="utf-8")
    two.write_text(json.dumps([visit(1), visit(2, location={"id": "9"})]), encoding="utf-8")

    def take(*arguments: object) -> Any:
        return run(home, "import", "icar", *(str(one) for one in arguments), "--site", SITE)

    preview = take(good, "--preview")
    assert (preview.exit_code, "6 readings would be stored, 6 events would be entered" in preview.stdout) == (
        0,
        True,
    )
    done = take(good)
    assert (done.exit_code, "6 readings stored, 6 events entered" in done.stdout) == (0, True), done.stderr
    assert "0 events entered, 6 there already" in take(good).stdout
    refused = take(bad)
    assert (refused.exit_code, "resource 1: neither resourceType" in refused.stderr) == (3, True)
    assert take(bad, "--type", "dry-off").exit_code == 0
    for arguments, why in (
        ((none,), "is no JSON"), ((two,), "2 locations"), ((bad, "--type", "birthday"), "one of"),
        ((good, "--scheme", "x=colour"), "SCHEME=KEY"),
    ):  # fmt: skip
        answer = take(*arguments)
        assert (answer.exit_code, why in answer.stderr) == (2, True), answer.stderr
    assert take(two, "--location", "1234").exit_code == 3
