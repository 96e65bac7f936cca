"""Which new passwords are taken: long ones that nobody guesses first.

Twelve characters or more (a run of blanks counts as one), any characters, no rule of kinds, no expiry. Refused is
what guessers try: up to three of the words that most people take, repeated, with digits around them or for letters;
runs of the keyboard, of the alphabet and of numbers; and the person's own login and name. Four common words that
nobody puts together are a good password. The list is this file: it is no copy of passwords that leaked, and asks no
service about one. Folding (NFKC, so that full-width and plain letters are the same) is `api/passwords.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal

from api.passwords import MAX_PASSWORD, MIN_PASSWORD, folded

Weakness = Literal["too-short", "too-long", "common", "yours"]

WHY: Final[dict[Weakness, str]] = {
    "too-short": f"a password has {MIN_PASSWORD} characters or more",
    "too-long": f"a password has at most {MAX_PASSWORD} characters",
    "common": "this is among the first that somebody would try; several words of your own are better",
    "yours": "your login or name is the most of it",
}

_WORDS: Final = """
    password passwort passwd passcode passphrase pass secret secure security private admin administrator root user
    username guest test tester testing demo default changeme change letmein login logon signin welcome hello hallo
    hey access master system server computer internet website windows microsoft apple iphone android google gmail
    yahoo amazon facebook instagram twitter youtube netflix tiktok line docomo softbank rakuten nintendo pokemon
    pikachu playstation xbox minecraft roblox fortnite starwars superman batman spiderman ironman avengers naruto
    onepiece dragon dragonball monster hunter killer soldier ranger warrior knight wizard merlin phoenix shadow ghost
    devil angel princess prince queen king lover loving love lovely loveyou iloveyou iloveu sweetheart baby babygirl
    honey sugar cookie chocolate banana orange cherry strawberry lemon peach apple coffee cheese pepper ginger
    butter cream sunshine sunflower flower rose daisy lily rainbow star stars moon summer winter spring autumn
    monday tuesday wednesday thursday friday saturday sunday january february march april june july august september
    october november december morning night nature forest mountain ocean river water fire earth wind storm thunder
    lightning silver golden gold diamond crystal purple yellow green black white red blue pink football soccer
    baseball basketball tennis hockey golf yankees cowboys lakers arsenal chelsea liverpool barcelona madrid
    manchester juventus michael michelle jennifer jessica jordan charlie thomas robert daniel andrew joshua matthew
    william george harley ashley amanda nicole hannah samantha maggie buster bailey tigger snoopy doraemon hellokitty
    mickey disney family friend friends mother father mama papa sister brother hanako taro yamada suzuki tanaka sato
    takahashi watanabe ito nakamura kobayashi kato yoshida sasaki sakura himawari hinata haruto yuki yuuki aoi hana
    sora kaze umi yama kawa inu neko usagi kuma tora ryu niji hoshi tsuki ai kokoro kawaii daisuki arigatou arigato
    konnichiwa ohayou sayonara nihon nippon japan tokyo osaka kyoto sapporo hokkaido shikaoi obihiro tokachi furano
    otofuke makubetsu shimizu shintoku memuro kushiro asahikawa hakodate hokudai fuji fujisan samurai ninja sushi
    ramen matcha sake onigiri anime manga otaku kirin asahi toyota honda nissan mazda subaru suzuki yamaha kawasaki
    mitsubishi kubota iseki yanmar deere farm farmer farming ranch cow cows cattle dairy milk milking barn tractor
    field harvest calf bull holstein bokujo bokujou gyunyu ushi nouka noukyou nogyo makiba bokuso delaval lely gea
    mustang ferrari porsche mercedes corvette camaro yankee freedom forever nothing something whatever maverick
    trustno trustnoone whoami qazwsx qwerty qwertz azerty asdf asdfgh zxcv zxcvbn qwer tyui hjkl abc abcd abcde
    abcdef abcdefg aaa bbb xxx zzz ok yes no bitch fuck fuckyou fucking shit asshole sexy sex hottie cheater
    パスワード ぱすわーど ひみつ 秘密 暗証番号 あいうえお アイウエオ かきくけこ いろはにほへと さくら サクラ 桜
    ひまわり にほん 日本 東京 大阪 京都 北海道 鹿追 十勝 帯広 牧場 まきば ぼくじょう 酪農 牛 うし 牛乳 ぎゅうにゅう
    ありがとう おはよう こんにちは こんばんは さようなら だいすき 大好き 愛してる あいしてる しあわせ 幸せ かぞく 家族
    ねこ 猫 いぬ 犬 富士山 ふじさん 管理者 かんりしゃ てすと テスト
