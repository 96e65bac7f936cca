"""The file of what is wrong on the simulated farm."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from demo import faults


def test_a_fault_is_switched_on_and_off(tmp_path: Path) -> None:
    path = tmp_path / "demo" / "faults.json"
    watched = faults.Watched(path)
    assert watched.now() == faults.Now()
    faults.switch(path, "fan-off", True)
    assert watched.now().on == {"fan-off"}
    faults.switch(path, "bus-cut", True)
    faults.switch(path, "fan-off", False)
    assert watched.now().on == {"bus-cut"}
    faults.clear(path)
    assert watched.now().on == frozenset()


def test_a_value_set_by_hand_stays_beside_the_faults(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    faults.set_value(path, "nh3_ppm", 12.3)
    faults.switch(path, "fan-off", True)
    assert faults.read_faults(path) == faults.Now(frozenset({"fan-off"}), {"nh3_ppm": 12.3})
    faults.set_value(path, "nh3_ppm", None)
    assert faults.read_faults(path).overrides == {}


def test_an_unknown_fault_is_named_with_its_neighbour(tmp_path: Path) -> None:
    with pytest.raises(faults.UnknownFault, match="did you mean 'fan-off'"):
        faults.switch(tmp_path / "faults.json", "fan-of", True)
    assert not (tmp_path / "faults.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"set": 3}', '{"fan-off": "yes", "set": {"nh3_ppm": "x"}}'])
def test_a_damaged_file_means_that_nothing_is_wrong(tmp_path: Path, text: str) -> None:
    path = tmp_path / "faults.json"
    path.write_text(text)
    assert faults.read_faults(path) == faults.Now()


def test_two_who_switch_at_once_both_have_their_way(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    threads = [threading.Thread(target=faults.switch, args=(path, f.id, True)) for f in faults.FAULTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults.read_faults(path).on == set(faults.BY_ID)
    assert all(json.loads(path.read_text()).values())
