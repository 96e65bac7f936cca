"""Accounts elsewhere that sign a person in here, and what an invitation gives."""

from __future__ import annotations
