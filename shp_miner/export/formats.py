"""The formats: each has an Arrow schema and a pure function from threads to rows. See docs/formats.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from shp_miner.export.attribution import authors_of, licenses_of
from shp_miner.export.columns import Columns, Repeated, all_to_arrow
from shp_miner.export.conversations import MESSAGES, conversations, message
from shp_miner.export.shared import (
    COMPARED,
    COUNTED,
    KNOWN,
    POST_ROW,
    SEPARATOR,
    between,
    differing,
    known,
    pair_ids,
    questions,
    sides,
    worth,
)
from shp_miner.mining.mine import Threads
from shp_miner.model import EXPORT_TIMESTAMP
from shp_miner.rules.age import known_time
from shp_miner.text.shp import flatten_texts

#: The column that is subtracted from the difference of the two scores (export/margins.py).
MARGIN = "margin"

#: TRL gives these column names a meaning of its own; no format may use one, but for the margin where it is asked for.
RESERVED_COLUMNS = frozenset({MARGIN, "tools", "image", "images", "chat_template_kwargs"})

_RANKED = pa.list_(
    pa.struct([("text", pa.string()), ("score", pa.int64()), ("rank", pa.int32()), ("answer_id", pa.string())])
)


@dataclass(frozen=True)
class Format:
    """A format and the conditions on its rows.

    rows(threads, rule_name) gives the columns of `schema` and `post_row`. `texts` are the columns that may not be
    empty; `answers` the two columns with the answers of a pair; `balance` the column of the winning side and its
    value for the first side. `same_text` says whether pairs of equal texts are in it: trainers learn nothing from them.
    `margin` says whether it has the column MARGIN.
    """

    name: str
    purpose: str
    schema: pa.Schema
    rows: Callable[[Threads, str], Columns]
    texts: tuple[str, ...]
    answers: tuple[str, str] | None = None
    balance: tuple[str, object] | None = None
    same_text: bool = True
    margin: bool = False

    def table(self, threads: Threads, rule_name: str) -> tuple[pa.Table, pl.Series]:
        """Return the rows as an Arrow table, and for each its row of `threads.posts`, in the order of the posts.

        The table has the columns of `schema`; texts that repeat are dictionaries of the schema's types.
        """
        columns = self.rows(threads, rule_name)
        post_row = columns[POST_ROW]
        assert isinstance(post_row, pl.Series)
        names = self.schema.names
        arrays = all_to_arrow([columns[name] for name in names], self.schema.types)
        return pa.Table.from_arrays(arrays, names=names), post_row


def _pairs(threads: Threads, rule_name: str) -> Columns:
    posts, answers = threads.posts, threads.answers
    first, second = sides(threads)
    post = answers[POST_ROW].gather(first)
    a_wins = threads.pairs["winner_first"]
    columns: Columns = {
        POST_ROW: post,
        "question": Repeated(questions(posts), post),
        "preferred": 2 - a_wins.cast(pl.Int8),
        "pair_id": pair_ids(threads, post, first, second),
        **{name: posts[name].gather(post) for name in ("source", "community", "post_id", "url")},
        "post_score": posts["score"].gather(post),
        **worth(threads.pairs),
        "rule": pl.repeat(rule_name, len(a_wins), dtype=pl.String, eager=True),
        "author_post": authors_of(posts).gather(post),
        "license": licenses_of(
            posts["license"].gather(post), *(answers["license"].gather(rows) for rows in (first, second))
        ),
        **between(threads),
    }
    columns |= {"views": posts["views"].gather(post), **{name: threads.pairs[name] for name in COMPARED}}
    authors, texts = authors_of(answers), answers["text"]
    told = answers.with_columns(known_time())
    for side, rows in (("1", first), ("2", second)):
        columns[f"answer{side}"] = Repeated(texts, rows)
        columns[f"author{side}"] = authors.gather(rows)
        columns[f"answer{side}_id"] = answers["answer_id"].gather(rows)
        for name in ("score", "created_at", "observed_at", *COUNTED):
            columns[f"{name}{side}"] = told[name].gather(rows)
    return columns


def _shp(threads: Threads, _rule_name: str) -> Columns:
    posts, answers = threads.posts, threads.answers
    first, second = sides(threads)
    post = answers[POST_ROW].gather(first)
    history = posts.select(pl.concat_str("title", "body", separator=" ").str.strip_chars()).to_series()
    columns: Columns = {
        POST_ROW: post,
        "post_id": posts["post_id"].gather(post),
        "domain": (posts["community"] + "_" + posts["split"]).gather(post),
        "upvote_ratio": posts["upvote_ratio"].gather(post),
        "history": Repeated(flatten_texts(history), post),
        "labels": threads.pairs["winner_first"].cast(pl.Int64),
        **between(threads),
    }
    texts, seconds = flatten_texts(answers["text"]), answers.select(known_time().dt.epoch("s")).to_series()
    for side, rows in (("A", first), ("B", second)):
        columns[f"c_root_id_{side}"] = answers["answer_id"].gather(rows)
        columns[f"created_at_utc_{side}"] = seconds.gather(rows)
        columns[f"score_{side}"] = answers["score"].gather(rows)
        columns[f"human_ref_{side}"] = Repeated(texts, rows)
    return columns


def _trl(threads: Threads, _rule_name: str) -> Columns:
    pairs, post = differing(threads)
    texts = message("assistant", threads.answers["text"])
    return {
        POST_ROW: post,
        "prompt": Repeated(message("user", questions(threads.posts)), post),
        "chosen": Repeated(texts, pairs["winner"]),
        "rejected": Repeated(texts, pairs["loser"]),
        **known(threads, pairs, post),
    }


def _chat_pairs(threads: Threads, _rule_name: str) -> Columns:
    pairs, post = differing(threads)
    asked = questions(threads.posts).gather(threads.answers[POST_ROW])
    whole = conversations(asked, threads.answers["text"])
    return {
        POST_ROW: post,
        "chosen": Repeated(whole, pairs["winner"]),
        "rejected": Repeated(whole, pairs["loser"]),
        **known(threads, pairs, post),
    }


def _trl_text(threads: Threads, _rule_name: str) -> Columns:
    pairs, post = differing(threads)
    winner, loser = pairs["winner"], pairs["loser"]
    texts = threads.answers["text"]
    return {
        POST_ROW: post,
        "prompt": Repeated(_prompts(threads.posts), post),
        "chosen": Repeated(texts, winner),
        "rejected": Repeated(texts, loser),
    }


def _prompts(posts: pl.DataFrame) -> pl.Series:
    return questions(posts, SEPARATOR)


def _standing() -> pl.Expr:
    """Return the pairs that an answer won minus those that it lost (Copeland's score)."""
    return pl.col("wins") - pl.col("losses")


def _ranked(threads: Threads) -> pl.DataFrame:
    """Return the answers of each thread from best to worst by the rule (ties: score, time, id), with `rank` from 1."""
    order = threads.answers.with_columns(_standing().alias("standing")).sort(
        POST_ROW, "standing", "score", "created_at", "answer_id", descending=[False, True, True, False, False]
    )
    return order.with_columns((pl.int_range(pl.len(), dtype=pl.Int32).over(POST_ROW) + 1).alias("rank"))


def _ranking(threads: Threads, _rule_name: str) -> Columns:
    ranked = (
        _ranked(threads)
        .group_by(POST_ROW, maintain_order=True)
        .agg(pl.struct("text", "score", "rank", "answer_id").alias("answers"))
    )
    post = ranked[POST_ROW]
    return {POST_ROW: post, "question": Repeated(questions(threads.posts), post), "answers": ranked["answers"]}


def _kto(threads: Threads, _rule_name: str) -> Columns:
    answers = threads.answers.filter(_standing() != 0)
    return {
        POST_ROW: answers[POST_ROW],
        "prompt": Repeated(_prompts(threads.posts), answers[POST_ROW]),
        "completion": answers["text"],
        "label": answers.select(_standing() > 0).to_series(),
    }


def _sft(threads: Threads, _rule_name: str) -> Columns:
    best = _ranked(threads).filter(pl.col("rank") == 1)
    post = best[POST_ROW]
    return {POST_ROW: post, "prompt": Repeated(_prompts(threads.posts), post), "completion": best["text"]}


def _bandit(threads: Threads, _rule_name: str) -> Columns:
    answers = threads.answers
    return {
        POST_ROW: answers[POST_ROW],
        "state": Repeated(questions(threads.posts), answers[POST_ROW]),
        "action": answers["text"],
        "reward": answers.select(_standing() / (pl.col("wins") + pl.col("losses"))).to_series(),
        "next_state": pl.repeat(None, answers.height, dtype=pl.String, eager=True),
    }


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
                tier=_S,
                rule=_S,
                url=_S,
                author_post=_S,
                author1=_S,
                author2=_S,
                license=_S,
                **{f"{name}{side}": _I for name in COUNTED for side in (1, 2)},
                views=_I,
                **COMPARED,
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
            _schema(prompt=MESSAGES, chosen=MESSAGES, rejected=MESSAGES, **KNOWN),
            _trl,
            texts=("prompt", "chosen", "rejected"),
            answers=("chosen", "rejected"),
            same_text=False,
        ),
        Format(
            "chat-pairs",
            "trainers that read two whole conversations: rewardbench, OpenRLHF, RLHFlow, LLaMA-Factory, axolotl, TRL",
            _schema(chosen=MESSAGES, rejected=MESSAGES, **KNOWN),
            _chat_pairs,
            texts=("chosen", "rejected"),
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
