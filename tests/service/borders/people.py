"""Members, invitations, people and accounts, recovery; accounts elsewhere, of which there are none here."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from api.sessions import digest
from collectors.registry import recovery
from collectors.registry.schema.identity import SiteInvitation
from tests.service.borders import Room, cells
from tests.service.serving import CONSOLE


def _ids(town: Any, site: str) -> Mapping[str, str]:
    centre, login = town.centre, f"member-{secrets.token_hex(6)}"
    member = centre.person(login, password=None, **{site.replace("-", "_"): "worker"})
    with centre.registry.write() as session:
        recovery.ask(session, CONSOLE, login, centre.clock())
        invitation = SiteInvitation(
            id=secrets.token_urlsafe(16), site_id=site, code_hash=digest(login), role="worker", name="誰か",
            language="ja", created_ms=centre.clock(), expires_ms=centre.clock() + 9_000_000,
        )  # fmt: skip
        session.add(invitation)
    person = centre.public(member)
    return {"member_id": person, "person_id": person, "invitation_id": invitation.id}


_OWN = cells(200, 200, 200, guest=404, admin=404)
_OWNERS = cells(200, 403, 403, guest=404, admin=404)
_MEMBER = "/sites/{site}/members/{member_id}"
_INVITATION = "/sites/{site}/invitations/{invitation_id}"
_PERSON = "/people/{person_id}"

ROOM = Room(
    open={
        ("post", "/invitations/look"): 404,
        ("post", "/invitations/accept"): 404,
        ("post", "/first-administrator"): 404,
        ("post", "/recovery"): 202,
        ("get", "/oidc"): 200,
        ("get", "/oidc/return"): 200,
        ("get", "/oidc/return.js"): 200,
        ("post", "/oidc/start"): 404,
        ("post", "/oidc/finish"): 404,
        ("post", "/oidc/sign-out"): 404,
    },
    signed_in={  # the administrator's alone, whoever is asked about
        ("get", "/people"): 403,
        ("post", "/people"): 403,
        ("get", _PERSON): 403,
        ("post", f"{_PERSON}/disable"): 403,
        ("post", f"{_PERSON}/enable"): 403,
        ("post", f"{_PERSON}/reset"): 403,
        ("post", f"{_PERSON}/first-owner"): 403,
        ("get", "/people-steps"): 403,
        ("get", f"{_PERSON}/account"): 403,
        ("put", f"{_PERSON}/account"): 403,
        ("delete", f"{_PERSON}/account"): 403,
        ("get", "/oidc/account"): 404,
        ("delete", "/oidc/account"): 404,
        ("post", "/oidc/link"): 404,
    },
    about_a_farm={
        ("get", "/sites/{site}/members"): _OWN,
        ("get", _MEMBER): _OWN,
        ("put", _MEMBER): _OWNERS,
        ("delete", _MEMBER): {**_OWNERS, "owner": 204},
        ("post", f"{_MEMBER}/let-in"): _OWNERS,
        ("get", "/sites/{site}/invitations"): _OWNERS,
        ("post", "/sites/{site}/invitations"): {**_OWNERS, "owner": 201},
        ("get", _INVITATION): _OWNERS,
        ("delete", _INVITATION): {**_OWNERS, "owner": 204},
    },
    bodies={
        "/invitations/look": {"code": "nobody-has-this-one"},
        "/invitations/accept": {"code": "nobody-has-this-one"},
        "/first-administrator": {"code": "nobody-has-this-one", "name": "誰か", "login": "somebody"},
        "/recovery": {"login": "nobody"},
        "/oidc/finish": {"state": "x", "code": "y"},
        f"{_PERSON}/account": {"subject": "x"},
        "/people": {"login": "new", "name": "New"},
        f"{_PERSON}/first-owner": {"site": "shikaoi-001"},
        _MEMBER: {"role": "worker"},
        "/sites/{site}/invitations": {"role": "worker", "name": "太郎"},
    },
    headers={("put", _MEMBER): {"If-Match": "*"}, ("delete", _MEMBER): {"If-Match": "*"}},
    ids=_ids,
    spent=frozenset({("delete", _MEMBER), ("post", f"{_MEMBER}/let-in")}),
)
