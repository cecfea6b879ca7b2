"""The places (sites and communities) that a pipeline crawls and imports: its exports hold these only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from shp_miner.dumps.importing import matching_paths
from shp_miner.errors import BadInput
from shp_miner.model import PROFILE
from shp_miner.pipeline.keys import ImportKeys, Pipeline, SourceKeys
from shp_miner.platforms.communities import stored_name
from shp_miner.platforms.sites import REDDIT, site_of
from shp_miner.sources.table import ROWS
from shp_miner.store.runs import Runs

#: Stands for every site of the store.
ALL = "*"

#: The site of a pipeline whose files were not read yet.
NOWHERE = ""

#: Communities of each site; an empty tuple is the whole site.
Places = dict[str, tuple[str, ...]]


class Own:
    """The places of a pipeline, from its keys and from the notes of its runs."""

    def __init__(self, pipeline: Pipeline, runs: Runs) -> None:
        self._pipeline, self._runs = pipeline, runs

    def places(self) -> Places:
        """Return the pipeline's places; empty if nothing is known, which means the whole store."""
        found: dict[str, set[str]] = {}
        whole: set[str] = set()
        parts = [self._of_source(keys) for keys in self._pipeline.sources]
        for keys in self._pipeline.imports:
            for pattern in keys.paths:
                known = self.of_import(keys, pattern)
                if known is None:
                    return {}
                parts.append(known)
        for part in parts:
            for site, names in part.items():
                found.setdefault(site, set()).update(names)
                whole |= set() if names else {site}
        if parts and not found:
            return {NOWHERE: ()}
        return {site: () if site in whole else tuple(sorted(names)) for site, names in sorted(found.items())}

    def of_import(self, keys: ImportKeys, pattern: str) -> Places | None:
        """Return the places of the files of an import's pattern; None if they are not known."""
        noted = self._noted(_key("import", (how(keys), pattern)))
        if noted is not None:
            return noted
        with suppress(BadInput):  # no such file, so nothing was read of it
            if any(self._runs.state_of(import_key(keys, path)) for path in matching_paths([pattern])):
                return _by_keys(keys)  # an earlier version read it, and noted nothing
        return {}

    def imported(self, keys: ImportKeys, places: Mapping[str, Iterable[str] | None], now: int) -> None:
        """Add the places of an import's files to those noted before; the files may be deleted later."""
        for pattern in keys.paths:
            key = _key("import", (how(keys), pattern))
            known = dict(self._noted(key) or {})
            for site, names in places.items():
                before = known.get(site)
                whole = names is None or before == ()
                known[site] = () if whole else tuple(sorted({*(names or ()), *(before or ())}))
            self._note(key, known, now)

    def crawled(self, keys: SourceKeys, names: Iterable[str], now: int) -> None:
        """Add the names that a site gives to a source's communities to those noted before."""
        key = _key("source", _asked(keys))
        before = (self._noted(key) or {}).get(_site(keys), ())
        # A person's own page bears the person's name, which is kept nowhere but in the tables.
        found = {name.lower() for name in names if not name.lower().startswith(PROFILE)}
        self._note(key, {_site(keys): tuple(sorted(found.union(before)))}, now)

    def _of_source(self, keys: SourceKeys) -> Places:
        site, names = _site(keys), {stored_name(name) for name in keys.communities}
        noted = (self._noted(_key("source", _asked(keys))) or {}).get(site, ())
        row = ROWS[keys.kind]
        if (row.whole_site and row.whole_site in names) or not (noted or row.stored_as_written):
            return {site: ()}
        return {site: tuple(sorted(names.union(noted)))}

    def _noted(self, key: str) -> Places | None:
        state = self._runs.state_of(key)
        return None if state is None else msgspec.json.decode(state, type=Places)

    def _note(self, key: str, places: Places, now: int) -> None:
        self._runs.did(key, msgspec.json.encode(places).decode(), now)


def how(keys: ImportKeys) -> str:
    """Return a hash of an import's kind and options: the same file with other options is another import."""
    content = b""
    with suppress(OSError):  # the import says what is wrong with a map
        content = b"" if keys.map is None else Path(keys.map).read_bytes()
    return hashlib.sha256(msgspec.json.encode((keys.kind, import_options(keys))) + content).hexdigest()


def import_options(keys: ImportKeys) -> dict[str, Any]:
    """Return the options of an import's reader."""
    given = {name: getattr(keys, name) for name in ("communities", "site", "vote_history", "map", "utc")}
    return {name: value for name, value in given.items() if value}


def import_key(keys: ImportKeys, path: Path) -> str:
    """Return the key under which the state of an imported file is kept."""
    return f"import:{how(keys)}:{path}"


def _by_keys(keys: ImportKeys) -> Places | None:
    if keys.kind == "reddit-dump":
        return {REDDIT: tuple(stored_name(name) for name in keys.communities)}
    if keys.site is not None:
        return {site_of(keys.site, stackexchange=keys.kind == "stackexchange-dump"): ()}
    return None


def _site(keys: SourceKeys) -> str:
    row = ROWS[keys.kind]
    return row.site_of(row.site if keys.site is None else keys.site)


def _asked(keys: SourceKeys) -> Any:
    return keys.kind, _site(keys), keys.communities


def _key(what: str, parts: Any) -> str:
    return f"places:{what}:{hashlib.sha256(msgspec.json.encode(parts)).hexdigest()}"
