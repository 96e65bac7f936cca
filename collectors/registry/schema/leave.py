"""What is left of a farm that went: its receipt."""

from __future__ import annotations
