"""Alembic's scripts, run by `collectors.registry.open_registry`; there is no alembic.ini."""
