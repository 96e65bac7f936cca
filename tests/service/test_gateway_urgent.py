"""What a life-safety rule raised its alarm by is on the card at once, with what went before: power may go next."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from gateway.packs import readings_in
from tests.parts import PATIENCE, wait_until
from tests.service.test_gateway_safety import farm


def on_card(spool: Path) -> list[float]:
    """The gas that a power cut would leave behind, in ppm and in order."""
    db = sqlite3.connect(f"file:{spool}?mode=ro", uri=True, timeout=5)
    try:
        rows = db.execute("SELECT pack, deflated FROM batch").fetchall()
    except sqlite3.Error:
        return []
    finally:
        db.close()
    found = [r for pack, deflated in rows for r in readings_in(pack, is_deflated=bool(deflated)) or ()]
    gas = sorted((r.time_ms, r.value) for r in found if r.series.quantity == "hydrogen_sulfide")
    return [round(float(value) * 1e6, 3) for _, value in gas]


def test_gas_is_on_the_card_as_soon_as_the_siren_sounds(tmp_path: Path) -> None:
    with farm(tmp_path, "energised-on-alarm") as it, it.gateway():
        it.gas(2.0)
        wait_until(lambda: it.note().get("state") == "ok", 10, lambda: str(it.note()))
        assert on_card(tmp_path / "spool.db") == [], "what is not urgent waits for its ten seconds"
        it.gas(10.0)
        began_s = time.monotonic()
        wait_until(it.coil, 3, "the coil", every_s=0.005)
        wait_until(lambda: 10.0 in on_card(tmp_path / "spool.db"), 3, lambda: str(on_card(tmp_path / "spool.db")))
        assert time.monotonic() - began_s < 3 * PATIENCE
        assert 2.0 in on_card(tmp_path / "spool.db"), "how it came about is there too"
