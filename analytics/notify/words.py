"""What a message says, in Japanese and English: what is wrong, where, since when, what to do. Pure; one idea a line.

The words of an alert are its rule's (`analytics.texts`); here they become a title and a body that can be read on a
locked phone at night, or read aloud by a telephone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from analytics.notify.port import Button
from analytics.texts import Described, Names

MOST_LISTED: Final = 8

_SEVERITY: Final[Mapping[str, Names]] = {
    "critical": {"ja": "【緊急】", "en": "URGENT: "},
    "warning": {"ja": "【警報】", "en": "Warning: "},
    "advisory": {"ja": "【注意】", "en": "Note: "},
    "info": {"ja": "", "en": ""},
}
_BUTTONS: Final[Mapping[str, Names]] = {
    "open": {"ja": "くわしく", "en": "Open"},
    "acknowledge": {"ja": "見ました", "en": "Seen"},
    "snooze": {"ja": "1時間 あとで", "en": "In an hour"},
}


@dataclass(frozen=True, slots=True)
class Words:
    """A message in one language."""

    title: str
    body: str
    buttons: tuple[Button, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """An alert as a message tells of it. `number`: which round this is, 0 the first."""

    described: Described
    severity: str
    farm: Names
    onset_ms: int
    zone: ZoneInfo
    number: int = 0
    life_safety: bool = False


def of_alert(told: Told, language: str, now_ms: int) -> Words:
    """One alert."""
    said, ja = told.described, language == "ja"
    again = ("もう一度: " if ja else "Again: ") if told.number else ""
    since = since_words(told.onset_ms, now_ms, told.zone, language)
    place = said.place_name[language] if said.place_name else ""
    lines = [said.message[language], said.action[language]]
    lines += [f"{'場所' if ja else 'Where'}: {place}"] if place else []
    lines += [since]
    lines += [said.note[language]] if said.note else []
    actions = ["open", "acknowledge", *(["snooze"] if not told.life_safety else [])]
    return Words(
        f"{_SEVERITY.get(told.severity, _SEVERITY['info'])[language]}{again}{said.title[language]}"
        + (f" — {told.farm[language]}" if told.farm.get(language) else ""),
        "\n".join(line for line in lines if line),
        tuple(_button(action, language) for action in actions),
    )


def of_list(tolds: Sequence[Told], language: str, *, is_morning: bool) -> Words:
    """Several alerts that waited, the worst first."""
    ja = language == "ja"
    count = len(tolds)
    if is_morning:
        title = f"けさの お知らせ {count}件" if ja else f"This morning: {count} to look at"
    else:
        title = f"お知らせが {count}件 あります" if ja else f"{count} things to look at"
    farms = {told.farm.get(language, "") for told in tolds}
    lines = [
        f"・{_SEVERITY.get(told.severity, _SEVERITY['info'])[language]}{told.described.title[language]}"
        f"{_about(told, language)}" + (f" — {told.farm[language]}" if len(farms) > 1 else "")
        for told in tolds[:MOST_LISTED]
    ]
    if count > MOST_LISTED:
        lines.append(f"ほか {count - MOST_LISTED}件" if ja else f"and {count - MOST_LISTED} more")
    return Words(title, "\n".join(lines), (_button("open", language),))


def of_late(farm: Names, from_ms: int, to_ms: int, titles: Sequence[Names], zone: ZoneInfo, language: str) -> Words:
    """What was while nothing arrived: over by now."""
    span = f"{_clock(from_ms, zone)}–{_clock(to_ms, zone)}"
    if language == "ja":
        title = f"つながらない 間の 記録 — {farm['ja']}"
        head = f"{span} の データが あとから 届きました。いまは 終わっています。"
        lines = [f"・{name['ja']}" for name in titles[:MOST_LISTED]] or ["問題は ありませんでした。"]
        rest = f"ほか {len(titles) - MOST_LISTED}件"
    else:
        title = f"While the line was down — {farm['en']}"
        head = f"The data of {span} came late. These are over."
        lines = [f"・{name['en']}" for name in titles[:MOST_LISTED]] or ["There was no problem."]
        rest = f"and {len(titles) - MOST_LISTED} more"
    lines += [rest] if len(titles) > MOST_LISTED else []
    return Words(title, "\n".join([head, *lines]), (_button("open", language),))


def of_quota(channel: str, left: int, monthly: int, language: str) -> Words:
    """To administrators: how much of a channel's month remains."""
    name = channel.upper() if channel in ("line", "sms") else channel
    if language == "ja":
        return Words(
            f"{name}の 残りが {left}通です",
            f"今月は {monthly}通の うち 残り {left}通です。\n緊急の ために 2割を 残します。\n"
            "プランを 見直してください。プッシュ通知を すすめてください。",
        )
    return Words(
        f"{name}: {left} messages left this month",
        f"{left} of {monthly} messages are left this month.\nOne fifth is kept for what is urgent.\n"
        "Look at the plan, or ask people to turn on push.",
    )


