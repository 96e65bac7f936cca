"""What holds for all tests: a busy machine is no reason for a property test to fail; the longest wait to be asked.

A test that is marked `long` has a shorter one beside it that holds the same; `TEST_LONG=1 ./run test` runs it too.
"""

import os
import signal
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from tests.often import often

settings.register_profile(
    "makiba",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=often(100),
    derandomize=not os.environ.get("TEST_LONG"),
)
settings.load_profile("makiba")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in its background so, and every child would be deaf to it too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


LONGEST: Final = (
    "test_house", "test_kill_everything", "test_pages", "test_farm_leaves", "test_api_schemathesis", "test_worker",
)  # fmt: skip
"""Files that take long though they hold few tests: they begin first, so that all workers end together."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips the longest tests unless they are asked for, and puts the longest files first."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)
    if not os.environ.get("TEST_LONG"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes long, and a shorter one is beside it: TEST_LONG=1"))
