"""Ways in: passkeys, passwords, one-time codes; the browsers that somebody is signed in with; what happened."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.shapes import Given, Line, Millis, Names, Shape
from collectors.registry.browsers import NoticeKind, Way

MAX_FIELD: Final = 20_000

Base64url = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", min_length=1, max_length=MAX_FIELD)]

_ID: Final = "Zk3vFQy1nUe0cJmB7sHTgQ"
_CODE: Final = "wjdbxf-qhb8hx-qm7hqf-4q2k9z"


def _seen(example: Any) -> ConfigDict:
    return ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [example]})


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank")
    return text.strip()


# ------------------------------------------------------------------------------- what an authenticator answers


class _Lenient(BaseModel):
    """Browsers add fields of their own to what an authenticator answered; they are not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class AttestationResponse(_Lenient):
    clientDataJSON: Base64url
    attestationObject: Base64url
    transports: list[Annotated[str, Field(max_length=32)]] = Field([], max_length=10)


class AssertionResponse(_Lenient):
    clientDataJSON: Base64url
    authenticatorData: Base64url
    signature: Base64url
    userHandle: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]*$", max_length=200)] | None = None


class Attestation(_Lenient):
    """What `navigator.credentials.create` gave, as its `toJSON()` spells it."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=1_400)]
    rawId: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=1_400)]
    type: Literal["public-key"]
    response: AttestationResponse


class Assertion(_Lenient):
    """What `navigator.credentials.get` gave, as its `toJSON()` spells it."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=1_400)]
    rawId: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=1_400)]
    type: Literal["public-key"]
    response: AssertionResponse

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "q1w2", "rawId": "q1w2", "type": "public-key",
                    "response": {
                        "clientDataJSON": "eyJ0eXBlIjoid2ViYXV0aG4uZ2V0In0", "authenticatorData": "SZYN5YgOjGh0",
                        "signature": "MEUCIQ", "userHandle": "c29tZWJvZHk",
                    },
                }
            ]
        }
    )  # fmt: skip


class PasskeyOptions(Shape):
    """What to give to `PublicKeyCredential.parseCreationOptionsFromJSON` or `parseRequestOptionsFromJSON`."""

    publicKey: dict[str, Any]

    model_config = _seen({"publicKey": {"challenge": "Qm9yZWQ", "rpId": "localhost", "timeout": 300_000}})


# ---------------------------------------------------------------------------------------------------- signing in


class CodeIn(Given):
    """The code of an authenticator app, or a recovery code; blanks and hyphens do not matter."""

    code: Line = Field(min_length=1, max_length=64)

    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "123456"}]})


class ProofIn(Given):
    """Either `password`, with `code` where codes are on, or what a passkey answered."""

    password: Line | None = Field(None, max_length=1_000)
    code: Line | None = Field(None, max_length=64)
    passkey: Assertion | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"password": "牛舎の朝は早いです、とても"}]})


# ----------------------------------------------------------------------------------------------------- ways in


class PasskeyIn(Given):
    """A new passkey, and what its person calls it."""

    name: Annotated[Line, AfterValidator(_not_blank)] = Field(min_length=1, max_length=100)
    credential: Attestation

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "牛舎の スマホ",
                    "credential": {
                        "id": "q1w2", "rawId": "q1w2", "type": "public-key",
                        "response": {
                            "clientDataJSON": "eyJ0eXBlIjoid2ViYXV0aG4uY3JlYXRlIn0",
                            "attestationObject": "o2NmbXRkbm9uZQ", "transports": ["internal"],
                        },
                    },
                }
            ]
        }
    )  # fmt: skip


class PasskeyName(Given):
    name: Annotated[Line, AfterValidator(_not_blank)] = Field(min_length=1, max_length=100)

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "牛舎の スマホ"}]})


class PasskeyOut(Shape):
    id: str
    name: str
    created_ms: int
    used_ms: int | None
    version: int

    model_config = _seen(
        {"id": _ID, "name": "牛舎の スマホ", "created_ms": 1_795_500_000_000, "used_ms": None, "version": 1}
    )


class WaysOut(Shape):
    """How the signed-in person comes in. `fresh_until_ms`: until when their last proof counts, 0: there is none.

    `passkeys_here`: whether passkeys work at the address of these pages. `may_make_first`: an invitation brought
    them, so that they make their first own way in without a proof.
    """

    password: bool
    passkeys: list[PasskeyOut]
    passkeys_here: bool
    codes: bool
    recovery_codes_left: int
    fresh_until_ms: int
    may_make_first: bool

    model_config = _seen(
        {
            "password": True, "passkeys": [], "passkeys_here": True, "codes": False, "recovery_codes_left": 0,
            "fresh_until_ms": 1_795_500_600_000, "may_make_first": False,
        }
    )  # fmt: skip


class PasswordIn(Given):
    """A new password. `old` stands in for a proof within the last ten minutes."""

    password: Line = Field(min_length=1, max_length=1_000)
    old: Line | None = Field(None, max_length=1_000)

    model_config = ConfigDict(json_schema_extra={"examples": [{"password": "乳を しぼって 朝日を 見る"}]})


class CodesBegun(Shape):
    """For an authenticator app: the secret, the same as an address, and that as a QR code. It is told only here."""

    secret: str
    address: str
    qr_svg: str

    model_config = _seen(
        {
            "secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "qr_svg": "<svg></svg>",
            "address": "otpauth://totp/Makiba:hanako?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Makiba",
        }
    )  # fmt: skip


class RecoveryCodes(Shape):
    """Codes that stand in for one of the app, each once. They are told only here."""

    recovery_codes: list[str]

    model_config = _seen({"recovery_codes": [_CODE]})


# ---------------------------------------------------------------------------------------------------- browsers


class BrowserOut(Shape):
    """A browser that the person is signed in with. `this`: the one that asks; `seen_ms` is right to the hour."""

    id: str
    device: Names
    way: Way
    created_ms: int
    seen_ms: int
    expires_ms: int
    this: bool

    model_config = _seen(
        {
            "id": _ID, "device": {"ja": "iPhoneの Safari", "en": "Safari on iPhone"}, "way": "passkey",
            "created_ms": 1_795_500_000_000, "seen_ms": 1_795_500_000_000, "expires_ms": 1_798_092_000_000,
            "this": True,
        }
    )  # fmt: skip


class BrowsersOut(Shape):
    rows: list[BrowserOut]
    next: str | None

    model_config = _seen({"rows": [], "next": None})


class NoticeOut(Shape):
    """Something that happened to the person's account; `this`: it was done in the browser that asks."""

    id: str
    kind: NoticeKind
    words: Names
    at_ms: int
    way: str
    device: Names | None
    this: bool
    seen_ms: int | None

    model_config = _seen(
        {
            "id": _ID, "kind": "signed-in", "words": {"ja": "ログインが ありました", "en": "Somebody signed in"},
            "at_ms": 1_795_500_000_000, "way": "password", "seen_ms": None, "this": False,
            "device": {"ja": "WindowsのChrome", "en": "Chrome on Windows"},
        }
    )  # fmt: skip


class NoticesOut(Shape):
    rows: list[NoticeOut]
    next: str | None

    model_config = _seen({"rows": [], "next": None})


class NoticesSeen(Given):
    """That everything up to and with `until_ms` was seen."""

    until_ms: Millis

    model_config = ConfigDict(json_schema_extra={"examples": [{"until_ms": 1_795_500_000_000}]})
