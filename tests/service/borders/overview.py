"""The overview of farms, and comparisons across them."""

from __future__ import annotations

from tests.service.borders import Room

ROOM = Room(signed_in={("get", "/overview"): 200})
