"""The documents say what is true: files, settings and commands that they name exist."""

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from makiba.cli import SUMMARIES
from makiba.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    p for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/DESIGN.md")] if p.name != "CHANGELOG.md"
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_a_document_names_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    linked = {m for m in re.findall(r"\]\(([^)#:]+)\)", text) if not (document.parent / m).exists()}
    rooms = "makiba|gateway|collectors|analytics|api|firmware_configs|deploy|demo|tests|docs"
    named = {
        m
        for m in re.findall(rf"`((?:{rooms})/[\w./-]+)`", text)
        if not (ROOT / m).exists()
        # topics of the broker look like paths of the room `makiba`
        and not re.match(r"makiba/(gw|\+|<)|makiba/[\w+]+/(readings|ack|status|config)", m)
    }
    assert not linked | named


def test_every_setting_is_documented_with_its_default_and_no_other() -> None:
    text = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(MAKIBA_\w+)`", text, re.MULTILINE))
    assert documented == {PREFIX + name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        assert f"| {field.description} |" in text, name


def test_the_list_of_commands_is_that_of_the_entry_points() -> None:
    assert set(SUMMARIES) == {point.name for point in entry_points(group="makiba.commands")}


@pytest.mark.parametrize("command", [[], *([name] for name in SUMMARIES)], ids=lambda c: " ".join(["makiba", *c]))
def test_every_command_explains_itself(command: list[str]) -> None:
    program = "import sys; from makiba.cli import main; sys.argv[0] = 'makiba'; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *command, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: makiba" in done.stdout


@pytest.mark.parametrize("readme", ["README.md", "README.ja.md"])
def test_the_readme_names_only_commands_that_there_are(readme: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    for line in re.findall(r"`(?:\./)?((?:makiba|run) [^`]+)`", text):
        program, *words = line.split()
        if program == "makiba":
            assert words[0] in SUMMARIES, line
        else:
            assert words[0] in ("demo", "test", "bench"), line
