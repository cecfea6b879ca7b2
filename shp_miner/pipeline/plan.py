"""The plan of a run and its cost in requests, made without a request (`run --dry-run`)."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from msgspec import Struct

from shp_miner.crawling.state import CrawlState
from shp_miner.dumps.importing import matching_paths
from shp_miner.pipeline.config import credentials, rule_of
from shp_miner.pipeline.keys import Pipeline, RecheckKeys, SourceKeys
from shp_miner.pipeline.ran import STEPS
from shp_miner.sources import registry
from shp_miner.sources.http import SYSTEM, Clock
from shp_miner.sources.table import ROWS
from shp_miner.store import Store
from shp_miner.store.database import database_file


class Planned(Struct):
    """A planned part of a run, with its expected number of requests (0 for none, None if not known)."""

    step: str
    about: str
    would: str
    requests: int | None = 0


def plan(pipeline: Pipeline, *, only: Collection[str] = (), clock: Clock = SYSTEM) -> list[Planned]:
    """Return the parts of a run in their order. Reads the store if it exists, and changes nothing."""
    store = Store(pipeline.store)
    parts: list[Planned] = []
    if pipeline.forget.file is not None:
        parts.append(Planned("forget", pipeline.forget.file, "forget the items of the list, if it has changed"))
    for import_keys in pipeline.imports:
        files = matching_paths(import_keys.paths)
        parts.append(
            Planned("import", import_keys.kind, f"import new and changed files of {len(files)} files and folders")
        )
    state = CrawlState(store.path) if database_file(store.path).exists() else None
    try:
        if pipeline.recheck.enabled:
            parts += _visits(state, round(clock.now() * 1_000_000), pipeline.recheck)
        for source in pipeline.sources:
            parts += [_crawl(state, source, name) for name in source.communities]
    finally:
        if state is not None:
            state.close()
    for export in pipeline.exports:
        rule = rule_of(pipeline.rule, export.rule)
        parts.append(
            Planned(
                "export",
                export.out,
                f"write {', '.join(export.formats)} with the rule {rule.name}, if something changed"
                + ", and a report" * export.report,
            )
        )
    parts.append(Planned("tidy", pipeline.store, "compact, and delete files of old versions, if due"))
    return [part for step in STEPS for part in parts if part.step == step and (step in only or not only)]


def require_credentials(
    pipeline: Pipeline, parts: Collection[Planned], environment: Mapping[str, str] = os.environ
) -> None:
    """Raise NotAllowed if credentials for the planned parts are missing, as the run would."""
    given = {**environment, **credentials(pipeline, environment)}
    asked = {part.about.split()[0] for part in parts if part.step in ("recheck", "crawl") and part.requests != 0}
    for name in sorted(asked):
        registry.require_credentials(name, given)


def _visits(state: CrawlState | None, now: int, keys: RecheckKeys) -> list[Planned]:
    if state is None:
        return []
    parts = []
    unseen_since = 0 if keys.older_than is None else now - round(keys.older_than * 1_000_000)
    for source, site, _, _ in state.sites():
        count = state.due(source, site, now, unseen_since, keys.limit)
        costs = ROWS[source].costs
        requests = round(costs.start + costs.thread * count) if count else 0
        parts.append(Planned("recheck", f"{source} {site}", f"visit {count:,} due threads", requests))
    return parts


def _crawl(state: CrawlState | None, keys: SourceKeys, community: str) -> Planned:
    """Return the plan of a crawl: waiting threads and one request of the listing; only the site knows the new ones."""
    row = ROWS[keys.kind]
    start, page, per_thread = row.costs.start, row.costs.page, row.costs.thread
    about = " ".join(filter(None, (keys.kind, keys.site, community)))
    site = keys.site and row.site_of(keys.site)
    waiting, known = state.expected(keys.kind, site, community) if state is not None else (0, False)
    if known:
        requests = round(start + 1 + per_thread * min(waiting, keys.limit or waiting))
        return Planned("crawl", about, f"read {waiting:,} waiting threads, and new ones", requests)
    if keys.limit is None:
        return Planned(
            "crawl",
            about,
            f"read all threads: {start} requests at the start, 1 per {page} listed threads, {per_thread:g} per thread",
            None,
        )
    return Planned(
        "crawl", about, f"read {keys.limit:,} threads", round(start + keys.limit / page + per_thread * keys.limit)
    )
