"""A linear model of words trained on each preset's pairs and tested on pairs that no preset chose.

Answers become hashed words, marks and pairs of them; a logistic regression on the difference of the two answers learns
which one is preferred. Better labels make a better model, and so do more of them: both are told apart by training on
equally many, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.errors import UsageError
from shp_miner.lab.linear import Examples, Learner, one_thread, word_matrix
from shp_miner.lab.table import Cell, Table
from shp_miner.lab.threads import KEY, Shares, Threads, pair_side
from shp_miner.rules.hashing import mix_bits, sample_keys
from shp_miner.rules.presets import Rule
from shp_miner.text.clean import clean_bodies

#: What the test pairs are: eligible answers of one thread, written within an hour of each other.
TEST = Rule(name="within-an-hour", order="any", max_apart_s=3600, confounded=True)

_FOLDS = 5
#: Weight of the penalty, for every preset and number of pairs alike.
_STRENGTH = 3e-4

#: Pairs that a model is trained on at most (a sample by hash) and at least.
_TRAIN_MAX = 200_000
_TRAIN_MIN = 100
_TEST_MIN = 100

_TITLE = "A linear model of words"
_LONGER = "(longer text)"
_COLUMNS = (
    "trained on",
    "pairs",
    "accuracy",
    "error",
    "less votes",
    "error of that",
    "equal pairs",
    "equal: accuracy",
    "equal: error",
    "equal: less votes",
    "equal: error of that",
)

_VARIANTS = "The same model in two variants"
_VARIANT_COLUMNS = (
    "trained on",
    "with length: accuracy",
    "with length: error",
    "with length: less votes",
    "with length: error of that",
    "clear pairs: accuracy",
    "clear pairs: error",
    "clear pairs: less votes",
    "clear pairs: error of that",
)
_VARIANTS_NOTE = (
    "`with length`: the logarithm of an answer's length is one more thing that the model may use. `clear pairs`: the"
    " model of words alone, tested on the {:,} of the test pairs whose winner has at least twice the score."
)

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Pairs:
    """Pairs as rows of the texts, with each pair's thread, fold and hash."""

    winner: Rows
    loser: Rows
    thread: pl.Series
    fold: npt.NDArray[np.uint64]
    hash: npt.NDArray[np.uint64]


def require_learning() -> None:
    """Raise UsageError if the extra is not installed."""
    try:
        import sklearn  # noqa: F401, PLC0415
    except ImportError as error:
        raise UsageError("The lab needs scikit-learn.", "Install the extra: pip install 'shp-miner[lab]'.") from error


def words_tables(threads: Threads, pairs: dict[str, pl.DataFrame], seed: int) -> list[Table]:
    """The check for every preset, and two variants of it; `pairs` are those of each on the whole data (PAIR)."""
    tests = threads.pairs(TEST)
    if tests.height < _TEST_MIN:
        return _impossible(f"only {tests.height} pairs of answers were written within an hour of each other")
    texts = _texts(threads, [tests, *pairs.values()])
    if texts["text"].n_unique() < 2:
        return _impossible("the store's answers have no texts that differ")
    matrix = word_matrix(texts["text"])
    test = _rows_of(tests, texts, seed)
    training = {name: _rows_of(found, texts, seed) for name, found in pairs.items()}
    chosen = _chosen(training)
    fewest = [min(map(len, folds)) for folds in zip(*chosen.values(), strict=True)] if chosen else []
    fewer = {name: [rows[:most] for rows, most in zip(folds, fewest, strict=True)] for name, folds in chosen.items()}
    with one_thread():
        hits = _hits(matrix, training, chosen, test)
        equal = _hits(matrix, training, fewer, test)
        lengthy = _hits(_with_length(matrix, texts["text"]), training, chosen, test)
    chars = texts["text"].str.len_chars().to_numpy().astype(np.int64)
    hits[_LONGER] = (np.sign(chars[test.winner] - chars[test.loser]) + 1) / 2
    clear = (tests["winner_score"] >= 2 * tests["loser_score"]).to_numpy() & (tests["loser_score"] > 0).to_numpy()
    shares = [_shares(found, test.thread, kept, seed) for found, kept in ((hits, None), (equal, None))]
    variants = [_shares(found, test.thread, kept, seed) for found, kept in ((lengthy, None), (hits, clear))]
    names = [*pairs, _LONGER]
    counts = [
        {name: round(np.mean([len(rows) for rows in folds])) for name, folds in of.items()} for of in (chosen, fewer)
    ]
    rows = [
        [name, *(cell for share, count in zip(shares, counts, strict=True) for cell in _cells(name, count, share))]
        for name in names
    ]
    others = [[name, *(cell for variant in variants for cell in _cells(name, None, variant)[1:])] for name in names]
    return [
        Table(_TITLE, _note(tests), _COLUMNS, rows),
        Table(_VARIANTS, _VARIANTS_NOTE.format(int(clear.sum())), _VARIANT_COLUMNS, others),
    ]


