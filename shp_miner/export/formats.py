"""The formats: for each its Arrow schema and a pure function from threads to rows. See docs/formats.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from shp_miner.mine import Threads
from shp_miner.model import EXPORT_TIMESTAMP
from shp_miner.rules.pairs import between
from shp_miner.text.shp import flatten

#: What stands between title and body, and what a prompt of plain text ends in: trainers put nothing between prompt and
#: answer. One line break after a visible character is a token of its own in GPT-2's and Llama's vocabularies, so the
#: prompt's tokens stay the same when an answer follows; with two, trainers cut the prompt short.
PARAGRAPH = "\n\n"
SEPARATOR = "\n\nAnswer:\n"

#: The column of every format's frame that says which post a row belongs to. It is not written.
POST_ROW = "post_row"

#: TRL gives these column names a meaning of its own; no format may use one.
RESERVED_COLUMNS = frozenset({"margin", "tools", "image", "images", "chat_template_kwargs"})

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_RANKED = pa.list_(
    pa.struct([("text", pa.string()), ("score", pa.int64()), ("rank", pa.int32()), ("answer_id", pa.string())])
)


@dataclass(frozen=True)
class Format:
    """A format and what its rows must satisfy.

    rows(threads, rule_name) gives a frame with the columns of `schema` and `post_row`. `texts` are the columns that may
    not be empty; `answers` the two that hold the answers of a pair; `balance` the column that tells which side won and
    its value for the first side. `same_text` says whether pairs of equal texts are in it: trainers learn nothing from
    them.
    """

    name: str
    purpose: str
    schema: pa.Schema
    rows: Callable[[Threads, str], pl.DataFrame]
    texts: tuple[str, ...]
    answers: tuple[str, str] | None = None
    balance: tuple[str, object] | None = None
    same_text: bool = True

    def table(self, threads: Threads, rule_name: str) -> tuple[pa.Table, pl.Series]:
        """The rows as an Arrow table of exactly `schema`, and the row of `threads.posts` that each belongs to.

        Rows are in the order of the posts.
        """
        frame = self.rows(threads, rule_name)
        return frame.select(self.schema.names).to_arrow().cast(self.schema), frame[POST_ROW]


def _question() -> pl.Expr:
    """Title and body as one text."""
    body = pl.col("body")
    return pl.when(body == "").then(pl.col("title")).otherwise(pl.concat_str("title", pl.lit(PARAGRAPH), body))


def _sides(threads: Threads) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, dict[str, pl.Series]]:
    """The posts, the first and the second answers of all pairs, and what lies between winner and loser."""
    pairs = threads.pairs
    first = pairs.select(pl.when("winner_first").then("winner").otherwise("loser")).to_series()
    second = pairs.select(pl.when("winner_first").then("loser").otherwise("winner")).to_series()
    a, b = threads.answers[first], threads.answers[second]
    return (
        threads.posts[a[POST_ROW]],
        a,
        b,
        between(threads.answers[pairs["winner"]], threads.answers[pairs["loser"]]),
    )


def _winners(threads: Threads) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """The posts, winners and losers of the pairs whose texts differ."""
    pairs = threads.pairs.filter(~pl.col("same_text"))
    winner, loser = threads.answers[pairs["winner"]], threads.answers[pairs["loser"]]
    return threads.posts[winner[POST_ROW]], winner, loser


def _pair_ids(posts: pl.DataFrame, a: pl.DataFrame, b: pl.DataFrame) -> pl.Series:
    """site/post/answer-answer, the smaller answer id first, so that it does not tell who won."""
    low = pl.min_horizontal(pl.lit(a["answer_id"]), pl.lit(b["answer_id"]))
    high = pl.max_horizontal(pl.lit(a["answer_id"]), pl.lit(b["answer_id"]))
    return posts.select(pl.concat_str("site", pl.lit("/"), "post_id", pl.lit("/"), low, pl.lit("-"), high)).to_series()


def _author() -> pl.Expr:
    """The author's name with a link to their page where the licence asks for one."""
    link = pl.concat_str(pl.col("author").fill_null("unknown"), pl.lit(" <"), "author_url", pl.lit(">"))
    return pl.when(pl.col("author_url").is_not_null()).then(link).otherwise(pl.col("author"))


def _licenses(*frames: pl.DataFrame) -> pl.Series:
    """The licences of the parts of a row, each once, in the order of their names; null if none is known."""
    together = pl.DataFrame({str(i): frame["license"] for i, frame in enumerate(frames)})
    joined = together.select(pl.concat_list(pl.all()).list.drop_nulls().list.unique().list.sort().list.join("; "))
    return joined.select(pl.when(pl.first() != "").then(pl.first())).to_series()


