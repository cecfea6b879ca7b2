"""Trains a reward model on an export, measures it on threads that it has not seen, and saves it with its report."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct, structs
from safetensors.numpy import save_file

from shp_miner.arguments import number, one_of, whole_number
from shp_miner.engine import Steps
from shp_miner.errors import BadInput, UsageError
from shp_miner.paths import expanded, is_remote, on_disk
from shp_miner.tally import counted
from shp_miner.training.controls import Flipped, Swapped, ViewResult, flip_curve, swapped_questions, view_result
from shp_miner.training.defaults import (
    MAX_MEASURED,
    MAX_PAIRS,
    MAX_TOKENS,
    PAIRS_NEEDED,
    THREAD_WEIGHTS,
    THREADS_NEEDED,
    ThreadWeights,
)
from shp_miner.training.folder import TRANSFORMERS, WORDS, only_trainer, require_place, write_model
from shp_miner.training.linear import FOLDS, Fit, Pairs, Recipe, fit_chosen
from shp_miner.training.measures import NEWER, Evaluation, evaluate
from shp_miner.training.pairs import Split, TrainingExport, open_export, read_split
from shp_miner.training.picture import draw_report
from shp_miner.training.results import Report, card
from shp_miner.training.words import VIEWS, Hashing, to_rows

#: The file of a model of words, and its only tensor.
WEIGHTS, TENSOR = "model.safetensors", "weights"

_WORDS_BASE = "linear model of hashed words, shp-miner"
_WORDS_LOADING = 'import shp_miner\n\nshp_miner.score("THIS FOLDER", "A question?", ["One answer.", "Another answer."])'


class Trained(Struct, frozen=True):
    """A trained model: its folder, its report, and the names of its files."""

    model: Path
    report: Report
    files: list[str]

    def __str__(self) -> str:
        found = self.report.evaluation
        measured = f"accuracy {found.accuracy.value:.3f} on {found.pairs:,} pairs" if found else "not evaluated"
        return f"{self.model}: {self.report.kept_pairs:,} pairs, {measured}"


class Settings(Struct, frozen=True, kw_only=True):
    """What a training is told beside its export; see `train`."""

    seed: int
    quick: bool
    thread_weights: str
    max_pairs: int
    max_tokens: int
    epochs: float
    tested: TrainingExport


class Measured(Struct):
    """What the evaluation of a model gave: nothing where there are no pairs to evaluate on."""

    evaluation: Evaluation | None = None
    views: list[ViewResult] = []
    swapped: Swapped | None = None
    flips: list[Flipped] = []


def train(  # noqa: PLR0913  (every option of the command, by name)
    out: str | os.PathLike[str],
    to: str | os.PathLike[str] | None = None,
    *,
    model: str | os.PathLike[str] | None = None,
    format: str | None = None,  # noqa: A002
    seed: int = 0,
    quick: bool = False,
    thread_weights: ThreadWeights = "sqrt",
    max_pairs: int = MAX_PAIRS,
    max_tokens: int = MAX_TOKENS,
    epochs: float = 1.0,
    test_on: str | os.PathLike[str] | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> Trained:
    """Train a reward model on the export in `out` and save it to the folder `to` (default: `out` with "-model").

    Without `model` it is a linear model of hashed words, which needs no extra and no download. `model` names a model of
    the Hub or a folder, which TRL's RewardTrainer trains (extra `train`) for `epochs` on pairs of at most `max_tokens`.
    `thread_weights` says what a thread of n pairs weighs: sqrt(n), n ("none") or 1 ("one"); models of words only.
    `quick` leaves out the parts of the report for which more models are trained. `advance` gets (steps done, all).

    The model is evaluated on the split `test`, or on `validation` if there is none. `test_on` names another export for
    this, for example of another rule: of the same format, with none of the threads that the model is trained on.

    Raises BadInput if `out` is not an export, was changed, or has too few pairs, and UsageError if `to` holds anything
    but a model of this function, or for an option of the other kind of model.
    """
    one_of(thread_weights, THREAD_WEIGHTS, "weighting of threads")
    for name, given, least in (("seed", seed, 0), ("max_pairs", max_pairs, 1), ("max_tokens", max_tokens, 1)):
        whole_number(given, name, least)
    number(epochs, "epochs")
    _require_meant(model, {"max_tokens": max_tokens, "epochs": epochs}, thread_weights)
    source_folder = expanded(out)
    name = f"{source_folder.resolve().name}-model"
    beside = Path(name) if is_remote(source_folder) else source_folder.with_name(name)
    target = beside if to is None else on_disk(to, "models are written")
    if model is not None:
        from shp_miner.training.transformers_model import require_trainer  # noqa: PLC0415

        require_trainer()
    source = open_export(source_folder, format)
    require_place(target)
    _require_rows(source, source.rows("train"))
    settings = Settings(
        seed=seed,
        quick=quick,
        thread_weights=thread_weights,
        max_pairs=max_pairs,
        max_tokens=max_tokens,
        epochs=epochs,
        tested=source if test_on is None else open_export(expanded(test_on), source.form),
    )
    with only_trainer(target):
        if model is not None:
            return _train_transformers(source, target, os.fspath(model), settings, advance)
        return _train_words(source, target, settings, advance)


def _require_meant(model: object, of_transformers: Mapping[str, float], thread_weights: str) -> None:
    """Raise UsageError for an option that the training would not look at: somebody counts on it."""
    usual = {"max_tokens": MAX_TOKENS, "epochs": 1.0}
    changed = [name for name, value in of_transformers.items() if model is None and value != usual[name]]
    if changed:
        raise UsageError(
            f"{' and '.join(changed)} would change nothing: only models of transformers have it, and none is named.",
            "Name one with --model, or leave the option out.",
        )
    if model is not None and thread_weights != "sqrt":
        raise UsageError(
            "thread_weights would change nothing: TRL weighs every pair alike.",
            "Leave the option out, or train a model of words, without --model.",
        )


def _train_words(
    source: TrainingExport, target: Path, settings: Settings, advance: Callable[[int, int], None] | None
) -> Trained:
    hashing = Hashing()
    views = VIEWS[:1] if settings.quick else VIEWS
    steps = Steps(2 + (FOLDS + 1) * len(views) + (0 if settings.quick else 4), advance)
    steps.begin("reading pairs")
    train_split = read_split(source, "train", hashing, most=settings.max_pairs, seed=settings.seed)
    _require_threads(source, train_split)
    steps(1)
    tested = _read_evaluated(train_split, hashing, settings)
    steps(1)
    pairs, seed = train_split.pairs, settings.seed
    recipe = Recipe(hashing, settings.thread_weights, seed)
    fits: dict[str, Fit] = {}
    for view in views:
        steps.begin(f"training on {view}")
        fits[view] = fit_chosen(pairs, recipe, view, steps)
    full = fits[VIEWS[0]]
    measured = Measured()
    if tested is not None:
        steps.begin("measuring")
        measured.evaluation = evaluate(tested.pairs.margins(full.weights), tested, seed)
        measured.views = [
            view_result(view, tested.pairs.margins(fit.weights), tested, seed) for view, fit in fits.items()
        ]
        if not settings.quick:
            measured.swapped = swapped_questions(lambda q, a: to_rows(q, a, hashing).times(full.weights), tested, seed)
            steps(1)
            steps.begin("training on flipped labels")
            measured.flips = flip_curve(pairs, tested, recipe, full.penalty, steps)
    report = _report(
        source,
        train_split,
        settings,
        measured,
        kind=WORDS,
        base=_WORDS_BASE,
        kept_pairs=len(pairs),
        penalty=full.penalty,
        thread_weights=settings.thread_weights,
        notes=[*_loss(pairs, soft=True), *_notes(train_split, tested, settings, measured)],
    )
    facts = {"hashing": msgspec.to_builtins(hashing), "trained_on": _trained_on(source, report, settings)}

    def fill(folder: Path) -> None:
        save_file({TENSOR: full.weights.astype(np.float32)}, folder / WEIGHTS)
        _write_report(folder, report, facts, _WORDS_LOADING)

    return Trained(target, report, write_model(target, WORDS, facts, fill))


def _train_transformers(
    source: TrainingExport, target: Path, base: str, settings: Settings, advance: Callable[[int, int], None] | None
) -> Trained:
    from shp_miner.training.transformers_model import LOADING, TransformersModel, base_name  # noqa: PLC0415

    steps = Steps(4 if settings.quick else 5, advance)
    steps.begin("loading the model")
    chosen = TransformersModel.load(base, settings.max_tokens, settings.seed)
    steps(1)
    steps.begin("reading pairs")
    train_split = read_split(source, "train", None, most=settings.max_pairs, seed=settings.seed, texts=True)
    _require_threads(source, train_split)
    tested = _read_evaluated(train_split, None, settings)
    steps(1)
    steps.begin("training")
    kept = chosen.train(train_split, epochs=settings.epochs, seed=settings.seed)
    steps(1)
    steps.begin("measuring")
    measured = Measured()
    if tested is not None:
        scores = chosen.score(tested.questions, tested.answers)
        margins = scores[tested.pairs.winner] - scores[tested.pairs.loser]
        measured.evaluation = evaluate(margins, tested, settings.seed)
        measured.views = [view_result(VIEWS[0], margins, tested, settings.seed)]
        steps(1)
        if not settings.quick:
            measured.swapped = swapped_questions(chosen.score, tested, settings.seed)
            steps(1)
    report = _report(
        source,
        train_split,
        settings,
        measured,
        kind=TRANSFORMERS,
        base=f"{base_name(base)}, trained by TRL's RewardTrainer",
        kept_pairs=kept,
        notes=[
            *_too_long(len(train_split.pairs), kept, settings.max_tokens),
            *_loss(train_split.pairs, soft=False),
            *_notes(train_split, tested, settings, measured),
        ],
    )
    facts = {
        "max_tokens": settings.max_tokens,
        "base": base_name(base),
        "trained_on": _trained_on(source, report, settings),
    }

    def fill(folder: Path) -> None:
        chosen.save(folder)
        _write_report(folder, report, facts, LOADING)

    return Trained(target, report, write_model(target, TRANSFORMERS, facts, fill))


def _too_long(pairs: int, kept: int, max_tokens: int) -> list[str]:
    """Return a note on the training pairs that were dropped for their length, if there are any."""
    if kept == pairs:
        return []
    dropped = f"{pairs - kept:,} of {pairs:,} training pairs were dropped"
    return [f"{dropped}: one of their sides has more than {max_tokens:,} tokens."]


def _report(
    source: TrainingExport, train_split: Split, settings: Settings, measured: Measured, **figures: Any
) -> Report:
    """Return a report: what was trained on, what was measured, and `figures`, the other fields of Report."""
    return Report(
        format=source.form,
        rule=rule_name(source),
        pairs=len(train_split.pairs),
        threads=_threads(train_split.pairs),
        split=_evaluated(settings.tested),
        tested_rule=rule_name(settings.tested),
        **structs.asdict(measured),
        **figures,
    )


def rule_name(source: TrainingExport) -> str:
    """Return the name of the rule of an export, "unknown" if its manifest has none."""
    rule = source.manifest.get("configuration", {}).get("rule", {})
    return str(rule.get("name", "unknown")) if isinstance(rule, dict) else str(rule)


def _write_report(folder: Path, report: Report, facts: dict[str, Any], loading: str) -> None:
    text = msgspec.json.format(msgspec.json.encode(report.to_dict()), indent=2) + b"\n"
    (folder / "report.json").write_bytes(text)
    (folder / "report.svg").write_text(draw_report(report), encoding="utf-8")
    (folder / "README.md").write_text(card(report, facts, loading), encoding="utf-8")


def _trained_on(source: TrainingExport, report: Report, settings: Settings) -> dict[str, Any]:
    """Return what a model was trained on and how. It has no path: a model may be published."""
    return {
        "manifest_sha256": source.fingerprint,
        "format": source.form,
        "rule": source.manifest.get("configuration", {}).get("rule"),
        "rows": source.rows("train"),
        "pairs": report.kept_pairs,
        "threads": report.threads,
        "communities": sorted({str(file["community"]) for file in source.files("train")}),
        "seed": settings.seed,
        "thread_weights": report.thread_weights,
        "penalty": report.penalty,
    }


def _require_rows(source: TrainingExport, rows: int) -> None:
    if rows < PAIRS_NEEDED:
        what = counted(rows, "pair") if rows else "no pairs"
        raise BadInput(
            f"{source.folder} has {what} in its split train: at least {PAIRS_NEEDED} are needed to train.",
            "Read more threads into the store, or export with another rule; `shp-miner compare` shows what each gives.",
        )


def _require_threads(source: TrainingExport, split: Split) -> None:
    threads = _threads(split.pairs)
    if threads < THREADS_NEEDED:
        raise BadInput(
            f"{source.folder} has pairs of {threads} threads in its split train: at least {THREADS_NEEDED} are needed.",
            "Read more threads into the store and export again.",
        )


def _threads(pairs: Pairs) -> int:
    return len(np.unique(pairs.thread))


def _evaluated(source: TrainingExport) -> str | None:
    """Return the split to evaluate on, None if there is none."""
    return next((split for split in ("test", "validation") if source.rows(split)), None)


def _read_evaluated(train_split: Split, hashing: Hashing | None, settings: Settings) -> Split | None:
    """Return the pairs to evaluate on, None if there are none. Raises BadInput if a thread of theirs was trained on."""
    source = settings.tested
    split = _evaluated(source)
    if split is None:
        return None
    tested = read_split(source, split, hashing, most=MAX_MEASURED, seed=settings.seed, texts=True)
    both = len(np.intersect1d(train_split.thread_hashes, tested.thread_hashes))
    if both:
        raise BadInput(
            f"{both:,} threads of the split {split} of {source.folder} are among those to train on.",
            "Export both with the same --validation and --test: then a thread is in the same split of each.",
        )
    return tested


def _loss(pairs: Pairs, *, soft: bool) -> list[str]:
    """Return a sentence on the loss if it is not that of plain labels; a `soft` one takes shares of votes."""
    if pairs.attention is None:
        return []
    if soft and pairs.target is not None:
        known = "target and the attention" if pairs.weight is None else "target, the weight and the attention"
        return [f"The loss is that of shares of votes: with the {known} of each pair."]
    return ["The loss is that of hard labels with a margin: minus the attention of each pair."]


def _notes(
    train_split: Split,
    tested: Split | None,
    settings: Settings,
    measured: Measured,
) -> list[str]:
    """Return sentences on what the report lacks, and why."""
    notes, evaluation = [], measured.evaluation
    for name, split in (("train", train_split), (_evaluated(settings.tested), tested)):
        if split is not None and len(split.pairs) < split.rows:
            notes.append(f"A sample of {len(split.pairs):,} of the {split.rows:,} pairs of {name} was used.")
    if tested is None:
        return [*notes, "The model was not evaluated: the export has neither a split test nor validation."]
    if _evaluated(settings.tested) == "validation":
        notes.append("The model was evaluated on the split validation: the export has no split test.")
    assert evaluation is not None
    if evaluation.earlier_wins is None:
        notes.append(
            f"The format {settings.tested.form} does not say when answers were written: nothing is said on order."
        )
    elif evaluation.balanced is None:
        missing = "older" if any(group.name == NEWER for group in evaluation.by_winner) else "newer"
        notes.append(
            f"No pair has a winner that is {missing}, so accuracy balanced over older and newer winners is not defined:"
            " measure on an export of the rule votes (--test-on) to know it."
        )
    if evaluation.threads < 2:
        notes.append("There are no intervals: the pairs are of one thread.")
    if measured.swapped is None and not settings.quick:
        notes.append("The questions could not be swapped: no community has two threads to swap.")
    return notes
