"""What an import says about a row, a column or a whole file, in Japanese and English. Pure.

A `Said` is kept as its code and what it is about, so that a page in either language, the command line and a program
read the same thing. What came from the file is quoted and cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

QUOTED: Final = 40
EXPLAINED: Final = 300
Weight = Literal["refusal", "warning"]


@dataclass(frozen=True, slots=True)
class Said:
    """One thing said. `field`: the field that it is about, from which the column follows; empty: the row."""

    code: str
    about: Mapping[str, str | int] = field(default_factory=dict)
    field: str = ""

    @property
    def is_refusal(self) -> bool:
        return WORDS[self.code][0] == "refusal"

    def words(self) -> dict[str, str]:
        """In both languages."""
        _, en, ja = WORDS[self.code]
        return {"ja": ja.format(**self.about), "en": en.format(**self.about)}

    def __str__(self) -> str:
        return self.words()["en"]

    def kept(self, column: int) -> dict[str, Any]:
        """As it is kept in the registry, with the column that it stands in."""
        return {"code": self.code, "about": dict(self.about), "column": column}


def said(code: str, at: str = "", **about: str | int) -> Said:
    """`code` about the field `at`; texts are cut to what a line can hold."""
    return Said(code, {name: _cut(name, value) for name, value in about.items()}, at)


def _cut(name: str, value: str | int) -> str | int:
    most = QUOTED if name == "text" else EXPLAINED
    return value if isinstance(value, int) or len(value) <= most else value[:most] + "…"


def words_of(kept: Mapping[str, Any]) -> dict[str, str]:
    """The words of what `Said.kept` made; of a code that this version does not know, the code."""
    code = str(kept.get("code", ""))
    if code not in WORDS:
        return {"ja": code, "en": code}
    return Said(code, kept.get("about", {})).words()


def is_refusal(kept: Mapping[str, Any]) -> bool:
    """Whether what `Said.kept` made is why something is refused."""
    return WORDS.get(str(kept.get("code")), ("refusal",))[0] == "refusal"


WORDS: Final[Mapping[str, tuple[Weight, str, str]]] = {
    # what stands in a cell
    "not-a-day": (
        "refusal", "'{text}' is no day; write 2026/4/1 or R8.4.1",
        "「{text}」は 日付として 読めません。2026/4/1 か R8.4.1 の ように 書いてください",
    ),
    "unclear-day": (
        "refusal", "'{text}' may be one of two days; write the year first, or give the form in a mapping",
        "「{text}」は 日付が 2とおりに 読めます。年から 書いてください",
    ),
    "not-a-time": ("refusal", "'{text}' is no time of day", "「{text}」は 時刻として 読めません"),
    "day-to-come": ("refusal", "{day} has not come yet", "{day}は まだ 来ていない 日です"),
    "serial-day": (
        "warning", "{text} is read as the day {day}, as Excel counts days",
        "「{text}」を Excelの 日付番号として {day} と 読みました",
    ),
    "digits-lost": (
        "refusal", "'{text}': a spreadsheet has rounded the number, digits are lost; format the column as text",
        "「{text}」は 表計算ソフトが 桁を 丸めています。列を「文字列」に して 書き直してください",
    ),
    "not-digits": (
        "refusal", "'{text}' does not have {count} digits", "「{text}」は {count}桁の 数字では ありません",
    ),
    "zeros-restored": (
        "warning", "{text} is read as {digits}: a spreadsheet has taken zeros away",
        "「{text}」を {digits} と 読みました(先頭の 0 が 消えていました)",
    ),
    "not-a-number": ("refusal", "'{text}' is no number", "「{text}」は 数では ありません"),
    "out-of-range": (
        "refusal", "{text} is outside {low}..{high}", "{text} は {low}〜{high} の 範囲に ありません",
    ),
    "unknown-word": (
        "refusal", "'{text}' is unknown here; expected one of {known}",
        "「{text}」は 使えません。使える 言葉: {known}",
    ),
    "too-long": (
        "refusal", "has {count} characters, at most {most}", "{count}文字 あります。{most}文字までです",
    ),
    "control": ("refusal", "holds a control character", "使えない 文字(制御文字)が あります"),
    "not-a-label": (
        "refusal", "'{text}' is no number of ours: no blanks and none of / \\ : ? # %",
        "番号「{text}」に 空白や / \\ : ? # % は 使えません",
    ),
    "not-an-outline": ("refusal", "is no GeoJSON polygon: {why}", "GeoJSONの 図形では ありません: {why}"),
    # a row
    "broken-row": ("refusal", "{why}", "この行は 読めません: {why}"),
    "short-row": (
        "refusal", "has {count} columns, at least {need} are needed", "列が {count}個です。{need}個 必要です",
    ),
    "no-key": (
        "refusal", "says nowhere which one it is; one of {known} is needed",
        "どれのことか わかりません。{known} の どれかが 必要です",
    ),
    "twice": (
        "refusal", "{text} stands on line {line} already", "{text} は {line}行目に もう あります",
    ),
    "two-animals": (
        "refusal", "these are two animals on file: {one} and {other}",
        "登録では 別の 2頭です: {one} と {other}",
    ),
    "another-animal": (
        "refusal", "{by} is on file with {known}, which is not {text}",
        "{by} は {known} として 登録されています。{text} では ありません",
    ),
    "several": (
        "refusal", "{count} rows on file fit; give each a key", "登録に {count}件 あります。区別する 番号が 必要です",
    ),
    "not-a-tag": (
        "refusal", "{text} is no ear tag of ISO 11784", "{text} は ISO 11784 の 耳標番号では ありません",
    ),
    "no-group": ("refusal", "no group '{text}' is on file", "群「{text}」は 登録されていません"),
    "not-of-kind": (
        "warning", "{what} is left out: an event of kind {kind} has none",
        "{what} は 使いません({kind} には ありません)",
    ),
    "was-deleted": (
        "warning", "this event was deleted by somebody; it stays deleted",
        "この出来事は 削除されています。そのままに します",
    ),
    "unknown-animal": ("refusal", "no animal {text} is on file", "{text} は 登録されていません"),
    "needed": ("refusal", "{what} is needed", "{what} が 必要です"),
    "refused": ("refusal", "{why}", "登録できません: {why}"),
    "unknown-group": (
        "warning", "no group '{text}' is on file; the animal is taken without it",
        "群「{text}」は 登録されていません。群なしで 取り込みます",
    ),
    "looks-eaten": (
        "warning", "{text} is shorter than the others; were zeros taken away?",
        "{text} は ほかより 短いです。先頭の 0 が 消えていませんか",
    ),
    # a row of readings
    "no-subject": (
        "refusal", "'{text}' is none of the subjects of the mapping", "「{text}」は マッピングに ありません",
    ),
    "whose": ("refusal", "says whose it is nowhere", "どれの 値か 書いてありません"),
    "not-a-subject": ("refusal", "'{text}' cannot be a subject's name", "「{text}」は 名前に 使えません"),
    "no-quantity": (
        "refusal", "quantity '{text}' is not in the catalogue{near}", "項目「{text}」は ありません",
    ),
    "no-unit": (
        "refusal", "unit '{text}' does not measure {name} ({known})",
        "単位「{text}」は {name}({known}) に 使えません",
    ),
    "not-plausible": (
        "refusal", "{text} is outside {bounds}, which {name} can be",
        "{text} は {name} の 範囲 {bounds} に ありません",
    ),
    "not-stored": ("refusal", "{why}", "保存できません: {why}"),
    "no-time": ("refusal", "'{text}' is no time {form}", "「{text}」は 日時として 読めません"),
    "clock-forward": (
        "refusal", "'{text}' does not exist in {zone}: the clock was put forward",
        "「{text}」は {zone} に ない 時刻です",
    ),
    "not-in-time": (
        "refusal", "'{text}' is before 1978 or after 9999", "「{text}」は 1978年より前か 9999年より後です",
    ),
    # between plan and apply, and back
    "changed": (
        "refusal", "was changed on file since this was planned", "確認した あとに 登録が 変わりました",
    ),
    "changed-since": (
        "refusal", "was changed since the import; it stays as it is",
        "取り込みの あとに 変わっています。そのまま 残します",
    ),
    "gone-since": ("refusal", "is gone since", "もう ありません"),
    "in-use": ("refusal", "something hangs on it by now: {why}; it stays", "ほかで 使われています。残します: {why}"),
    # the whole file
    "readings-stay": (
        "warning", "readings cannot be taken back: the store has no way to remove single values",
        "測定値の 取り込みは 取り消せません(保存先に 値を 1つずつ 消す 方法が ありません)",
    ),
    "column-unused": ("warning", "column '{text}' is not taken", "列「{text}」は 使いません"),
    "looks-like": (
        "warning", "column '{text}' is taken for {quantity}, but {count} of {all} values look like {other}",
        "列「{text}」は {quantity} として 読みますが、{all}件のうち {count}件は {other} の ような 値です",
    ),
    "read-as": (
        "warning", "read as {encoding}, separated by {delimiter}", "{encoding}、区切り {delimiter} で 読みました",
    ),
}  # fmt: skip
