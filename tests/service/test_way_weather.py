"""`makiba weather` against services that are played on this machine, from the asking to what a rule would read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import select, update

from collectors.registry import weather
from collectors.registry.schema import FetchState, Forecast
from collectors.registry.viewer import Person
from makiba.located_yaml import ConfigErrors
from tests.parts import ROOT, makiba, wait_until
from tests.service.collecting import CONSOLE, SITE
from tests.service.ways_parts import opened, run, stored
from tests.service.weather_parts import WeatherService

CASES = ROOT / "tests/cases/ways/weather"
JST = timezone(timedelta(hours=9))
R8, FORECAST = "/bosai/warning/data/r8/014030.json", "/bosai/forecast/data/forecast/014030.json"
LATEST, BLOCK = "/bosai/amedas/data/latest_time.txt", "/bosai/amedas/data/point/20361/20260530_{}.json"
DATA = "/developer/xml/data/{}"

SITE_FILE = """\
site: {site}
name: {{ja: 牧場, en: Farm}}
weather: {{office: "014030", area: "014030", municipality: "0163400", station: "20432", amedas: "20361"}}
"""


def body(name: str) -> bytes:
    return (CASES / name).read_bytes()


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=JST).timestamp() * 1000)


@pytest.fixture
def service() -> Iterator[WeatherService]:
    pages = {
        FORECAST: body("forecast-014030.json"),
        R8: body("warnings-evening.json"),
        LATEST: body("latest_time.txt"),
        BLOCK.format("15"): body("amedas-20361-20260530_15.json"),
        BLOCK.format("12"): body("amedas-20361-20260530_12.json"),
    }
    with WeatherService(pages) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for site in (SITE, "shikaoi-002"):
        file = tmp_path / f"{site}.yaml"
        file.write_text(SITE_FILE.format(site=site), encoding="utf-8")
        assert run(tmp_path, "site", "apply", str(file)).exit_code == 0
    return tmp_path


def fetch(home: Path, service: WeatherService, *arguments: str, **env: str) -> tuple[int, str]:
    addresses = {
        "MAKIBA_WEATHER_JMA": service.url, "MAKIBA_WEATHER_JMA_XML": service.url, "MAKIBA_WEATHER_WAGRI": service.url,
    }  # fmt: skip
    ran = run(home, "weather", "fetch", *arguments, **{**addresses, **env})
    return ran.exit_code, ran.output


def later(home: Path) -> None:
    """As if the addresses had been asked long ago; what they said then is still known."""
    with opened(home) as (registry, _), registry.write() as session:
        session.execute(update(FetchState).values(checked_ms=0, not_before_ms=0))


def test_what_is_known_after_a_pass_is_what_a_rule_reads(home: Path, service: WeatherService) -> None:
    code, said = fetch(home, service)
    assert code == 0, said
    for site in (SITE, "shikaoi-002"):
        rows = stored(home, site)
        assert rows["amedas", "air_temperature", ms("2026-05-30T17:50")] == 11.8
        assert rows["amedas", "air_temperature", ms("2026-05-30T12:00")] == 17.0
        assert ("amedas", "air_temperature", ms("2026-05-30T17:40")) not in rows, "flagged as doubtful"
        assert rows["amedas", "weather_warnings", ms("2026-05-30T16:10")] == "強風注意報、乾燥注意報、霜注意報"
    assert len(service.asked("forecast")) == 1, "farms of one office share one question"
    evening = ms("2026-05-30T17:55")
    with opened(home) as (registry, _), registry.read() as session:
        tonight = weather.newest_forecast(
            session, CONSOLE, SITE, "air_temperature_min", evening, evening + 12 * 3_600_000
        )
        assert [(row.value, row.issued_ms) for row in tonight] == [(2.0, ms("2026-05-30T17:00"))]
        names = [row.name_ja for row in weather.site_warnings(session, CONSOLE, SITE)]
        assert names == ["強風注意報", "乾燥注意報", "霜注意報"]
        neighbour = Person(1, "x", {"shikaoi-009": "owner"})
        assert not weather.newest_forecast(session, neighbour, SITE, "weather", 0, 2**50)
        assert not weather.site_warnings(session, neighbour, SITE)


def test_asking_again_is_rare_and_costs_the_service_nothing(home: Path, service: WeatherService) -> None:
    fetch(home, service)
    asked, rows = len(service.requests), stored(home)
    assert fetch(home, service)[0] == 0
    assert len(service.requests) == asked, "nothing is due"
    later(home)
    code, said = fetch(home, service)
    assert code == 0, said
    assert service.asked(R8) == [200, 304]
    assert service.asked(FORECAST) == [200, 304]
    assert stored(home) == rows
    agents = {headers["User-Agent"] for _, _, headers in service.requests}
    assert all(agent.startswith("Makiba/") for agent in agents)


def test_warnings_end_and_the_farms_line_says_so(home: Path, service: WeatherService) -> None:
    fetch(home, service)
    service.pages[R8] = body("warnings-morning.json")
    later(home)
    assert fetch(home, service)[0] == 0
    line = {at: value for (_, q, at), value in stored(home).items() if q == "weather_warnings"}
    assert line[ms("2026-05-31T08:30")] == "コード77、乾燥注意報、レベル2土砂災害注意報"
    with opened(home) as (registry, _), registry.read() as session:
        since = ms("2026-05-30T00:00")
        ended = {row.code: row.ended_ms for row in weather.site_warnings(session, CONSOLE, SITE, since_ms=since)}
    assert ended == {
        "24": ms("2026-05-31T08:30"), "15": ms("2026-05-31T06:00"), "21": None, "29": None, "77": None,
    }  # fmt: skip
    shown = run(home, "weather", "show", SITE).output
    assert "warning   2026-05-30 16:10から  乾燥注意報  継続" in shown
    assert "出典：気象庁ホームページ" in shown


def test_a_newer_forecast_wins_and_the_older_one_is_kept(home: Path, service: WeatherService) -> None:
    fetch(home, service)
    service.pages[FORECAST] = body("forecast-morning.json")
    later(home)
    fetch(home, service)
    day = ms("2026-06-01T00:00")
    with opened(home) as (registry, _), registry.read() as session:
        newest = weather.newest_forecast(session, CONSOLE, SITE, "air_temperature_min", day, day + 1)
        assert [(row.value, row.issued_ms) for row in newest] == [(8.0, ms("2026-05-31T05:00"))]
        tonight = weather.newest_forecast(session, CONSOLE, SITE, "air_temperature_min", day - 86_400_000, day)
        assert [row.value for row in tonight] == [2.0], "what was said about last night is still known"


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ({"fail_with": 503, "retry_after": "7200"}, "HTTP 503"),
        ({"fail_with": 500}, "HTTP 500"),
        ({"redirect_to": "http://example.org/"}, "HTTP 302"),
    ],
    ids=["busy", "broken", "elsewhere"],
)
def test_a_service_in_trouble_is_left_alone(
    home: Path, service: WeatherService, trouble: dict[str, object], said: str
) -> None:
    for name, value in trouble.items():
        setattr(service, name, value)
    code, output = fetch(home, service)
    assert code == 1
    assert said in output
    asked = len(service.requests)
    assert fetch(home, service)[0] == 0
    assert len(service.requests) == asked, "the back-off is remembered"
    with opened(home) as (registry, _), registry.read() as session:
        state = weather.fetch_state(session, CONSOLE, service.url + FORECAST)
        wait_s = (state.not_before_ms - state.checked_ms) / 1000
    assert wait_s == (7200 if "retry_after" in trouble else 60)
    service.fail_with, service.retry_after, service.redirect_to = 0, "", ""
    later(home)
    assert fetch(home, service)[0] == 0
    assert stored(home)


def test_an_answer_of_another_form_is_refused_and_asked_again(home: Path, service: WeatherService) -> None:
    service.pages[FORECAST] = b"<html>maintenance</html>"
    service.pages[R8] = b"[" * 100_000
    code, said = fetch(home, service)
    assert code == 1
    assert said.count("not of the known form") == 2
    later(home)
    assert fetch(home, service)[0] == 1
    assert service.asked(FORECAST) == [200, 200], "what could not be used is not known: the answer is no 304"
    service.pages[FORECAST] = body("forecast-014030.json")
    service.pages[R8] = b"[" + b" " * 5_000_000 + b"]"
    later(home)
    code, said = fetch(home, service)
    assert code == 1
    assert "more than 4194304 bytes" in said
    assert service.asked(FORECAST) == [200, 200, 200]


def test_xml_telegrams_are_read_once_and_say_the_same(home: Path, service: WeatherService) -> None:
    feed = body("feed.xml").replace(b"BASE", service.url.encode())
    service.pages |= {
        "/developer/xml/feed/extra_l.xml": feed,
        "/developer/xml/feed/extra.xml": feed,
        DATA.format("20260530071005_0_VPWW61_014030.xml"): body("telegram-frost.xml"),
    }
    xml = {"MAKIBA_WEATHER_WARNINGS": "xml"}
    code, said = fetch(home, service, **xml)  # the second telegram is missing: 404 is no failure
    assert code == 0, said
    line = {at: value for (_, q, at), value in stored(home).items() if q == "weather_warnings"}
    assert line == {ms("2026-05-30T16:10"): "乾燥注意報、霜注意報"}
    assert service.asked("20260530071005") == [200]
    service.pages[DATA.format("20260530073000_0_VPWW61_014030.xml")] = body("telegram-lifted.xml")
    with opened(home) as (registry, _), registry.write() as session:
        session.execute(update(FetchState).where(~FetchState.url.contains("071005")).values(checked_ms=0, etag=""))
    code, said = fetch(home, service, **xml)
    assert code == 0, said
    line = {at: value for (_, q, at), value in stored(home).items() if q == "weather_warnings"}
    assert line[ms("2026-05-31T08:30")] == "なし"
    assert service.asked("20260530071005") == [200], "a telegram never changes"
    assert not service.asked("VPZJ50")
    assert not service.asked("_130000")


def test_wagri_is_asked_with_the_token_and_never_shows_it(home: Path, service: WeatherService) -> None:
    service.pages["/API/Public/Weather/Forecast"] = body("wagri-forecast.json")
    code, said = fetch(home, service, MAKIBA_WEATHER_WAGRI_TOKEN="wagri-secret")
    assert code == 0, said
    headers = [h for path, _, h in service.requests if path.startswith("/API/")]
    assert [h["X-Authorization"] for h in headers] == ["wagri-secret"]
    assert all("X-Authorization" not in h for path, _, h in service.requests if not path.startswith("/API/"))
    assert "wagri-secret" not in said
    with opened(home) as (registry, _), registry.read() as session:
        words = session.scalars(select(Forecast.words).where(Forecast.source == "wagri")).all()
    assert "晴れ 時々 くもり" in words


def test_it_runs_until_stopped(home: Path, service: WeatherService) -> None:
    env = {"MAKIBA_HOME": str(home), "MAKIBA_WEATHER_JMA": service.url}
    with makiba("weather", "run", log=home / "weather.log", env=env) as process:
        wait_until(lambda: stored(home), 20, process.log)
        assert process.terminate() == 0


def test_wrong_places_in_a_site_file_have_their_line(home: Path) -> None:
    file = home / "wrong.yaml"
    file.write_text(SITE_FILE.format(site=SITE).replace('"014030", area', "14030, area"), encoding="utf-8")
    ran = run(home, "site", "apply", str(file))
    assert isinstance(ran.exception, ConfigErrors)
    assert "wrong.yaml:3:11: weather.office" in str(ran.exception)
