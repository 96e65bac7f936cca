"""Members of a farm, invitations, people and accounts."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import ConfigDict, Field

from api.shapes import Given, Line, Millis, Name, Names, Shape
from collectors.registry.viewer import Role

_ID: Final = "J9yqTnkDp0eVZbM2sYx7Qw"
_AT_MS: Final = 1_792_000_000_000


def example(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [example]})


def given_example(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(frozen=True, extra="forbid", strict=True, json_schema_extra={"examples": [example]})


Login = Line
Language = Literal["ja", "en"]


# ----------------------------------------------------------------------------------------------------- members

_MEMBER: Final[dict[str, Any]] = {
    "id": _ID, "name": "佐藤 さくら", "role": "family", "role_name": {"ja": "家族", "en": "family"}, "me": False,
    "disabled": False, "asked_to_be_let_in_ms": None, "version": 1,
}  # fmt: skip


class MemberOut(Shape):
    """Somebody on a farm. `asked_to_be_let_in_ms`: told to the owner, of whom they may let in again."""

    model_config = example(_MEMBER)

    id: str
    name: str
    role: Role
    role_name: Names
    me: bool
    disabled: bool
    asked_to_be_let_in_ms: int | None
    version: int


class MembersOut(Shape):
    model_config = example({"rows": [_MEMBER], "next": None})

    rows: list[MemberOut]
    next: str | None


class RoleIn(Given):
    model_config = given_example({"role": "worker"})

    role: Role


class LinkOut(Shape):
    """A link that lets somebody in once: give it to them alone. `qr_svg`: the same for a phone's camera."""

    model_config = example(
        {"address": "https://makiba.example/#join=…", "qr_svg": "<svg …></svg>", "expires_ms": _AT_MS}
    )

    address: str
    qr_svg: str
    expires_ms: int


# ------------------------------------------------------------------------------------------------- invitations


class InvitationIn(Given):
    """`name`: whom it is for. It holds until `expires_ms`, 14 days at most; 7 days where that is not given."""

    model_config = given_example({"role": "worker", "name": "太郎", "language": "ja"})

    role: Role
    name: Name
    language: Language = "ja"
    expires_ms: Millis | None = None


_INVITATION: Final[dict[str, Any]] = {
    "id": _ID, "role": "worker", "role_name": {"ja": "従業員", "en": "worker"}, "name": "太郎", "language": "ja",
    "invited_by": "佐藤 さくら", "created_ms": _AT_MS, "expires_ms": _AT_MS + 604_800_000, "state": "open",
    "accepted_ms": None, "accepted_by": None, "revoked_ms": None,
}  # fmt: skip


class InvitationOut(Shape):
    """An invitation, without its code. `invited_by` and `accepted_by` are names; None of persons who are gone."""

    model_config = example(_INVITATION)

    id: str
    role: Role
    role_name: Names
    name: str
    language: str
    invited_by: str | None
    created_ms: int
    expires_ms: int
    state: Literal["open", "accepted", "revoked", "expired"]
    accepted_ms: int | None
    accepted_by: str | None
    revoked_ms: int | None


class InvitationsOut(Shape):
    model_config = example({"rows": [_INVITATION], "next": None})

    rows: list[InvitationOut]
    next: str | None


class InvitationMade(Shape):
    """The invitation, and the address to give to whom it is for. The address is told this once."""

    model_config = example(
        {
            "invitation": _INVITATION,
            "link": {
                "address": "https://makiba.example/#invite=…", "qr_svg": "<svg …></svg>",
                "expires_ms": _AT_MS + 604_800_000,
            },
        }
    )  # fmt: skip

    invitation: InvitationOut
    link: LinkOut


_CODE: Final = "4gXcFQ0pWmZr8tT1bYkN5uLhVea"


class LinkCode(Given):
    """A code, from behind the `#` of an address."""

    model_config = given_example({"code": _CODE})

    code: Line = Field(min_length=1, max_length=200)


