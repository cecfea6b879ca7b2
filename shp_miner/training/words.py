"""Answers as numbers: hashed words and pairs of them, the words that the question has too, and lengths.

The columns depend on the text alone, so nothing is kept of the texts that a model was trained on. Hashing is that of
Weinberger et al. 2009 (Feature Hashing for Large Scale Multitask Learning), without their signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from msgspec import Struct

from shp_miner.rules.hashing import mix_bits

Floats = npt.NDArray[np.float32]
Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]

#: Words of one letter, marks of punctuation and line breaks count too: how a writer sets sentences says much.
_TOKEN = r"\w+|[^\w\s]|\n+"  # noqa: S105  (no password)

#: Entries of sparse rows that are multiplied at a time.
_BLOCK = 1 << 20

#: Raised when a text would get other numbers: a model scores only with the version that it was trained with.
VERSION = 1

#: A length in these columns is half its logarithm, so that it has about the size of the others.
_SCALE = 0.5

#: Columns with a name of their own, after those that are hashed.
NAMED = ("length", "shared words")

#: What a model may see: everything, the answer without the question, or only how long the answer is.
VIEWS = ("full input", "answer only", "length only")


class Hashing(Struct, frozen=True, kw_only=True):
    """How texts become columns: `words` columns of words and pairs, then `shared` of words in the question too, NAMED.

    shared_weight: the length of the part of a row that holds the shared words; that of the words is 1.
    """

    version: int = VERSION
    words: int = 1 << 18
    shared: int = 1 << 16
    shared_weight: float = 0.5

    @property
    def columns(self) -> int:
        """The number of columns."""
        return self.words + self.shared + len(NAMED)

    def seen(self, view: str) -> npt.NDArray[np.bool_]:
        """Return whether each column belongs to a view of VIEWS."""
        seen = np.zeros(self.columns, np.bool_)
        length = self.words + self.shared
        seen[length] = True
        if view != "length only":
            seen[: self.words] = True
        if view == "full input":
            seen[:] = True
        return seen


class Rows(Struct, frozen=True):
    """Sparse rows: the columns and values of row i are those from starts[i] to starts[i + 1]."""

    starts: Numbers
    columns: npt.NDArray[np.int32]
    values: Floats

    def __len__(self) -> int:
        return len(self.starts) - 1

    def times(self, weights: npt.NDArray[np.float64] | Floats) -> npt.NDArray[np.float64]:
        """Return the product of each row with a vector of weights, one for each column."""
        return product_sums(self.values, self.columns, weights, self.starts)


def product_sums(
    values: Floats, places: npt.NDArray[np.int32], vector: npt.NDArray[np.float64] | Floats, starts: Numbers
) -> npt.NDArray[np.float64]:
    """Return the sums of values times the entries of a vector at their places, run by run as in `sums`.

    A few runs are multiplied at a time, so that the products need little memory.
    """
    result = np.zeros(len(starts) - 1)
    edges = np.unique(np.append(np.searchsorted(starts, np.arange(0, len(values), _BLOCK)), len(result)))
    for first, last in pairwise(edges.tolist()):
        begin, end = starts[first], starts[last]
        products = values[begin:end] * vector[places[begin:end]]
        result[first:last] = sums(products, starts[first : last + 1] - begin)
    return result


def sums(values: npt.NDArray[np.floating], starts: Numbers) -> npt.NDArray[np.float64]:
    """Return the sums of consecutive runs of values; run i ends where run i + 1 starts. Empty runs sum to 0."""
    lengths = np.diff(starts)
    result = np.zeros(len(lengths))
    filled = lengths > 0
    if filled.any():
        result[filled] = np.add.reduceat(values, starts[:-1][filled])
    return result


def joined_rows(parts: Sequence[Rows]) -> Rows:
    """Return the rows of all parts, one after the other."""
    lengths = [np.diff(part.starts) for part in parts]
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate([np.zeros(0, np.int64), *lengths]))])
    columns = [np.zeros(0, np.int32), *(part.columns for part in parts)]
    return Rows(starts, np.concatenate(columns), np.concatenate([np.zeros(0, np.float32), *(p.values for p in parts)]))


def to_rows(questions: pl.Series, answers: pl.Series, hashing: Hashing) -> Rows:
    """Return a row for each answer to its question: two series of strings, equally long."""
    count = len(answers)
    distinct = questions.unique(maintain_order=True)
    asked = pl.DataFrame({"text": questions}).join(
        pl.DataFrame({"text": distinct}).with_row_index("row"), on="text", how="left", maintain_order="left"
    )["row"]
    lengths, tokens = _tokens(answers)
    row = np.repeat(np.arange(count), lengths)
    shared = _shared(row, tokens, asked.to_numpy().astype(np.uint64), distinct)
    neighbours = row[1:] == row[:-1]
    pairs = _pair_hashes(tokens[:-1], tokens[1:])[neighbours]
    words = _counted(
        np.concatenate([row, row[1:][neighbours]]), np.concatenate([tokens, pairs]), hashing.words, count, weight=1.0
    )
    both = _counted(row[shared], tokens[shared], hashing.shared, count, weight=hashing.shared_weight)
    named = [_half_log(answers.str.len_chars().to_numpy()), _half_log(np.bincount(both[0], minlength=count))]
    every = np.arange(count)
    blocks = [(words[0], words[1], words[2]), (both[0], both[1] + hashing.words, both[2])]
    for number, values in enumerate(named):
        blocks.append((every, np.full(count, hashing.words + hashing.shared + number), values))
    rows, columns, values = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    order = np.lexsort((columns, rows))
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(rows, minlength=count))]).astype(np.int64)
    return Rows(starts, columns[order].astype(np.int32), values[order].astype(np.float32))


def _tokens(texts: pl.Series) -> tuple[Numbers, Hashes]:
    """Return the number of tokens of each text, and the hashes of all tokens in order."""
    lists = texts.str.to_lowercase().str.extract_all(_TOKEN)
    lengths = lists.list.len().to_numpy().astype(np.int64)
    flat = lists.explode(empty_as_null=False).to_arrow()
    encoded = pc.dictionary_encode(flat)
    assert isinstance(encoded, pa.DictionaryArray)
    hashes = np.array(
        [xxhash.xxh3_64_intdigest(str(word).encode()) for word in encoded.dictionary.to_pylist()], np.uint64
    )
    return lengths, hashes[encoded.indices.to_numpy()] if len(flat) else np.zeros(0, np.uint64)


def _pair_hashes(first: Hashes, second: Hashes) -> Hashes:
    with np.errstate(over="ignore"):
        return mix_bits(mix_bits(first) + second)


def _shared(row: Numbers, tokens: Hashes, asked: Hashes, questions: pl.Series) -> npt.NDArray[np.bool_]:
    """Return whether each token of an answer is a token of its question; `asked` is the question of each answer."""
    lengths, of_questions = _tokens(questions)
    known = np.repeat(np.arange(len(questions), dtype=np.uint64), lengths)
    return np.isin(_pair_hashes(asked[row], tokens), _pair_hashes(known, of_questions))


def _counted(
    row: Numbers, hashes: Hashes, width: int, count: int, *, weight: float
) -> tuple[Numbers, Numbers, npt.NDArray[np.float64]]:
    """Return rows, columns and values of how often each hash is in each row; rows are made as long as `weight`."""
    places, times = np.unique(row * width + (hashes % np.uint64(width)).astype(np.int64), return_counts=True)
    rows, columns, values = places // width, places % width, times.astype(np.float64)
    lengths = np.sqrt(np.bincount(rows, values * values, minlength=count))
    return rows, columns, weight * values / lengths[rows]


def _half_log(numbers: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    return _SCALE * np.log1p(numbers.astype(np.float64))
