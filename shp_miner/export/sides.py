"""How each format names a row's question, answers, times and scores: the one table, as expressions over its columns.

Whoever reads rows of any format (the check, training and scoring, the report of changes, `show`) takes them from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import polars as pl
import pyarrow as pa

from shp_miner.export.formats import FORMATS
from shp_miner.export.shared import SEPARATOR


@dataclass(frozen=True)
class Sides:
    """What a row of a format says, as expressions over its columns; None where the format does not say it.

    question: its text. thread: the same for all rows of a thread, site or community and post id, or the question's text
    where the format has no ids; `by_ids` says which. answer: the answer of rows that have one.

    Of rows with two answers: first and second (texts, in the order of the columns), first_wins (boolean), better and
    worse (the preferred text and the other). better_is_first (boolean): the preferred answer has the first column,
    where a coin draws the columns. better_at, worse_at: when the answers were written (UTC). better_read_at,
    worse_read_at: when their votes were read (UTC). better_score, worse_score: their votes. seconds: how much later the
    preferred answer was written, in seconds. ratio: the preferred answer's score over the other's; null where the
    other's is not positive.

    key: the columns by which a row is known again; empty where only all columns together do.
    """

    question: pl.Expr
    thread: pl.Expr
    by_ids: bool = False
    answer: pl.Expr | None = None
    first: pl.Expr | None = None
    second: pl.Expr | None = None
    first_wins: pl.Expr | None = None
    better: pl.Expr | None = None
    worse: pl.Expr | None = None
    better_is_first: pl.Expr | None = None
    better_at: pl.Expr | None = None
    worse_at: pl.Expr | None = None
    better_read_at: pl.Expr | None = None
    worse_read_at: pl.Expr | None = None
    better_score: pl.Expr | None = None
    worse_score: pl.Expr | None = None
    seconds: pl.Expr | None = None
    ratio: pl.Expr | None = None
    key: tuple[str, ...] = ()

    @property
    def has_both(self) -> bool:
        """Return whether a row has two answers."""
        return self.better is not None

    def select(self, *names: str) -> dict[str, pl.Expr]:
        """Return the expressions of some of the names above, those that the format has; without names all of them."""
        found = {name: getattr(self, name) for name in names or _EXPRESSIONS}
        return {name: expression for name, expression in found.items() if isinstance(expression, pl.Expr)}

    def columns(self, *names: str) -> list[str]:
        """Return the columns of the format that some expressions read; without names those of all."""
        roots = (name for expression in self.select(*names).values() for name in expression.meta.root_names())
        return list(dict.fromkeys(roots))


_EXPRESSIONS = tuple(field.name for field in fields(Sides) if field.name not in ("by_ids", "key"))


def sides_of(form: str, table: pa.Table) -> pl.DataFrame:
    """Return the rows of some table of a format as one frame: a column for each expression that the format has."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame.select(**SIDES[form].select())


#: A pair's id without the ids of its answers: "site/post".
_THREAD_OF_PAIR = pl.col("pair_id").str.replace(r"/[^/]*$", "")
_PROMPT = pl.col("prompt").str.strip_suffix(SEPARATOR)