def of_unreachable(farm: str, language: str) -> Words:
    """To administrators: a farm of which nobody can be reached. No word of what is wrong there."""
    if language == "ja":
        return Words(
            f"{farm}: だれにも 連絡できません",
            "警報を 送る 先が ありません。\n牧場に 電話してください。\n連絡先と 当番表を たしかめてください。",
        )
    return Words(
        f"{farm}: nobody can be reached",
        "There is an alert and nowhere to send it.\nCall the farm.\nCheck its addresses and its rota.",
    )


def of_code(code: str, language: str) -> Words:
    """The code of a new address."""
    spelled = " ".join(code)
    if language == "ja":
        return Words("Makibaの 確認コード", f"確認コードは {spelled} です。\n15分以内に 画面に 入れてください。")
    return Words("Makiba code", f"The code is {spelled}.\nType it in within 15 minutes.")


def of_recovery(url: str, language: str) -> Words:
    """The link for who cannot get in."""
    if language == "ja":
        return Words(
            "Makibaに もう一度 入る",
            f"この アドレスを 開くと 入れます（1時間以内に 1回だけ）:\n{url}\n"
            "前の パスワードや パスキーは 使えなくなります。\n自分で たのんで いなければ、開かないでください。",
        )
    return Words(
        "Getting into Makiba again",
        f"Open this address to get in, once, within an hour:\n{url}\n"
        "Your old password and passkeys will hold no more.\nIf you did not ask for it, do not open it.",
    )


def of_test(language: str) -> Words:
    """That an address works."""
    if language == "ja":
        return Words("Makibaの テスト", "届きました。警報は ここに 来ます。")
    return Words("Makiba test", "It arrived. Alerts come here.")


def plain(rule: str, farm: str, language: str) -> Words:
    """When the words of an alert cannot be made: better this than nothing."""
    if language == "ja":
        return Words(f"【警報】{rule} — {farm}", "Makibaを 開いて 見てください。")
    return Words(f"Warning: {rule} — {farm}", "Open Makiba and look.")


def since_words(onset_ms: int, now_ms: int, zone: ZoneInfo, language: str) -> str:
    """Since when, by the farm's clock, and how long that is."""
    minutes = max(0, now_ms - onset_ms) // 60_000
    clock = _clock(onset_ms, zone)
    if minutes < 1:
        return f"{clock} から" if language == "ja" else f"Since {clock}"
    if minutes < 120:
        return f"{clock} から（{minutes}分）" if language == "ja" else f"Since {clock} ({minutes} min)"
    hours = minutes // 60
    if hours < 48:
        return f"{clock} から（{hours}時間）" if language == "ja" else f"Since {clock} ({hours} h)"
    day = datetime.fromtimestamp(onset_ms / 1000, UTC).astimezone(zone)
    if language == "ja":
        return f"{day.month}月{day.day}日 {clock} から"
    return f"Since {day.year}-{day.month:02}-{day.day:02} {clock}"


def _about(told: Told, language: str) -> str:
    name = told.described.place_name or told.described.subject_name
    return f"（{name[language]}）" if language == "ja" else f" ({name[language]})"


def _button(action: str, language: str) -> Button:
    label = _BUTTONS[action][language]
    return Button("acknowledge" if action == "acknowledge" else "snooze" if action == "snooze" else "open", label)


def _clock(at_ms: int, zone: ZoneInfo) -> str:
    local = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone)
    return f"{local.hour}:{local.minute:02}"