"""
COMMON: Final = frozenset(_WORDS.split())
"""Written for this file: words that lists of leaked passwords have in common the world over, and the farm's own."""

_RUNS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "1q2w3e4r5t6y7u8i9o0p",
    "01234567890123456789",
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん",
    "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワヲン",
    "いろはにほへとちりぬるをわかよたれそつねならむうゐのおくやまけふこえてあさきゆめみしゑひもせす",
)
_LEET: Final = str.maketrans("0134578@$!", "oieastbasi")
_RUN_LENGTH: Final = 4
_OWN_LENGTH: Final = 3
_ENOUGH: Final = 7
"""What a password has to be worth: a character counts 1, a known word or a number 2, a run 1."""

_WORD: Final = "\x01\x02"
_RUN: Final = "\x03"


class PasswordRefused(ValueError):
    """A new password that is not taken; `why` is for programs, the message for people."""

    def __init__(self, why: Weakness) -> None:
        super().__init__(WHY[why])
        self.why: Weakness = why


def check_new_password(password: str, own: Iterable[str] = ()) -> None:
    """Returns when `password` is taken; `own`: the person's login and name. `PasswordRefused` otherwise."""
    if why := weakness(password, own):
        raise PasswordRefused(why)


def weakness(password: str, own: Iterable[str] = ()) -> Weakness | None:
    """What is wrong with a new password; None: nothing."""
    plain = re.sub(r"\s+", " ", folded(password))
    if min(len(plain), len(password)) < MIN_PASSWORD:  # one character may be folded into many
        return "too-short"
    if len(password) > MAX_PASSWORD:
        return "too-long"
    plain = _joined(plain)
    own_words = [w for text in own for w in (_joined(text), *re.split(r"[\W_]+", folded(text).casefold()))]
    if _worth(plain, COMMON) < _ENOUGH:
        return "common"
    return "yours" if _worth(plain, COMMON.union(own_words)) < _ENOUGH else None


def _joined(text: str) -> str:
    return re.sub(r"[\s_.,-]", "", folded(text).casefold())


def _worth(plain: str, words: Iterable[str]) -> int:
    """How many characters are left when each known word, number and run counts little, however it is written."""
    ordered = sorted((w for w in words if len(w) >= _OWN_LENGTH or not w.isascii()), key=len, reverse=True)
    whole = {plain, _unrepeated(plain)}
    spelled = whole | {text.translate(_LEET) for text in whole}
    return min(len(_without_numbers(_without_runs(_without(text, ordered)))) for text in spelled)


def _without(text: str, words: Iterable[str]) -> str:
    for word in words:
        text = text.replace(word, _WORD)
    return text


def _without_numbers(text: str) -> str:
    return re.sub(r"\d+", lambda found: found[0][:2], text)


def _unrepeated(text: str) -> str:
    """`abcabcabc` as `abc`, `aaaa` as `a`."""
    return re.sub(r"(.{1,12}?)\1+", r"\1", text)


def _without_runs(text: str) -> str:
    """Without stretches of four or more characters that follow each other on a keyboard, up or down."""
    left, at = "", 0
    while at < len(text):
        length = max(_run_at(text[at:], run) for run in (*_RUNS, *(r[::-1] for r in _RUNS)))
        if length >= _RUN_LENGTH:
            left += _RUN
            at += length
        else:
            left += text[at]
            at += 1
    return left


def _run_at(text: str, run: str) -> int:
    length = 0
    while length < len(text) and text[: length + 1] in run:
        length += 1
    return length
