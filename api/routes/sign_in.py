"""A person's own ways in: passkeys, password, one-time codes. Every change needs a fresh proof of who they are."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request, Response
from sqlalchemy.orm import Session

from api import one_time, passkeys
from api.centre import PREFIX, Centre, CentreNow
from api.etags import Changing, Tagging
from api.fresh import Fresh, FreshOrFirst, fresh_or_first, fresh_until_ms, may_make_first_way, session_row
from api.password_rules import PasswordRefused, check_new_password
from api.problems import FieldError, Refused, existing, invalid, not_found
from api.qr import qr_svg
from api.routes.session import not_proved, signing_in_too_often
from api.sessions import Browser, renew_session, writing
from api.shapes.sign_in import (
    CodeIn,
    CodesBegun,
    PasskeyIn,
    PasskeyName,
    PasskeyOptions,
    PasskeyOut,
    PasswordIn,
    RecoveryCodes,
    WaysOut,
)
from api.signing_in import begin_challenge, confirm_with, party, proves_password, take_challenge
from collectors.registry import browsers, codes, people, sign_in
from collectors.registry.browsers import NoticeKind
from collectors.registry.schema.sign_in import Passkey
from collectors.registry.viewer import Person

router = APIRouter(prefix="/sign-in", tags=["sign-in"])

PasskeyId = Annotated[str, Path(max_length=64)]
_REFUSED = "The passkey's answer does not hold, or came too late; please begin again."


@router.get("")
def ways(browser: Browser, centre: CentreNow) -> WaysOut:
    """How the signed-in person comes in, and whether they proved just now who they are."""
    viewer, row, now_ms = browser.person, session_row(centre, browser), centre.clock()
    with centre.registry.read() as session:
        owned = sign_in.list_passkeys(session, viewer)
        has = sign_in.ways_in(session, viewer, viewer.id)
        totp = codes.totp_of(session, viewer, viewer.id)
        left = codes.recovery_codes_left(session, viewer)
    return WaysOut(
        password=has.password,
        passkeys=[_shown(p) for p in owned],
        passkeys_here=passkeys.relying_party(centre.settings.address) is not None,
        codes=totp is not None and totp.confirmed_ms is not None,
        recovery_codes_left=left,
        fresh_until_ms=fresh_until_ms(row),
        may_make_first=may_make_first_way(row, has, now_ms),
    )


# ----------------------------------------------------------------------------------------------------- passkeys


@router.post("/passkeys/options")
def passkey_options(viewer: FreshOrFirst, response: Response, centre: CentreNow) -> PasskeyOptions:
    """What the browser needs to make a new passkey. It has five minutes, and one try."""
    here, challenge = party(centre), passkeys.new_challenge()
    with writing(centre, viewer) as session:
        person = people.get_person(session, viewer, viewer.id)
        handle = sign_in.handle_of(session, viewer, passkeys.new_handle())
        known = sign_in.list_passkeys(session, viewer)
    login = person.login if person else ""
    options = passkeys.registration_options(here, challenge, handle, login, viewer.name, known)
    begin_challenge(
        centre, response, "register", passkeys.CHALLENGE_MS, challenge=challenge, person_id=viewer.id
    )  # fmt: skip
    return PasskeyOptions(publicKey=options)


@router.post("/passkeys", status_code=201)
def add_passkey(
    given: PasskeyIn, viewer: FreshOrFirst, request: Request, response: Response, centre: CentreNow
) -> PasskeyOut:
    """Registers the passkey that the browser made. From now on it signs its person in.

    The challenge is used up whatever comes of it, so that the same request again is refused.
    """
    here, asked = party(centre), take_challenge(centre, request, "register")
    if asked is None or asked.person_id != viewer.id:
        raise invalid("credential", _REFUSED)
    made = passkeys.registered(here, asked.challenge, given.credential.model_dump())
    if made is None:
        raise invalid("credential", _REFUSED)
    with writing(centre, viewer) as session:
        try:
            row = sign_in.add_passkey(
                session, viewer, credential=made.credential, public_key=made.public_key, sign_count=made.sign_count,
                transports=passkeys.known_transports(given.credential.response.transports), name=given.name,
                now_ms=centre.clock(),
            )  # fmt: skip
        except sign_in.PasskeyKnown:
            raise invalid("credential", _REFUSED) from None  # whose it is, is nobody's business
        except sign_in.TooManyPasskeys as error:
            raise HTTPException(409, f"There can be {error}; remove one first.") from None
        _note(session, centre, viewer, "passkey-added", request)
    response.headers["Location"] = f"{PREFIX}/sign-in/passkeys/{row.id}"
    response.headers["ETag"] = f'"{row.version}"'
    return _shown(row)


@router.get("/passkeys/{passkey_id}")
def passkey(passkey_id: PasskeyId, browser: Browser, centre: CentreNow, tags: Tagging) -> PasskeyOut:
    """One of the signed-in person's passkeys."""
    with centre.registry.read() as session:
        row = existing(sign_in.get_passkey(session, browser.person, passkey_id))
    tags.version(row.version)
    return _shown(row)


@router.put("/passkeys/{passkey_id}")
def rename_passkey(
    passkey_id: PasskeyId, given: PasskeyName, browser: Browser, centre: CentreNow, tags: Changing, response: Response
) -> PasskeyOut:
    """Calls a passkey something else."""
    with writing(centre, browser.person) as session:
        row = existing(sign_in.get_passkey(session, browser.person, passkey_id, lock=True))
        tags.expect(row.version)
        sign_in.rename_passkey(session, row, given.name)
    response.headers["ETag"] = f'"{row.version}"'
    return _shown(row)


