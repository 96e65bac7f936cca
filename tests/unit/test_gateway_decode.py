"""Words of a reply become what the maker meant, or a state; never a bad number."""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.decode import Found, decoder, shortest
from gateway.places import Register
from makiba.quantities import quantity


def _decode(words: list[int], name: str = "value", **options: Any) -> Found:
    return decoder(Register(quantity=name, address=0, **options), quantity(name)).decode(words)


@pytest.mark.parametrize(
    ("words", "options", "value"),
    [
        ([42], {"scale": 0.1}, 4.2),
        ([0xFF33], {"scale": 0.1}, -20.5),
        ([0xFF9B], {"scale": 0.1}, -10.1),
        ([0xFFFF], {"type": "uint16"}, 65535),
        ([0x0001, 0x86A0], {"type": "uint32"}, 100000),
        ([0x86A0, 0x0001], {"type": "uint32", "word_order": "little"}, 100000),
        ([0xA086, 0x0100], {"type": "uint32", "word_order": "little", "byte_order": "little"}, 100000),
        ([0xFFFF, 0xFFFE], {"type": "int32"}, -2),
        ([0x4212, 0x806B], {"type": "float32"}, 36.62541),
        ([0x806B, 0x4212], {"type": "float32", "word_order": "little"}, 36.62541),  # TUF-2000M: 80 6B 42 12
        ([10105], {"type": "uint16", "sign": "from-10000", "scale": 0.1}, -10.5),
        ([1234], {"type": "uint16", "scale": 0.1, "offset": -100.0}, 23.4),
        ([0, 0, 0, 7], {"type": "uint64"}, 7),
        (list(struct.unpack(">4H", struct.pack(">d", 0.1))), {"type": "float64"}, 0.1),
    ],
)
def test_a_raw_value_becomes_what_the_maker_meant(words: list[int], options: dict[str, Any], value: float) -> None:
    assert _decode(words, **options) == value


@pytest.mark.parametrize(
    ("name", "raw", "options", "value"),
    [
        ("ammonia", 123, {"scale": 0.1, "unit": "ppm"}, 1.23e-05),
        ("soil_moisture", 315, {"scale": 0.1, "unit": "%"}, 0.315),
        ("air_pressure", 10132, {"scale": 0.1, "unit": "hPa"}, 101320.0),
        ("energy", 3, {"unit": "kWh"}, 10800000.0),
        ("wind_direction", 180, {"unit": "deg"}, math.pi),
        ("soil_conductivity", 850, {"unit": "uS/cm"}, 0.085),
    ],
)
def test_a_value_arrives_in_the_unit_of_the_catalogue(
    name: str, raw: int, options: dict[str, Any], value: float
) -> None:
    assert _decode([raw], name, type="uint16", **options) == value


@pytest.mark.parametrize(
    ("words", "options", "state"),
    [
        ([0x8000], {"sentinels": (-32768.0,)}, "sentinel"),
        ([1251], {"valid_raw": [-550.0, 1250.0]}, "out-of-range"),
        ([7001], {"scale": 0.1}, "out-of-range"),  # the catalogue: an air temperature is below 70 °C
        ([0x7FC0, 0], {"type": "float32"}, "invalid"),
        ([0x7F80, 0], {"type": "float32"}, "invalid"),
    ],
)
def test_what_cannot_be_true_is_a_state(words: list[int], options: dict[str, Any], state: str) -> None:
    assert _decode(words, "air_temperature", **options) == state


@given(st.integers(-0x8000, 0x7FFF), st.integers(0, 3))
def test_a_scaled_integer_is_the_nearest_double_of_its_decimal(raw: int, digits: int) -> None:
    expected = float(f"{raw}e-{digits}")
    assert _decode([raw & 0xFFFF], scale=float(f"1e-{digits}")) == expected


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_shortest_decimal_is_the_same_float32(value: float) -> None:
    assert struct.pack(">f", shortest(value)) == struct.pack(">f", value)
    assert _digits(shortest(value)) <= _digits(value)


def _digits(value: float) -> int:
    """Significant digits of the decimal that stands for the double."""
    return len(Decimal(repr(value)).normalize().as_tuple().digits)
