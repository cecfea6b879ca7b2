"""A linear model of words trained on each preset's pairs and tested on pairs that no preset chose.

Answers become hashed words and pairs of words; a logistic regression on the difference of the two answers learns which
one is preferred. Better labels make a better model, and so do more of them: both are told apart by training on equally
many, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.errors import UsageError
from shp_miner.lab.table import Table
from shp_miner.lab.threads import KEY, Shares, Threads, side
from shp_miner.rules.hashing import mix, sample_keys
from shp_miner.rules.presets import Rule
from shp_miner.text.clean import clean

#: What the test pairs are: eligible answers of one thread, written within an hour of each other.
TEST = Rule(name="within-an-hour", order="any", max_apart_s=3600, confounded=True)

_FOLDS = 5
_FEATURES = 1 << 18

#: Weight of the penalty, for every preset and number of pairs alike, and steps of the descent at most.
_STRENGTH = 3e-4
_STEPS_MAX = 60

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
    """Raise UsageError where the extra is not installed."""
    try:
        import sklearn  # noqa: F401, PLC0415
    except ImportError as error:
        raise UsageError("The lab needs scikit-learn.", "Install the extra: pip install 'shp-miner[lab]'.") from error


def words_table(threads: Threads, pairs: dict[str, pl.DataFrame], seed: int) -> Table:
    """The check for every preset; `pairs` are those of each on the whole data (PAIR)."""
    tests = threads.pairs(TEST)
    if tests.height < _TEST_MIN:
        return _impossible(f"only {tests.height} pairs of answers were written within an hour of each other")
    texts = _texts(threads, [tests, *pairs.values()])
    if texts["text"].n_unique() < 2:
        return _impossible("the store's answers have no texts that differ")
    matrix = _matrix(texts["text"])
    test = _rows_of(tests, texts, seed)
    training = {name: _rows_of(found, texts, seed) for name, found in pairs.items()}
    shares, equal = Shares(seed), Shares(seed)
    with _one_thread():
        trained, count = _train_all(matrix, training, test, (shares, equal))
    longer = texts["text"].str.len_chars().to_numpy()
    apart = longer[test.winner].astype(np.int64) - longer[test.loser]
    shares.add(_LONGER, test.thread, (np.sign(apart) + 1) / 2)
    rows = [_row(name, trained.get(name), count, shares, equal) for name in [*pairs, _LONGER]]
    note = (
        f"Trained on each preset's pairs ({_FOLDS} folds of threads; at most {_TRAIN_MAX:,} pairs, at least"
        f" {_TRAIN_MIN}), tested on the {tests.height:,} pairs of eligible answers of the"
        f" {tests['thread_hash'].n_unique():,} threads left out that were written within an hour of each other and have"
        " different scores: the same for every preset. `pairs` and `equal pairs` are means over the folds; the latter"
        f" are as many as the preset with the fewest has. {_LONGER} prefers the longer answer."
    )
    return Table(_TITLE, note, _COLUMNS, rows)


def _one_thread() -> Any:
    """Let linear algebra use one thread: its vectors are small, and waiting for others costs more than it gives."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415  (comes with scikit-learn)

    return threadpool_limits(1)


def _impossible(why: str) -> Table:
    return Table(_TITLE, f"Not possible: {why}.", _COLUMNS, [])


def _texts(threads: Threads, tables: list[pl.DataFrame]) -> pl.DataFrame:
    """KEY, `text` and `row` of each answer in any of the tables of pairs."""
    keys = [
        table.select(*KEY[:3], pl.col(f"{of}_id").alias("answer_id")) for table in tables for of in ("winner", "loser")
    ]
    wanted = threads.answers.join(pl.concat(keys).unique(), on=KEY, how="semi", maintain_order="left")
    bodies = threads.snapshot.bodies("answers", threads.part, wanted)
    text = clean(bodies["body"], bodies["body_format"]).alias("text")
    return bodies.select(KEY).with_columns(text).with_row_index("row")


def _matrix(texts: pl.Series) -> Any:
    """A sparse row of hashed words and pairs of words for each text, of length 1; without what only one text has."""
    from sklearn.feature_extraction.text import HashingVectorizer  # noqa: PLC0415  (the extra `lab`)

    hashing = HashingVectorizer(
        n_features=_FEATURES, ngram_range=(1, 2), alternate_sign=False, norm="l2", dtype=np.float32
    )
    matrix = hashing.transform(texts.to_list())
    return matrix[:, np.bincount(matrix.indices, minlength=_FEATURES) > 1]