def _pairs(threads: Threads, rule_name: str) -> pl.DataFrame:
    posts, a, b, numbers = _sides(threads)
    a_wins = threads.pairs["winner_first"]
    columns = {
        POST_ROW: a[POST_ROW],
        "question": posts.select(_question()).to_series(),
        "answer1": a["text"],
        "answer2": b["text"],
        "preferred": 2 - a_wins.cast(pl.Int8),
        "pair_id": _pair_ids(posts, a, b),
        "source": posts["source"],
        "community": posts["community"],
        "post_id": posts["post_id"],
        "post_score": posts["score"],
        "confidence": _confidence(len(a_wins)),
        "rule": pl.repeat(rule_name, len(a_wins), dtype=pl.String, eager=True),
        "url": posts["url"],
        "author_post": posts.select(_author()).to_series(),
        "license": _licenses(posts, a, b),
        **numbers,
    }
    for side, answers in (("1", a), ("2", b)):
        columns[f"answer{side}_id"] = answers["answer_id"]
        columns[f"score{side}"] = answers["score"]
        columns[f"created_at{side}"] = answers["created_at"]
        columns[f"observed_at{side}"] = answers["observed_at"]
        columns[f"author{side}"] = answers.select(_author()).to_series()
    return pl.DataFrame(columns)


def _shp(threads: Threads, _rule_name: str) -> pl.DataFrame:
    posts, a, b, numbers = _sides(threads)
    a_wins = threads.pairs["winner_first"]
    columns = {
        POST_ROW: a[POST_ROW],
        "post_id": posts["post_id"],
        "domain": posts["community"] + "_" + posts["split"],
        "upvote_ratio": posts["upvote_ratio"],
        "history": flatten(posts.select(pl.concat_str("title", "body", separator=" ").str.strip_chars()).to_series()),
        "labels": a_wins.cast(pl.Int64),
        **numbers,
    }
    for side, answers in (("A", a), ("B", b)):
        columns[f"c_root_id_{side}"] = answers["answer_id"]
        columns[f"created_at_utc_{side}"] = answers["created_at"].dt.epoch("s")
        columns[f"score_{side}"] = answers["score"]
        columns[f"human_ref_{side}"] = flatten(answers["text"])
    return pl.DataFrame(columns)


def _message(role: str, text: pl.Series) -> pl.Series:
    frame = pl.DataFrame({"content": text})
    return frame.select(pl.concat_list(pl.struct(pl.lit(role).alias("role"), "content"))).to_series()


def _trl(threads: Threads, _rule_name: str) -> pl.DataFrame:
    posts, winner, loser = _winners(threads)
    return pl.DataFrame(
        {
            POST_ROW: winner[POST_ROW],
            "prompt": _message("user", posts.select(_question()).to_series()),
            "chosen": _message("assistant", winner["text"]),
            "rejected": _message("assistant", loser["text"]),
            "pair_id": _pair_ids(posts, winner, loser),
            "score_chosen": winner["score"],
            "score_rejected": loser["score"],
            "confidence": _confidence(winner.height),
        }
    )


def _trl_text(threads: Threads, _rule_name: str) -> pl.DataFrame:
    posts, winner, loser = _winners(threads)
    columns = {"prompt": _prompts(posts), "chosen": winner["text"], "rejected": loser["text"]}
    return pl.DataFrame({POST_ROW: winner[POST_ROW], **columns})


def _prompts(posts: pl.DataFrame) -> pl.Series:
    return posts.select(_question() + SEPARATOR).to_series()


def _standing() -> pl.Expr:
    """How an answer stands under the rule: pairs won minus pairs lost (Copeland's score)."""
    return pl.col("wins") - pl.col("losses")


def _ranked(threads: Threads) -> pl.DataFrame:
    """The answers of each thread from best to worst by the rule (ties: score, earlier, id), with `rank` from 1."""
    order = threads.answers.with_columns(_standing().alias("standing")).sort(
        POST_ROW, "standing", "score", "created_at", "answer_id", descending=[False, True, True, False, False]
    )
    return order.with_columns((pl.int_range(pl.len(), dtype=pl.Int32).over(POST_ROW) + 1).alias("rank"))


def _ranking(threads: Threads, _rule_name: str) -> pl.DataFrame:
    ranked = (
        _ranked(threads)
        .group_by(POST_ROW, maintain_order=True)
        .agg(pl.struct("text", "score", "rank", "answer_id").alias("answers"))
    )
    return pl.DataFrame(
        {
            POST_ROW: ranked[POST_ROW],
            "question": threads.posts.select(_question()).to_series()[ranked[POST_ROW]],
            "answers": ranked["answers"],
        }
    )


