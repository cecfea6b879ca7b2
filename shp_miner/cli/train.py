"""`shp-miner train`: train a reward model on an export, and say how good it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from shp_miner.cli.following import command as called
from shp_miner.cli.following import say_next
from shp_miner.cli.grouped import GroupedCommand, option_of
from shp_miner.cli.interrupted import all_or_nothing
from shp_miner.cli.layout import wrapped
from shp_miner.cli.options import FilePath, Number, Whole, example, printing
from shp_miner.cli.output import print_table, show_result, steps
from shp_miner.cli.saying import say
from shp_miner.training.defaults import MAX_PAIRS, MAX_TOKENS, PAIRS_NEEDED, THREAD_WEIGHTS

if TYPE_CHECKING:
    from shp_miner.training.train import Trained

_WORDS, _TRANSFORMERS = "Models of words", "Models of transformers (--model)"

#: Communities of which the table shows a row; the rest are in report.json.
_GROUPS_SHOWN = 25


@click.command(
    "train",
    cls=GroupedCommand,
    epilog=example(
        "shp-miner train data/pairs",
        "shp-miner train data/pairs --model Qwen/Qwen3-0.6B --out data/qwen --max-tokens 2048",
    ),
)
@click.argument("out", type=FilePath())
@click.option("--out", "target", type=FilePath(), metavar="DIR", help="Write the model to this folder. [OUT-model]")
@click.option("--format", "form", help="Train on this format of an export that has several. [the first usable]")
@click.option("--seed", type=Whole(min=0), default=0, show_default=True, help="Seed of every random choice.")
@click.option(
    "--max-pairs",
    type=Whole(min=PAIRS_NEEDED),
    default=MAX_PAIRS,
    show_default=True,
    help="Train on a sample of N pairs if the export has more: this bounds the memory.",
)
@click.option(
    "--test-on",
    type=FilePath(),
    metavar="OUT2",
    help="Measure on the test split of this export, for example one of the rule votes. [OUT]",
)
@click.option("--quick", is_flag=True, help="Leave out the parts of the report that train more models.")
@option_of(
    _WORDS,
    "--thread-weights",
    type=click.Choice(THREAD_WEIGHTS),
    default="sqrt",
    show_default=True,
    help="Weight of a thread of N pairs: the root of N, N, or 1.",
)
@option_of(
    _TRANSFORMERS,
    "--model",
    metavar="NAME|PATH",
    help="Train this model with TRL instead: of the Hub, or in a folder. Needs the extra `train`.",
)
@option_of(
    _TRANSFORMERS,
    "--max-tokens",
    type=Whole(min=16),
    default=MAX_TOKENS,
    show_default=True,
    help="Leave out pairs with more than N tokens a side, and count them.",
)
@option_of(
    _TRANSFORMERS,
    "--epochs",
    type=Number(0, 1000, min_open=True),
    default=1.0,
    show_default=True,
    help="Read the pairs N times.",
)
@printing
def command(
    out: Path,
    target: Path | None,
    form: str | None,
    seed: int,
    max_pairs: int,
    test_on: Path | None,
    quick: bool,
    thread_weights: str,
    model: str | None,
    max_tokens: int,
    epochs: float,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train a reward model on the export OUT, and measure it on threads that it has not seen.

    The default is a linear model of hashed words: it needs no extra, no download and about a minute. With --model, TRL
    trains a model of transformers. The folder gets the model, a card, report.json and report.svg. The report has the
    accuracy on the split `test` against simple preferences (longer wins, earlier wins), usable information in bits,
    what the question adds, and what wrong labels cost; intervals are 95 %, by threads.
    """
    from shp_miner.training.train import train

    with all_or_nothing(), steps("Training", quiet=quiet or as_json) as advance:
        trained = train(
            out,
            target,
            model=model,
            format=form,
            seed=seed,
            quick=quick,
            thread_weights=thread_weights,  # type: ignore[arg-type]  # click has checked it
            max_pairs=max_pairs,
            max_tokens=max_tokens,
            epochs=epochs,
            test_on=test_on,
            advance=advance,
        )
    data = {"out": str(out), "model": str(trained.model), "files": trained.files, "report": trained.report.to_dict()}
    show_result(data, lambda: _people(out, trained), as_json=as_json, quiet=quiet)


def _people(out: Path, trained: Trained) -> None:
    from shp_miner.training.results import interval

    report = trained.report
    found = report.evaluation
    if found is not None:
        title = (
            f"{found.pairs:,} pairs of {found.threads:,} threads of the split {report.split}, rule {report.tested_rule}"
        )
        rows = [(name, f"{estimate.value:.3f}", interval(estimate)) for name, estimate in report.rows()]
        print_table(title, ("figure", "value", "95 % interval"), rows)
        groups = report.groups()
        print_table(
            "By kind of pair",
            ("pairs with", "pairs", "threads", "accuracy", "95 % interval", "longer wins"),
            [
                (
                    group.name,
                    group.pairs,
                    group.threads,
                    f"{group.accuracy.value:.3f}",
                    interval(group.accuracy),
                    f"{group.longer_wins.value:.3f}",
                )
                for group in groups[:_GROUPS_SHOWN]
            ],
            leave=("threads", "longer wins", "95 % interval"),
        )
    for note in report.notes:
        say(*wrapped(note, lines=None))
    say(f"Trained on {report.kept_pairs:,} pairs of {report.threads:,} threads of {out}.")
    say(f"Written to {trained.model}: {', '.join(trained.files)}")
    question = "What is the best way to learn to write?"
    say_next(
        [called("score", trained.model, "--question", question, "--answer", "Write every day.", "--answer", "No idea.")]
    )
