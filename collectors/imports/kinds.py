"""What the rows of a file may be about, and the heads by which a column is known without a mapping. Facts only.

A `Cell` is what a column may hold: how it is read, and its heads as files in Japan and elsewhere have them. Heads are
compared without regard to width, case, blanks, hyphens and underscores.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from collectors.registry.fields import SOIL_NAMES
from makiba.herd_event import KIND_NAMES, KINDS
from makiba.herd_event import Kind as EventKind

Kind = Literal["animals", "events", "fields"]
"""What is a row of the registry each; `readings` are imported too, by `collectors/ways/csv_import.py`."""
TABLES: Final[tuple[Kind, ...]] = get_args(Kind)

Reader = Literal[
    "digits", "tag", "text", "day", "label", "lines", "time", "word", "number", "whole", "hours", "outline"
]


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing that a row says. `most`: characters of a text, or how many digits; `low`..`high` of a number.

    `words`: what a choice is called in files; what is kept is the value. `factor`: kept = number * factor.
    """

    name: str
    read: Reader
    ja: str
    en: str
    heads: tuple[str, ...] = ()
    most: int = 200
    words: Mapping[str, str] = field(default_factory=dict)
    low: float = 0.0
    high: float = 0.0
    factor: float = 1.0


def fold(head: str) -> str:
    """`head` without what differs between files of the same meaning."""
    plain = unicodedata.normalize("NFKC", head).casefold()
    return "".join(c for c in plain if not c.isspace() and c not in "-_.・:")


def by_word(**values: str) -> Mapping[str, str]:
    """`value="a b"`: the folded words of files by the value that they mean; `_` in a value stands for `-`."""
    found: dict[str, str] = {}
    for value, words in values.items():
        kept = value.replace("_", "-")
        found |= {fold(word): kept for word in (kept, *words.split())}
    return {word: kept for word, kept in found.items() if word}


SEX: Final = by_word(
    female="f ♀ 雌 メス めす 女 cow heifer 1",
    male="m ♂ 雄 オス おす bull 2",
    castrated="steer 去勢 去 ヌキ 3",
    unknown="不明 不詳 u",
)
EVENT_KINDS: Final[Mapping[str, str]] = {
    **{fold(word): kind for kind in KINDS for word in (kind, KIND_NAMES[kind]["ja"], KIND_NAMES[kind]["en"])},
    **{
        fold(word): kind
        for kind, words in {
            "calving": "出産 分べん 産子 calved birth parturition",
            "abortion": "早産死産 流死産",
            "insemination": "種付 種付け 人工授精 AI 授精日 受精 service bred breeding",
            "pregnancy-check": "妊鑑 鑑定 妊娠診断 妊否 PD preg pregcheck",
            "heat": "発情発見 estrus oestrus",
            "dry-off": "乾乳開始 dry dryoff dried",
            "treatment": "診療 投薬 治療記録 病傷 drug health",
            "move": "移動 移群 群移動 group",
            "weaning": "哺乳終了 weaned",
            "weight": "体重 weigh",
            "note": "備考 メモ memo",
            "arrival": "購入 転入 搬入 purchase bought",
            "sale": "売却 出荷 転出 搬出 sold",
            "death": "へい死 斃死 とう汰 died dead",
        }.items()
        for word in words.split()
    },
}

_KEYS: Final = (
    Cell(
        "national_id",
        "digits",
        "個体識別番号",
        "national id",
        (
            "個体識別番号",
            "個体識別",
            "個体番号",
            "識別番号",
            "個体ID",
            "個体識別番号(10桁)",
            "national id",
            "nationalid",
            "national number",
            "individual id",
            "animal id",
            "cow id",
            "ten digit id",
        ),
        most=10,
    ),
    Cell(
        "tag",
        "tag",
        "電子耳標",
        "electronic ear tag",
        (
            "電子耳標",
            "電子耳標番号",
            "耳標",
            "耳標番号",
            "RFID",
            "EID",
            "tag",
            "ear tag",
            "eartag",
            "electronic id",
            "transponder",
            "トランスポンダ",
            "ISO11784",
        ),
        most=15,
    ),
    Cell(
        "number",
        "label",
        "牛番号",
        "farm number",
        (
            "牛番号",
            "管理番号",
            "牛No",
            "牛№",
            "No",
            "№",
            "番号",
            "牛舎番号",
            "拡大番号",
            "4桁番号",
            "number",
            "farm number",
            "cow number",
            "cow no",
            "management number",
            "visual id",
        ),
        most=32,
    ),
)
_NOTE: Final = Cell(
    "note", "lines", "備考", "note", ("備考", "メモ", "摘要", "コメント", "note", "notes", "remarks", "comment"), 2000
)

