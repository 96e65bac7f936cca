"""A chart's SVG as PNG, for channels that show nothing else (LINE, mail). Needs resvg-py and a font on this machine.

A bare Debian has no font at all, and a chart without its words says nothing: then there is no PNG (`NoFont`). With a
font that has no Japanese the words are English (`language_for`). `apt-get install fonts-ipaexfont-gothic` (6 MB)
gives both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from analytics.chart import Language

FOLDERS: Final = (
    Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path("~/.local/share/fonts"), Path("~/.fonts"),
    Path("/Library/Fonts"), Path("/System/Library/Fonts"),
)  # fmt: skip
JAPANESE: Final = (
    ("ipaexg", "IPAexGothic"), ("ipag", "IPAGothic"), ("NotoSansJP", "Noto Sans JP"),
    ("NotoSansCJK-Regular", "Noto Sans CJK JP"), ("NotoSansCJKjp-Regular", "Noto Sans CJK JP"),
    ("VL-PGothic", "VL PGothic"), ("VL-Gothic", "VL Gothic"), ("TakaoPGothic", "TakaoPGothic"),
    ("HiraginoSans", "Hiragino Sans"),
)  # fmt: skip
LATIN: Final = (("DejaVuSans", "DejaVu Sans"), ("LiberationSans-Regular", "Liberation Sans"),
                ("NotoSans-Regular", "Noto Sans"), ("FreeSans", "FreeSans"))  # fmt: skip
NO_FONT: Final = "no font is installed on this machine: apt-get install fonts-ipaexfont-gothic"


class NoFont(Exception):
    """There is nothing to write words with, or nothing to draw with; the message says what to install."""


def language_for(wanted: Language, folders: Sequence[Path] = FOLDERS) -> Language:
    """The language that a PNG can be written in here: `wanted`, or English where no font has Japanese. `NoFont`."""
    if _found(JAPANESE, folders):
        return wanted
    if not _found(LATIN, folders):
        _fail()
    return "en"


def png(svg: str, width: int, folders: Sequence[Path] = FOLDERS) -> bytes:
    """`svg` as PNG, `width` pixels wide; `NoFont`."""
    try:
        import resvg_py
    except ImportError:
        raise NoFont("PNG needs resvg-py: pip install 'makiba[api]'") from None
    font = _found(JAPANESE, folders) or _found(LATIN, folders) or _fail()
    file, family = font
    # Only this one font is loaded: to look through all that a desk has costs a second.
    drawn = resvg_py.svg_to_bytes(
        svg_string=svg,
        width=width,
        skip_system_fonts=True,
        font_files=[str(file)],
        font_family=family,
        sans_serif_family=family,
    )
    return bytes(drawn)


def _fail() -> tuple[Path, str]:
    raise NoFont(NO_FONT)


def _found(known: Sequence[tuple[str, str]], folders: Sequence[Path]) -> tuple[Path, str] | None:
    for stem, family in known:
        for folder in folders:
            for file in sorted(folder.expanduser().glob(f"**/{stem}*.[to]t[fc]")):
                return file, family
    return None
