"""The overview of farms, and comparisons across them."""

from __future__ import annotations

from tests.service.borders import Room, cells

ROOM = Room(
    signed_in={
        ("get", "/overview"): 200,
        ("get", "/comparisons"): 200,
        ("get", "/comparisons/{measure}"): 200,
    },
    about_a_farm={
        ("get", "/sites/{site}/comparisons"): cells(200, 200, 403, guest=404, admin=404),
        ("put", "/sites/{site}/comparisons/{data_class}"): cells(204, 403, 403, guest=404, admin=404),
        ("delete", "/sites/{site}/comparisons/{data_class}"): cells(204, 403, 403, guest=404, admin=404),
    },
)