ANIMALS: Final = (
    *_KEYS,
    Cell("name", "text", "名号", "name", ("名号", "名前", "牛名", "呼び名", "名", "愛称", "name", "cow name"), 100),
    Cell("sex", "word", "性別", "sex", ("性別", "性", "雌雄", "雌雄の別", "sex", "gender"), words=SEX),
    Cell("breed", "text", "品種", "breed", ("品種", "種別", "種類", "breed"), 64),
    Cell(
        "born_on",
        "day",
        "生年月日",
        "born on",
        (
            "生年月日",
            "出生日",
            "誕生日",
            "出生年月日",
            "birth date",
            "birthdate",
            "date of birth",
            "dob",
            "born",
            "born on",
        ),
    ),
    Cell(
        "dam",
        "text",
        "母牛",
        "dam",
        (
            "母牛",
            "母牛個体識別番号",
            "母牛の個体識別番号",
            "母",
            "母牛番号",
            "母牛識別番号",
            "dam",
            "mother",
            "dam id",
        ),
        64,
    ),
    Cell("sire", "text", "父牛", "sire", ("父牛", "父", "種雄牛", "父牛名", "精液", "sire", "father", "bull"), 64),
    Cell(
        "group",
        "text",
        "牛群",
        "group",
        ("群", "牛群", "群名", "グループ", "ペン", "group", "pen", "herd group"),
        100,
    ),
    _NOTE,
)

_RESULT: Final = by_word(
    pregnant="妊娠 受胎 + ＋ プラス 有 yes positive p",
    empty="空胎 不受胎 - マイナス 無 open negative no",
    unsure="再鑑定 疑 recheck",
    unknown="不明",
)
_METHOD: Final = by_word(
    artificial="AI 人工授精 ai",
    natural="自然交配 まき牛 NS natural",
    embryo="ET 受精卵移植 移植 et",
    palpation="直腸検査 直検 触診",
    ultrasound="エコー 超音波 echo",
    milk="乳汁",
    blood="血液",
    scale="体重計 はかり",
    tape="体尺 胸囲 テープ",
    estimated="目測 推定",
    other="その他",
    unknown="不明",
)
_EASE: Final = by_word(
    unassisted="自然 安産 正常 1 easy normal",
    assisted="介助 軽い介助 2",
    difficult="難産 3 hard",
    veterinary="獣医 獣医師介助 4",
    surgery="帝王切開 5 caesarean cesarean",
    unknown="不明",
)
_ALIVE: Final = by_word(yes="生 生存 正常 true 1 alive live ○", no="死 死産 false 0 dead stillborn ×")
_STRENGTH: Final = by_word(weak="弱 弱い", normal="普通 中", strong="強 強い", unknown="不明")

