"""How many examples a property is tried with: a part of them in every run, all of them with TEST_LONG=1."""

import os


def often(many: int) -> int:
    """`many` when the longest tests are asked for, else two fifths."""
    return many if os.environ.get("TEST_LONG") else many * 2 // 5
