"""What gateway and collector say to each other: batches, their ids, and answers to them.

A batch is one SenML pack. Its id travels as MQTT 5 correlation data; a pack that is deflated says so in the
user property `content-encoding`. The answer on the gateway's own ack topic names the batch and what of it was
refused; whatever it does not name is committed to the store.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

CONTENT_ENCODING: Final = "content-encoding"
DEFLATE: Final = "deflate"
SCHEMA: Final = ("makiba-schema", "1")
"""The user property that names the version of this contract."""

MAX_PACK_BYTES: Final = 256 * 1024
"""Largest pack on the wire, before it is inflated (also the broker's largest packet)."""
MAX_INFLATED_BYTES: Final = 4 * 1024 * 1024
DEFLATE_ABOVE_BYTES: Final = 4 * 1024
"""A live pack larger than this is deflated; a smaller one stays readable by any stock tool."""

_BATCH = re.compile(r"([0-9a-f]{16})/([1-9][0-9]{0,17})")
_BATCH_BYTES = re.compile(rb"[0-9a-f]{16}/[1-9][0-9]{0,17}")


class WireError(ValueError):
    """Something that came over the wire and does not keep this contract."""


@dataclass(frozen=True, slots=True, order=True)
class BatchId:
    """A batch: the spool that holds it (16 hex digits, new with each card) and its number there, from 1."""

    spool: str
    number: int

    def __str__(self) -> str:
        return f"{self.spool}/{self.number}"

    def to_bytes(self) -> bytes:
        """As correlation data."""
        return str(self).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> BatchId:
        """From correlation data; `WireError` when it is none."""
        match = _BATCH.fullmatch(data[:64].decode("ascii", errors="replace"))
        if not match:
            raise WireError(f"correlation data {data[:64]!r} is not a batch id (spool/number)")
        return cls(match[1], int(match[2]))


def is_batch_id(data: bytes) -> bool:
    """Whether `BatchId.from_bytes` would take `data`; costs less."""
    return _BATCH_BYTES.fullmatch(data) is not None


class RefusedRecord(BaseModel):
    """A record that the collector put among the dead letters instead of into the store."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    index: int = Field(ge=0)
    name: str = ""
    reason: str


class Ack(BaseModel):
    """The answer to a batch, sent after the commit.

    `stored` counts the readings committed; `refused` lists the others. `time_ms` is the collector's UTC, so
    that a gateway without NTP has a clock too. Unknown keys are ignored, so that a newer centre can say more.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    batch: str
    stored: int = Field(ge=0)
    refused: tuple[RefusedRecord, ...] = ()
    time_ms: int

    def to_bytes(self) -> bytes:
        return self.model_dump_json(exclude_defaults=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Ack:
        """`WireError` when `data` is not an answer."""
        try:
            return cls.model_validate_json(data)
        except ValueError as error:
            raise WireError(f"not an answer to a batch: {error}") from None


def spell_ack(batch: bytes, stored: int, time_ms: int) -> bytes:
    """`Ack(…).to_bytes()` for a batch of which nothing was refused; a collector makes thousands a second."""
    return b'{"batch":"%b","stored":%d,"refused":[],"time_ms":%d}' % (batch, stored, time_ms)


@dataclass(frozen=True, slots=True)
class Payload:
    """The body of a publish and its user properties."""

    data: bytes
    user_properties: tuple[tuple[str, str], ...] = field(default=(SCHEMA,))


def pack_payload(pack: bytes, *, deflate: bool) -> Payload:
    """`pack` ready to publish; deflated when asked to, or when it is large, and it helps."""
    if deflate or len(pack) > DEFLATE_ABOVE_BYTES:
        small = zlib.compress(pack, 6)
        if len(small) < len(pack):
            return Payload(small, (SCHEMA, (CONTENT_ENCODING, DEFLATE)))
    return Payload(pack)


def unpack_payload(data: bytes, content_encoding: str | None) -> bytes:
    """The pack in `data`; `WireError` when it is too large, before or after it is inflated, or damaged."""
    if len(data) > MAX_PACK_BYTES:
        raise WireError(f"pack of {len(data)} bytes, at most {MAX_PACK_BYTES}")
    if content_encoding in (None, "", "identity"):
        return data
    if content_encoding != DEFLATE:
        raise WireError(f"content-encoding {content_encoding[:40]!r} is not known here; use deflate")
    inflater = zlib.decompressobj()
    try:
        pack = inflater.decompress(data, MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise WireError(f"cannot be inflated: {error}") from None
    if inflater.unconsumed_tail:
        raise WireError(f"inflates to more than {MAX_INFLATED_BYTES} bytes")
    if not inflater.eof:
        raise WireError("the deflated pack is cut off")
    return pack


class GatewayStatus(BaseModel):
    """The retained `status` of a gateway; the broker publishes the will, `offline`, when its link breaks.

    `connection` grows with every connection, so that a late will never hides a newer birth.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    state: str = Field(pattern="^(online|offline|stopped)$")
    connection: str
    time_ms: int
    site: str
    software: str = ""

    def to_bytes(self) -> bytes:
        return self.model_dump_json().encode()