def _note(tests: pl.DataFrame) -> str:
    return (
        f"Trained on each preset's pairs ({_FOLDS} folds of threads; at most {_TRAIN_MAX:,} pairs, at least"
        f" {_TRAIN_MIN}), tested on the {tests.height:,} pairs of eligible answers of the"
        f" {tests['thread_hash'].n_unique():,} threads left out that were written within an hour of each other and have"
        " different scores: the same for every preset. `pairs` and `equal pairs` are means over the folds; the latter"
        f" are as many as the preset with the fewest has. {_LONGER} prefers the longer answer."
    )


def _impossible(why: str) -> list[Table]:
    note = f"Not possible: {why}."
    return [Table(_TITLE, note, _COLUMNS, []), Table(_VARIANTS, note, _VARIANT_COLUMNS, [])]


def _texts(threads: Threads, tables: list[pl.DataFrame]) -> pl.DataFrame:
    """KEY, `text` and `row` of each answer in any of the tables of pairs."""
    keys = [
        table.select(*KEY[:3], pl.col(f"{of}_id").alias("answer_id")) for table in tables for of in ("winner", "loser")
    ]
    wanted = threads.answers.join(pl.concat(keys).unique(), on=KEY, how="semi", maintain_order="left")
    bodies = threads.snapshot.bodies("answers", threads.part, wanted)
    text = clean_bodies(bodies["body"], bodies["body_format"]).alias("text")
    return bodies.select(KEY).with_columns(text).with_row_index("row")


def _rows_of(pairs: pl.DataFrame, texts: pl.DataFrame, seed: int) -> _Pairs:
    winner, loser = (pair_side(pairs, of, texts)["row"].to_numpy().astype(np.int64) for of in ("winner", "loser"))
    key = mix_bits(np.array([seed], np.uint64))
    fold = mix_bits(pairs["thread_hash"].to_numpy().view(np.uint64) ^ key) % np.uint64(_FOLDS)
    return _Pairs(winner, loser, pairs["thread_hash"], fold, sample_keys(pairs["pair_hash"].to_numpy(), seed))


def _chosen(training: dict[str, _Pairs]) -> dict[str, list[Rows]]:
    """The pairs to train on, fold by fold, of each preset that has enough of them."""
    chosen = {
        name: [_sample(pairs, pairs.fold != fold, _TRAIN_MAX) for fold in range(_FOLDS)]
        for name, pairs in training.items()
    }
    return {name: folds for name, folds in chosen.items() if min(map(len, folds)) >= _TRAIN_MIN}


def _hits(
    matrix: Any, training: dict[str, _Pairs], chosen: dict[str, list[Rows]], test: _Pairs
) -> dict[str, npt.NDArray[np.float64]]:
    """Whether a model of other threads' pairs tells each test pair right: 1, 0, or 0.5 where it tells nothing."""
    found = {}
    learner = Learner(matrix)
    for name, folds in chosen.items():
        hits = np.zeros(len(test.winner))
        pairs = training[name]
        for fold, rows in enumerate(folds):
            left_out = test.fold == fold
            examples = Examples(pairs.winner[rows], pairs.loser[rows], pairs.thread.to_numpy()[rows])
            weights = learner.fit(examples, _STRENGTH)
            hits[left_out] = learner.hits(weights, test.winner[left_out], test.loser[left_out])
        found[name] = hits
    return found


def _with_length(matrix: Any, texts: pl.Series) -> Any:
    """The words with one column more: half the logarithm of the number of characters."""
    from scipy.sparse import csr_matrix, hstack  # noqa: PLC0415

    length = np.log1p(texts.str.len_chars().to_numpy()) / 2
    return hstack([matrix, csr_matrix(length[:, None].astype(matrix.dtype))], format="csr")


def _shares(hits: dict[str, npt.NDArray[np.float64]], thread: pl.Series, kept: Bools | None, seed: int) -> Shares:
    shares = Shares(seed)
    for name, values in hits.items():
        shares.add(name, thread if kept is None else thread.filter(kept), values if kept is None else values[kept])
    return shares


def _sample(pairs: _Pairs, keep: Bools, limit: int) -> Rows:
    """The rows of the pairs to keep, at most `limit`, in the random order of their hashes."""
    rows = np.flatnonzero(keep)
    return rows[np.lexsort((rows, pairs.hash[rows]))][:limit]


def _cells(name: str, counts: dict[str, int] | None, shares: Shares) -> list[Cell]:
    """Pairs, share, error, difference to `votes` and its error; null where the preset had too few pairs."""
    count = counts.get(name) if counts else None
    if not shares.has(name):
        return [count, None, None, None, None]
    against = [shares.difference(name, "votes"), shares.error(name, "votes")] if shares.has("votes") else [None, None]
    return [count, shares.share(name), shares.error(name), *against]
