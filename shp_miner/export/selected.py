"""What an export is asked for, checked: its formats and its selection of the store."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import UNSET, UnsetType

from shp_miner.arguments import Moment, Names, number, one_of, several
from shp_miner.clean.cleaning import Cleaning
from shp_miner.errors import UsageError
from shp_miner.export.formats import FORMATS
from shp_miner.mining.mine import Selection
from shp_miner.platforms.communities import meant_communities, no_such_community
from shp_miner.platforms.sites import site_of
from shp_miner.rules.presets import Rule, as_rule, changed
from shp_miner.store import Snapshot


def known_formats(given: Names | None, more: Names | None = None) -> list[str]:
    """Return the formats to write, each once. Raises UsageError for an unknown name, and where there is none."""
    asked = [*several(given, "format"), *several(more, "formats")]
    chosen = list(dict.fromkeys(one_of(name, FORMATS, "format") for name in asked))
    if not chosen and (given, more) != (None, None):
        raise UsageError("No format is given.", f"Choose one of: {', '.join(FORMATS)}.")
    return chosen or ["pairs"]


def known_rule(rule: str | Rule, since: Moment | None = None, until: Moment | None = None) -> Rule:
    """Return the rule with other dates, if any, and the name that fits it. Raises UsageError."""
    chosen = as_rule(rule)
    dates = {name: value for name, value in (("since", since), ("until", until)) if value is not None}
    return changed(chosen, dates) if dates else chosen


def check_shares(validation: float, test: float) -> None:
    """Raise UsageError for shares of validation and test that leave nothing for train, or are negative."""
    if not (number(validation, "validation") >= 0 and number(test, "test") >= 0 and validation + test < 1):
        raise UsageError(
            f"The shares of validation ({validation:g}) and test ({test:g}) leave nothing for train, or are negative.",
            "Give shares of 0 or more with a sum below 1.",
        )


def selected(
    snapshot: Snapshot,
    rule: str | Rule,
    *,
    communities: Names | None = None,
    sites: Names | None = None,
    places: Mapping[str, Names] | None = None,
    validation: float = 0.05,
    test: float = 0.05,
    clean: Cleaning | UnsetType = UNSET,
) -> tuple[Selection, str]:
    """Return the selection by stored names, and a sentence on requested communities that the store does not have.

    Arguments are as for `export_dataset`. Raises NoSuchCommunity if the store has none of the communities.
    """
    names, missing = _asked_for(several(communities, "communities"), snapshot)
    selection = Selection(
        rule=known_rule(rule),
        communities=names,
        validation=validation,
        test=test,
        sites=tuple(sorted({site_of(name) for name in several(sites, "sites")})) or UNSET,
        places=tuple(sorted((site, tuple(sorted(several(of, "places")))) for site, of in (places or {}).items()))
        or UNSET,
        clean=clean,
    )
    return selection, missing


def _asked_for(asked: Collection[str], snapshot: Snapshot) -> tuple[tuple[str, ...], str]:
    """Return the communities to mine by their stored names, and a sentence on missing ones. Raises NoSuchCommunity."""
    if not asked:
        return (), ""
    there = snapshot.communities()
    found, missing = meant_communities(asked, there)
    none = no_such_community(missing, there, "The store has") if missing else None
    if none is not None and not found:
        raise none
    # Missing communities stay in the selection, which is used again when the store has more.
    return tuple(sorted({*found, *missing})), f"{none.message} {none.hint}" if none else ""
