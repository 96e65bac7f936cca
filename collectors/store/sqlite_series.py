"""The numbers of series in a SQLite file, and those that a writer remembers. Inside the caller's transaction.

A farm that sends is looked up once; a store of a million series is not kept in memory for that. What is remembered is
in two generations of a bounded size: when the young one is full it becomes the old one, and what is asked for again
moves back. What neither of them has is looked up by the hundred.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from operator import itemgetter
from typing import Final

from collectors.store.sqlite_layout import BLOCK, BLOCK_BITS, HOT_BLOCK_SHIFT, spot_of
from makiba.quantities import catalogue
from makiba.reading import Series

ROWS: Final = (100, 50, 20, 10, 5, 2, 1)
"""Rows of one statement: a statement costs more than a row. SQLite takes 999 values everywhere."""

_SUBJECT: Final = itemgetter(1)
_QUANTITY: Final = itemgetter(2)

_SPOT: Final = f"(id >> {BLOCK_BITS} << {HOT_BLOCK_SHIFT}) | (id & {BLOCK - 1})"  # `spot_of`
_MANY: Final = 10
"""From so many on, the part of the site that lies between their subjects is read through first: half the price."""


def _through(key: str) -> str:
    return f"SELECT subject, quantity, {key} FROM series WHERE site = ? AND subject BETWEEN ? AND ? LIMIT ?"


def _one_by_one(key: str, rows: int) -> str:
    return (
        f"WITH asked (subject, quantity) AS (VALUES {', '.join(['(?, ?)'] * rows)})"
        f" SELECT series.subject, series.quantity, {key} FROM asked CROSS JOIN series"
        " ON series.site = ? AND series.subject = asked.subject AND series.quantity = asked.quantity"
    )


class Remembered:
    """What stands for series of one kind in a writer: the number of a text's, the spot of another's.

    `young` has only series whose quantity is of that kind in the catalogue, as long as `add` is told no others.
    """

    def __init__(self, limit: int, *, texts: bool) -> None:
        """At most `limit` series for each generation, or as many as one `recall` asks for, if they are more."""
        self._limit = limit
        self._texts = texts
        key = "id" if texts else _SPOT
        self._through = _through(key)
        self._one_by_one = {rows: _one_by_one(key, rows) for rows in ROWS}
        self.young: dict[Series, int] = {}
        self._old: dict[Series, int] = {}

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def forget(self) -> None:
        self.young = {}
        self._old = {}

    def recall(self, db: sqlite3.Connection, asked: Collection[Series]) -> None:
        """Has those of `asked` in `young` that the file knows and that are of this kind."""
        missing = set(asked).difference(self.young)
        if not missing:
            return
        if len(self.young) + len(missing) > self._limit:
            self._old, self.young = self.young, {}
            missing.update(asked)
        # Sets keep the hashes of what they hold: a series is hashed once here, not at each step.
        unknown = missing.difference(self._old)
        if len(unknown) < len(missing):
            self.young.update({series: self._old[series] for series in missing.difference(unknown)})
        of_site: dict[str, list[Series]] = {}
        for series in self._of_this_kind(unknown):
            of_site.setdefault(series[0], []).append(series)
        for site, wanted in of_site.items():
            self._find(db, site, wanted)

    def add(self, db: sqlite3.Connection, series: Series) -> int:
        """What stands for `series`, which is made when it is new."""
        key = self.young.get(series)
        if key is None:
            number = series_number(db, series)
            key = self.young[series] = number if self._texts else spot_of(number)
        return key

    def _find(self, db: sqlite3.Connection, site: str, wanted: Sequence[Series]) -> None:
        if len(wanted) >= _MANY:
            subjects = list(map(_SUBJECT, wanted))
            asked = (site, min(subjects), max(subjects), 2 * len(wanted))
            wanted = self._taken(db.execute(self._through, asked), wanted)
        at, end = 0, len(wanted)
        for rows in ROWS:
            while end - at >= rows:
                part = wanted[at : at + rows]
                names = [name for series in part for name in series[1:]]
                self._taken(db.execute(self._one_by_one[rows], [*names, site]), part)
                at += rows

    def _taken(self, rows: Iterable[tuple[str, str, int]], wanted: Sequence[Series]) -> list[Series]:
        """Remembers those of `wanted`, all of one site, that are in `rows`; the others."""
        keys = {(subject, quantity): key for subject, quantity, key in rows}
        young, others = self.young, []
        for series in wanted:
            key = keys.get(series[1:])
            if key is None:
                others.append(series)
            else:
                young[series] = key
        return others

    def _of_this_kind(self, asked: set[Series]) -> set[Series]:
        words = catalogue()
        quantities = set(map(_QUANTITY, asked))
        mine = {
            quantity
            for quantity in quantities
            if quantity in words and (words[quantity].kind == "text") == self._texts
        }
        return asked if len(mine) == len(quantities) else {series for series in asked if series.quantity in mine}


def series_number(db: sqlite3.Connection, series: Series) -> int:
    """The number of `series`: the next of its site's last block, or the first of a new block.

    Numbers of a farm that left are never given again: another process may still remember them.
    """
    row = db.execute("SELECT id FROM series WHERE site = ? AND subject = ? AND quantity = ?", series).fetchone()
    if row:
        return int(row[0])
    row = db.execute(
        "SELECT number, used FROM block WHERE site = ? ORDER BY number DESC LIMIT 1", (series.site,)
    ).fetchone()
    if row is None or row[1] == BLOCK:
        number = db.execute(
            "UPDATE meta SET value = value + 1 WHERE name = 'next_block' RETURNING value - 1"
        ).fetchone()[0]
        row = (number, 0)
        db.execute("INSERT INTO block VALUES (?, ?, 0)", (number, series.site))
    db.execute("UPDATE block SET used = used + 1 WHERE number = ?", (row[0],))
    series_id = int(row[0]) * BLOCK + int(row[1])
    db.execute("INSERT INTO series VALUES (?, ?, ?, ?)", (series_id, *series))
    return series_id
