"""The functions behind the commands `crawl` and `recheck`, also for Python programs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

from msgspec import structs

from shp_miner.arguments import Length, Names, length, several, whole_number
from shp_miner.crawling.community import INTERRUPTED, Crawl
from shp_miner.crawling.known_again import know_again
from shp_miner.crawling.progress import Advance, ignore_progress
from shp_miner.crawling.result import VISITS_S, Crawled
from shp_miner.crawling.set_back import set_back
from shp_miner.crawling.state import CrawlState
from shp_miner.errors import BadInput, Error, NotAllowed, TryLater, UsageError
from shp_miner.forgetting.forget import purge
from shp_miner.sources.access import Access, shared_clocks
from shp_miner.sources.http import OverBudget
from shp_miner.sources.registry import open_source
from shp_miner.sources.source import Source
from shp_miner.store import Store
from shp_miner.store.forgotten_list import files_ahead, set_back_list
from shp_miner.store.lake import TABLES
from shp_miner.store.lock import exclusive_lock, working_beside
from shp_miner.store.mend import is_suspect, mend_table
from shp_miner.units import microseconds

__all__ = ["Access", "Crawled", "crawl", "recheck"]

#: The lock that runs of both kinds hold together: threads are claimed by either.
_NAME = "crawl"

#: After so many communities in a row without any answer the whole site is down.
_SILENT = 2


def crawl(  # noqa: PLR0913 - each is an option of the command
    name: str,
    communities: Names,
    store: Store | str | os.PathLike[str],
    access: Access | None = None,
    *,
    site: str | None = None,
    url: str | None = None,
    allow_private: bool = False,
    limit: int | None = None,
    visits_s: Sequence[float] = VISITS_S,
    say: Callable[[str], None] = lambda _: None,
    advance: Advance = ignore_progress,
) -> list[Crawled]:
    """Read new and changed threads of communities into a store. Return the result for each community.

    `name` is one of sources.table.ROWS; `communities` is one name or several. `site` (a host), `url` and
    `allow_private` say where the source is, as in Access; if they are left out, `access` does, which also takes clocks
    and a budget. Requests share the pace of all runs of a person on this machine, unless `access` has other clocks.
    `limit` is the most threads to read per community, `visits_s` are the ages of later visits in seconds, and `say`
    gets progress lines. `advance` gets the same as numbers (CrawlProgress), after each page of a listing and thread.

    Raises UsageError, NotAllowed and BadInput if a community cannot be requested at all, and TryLater if nothing could
    be done. Other failures are in the results and in the next run's queue.
    """
    asked, limit = several(communities, "communities"), whole_number(limit, "limit")
    if not asked:
        raise UsageError("No community is named.", 'Name one or several: crawl("discourse", "latest", store, ...).')
    lake = store if isinstance(store, Store) else Store(store)
    access = access or Access()
    access = structs.replace(
        access, site=site or access.site, url=url or access.url, allow_private=allow_private or access.allow_private
    )
    with shared_clocks(access) as access, open_source(name, access) as source:
        try:
            names = [source.verify(community) for community in asked]
        except (OverBudget, KeyboardInterrupt) as end:
            return [Crawled(source.name, source.site, asked[0], stopped=str(end) or INTERRUPTED)]
        lake.create()
        _set_right(lake, access)
        with CrawlState(lake.path) as state, working_beside(lake.path, _NAME, state.release_all):
            know_again(lake, state, microseconds(access.clock.now()))
            state.asked_at(source.name, source.site, access.url or access.site, allow_private=access.allow_private)
            run = Crawl(
                source, lake, state, clock=access.clock, visits_s=visits_s, limit=limit, say=say, advance=advance
            )
            done = _until_stopped(run, source, names, run.run)
    _tidy(lake, done)
    return done


def recheck(  # noqa: PLR0913  (every option of the command, by name)
    store: Store | str | os.PathLike[str],
    access: Access | None = None,
    *,
    limit: int | None = None,
    given_up: bool = False,
    older_than: str | timedelta | None = None,
    older_than_s: Length | None = None,
    visits_s: Sequence[float] = VISITS_S,
    say: Callable[[str], None] = lambda _: None,
    advance: Advance = ignore_progress,
) -> list[Crawled]:
    """Visit all threads of a store that are due; return the result for each community.

    `access` says how to request; the store remembers where. With `given_up`, threads that were given up are retried
    once. With `older_than` (a text such as "90d", or a timedelta) or `older_than_s` (also a number of seconds), also
    visit every thread that was not read for so long; 0 is a full pass. Raises as `crawl`.
    """
    lake = store if isinstance(store, Store) else Store(store)
    lake.require()
    limit = whole_number(limit, "limit")
    unread_s = _unread_s(older_than, older_than_s)
    how: dict[str, Any] = {"limit": limit, "visits_s": visits_s, "say": say, "advance": advance}
    with shared_clocks(access or Access()) as paced:
        done, refused = _visited(lake, paced, how, given_up=given_up, older_than_s=unread_s)
    if refused and len(refused) == len(done):
        raise refused[0]
    _tidy(lake, done)
    return done


def _unread_s(older_than: str | timedelta | None, older_than_s: Length | None) -> float | None:
    if older_than is None:
        return None if older_than_s is None else length(older_than_s, "older_than_s")
    if older_than_s is not None:
        raise UsageError("older_than is given as older_than_s, too.", "Leave one out.")
    # A bare number needs its unit, as on the command line.
    return length(older_than if isinstance(older_than, timedelta) else str(older_than), "older_than")


def _visited(
    lake: Store, access: Access, how: Mapping[str, Any], *, given_up: bool, older_than_s: float | None
) -> tuple[list[Crawled], list[Error]]:
    """What was done for each community that is due, and what whole sites refused."""
    done: list[Crawled] = []
    refused: list[Error] = []
    _set_right(lake, access)
    with CrawlState(lake.path) as state, working_beside(lake.path, _NAME, state.release_all):
        if given_up:
            state.take_up_again()
        begun = access.clock.now()
        know_again(lake, state, microseconds(begun))
        unseen_since = 0 if older_than_s is None else microseconds(begun - older_than_s)
        for name, site, url, private in state.sites():
            communities = state.due_communities(name, site, microseconds(begun), unseen_since)
            if not communities:
                continue
            place = structs.replace(access, site=site, url=url if url and "://" in url else None, allow_private=private)
            try:
                with open_source(name, place) as source:
                    run = Crawl(source, lake, state, clock=access.clock, **how)
                    done += _until_stopped(run, source, communities, partial(run.recheck, unseen_since=unseen_since))
            except (NotAllowed, BadInput, TryLater) as error:
                # Another site may still be visited.
                refused.append(error)
                done.append(Crawled(name, site, communities[0], stopped=error.message))
    return done, refused


def _set_right(store: Store, access: Access) -> None:
    """Take back what a clock that was ahead has noted, so that nothing waits until that time has come."""
    now = microseconds(access.clock.now())
    set_back(store.path, now)
    if is_suspect(store.path, now) or files_ahead(store.path, now):
        # Who uses the store now keeps it; the next run does it, or `doctor --repair`.
        with suppress(TryLater), exclusive_lock(store.path, "mending rows", wait_s=1.0):
            for name in TABLES:
                mend_table(store.path, name, now)
            set_back_list(store.path, now)


def _tidy(store: Store, done: Sequence[Crawled]) -> None:
    """Take what was found to be gone out of every copy, and compact if that is due."""
    try:
        # Who uses the store now takes it out when done; until then `doctor` says that it waits.
        with suppress(TryLater):
            purge(store)
        store.compact_if_due()
    except KeyboardInterrupt:
        if not done:
            raise
        done[-1].stopped = done[-1].stopped or INTERRUPTED


def _until_stopped(
    run: Crawl, source: Source, communities: Sequence[str], step: Callable[[str], Crawled]
) -> list[Crawled]:
    """Take a step with each community. What one is refused or fails with ends its own run, and no other's.

    A budget, an interruption, or a site that gives no answer in two communities in a row end all. Raises
    where nothing at all could be done.
    """
    done: list[Crawled] = []
    errors: list[Error] = []
    silent = 0
    for community in communities:
        refused = False
        try:
            done.append(step(community))
        except (NotAllowed, BadInput, TryLater) as error:
            errors.append(error)
            done.append(Crawled(source.name, source.site, community, stopped=error.message))
            refused = not isinstance(error, TryLater)  # which is an answer
        last = done[-1]
        silent = 0 if refused or not last.stopped or last.listed or last.read or last.unreadable else silent + 1
        if run.ended or silent >= _SILENT:
            break
    if errors and len(errors) == len(done):
        raise errors[0]
    return done