DETAIL: Final = (
    Cell("bull", "text", "種雄牛", "bull", ("種雄牛", "精液", "精液名", "種牛", "bull", "sire", "semen"), 64),
    Cell("method", "word", "方法", "method", ("方法", "授精方法", "鑑定方法", "method"), words=_METHOD),
    Cell(
        "straw",
        "text",
        "ストロー",
        "straw",
        ("ストロー", "ストロー番号", "精液証明書番号", "ロット", "straw", "batch"),
        64,
    ),
    Cell(
        "technician",
        "text",
        "授精師",
        "technician",
        ("授精師", "授精師名", "実施者", "担当", "担当者", "technician", "inseminator"),
    ),
    Cell("result", "word", "結果", "result", ("結果", "妊否", "鑑定結果", "受胎", "result"), words=_RESULT),
    Cell(
        "days", "whole", "妊娠日数", "days pregnant", ("妊娠日数", "胎齢", "days", "days pregnant"), low=1, high=300
    ),
    Cell(
        "ease",
        "word",
        "分娩難易",
        "calving ease",
        ("分娩難易", "難易", "難易度", "介助", "ease", "calving ease"),
        words=_EASE,
    ),
    Cell(
        "calf_id",
        "digits",
        "子牛の個体識別番号",
        "calf's national id",
        (
            "子牛個体識別番号",
            "子牛の個体識別番号",
            "産子個体識別番号",
            "産子番号",
            "子牛番号",
            "calf id",
            "calf",
        ),
        most=10,
    ),
    Cell(
        "calf_sex",
        "word",
        "子牛の性別",
        "calf's sex",
        ("子牛性別", "子牛の性別", "産子性別", "産子の性", "calf sex"),
        words=SEX,
    ),
    Cell(
        "calf_alive",
        "word",
        "子牛の生死",
        "calf alive",
        ("生死", "子牛の生死", "産子生死", "alive", "calf alive"),
        words=_ALIVE,
    ),
    Cell(
        "calf_weight_kg",
        "number",
        "生時体重",
        "birth weight",
        ("生時体重", "出生体重", "birth weight", "birth weight kg"),
        low=1,
        high=200,
    ),
    Cell("strength", "word", "発情の強さ", "strength of heat", ("発情の強さ", "強さ", "strength"), words=_STRENGTH),
    Cell("signs", "text", "発情の様子", "signs of heat", ("発情の様子", "徴候", "signs")),
    Cell(
        "drug",
        "text",
        "薬品",
        "drug",
        ("薬品", "薬品名", "薬剤", "薬剤名", "医薬品", "医薬品名", "drug", "medicine", "product"),
    ),
    Cell("dose", "text", "用量", "dose", ("用量", "投与量", "dose", "dosage")),
    Cell("reason", "text", "理由", "reason", ("理由", "病名", "診断", "診断名", "reason", "diagnosis", "disease")),
    Cell(
        "milk_withdrawal_h",
        "hours",
        "牛乳の出荷制限(時間)",
        "milk withdrawal (h)",
        (
            "牛乳の出荷制限",
            "乳出荷制限",
            "乳休薬期間",
            "乳休薬時間",
            "生乳出荷制限",
            "休薬(乳)",
            "milk withdrawal",
            "milk withdrawal h",
        ),
        high=24 * 366,
    ),
    Cell(
        "meat_withdrawal_h",
        "hours",
        "肉の出荷制限(時間)",
        "meat withdrawal (h)",
        (
            "肉の出荷制限",
            "肉出荷制限",
            "肉休薬期間",
            "肉休薬時間",
            "休薬(肉)",
            "meat withdrawal",
            "meat withdrawal h",
        ),
        high=24 * 366,
    ),
    Cell(
        "group",
        "text",
        "移動先の群",
        "group",
        ("移動先", "移動先の群", "群", "牛群", "群名", "to group", "group", "pen"),
        100,
    ),
    Cell(
        "weight_kg",
        "number",
        "体重",
        "body weight",
        ("体重", "体重(kg)", "体重kg", "weight", "weight kg", "body weight"),
        low=1,
        high=2000,
    ),
    Cell("origin", "text", "導入元", "origin", ("導入元", "購入先", "前所有者", "origin", "from")),
    Cell("buyer", "text", "販売先", "buyer", ("販売先", "売却先", "出荷先", "購入者", "buyer", "sold to")),
    Cell("cause", "text", "原因", "cause", ("原因", "死因", "cause")),
)

EVENTS: Final = (
    *_KEYS,
    Cell(
        "kind",
        "word",
        "種類",
        "kind",
        ("種類", "区分", "イベント", "出来事", "項目", "繁殖区分", "kind", "event", "type", "event type"),
        words=EVENT_KINDS,
    ),
    Cell(
        "day", "day", "日付", "day", ("日付", "年月日", "月日", "実施日", "発生日", "日", "date", "day", "event date")
    ),
    Cell("time", "time", "時刻", "time of day", ("時刻", "時間", "time", "time of day")),
    Cell(
        "key",
        "text",
        "記録番号",
        "record number",
        ("記録番号", "記録ID", "イベントID", "key", "record id", "event id", "uid"),
        150,
    ),
    *DETAIL,
    _NOTE,
)

