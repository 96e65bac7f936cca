"""What a gateway says about itself besides readings: the models of its words, read at the edge."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from makiba.reading import SUBJECT_PATTERN


class ReportedDevice(BaseModel):
    """A device in a gateway's `config/reported`."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str = Field(pattern=SUBJECT_PATTERN)
    bus: str = Field(max_length=64)
    profile: str = Field(max_length=64)
    every_s: float = Field(gt=0, allow_inf_nan=False)
    subjects: tuple[str, ...] = Field(default=(), max_length=500)


class Reported(BaseModel):
    """What a gateway says about itself at each connection."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    gateway: str = ""
    site: str = ""
    software: str = ""
    devices: tuple[ReportedDevice, ...] = Field(max_length=2000)


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong, without quoting the input."""
    found = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in found["loc"])
    return f"{where}: {found['msg']}" if where else found["msg"]