class InvitedOut(Shape):
    """What a code invites to: the farm, the role there, who invites, and what they call whom they invite."""

    model_config = example(
        {
            "farm": {"ja": "佐藤牧場", "en": "Sato farm"}, "role": "worker",
            "role_name": {"ja": "従業員", "en": "worker"}, "inviter": "佐藤 さくら", "name": "太郎", "language": "ja",
            "expires_ms": _AT_MS,
        }
    )  # fmt: skip

    farm: Names
    role: Role
    role_name: Names
    inviter: str
    name: str
    language: str
    expires_ms: int


class NewPerson(Given):
    """Somebody new. Without a login they come in by passkey, or by the links that others give them.

    The password may be set later, a passkey too.
    """

    model_config = given_example(
        {"name": "太郎", "login": "taro", "language": "ja", "password": "朝五時の 牛乳は あたたかい"}
    )

    name: Name
    login: Login | None = Field(None, min_length=1, max_length=200, pattern=r"^[^~\s][^\s]*$")
    language: Language = "ja"
    password: Line | None = Field(None, min_length=1, max_length=1_000)


class AcceptIn(Given):
    """Accepts as `new`, or as the person who is signed in where that is not given."""

    model_config = given_example({"code": _CODE, "new": {"name": "太郎", "login": "taro", "language": "ja"}})

    code: Line = Field(min_length=1, max_length=200)
    new: NewPerson | None = None


class AcceptedOut(Shape):
    model_config = example({"site": "shikaoi-001", "role": "worker"})

    site: str
    role: Role


class FirstIn(Given):
    """The first administrator, made by the link that the machine's console shows."""

    model_config = given_example({"code": _CODE, "name": "佐藤 さくら", "login": "sakura", "language": "ja"})

    code: Line = Field(min_length=1, max_length=200)
    name: Name
    login: Login = Field(min_length=1, max_length=200, pattern=r"^[^~\s][^\s]*$")
    language: Language = "ja"
    password: Line | None = Field(None, min_length=1, max_length=1_000)


class RecoveryIn(Given):
    model_config = given_example({"login": "taro"})

    login: Login = Field(min_length=1, max_length=200)


class RecoveryOut(Shape):
    """The same for every login."""

    model_config = example({"message": {"ja": "…", "en": "…"}})

    message: Names


# ------------------------------------------------------------------------------------------------------ people


class PersonIn(Given):
    """A new person; a link lets them in then."""

    model_config = given_example({"login": "taro@example.jp", "name": "太郎", "language": "ja", "admin": False})

    login: Login = Field(min_length=1, max_length=200, pattern=r"^[^~\s][^\s]*$")
    name: Name
    language: Language = "ja"
    admin: bool = False


class RoleOn(Shape):
    site: str
    role: str


_PERSON: Final[dict[str, Any]] = {
    "id": _ID, "login": "taro@example.jp", "name": "太郎", "language": "ja", "admin": False, "created_ms": _AT_MS,
    "disabled_ms": None, "asked_to_be_let_in_ms": None, "roles": [{"site": "shikaoi-001", "role": "worker"}],
}  # fmt: skip


class AccountHolder(Shape):
    """A person as the administrator sees them. `login` is None of somebody who has none."""

    model_config = example(_PERSON)

    id: str
    login: str | None
    name: str
    language: str
    admin: bool
    created_ms: int
    disabled_ms: int | None
    asked_to_be_let_in_ms: int | None
    roles: list[RoleOn]


class PeopleOut(Shape):
    model_config = example({"rows": [_PERSON], "next": None})

    rows: list[AccountHolder]
    next: str | None


class FarmIn(Given):
    model_config = given_example({"site": "shikaoi-001"})

    site: Line = Field(min_length=1, max_length=64)


_STEP: Final[dict[str, Any]] = {
    "id": _ID, "at_ms": _AT_MS, "who": "佐藤 さくら", "what": "reset",
    "what_name": {"ja": "入り方を やり直しました", "en": "reset the ways in"}, "person": _ID, "about": "太郎",
}  # fmt: skip


class StepOut(Shape):
    """What an administrator did; `who` is None where it was done at the machine's own command line."""

    model_config = example(_STEP)

    id: str
    at_ms: int
    who: str | None
    what: str
    what_name: Names
    person: str
    about: str


class StepsOut(Shape):
    model_config = example({"rows": [_STEP], "next": None})

    rows: list[StepOut]
    next: str | None
