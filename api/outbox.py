"""Where messages to people will go out by mail. There is no mail yet: who may let somebody in sees who asked."""

from __future__ import annotations


def recovery_was_asked(login: str) -> None:
    """Somebody who calls themselves `login` asked to be let in.

    A mail has to be sent later and elsewhere: how long this takes may not depend on whether anybody has the login.
    """
    del login