def _rows_of(pairs: pl.DataFrame, texts: pl.DataFrame, seed: int) -> _Pairs:
    winner, loser = (side(pairs, of, texts)["row"].to_numpy().astype(np.int64) for of in ("winner", "loser"))
    key = mix(np.array([seed], np.uint64))
    fold = mix(pairs["thread_hash"].to_numpy().view(np.uint64) ^ key) % np.uint64(_FOLDS)
    return _Pairs(winner, loser, pairs["thread_hash"], fold, sample_keys(pairs["pair_hash"].to_numpy(), seed))


def _train_all(
    matrix: Any, training: dict[str, _Pairs], test: _Pairs, into: tuple[Shares, Shares]
) -> tuple[dict[str, float], float]:
    """Train every preset's models and count their hits; the mean numbers of pairs of each, and of the equal ones."""
    chosen = {
        name: [_sample(pairs, pairs.fold != fold, _TRAIN_MAX) for fold in range(_FOLDS)]
        for name, pairs in training.items()
    }
    chosen = {name: folds for name, folds in chosen.items() if min(map(len, folds)) >= _TRAIN_MIN}
    fewest = [min(len(folds[fold]) for folds in chosen.values()) for fold in range(_FOLDS)] if chosen else [0]
    for name, folds in chosen.items():
        for shares, limit in zip(into, ([_TRAIN_MAX] * _FOLDS, fewest), strict=True):
            hits = np.zeros(len(test.winner))
            for fold, rows in enumerate(folds):
                left_out = test.fold == fold
                model = _fit(matrix, training[name], rows[: limit[fold]])
                scores = matrix @ model
                hits[left_out] = (np.sign(scores[test.winner[left_out]] - scores[test.loser[left_out]]) + 1) / 2
            shares.add(name, test.thread, hits)
    return {name: float(np.mean([len(rows) for rows in folds])) for name, folds in chosen.items()}, float(
        np.mean(fewest)
    )


def _sample(pairs: _Pairs, keep: Bools, limit: int) -> Rows:
    """The rows of the pairs to keep, at most `limit`, in the random order of their hashes."""
    rows = np.flatnonzero(keep)
    return rows[np.lexsort((rows, pairs.hash[rows]))][:limit]


def _fit(matrix: Any, pairs: _Pairs, rows: Rows) -> Floats:
    """The weights that minimise the mean of ln(1 + exp(-margin)) over the pairs plus _STRENGTH / 2 * |weights|^2.

    A pair turned round, with the loser first, has the same loss: there is no constant, so nothing depends on the sides.
    """
    from scipy.optimize import minimize  # noqa: PLC0415  (comes with scikit-learn)
    from scipy.sparse import csr_matrix  # noqa: PLC0415

    count = len(rows)
    places = np.concatenate([pairs.winner[rows], pairs.loser[rows]])
    signs = np.repeat(np.array([1, -1], matrix.dtype), count)
    # Each pair is a difference of two answers; so an answer's words are looked at once, however many pairs it is in.
    differences = csr_matrix((signs, (np.tile(np.arange(count), 2), places)), shape=(count, matrix.shape[0]))
    words, answers = matrix.T.tocsr(), differences.T.tocsr()

    def loss(weights: Floats) -> tuple[float, Floats]:
        margins = (differences @ (matrix @ weights.astype(matrix.dtype))).astype(np.float64)
        slopes = (-1 / (1 + np.exp(margins)) / count).astype(matrix.dtype)
        gradient = (words @ (answers @ slopes)).astype(np.float64) + _STRENGTH * weights
        return float(np.logaddexp(0, -margins).mean() + _STRENGTH / 2 * weights @ weights), gradient

    found = minimize(loss, np.zeros(matrix.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": _STEPS_MAX})
    weights: Floats = found.x.astype(matrix.dtype)
    return weights


def _row(
    name: str, trained: float | None, count: float, shares: Shares, equal: Shares
) -> list[str | int | float | None]:
    """A line of the table; null where the preset has too few pairs."""
    row: list[str | int | float | None] = [name]
    for there, one, pairs in (
        (trained is not None or name == _LONGER, shares, trained),
        (trained is not None, equal, count),
    ):
        row.append(round(pairs) if there and pairs is not None else None)
        row += [one.share(name), one.error(name)] if there else [None, None]
        both = there and one.has("votes")
        row += [one.difference(name, "votes"), one.error(name, "votes")] if both else [None, None]
    return row
