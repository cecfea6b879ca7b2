"""People in an export: their names as hashes under a key, or left out, in columns and in texts alike.

A hash follows from the site, the name (in any letter case and spacing, because mentions are written so) and a key that
only the store has. So one name on one site is one person in every row, and nobody without the key can try names.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass

import polars as pl

from shp_miner.clean.mentions import replace_mentions

#: What stands for a name that is left out.
LEFT_OUT = "[USER]"

_DIGEST_BYTES = 8
_COLUMNS = ("author", "author_id", "author_url")


@dataclass(frozen=True)
class People:
    """How names are written: as hashes under `key` (16 bytes or more), or as `[USER]` where there is none."""

    key: bytes | None

    def written(self, site: str, name: str) -> str:
        """Return what stands for a name on a site."""
        if self.key is None:
            return LEFT_OUT
        plain = "".join(unicodedata.normalize("NFC", name).casefold().split())
        digest = hashlib.blake2b(f"author\0{site}\0{plain}".encode(), key=self.key, digest_size=_DIGEST_BYTES)
        return f"user_{digest.hexdigest()}"

    def columns(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows with `site` whose authors are hashes or null; numbers and pages of accounts are null."""
        blank = {name: pl.lit(None, pl.String) for name in _COLUMNS if name in rows.columns}
        if self.key is None or "author" not in rows.columns:
            return rows.with_columns(**blank)
        known = rows.select("site", "author").unique().drop_nulls()
        hashes = [self.written(site, name) for site, name in known.iter_rows()]
        known = known.with_columns(pl.Series("hash", hashes, dtype=pl.String))
        hashed = rows.select("site", "author").join(known, on=["site", "author"], how="left", maintain_order="left")
        return rows.with_columns(**(blank | {"author": hashed["hash"]}))

    def texts(self, texts: pl.Series, bodies: pl.Series, sites: pl.Series) -> tuple[pl.Series, int]:
        """Return texts, made of `bodies`, with the names that they mention written so, and how many there were."""
        return replace_mentions(texts, bodies, sites, self.written)
