"""What the LINE account answers: plain Japanese and English, one idea a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from analytics.notify.answers import Action, Answered
from api.shapes import Names

WELCOME: Final = Names(
    ja=(
        "まきばです。\nまきばの ページの「設定」→「通知」を 開いてください。\n"
        "そこに 出る 番号を、ここに 送ってください。"
    ),
    en="This is Makiba.\nOpen Settings, then Notifications, on its pages.\nSend the code that you see there here.",
)
LINKED: Final = Names(
    ja="{who}さんの 知らせを ここに 送ります。\nやめる ときは「やめる」と 送ってください。",
    en="Alerts for {who} will come here.\nTo stop, send “stop”.",
)
NO_CODE: Final = Names(
    ja="この 番号は 使えません。\nページで 新しい 番号を 出して、10分 以内に 送ってください。",
    en="This code cannot be used.\nGet a new one on the pages and send it within 10 minutes.",
)
TOO_OFTEN: Final = Names(
    ja="番号が 何回も ちがいます。\n5分 待ってから、もう一度 送ってください。",
    en="Too many wrong codes.\nPlease wait 5 minutes and send it again.",
)
TOO_MANY: Final = Names(
    ja="連絡先が 多すぎます。\nページで 使わない ものを 消してください。",
    en="You have too many addresses.\nPlease remove one on the pages.",
)
STOPPED: Final = Names(
    ja="もう ここには 送りません。\nまた 使う ときは、新しい 番号を 送ってください。",
    en="Nothing more will come here.\nTo start again, send a new code.",
)
HELP: Final = Names(
    ja=(
        "ここには まきばの 知らせが 届きます。\n返事は ボタンを 押してください。\n書いた 文は だれも 読みません。\n"
        "やめる ときは「やめる」と 送ってください。"
    ),
    en=(
        "Makiba's alerts come here.\nPlease answer with the buttons.\nNobody reads what you write.\n"
        "To stop, send “stop”."
    ),
)
NOTHING: Final = Names(
    ja="この 知らせは、今は 見られません。",
    en="This alert cannot be seen any more.",
)
_OTHERS: Final[Mapping[str, Names]] = {
    "nothing": NOTHING,
    "not-you": Names(
        ja="この 知らせには、牧場の 人だけが 答えられます。", en="Only the farm's own people can answer this."
    ),
    "already": Names(ja="{who}さんが もう 見ました。", en="{who} has seen it already."),
    "ended": Names(ja="この 知らせは もう 終わりました。", en="This alert has ended already."),
    "over": Names(
        ja="値は 正常に もどりました。\n安全を たしかめて、ページで「解除する」を 押してください。",
        en="Values are back to normal.\nMake sure that it is safe, then press “Reset” on the pages.",
    ),
    "stale": Names(
        ja="この 知らせの あとで、変わりました。\n新しい 知らせの ボタンを 押してください。",
        en="It has changed since this message.\nPlease press the button of the newest one.",
    ),
    "not-now": Names(
        ja="これは あとに できません。\n今 見てください。",
        en="This cannot be put off.\nPlease look now.",
    ),
}
_DONE: Final[Mapping[Action, Names]] = {
    "acknowledge": Names(
        ja="見た ことを 伝えました。\nほかの 人には もう 鳴らしません。",
        en="The others know that you have seen it.\nNobody else will be called.",
    ),
    "going": Names(
        ja="行く ことを 伝えました。\n気を つけて 行ってください。",
        en="The others know that you are going.\nTake care.",
    ),
    "snooze": Names(ja="1時間 あとで もう一度 知らせます。", en="It will be told again in an hour."),
}


def said(names: Names, language: str, **filling: str) -> str:
    """The words in one language, filled in."""
    text = names.en if language == "en" else names.ja
    for name, value in filling.items():
        text = text.replace("{" + name + "}", value)
    return text


def said_of(answered: Answered, action: Action, language: str) -> str:
    """What became of an answer."""
    names = _DONE[action] if answered.kind == "done" else _OTHERS[answered.kind]
    return said(names, language, who=answered.who)


def names_of(answered: Answered, action: Action) -> Names:
    """The same in both languages."""
    return Names(ja=said_of(answered, action, "ja"), en=said_of(answered, action, "en"))
