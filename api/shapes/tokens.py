"""Tokens of programs as they come in and go out."""

from __future__ import annotations

from typing import Final

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from api.shapes import Given, Id, Line, Millis, Shape
from collectors.registry.viewer import Action
from makiba.data_class import DataClass

_MADE: Final[JsonDict] = {
    "id": "4fT0kBv2QmZp8xYc",
    "name": "Feed planner",
    "sites": ["shikaoi-001"],
    "classes": ["tank", "weather"],
    "actions": [],
    "created_ms": 1781222400000,
    "expires_ms": 1788998400000,
    "used_ms": None,
    "revoked_ms": None,
    "holds": True,
}


class TokenIn(Given):
    """What a token is to be for. Left out: every farm, class or action that its person has, also later ones.

    `expires_ms`: at most a year from now.
    """

    name: Line = Field(min_length=1, max_length=100)
    expires_ms: Millis
    sites: list[Id] | None = Field(None, min_length=1, max_length=200)
    classes: list[DataClass] | None = Field(None, min_length=1, max_length=7)
    actions: list[Action] | None = Field(None, max_length=30)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Feed planner",
                    "expires_ms": 1788998400000,
                    "sites": ["shikaoi-001"],
                    "classes": ["tank", "weather"],
                    "actions": [],
                }
            ]
        }
    )


class TokenOut(Shape):
    """A token without its secret. `used_ms`: when it was last used, to the hour; `holds`: whether it still does."""

    id: str
    name: str
    sites: list[str] | None
    classes: list[DataClass] | None
    actions: list[Action] | None
    created_ms: int
    expires_ms: int
    used_ms: int | None
    revoked_ms: int | None
    holds: bool

    model_config = ConfigDict(json_schema_extra={"examples": [_MADE]})


class NewToken(TokenOut):
    """A token that was made just now. `token` is what its program sends; it is told this once."""

    token: str

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{**_MADE, "token": "mkb_4fT0kBv2QmZp8xYc_7Wq0nS5dHk3JbVt9LrXy2CmPz8QfGa6EuNo1TiRwKvA4Xc9Dd"}]
        }
    )


class TokensOut(Shape):
    """The newest first; `next` is the `cursor` that goes on, None at the end."""

    rows: list[TokenOut]
    next: str | None
