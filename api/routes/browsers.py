"""The browsers that somebody is signed in with, and what happened to their account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request

from api.centre import CentreNow
from api.device_words import device_words
from api.etags import Tagging
from api.fresh import session_row
from api.problems import not_found
from api.sessions import Browser
from api.shapes import Names
from api.shapes.sign_in import BrowserOut, BrowsersOut, NoticeOut, NoticesOut, NoticesSeen
from collectors.registry import browsers
from collectors.registry.browsers import NoticeKind
from collectors.registry.schema.sign_in import SignInNotice

router = APIRouter(tags=["sign-in"])

WORDS: Final[Mapping[NoticeKind, Names]] = {
    "signed-in": Names(ja="ログインが ありました", en="somebody signed in as you"),
    "password-changed": Names(ja="パスワードが 変わりました", en="the password was changed"),
    "password-removed": Names(ja="パスワードを なくしました", en="the password was taken away"),
    "passkey-added": Names(ja="パスキーが 加わりました", en="a passkey was added"),
    "passkey-removed": Names(ja="パスキーを 外しました", en="a passkey was removed"),
    "passkey-copied": Names(
        ja="パスキーの 使用回数が 合わないため 断りました。複製されたかもしれません。外してください",
        en="a passkey was refused since its count does not fit: there may be a copy of it; remove it",
    ),
    "codes-on": Names(ja="確認コードを 使い始めました", en="codes follow the password from now on"),
    "codes-off": Names(ja="確認コードを やめました", en="no code follows the password any more"),
    "code-used-again": Names(
        ja="使われた 確認コードが もう一度 入力され 断りました", en="a code that was used came again, and was refused"
    ),
    "recovery-code-used": Names(ja="回復コードが 使われました", en="a recovery code was used"),
    "recovery-codes-made": Names(ja="回復コードを 作り直しました", en="new recovery codes were made"),
    "browsers-signed-out": Names(
        ja="ほかの 端末を ログアウトしました。プログラムの トークンは 続いています",
        en="other browsers were signed out; tokens of programs go on",
    ),
    "account-linked": Names(ja="ほかの アカウントが つながりました", en="an account elsewhere was linked"),
    "account-unlinked": Names(ja="ほかの アカウントを 外しました", en="an account elsewhere was unlinked"),
}

BrowserId = Annotated[str, Path(max_length=64)]


@router.get("/sessions")
def list_of(browser: Browser, centre: CentreNow, tags: Tagging) -> BrowsersOut:
    """Where the person is signed in, the newest first; at most 500."""
    with centre.registry.read() as session:
        rows = browsers.list_sessions(session, browser.person, centre.clock())
    told = [
        BrowserOut(
            id=row.id,
            device=device_words(row.device),
            way=row.way,  # type: ignore[arg-type]  # pydantic looks
            created_ms=row.created_ms,
            seen_ms=row.seen_ms,
            expires_ms=row.expires_ms,
            this=row.token_hash == browser.session_hash,
        )
        for row in rows
    ]
    return tags.content(BrowsersOut(rows=told, next=None))


@router.delete("/sessions", status_code=204)
def end_others(browser: Browser, request: Request, centre: CentreNow) -> None:
    """Signs the person out everywhere but here, at once.

    Tokens of programs go on until they are revoked.
    """
    with centre.registry.write() as session:
        if browsers.end_other_sessions(session, browser.person, browser.session_hash):
            browsers.notify(
                session, browser.person, browser.person.id, "browsers-signed-out", centre.clock(),
                device=request.headers.get("user-agent", ""),
            )  # fmt: skip


@router.delete("/sessions/{browser_id}", status_code=204)
def end(browser_id: BrowserId, browser: Browser, centre: CentreNow) -> None:
    """Signs one of the person's browsers out, at once; its open pages too."""
    with centre.registry.write() as session:
        if not browsers.end_session(session, browser.person, browser_id):
            raise not_found()


@router.get("/session/notices")
def notices(browser: Browser, centre: CentreNow, tags: Tagging) -> NoticesOut:
    """What happened to the person's account, the newest first; at most the last 50."""
    this = session_row(centre, browser).id
    with centre.registry.read() as session:
        rows = browsers.list_notices(session, browser.person)
    return tags.content(NoticesOut(rows=[_shown(row, this) for row in rows], next=None))


@router.put("/session/notices/seen", status_code=204)
def seen(given: NoticesSeen, browser: Browser, centre: CentreNow) -> None:
    """The person has seen what happened until then."""
    with centre.registry.write() as session:
        browsers.notices_seen(session, browser.person, given.until_ms, centre.clock())


def _shown(row: SignInNotice, this: str) -> NoticeOut:
    return NoticeOut.model_validate(
        {
            "id": row.id,
            "kind": row.kind,
            "words": next((words for kind, words in WORDS.items() if kind == row.kind), Names(ja="", en="")),
            "at_ms": row.at_ms,
            "way": row.way,
            "device": device_words(row.device) if row.device else None,
            "this": row.session_id == this,
            "seen_ms": row.seen_ms,
        }
    )
