"""New passwords: what guessers try first is refused, and what people can remember is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.password_rules import COMMON, PasswordRefused, Weakness, check_new_password, weakness
from api.passwords import MAX_PASSWORD, MIN_PASSWORD, Passwords

OWN = ("hanako@farm.example", "佐藤 花子")


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short words", "too-short"),
        ("a          b", "too-short"),  # a run of blanks is one
        ("ｓｈｏｒｔ", "too-short"),
        ("ﷺ¼ﷺ", "too-short"),  # many characters once they are folded
        ("x1" * 501, "too-long"),
        ("password1234", "common"),
        ("Password2026!!", "common"),
        ("passwordpassword", "common"),
        ("p@ssw0rdp@ssw0rd", "common"),
        ("パスワードパスワードパスワード", "common"),
        ("qwertyuiop12", "common"),
        ("poiuytrewq09", "common"),
        ("1q2w3e4r5t6y", "common"),
        ("123456789012", "common"),
        ("aaaaaaaaaaaa", "common"),
        ("!!!!!!!!!!!!", "common"),
        ("あいうえおかきくけこさし", "common"),
        ("ｐａｓｓｗｏｒｄ１２３４", "common"),
        ("tokachi-milk-2026", "common"),
        ("farm.example.2026", "yours"),
        ("hanako@farm.example!", "yours"),
        ("佐藤花子佐藤花子 さん 1985", "yours"),
    ],
)
def test_what_is_tried_first_is_refused_and_says_why(password: str, why: Weakness) -> None:
    with pytest.raises(PasswordRefused) as refused:
        check_new_password(password, OWN)
    assert refused.value.why == why


@pytest.mark.parametrize(
    "password",
    [
        "牛舎の朝は早いです、とても",
        "correct horse battery staple",
        "sunshine cow barn river",  # four common words that nobody puts together
        "gX7#kq92Lmzp",
        "#$%^&*()_+{}|?><",
        "花子のトラクターは赤くて速い",
        "🐄🐄🌾 と 月曜の 朝ごはん",
        "そこで いちばん はやく おきるのは " * 20 + "だれでしょう",
    ],
)
def test_what_nobody_guesses_first_is_taken_whatever_characters_it_has(password: str) -> None:
    check_new_password(password, OWN)


@given(st.text(st.characters(codec="utf-8"), max_size=60), st.lists(st.text(max_size=20), max_size=3))
def test_every_text_has_an_answer_and_what_is_taken_can_be_kept(password: str, own: list[str]) -> None:
    if weakness(password, own) is None:
        assert len(password) >= MIN_PASSWORD


def test_a_password_is_compared_whole() -> None:
    password = "x" * (MAX_PASSWORD - 1) + "y"
    passwords = Passwords()
    kept = passwords.hash(password)
    assert passwords.matches(kept, password)
    assert not passwords.matches(kept, password + "z")
    assert not passwords.matches(kept, password[:-1])


def test_the_list_has_a_few_hundred_words() -> None:
    assert len(COMMON) > 400
