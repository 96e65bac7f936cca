"""Passwords: the right one fits, and nobody can tell from the time it takes who exists."""

from __future__ import annotations

import time

import pytest

from api.passwords import Passwords, PasswordTooShort


def test_only_the_right_password_fits_and_each_hash_is_its_own() -> None:
    passwords = Passwords()
    kept = passwords.hash("朝の牛舎は寒いです、とても")
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.matches(kept, "朝の牛舎は寒いです、とても")
    assert not passwords.matches(kept, "朝の牛舎は寒いです、とて")
    assert not passwords.matches(kept, "")
    assert kept != passwords.hash("朝の牛舎は寒いです、とても")
    assert not passwords.is_outdated(kept)


def test_somebody_without_a_password_costs_the_same_work_and_never_fits() -> None:
    passwords = Passwords()
    kept = passwords.hash("long enough by now")

    def shortest_s(password_hash: str | None) -> float:
        times = []
        for _ in range(5):
            begun = time.perf_counter()
            assert not passwords.matches(password_hash, "not this one")
            times.append(time.perf_counter() - begun)
        return min(times)

    assert shortest_s(None) > 0.3 * shortest_s(kept)


@pytest.mark.parametrize("password", ["", "eleven char", "x" * 1_001])
def test_a_new_password_has_a_sensible_length(password: str) -> None:
    with pytest.raises(PasswordTooShort):
        Passwords().hash(password)


def test_a_damaged_hash_fits_nothing() -> None:
    assert not Passwords().matches("$argon2id$", "whatever it is")
