"""What many service tests share: one PostgreSQL for all that this process tries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service.postgres_parts import Postgres, why_not


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server of its own; each database that is asked for is another one."""
    if reason := why_not():
        pytest.skip(reason)
    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server
