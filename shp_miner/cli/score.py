"""`shp-miner score`: score answers with a model that `train` saved."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shp_miner.cli.failing import note_printed
from shp_miner.cli.options import FilePath, example, printing
from shp_miner.cli.saying import say

if TYPE_CHECKING:
    import polars as pl

    from shp_miner.training.controls import Scorer

_STDIN = Path("-")


@click.command(
    "score",
    epilog=example(
        "shp-miner score data/pairs-model answers.jsonl",
        "shp-miner score data/pairs-model --question 'Is it safe?' --answer 'Yes.' --answer 'It depends.'",
    ),
)
@click.argument("model", type=FilePath())
@click.argument("file", type=FilePath(), required=False)
@click.option("--question", help="Score answers to this question instead of a file.")
@click.option("--answer", "answers", multiple=True, help="An answer to --question. Repeatable.")
@printing
def command(
    model: Path, file: Path | None, question: str | None, answers: tuple[str, ...], as_json: bool, quiet: bool
) -> None:
    """Score the answers in FILE with the model in the folder MODEL.

    FILE is JSON lines, CSV (.csv) or Parquet (.parquet); - reads JSON lines from the standard input. Its rows have the
    columns question and answer, or prompt and completion: a score per row is printed. Rows of an export with both
    answers of a pair (pairs, shp, trl, trl-text, chat-pairs) get both scores and which answer the model prefers: 1, 2,
    or - for a tie. Higher is better, and only scores of the same question compare. With --json, each row is one JSON
    object on its own line.
    """
    if (file is None) == (question is None):
        raise click.UsageError("Name a FILE, or a question with --question and its answers.")
    if (question is None) != (not answers):
        raise click.UsageError("--question and --answer need each other.")
    from shp_miner.training.score import load_scorer

    scored = load_scorer(model)
    if as_json:
        note_printed()
    number = 0
    try:
        for frame in _frames(file, question, answers):
            for values in _scores(scored, frame):
                number += 1
                if not quiet:
                    say(_as_json(number, values) if as_json else _for_people(values))
    except (BrokenPipeError, SystemExit):  # a reader that stops reading
        pass


def _frames(file: Path | None, question: str | None, answers: tuple[str, ...]) -> Iterator[pl.DataFrame]:
    import polars as pl

    from shp_miner.training.inputs import read_rows

    if file is None:
        yield pl.DataFrame({"question": [question] * len(answers), "first": list(answers)})
    elif file == _STDIN:
        yield from read_rows(None, sys.stdin.buffer)
    else:
        yield from read_rows(file)


def _scores(scored: Scorer, frame: pl.DataFrame) -> list[tuple[float, ...]]:
    """Return the scores of each row: one, or two of a pair."""
    sides = [side for side in ("first", "second") if side in frame.columns]
    columns = [scored(frame["question"], frame[side]).tolist() for side in sides]
    return list(zip(*columns, strict=True))


def _preferred(values: tuple[float, ...]) -> int | None:
    first, second = values
    return None if first == second else 1 if first > second else 2


def _as_json(number: int, values: tuple[float, ...]) -> str:
    import msgspec

    data: dict[str, float | None] = {"row": number}
    if len(values) == 1:
        data["score"] = round(values[0], 6)
    else:
        data |= {"score1": round(values[0], 6), "score2": round(values[1], 6), "preferred": _preferred(values)}
    return msgspec.json.encode(data).decode()


def _for_people(values: tuple[float, ...]) -> str:
    shown = "  ".join(f"{value:+9.4f}" for value in values)
    return shown if len(values) == 1 else f"{shown}  {_preferred(values) or '-'}"
