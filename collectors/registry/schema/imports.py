"""What an import changed, so that it can be undone."""

from __future__ import annotations