def _kto(threads: Threads, _rule_name: str) -> pl.DataFrame:
    answers = threads.answers.filter(_standing() != 0)
    return pl.DataFrame(
        {
            POST_ROW: answers[POST_ROW],
            "prompt": _prompts(threads.posts[answers[POST_ROW]]),
            "completion": answers["text"],
            "label": answers.select(_standing() > 0).to_series(),
        }
    )


def _sft(threads: Threads, _rule_name: str) -> pl.DataFrame:
    best = _ranked(threads).filter(pl.col("rank") == 1)
    columns = {"prompt": _prompts(threads.posts[best[POST_ROW]]), "completion": best["text"]}
    return pl.DataFrame({POST_ROW: best[POST_ROW], **columns})


def _bandit(threads: Threads, _rule_name: str) -> pl.DataFrame:
    answers = threads.answers
    questions = threads.posts.select(_question()).to_series()
    return pl.DataFrame(
        {
            POST_ROW: answers[POST_ROW],
            "state": questions[answers[POST_ROW]],
            "action": answers["text"],
            "reward": answers.select(_standing() / (pl.col("wins") + pl.col("losses"))).to_series(),
            "next_state": pl.repeat(None, answers.height, dtype=pl.String, eager=True),
        }
    )


def _confidence(count: int) -> pl.Series:
    """Null for every pair: no preset of this version computes a probability."""
    return pl.repeat(None, count, dtype=pl.Float64, eager=True)


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list(columns.items()))


_S, _I, _F, _T = pa.string(), pa.int64(), pa.float64(), EXPORT_TIMESTAMP

FORMATS: dict[str, Format] = {
    item.name: item
    for item in (
        Format(
            "pairs",
            "people; row[f\"answer{row['preferred']}\"] is the better text",
            _schema(
                question=_S,
                answer1=_S,
                answer2=_S,
                preferred=pa.int8(),
                pair_id=_S,
                source=_S,
                community=_S,
                post_id=_S,
                answer1_id=_S,
                answer2_id=_S,
                score1=_I,
                score2=_I,
                created_at1=_T,
                created_at2=_T,
                observed_at1=_T,
                observed_at2=_T,
                post_score=_I,
                seconds_difference=_F,
                score_ratio=_F,
                confidence=_F,
                rule=_S,
                url=_S,
                author_post=_S,
                author1=_S,
                author2=_S,
                license=_S,
            ),
            _pairs,
            texts=("question", "answer1", "answer2"),
            answers=("answer1", "answer2"),
            balance=("preferred", 1),
        ),
        Format(
            "shp",
            "code written for the Stanford Human Preferences dataset",
            _schema(
                post_id=_S,
                domain=_S,
                upvote_ratio=_F,
                history=_S,
                c_root_id_A=_S,
                c_root_id_B=_S,
                created_at_utc_A=_I,
                created_at_utc_B=_I,
                score_A=_I,
                score_B=_I,
                human_ref_A=_S,
                human_ref_B=_S,
                labels=_I,
                seconds_difference=_F,
                score_ratio=_F,
            ),
            _shp,
            texts=("history", "human_ref_A", "human_ref_B"),
            answers=("human_ref_A", "human_ref_B"),
            balance=("labels", 1),
        ),
        Format(
            "trl",
            "TRL RewardTrainer and DPOTrainer, as conversations",
            _schema(
                prompt=_MESSAGES,
                chosen=_MESSAGES,
                rejected=_MESSAGES,
                pair_id=_S,
                score_chosen=_I,
                score_rejected=_I,
                confidence=_F,
            ),
            _trl,
            texts=("prompt", "chosen", "rejected"),
            answers=("chosen", "rejected"),
            same_text=False,
        ),
        Format(
            "trl-text",
            "trainers that take plain text",
            _schema(prompt=_S, chosen=_S, rejected=_S),
            _trl_text,
            texts=("prompt", "chosen", "rejected"),
            answers=("chosen", "rejected"),
            same_text=False,
        ),
        Format(
            "kto",
            "TRL KTOTrainer",
            _schema(prompt=_S, completion=_S, label=pa.bool_()),
            _kto,
            texts=("prompt", "completion"),
        ),
        Format(
            "ranking",
            "listwise and Plackett-Luce losses",
            _schema(question=_S, answers=_RANKED),
            _ranking,
            texts=("question",),
        ),
        Format(
            "sft",
            "supervised fine-tuning on the answer that stands best under the rule",
            _schema(prompt=_S, completion=_S),
            _sft,
            texts=("prompt", "completion"),
        ),
        Format(
            "bandit",
            "offline reinforcement learning on (state, action, reward, next state)",
            _schema(state=_S, action=_S, reward=_F, next_state=_S),
            _bandit,
            texts=("state", "action"),
        ),
    )
}
