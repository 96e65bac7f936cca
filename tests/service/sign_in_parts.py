"""Parts for tests of signing in: one service for all tests of a module, and new people on it for each of them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pyotp

from api import one_time
from api.sessions import COOKIE
from tests.service.authenticator import Authenticator
from tests.service.serving import PASSWORD, WRITE, Centre, client, sign_in

API = "/api/v1"


@dataclass
class House:
    """A served centre. Its clock only goes on."""

    centre: Centre
    url: str
    stack: ExitStack
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def browser(self) -> httpx.Client:
        """A browser that nobody signed in with."""
        return self.stack.enter_context(client(self.url))

    def somebody(self, password: str | None = PASSWORD, *, signed_in: bool = True) -> Somebody:
        """A new person, at a browser, who proved just now who they are."""
        login = f"person-{next(self.numbers)}@farm.example"
        number = self.centre.person(login, password=password)
        somebody = Somebody(self, number, login, self.browser())
        if signed_in:
            somebody.has(COOKIE, self.centre.cookie(number))
        return somebody


@dataclass
class Somebody:
    """A person and their browser."""

    house: House
    id: int
    login: str
    browser: httpx.Client

    def get(self, path: str) -> Any:
        answer = self.browser.get(f"{API}/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.browser.request(method, f"{API}/{path}", json=body, headers=WRITE | named)

    def post(self, path: str, body: Any = None) -> httpx.Response:
        return self.ask("POST", path, body)

    def has(self, name: str, value: str) -> None:
        """Puts a cookie into the browser, in place of the one that the service has set."""
        self.browser.cookies.set(name, value, domain="127.0.0.1", path="/")

    def password(self, password: str = PASSWORD) -> httpx.Response:
        """Types login and password."""
        return self.post("session", {"login": self.login, "password": password})

    def signs_in(self) -> None:
        sign_in(self.browser, self.login)

    def is_signed_in(self) -> bool:
        return self.browser.get(f"{API}/session").status_code == 200

    def signs_out(self) -> None:
        assert self.ask("DELETE", "session").status_code == 204

    def options(self, path: str = "session/passkey/options") -> dict[str, Any]:
        answer = self.post(path)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def register(self, device: Authenticator, name: str = "スマホ", **lies: Any) -> httpx.Response:
        made = device.create(self.options("sign-in/passkeys/options"), **lies)
        return self.post("sign-in/passkeys", {"name": name, "credential": made})

    def enter(self, device: Authenticator, **lies: Any) -> httpx.Response:
        """Signs in with the newest passkey of `device`."""
        return self.post("session/passkey", device.get(self.options(), **lies))

    def notices(self) -> list[str]:
        """What happened, the newest first."""
        return [row["kind"] for row in self.get("session/notices")["rows"]]

    def twin(self) -> Somebody:
        """Somebody at another browser who calls themselves the same."""
        return Somebody(self.house, self.id, self.login, self.house.browser())

    def copy(self) -> Somebody:
        """Somebody who has all of their cookies."""
        twin = self.twin()
        twin.browser.cookies.update(self.browser.cookies)
        return twin

    def stale(self) -> None:
        """Lets the proof of who they are grow old."""
        self.house.centre.clock.ms += 600_000


class App:
    """Somebody's authenticator app, from what they were told once."""

    def __init__(self, somebody: Somebody) -> None:
        self.somebody = somebody
        begun = somebody.post("sign-in/codes")
        assert begun.status_code == 200, begun.text
        self.begun = begun.json()
        self.secret: str = self.begun["secret"]
        confirmed = somebody.post("sign-in/codes/confirm", {"code": self.code()})
        assert confirmed.status_code == 200, confirmed.text
        self.recovery: list[str] = confirmed.json()["recovery_codes"]

    def code(self, steps: int = 0) -> str:
        """The code of now, or of so many steps later."""
        return pyotp.TOTP(self.secret).at(self.somebody.house.centre.clock.ms // 1000 + 30 * steps)

    def wait(self, steps: int = 1) -> None:
        self.somebody.house.centre.clock.ms += steps * one_time.STEP_MS


def at_once(asks: Iterable[Callable[[], httpx.Response]]) -> list[int]:
    """The statuses of requests that are sent at the same moment."""
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda ask=ask: statuses.append(ask().status_code)) for ask in asks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(statuses)


@contextmanager
def house(folder: Path, registry_url: str = "", **given: Any) -> Iterator[House]:
    """A service in `folder`; `given`: settings besides."""
    centre = Centre(folder, registry_url=registry_url, given=given)
    with ExitStack() as stack:
        with centre.serving() as browser:
            yield House(centre, str(browser.base_url), stack)
    centre.registry.close()
    centre.store.close()
