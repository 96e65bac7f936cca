"""Passkeys in a real browser: Chromium's own authenticator and JSON against the API. The pages come besides."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from demo.check import ARGUMENTS, BROWSERS
from tests.parts import free_port
from tests.service.serving import PASSWORD, Centre

PROGRAM = next((found for name in BROWSERS if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not on this machine: apt-get install chromium")

# What pages do: the browser itself turns JSON into what its authenticator takes, and back.
SCRIPT = """
async ([kind, ask, answer, more]) => {
  const headers = {"X-Makiba": "1", "Content-Type": "application/json"}
  const asked = await fetch("/api/v1/" + ask, {method: "POST", headers})
  if (!asked.ok) return [asked.status, await asked.json()]
  const {publicKey} = await asked.json()
  const credential = kind === "create"
    ? await navigator.credentials.create({publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(publicKey)})
    : await navigator.credentials.get({publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(publicKey)})
  const body = JSON.stringify(more ? {...more, credential: credential.toJSON()} : credential.toJSON())
  const told = await fetch("/api/v1/" + answer, {method: "POST", headers, body})
  return [told.status, told.status === 204 ? null : await told.json()]
}
"""


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """A page of the service, on the name that its passkeys are for."""
    port = free_port()
    centre = Centre(tmp_path, given={"public_url": f"http://localhost:{port}"})
    centre.person()
    with centre.serving(port) as served, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=PROGRAM, args=list(ARGUMENTS))
        page = chromium.new_page()
        page.goto(f"http://localhost:{served.base_url.port}/api/v1/health")
        yield page
        chromium.close()
    centre.registry.close()
    centre.store.close()


def asks(page: Page, method: str, path: str, body: Any = None) -> Any:
    script = """async ([method, path, body]) => {
      const told = await fetch("/api/v1/" + path, {method, headers: {"X-Makiba": "1", "Content-Type":
        "application/json"}, body: body === null ? undefined : JSON.stringify(body)})
      return [told.status, told.status === 204 ? null : await told.json()]
    }"""
    return page.evaluate(script, [method, path, body])


def test_chromiums_authenticator_makes_a_passkey_and_signs_in_with_it(page: Page) -> None:
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    authenticator = devtools.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
                "isUserVerified": True, "automaticPresenceSimulation": True,
            }
        },
    )["authenticatorId"]  # fmt: skip
    assert asks(page, "POST", "session", {"login": "hanako", "password": PASSWORD}) == [204, None]
    made = page.evaluate(SCRIPT, ["create", "sign-in/passkeys/options", "sign-in/passkeys", {"name": "スマホ"}])
    assert made[0] == 201, made
    [kept] = devtools.send("WebAuthn.getCredentials", {"authenticatorId": authenticator})["credentials"]
    assert (kept["rpId"], kept["isResidentCredential"]) == ("localhost", True)
    asks(page, "DELETE", "session")
    assert asks(page, "GET", "session")[0] == 401
    assert page.evaluate(SCRIPT, ["get", "session/passkey/options", "session/passkey", None]) == [204, None]
    assert asks(page, "GET", "session")[1]["person"]["name"] == "hanakoさん"
    # An authenticator whose person was not verified is not asked for less.
    devtools.send("WebAuthn.setUserVerified", {"authenticatorId": authenticator, "isUserVerified": False})
    with pytest.raises(Exception, match="NotAllowedError"):
        page.evaluate(SCRIPT, ["get", "session/passkey/options", "session/passkey", None])
