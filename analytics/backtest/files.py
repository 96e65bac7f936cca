"""The readings of recorded files, CSV or Parquet, and what is wrong in them, each with its place. Flat memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from analytics.backtest.columns import Guess
from analytics.backtest.forms import Form, form_of, slug
from collectors.imports.said import said
from collectors.out.parquet_form import require_pyarrow
from collectors.ways.csv_import import Refused
from collectors.ways.csv_mapping import Bound, Mapping_, Odd, Wrong, bind, plain_number, read_row
from collectors.ways.csv_rows import Row, Rows
from makiba.located_yaml import ConfigErrors, Problem
from makiba.quantities import catalogue
from makiba.reading import Reading, Series

NO_NUMBER: Final = "sentinel"
IMPOSSIBLE: Final = "out-of-range"
"""The states of a sensor that sent a reading without a number, or with one that cannot be."""
_BATCH: Final = 20_000


@dataclass(slots=True)
class Found:
    """What is known of the files beside their readings. `file_of`: which file a subject comes from."""

    site: str = ""
    file_of: dict[str, str] = field(default_factory=dict)
    guesses: dict[str, Mapping[str, tuple[str, Guess]]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads files of one farm. `tell` gets what is wrong, spelled with its place; `progress` the bytes read so
    far."""

    site: str
    mapping: Mapping_ | None
    timezone: str
    tell: Callable[[str], None]
    progress: Callable[[int], None] = lambda _: None
    found: Found = field(default_factory=Found)
    known: dict[tuple[str, Series], Series] = field(default_factory=dict)

    def readings(self, files: list[Path]) -> Iterator[Reading]:
        """The readings of `files` in the order in which they stand there; `ConfigErrors` for a file that is none."""
        self.found.site = self.site
        stems = [slug(file.stem) for file in files]
        for number, file in enumerate(files):
            # Files of one name from several folders are told apart.
            prefix = f"f{number + 1}-" if stems.count(stems[number]) > 1 else ""
            of_file = self._parquet(file) if _is_parquet(file) else self._csv(file, prefix)
            for reading in of_file:
                self.found.file_of.setdefault(reading.series.subject, file.name)
                yield reading

    def _csv(self, file: Path, prefix: str) -> Iterator[Reading]:
        form = form_of(file, self.mapping, self.timezone)
        self.known.clear()
        self.found.guesses[str(file)] = form.guesses
        self.found.kinds |= {prefix + subject: kind for subject, kind in form.kinds.items()}
        with file.open("rb") as binary:
            rows = Rows(binary, form.mapping.dialect)
            bound = _bound(rows, form.mapping, self.site or "farm", str(file))
            said_empty = False
            for row in rows:
                self.progress(rows.bytes_read)
                if not self._is_of_site(form, row, file):
                    continue
                count = 0
                for reading in self._row(form, bound, row, file, prefix):
                    count += 1
                    if said_empty:
                        said_empty = False
                        yield Reading(
                            Series(reading.series.site, reading.series.subject, "state"), reading.time_ms, "ok"
                        )
                    yield reading
                if form.only is not None and not count and (bad := self._no_number(form, bound, row, prefix)):
                    said_empty = True
                    yield bad

    def _row(self, form: Form, bound: Bound, row: Row, file: Path, prefix: str) -> Iterator[Reading]:
        broken = [Wrong(None, said("broken-row", why=row.problem))]
        for found in broken if row.problem else read_row(bound, row.fields):
            if isinstance(found, Odd):
                continue
            if isinstance(found, Wrong):
                self.found.refused += 1
                column = 1 if found.index is None else row.column_of(found.index, form.mapping.dialect)
                self.tell(Refused(row.line, column, found.why).spell(str(file)))
                continue
            yield self._renamed(form, found[1], prefix)

    def _renamed(self, form: Form, reading: Reading, prefix: str) -> Reading:
        """`reading` as one of the series that it truly is of."""
        given = reading.series
        series = self.known.get((prefix, given))
        if series is None:
            subject, quantity = form.renamed.get((given.subject, given.quantity), (given.subject, given.quantity))
            series = Series(self.found.site or given.site, prefix + subject, quantity)
            self.known[prefix, given] = series
        return Reading(series, reading.time_ms, reading.value)

    def _no_number(self, form: Form, bound: Bound, row: Row, prefix: str) -> Reading | None:
        """The state of a row whose only value is none, or none that can be: the sensor spoke, and that is a fact."""
        assert form.only is not None
        if row.problem or len(row.fields) <= form.only:
            return None
        is_empty = row.fields[form.only].strip() in bound.missing
        if not is_empty and plain_number(row.fields[form.only], bound.decimal) is None:
            return None
        filled = list(row.fields)
        filled[form.only] = "0"
        for found in read_row(bound, filled):
            if isinstance(found, tuple):
                series = self._renamed(form, found[1], prefix).series
                state = NO_NUMBER if is_empty else IMPOSSIBLE
                return Reading(Series(series.site, series.subject, "state"), found[1].time_ms, state)
        return None

    def _is_of_site(self, form: Form, row: Row, file: Path) -> bool:
        """Whether the row is of the farm that is asked for; a file of several farms without one is an error."""
        at = form.site_column
        if at is None or row.problem or len(row.fields) <= at:
            return True
        site = row.fields[at]
        if not self.found.site:
            self.found.site = site
        if site != self.found.site and not self.site:
            wrong = f"holds several farms ({self.found.site}, {site}); --site says which"
            raise ConfigErrors([Problem(str(file), row.line, 1, "", wrong)])
        return site == self.found.site

    # ------------------------------------------------------------------------------------------------- Parquet

    def _parquet(self, file: Path) -> Iterator[Reading]:
        """What `makiba export --format parquet` writes, long; other tables by CSV and a mapping."""
        require_pyarrow()
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            opened = pq.ParquetFile(file)
        except (pa.ArrowException, OSError) as error:
            raise ConfigErrors(
                [Problem(str(file), 1, 1, "", f"is no Parquet: {str(error).splitlines()[0]}")]
            ) from None
        names = opened.schema_arrow.names
        value = "value" if "value" in names else "mean"
        missing = [n for n in ("utc_ms", "subject", "quantity", value) if n not in names]
        if missing:
            wrong = (
                f"has no column {', '.join(missing)}; expected what `makiba export --format parquet` writes (long)"
            )
            raise ConfigErrors([Problem(str(file), 1, 1, "", wrong)])
        columns = [n for n in ("utc_ms", "site", "subject", "quantity", value, "text", "unit") if n in names]
        line = 0
        with opened:
            for batch in opened.iter_batches(_BATCH, columns=columns):
                for row in batch.to_pylist():
                    line += 1
                    yield from self._parquet_row(file, line, row, value)

    def _parquet_row(self, file: Path, line: int, row: Mapping[str, Any], value: str) -> Iterator[Reading]:
        site = row.get("site") or self.found.site or "farm"
        self.found.site = self.found.site or site
        if site != self.found.site:
            if self.site:
                return
            wrong = f"holds several farms ({self.found.site}, {site}); --site says which"
            raise ConfigErrors([Problem(str(file), line, 1, "", wrong)])
        known = catalogue().get(row["quantity"])
        told = row.get("text") if known and known.kind == "text" else row[value]
        if told is None:
            return
        good = known is not None and (isinstance(told, str) or known.is_plausible(told))
        unit = row.get("unit")
        if not good or (unit and known and unit != (known.unit or "")):
            self.found.refused += 1
            self.tell(
                f"{file}:{line}:1: {row['quantity']} {told} {unit or ''}: is not the catalogue's or not possible"
            )
            return
        try:
            yield Reading(Series(site, row["subject"], row["quantity"]), int(row["utc_ms"]), told)
        except (ValueError, TypeError) as error:
            self.found.refused += 1
            self.tell(f"{file}:{line}:1: {error}")


def _is_parquet(file: Path) -> bool:
    try:
        with file.open("rb") as binary:
            return binary.read(4) == b"PAR1"
    except OSError as error:
        raise ConfigErrors([Problem(str(file), 1, 1, "", error.strerror or str(error))]) from None


def _bound(rows: Rows, mapping: Mapping_, site: str, file: str) -> Bound:
    """The mapping's columns in this file; takes the rows before the data off `rows`."""
    before = list(itertools.islice(iter(rows), mapping.model.file.heads))
    if len(before) < mapping.model.file.heads:
        raise ConfigErrors([Problem(file, 1, 1, "", f"has no {mapping.model.file.heads} rows of heads")])
    heads = [head.strip() for head in before[-1].fields] if before else None
    return bind(mapping, heads, site, file)
