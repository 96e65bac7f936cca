"""The supervisor with real child processes."""

from __future__ import annotations

import os
import random
import signal
import sys
import textwrap
from pathlib import Path

import pytest

from deploy import supervise
from deploy.supervise import Child, Supervisor
from tests.parts import ROOT, Process, free_port, wait_until
from tests.service.figures_parts import page
from tests.service.ways_parts import run
from tests.service.weather_parts import WeatherService

SLEEPER = "import signal,time; signal.signal(signal.SIGTERM, lambda *_: exit(0)); time.sleep(60)"


def python(program: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(program)]


def is_alive(pid: int) -> bool:
    try:
        with Path(f"/proc/{pid}/stat").open() as stat:
            return stat.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def stepping(supervisor: Supervisor, condition: object, what: str = "") -> None:
    def step() -> bool:
        supervisor.step()
        return bool(condition())  # type: ignore[operator]

    wait_until(step, within_s=10, what=what)


def test_a_child_starts_once_those_before_it_are_ready(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    children = [
        Child("first", python(SLEEPER), ready=gate.exists),
        Child("second", python(SLEEPER), after=("first",)),
    ]
    with Supervisor(children, logs=tmp_path) as supervisor:
        for _ in range(20):
            supervisor.step()
        assert set(supervisor.pids()) == {"first"}
        gate.touch()
        stepping(supervisor, supervisor.is_ready)
        assert set(supervisor.pids()) == {"first", "second"}


def test_a_child_that_dies_is_started_again_and_both_are_said(tmp_path: Path) -> None:
    said: list[str] = []
    with Supervisor([Child("worker", python(SLEEPER))], logs=tmp_path, say=said.append) as supervisor:
        stepping(supervisor, supervisor.is_ready)
        first = supervisor.pids()["worker"]
        os.kill(first, signal.SIGKILL)
        stepping(supervisor, lambda: supervisor.deaths("worker") == 1)
        stepping(supervisor, supervisor.is_ready)
        assert supervisor.pids()["worker"] != first
        stepping(supervisor, lambda: len(said) == 2)
    assert "SIGKILL" in said[0]
    assert said[1] == "worker: works again"


def test_pauses_double_up_to_ten_seconds_and_forget_after_a_long_life() -> None:
    pauses = [0.0]
    for _ in range(7):
        pauses.append(supervise.pause_after(0.1, pauses[-1]))
    assert pauses[1:] == [0.5, 1, 2, 4, 8, 10, 10]
    assert supervise.pause_after(supervise.LIVED_S, 10) == 0.5


def test_children_stop_in_reverse_order(tmp_path: Path) -> None:
    order = tmp_path / "order"
    program = """
        import signal, sys, time, pathlib
        def end(*_):
            with open({order!r}, "a") as file: file.write({name!r})
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        pathlib.Path({ready!r}).touch()
        time.sleep(60)
    """
    children = [
        Child(
            n, python(program.format(order=str(order), name=n, ready=str(tmp_path / n))), ready=(tmp_path / n).exists
        )
        for n in "abc"
    ]
    with Supervisor(children, logs=tmp_path) as supervisor:
        stepping(supervisor, supervisor.is_ready)
    assert order.read_text() == "cba"


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "STOP_WITHIN_S", 0.3)
    program = f"""
        import signal, time, pathlib
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pathlib.Path({str(tmp_path / "deaf")!r}).touch()
        time.sleep(60)
    """
    said: list[str] = []
    child = Child("deaf", python(program), ready=(tmp_path / "deaf").exists)
    with Supervisor([child], logs=tmp_path, say=said.append) as supervisor:
        stepping(supervisor, supervisor.is_ready)
        pid = supervisor.pids()["deaf"]
    assert not is_alive(pid)
    assert said == ["deaf: does not stop, killed"]


def test_a_cut_child_stays_down_until_it_is_released(tmp_path: Path) -> None:
    with Supervisor([Child("gateway", python(SLEEPER))], logs=tmp_path) as supervisor:
        stepping(supervisor, supervisor.is_ready)
        pid = supervisor.pids()["gateway"]
        supervisor.cut("gateway")
        assert not is_alive(pid)
        for _ in range(20):
            supervisor.step()
        assert supervisor.pids() == {}
        assert supervisor.deaths("gateway") == 0
        supervisor.release("gateway")
        stepping(supervisor, supervisor.is_ready)


