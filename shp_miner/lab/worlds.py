"""The worlds: how people behave in a simulated forum. Each changes one thing against `base`.

Parameters come from the literature or are assumptions, as their descriptions say; none was chosen by its results.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from shp_miner.errors import UsageError, nearest_name
from shp_miner.forum.world import World

#: "best" is Reddit's default, the lower bound of Wilson's interval; "top" net votes; "hot" Reddit's published formula;
#: "chronological" the oldest first; "random" anew for each reader. Scores include the author's own vote.
Order = Literal["best", "top", "hot", "chronological", "random"]

#: How attention falls with the rank k at which an answer is shown: k ** -position_bias, or reading_on ** (k - 1).
Attention = Literal["position", "cascade"]

_Positive = Annotated[float, Meta(gt=0)]
_NotNegative = Annotated[float, Meta(ge=0)]
_Share = Annotated[float, Meta(ge=0, lt=1)]
_Correlation = Annotated[float, Meta(gt=-1, lt=1)]

#: The demo's forum, whose values are used where its files give their sources.
_DEMO = World()


class LabWorld(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a world. Each field's `description` says what it is and where its default comes from."""

    name: str
    differs: str

    mean_readers: Annotated[
        _Positive, Meta(description="Mean readers of a thread. Assumption; low 150 and high 3,000 are its contrasts.")
    ] = 600.0
    readers_spread: Annotated[
        _NotNegative,
        Meta(description="Spread of the logarithm of the readers: log-normal, as Wu and Huberman 2007 found on Digg."),
    ] = _DEMO.readers_spread
    answers_per_reader: Annotated[
        _Share, Meta(description="Share of readers who answer: the demo's assumption (1 % is the rule of thumb).")
    ] = _DEMO.answers_per_reader
    half_read_after_s: Annotated[
        _Positive, Meta(description="Time until half of the readers have come. Assumption; Digg's news 69 minutes.")
    ] = _DEMO.half_read_after_s
    arrival_shape: Annotated[
        _Positive,
        Meta(description="Shape of the Weibull law of arrivals: slower than exponential (Wu and Huberman 2007)."),
    ] = _DEMO.arrival_shape
    writing_time_s: Annotated[
        _Positive, Meta(description="Median time from opening a thread to sending an answer (log-normal). Assumption.")
    ] = _DEMO.writing_time_s

    order: Annotated[Order, Meta(description="Display order; Reddit's default is best (Wilson 1927, z for 80 %).")] = (
        "best"
    )
    attention: Annotated[
        Attention,
        Meta(description="Model of reading: by position, or a cascade from the top (Craswell et al. 2008)."),
    ] = "position"
    position_bias: Annotated[
        _NotNegative,
        Meta(description="Chance to look at rank k is k ** -this; 1 as in Joachims, Swaminathan and Schnabel 2017."),
    ] = _DEMO.position_bias
    reading_on: Annotated[
        _Share,
        Meta(description="In a cascade, chance to continue to the next answer. Assumption: 5 answers on average."),
    ] = 0.8

    herding: Annotated[
        _NotNegative,
        Meta(description="A positive score raises the chance of an up-vote by this (Muchnik, Aral and Taylor 2013)."),
    ] = _DEMO.herding
    up_rate: Annotated[
        _Share, Meta(description="Chance that a reader of an average answer votes it up. Assumption: most never vote.")
    ] = _DEMO.up_rate
    quality_effect: Annotated[
        _NotNegative, Meta(description="Change of the vote's log-odds per standard deviation of quality. Assumption.")
    ] = _DEMO.quality_effect
    down_share: Annotated[
        _Share,
        Meta(description="Down-votes among the votes on an average answer: the demo's, after a Stack Exchange dump."),
    ] = _DEMO.down_share

    late_quality: Annotated[
        _Correlation, Meta(description="Correlation of quality with arrival (normal scores of the rank). Assumption.")
    ] = 0.0
    reputation_effect: Annotated[
        _NotNegative,
        Meta(description="Log-odds per standard deviation of the author's name, independent of quality. Assumption."),
    ] = 0.0
    length_quality: Annotated[
        _Correlation, Meta(description="Correlation of quality with the logarithm of length. Assumption.")
    ] = 0.3
    length_effect: Annotated[
        _NotNegative, Meta(description="Log-odds per standard deviation of log length, beyond quality. Assumption.")
    ] = 0.0
    accepts: Annotated[
        _Share, Meta(description="Share of askers who accept an answer: 619 of 1,029 on Stack Exchange's beer site.")
    ] = 0.6
    accept_after_s: Annotated[
        _Positive, Meta(description="Median time until an asker accepts (log-normal, spread 1.5). Assumption.")
    ] = 86_400.0
    accept_noise: Annotated[
        _NotNegative,
        Meta(description="Spread of the asker's own taste, in log-odds, beside what all readers like. Assumption."),
    ] = 1.0

    read_after_days: Annotated[
        _Positive, Meta(description="Scores are read this long after the question: 30 days, when votes have settled.")
    ] = 30.0


#: The worlds by name, in the order of the tables.
WORLDS: dict[str, LabWorld] = {
    world.name: world
    for world in (
        LabWorld(name="base", differs="-"),
        LabWorld(name="low-traffic", differs="a quarter of the readers", mean_readers=150),
        LabWorld(name="high-traffic", differs="five times the readers", mean_readers=3000),
        LabWorld(name="top", differs="shown by net votes", order="top"),
        LabWorld(name="hot", differs="shown by votes and age", order="hot"),
        LabWorld(name="chronological", differs="shown by time, oldest first", order="chronological"),
        LabWorld(name="random", differs="shown in random order", order="random"),
        LabWorld(name="no-position-bias", differs="every reader looks at every answer", position_bias=0),
        LabWorld(name="cascade", differs="read from the top until bored", attention="cascade"),
        LabWorld(name="no-herding", differs="nobody follows others' votes", herding=0),
        LabWorld(name="late-better", differs="later answers are better", late_quality=0.3),
        LabWorld(name="late-much-better", differs="later answers are much better", late_quality=0.6),
        LabWorld(name="late-worse", differs="later answers are worse", late_quality=-0.3),
        LabWorld(name="reputation", differs="votes also follow the author's name", reputation_effect=0.7),
        LabWorld(name="early-snapshot", differs="scores read after 36 hours", read_after_days=1.5),
        LabWorld(name="length-bias", differs="voters like length beyond quality", length_effect=0.5),
        LabWorld(name="faint-quality", differs="voters hardly see quality", quality_effect=0.5),
    )
}


def named_world(name: str) -> LabWorld:
    """The named world. Raises UsageError that names the nearest."""
    if name not in WORLDS:
        raise UsageError(f"There is no world {name!r}.", nearest_name(name, WORLDS))
    return WORLDS[name]
