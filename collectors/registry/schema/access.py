"""Programs with tokens, writes that came already, and who has to wait."""

from __future__ import annotations
