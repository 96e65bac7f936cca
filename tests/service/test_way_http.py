"""SenML over HTTP, as other people's systems send it: a real `makiba collect`, httpx, curl and bare sockets."""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cbor2
import httpx
import pytest

from collectors.registry import dead_letters, sources
from tests.parts import PATIENCE, Broker, Process, makiba, wait_until
from tests.service.collecting import CONSOLE, SITE, farm, now_ms, registry_with
from tests.service.ways_parts import SOURCE, collecting_http, farm_with_source, opened, run, stored

JSON, CBOR = "application/senml+json", "application/senml+cbor"
T0 = 1_790_000_000


@dataclass
class Centre:
    """A running collector, its home and a client with a source's token."""

    home: Path
    url: str
    token: str
    process: Process

    def post(self, body: bytes | list[Any], *, token: str | None = None, **headers: str) -> httpx.Response:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        wanted = {"content-type": JSON, "authorization": f"Bearer {token or self.token}"}
        wanted |= {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.post(f"{self.url}/v1/readings", content=data, headers=wanted, timeout=20)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> Iterator[Centre]:
    home = tmp_path_factory.mktemp("centre")
    token = farm_with_source(home)
    with collecting_http(home, broker) as (url, process):
        yield Centre(home, url, token, process)


def pack(subject: str, *values: float, at: int = T0) -> list[dict[str, Any]]:
    return [
        {"bn": f"{SITE}/{subject}/", "bt": at, "n": "air_temperature", "u": "Cel", "v": value, "t": i}
        for i, value in enumerate(values)
    ]


# ----------------------------------------------------------------------------------------------------- what is stored


def test_a_pack_is_stored_when_200_comes(centre: Centre) -> None:
    answer = centre.post(pack("one", 1.5, 2.5))
    assert answer.status_code == 200
    assert answer.json() | {"batch": ""} == {"batch": "", "stored": 2, "refused_count": 0, "refused": []}
    rows = stored(centre.home)
    assert rows["one", "air_temperature", T0 * 1000] == 1.5
    assert rows["one", "air_temperature", (T0 + 1) * 1000] == 2.5


@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate"])
@pytest.mark.parametrize("kind", [JSON, CBOR])
def test_json_and_cbor_plain_or_compressed_give_the_same(centre: Centre, kind: str, encoding: str) -> None:
    subject = f"{kind[-4:]}-{encoding}"
    records = pack(subject, 7.25)
    plain = json.dumps(records).encode() if kind == JSON else cbor2.dumps(records)
    body = {"identity": plain, "gzip": gzip.compress(plain), "deflate": zlib.compress(plain)}[encoding]
    assert centre.post(body, content_type=kind, content_encoding=encoding).json()["stored"] == 1
    assert stored(centre.home)[subject, "air_temperature", T0 * 1000] == 7.25


def test_what_is_refused_stands_in_the_answer_and_in_the_dead_letters(centre: Centre) -> None:
    records = [
        *pack("mixed", 3.0),
        {"n": "air_temperature", "u": "Cel", "v": 4000, "t": 1},
        {"n": "air_temprature", "u": "Cel", "v": 1, "t": 2},
        {"bn": "shikaoi-999/mixed/", "n": "air_temperature", "u": "Cel", "v": 1, "t": 3},
    ]
    answer = centre.post(records, idempotency_key="mixed-1").json()
    assert (answer["stored"], answer["refused_count"]) == (1, 3)
    said = {r["index"]: r["reason"] for r in answer["refused"]}
    assert "outside" in said[1]
    assert "did you mean 'air_temperature'" in said[2]
    assert "site shikaoi-999 is not the site of" in said[3]
    with opened(centre.home) as (registry, _), registry.read() as session:
        letters = dead_letters.list_letters(session, CONSOLE, gateway=SOURCE)
    assert {x.record_index for x in letters if x.batch == answer["batch"]} == {1, 2, 3}


def test_the_same_pack_again_changes_nothing(centre: Centre) -> None:
    records = [*pack("again", 1.0), {"n": "nonsense", "v": 1, "t": 1}]
    first, second = centre.post(records), centre.post(records)
    assert first.json() == second.json()
    assert [key for key in stored(centre.home) if key[0] == "again"] == [("again", "air_temperature", T0 * 1000)]
    with opened(centre.home) as (registry, _), registry.read() as session:
        letters = dead_letters.list_letters(session, CONSOLE, gateway=SOURCE)
    assert len([x for x in letters if x.batch == first.json()["batch"]]) == 1


def test_relative_times_mean_the_first_arrival_however_often_they_come(centre: Centre) -> None:
    records = [{"bn": f"{SITE}/relative/", "n": "air_temperature", "u": "Cel", "v": 5, "t": -10}]
    refused = centre.post(records)
    assert refused.status_code == 422
    assert "Idempotency-Key" in refused.json()["detail"]
    before = now_ms()
    for _ in range(3):
        assert centre.post(records, idempotency_key="r-1").json()["stored"] == 1
    times = [key[2] for key in stored(centre.home) if key[0] == "relative"]
    assert len(times) == 1
    assert before - 10_000 <= times[0] <= now_ms() - 10_000
    centre.post(records, idempotency_key="r-2")
    assert len([key for key in stored(centre.home) if key[0] == "relative"]) == 2


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on this machine")
def test_curl_can_send(centre: Centre, tmp_path: Path) -> None:
    file = tmp_path / "pack.json"
    # large enough that curl asks first (Expect: 100-continue)
    file.write_text(json.dumps(pack("curl", *(i % 50 for i in range(2000)))))
    command = ["curl", "-sS", "-w", "%{http_code}", "-H", f"Content-Type: {JSON}", "--data-binary", f"@{file}",
               "-H", f"Authorization: Bearer {centre.token}", "-H", "Expect: 100-continue",
               f"{centre.url}/v1/readings"]  # fmt: skip
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    assert said.endswith("200")
    assert json.loads(said[:-3])["stored"] == 2000


def test_many_at_once_on_kept_connections_are_all_answered(centre: Centre) -> None:
    answers: list[int] = []

    def client(number: int) -> None:
        with httpx.Client(headers={"authorization": f"Bearer {centre.token}", "content-type": JSON}) as http:
            for i in range(4):
                body = json.dumps(pack(f"many-{number}", float(i), at=T0 + i)).encode()
                answers.append(http.post(f"{centre.url}/v1/readings", content=body).status_code)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 32
    assert len([key for key in stored(centre.home) if key[0].startswith("many-")]) == 32


# ----------------------------------------------------------------------------------------------------- who may send


def test_without_a_known_token_nothing_is_taken(centre: Centre) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {centre.token}"}):
        answer = httpx.post(f"{centre.url}/v1/readings", json=pack("nobody", 1.0), headers=headers)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["status"] == 401
    assert not [key for key in stored(centre.home) if key[0] == "nobody"]


def test_tokens_are_shown_once_kept_hashed_and_can_be_revoked(tmp_path: Path, broker: Broker) -> None:
    registry_with(tmp_path, farm()).close()
    assert run(tmp_path, "source", "add", "src-milk", "--site", "shikaoi-009").exit_code == 2
    assert run(tmp_path, "source", "add", "gw-milk", "--site", SITE).exit_code == 2
    added = run(tmp_path, "source", "add", "src-milk", "--site", SITE, "--name", "検定")
    assert added.exit_code == 0
    token = added.stdout.strip()
    assert token.startswith("mk1_")
    assert run(tmp_path, "source", "add", "src-milk", "--site", SITE).exit_code == 2
    assert token.encode() not in b"".join(file.read_bytes() for file in tmp_path.glob("registry.db*"))
    with collecting_http(tmp_path, broker) as (url, process):
        headers = {"authorization": f"Bearer {token}", "content-type": JSON}

        def post() -> int:
            body = json.dumps(pack("tank-1", 1.0)).encode()
            return httpx.post(f"{url}/v1/readings", content=body, headers=headers).status_code

        assert post() == 200

        def listed() -> str:
            return run(tmp_path, "source", "list").stdout

        wait_until(lambda: "src-milk  http  shikaoi-001  used 20" in listed(), what="its use is noted")
        assert token not in listed()
        assert run(tmp_path, "source", "revoke", "src-milk").exit_code == 0
        wait_until(lambda: post() == 401, 8, "the revoked token is refused", every_s=0.5)
        assert token not in process.log()
    assert run(tmp_path, "source", "revoke", "src-nobody").exit_code == 2
    assert "  revoked 20" in run(tmp_path, "source", "list").stdout


def test_a_source_that_sends_too_fast_is_told_when_to_come_again(tmp_path: Path, broker: Broker) -> None:
    token = farm_with_source(tmp_path)
    request = (
        f"POST /v1/readings HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nAuthorization: Bearer {token}\r\n"
        "Content-Length: 2\r\n\r\n[]"
    )
    with collecting_http(tmp_path, broker) as (url, process):
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=20) as sock:
            sock.sendall(request.encode() * 200)
            said = b""
            while b" 429 " not in said and (data := sock.recv(65_536)):
                said += data
        assert said.count(b" 400 ") >= 50
        assert b" 429 " in said
        assert int(said.split(b"retry-after: ")[1][:1]) >= 1
        centre = Centre(tmp_path, url, token, process)
        guesses = [centre.post(b"[]", token=f"guess-{i}").status_code for i in range(40)]
        assert guesses[:30] == [401] * 30
        assert 429 in guesses[30:]  # now and then one more is allowed


