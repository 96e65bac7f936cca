"""Tokens of programs: the signed-in person makes, sees and revokes their own. A program can do none of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Path

from api import tokens as written
from api.centre import CentreNow
from api.fresh import Proof
from api.once import Once
from api.paging import Paging
from api.problems import existing, invalid
from api.sessions import Browser, writing
from api.shapes import Names
from api.shapes.tokens import NewToken, TokenIn, TokenOut, TokensOut
from collectors.registry import tokens
from collectors.registry.schema.access import ApiToken

router = APIRouter(tags=["tokens"])

WHAT: Final[Mapping[str, Names]] = {
    "token.made": Names(ja="プログラムの 鍵を 作りました", en="made a token for a program"),
    "token.revoked": Names(ja="プログラムの 鍵を 取り消しました", en="revoked a program's token"),
}

TokenId = Annotated[str, Path(max_length=64)]


@router.get("/tokens")
def list_of(browser: Browser, centre: CentreNow, page: Paging) -> TokensOut:
    """The tokens of the signed-in person, the newest first, also those that are over. No secret is in it."""
    now_ms = centre.clock()
    with centre.registry.read() as session:
        rows = tokens.list_tokens(session, browser.person, browser.person.id, page.ask, page.after)
    rows, next_page = page.cut(rows, lambda row: (row.created_ms, row.id))
    return TokensOut(rows=[shown(row, now_ms) for row in rows], next=next_page)


@router.post("/tokens", status_code=201)
def make(given: TokenIn, browser: Browser, centre: CentreNow, once: Once, proof: Proof) -> NewToken:
    """A new token. `token` is told this once and never again; the same Idempotency-Key again answers 409.

    It can do at most what its person may at that moment, less what is left out here; never what only a person decides
    at a browser: tokens, sign-in, roles, invitations, consents, the end of a farm, administration. It needs a proof
    of the last ten minutes: 403 `proof-needed`.
    """
    proof.require()
    token, now_ms = written.new(), centre.clock()
    wish = tokens.Wish(given.name, given.expires_ms, given.sites, given.classes, given.actions)
    with once.write() as session:
        try:
            row = tokens.make(session, browser.person, browser.person, token.id, token.secret_hash, wish, now_ms)
        except tokens.WrongToken as error:
            raise invalid(error.field, error.why) from None
        told = NewToken(**shown(row, now_ms).model_dump(), token=token.spell())
        return once.made(told, f"/tokens/{row.id}", secret=True)


@router.get("/tokens/{token_id}")
def one(token_id: TokenId, browser: Browser, centre: CentreNow) -> TokenOut:
    """One token of the signed-in person, without its secret."""
    with centre.registry.read() as session:
        row = existing(tokens.get_token(session, browser.person, browser.person.id, token_id))
    return shown(row, centre.clock())


@router.delete("/tokens/{token_id}", status_code=204)
def revoke(token_id: TokenId, browser: Browser, centre: CentreNow) -> None:
    """Ends the token at once, on open streams too. Again changes nothing."""
    with writing(centre, browser.person) as session:
        existing(tokens.revoke(session, browser.person, browser.person.id, token_id, centre.clock()))


def shown(row: ApiToken, now_ms: int) -> TokenOut:
    """A token as its person sees it."""
    return TokenOut.model_validate(
        {
            "id": row.id,
            "name": row.name,
            "sites": row.sites,
            "classes": row.classes,
            "actions": row.actions,
            "created_ms": row.created_ms,
            "expires_ms": row.expires_ms,
            "used_ms": row.used_ms,
            "revoked_ms": row.revoked_ms,
            "holds": row.revoked_ms is None and now_ms < row.expires_ms,
        }
    )
