"""CSV files into the store, by a mapping: milk recording, scales, weather history.

Guarantee: a file that was imported to its end is committed, all of it but the values that were told as refused.
Importing it again, or after it was interrupted at any moment, changes nothing that is there and adds what is missing:
a reading is its series and time. Memory is flat, whatever the size of the file.

Not guaranteed: where a file says two different things about one series and time, the later row counts. A value that
was corrected in the file since is replaced; one that was taken out of it stays.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from collectors.imports.said import Said, said
from collectors.ingest import Pack
from collectors.judge import why_not
from collectors.ways.csv_mapping import Bound, Mapping_, Odd, Wrong, bind, read_row
from collectors.ways.csv_rows import Row, Rows
from collectors.ways.port import PACK_READINGS, Door, now_ms, packs_of, take_patiently
from makiba.located_yaml import ConfigErrors, Problem
from makiba.reading import Reading

COMMIT_READINGS: Final = 10 * PACK_READINGS
GIVE_UP_AFTER_S: Final = 60.0
PREVIEW: Final = 10
CALF_KG: Final = 70.0
"""A cow's milk of a day weighs less, a cow that is weighed more: a column of such weights may be milk."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A value, or a row, that was not taken, or was guessed (`is_taken`): where it stands in the file, and why."""

    line: int
    column: int
    why: Said

    @property
    def reason(self) -> str:
        """Why, in English."""
        return str(self.why)

    def spell(self, file: str) -> str:
        return f"{file}:{self.line}:{self.column}: {self.reason}"

    @property
    def is_taken(self) -> bool:
        return not self.why.is_refusal


@dataclass(slots=True)
class Tally:
    """What became of a file so far."""

    rows: int = 0
    rows_with_refusals: int = 0
    readings: int = 0
    stored: int = 0
    refused: int = 0
    guessed: int = 0
    small_weights: int = 0
    weights: int = 0
    preview: list[Reading] = field(default_factory=list)
    by_series: Counter[str] = field(default_factory=Counter)


class Interrupted(Exception):
    """Somebody stopped it; what was committed is, and running it again goes on."""


class SourceRefused(Exception):
    """The farm's source for imports is revoked or gone."""


@dataclass(frozen=True, slots=True)
class CsvImport:
    """One file by one mapping; a way in that ends with the file. `door` None: a dry run, nothing is stored."""

    file: Path
    mapping: Mapping_
    site: str
    source: str
    door: Door | None
    tell: Callable[[Refused], None]
    progress: Callable[[int], None]
    tally: Tally = field(default_factory=Tally)
    name: str = "csv"

    def run(self, stop: threading.Event) -> None:
        """Imports to the end; raises what the store raises once it was away for `GIVE_UP_AFTER_S`."""
        with self.file.open("rb") as binary:
            rows = Rows(binary, self.mapping.dialect)
            placed = self._readings(rows, _bound(rows, self.mapping, self.site, str(self.file)), stop)
            while chunk := list(itertools.islice(placed, COMMIT_READINGS)):
                self._commit(chunk, stop)
                self.progress(rows.bytes_read)
            self.progress(rows.bytes_read)

    def _readings(self, rows: Iterable[Row], bound: Bound, stop: threading.Event) -> Iterator[_Placed]:
        """Every reading of the file that may be stored; the others are told."""
        received_ms = now_ms()
        for row in rows:
            if stop.is_set():
                raise Interrupted
            self.tally.rows += 1
            before = self.tally.refused
            broken = [Wrong(None, said("broken-row", why=row.problem))]
            for found in broken if row.problem else read_row(bound, row.fields):
                if isinstance(found, Wrong):
                    self._refuse(row, found.index, found.why)
                    continue
                if isinstance(found, Odd):
                    self.tally.guessed += 1
                    self.tell(Refused(row.line, row.column_of(found.index, self.mapping.dialect), found.why))
                    continue
                index, reading = found
                if reason := why_not(reading, self.source, self.site, received_ms):
                    self._refuse(row, index, said("not-stored", why=reason))
                    continue
                self.tally.readings += 1
                if reading.series.quantity == "body_weight":
                    self.tally.weights += 1
                    self.tally.small_weights += not isinstance(reading.value, str) and reading.value < CALF_KG
                if self.door is None:
                    self._show(reading)
                else:
                    yield _Placed(reading, row.line, row.column_of(index, self.mapping.dialect))
            self.tally.rows_with_refusals += self.tally.refused > before

    def _show(self, reading: Reading) -> None:
        if len(self.tally.preview) < PREVIEW:
            self.tally.preview.append(reading)
        self.tally.by_series[str(reading.series)] += 1

    def _refuse(self, row: Row, index: int | None, why: Said) -> None:
        self.tally.refused += 1
        column = 1 if index is None else row.column_of(index, self.mapping.dialect)
        self.tell(Refused(row.line, column, why))

    def _commit(self, chunk: Sequence[_Placed], stop: threading.Event) -> None:
        assert self.door
        packs: list[Pack] = list(packs_of(self.source, (one.reading for one in chunk), now_ms()))
        outcomes = take_patiently(self.door, packs, stop, give_up_after_s=GIVE_UP_AFTER_S)
        if outcomes is None:
            raise Interrupted
        for start, outcome in zip(range(0, len(chunk), PACK_READINGS), outcomes, strict=True):
            whole = [refusal.reason for refusal in outcome.refused if not refusal.name]
            if outcome.held or whole:
                raise SourceRefused(whole[0] if whole else "its farm is gone")
            self.tally.stored += outcome.count
            for refusal in outcome.refused:
                one = chunk[start + refusal.index]
                self.tally.refused += 1
                self.tell(Refused(one.line, one.column, said("not-stored", why=refusal.reason)))


@dataclass(frozen=True, slots=True)
class _Placed:
    """A reading and where it stands in the file."""

    reading: Reading
    line: int
    column: int


def _bound(rows: Rows, mapping: Mapping_, site: str, file: str) -> Bound:
    """The mapping's columns in this file; takes the rows before the data off `rows`."""
    before = list(itertools.islice(iter(rows), mapping.model.file.heads))
    if len(before) < mapping.model.file.heads:
        raise ConfigErrors([Problem(file, 1, 1, "", f"has no {mapping.model.file.heads} rows of heads")])
    if before and before[-1].problem:
        wrong = before[-1]
        raise ConfigErrors([Problem(file, wrong.line, 1, "", wrong.problem)])
    heads = [head.strip() for head in before[-1].fields] if before else None
    return bind(mapping, heads, site, file)
