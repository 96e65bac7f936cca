"""QR codes as SVG, for what a phone's camera should read: one-time codes, invitations.

The picture is plain paths in black on white with the quiet zone that readers need; nothing in it is a script.
"""

from __future__ import annotations

import io
from typing import Final

import segno

MAX_TEXT: Final = 1_000
QUIET_MODULES: Final = 4


def qr_svg(text: str) -> str:
    """`text` as an SVG document; a page shows it as `data:image/svg+xml`. `ValueError` when it is too long."""
    if not 0 < len(text) <= MAX_TEXT:
        raise ValueError(f"a code holds 1 to {MAX_TEXT} characters")
    code = segno.make_qr(text, error="m")
    out = io.BytesIO()
    code.save(out, kind="svg", scale=4, border=QUIET_MODULES, dark="#000", light="#fff", xmldecl=False, nl=False)
    return out.getvalue().decode()
