"""Posts that are marked as not safe for work."""

from __future__ import annotations

import polars as pl

from shp_miner.clean.filter import ItemFilter

NSFW = ItemFilter("nsfw", lambda rule: pl.col("nsfw") & (not rule.keep_nsfw))
