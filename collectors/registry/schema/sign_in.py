"""How a person proves who they are, besides a password: passkeys, one-time codes, recovery."""

from __future__ import annotations
