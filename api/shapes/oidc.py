"""Signing in with an account elsewhere."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from api.shapes import Given, Line, Names, Shape
from api.shapes.people import example, given_example

_CODE: Final = "SplxlOBeZQQYbYS6WxSbIA"


class ProviderOut(Shape):
    """How the way in is called; null: there is none."""

    model_config = example({"label": {"ja": "農協の アカウント", "en": "Co-op account"}})

    label: Names | None


class GoOut(Shape):
    """Where the browser goes next."""

    model_config = example({"address": "https://accounts.example/authorize?response_type=code&…"})

    address: str


class SignedOutOut(Shape):
    """Where the browser goes to sign out of the provider too; null: nowhere."""

    model_config = example({"address": "https://accounts.example/logout?client_id=makiba"})

    address: str | None


class CameBackIn(Given):
    """What came with the address that the provider sent the browser back to."""

    model_config = given_example({"state": "4gXcFQ0pWmZr8tT1bYkN5uLhVea", "code": _CODE})

    state: Line = Field(min_length=1, max_length=200)
    code: Line = Field(min_length=1, max_length=4_000)
    iss: Line | None = Field(None, max_length=300)


class AccountOut(Shape):
    """The account at the provider that signs a person in; nulls: there is none."""

    model_config = example({"subject": "taro@ja.example.jp", "linked_ms": 1_792_000_000_000, "used_ms": None})

    subject: str | None
    linked_ms: int | None
    used_ms: int | None


class AccountIn(Given):
    """An account of the provider: what its claim (setting `oidc_claim`) says of the person."""

    model_config = given_example({"subject": "taro@ja.example.jp"})

    subject: Line = Field(min_length=1, max_length=255)
