"""What may be used once is used once, and what must stay stays, whoever asks at once; on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.service.authenticator import Authenticator
from tests.service.sign_in_parts import App, House, Somebody, at_once, house


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("home")
    if request.param == "sqlite":
        with house(folder) as home:
            yield home
        return
    with house(folder, request.getfixturevalue("postgres").ready("races")) as home:
        yield home


@pytest.fixture
def hanako(home: House) -> Somebody:
    return home.somebody()


def test_one_answer_sent_many_times_at_once_opens_once(hanako: Somebody) -> None:
    device = Authenticator(counts=False)
    hanako.register(device)
    hanako.signs_out()
    shown = device.get(hanako.options())
    copies = [hanako.copy() for _ in range(6)]
    assert at_once(lambda c=c: c.post("session/passkey", shown) for c in copies) == [204] + [401] * 5  # type: ignore[misc]


def test_two_at_once_do_not_remove_the_last_two(hanako: Somebody) -> None:
    ids = [hanako.register(Authenticator()).json()["id"] for _ in range(2)]
    hanako.ask("DELETE", "sign-in/password")
    copies = [(hanako.copy(), passkey) for passkey in ids]
    asks = [lambda c=c, p=p: c.ask("DELETE", f"sign-in/passkeys/{p}", If_Match="*") for c, p in copies]
    assert at_once(asks) == [204, 409]


def test_a_code_sent_to_many_processes_at_once_signs_in_once(hanako: Somebody) -> None:
    app = App(hanako)
    app.wait()
    browsers = [hanako.twin() for _ in range(4)]
    for browser in browsers:
        assert browser.password().status_code == 401
    with hanako.house.centre.serving() as other:
        for browser in browsers[2:]:
            browser.browser.base_url = other.base_url
        body = {"code": app.code()}
        assert at_once([partial(b.post, "session/code", body) for b in browsers]) == [204, 401, 401, 401]


def test_one_passkey_is_registered_once_whoever_says_that_it_is_theirs(home: House) -> None:
    people = [home.somebody() for _ in range(4)]
    made = [Authenticator().create(p.options("sign-in/passkeys/options"), own_id=b"x" * 32) for p in people]
    asks = [
        partial(p.post, "sign-in/passkeys", {"name": "x", "credential": m}) for p, m in zip(people, made, strict=True)
    ]
    assert at_once(asks) == [201, 422, 422, 422]


def test_a_recovery_code_sent_many_times_at_once_signs_in_once(hanako: Somebody) -> None:
    app = App(hanako)
    browsers = [hanako.twin() for _ in range(4)]
    for browser in browsers:
        browser.password()
    body = {"code": app.recovery[0]}
    assert at_once([partial(b.post, "session/code", body) for b in browsers]) == [204, 401, 401, 401]
