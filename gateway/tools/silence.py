"""Resetting an alarm by hand: a wish beside the spool, which the running gateway takes, and what came of it."""

from __future__ import annotations

import json
import time
from typing import Any

from gateway.alarm import note_path, request_path
from gateway.site import Gateway
from gateway.tools.language import Say

WAIT_S = 5.0


def silence(gateway: Gateway, say: Say) -> tuple[list[str], bool]:
    """Lines for a person, and whether nothing sounds any more."""
    if not gateway.watches:
        return [say("この ファイルに 警報は ありません。", "This file declares no alarm.")], True
    request = request_path(gateway)
    try:
        request.touch()
    except OSError as error:
        return [f"{request}: {error.strerror}"], False
    deadline = time.monotonic() + WAIT_S
    while request.exists():
        if time.monotonic() > deadline:
            request.unlink(missing_ok=True)
            return [
                say(
                    "ゲートウェイが 動いていません。先に 動かしてください。",
                    "The gateway does not run; nothing was reset. Start it first.",
                )
            ], False
        time.sleep(0.1)
    note: dict[str, Any] = json.loads(note_path(gateway).read_text(encoding="utf-8"))
    if note["raised"]:
        what = ", ".join(f"{rule} ({subject})" for rule, subject in note["raised"])
        return [
            say(f"まだ 終わっていません: {what}", f"Not over yet: {what}"),
            say(
                "警報は 止めません。入らないでください。",
                "The alarm goes on. Do not enter.",
            ),
        ], False
    return [say("警報を 戻しました。", "The alarm is reset.")], True
