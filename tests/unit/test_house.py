"""The house's own rules: who may import whom, clean lint and types, and documents that are true."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MAY_IMPORT = {
    "makiba": {"makiba"},
    "gateway": {"gateway", "makiba"},
    "collectors": {"collectors", "makiba"},
    "analytics": {"analytics", "makiba", "collectors.store", "collectors.registry"},
    # A command on top of its room: it reads the files that `collectors` reads, and nothing imports it.
    "analytics/backtest": {"analytics", "makiba", "collectors"},
    "api": {
        "api",
        "makiba",
        "collectors.store",
        "collectors.registry",
        "collectors.out",
        "collectors.imports",
        "analytics",
    },
    "deploy": {"deploy", "makiba"},
    # The simulated farm stands on top: it starts everything, and nothing imports it.
    "demo": {"demo", "deploy", "api", "analytics", "collectors", "gateway", "makiba"},
}
GATEWAY_LIBRARIES = {"makiba", "gateway", "pydantic", "yaml", "typer", "paho", "serial", "cbor2"}


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imports(file: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are written out in full"
            yield node.lineno, node.module or ""


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_one_way(room: str) -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{line}: {room} may not import {name}"
        for file in sources(room)
        if not any(file.is_relative_to(ROOT / inner) for inner in MAY_IMPORT if inner.startswith(f"{room}/"))
        for line, name in imports(file)
        if name.split(".")[0] in MAY_IMPORT
        and not any(name == allowed or name.startswith(allowed + ".") for allowed in MAY_IMPORT[room])
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_imports_a_room_that_stands_on_top() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{line}: {name}"
        for room, top in (("analytics", "analytics/backtest"), ("api", "analytics/backtest"))
        for file in sources(room)
        if not file.is_relative_to(ROOT / top)
        for line, name in imports(file)
        if f"{name}.".startswith(f"{top.replace('/', '.')}.")
    ]
    assert not wrong, "\n".join(wrong)


def test_the_gateway_needs_only_its_own_few_libraries() -> None:
    foreign = {
        f"{file.relative_to(ROOT)}:{line}: {name}"
        for file in sources("gateway")
        for line, name in imports(file)
        if name.split(".")[0] not in GATEWAY_LIBRARIES | sys.stdlib_module_names
    }
    assert not foreign, "\n".join(sorted(foreign))


def test_the_vocabulary_opens_no_database_and_no_server() -> None:
    foreign = {
        f"{file.name}:{line}: {name}"
        for file in sources("makiba")
        for line, name in imports(file)
        if name.split(".")[0] in {"sqlite3", "sqlalchemy", "socket", "asyncio", "fastapi", "numpy", "influxdb_client"}
        # the names of TCP's options, for a socket that a client opens later
        and (file.name, name) != ("mqtt.py", "socket")
    }
    assert not foreign, "\n".join(sorted(foreign))


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "--quiet", "."],
        ["ruff", "format", "--check", "--quiet", "."],
        ["mypy", "--no-error-summary"],
    ],
    ids=["ruff check", "ruff format", "mypy"],
)
@pytest.mark.timeout(300)
def test_code_is_clean(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_one_server_of_figures_and_it_is_loaded_only_where_a_port_is_set() -> None:
    callers = [
        str(file.relative_to(ROOT))
        for room in MAY_IMPORT
        for file in sources(room)
        if "start_http_server(" in file.read_text(encoding="utf-8")
    ]
    assert callers == ["makiba/figures.py"]
    program = "import sys; from makiba.figures import served; served(None, 0).__enter__(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "makiba.figures" in done.stdout.split()
    assert "prometheus_client" not in done.stdout.split()
