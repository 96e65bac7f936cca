"""A farm's contacts, rota and maintenance windows."""

from __future__ import annotations
