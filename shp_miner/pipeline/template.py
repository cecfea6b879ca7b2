"""The text of a new pipeline file: the chosen keys, and all other keys described and commented out."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shp_miner.pipeline.config import parse
from shp_miner.pipeline.reference import Key, reference, tables
from shp_miner.platforms.communities import undecorated_name
from shp_miner.sources.table import ROWS

_HEAD = """\
# A pipeline for shp-miner: the sources of its threads, how they are kept up to date, the rule and the exports.
# A line that starts with # and a key is commented out. It shows the default, or an example if there is no default.
# Relative paths start at this file's folder."""


def starting_text(
    *,
    source: str,
    communities: Sequence[str],
    site: str | None = None,
    rule: str = "shp",
    formats: Sequence[str] = ("pairs",),
    out: str,
    store: str = "data/store",
) -> str:
    """Return a pipeline file (TOML) that crawls one source and exports it. Raises BadInput for invalid values."""
    chosen: dict[tuple[str, str], Any] = {
        ("", "store"): store,
        ("[[source]]", "kind"): source,
        ("[[source]]", "communities"): list(communities),
        ("[rule]", "name"): rule,
        ("[[export]]", "out"): out,
        ("[[export]]", "formats"): list(formats),
    }
    if site is not None:
        chosen["[[source]]", "site"] = site
    keys = reference()
    parts = [_HEAD]
    for name, about in tables().items():
        parts.append("\n".join(_table(name, about, [key for key in keys if key.table == name], chosen)))
    text = "\n\n".join(parts) + "\n"
    parse(tomllib.loads(text))
    return text


def default_out(communities: Sequence[str], site: str | None) -> str:
    """Return the default folder of an export: it has the community's name, or the site's."""
    whole = [row.whole_site for row in ROWS.values() if row.whole_site]
    named = [community for community in communities if community.lower() not in whole]
    name = undecorated_name(named[0]) if named else (site or communities[0]).partition("://")[2] or site or "dataset"
    return "data/" + (re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-").lower() or "dataset")


def _table(name: str, about: str, keys: Sequence[Key], chosen: Mapping[tuple[str, str], Any]) -> Iterator[str]:
    """Yield the lines of one table. A list of tables ([[import]]) of which no key was chosen is commented out."""
    if name:
        yield f"# {about}"
        off = name.startswith("[[") and not any(table == name for table, _ in chosen)
        yield f"#{name}" if off else name
    for key in keys:
        choices = key.type.removeprefix("one of ").removeprefix("list out of ")
        yield f"# {key.description}" + (f" One of {choices}." if choices != key.type else "")
        value = chosen.get((key.table, key.name))
        if value is None:
            shown = key.default if key.default not in ("", "required", "[]", "{}") else key.example
            yield f"#{key.name} = {shown}"
        else:
            yield f"{key.name} = {json.dumps(value, ensure_ascii=False)}"
