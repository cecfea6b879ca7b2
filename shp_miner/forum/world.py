"""A World: how people behave in a simulated forum. Every default names its source."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

from shp_miner.errors import UsageError

#: How a page orders answers: "best" by the lower bound of Wilson's interval for the share of up-votes (Reddit's
#: default), "top" by net votes, "new" and "old" by time, "random" anew for each reader.
DisplayOrder = Literal["best", "top", "new", "old", "random"]

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


@dataclass(frozen=True)
class World:
    """The parameters of a simulated forum. Rates are per reader, times in seconds unless the name says otherwise."""

    name: str = "default"

    #: A demo's size: some thousand pairs, simulated in seconds.
    threads: int = 400

    #: Mean readers of a thread, and the spread of their logarithm. Attention is spread very unevenly over posts, about
    #: log-normally (Wu and Huberman 2007 measured that on Digg); a spread of 1 gives the top tenth 39 % of it.
    mean_readers: float = 300.0
    readers_spread: float = 1.0

    #: Share of readers who answer. "One in a hundred writes" is the usual rule of thumb for forums; question boards do
    #: better. With the mean above it makes 9 answers a thread, with a heavy tail because the readers have one.
    answers_per_reader: float = 0.03

    #: Answers come from this share of the readers, those who came first. By default from all of them; near 0 every
    #: answer is there before the readers, so that all have equal time to collect votes.
    answered_by_first: float = 1.0

    #: Half of a thread's readers have come after this time, the others ever more slowly: a Weibull law with this shape.
    #: News fades within hours (Wu and Huberman 2007: half in 69 minutes on Digg's front page, falling slower than
    #: exponentially); a question stays up longer.
    half_read_after_s: float = 6 * HOUR_S
    arrival_shape: float = 0.6

    #: Median time from opening a thread to sending an answer.
    writing_time_s: float = 900.0

    display_order: DisplayOrder = "best"

    #: A reader looks at the answer at rank k with probability k ** -position_bias. An exponent of 1 is the usual
    #: choice in studies of search results (Joachims, Swaminathan and Schnabel 2017); 0 means that all is read.
    position_bias: float = 1.0

    #: An answer that shows a positive score is up-voted more often by this share: one random up-vote raised the
    #: chance of the next by 32 % (Muchnik, Aral and Taylor 2013); a random down-vote had no lasting effect.
    herding: float = 0.32

    #: Chance that a reader who looks at an average answer votes it up, and by how much the log-odds grow per standard
    #: deviation of quality. Most readers never vote. With 1.0 an answer one deviation better is voted up 2.3 times as
    #: often once it is seen: people mostly recognise quality, but one vote says little.
    up_rate: float = 0.10
    quality_effect: float = 1.0

    #: Share of down-votes among the votes on an average answer. Good answers are seen most, so 15 % here makes 7 % of
    #: all votes, as in the public dump of a Stack Exchange site (beer: 1,084 of 16,479 votes).
    down_share: float = 0.15

    #: Correlation between an answer's quality and its time of arrival within the thread (normal scores of the rank).
    #: 0 by default, so that time itself says nothing and whatever a rule gains from it is a matter of attention.
    late_quality: float = 0.0

    #: Threads start within `span_days` of `starts_at`, and the forum is looked at `settle_days` after the last of them,
    #: when few votes are still to come.
    starts_at: datetime = datetime(2024, 1, 1, tzinfo=UTC)
    span_days: float = 60.0
    settle_days: float = 14.0

    def __post_init__(self) -> None:
        """Refuse values that mean nothing. Raises UsageError."""
        positive = ("mean_readers", "half_read_after_s", "arrival_shape", "writing_time_s", "span_days", "settle_days")
        shares = ("answers_per_reader", "down_share")
        wrong = [name for name in positive if not getattr(self, name) > 0]
        wrong += [name for name in shares if not 0 <= getattr(self, name) < 1]
        wrong += [
            name for name in ("threads", "readers_spread", "position_bias", "herding") if not getattr(self, name) >= 0
        ]
        if not 0 < self.answered_by_first <= 1:
            wrong.append("answered_by_first")
        if not 0 < self.up_rate < 1:
            wrong.append("up_rate")
        if not -1 < self.late_quality < 1:
            wrong.append("late_quality")
        if self.display_order not in get_args(DisplayOrder):
            wrong.append("display_order")
        if wrong:
            raise UsageError(
                f"A world cannot have {wrong[0]} = {getattr(self, wrong[0])!r}.",
                "See the fields of shp_miner.forum.World for the allowed values.",
            )

    @property
    def observed_at(self) -> datetime:
        """When the forum is looked at, unless told otherwise."""
        return self.starts_at + timedelta(days=self.span_days + self.settle_days)
