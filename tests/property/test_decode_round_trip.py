"""Any value of any type in any byte and word order comes back; what comes out of a decoder can be true."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.decode import Found, Text, decoder
from gateway.places import WIDTHS, Register
from makiba.quantities import Quantity, catalogue, quantity

FORMATS = {
    "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q",
    "float32": "f", "float64": "d",
}  # fmt: skip
ORDERS = list(itertools.product(("big", "little"), repeat=2))
STATES = {"sentinel", "out-of-range", "invalid"}
words = st.integers(0, 0xFFFF)


def encoded(kind: str, value: float, word_order: str, byte_order: str) -> list[int]:
    """The registers as a device of that order fills them, made the other way round than the decoder works."""
    data = struct.pack(">" + FORMATS[kind], value)
    pairs = [data[at : at + 2] for at in range(0, len(data), 2)]
    if byte_order == "little":
        pairs = [pair[::-1] for pair in pairs]
    if word_order == "little":
        pairs.reverse()
    return [int.from_bytes(pair, "big") for pair in pairs]


def values(kind: str) -> st.SearchStrategy[float]:
    if kind.startswith("float"):
        return st.floats(width=int(kind[5:]), allow_nan=False, allow_infinity=False)  # type: ignore[arg-type]
    bits = int(kind.removeprefix("u").removeprefix("int"))
    if kind.startswith("u"):
        return st.integers(0, 2**bits - 1)
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


@pytest.mark.parametrize(("word_order", "byte_order"), ORDERS)
@pytest.mark.parametrize("kind", FORMATS)
@given(data=st.data())
def test_a_value_comes_back_in_every_order(kind: str, word_order: str, byte_order: str, data: Any) -> None:
    value = data.draw(values(kind))
    register = Register.model_validate(
        {"quantity": "value", "address": 0, "type": kind, "word_order": word_order, "byte_order": byte_order}
    )
    found = decoder(register, quantity("value")).decode(encoded(kind, value, word_order, byte_order))
    assert isinstance(found, (int, float))
    if kind == "float32":
        assert struct.pack(">f", found) == struct.pack(">f", value)
    else:
        assert found == float(value)


@given(st.integers(-0x7FFF, 0x7FFF))
def test_sign_and_magnitude_come_back(value: int) -> None:
    register = Register(quantity="value", address=0, type="uint16", sign="sign-magnitude")
    raw = value if value >= 0 else 0x8000 - value
    assert decoder(register, quantity("value")).decode([raw]) == value


printable = st.characters(min_codepoint=0x21, max_codepoint=0x7E)


@given(st.text(printable, min_size=1, max_size=8), st.sampled_from(ORDERS))
def test_a_text_comes_back_in_every_order(text: str, orders: tuple[Any, Any]) -> None:
    word_order, byte_order = orders
    padded = text.encode().ljust(8, b"\0")
    pairs = [padded[at : at + 2] for at in range(0, 8, 2)]
    if byte_order == "little":
        pairs = [pair[::-1] for pair in pairs]
    if word_order == "little":
        pairs.reverse()
    register = Register(
        quantity="model", address=0, type="ascii", length=4, word_order=word_order, byte_order=byte_order
    )
    found = decoder(register, quantity("model")).decode([int.from_bytes(p, "big") for p in pairs])
    assert found == Text(text)


registers = st.builds(
    lambda kind, orders, scale, offset, low, span, sentinels: Register(
        quantity="value", address=0, type=kind, word_order=orders[0], byte_order=orders[1], scale=scale,
        offset=offset, valid_raw=None if low is None else [low, low + span], sentinels=sentinels,
    ),
    st.sampled_from(list(FORMATS)),
    st.sampled_from(ORDERS),
    st.sampled_from([1, 0.1, 0.01, 0.001, -1, 1e300]),
    st.sampled_from([0, -100, 0.5]),
    st.none() | st.integers(-(2**31), 2**32),
    st.integers(0, 2**32),
    st.lists(st.integers(-(2**15), 2**16), max_size=3).map(lambda s: tuple(float(x) for x in s)),
)  # fmt: skip
NUMBERS = [q for q in catalogue().values() if q.kind != "text"]


@given(registers, st.sampled_from(NUMBERS), st.lists(words, min_size=4, max_size=4))
def test_no_number_that_cannot_be_true_comes_out(register: Register, what: Quantity, memory: Sequence[int]) -> None:
    found: Found = decoder(register, what).decode(memory)
    if isinstance(found, str):
        assert found in STATES
        return
    assert isinstance(found, (int, float))
    assert math.isfinite(found)
    assert what.is_plausible(found)
    if register.valid_raw is not None:
        plain = register.model_copy(update={"scale": 1.0, "offset": 0.0, "valid_raw": None, "sentinels": ()})
        raw = decoder(plain, quantity("value")).decode(memory)
        assert isinstance(raw, (int, float))
        assert register.valid_raw[0] <= raw <= register.valid_raw[1]
        assert raw not in register.sentinels


def test_every_type_is_tried() -> None:
    assert set(FORMATS) == set(WIDTHS) - {"bit"}
