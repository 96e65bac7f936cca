"""Where a demo keeps its things, and on which ports it speaks."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from demo import home
from demo.home import DemoRuns, Home


def test_the_folder_is_the_settings_or_the_checkouts_own(tmp_path: Path) -> None:
    assert home.default_home({"MAKIBA_HOME": str(tmp_path)}).path == tmp_path
    checkout = Path(home.__file__).resolve().parent.parent
    assert home.default_home({}).path == checkout / ".makiba" / "demo"


def test_a_second_demo_learns_where_the_first_one_is(tmp_path: Path) -> None:
    place = Home(tmp_path / "demo")
    assert place.running() is None
    with place.taken():
        assert place.running() == {}
        place.say_running({"address": "http://127.0.0.1:8800/#join=x"})
        assert place.running() == {"address": "http://127.0.0.1:8800/#join=x"}
        with pytest.raises(DemoRuns, match="already runs") as caught, Home(tmp_path / "demo").taken():
            pass
        assert caught.value.address == "http://127.0.0.1:8800/#join=x"
    assert place.running() is None
    with place.taken():
        pass


def test_the_file_with_the_code_is_for_its_owner_alone(tmp_path: Path) -> None:
    place = Home(tmp_path / "demo")
    with place.taken():
        place.say_running({"address": "x"})
        assert stat.S_IMODE(place.running_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.path.stat().st_mode) == 0o700


def test_a_port_is_the_one_asked_for_else_the_usual_one_else_a_free_one() -> None:
    usual = home.free_port()
    assert home.port_for(1234, usual) == 1234
    assert home.port_for(None, usual) == usual
    with socket.socket() as other:
        other.bind(("127.0.0.1", usual))
        other.listen()
        assert home.port_for(None, usual) != usual
