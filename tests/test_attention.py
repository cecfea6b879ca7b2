"""Where votes follow attention alone, a model that is told of attention learns nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import shp_miner
from shp_miner import UsageError, check, export_dataset, load, preset
from shp_miner.cli import run
from shp_miner.training.pairs import open_export, read_split

from .training_data import EARLY, LATE, attention_only


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attention")
    path = folder / "threads.jsonl"
    path.write_text("".join(json.dumps(thread) + "\n" for thread in attention_only(400)))
    shp_miner.import_dump("threads", [path], folder / "store")
    return folder / "store"


def learned(attention: np.ndarray, offset: np.ndarray) -> float:
    """How much a model that knows attention alone makes of it: the factor that minimises TRL's loss."""
    low, high = -5.0, 5.0
    for _ in range(50):
        factor = (low + high) / 2
        still_gains = (1 - np.tanh((factor * attention + offset) / 2)) @ attention > 0
        low, high = (factor, high) if still_gains else (low, factor)
    return low


def test_a_model_of_attention_alone_learns_nothing_with_the_margin(store: Path, tmp_path: Path) -> None:
    words = ["--store", str(store), "--rule", "comparisons", "--format", "trl,pairs", "--margin"]
    assert run(["export", str(tmp_path / "out"), *words]) == 0
    rows = load(tmp_path / "out" / "trl").to_polars()
    margin = rows["margin"].to_numpy()
    # TRL: -ln sigmoid(r_W - r_L - margin).
    left = learned(-margin, -margin)
    assert abs(left) < 0.15, "little: the slopes are drawn to a prior, less so with more threads"
    assert learned(-margin, np.zeros(len(margin))) == pytest.approx(1 + left), "what is to be taken off"
    assert learned(-margin, margin) == pytest.approx(2 + left), "the wrong sign"
    assert "margin" not in load(tmp_path / "out" / "pairs").to_polars().columns
    assert not [said for form in check(tmp_path / "out").formats for said in form.problems]
    assert "| `margin` |" in (tmp_path / "out" / "trl" / "README.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "trl"], "needs pairs of both orders"),
        (["--format", "kto", "--rule", "comparisons"], "has no margin"),
        (["--format", "trl", "--rule", "comparisons", "--layout", "compact"], "has no margin"),
    ],
)
def test_a_margin_is_refused_where_it_would_mean_nothing(
    words: list[str], message: str, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for dry in ([], ["--dry-run"]):
        assert run(["export", "out", "--store", str(store), "--margin", *words, *dry]) == 2
        assert message in " ".join(capsys.readouterr().err.split())
    with pytest.raises(UsageError, match="needs pairs of both orders"):
        export_dataset(store, "out", rule="shp-strict", format="trl-text", margin=True)


def test_train_takes_attention_off_the_pairs_of_comparisons(store: Path, tmp_path: Path) -> None:
    def preference(rule: str, form: str, *, margin: bool = False) -> float:
        """Return how much more a model thinks of the early word, and that nothing is said of its loss without need."""
        out = tmp_path / f"{rule}-{form}-{margin}"
        export_dataset(store, out, rule=rule, format=form, margin=margin, validation=0, test=0)
        done = shp_miner.train(out, tmp_path / f"{out.name}-model", quick=True)
        assert any("The loss is" in note for note in done.report.notes) == (margin or (rule, form) == told)
        early, late = shp_miner.score(done.model, "Question?", [EARLY, LATE])
        return float(early - late)

    told = ("comparisons", "pairs")
    without = preference("votes", "pairs")
    assert without > 1
    for form, margin in (("pairs", False), ("trl", True)):
        assert abs(preference("comparisons", form, margin=margin)) < without / 10


def test_train_does_not_weigh_pairs_again_that_were_drawn_by_weight(store: Path, tmp_path: Path) -> None:
    weighed, drawn = tmp_path / "weighed", tmp_path / "drawn"
    export_dataset(store, weighed, rule="comparisons")
    export_dataset(store, drawn, rule=preset("comparisons", sample_by_weight=True))
    assert read_split(open_export(weighed), "train", None, most=9, seed=0).pairs.weight is not None
    pairs = read_split(open_export(drawn), "train", None, most=9, seed=0).pairs
    assert pairs.weight is None
    assert pairs.target is not None
    assert pairs.attention is not None
    notes = shp_miner.train(drawn, tmp_path / "model", quick=True).report.notes
    assert "The loss is that of shares of votes: with the target and the attention of each pair." in notes