# ----------------------------------------------------------------------------------------------------- hostile input


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"x", {"content_type": "application/json"}, 415),
        (b"x", {"content_encoding": "br"}, 415),
        (b"{}", {}, 400),
        (b"", {}, 400),
        (b"[" * 100_000, {}, 400),
        (b"\x81" * 200_000, {"content_type": CBOR}, 400),
        (b"x" * 300_000, {}, 413),
        (gzip.compress(b"[" + b" " * 5_000_000 + b"]"), {"content_encoding": "gzip"}, 413),
        (zlib.compress(b" " * 5_000_000), {"content_encoding": "deflate"}, 413),
        (gzip.compress(b"[]")[:-4], {"content_encoding": "gzip"}, 400),
        (b"no gzip", {"content_encoding": "gzip"}, 400),
        (b"[]", {"idempotency_key": "with blanks in it"}, 400),
    ],
    ids=["type", "encoding", "object", "empty", "deep", "deep cbor", "huge", "gzip bomb", "deflate bomb", "cut off",
         "no gzip", "key"],
)  # fmt: skip
def test_what_cannot_be_a_pack_is_refused_with_a_reason(
    centre: Centre, body: bytes, headers: dict[str, str], status: int
) -> None:
    wait_until(lambda: centre.post(pack("fine", 1.0)).status_code == 200, 10, "the burst is over")
    answer = centre.post(body, **headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert centre.post(pack("fine", 1.0)).status_code == 200


def test_other_addresses_and_verbs(centre: Centre) -> None:
    assert httpx.get(f"{centre.url}/v1/readings").status_code == 405
    assert httpx.get(f"{centre.url}/").status_code == 404
    assert httpx.get(f"{centre.url}/health").json() == {"status": "up"}


def test_a_body_without_end_is_cut(centre: Centre) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 2**28:
            sent += 65_536
            yield b" " * 65_536

    headers = {"content-type": JSON, "authorization": f"Bearer {centre.token}"}
    # the answer, or, where httpx does not look for one before it has sent all, a connection that was closed on it
    with contextlib.suppress(httpx.TransportError):
        assert httpx.post(f"{centre.url}/v1/readings", content=endless(), headers=headers).status_code == 413
    assert sent < 2**26
    assert centre.post(pack("fine", 1.0)).status_code in (200, 429)


def test_slow_clients_are_shown_the_door_and_harm_nobody(centre: Centre) -> None:
    host, port = "127.0.0.1", int(centre.url.rpartition(":")[2])
    slow = [socket.create_connection((host, port), timeout=20) for _ in range(150)]
    try:
        for sock in slow:
            sock.sendall(b"POST /v1/readings HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        began = time.monotonic()
        answer = centre.post(pack("beside-the-slow", 1.0))
        assert answer.status_code in (200, 429)
        assert time.monotonic() - began < 3 * PATIENCE
        for sock in slow:
            said = sock.recv(4096)
            assert said == b"" or said.startswith(b"HTTP/1.1 408"), said
        assert time.monotonic() - began < 12 * PATIENCE
    finally:
        for sock in slow:
            sock.close()
    more = [socket.create_connection((host, port), timeout=20) for _ in range(260)]
    try:
        for sock in more[240:]:
            assert sock.recv(1) == b"", "beyond the bound a connection is closed at once"
    finally:
        for sock in more:
            sock.close()
    wait_until(lambda: centre.post(pack("after", 1.0)).status_code == 200, 10, "served again", every_s=0.2)


# ----------------------------------------------------------------------------------------------------- outages


def test_a_store_that_is_locked_answers_503_and_then_takes_it(centre: Centre) -> None:
    wait_until(lambda: centre.post(pack("fine", 1.0)).status_code == 200, 10, "the burst is over")
    lock = sqlite3.connect(centre.home / "store.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    try:
        answer = centre.post(pack("later", 9.0))
    finally:
        lock.execute("ROLLBACK")
        lock.close()
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert centre.post(pack("later", 9.0)).json()["stored"] == 1
    assert stored(centre.home)["later", "air_temperature", T0 * 1000] == 9.0


def test_killed_at_any_moment_what_was_answered_is_there(tmp_path: Path, broker: Broker) -> None:
    token = farm_with_source(tmp_path)
    answered: list[int] = []
    with collecting_http(tmp_path, broker) as (url, process):
        centre = Centre(tmp_path, url, token, process)

        def client(first: int) -> None:
            for i in range(first, first + 1000):
                try:
                    done = centre.post(pack("killed", float(i % 50), at=T0 + i)).status_code == 200
                except httpx.HTTPError:
                    return
                if done:
                    answered.append(T0 + i)

        threads = [threading.Thread(target=client, args=(1000 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(answered) > 20, 15, "some are answered")
        process.kill()
        for thread in threads:
            thread.join()
    there = {key[2] // 1000 for key in stored(tmp_path)}
    assert set(answered) <= there


def test_sigterm_ends_it_with_open_connections(tmp_path: Path, broker: Broker) -> None:
    farm_with_source(tmp_path)
    with collecting_http(tmp_path, broker) as (url, process):
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5) as sock:
            sock.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 200")
            assert process.terminate(12) == 0


def test_a_port_that_is_taken_is_said_before_anything_starts(tmp_path: Path, broker: Broker) -> None:
    farm_with_source(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        env = {"MAKIBA_HOME": str(tmp_path), "MAKIBA_INGEST_PORT": str(taken.getsockname()[1]), **broker.env()}
        process = makiba("collect", log=tmp_path / "c.log", env=env).start()
        assert process.wait(15) == 2
        assert "cannot listen on 127.0.0.1" in process.log()


def test_sources_are_seen_by_their_farms_people_only(tmp_path: Path) -> None:
    from collectors.registry.viewer import Person

    registry = registry_with(tmp_path, farm(), farm(site="shikaoi-002", gateways=["gw-b"]))
    with registry.write() as session:
        for site in (SITE, "shikaoi-002"):
            sources.add_http(session, CONSOLE, f"src-{site}", site, "", now_ms())
            letter = dead_letters.Letter(f"src-{site}", "b", 0, now_ms(), "", "why", "")
            dead_letters.add(session, CONSOLE, [letter])
    farmer = Person(1, "x", {SITE: "owner"})
    with registry.read() as session:
        assert [row.id for row in sources.list_sources(session, farmer)] == [f"src-{SITE}"]
        assert [row.gateway_id for row in dead_letters.list_letters(session, farmer)] == [f"src-{SITE}"]
    registry.close()