def _drawn(
    question: pl.Expr,
    thread: pl.Expr,
    *,
    texts: tuple[str, str],
    first_wins: pl.Expr,
    times: tuple[pl.Expr, pl.Expr],
    scores: tuple[str, str],
    key: tuple[str, ...],
    readings: tuple[str, str] | None = None,
) -> Sides:
    """A format with two answers whose columns a coin draws."""

    def won(first: pl.Expr, second: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
        better = pl.when(first_wins).then(first).otherwise(second)
        return better, pl.when(first_wins).then(second).otherwise(first)

    first, second = (pl.col(name) for name in texts)
    better, worse = won(first, second)
    better_at, worse_at = won(*times)
    better_score, worse_score = won(*(pl.col(name) for name in scores))
    better_read_at, worse_read_at = (None, None) if readings is None else won(*(pl.col(name) for name in readings))
    return Sides(
        question,
        thread,
        by_ids=True,
        first=first,
        second=second,
        first_wins=first_wins,
        better=better,
        worse=worse,
        better_is_first=first_wins,
        better_at=better_at,
        worse_at=worse_at,
        better_read_at=better_read_at,
        worse_read_at=worse_read_at,
        better_score=better_score,
        worse_score=worse_score,
        seconds=pl.col("seconds_difference").cast(pl.Float64),
        ratio=pl.col("score_ratio").cast(pl.Float64),
        key=key,
    )


def _ordered(question: pl.Expr, better: pl.Expr, worse: pl.Expr, thread: pl.Expr | None = None) -> Sides:
    """A format whose first answer is the preferred one; with a thread, it has a pair's id and its scores."""
    of_pair = thread is not None
    scores = pl.col("score_chosen"), pl.col("score_rejected")
    return Sides(
        question,
        question if thread is None else thread,
        by_ids=of_pair,
        first=better,
        second=worse,
        first_wins=pl.lit(value=True),
        better=better,
        worse=worse,
        better_score=scores[0] if of_pair else None,
        worse_score=scores[1] if of_pair else None,
        ratio=pl.when(scores[1] > 0).then(scores[0] / scores[1]).cast(pl.Float64) if of_pair else None,
        key=("pair_id",) if of_pair else (),
    )


def _message(column: str, number: int) -> pl.Expr:
    """Return the text of a message of a conversation, by its number; null if there is none."""
    return pl.col(column).list.get(number, null_on_oob=True).struct.field("content")


def _seconds(column: str) -> pl.Expr:
    return pl.from_epoch(pl.col(column), "s").dt.replace_time_zone("UTC")


#: By format; those with two answers first, and of these the ones with the most to say.
SIDES: dict[str, Sides] = {
    "pairs": _drawn(
        pl.col("question"),
        _THREAD_OF_PAIR,
        texts=("answer1", "answer2"),
        first_wins=pl.col("preferred") == 1,
        times=(pl.col("created_at1"), pl.col("created_at2")),
        scores=("score1", "score2"),
        key=("pair_id",),
        readings=("observed_at1", "observed_at2"),
    ),
    "shp": _drawn(
        pl.col("history"),
        pl.concat_str(pl.col("domain").str.replace(r"_[a-z]+$", ""), "post_id", separator="/"),
        texts=("human_ref_A", "human_ref_B"),
        first_wins=pl.col("labels") == 1,
        times=(_seconds("created_at_utc_A"), _seconds("created_at_utc_B")),
        scores=("score_A", "score_B"),
        key=("domain", "post_id", "c_root_id_A", "c_root_id_B"),
    ),
    "trl": _ordered(_message("prompt", 0), _message("chosen", 0), _message("rejected", 0), _THREAD_OF_PAIR),
    "chat-pairs": _ordered(_message("chosen", 0), _message("chosen", 1), _message("rejected", 1), _THREAD_OF_PAIR),
    "trl-text": _ordered(_PROMPT, pl.col("chosen"), pl.col("rejected")),
    "kto": Sides(_PROMPT, _PROMPT, answer=pl.col("completion")),
    "sft": Sides(_PROMPT, _PROMPT, answer=pl.col("completion")),
    "ranking": Sides(pl.col("question"), pl.col("question")),
    "bandit": Sides(pl.col("state"), pl.col("state"), answer=pl.col("action")),
}

#: What is needed to score the answers of a row.
TEXTS = ("question", "answer", "first", "second")


def form_with(names: Iterable[str], *, conversations: bool) -> str | None:
    """Return the format whose texts have columns of these names, None if there is none.

    `conversations` says whether the texts are lists of messages.
    """
    held = set(names)
    for form, sides in SIDES.items():
        texts, schema = sides.columns(*TEXTS), FORMATS[form].schema
        is_chat = any(pa.types.is_list(schema.field(name).type) for name in texts)
        if (sides.has_both or sides.answer is not None) and held.issuperset(texts) and is_chat == conversations:
            return form
    return None
