"""`train` and `score` through the command: made-up exports with a planted word, and every input that is not valid."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import polars as pl
import pytest

import shp_miner
from shp_miner.cli import run
from shp_miner.training import folder as model_folder
from shp_miner.training.pairs import TRAINABLE
from shp_miner.training.transformers_model import try_later

from .training_data import WORD, exported, made_threads

FORMS = list(TRAINABLE)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of every format that can be trained on, in which a word decides."""
    return exported(tmp_path_factory.mktemp("planted"), made_threads(400), FORMS)


@pytest.fixture(scope="module")
def model(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("model") / "m"
    shp_miner.train(planted, target)
    return target


@pytest.fixture
def out(planted: Path, tmp_path: Path) -> Path:
    """The export of the format pairs, to be damaged."""
    return Path(shutil.copytree(planted / "pairs", tmp_path / "out"))


def parsed(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    code = run([*map(str, words), "--json"])
    said = capsys.readouterr()
    assert code == 0, said.err
    found: dict[str, Any] = json.loads(said.out)
    return found


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str]:
    code = run([*map(str, words)])
    return code, capsys.readouterr().err


def manifest_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return found


def without_split(out: Path, *splits: str) -> None:
    """Take splits out of an export, as if they had been exported with a share of 0."""
    manifest = manifest_of(out)
    for file in manifest["files"]:
        if file["split"] in splits:
            (out / file["path"]).unlink()
    manifest["files"] = [file for file in manifest["files"] if file["split"] not in splits]
    (out / "manifest.json").write_text(json.dumps(manifest))


def rewritten(out: Path, change: Any) -> None:
    """Change the rows of every file of an export, and the manifest with them."""
    manifest = manifest_of(out)
    for file in manifest["files"]:
        path = out / file["path"]
        frame = change(pl.read_parquet(path))
        frame.write_parquet(path)
        file["rows"], file["sha256"] = frame.height, sha256(path.read_bytes()).hexdigest()
    (out / "manifest.json").write_text(json.dumps(manifest))


# -- what is learned --------------------------------------------------------------------------------------------------


def test_a_planted_word_is_found_and_every_figure_of_the_report_says_so(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = parsed(capsys, "train", planted, "--out", tmp_path / "m")
    report = told["report"]
    found = report["evaluation"]
    assert report["split"] == "test"
    assert found["pairs"] == found["threads"] > 60
    assert found["accuracy"]["value"] > 0.97
    assert found["balanced"]["value"] > 0.97
    assert abs(found["earlier_wins"]["value"] - 0.5) < 0.15
    assert found["over_longer"]["low"] > 0
    assert found["over_earlier"]["low"] > 0
    assert {group["name"] for group in found["by_winner"]} == {"winner newer", "winner older"}
    assert {group["name"] for group in found["by_community"]} == {"cooking", "travel"}
    assert sum(group["pairs"] for group in found["by_ratio"]) == found["pairs"]
    full, answer, length = report["views"]
    assert full["bits"]["value"] > 0.6
    assert answer["bits"]["value"] > 0.6
    assert length["bits"]["value"] < 0.3
    assert abs(report["swapped"]["gap"]["value"]) < 0.03
    assert [flipped["share"] for flipped in report["flips"]] == [0.1, 0.2, 0.3]
    curve = [flipped["accuracy"]["value"] for flipped in report["flips"]]
    assert found["accuracy"]["value"] > curve[0] > max(0.8, curve[2])
    assert report["notes"] == []


def test_the_question_is_worth_something_where_it_decides(tmp_path: Path) -> None:
    """The preferred answer repeats a word of its own question; words by themselves say nothing."""
    threads = made_threads(500, planted=False)
    for number, thread in enumerate(threads):
        own, other = (f"topic{(number * step) % 97}" for step in (1, 5))
        thread["title"] = f"{own}?"
        best, worst = sorted(thread["answers"], key=lambda answer: -answer["score"])
        best["body"] += f" {own}"
        worst["body"] += f" {other}"
    trained = shp_miner.train(exported(tmp_path, threads), tmp_path / "m")
    report = trained.report
    assert report.swapped is not None
    assert report.swapped.gap.low is not None
    assert report.swapped.gap.low > 0.1
    full, answer, _ = report.views
    assert full.bits.value > answer.bits.value + 0.1


def test_shuffled_labels_give_chance_within_the_interval(tmp_path: Path) -> None:
    trained = shp_miner.train(exported(tmp_path, made_threads(400, planted=False)), tmp_path / "m", quick=True)
    found = trained.report.evaluation
    assert found is not None
    assert found.accuracy.low is not None
    assert found.accuracy.high is not None
    assert found.accuracy.low < 0.5 < found.accuracy.high
    assert found.bits.low is not None
    assert found.bits.low < 0.05


@pytest.mark.parametrize("form", FORMS)
def test_every_format_of_pairs_can_be_trained_on(form: str, planted: Path, tmp_path: Path) -> None:
    trained = shp_miner.train(planted, tmp_path / "m", format=form, quick=True)
    found = trained.report.evaluation
    assert found is not None
    assert found.accuracy.value > 0.97
    timed = form in ("pairs", "shp")
    assert (found.earlier_wins is not None) == timed == (found.balanced is not None)
    assert bool(trained.report.notes) != timed
    assert {group.name for group in found.by_ratio} == {"unknown"} or form != "trl-text"


def test_the_same_export_gives_the_same_bytes(planted: Path, tmp_path: Path) -> None:
    trained = shp_miner.train(planted, tmp_path / "one")
    again = shp_miner.train(planted, tmp_path / "two")
    assert trained.files == again.files
    for name in trained.files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_a_sample_of_the_pairs_is_said_to_be_one(planted: Path, tmp_path: Path) -> None:
    trained = shp_miner.train(planted, tmp_path / "m", max_pairs=120, quick=True)
    assert trained.report.kept_pairs == 120
    assert "A sample of 120 of the" in trained.report.notes[0]
    whole = shp_miner.train(planted, tmp_path / "n", quick=True)
    assert whole.report.kept_pairs > 120
    assert not whole.report.notes


def test_a_model_is_measured_on_another_export(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = tmp_path / "older"
    store = planted.parent / "store"
    shp_miner.export_dataset(store, older, rule="older-winner", validation=0.1, test=0.3)
    report = parsed(capsys, "train", planted, "--out", tmp_path / "m", "--test-on", older, "--quick")["report"]
    assert (report["rule"], report["tested_rule"]) == ("votes", "older-winner")
    assert [group["name"] for group in report["evaluation"]["by_winner"]] == ["winner older"]
    shp_miner.export_dataset(store, older, rule="older-winner", validation=0.1, test=0.6)
    code, said = refused(capsys, "train", planted, "--out", tmp_path / "m", "--test-on", older)
    assert code == 5
    assert "threads of the split test" in said


# -- the folder -------------------------------------------------------------------------------------------------------


def test_a_model_has_a_record_a_card_a_report_and_a_picture(model: Path, planted: Path) -> None:
    from safetensors.numpy import load_file

    config = json.loads((model / "config.json").read_text())
    assert sorted(path.name for path in model.iterdir()) == config["files"]
    assert config["trained_on"]["format"] == "pairs"
    assert config["trained_on"]["rule"]["name"] == "votes"
    digest = sha256((planted / "pairs" / "manifest.json").read_bytes()).hexdigest()
    assert config["trained_on"]["manifest_sha256"] == digest
    hashing = config["hashing"]
    (weights,) = load_file(model / "model.safetensors").values()
    assert weights.shape == (hashing["words"] + hashing["shared"] + 2,)
    report = json.loads((model / "report.json").read_text())
    card = (model / "README.md").read_text()
    assert f"| accuracy | {report['evaluation']['accuracy']['value']:.3f} |" in card
    picture = ET.fromstring((model / "report.svg").read_text())
    texts = ["".join(node.itertext()) for node in picture.iter() if node.tag.endswith("text")]
    assert {"this model", "longer wins", "length only", "30% of labels flipped"} <= set(texts)
    for path in model.iterdir():
        assert str(planted.parent).encode() not in path.read_bytes(), "no path of this machine"


def test_the_default_folder_is_beside_the_export(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parsed(capsys, "train", out, "--quick")["model"] == str(out.with_name("out-model"))


def test_a_model_is_replaced_and_anything_else_is_left_alone(
    planted: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = Path(shutil.copytree(model, tmp_path / "m"))
    words = ("train", planted, "--out", target, "--quick", "--seed", "3")
    assert parsed(capsys, *words)["report"]["kept_pairs"] > 0
    assert json.loads((target / "config.json").read_text())["trained_on"]["seed"] == 3
    (target / "notes.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    assert refused(capsys, *words) == (2, refused(capsys, *words)[1])
    assert "notes.txt" in refused(capsys, *words)[1]
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "llama"}')
    code, said = refused(capsys, "train", planted, "--out", other)
    assert (code, "exists and is not a model" in said) == (2, True)
    assert [path.name for path in other.iterdir()] == ["config.json"]


def test_a_second_training_of_the_same_model_waits(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with model_folder.only_trainer(tmp_path / "m"):
        code, said = refused(capsys, "train", planted, "--out", tmp_path / "m", "--quick")
    assert (code, "A model is being trained for" in said) == (75, True)
    assert not (tmp_path / "model").exists()


def test_who_may_read_the_folder_may_read_the_model(model: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    assert {file.stat().st_mode for file in model.iterdir()} == {(tmp_path / "plain").stat().st_mode}


@pytest.mark.parametrize("stopped_at", ["fill", "rename"])
def test_a_training_that_fails_at_the_end_leaves_the_model_before(
    stopped_at: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Path(shutil.copytree(model, tmp_path / "m"))
    before = {path.name: path.read_bytes() for path in target.iterdir()}

    def fill(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        if stopped_at == "fill":
            raise OSError(28, "No space left on device")

    renamed = Path.rename

    def rename(self: Path, to: Path) -> Path:
        if self.name.endswith(".model-new"):
            raise OSError(5, "Input/output error")
        return renamed(self, to)

    if stopped_at == "rename":
        monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match=r"error|space"):
        model_folder.write_model(target, model_folder.WORDS, {}, fill)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_replacement_that_was_killed_between_its_steps_is_completed(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / ".m.model-old")
    model_folder.require_place(tmp_path / "m")
    assert (tmp_path / "m" / "config.json").is_file()


# -- exports that cannot be trained on --------------------------------------------------------------------------------


def test_a_folder_that_is_no_export_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = refused(capsys, "train", tmp_path)
    assert (code, "is not an export" in said) == (5, True)


def test_a_missing_shard_and_a_changed_one_are_refused(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = out / manifest_of(out)["files"][0]["path"]
    kept = path.read_bytes()
    pl.read_parquet(path).head(3).write_parquet(path)
    code, said = refused(capsys, "train", out)
    assert code == 5
    assert "is not the file that the export wrote" in said
    path.unlink()
    code, said = refused(capsys, "train", out)
    assert (code, "does not have the file" in said) == (5, True)
    path.write_bytes(kept)
    assert run(["train", str(out), "--quick", "-q"]) == 0


def test_a_column_that_lacks_and_a_layout_of_the_future_are_refused(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewritten(out, lambda frame: frame.drop("answer2"))
    code, said = refused(capsys, "train", out)
    assert (code, "lacks the column answer2" in said) == (5, True)
    manifest = manifest_of(out)
    manifest["layout"] = 99
    (out / "manifest.json").write_text(json.dumps(manifest))
    code, said = refused(capsys, "train", out)
    assert (code, "the layout 99" in said) == (5, True)


def test_too_few_pairs_say_how_many_are_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = exported(tmp_path, made_threads(60))
    code, said = refused(capsys, "train", few)
    assert code == 5
    assert "at least 100 are needed" in said


def test_too_few_threads_say_how_many_are_needed(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewritten(out, lambda frame: frame.with_columns(pair_id=pl.lit("forum.example/1/1-2")))
    code, said = refused(capsys, "train", out)
    assert code == 5
    assert "at least 10 are needed" in said


def test_a_missing_test_split_is_said(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    without_split(out, "test")
    report = parsed(capsys, "train", out, "--quick")["report"]
    assert report["split"] == "validation"
    assert "evaluated on the split validation" in report["notes"][0]
    without_split(out, "validation")
    report = parsed(capsys, "train", out)["report"]
    assert (report["split"], report["evaluation"]) == (None, None)
    assert "was not evaluated" in report["notes"][0]
    without_split(out, "train")
    code, said = refused(capsys, "train", out)
    assert (code, "no pairs in its split train" in said) == (5, True)


def test_a_format_without_both_answers_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kto = exported(tmp_path, made_threads(40), ["kto"])
    code, said = refused(capsys, "train", kto)
    assert code == 2
    assert "do not have both answers of a pair" in said
    assert "pairs, shp, trl" in said
    assert refused(capsys, "train", kto, "--format", "pairs")[0] == 2


def test_a_model_of_transformers_without_the_extra_names_it(
    out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from shp_miner.training import transformers_model

    monkeypatch.setattr(transformers_model, "_NEEDED", ("torch_that_is_not_there",))
    code, said = refused(capsys, "train", out, "--model", "some/model")
    assert code == 2
    assert "the extra `train` is not installed" in said
    assert "pip install 'shp-miner[train]'" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--epochs", "2"], "epochs would change nothing"),
        (["--max-tokens", "64"], "max_tokens would change nothing"),
        (["--model", "x", "--thread-weights", "one"], "thread_weights would change nothing"),
    ],
)
def test_an_option_of_the_other_kind_of_model_is_refused(
    options: list[str], words: str, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", str(out), "--out", str(tmp_path / "model"), *options]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_a_place_that_may_not_be_written_to_is_said_before_the_training(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(model_folder, "only_one", refused)
    assert run(["train", str(out), "--out", str(tmp_path / "model")]) == 5
    said = capsys.readouterr().err
    assert f"Nothing may be written to {tmp_path}" in said
    assert "--out" in said


def test_training_imports_no_torch_and_no_sklearn(planted: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from shp_miner.cli import run; "
        f"code = run(['train', {str(planted)!r}, '--out', {str(tmp_path / 'm')!r}, '--quick', '-q']); "
        "heavy = {'torch', 'sklearn', 'scipy', 'transformers', 'trl', 'matplotlib'} & set(sys.modules); "
        "assert code == 0 and not heavy, (code, heavy)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})


# -- scores -----------------------------------------------------------------------------------------------------------


def scored(capsys: pytest.CaptureFixture[str], *words: str | Path) -> list[dict[str, Any]]:
    assert run(["score", *map(str, words), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


GOOD, BAD = f"stone river {WORD} lamp paper", "stone river green lamp paper"


def test_answers_on_the_command_line_get_scores(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (model, "--question", "Question 1?", "--answer", GOOD, "--answer", BAD)
    good, bad = scored(capsys, *words)
    assert good["score"] > bad["score"]
    assert run(["score", *map(str, words)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [round(float(line), 4) for line in lines] == [round(row["score"], 4) for row in (good, bad)]
    assert shp_miner.score(model, "Question 1?", [GOOD, BAD]) == pytest.approx([good["score"], bad["score"]], abs=1e-6)
    assert shp_miner.score(model, ["Question 1?"] * 2, [GOOD, BAD]) == shp_miner.score(
        model, "Question 1?", [GOOD, BAD]
    )
    with pytest.raises(shp_miner.UsageError, match="2 answers"):
        shp_miner.score(model, ["one"], [GOOD, BAD])


ROWS = [{"question": "Question 1?", "answer": GOOD, "id": 1}, {"question": "Question 1?", "answer": BAD, "id": 2}]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet", "stdin", "prompts"])
def test_files_of_answers_get_a_score_per_row(
    kind: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: Sequence[dict[str, Any]] = ROWS
    if kind == "prompts":
        rows = [{"prompt": row["question"], "completion": row["answer"]} for row in ROWS]
    path = tmp_path / f"answers.{'jsonl' if kind in ('stdin', 'prompts') else kind}"
    frame = pl.DataFrame(rows)
    {"csv": frame.write_csv, "parquet": frame.write_parquet}.get(kind, frame.write_ndjson)(path)
    if kind == "stdin":
        with path.open() as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            told = scored(capsys, model, "-")
    else:
        told = scored(capsys, model, path)
    assert [row["row"] for row in told] == [1, 2]
    assert [row["score"] for row in told] == pytest.approx(shp_miner.score(model, "Question 1?", [GOOD, BAD]), abs=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_files_of_an_export_get_both_scores(
    form: str, model: Path, planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = manifest_of(planted / form)
    file = next(file for file in manifest["files"] if file["split"] == "test")
    path = planted / form / file["path"]
    told = scored(capsys, model, path)
    frame = pl.read_parquet(path)
    right = {
        "pairs": lambda: frame["preferred"],
        "shp": lambda: 2 - frame["labels"],
    }.get(form, lambda: pl.Series([1] * frame.height))()
    agreed = sum(row["preferred"] == preferred for row, preferred in zip(told, right, strict=True))
    assert agreed / frame.height > 0.95
    assert run(["score", str(model), str(path)]) == 0
    assert {line.split()[-1] for line in capsys.readouterr().out.splitlines()} <= {"1", "2"}


def test_conversations_get_both_scores(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The columns chosen and rejected hold whole conversations, and nothing else is needed."""
    asked = {"role": "user", "content": "Question 1?"}
    sides = [[asked, {"role": "assistant", "content": text}] for text in (GOOD, BAD)]
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps({"chosen": sides[0], "rejected": sides[1]}) + "\n")
    (row,) = scored(capsys, model, path)
    assert row["preferred"] == 1
    assert row["score1"] == pytest.approx(shp_miner.score(model, "Question 1?", [GOOD])[0], abs=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        ('{"question": "a"}\n', "lacks columns to score"),
        ('{"question": "a", "answer": "b"}\n{"question": "a"}\n', "no text in a column of row 2"),
        ('{"question": "a", "answer": "b"}\nnothing\n', "no valid JSON in line 2"),
        ("[1]\n", "no JSON object in line 1"),
        ('{"question": "a", "answer": "b"}\n{"question": ["a"], "answer": "b"}\n', "another type than in row 1"),
    ],
)
def test_a_file_that_cannot_be_scored_is_refused_in_a_sentence(
    text: str, message: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(text)
    code, said = refused(capsys, "score", model, path)
    assert (code, message in said) == (5, True), said


def test_other_wrong_calls_of_score_are_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.parquet"
    rows.write_bytes(b"PAR1 is not enough")
    assert refused(capsys, "score", model, rows)[0] == 5
    assert refused(capsys, "score", model, tmp_path / "nothing.jsonl")[0] == 5
    code, said = refused(capsys, "score", tmp_path, "-")
    assert (code, "is not a model" in said) == (5, True)
    assert refused(capsys, "score", model)[0] == 2
    assert refused(capsys, "score", model, "-", "--question", "a", "--answer", "b")[0] == 2
    assert refused(capsys, "score", model, "--question", "a")[0] == 2


@pytest.mark.parametrize("what", ["weights", "missing", "version"])
def test_a_damaged_model_is_refused(what: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "m"))
    if what == "weights":
        (copy / "model.safetensors").write_bytes(b"nothing")
    elif what == "missing":
        (copy / "model.safetensors").unlink()
    else:
        config = json.loads((copy / "config.json").read_text())
        config["hashing"]["version"] = 99
        (copy / "config.json").write_text(json.dumps(config))
    code, said = refused(capsys, "score", copy, "--question", "a", "--answer", "b")
    assert code == 5, said
    assert "Train again" in said


@pytest.mark.parametrize(
    ("status", "later"), [(None, True), (503, True), (429, True), (404, False), (401, False)], ids=str
)
def test_a_hub_that_cannot_be_reached_is_a_matter_of_time(status: int | None, later: bool) -> None:
    """What huggingface_hub raises, as transformers passes it on."""
    from huggingface_hub import errors

    if status is None:
        cause: Exception = errors.LocalEntryNotFoundError("no connection, and no copy")
    else:
        cause = errors.HfHubHTTPError("refused", response=SimpleNamespace(status_code=status, headers={}, request=None))
    try:
        raise OSError("We couldn't connect to the Hub") from cause
    except OSError as raised:
        found = try_later(raised, "somebody/model")
    assert (found is not None) is later
    assert found is None or found.exit_code == 75
    assert try_later(ValueError("no tokenizer"), "x") is None