SUPERVISOR = """
    import sys, time
    from pathlib import Path
    from deploy.supervise import Child, Supervisor, stop_on_signals
    sleeper = [sys.executable, "-c", {sleeper!r}]
    children = [Child("a", sleeper), Child("b", sleeper)]
    with stop_on_signals() as stop, Supervisor(children, logs=Path({folder!r})) as s:
        s.step()
        Path({folder!r}, "pids").write_text(" ".join(map(str, s.pids().values())))
        while not stop:
            s.step()
            time.sleep(0.02)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_nothing_outlives_the_supervisor(tmp_path: Path, number: signal.Signals) -> None:
    command = python(SUPERVISOR.format(sleeper=SLEEPER, folder=str(tmp_path)))
    with Process(command, log=tmp_path / "supervisor.log") as supervisor:
        text = wait_until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text(), 10)
        pids = [int(pid) for pid in str(text).split()]
        assert len(pids) == 2
        assert all(map(is_alive, pids))
        os.kill(supervisor.pid, number)
        code = supervisor.wait()
        assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0), supervisor.log()
        wait_until(lambda: not any(map(is_alive, pids)), what=f"children {pids} ended")


def test_makiba_up_without_keys_says_which_and_starts_nothing(tmp_path: Path) -> None:
    env = {"MAKIBA_HOME": str(tmp_path / "home"), "MAKIBA_HTTP_PORT": str(free_port())}
    with Process([sys.executable, "-m", "makiba", "up"], log=tmp_path / "up.log", env=env, cwd=ROOT) as up:
        assert up.wait() == 2
        assert "collector.key" in up.log()
    assert not (tmp_path / "home").exists()


def test_a_child_that_says_its_configuration_is_wrong_is_hopeless(tmp_path: Path) -> None:
    child = Child("misled", python("import sys; print('line 3: no such thing'); sys.exit(2)"), ready=lambda: False)
    with Supervisor([child], logs=tmp_path, say=lambda _: None) as supervisor:
        stepping(supervisor, lambda: supervisor.hopeless() == "misled")
        assert "line 3" in supervisor.tail("misled")


def three_free_ports() -> int:
    """A port of the loopback that nobody listens on, as the two after it.

    Below those that Linux gives to connections (from 32768 on), so that nobody takes one of them meanwhile.
    """
    starts = iter(random.sample(range(12_000, 32_000, 3), 100))
    return next(p for p in starts if not any(map(supervise.listens, range(p, p + 3))))


def test_makiba_up_serves_the_pages_with_a_broker_of_its_own(tmp_path: Path) -> None:
    port, figures = free_port(), three_free_ports()
    env = {
        "MAKIBA_HOME": str(tmp_path / "home"), "MAKIBA_HTTP_PORT": str(port), "MAKIBA_MQTT_PORT": str(free_port()),
        "MAKIBA_METRICS_PORT": str(figures),
    }  # fmt: skip
    with Process(
        [sys.executable, "-m", "makiba", "up", "--broker"], log=tmp_path / "up.log", env=env, cwd=ROOT
    ) as up:
        wait_until(lambda: f"http://127.0.0.1:{port}" in up.log(), 30, up.log)
        assert supervise.answers(f"http://127.0.0.1:{port}/api/v1/health")
        collected = tmp_path / "home" / "logs" / "collect.log"
        wait_until(lambda: ": connected" in collected.read_text(), 10, up.log)
        wait_until(lambda: supervise.listens(figures + 1), 10, up.log)
        assert "makiba_watch_farms" in page(figures + 1).samples
        assert "makiba_serve_open_streams" in page(figures + 2).samples
        # It asks whether a farm names a place of the weather service; none does.
        wait_until((tmp_path / "home" / "logs" / "weather-places.log").exists, 10, up.log)
        assert not (tmp_path / "home" / "logs" / "weather.log").exists()
        assert up.terminate() == 0, up.log()
    assert not supervise.listens(port)


@pytest.mark.long
def test_makiba_up_asks_for_the_weather_when_a_farm_names_a_place_of_it(tmp_path: Path) -> None:
    home, site = tmp_path / "home", tmp_path / "site.yaml"
    home.mkdir()
    text = "site: s-1\nname: {ja: 牧場}\n"
    site.write_text(text, encoding="utf-8")
    assert run(home, "site", "apply", str(site)).exit_code == 0
    assert run(home, "weather", "places").exit_code == 1
    site.write_text(f'{text}weather: {{office: "014030", area: "014030"}}\n', encoding="utf-8")
    assert run(home, "site", "apply", str(site)).exit_code == 0
    assert run(home, "weather", "places").stdout == "s-1  office 014030  area 014030\n"
    with WeatherService() as service:
        env = {
            "MAKIBA_HOME": str(home), "MAKIBA_HTTP_PORT": str(free_port()), "MAKIBA_MQTT_PORT": str(free_port()),
            "MAKIBA_WEATHER_JMA": service.url,
        }  # fmt: skip
        with Process(
            [sys.executable, "-m", "makiba", "up", "--broker"], log=tmp_path / "up.log", env=env, cwd=ROOT
        ) as up:
            wait_until(lambda: service.requests, 30, up.log)
            assert service.requests[0][0] == "/bosai/forecast/data/forecast/014030.json"
            assert up.terminate() == 0, up.log()


def test_makiba_up_says_what_is_wrong_and_starts_nothing(tmp_path: Path) -> None:
    env = {"MAKIBA_HOME": str(tmp_path / "home"), "MAKIBA_HTTP_PORT": str(free_port()), "MAKIBA_MQTT_PORT": "99999"}
    with Process([sys.executable, "-m", "makiba", "up"], log=tmp_path / "up.log", env=env, cwd=ROOT) as up:
        assert up.wait() == 2
        assert "MAKIBA_MQTT_PORT" in up.log()
    assert not (tmp_path / "home").exists()