_EVENT_HEADS: Final[Mapping[EventKind, tuple[str, ...]]] = {
    "calving": ("分娩", "分娩日", "分娩年月日", "最終分娩日", "出産日", "calving date", "last calving", "calved on"),
    "insemination": (
        "授精",
        "授精日",
        "授精年月日",
        "最終授精日",
        "種付日",
        "種付け日",
        "AI日",
        "insemination date",
        "last service",
        "service date",
    ),
    "dry-off": ("乾乳", "乾乳日", "乾乳年月日", "dry-off date", "dried on"),
    "pregnancy-check": ("鑑定日", "妊娠鑑定日", "妊鑑日", "pregnancy check date"),
    "heat": ("発情", "発情日", "最終発情日", "heat date"),
    "weaning": ("離乳日", "weaning date"),
    "arrival": ("導入日", "購入日", "転入日", "転入年月日", "arrival date", "purchase date"),
    "sale": ("販売日", "売却日", "出荷日", "転出日", "転出年月日", "sale date", "sold on"),
    "death": ("死亡日", "死亡年月日", "へい死日", "death date", "died on"),
}
EVENT_DAYS: Final[Mapping[str, EventKind]] = {
    fold(head): kind for kind, heads in _EVENT_HEADS.items() for head in heads
}
"""Heads of columns that hold the day of an event of one kind: a file with a row per animal."""

SOILS: Final[Mapping[str, str]] = {
    **{fold(word): soil for soil, names in SOIL_NAMES.items() for word in (soil, names["ja"], names["en"])},
    **by_word(
        andosol="黒ボク 火山灰土 火山性土 volcanic",
        wet_andosol="湿性火山性土",
        peat="泥炭 低位泥炭土",
        sand="砂丘",
        brown_lowland="沖積土 低地土",
        gley="グライ",
    ),
}
LAND: Final = by_word(
    field="畑 ほ場 圃場 普通畑 田 crop arable", pasture="草地 牧草地 採草地 放牧地 牧野 grass grassland"
)
FIELDS: Final = (
    Cell(
        "number",
        "label",
        "ほ場番号",
        "field number",
        (
            "ほ場番号",
            "圃場番号",
            "圃場ID",
            "ほ場ID",
            "番号",
            "No",
            "№",
            "number",
            "field number",
            "field no",
            "field id",
            "id",
        ),
        32,
    ),
    Cell(
        "name",
        "text",
        "ほ場名",
        "field name",
        ("ほ場名", "圃場名", "ほ場", "圃場", "名称", "名前", "畑", "name", "field", "field name"),
        100,
    ),
    Cell("name_en", "text", "英語名", "English name", ("英語名", "ほ場名(英語)", "name en", "english name"), 100),
    Cell("kind", "word", "種類", "kind", ("種類", "地目", "区分", "kind", "type", "land use"), words=LAND),
    Cell(
        "soil",
        "word",
        "土の種類",
        "soil",
        ("土", "土壌", "土の種類", "土性", "土壌の種類", "soil", "soil type"),
        words=SOILS,
    ),
    Cell("crop", "text", "作物", "crop", ("作物", "作目", "作物名", "作付", "crop"), 64),
    Cell("variety", "text", "品種", "variety", ("品種", "品種名", "variety", "cultivar"), 64),
    Cell(
        "sown_on",
        "day",
        "播種日",
        "sown on",
        ("播種日", "は種日", "播種", "種まき", "sowing date", "sown", "sown on"),
    ),
    Cell(
        "planted_on",
        "day",
        "定植日",
        "planted on",
        ("定植日", "植付日", "植え付け日", "移植日", "planting date", "planted on"),
    ),
    Cell("harvested_on", "day", "収穫日", "harvested on", ("収穫日", "刈取日", "harvest date", "harvested on")),
    Cell(
        "outline",
        "outline",
        "形",
        "outline",
        ("形", "図形", "ポリゴン", "geojson", "outline", "geometry", "polygon"),
        100_000,
    ),
    _NOTE,
)

CELLS: Final[Mapping[Kind, Sequence[Cell]]] = {"animals": ANIMALS, "events": EVENTS, "fields": FIELDS}

KEYS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "animals": ("national_id", "tag", "number"),
    "events": ("national_id", "tag", "number", "key"),
    "fields": ("number", "name"),
}
"""By which of its cells a row is found on file; without one of their columns a file says nothing."""


def cell_of(kind: Kind, name: str) -> Cell:
    """The cell `name` of a kind."""
    return next(cell for cell in CELLS[kind] if cell.name == name)


def known_heads(kind: Kind) -> Mapping[str, str]:
    """Folded head to the cell that it stands for; the first that claims a head has it."""
    found: dict[str, str] = {}
    for cell in CELLS[kind]:
        for head in (cell.name, cell.ja, cell.en, *cell.heads):
            found.setdefault(fold(head), cell.name)
    return found