@router.delete("/passkeys/{passkey_id}", status_code=204)
def remove_passkey(passkey_id: PasskeyId, viewer: Fresh, request: Request, centre: CentreNow, tags: Changing) -> None:
    """The passkey opens nothing any more. The last way in stays."""
    with writing(centre, viewer) as session:
        row = existing(sign_in.get_passkey(session, viewer, passkey_id, lock=True))
        tags.expect(row.version)
        try:
            sign_in.remove_passkey(session, viewer, row)
        except sign_in.LastWayIn:
            raise last_way_in() from None
        _note(session, centre, viewer, "passkey-removed", request)


# ----------------------------------------------------------------------------------------------------- password


@router.put("/password", status_code=204)
def set_password(
    given: PasswordIn, browser: Browser, request: Request, response: Response, centre: CentreNow
) -> None:
    """Sets or changes the own password, with the old one or a fresh proof. Every other browser is signed out."""
    viewer = browser.person
    with signing_in_too_often():
        if given.old is None:
            fresh_or_first(browser, centre)
        elif not proves_password(centre, viewer, given.old):
            raise not_proved()
    with centre.registry.read() as session:
        person = existing(sign_in.usable_person(session, viewer, viewer.id))
    try:
        check_new_password(given.password, (person.login, person.name))
    except PasswordRefused as error:
        raise Refused(
            422, f"Please take another: {error}.", slug="weak-password",
            errors=[FieldError(where="password", why=error.why)],
        ) from None  # fmt: skip
    kept = centre.passwords.hash(given.password)
    with writing(centre, viewer) as session:
        if not sign_in.change_password(session, viewer, kept, person.password_hash):
            raise HTTPException(409, "The password was changed in between; please look again.")
        browsers.end_other_sessions(session, viewer, browser.session_hash)
        _note(session, centre, viewer, "password-changed", request)
    renew_session(centre, response, browser, proved=False)


@router.delete("/password", status_code=204)
def remove_password(viewer: Fresh, request: Request, centre: CentreNow) -> None:
    """The person comes in by passkey alone; one-time codes go with the password. The last way in stays."""
    with writing(centre, viewer) as session:
        person = sign_in.usable_person(session, viewer, viewer.id)
        if person is None or person.password_hash is None:
            raise not_found()
        try:
            sign_in.change_password(session, viewer, None, person.password_hash)
        except sign_in.LastWayIn:
            raise last_way_in() from None
        _note(session, centre, viewer, "password-removed", request)


# ---------------------------------------------------------------------------------------------- one-time codes


@router.post("/codes")
def begin_codes(viewer: Fresh, centre: CentreNow) -> CodesBegun:
    """A new secret for an authenticator app. Codes are asked for once it is confirmed with one of them."""
    secret = one_time.new_secret()
    with writing(centre, viewer) as session:
        person = sign_in.usable_person(session, viewer, viewer.id)
        if person is None or person.password_hash is None:
            raise HTTPException(409, "Codes follow a password, and there is none.")
        sealed = one_time.seal(centre.key, secret, viewer.id)
        if not codes.prepare_totp(session, viewer, sealed, centre.clock()):
            raise HTTPException(409, "Codes are asked for already; end that first.")
    address = one_time.address_of(secret, person.login)
    return CodesBegun(secret=secret, address=address, qr_svg=qr_svg(address))


@router.post("/codes/confirm")
def confirm_codes(given: CodeIn, viewer: Fresh, request: Request, centre: CentreNow) -> RecoveryCodes:
    """A first code of the app: from now on one follows the password. The recovery codes are told this once."""
    with signing_in_too_often():
        made = confirm_with(centre, viewer, given.code)
    if made is None:
        raise not_proved()
    with writing(centre, viewer) as session:
        _note(session, centre, viewer, "codes-on", request)
    return RecoveryCodes(recovery_codes=made)


@router.delete("/codes", status_code=204)
def end_codes(viewer: Fresh, request: Request, centre: CentreNow) -> None:
    """No code follows the password any more; the recovery codes are void."""
    with writing(centre, viewer) as session:
        if not codes.remove_totp(session, viewer, viewer.id):
            raise not_found()
        _note(session, centre, viewer, "codes-off", request)


@router.post("/codes/recovery")
def renew_recovery_codes(viewer: Fresh, request: Request, centre: CentreNow) -> RecoveryCodes:
    """New recovery codes, told this once; those of before are void."""
    fresh = one_time.new_recovery_codes()
    with writing(centre, viewer) as session:
        totp = codes.totp_of(session, viewer, viewer.id)
        if totp is None or totp.confirmed_ms is None:
            raise not_found()
        codes.replace_recovery_codes(session, viewer, map(one_time.recovery_hash, fresh))
        _note(session, centre, viewer, "recovery-codes-made", request)
    return RecoveryCodes(recovery_codes=fresh)


# --------------------------------------------------------------------------------------------------------------


def last_way_in() -> Refused:
    """The answer to who would shut themselves out."""
    return Refused(409, "It is your last way in; make another first.", slug="last-way-in")


def _note(session: Session, centre: Centre, viewer: Person, kind: NoticeKind, request: Request) -> None:
    device = request.headers.get("user-agent", "")
    browsers.notify(session, viewer, viewer.id, kind, centre.clock(), device=device)


def _shown(row: Passkey) -> PasskeyOut:
    return PasskeyOut(
        id=row.id, name=row.name, created_ms=row.created_ms, used_ms=row.used_ms, version=row.version
    )  # fmt: skip
