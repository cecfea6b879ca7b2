"""Scores answers with a model that `train` saved."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl
from safetensors import SafetensorError
from safetensors.numpy import load_file

from shp_miner.errors import BadInput, UsageError
from shp_miner.paths import expanded
from shp_miner.training.controls import Scorer
from shp_miner.training.folder import WORDS, known_record
from shp_miner.training.train import TENSOR, WEIGHTS
from shp_miner.training.words import VERSION, Hashing, to_rows


def score(model: str | os.PathLike[str], question: str | Sequence[str], answers: Sequence[str]) -> list[float]:
    """Return a score for each answer: the higher, the likelier people prefer it to another answer to its question.

    `question` is the question of all answers, or a sequence with one for each. The chance that one answer of a question
    is preferred to another is 1 / (1 + exp(other - one)). Scores of different questions do not compare. Raises BadInput
    if the folder is not a model of `train`, and UsageError if the sequences differ in length.
    """
    questions = [question] * len(answers) if isinstance(question, str) else list(question)
    if len(questions) != len(answers):
        raise UsageError(
            f"There are {len(questions):,} questions and {len(answers):,} answers.",
            "Give one question for each answer.",
        )
    texts = pl.Series(questions, dtype=pl.String), pl.Series(list(answers), dtype=pl.String)
    return [float(value) for value in load_scorer(expanded(model))(*texts)]


def load_scorer(folder: Path) -> Scorer:
    """Return the function that scores answers with the model in a folder. Raises BadInput if there is none."""
    record = known_record(folder)
    if record["shp_miner_model"] != WORDS:
        from shp_miner.training.transformers_model import TransformersModel  # noqa: PLC0415

        return TransformersModel.load(str(folder), int(record["max_tokens"])).score
    damaged = BadInput(f"{folder} is damaged: its {WEIGHTS} does not fit its record.", "Train again.")
    try:
        hashing = msgspec.convert(record["hashing"], Hashing)
        weights = load_file(folder / WEIGHTS)[TENSOR]
    except (KeyError, SafetensorError, msgspec.ValidationError) as error:
        raise damaged from error
    if hashing.version != VERSION:
        raise BadInput(
            f"{folder} hashes words in version {hashing.version}; this shp-miner has version {VERSION}.",
            "Train again, or install the shp-miner that trained it.",
        )
    if weights.shape != (hashing.columns,):
        raise damaged

    def scored(questions: pl.Series, answers: pl.Series) -> npt.NDArray[np.float64]:
        return to_rows(questions, answers, hashing).times(weights)

    return scored
