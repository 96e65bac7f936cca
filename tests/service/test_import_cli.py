"""`makiba import animals|events|fields|readings` as a farm's person uses it, with files as they come from Excel."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from collectors.registry import Registry, open_registry
from collectors.registry.schema.herd import Animal, CropSeason, Field, HerdEvent
from collectors.registry.schema.imports import ImportFile, ImportRow
from makiba.settings import configs_dir
from tests.parts import makiba, wait_until
from tests.service.collecting import SITE, registry_with
from tests.service.ways_parts import run, stored

EXAMPLES = configs_dir() / "imports"
HERD = (
    "牛群台帳　令和8年\r\n"
    '"個体識別番号","牛 番号","名号","生年月日","性別","品種","備考"\r\n'
    '"０１２３４５６７８９","12","はな","R3.4.1","メス","ホルスタイン","角が\r\nまがっている"\r\n'
    '123456790,13,ゆき,44287,♀,ホル,=HYPERLINK("x")\r\n'
    "1.23457E+09,14,つき,4/1/2021,雌,,\r\n"
    "1234567891,12,ほし,2021/4/1,雌,,\r\n"
    "\r\n"
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    registry_with(tmp_path).close()
    return tmp_path


@contextlib.contextmanager
def opened(home: Path) -> Iterator[Registry]:
    with contextlib.closing(open_registry(f"sqlite:{home / 'registry.db'}")) as registry:
        yield registry


def herd(home: Path) -> list[tuple[str | None, str | None, str, str]]:
    with opened(home) as registry, registry.read() as session:
        rows = session.scalars(select(Animal).order_by(Animal.number))
        return [(row.national_id, row.number, row.name, str(row.born_on)) for row in rows]


def newest(home: Path) -> ImportFile:
    with opened(home) as registry, registry.read() as session:
        row = session.scalars(select(ImportFile).order_by(ImportFile.planned_ms.desc())).first()
        assert row
        return row


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_a_list_of_the_herd_from_excel_needs_no_mapping(home: Path, encoding: str) -> None:
    file = home / "台帳.csv"
    file.write_bytes(HERD.encode(encoding))
    looked = run(home, "import", "animals", str(file), "--site", SITE, "--preview")
    assert (looked.exit_code, herd(home)) == (3, [])
    assert "create   0123456789" in looked.stdout
    told = looked.stderr.splitlines()
    assert [line.removeprefix(f"{file}:").split(": ")[0] for line in told[1:]] == [
        "5:1",
        "5:17",
        "6:1",
        "6:19",
        "7:12",
    ]
    assert "0123456790: a spreadsheet has taken zeros away" in told[1]
    assert "12 stands on line 3 already" in told[5]

    done = run(home, "import", "animals", str(file), "--site", SITE, "--yes")
    assert done.exit_code == 3
    assert "2 created, 2 refused; to take it back: makiba import undo" in done.stdout
    assert herd(home) == [("0123456789", "12", "はな", "2021-04-01"), ("0123456790", "13", "ゆき", "2021-04-01")]
    again = run(home, "import", "animals", str(file), "--site", SITE, "--yes")
    assert "2 unchanged, 2 refused; nothing to do" in again.stdout
    listed = run(home, "import", "list", SITE).stdout
    assert ("台帳.csv" in listed, listed.count("applied")) == (True, 1)

    assert run(home, "import", "undo", SITE, newest(home).id).exit_code == 2, "nobody to ask"
    back = run(home, "import", "undo", SITE, newest(home).id, "--yes")
    assert (back.exit_code, herd(home)) == (0, []), back.stderr
    twice = run(home, "import", "undo", SITE, newest(home).id, "--yes")
    assert (twice.exit_code, "taken back already" in twice.stderr) == (2, True)


def test_keys_that_do_not_fit_together_are_refused_and_never_guessed(home: Path) -> None:
    file = home / "a.csv"
    file.write_text(
        "個体識別番号,牛番号,電子耳標\n0000000001,1,392000000000001\n0000000002,2,392000000000002\n", encoding="utf-8"
    )
    assert run(home, "import", "animals", str(file), "--site", SITE, "--yes").exit_code == 0
    file.write_text(
        "個体識別番号,牛番号,電子耳標,名号\n"
        "0000000001,,392000000000002,x\n"  # two animals
        "0000000003,2,,x\n"  # a new cow with the number of one that is there
        ",1,392000000000009,x\n"  # a new tag by the farm's number only
        ",,,x\n"
        "0000000002,7,,x\n"
        "0000000002,8,,y\n",
        encoding="utf-8",
    )
    looked = run(home, "import", "animals", str(file), "--site", SITE, "--preview")
    told = [line.removeprefix(f"{file}:") for line in looked.stderr.splitlines()[1:]]
    assert told == [
        "2:13: these are two animals on file: 0000000001 and 0000000002",
        "3:1: number 2 is on file with 0000000002, which is not 0000000003",
        "4:4: number 1 is on file with 392000000000001, which is not 392000000000009",
        "5:1: says nowhere which one it is; one of national id, electronic ear tag, farm number is needed",
        "7:1: 0000000002 stands on line 6 already",
    ]
    assert "update   0000000002  number: 2 → 7, name:  → x" in looked.stdout


def test_events_and_fields_of_the_examples(home: Path) -> None:
    file = home / "herd.csv"
    file.write_text("個体識別番号,牛番号\n0123456789,12\n", encoding="utf-8")
    assert run(home, "import", "animals", str(file), "--site", SITE, "--yes").exit_code == 0

    events = home / "繁殖.csv"
    events.write_bytes(
        "年月日,牛No,内容,精液,獣医等\r\nR7.7.20,12,AI,ヒーロー,田中\r\nR7.9.1,12,妊鑑＋,,鈴木\r\n".encode("cp932")
    )
    mapping = EXAMPLES / "breeding-events.yaml"
    done = run(home, "import", "events", str(events), "--map", str(mapping), "--site", SITE, "--yes")
    assert (done.exit_code, "2 created" in done.stdout) == (0, True), done.stderr
    with opened(home) as registry, registry.read() as session:
        told = [row.detail for row in session.scalars(select(HerdEvent).order_by(HerdEvent.at_ms))]
    assert [(one["kind"], one.get("bull"), one.get("result")) for one in told] == [
        ("insemination", "ヒーロー", "unknown"), ("pregnancy-check", None, "pregnant"),
    ]  # fmt: skip

    fields = home / "ほ場.csv"
    square = '{""type"":""Polygon"",""coordinates"":[[[143,43],[143.001,43],[143.001,43.001],[143,43.001],[143,43]]]}'
    fields.write_text(f'ほ場番号,ほ場名,作物,播種日,形\n1,裏の畑,小麦,2025/9/20,"{square}"\n', encoding="utf-8")
    for expected in ("1 created, 1 seasons beside", "1 unchanged; nothing to do"):
        done = run(home, "import", "fields", str(fields), "--site", SITE, "--yes")
        assert (done.exit_code, expected in done.stdout.replace("0 created, ", "")) == (0, True), done.output
    with opened(home) as registry, registry.read() as session:
        [row] = session.scalars(select(Field))
        assert (row.name_ja, round(row.area_m2 or 0)) == ("裏の畑", 9059)
    assert run(home, "import", "undo", SITE, newest(home).id, "--yes").exit_code == 0
    with opened(home) as registry, registry.read() as session:
        assert session.scalar(select(func.count()).select_from(CropSeason)) == 0


def test_every_example_is_a_mapping_and_every_kind_has_a_schema(home: Path) -> None:
    for kind in ("animals", "events", "fields", "readings"):
        result = run(home, "import", "schema", kind)
        assert (result.exit_code, '"properties"' in result.stdout) == (0, True)
    wrong = home / "wrong.yaml"
    wrong.write_text("kind: animals\ncolumns: [{column: x, field: namee}, {column: y}]\n", encoding="utf-8")
    file = home / "a.csv"
    file.write_text("x\n1\n", encoding="utf-8")
    with makiba("import", "animals", str(file), "--map", str(wrong), "--site", SITE, log=home / "log",
                env={"MAKIBA_HOME": str(home)}) as process:  # fmt: skip
        assert process.wait(30) == 2
    assert f"{wrong}:2:38: columns[1]: either 'field' or 'event'" in process.log()


def test_readings_need_no_mapping_where_their_heads_are_known(home: Path) -> None:
    file = home / "検定.csv"
    file.write_bytes(
        "検定成績\r\n検定日,個体識別番号,乳量,乳脂率,体細胞数\r\nR8.5.31,123456789,31.4,3.92,85\r\n".encode("cp932")
    )
    looked = run(home, "import", "readings", str(file), "--site", SITE, "--preview")
    assert looked.exit_code == 0, looked.output
    assert "readings cannot be taken back" in looked.stderr
    assert f"{file}:3:9: 123456789 is read as 0123456789" in looked.stderr
    assert run(home, "import", str(file), "--site", SITE).exit_code == 0, "readings, without saying so"
    noon = 1_780_196_400_000
    assert stored(home) == {
        ("0123456789", "milk_yield", noon): 31.4,
        ("0123456789", "milk_fat", noon): 0.0392,
        ("0123456789", "somatic_cells", noon): 85_000,
    }


def test_killed_in_the_middle_it_can_be_taken_back_and_run_again(home: Path) -> None:
    rows = 3_000
    file = home / "many.csv"
    with file.open("w", encoding="utf-8") as out:
        out.write("個体識別番号,名号\n")
        out.writelines(f"{1_000_000_000 + i},牛{i}\n" for i in range(rows))
    arguments = ("import", "animals", str(file), "--site", SITE, "--yes")

    def done() -> int:
        with opened(home) as registry, registry.read() as session:
            return session.scalar(select(func.count()).select_from(Animal)) or 0

    with makiba(*arguments, log=home / "import.log", env={"MAKIBA_HOME": str(home)}) as process:
        wait_until(done, 40, process.log)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    part = done()
    assert 0 < part < rows
    with opened(home) as registry, registry.read() as session:
        row = session.scalars(select(ImportFile)).one()
        states = select(ImportRow.state, func.count()).group_by(ImportRow.state)
        known = dict(session.execute(states).tuples().all())
    # What is done and what is known to be done is the same, at any moment.
    assert (row.state, row.done, known) == ("applying", part, {"done": part, "waiting": rows - part})
    with opened(home) as registry, registry.write() as session:
        again = session.get(ImportFile, row.id)
        assert again
        again.applied_ms = int(time.time() * 1000) - 31_000  # half a minute later
    back = run(home, "import", "undo", SITE, row.id, "--yes")
    assert (back.exit_code, done()) == (0, 0), back.output
