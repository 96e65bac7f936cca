"""`python -m gateway run FILE`: the gateway's own process, which `makiba gateway run` becomes; see `process.py`."""

from __future__ import annotations

import sys
from pathlib import Path

from gateway.process import main

if __name__ == "__main__":
    main(Path(sys.argv[2]), *sys.argv[3:])
