"""JSON Schema of profiles and gateway files, made from the models that check them: for editors, and for other tools.

It says what a single node may be: keys, types, words, limits. What has to be true of several nodes together is told
by `makiba gateway check` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from gateway.driver import Driver
from gateway.site import file_model

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def profile_schema(drivers: Mapping[str, Driver]) -> dict[str, Any]:
    """The schema of a profile of any driver."""
    models: list[Any] = list(dict.fromkeys(driver.profile_model for driver in drivers.values()))
    any_of_them: Any = reduce(or_, models)
    if len(models) > 1:
        any_of_them = Annotated[any_of_them, Field(discriminator="driver")]
    return _finished(TypeAdapter(any_of_them).json_schema(), "A device profile of Makiba")


def gateway_schema(drivers: Mapping[str, Driver]) -> dict[str, Any]:
    """The schema of a gateway file with the buses of these drivers."""
    return _finished(file_model(drivers).model_json_schema(), "A gateway file of Makiba")


def _finished(schema: dict[str, Any], title: str) -> dict[str, Any]:
    # `discriminator` is a word of OpenAPI; the branches' own `const` tells them apart just as well.
    return {"$schema": DIALECT, **{k: v for k, v in schema.items() if k != "discriminator"}, "title": title}
