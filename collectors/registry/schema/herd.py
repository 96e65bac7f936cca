"""Animals, groups, what happened to them, and fields."""

from __future__ import annotations
