"""Fits that stay as they are while a data set grows, so that the confidences of old rows stay, too.

A community is fitted anew when its fit has drifted: when a slope, the logarithm of its variance, its log shares (on
average, weighted by the share) or its prior of likes per reader are more than DRIFT from what they were.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from shp_miner.rules.calibrated import Calibration
from shp_miner.rules.delays import COMMUNITY
from shp_miner.rules.newton import SLOPES

#: How far a fit may drift. A slope that moves by this moves a confidence by 0.02 at most, and the attention of a pair
#: by 0.3 at most.
DRIFT = 0.05

_SLOPES = ("slope_rank", "slope_share", *SLOPES)

#: The prior of likes per reader: null where no readers are known, and not in manifests of earlier versions.
_READERS = ("like_alpha", "like_beta")

#: The schemas of the frames of a Calibration.
_FITS = {
    "site": pl.String,
    "community": pl.String,
    "answers": pl.Int64,
    **dict.fromkeys(("slope_rank", "slope_share", "variance"), pl.Float64),
    "read_answers": pl.Int64,
    **dict.fromkeys(_READERS, pl.Float64),
    "pairs": pl.Int64,
    **dict.fromkeys(SLOPES, pl.Float64),
}
_SHARES = {"site": pl.String, "community": pl.String, "cell": pl.Int16, "log_share": pl.Float64}


def keep_fits(new: Calibration, kept: Calibration) -> tuple[Calibration, pl.DataFrame]:
    """Return the calibration to use, and the drift of each community that has a kept fit.

    Communities that have not drifted keep their fit; those that have, or are new, get the new one. The second frame has
    `site`, `community`, `drift` (Float64) and `refit` (Boolean).
    """
    drifted = _drift(new, kept)
    held = drifted.filter(~pl.col("refit")).select(COMMUNITY)
    fits = pl.concat(
        [
            new.fits.join(held, on=COMMUNITY, how="anti"),
            kept.fits.join(held, on=COMMUNITY, how="semi").select(new.fits.columns),
        ]
    ).sort(*COMMUNITY)
    shares = pl.concat(
        [
            new.shares.join(held, on=COMMUNITY, how="anti"),
            _with_new_cells(
                kept.shares.join(held, on=COMMUNITY, how="semi"), new.shares.join(held, on=COMMUNITY, how="semi")
            ),
        ]
    ).sort(*COMMUNITY, "cell")
    return Calibration(fits, shares), drifted


def _drift(new: Calibration, kept: Calibration) -> pl.DataFrame:
    fits = new.fits.join(kept.fits, on=COMMUNITY, suffix="_kept")
    shares = new.shares.join(kept.shares, on=[*COMMUNITY, "cell"], suffix="_kept")
    weight, moved = pl.col("log_share").exp(), (pl.col("log_share") - pl.col("log_share_kept")).abs()
    of_shares = shares.group_by(*COMMUNITY).agg(((weight * moved).sum() / weight.sum()).alias("of_shares"))
    slopes = [(pl.col(name) - pl.col(f"{name}_kept")).abs() for name in _SLOPES]
    variance = (pl.col("variance") / pl.col("variance_kept")).log().abs()
    together = fits.join(of_shares, on=COMMUNITY, how="left")
    drift = pl.max_horizontal(*slopes, variance, _of_readers(), pl.col("of_shares").fill_null(np.inf)).alias("drift")
    return together.select(*COMMUNITY, drift).with_columns(refit=pl.col("drift") > DRIFT).sort(*COMMUNITY)


def _of_readers() -> pl.Expr:
    """How far the prior of likes per reader has moved: its mean in standard deviations, or the logarithm of its worth.

    Either moves a confidence by less than half of that. Infinite if the readers became known, or unknown, since then.
    """

    def mean_and_worth(suffix: str) -> tuple[pl.Expr, pl.Expr]:
        alpha, beta = (pl.col(f"{name}{suffix}") for name in _READERS)
        return alpha / (alpha + beta), alpha + beta

    (mean, worth), (mean_kept, worth_kept) = mean_and_worth(""), mean_and_worth("_kept")
    spread = (mean_kept * (1 - mean_kept) / (worth_kept + 1)).sqrt()
    moved = pl.max_horizontal(((mean - mean_kept) / spread).abs(), (worth / worth_kept).log().abs())
    before, now = pl.col(f"{_READERS[0]}_kept").is_not_null(), pl.col(_READERS[0]).is_not_null()
    return pl.when(before & now).then(moved).when(before | now).then(np.inf).otherwise(0.0)


def _with_new_cells(kept: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Return the kept shares with those of cells that no answer had then: as the cell before, or after, has."""
    every = pl.concat([kept.select(*COMMUNITY, "cell"), new.select(*COMMUNITY, "cell")]).unique()
    filled = every.join(kept, on=[*COMMUNITY, "cell"], how="left").sort(*COMMUNITY, "cell")
    return filled.with_columns(pl.col("log_share").forward_fill().backward_fill().over(COMMUNITY)).select(kept.columns)


def fits_to_builtins(calibration: Calibration) -> list[dict[str, Any]]:
    """Return the fitted values of each community as plain data; `log_shares` are `cell:value`, with spaces between."""
    of_community: dict[tuple[str, str], list[str]] = {}
    for site, community, cell, value in calibration.shares.sort(*COMMUNITY, "cell").iter_rows():
        of_community.setdefault((site, community), []).append(f"{cell}:{value!r}")
    return [
        fit | {"log_shares": " ".join(of_community.get((fit["site"], fit["community"]), []))}
        for fit in calibration.fits.to_dicts()
    ]


def fits_from_builtins(told: Any) -> Calibration | None:
    """Return the calibration of `fits_to_builtins`; None for anything else, such as fits without shares."""
    try:
        missing = dict.fromkeys(_READERS) | {"read_answers": 0}
        fits = pl.DataFrame([{name: (missing | fit)[name] for name in _FITS} for fit in told], schema=_FITS)
        cells = [
            (fit["site"], fit["community"], int(cell), float(value))
            for fit in told
            for cell, _, value in (pair.partition(":") for pair in fit["log_shares"].split(" "))
        ]
        return Calibration(fits, pl.DataFrame(cells, schema=_SHARES, orient="row"))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, pl.exceptions.PolarsError):
        return None
