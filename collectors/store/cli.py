"""`makiba store check|rollup|expire` and `makiba backup`.

Exit codes: 0 done; 1 damaged, or a failure that may pass; 2 where a person has to change something.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from collectors.console import explained, fail, open_own_store
from collectors.store.backup import BackupFailed, back_up
from collectors.store.protocol import LEVELS, Inventory, StoreDamaged
from collectors.store.rollup import LAG_MS, expire_all, policy_of, roll_up_all
from makiba.settings import Settings, load_settings

backup_app = typer.Typer(add_completion=False, rich_markup_mode=None)


def check() -> None:
    """Look at everything in the store: is it whole, how much is there, since when."""
    settings = load_settings()
    with explained():
        try:
            with closing(open_own_store(settings)) as store:
                found = store.inventory()
        except StoreDamaged as error:
            _damaged(settings, [str(error)])
    if found.damaged:
        _damaged(settings, [*found.problems, *found.away])
    for line in spell_inventory(found):
        typer.echo(line)
    for problem in (*found.problems, *found.away):
        typer.echo(problem, err=True)
    if found.problems:
        fail(
            "No reading that is stored is lost. See to the above on that server (docs/stores.md says what may write"
            " there); readings that it refuses until then are dead letters (`makiba site refused`)."
        )
    if found.away:
        typer.echo(
            "It was not looked into, and nothing is known to be damaged. Start the server, or see to the network, and"
            " check again; gateways keep the readings of its farms meanwhile.",
            err=True,
        )
        raise typer.Exit(1)
    typer.echo(f"{settings.store_url}: whole")


def spell_inventory(found: Inventory) -> list[str]:
    """What a person reads about a store."""
    rows = ", ".join(f"{level} {count:,}" for level, count in found.rows.items() if count is not None)
    lines = [f"series {found.series:,}" + (f"; {rows}" if rows else "")]
    if found.oldest_ms is not None and found.newest_ms is not None:
        lines.append(f"readings from {_when(found.oldest_ms)} to {_when(found.newest_ms)}")
    if found.size_bytes is not None:
        lines.append(f"size {found.size_bytes / 1e6:,.1f} MB")
    for level, kept_from_ms in sorted(found.kept_from_ms.items()):
        lines.append(f"{level}: what is older than {_when(kept_from_ms)} has expired")
    lines.append(f"quarters that wait to be folded (late readings): {found.dirty:,}")
    return lines


def _damaged(settings: Settings, problems: Sequence[str]) -> NoReturn:
    for problem in problems:
        typer.echo(problem, err=True)
    typer.echo(
        f"{settings.store_url} is damaged. Stop the services, keep a copy of the file, and put the last backup in its"
        " place (`makiba backup` makes them). Without one, `sqlite3 store.db .recover` saves what can be read;"
        " gateways send again what was not acknowledged.",
        err=True,
    )
    raise typer.Exit(1)


def rollup() -> None:
    """Fold what is due into minutes, quarters and days now. `makiba collect` does it all the time."""
    settings = load_settings()
    progress = _Progress("windows folded")
    with explained(), closing(open_own_store(settings)) as store:
        done = roll_up_all(store, time.time_ns() // 1_000_000 - LAG_MS, tell=progress.tell)
    progress.end()
    typer.echo(f"{done:,} windows folded")


def expire() -> None:
    """Forget now what MAKIBA_KEEP_RAW, _TEXT, _MINUTE, _QUARTER and _DAY say. `makiba collect` does it every hour."""
    settings = load_settings()
    policy = policy_of(settings)
    if not policy.keep_ms:
        typer.echo("everything is kept: no MAKIBA_KEEP_… is set")
        return
    with explained(), closing(open_own_store(settings)) as store:
        horizons = expire_all(store, policy, time.time_ns() // 1_000_000)
    for level in LEVELS:
        if level in horizons:
            since = f"from {_when(horizons[level])} on" if horizons[level] > 0 else "all of it"
            typer.echo(f"{level}: kept {since}")


@backup_app.command()
def backup(target: Annotated[Path, typer.Argument(metavar="TARGET", help="A folder; made when missing")]) -> None:
    """Copy store and registry into a folder while everything runs, verified. To restore, copy the files back."""
    settings = load_settings()
    done = 0
    for what, url in (("store", settings.store_url), ("registry", settings.registry_url)):
        scheme, _, rest = url.partition(":")
        if scheme != "sqlite":
            tool = "influxd backup" if what == "store" else "pg_dump"
            typer.echo(f"{what}: {scheme} has its own tool ({tool}); not copied", err=True)
            continue
        progress = _Progress(f"% of the {what}")
        source = Path(rest.removeprefix("//")).expanduser()
        try:
            copied = back_up(source, target / f"{what}.db", lambda share, tell=progress.tell: tell(int(share * 100)))  # type: ignore[misc]
        except BackupFailed as error:
            progress.end()
            typer.echo(f"{what}: {error}", err=True)
            raise typer.Exit(1) from None
        progress.end()
        typer.echo(f"{copied.path}: {copied.rows:,} rows, {copied.size_bytes / 1e6:,.1f} MB, verified")
        done += 1
    if not done:
        fail("nothing of this installation lies in SQLite files")


class _Progress:
    """A number on a terminal, at most five times a second; nothing where nobody looks."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._said_s = 0.0

    def tell(self, number: int) -> None:
        now_s = time.monotonic()
        if sys.stderr.isatty() and now_s - self._said_s > 0.2:
            self._said_s = now_s
            typer.echo(f"\r{number:,} {self._what}", err=True, nl=False)

    def end(self) -> None:
        if self._said_s:
            typer.echo("\r\x1b[K", err=True, nl=False)


def _when(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
