"""`python -m shp_miner`: the command line, where its program is not on the path."""

from __future__ import annotations

from shp_miner.cli import main

if __name__ == "__main__":
    main()
