"""One training step of TRL on what an export holds: formats `trl`, `chat-pairs`, `trl-text` and `kto`.

Slow, and needs the extra `train`; without it every test here skips and names the extra. No model or tokenizer is
fetched: both are made on the spot, of a size that trains in seconds on a processor.

The export is read with `datasets`, handed to the trainers as it is, and then it is checked that the trainer kept every
row, that the tokens it trains on are the texts of the row, that the loss is a finite number and that one step changed
the model.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import shp_miner
from shp_miner.cli import run as cli_run

from .training_data import EARLY, LATE, attention_only, made_threads
from .training_data import exported as made_export

if TYPE_CHECKING:
    from datasets import Dataset

# The warnings of torch, transformers and TRL about each other are not this project's to answer for.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

CHAT_TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>\n{{ message.content }}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>\n{% endif %}"
)
ROWS_A_STEP = 4


def threads() -> list[dict[str, Any]]:
    """A few threads in the layout of `import threads`, each with one pair: the later answer has more votes."""
    created = datetime(2024, 1, 1, tzinfo=UTC)
    return [
        {
            "site": "forum.example",
            "community": "cooking",
            "post_id": str(number),
            "title": f"How do I keep {thing} crisp?",
            "body": f"My {thing} is soft after *one* day.\n\n- bought fresh\n- kept dry",
            "created_at": created.isoformat(),
            "observed_at": (created + timedelta(days=60)).isoformat(),
            "score": 20,
            "author": f"asker-{number}",
            "answers": [
                {
                    "answer_id": f"{number}-{order}",
                    "body": body,
                    "created_at": (created + timedelta(hours=order + 1)).isoformat(),
                    "score": score,
                    "author": f"reader-{number}-{order}",
                }
                for order, (body, score) in enumerate(((f"Buy new {thing}.", 3), (f"Dry the {thing} first.", 12)))
            ],
        }
        for number, thing in enumerate(("bread", "lettuce", "bacon", "kale", "rice", "pie crust"))
    ]


def exported(folder: Path, row_format: str) -> Path:
    """Export the threads in one format under `folder`; return the path that `datasets.load_dataset` takes."""
    dump = folder / "threads.jsonl"
    dump.write_text("".join(json.dumps(thread) + "\n" for thread in threads()), encoding="utf-8")
    shp_miner.import_dump("threads", [dump], folder / "store", now=datetime(2025, 1, 1, tzinfo=UTC))
    export = folder / "export"
    shp_miner.export_dataset(folder / "store", export, rule="shp", formats=[row_format], validation=0, test=0)
    return export


@pytest.fixture(scope="module")
def parts() -> Iterator[SimpleNamespace]:
    """The modules of the extra `train`, imported with the hub switched off."""
    names = ("torch", "tokenizers", "transformers", "trl")
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the extra `train` is not installed: no {', '.join(missing)}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        # huggingface_hub reads the variable when it is imported, which another test may have caused before.
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        patch.setenv("TOKENIZERS_PARALLELISM", "false")
        # An installed part that does not import is a failure, not a reason to skip.
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})


@pytest.fixture
def offered(parts: SimpleNamespace, tmp_path: Path, request: pytest.FixtureRequest) -> Dataset:
    """The train split of an export in the format that the test names, loaded as a user loads it."""
    import datasets

    path = exported(tmp_path, request.param)
    return datasets.load_dataset(str(path), split="train", cache_dir=str(tmp_path / "cache"))


def text_of(value: str | list[dict[str, str]]) -> str:
    """The text of a cell, a string or a list of messages with one message."""
    if isinstance(value, str):
        return value
    (message,) = value
    return message["content"]


def parted(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its prompt apart, if its sides are whole conversations."""
    if "chosen" not in row or "prompt" in row:
        return row
    return {"prompt": row["chosen"][:-1], "chosen": row["chosen"][-1:], "rejected": row["rejected"][-1:]}


def check_prompt(row: dict[str, Any], prompt: str) -> None:
    """The tokens before the answer are the whole prompt.

    TRL finds the answer where the tokens of the prompt and of prompt + answer first differ. Where a string prompt ends
    so that a tokenizer joins its end with the answer's beginning, that end would be left out of the prompt. One line
    break after a visible character is kept apart by the tokenizers of the GPT-2 and of the Llama 3 kind; two line
    breaks, or a space, are not.
    """
    if isinstance(row["prompt"], str):
        assert prompt == row["prompt"]
    else:
        assert text_of(row["prompt"]) in prompt
        assert prompt.endswith("<assistant>\n")


def tiny_model(parts: SimpleNamespace, folder: Path, texts: list[str]) -> Path:
    """Save a random one-layer Llama and a byte-level tokenizer trained on `texts`; return their folder."""
    names = {"pad_token": "<pad>", "eos_token": "<end>"}
    roles = ["<user>", "<assistant>"]
    inner = parts.tokenizers.ByteLevelBPETokenizer()
    inner.train_from_iterator(texts, vocab_size=600, special_tokens=[*names.values(), *roles], show_progress=False)
    tokenizer = parts.transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner._tokenizer, additional_special_tokens=roles, model_max_length=1024, **names
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    parts.torch.manual_seed(0)
    shape = parts.transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=1024,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    parts.transformers.LlamaForCausalLM(shape).save_pretrained(folder)
    return folder


def trainer_of(parts: SimpleNamespace, kind: str, folder: Path, rows: Dataset) -> Any:
    """TRL's trainer `kind` (Reward, DPO or KTO) with its own defaults, set to take one step on a processor."""
    columns = ("prompt", "chosen", "rejected", "completion")
    texts = [text_of(row[column]) for row in map(parted, rows) for column in columns if column in row]
    model = tiny_model(parts, folder / "model", texts)
    settings = getattr(parts.trl, f"{kind}Config")(
        output_dir=str(folder / "out"),
        max_steps=1,
        per_device_train_batch_size=ROWS_A_STEP,
        learning_rate=1e-2,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
    )
    return getattr(parts.trl, f"{kind}Trainer")(
        model=str(model),
        args=settings,
        train_dataset=rows,
        processing_class=parts.transformers.AutoTokenizer.from_pretrained(str(model)),
    )


def check_step(parts: SimpleNamespace, trainer: Any) -> None:
    """Take the step: a finite loss, and weights that are finite and other than before."""
    before = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    outcome = trainer.train()
    assert outcome.global_step == 1
    assert math.isfinite(outcome.training_loss)
    after = dict(trainer.model.named_parameters())
    assert all(parts.torch.isfinite(value).all() for value in after.values())
    changed = [name for name, value in after.items() if not parts.torch.equal(value, before[name])]
    assert changed


@pytest.mark.parametrize("offered", ["trl", "chat-pairs", "trl-text"], indirect=True)
def test_reward_trainer_learns_from_pairs(parts: SimpleNamespace, offered: Dataset, tmp_path: Path) -> None:
    trainer = trainer_of(parts, "Reward", tmp_path, offered)
    assert len(trainer.train_dataset) == len(offered) > 0
    for row, taken in zip(map(parted, offered), trainer.train_dataset, strict=True):
        assert taken["chosen_ids"] != taken["rejected_ids"]
        for side in ("chosen", "rejected"):
            text = trainer.processing_class.decode(taken[f"{side}_ids"])
            assert text_of(row["prompt"]).strip() in text
            assert text_of(row[side]) in text
    check_step(parts, trainer)


@pytest.mark.parametrize("offered", ["trl", "chat-pairs", "trl-text"], indirect=True)
def test_dpo_trainer_learns_from_pairs(parts: SimpleNamespace, offered: Dataset, tmp_path: Path) -> None:
    trainer = trainer_of(parts, "DPO", tmp_path, offered)
    assert len(trainer.train_dataset) == len(offered) > 0
    for row, taken in zip(map(parted, offered), trainer.train_dataset, strict=True):
        check_prompt(row, trainer.processing_class.decode(taken["prompt_ids"]))
        for side in ("chosen", "rejected"):
            text = trainer.processing_class.decode(taken[f"{side}_ids"])
            assert text.split("<end>")[0].strip() == text_of(row[side]).strip()
    check_step(parts, trainer)


@pytest.mark.parametrize("offered", ["kto"], indirect=True)
def test_kto_trainer_learns_from_labels(parts: SimpleNamespace, offered: Dataset, tmp_path: Path) -> None:
    assert {row["label"] for row in offered} == {True, False}
    trainer = trainer_of(parts, "KTO", tmp_path, offered)
    assert len(trainer.train_dataset) == len(offered)
    for row, taken in zip(map(parted, offered), trainer.train_dataset, strict=True):
        assert taken["label"] == row["label"]
        check_prompt(row, trainer.processing_class.decode(taken["prompt_ids"]))
        text = trainer.processing_class.decode(taken["completion_ids"])
        assert text.split("<end>")[0].strip() == text_of(row["completion"]).strip()
    check_step(parts, trainer)


def test_train_makes_a_reward_model_of_any_model(
    parts: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`train --model`: dropped rows are counted, and transformers and `score` load the folder."""
    made = made_threads(200)
    for thread in made[:40]:
        thread["answers"][0]["body"] += " and so on" * 60
    export = made_export(tmp_path, made)
    base = tiny_model(parts, tmp_path / "base", [answer["body"] for thread in made for answer in thread["answers"]])
    words = ["train", str(export), "--model", str(base), "--out", str(tmp_path / "m"), "--max-tokens", "128"]
    assert cli_run([*words, "--epochs", "3", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["report"]
    dropped = report["pairs"] - report["kept_pairs"]
    assert 0 < dropped < 40
    assert f"{dropped:,} of {report['pairs']:,} training pairs were dropped" in report["notes"][0]
    assert report["evaluation"]["pairs"] > 30
    assert report["swapped"]["pairs"] > 30
    for path in (tmp_path / "m").rglob("*"):
        assert str(tmp_path).encode() not in path.read_bytes(), f"{path.name} has a path of this machine"
    loaded = parts.transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "m")
    assert loaded.config.num_labels == 1
    first, second = shp_miner.score(tmp_path / "m", "Why?", ["stone because", "river"])
    assert math.isfinite(first)
    assert first != second
    assert shp_miner.score(tmp_path / "m", "Why?", ["river"])[0] == pytest.approx(second, abs=1e-5), "padding counts"


def test_a_model_without_tokenizer_or_without_weights_is_refused(
    parts: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = made_export(tmp_path, made_threads(200))
    for config in (parts.transformers.LlamaConfig(), parts.transformers.GPT2Config(), parts.transformers.BertConfig()):
        bare = tmp_path / config.model_type
        config.save_pretrained(bare)
        assert cli_run(["train", str(export), "--model", str(bare)]) == 5
        assert "has no tokenizer" in capsys.readouterr().err
    assert cli_run(["train", str(export), "--model", str(tmp_path / "nowhere")]) == 5
    base = tiny_model(parts, tmp_path / "base", ["some words"])
    (base / "model.safetensors").unlink()
    assert cli_run(["train", str(export), "--model", str(base)]) == 5
    assert "cannot load the model" in capsys.readouterr().err
    assert not (tmp_path / "out-model").exists()


@pytest.mark.parametrize("chat", [True, False])
def test_answers_are_scored_with_the_tokens_that_they_were_trained_with(
    parts: SimpleNamespace, tmp_path: Path, chat: bool
) -> None:
    from datasets import Dataset

    from shp_miner.training.pairs import open_export, read_split
    from shp_miner.training.transformers_model import TransformersModel

    split = read_split(open_export(made_export(tmp_path, made_threads(20))), "train", None, most=4, seed=0, texts=True)
    base = tiny_model(parts, tmp_path / "base", split.answers.to_list())
    if not chat:
        (base / "chat_template.jinja").unlink()
    model = TransformersModel.load(str(base), 512)
    trainer = parts.trl.RewardTrainer(
        model=model._model,
        args=parts.trl.RewardConfig(output_dir=str(tmp_path / "o"), use_cpu=True, bf16=False, report_to="none"),
        train_dataset=Dataset.from_list(list(model._rows(split))),
        processing_class=model._tokenizer,
    )
    for row, winner in zip(trainer.train_dataset, split.pairs.winner.tolist(), strict=True):
        text = model._text(split.questions[winner], split.answers[winner])
        assert model._tokens([text])["input_ids"][0].tolist() == row["chosen_ids"]


def test_reward_trainer_takes_the_margin_off(parts: SimpleNamespace, tmp_path: Path) -> None:
    """Its loss is -ln sigmoid(r_W - r_L - margin), so `train` makes less of words that only say who came early."""
    import torch

    made = attention_only(40)
    dump = tmp_path / "threads.jsonl"
    dump.write_text("".join(json.dumps(thread) + "\n" for thread in made))
    shp_miner.import_dump("threads", [dump], tmp_path / "store")
    base = tiny_model(parts, tmp_path / "base", [answer["body"] for thread in made for answer in thread["answers"]])
    preferences = []
    for margin in (True, False):
        out = tmp_path / f"out-{margin}"
        shp_miner.export_dataset(tmp_path / "store", out, rule="comparisons", format="trl", margin=margin)
        trainer = trainer_of(parts, "Reward", tmp_path, shp_miner.load(out, split="train"))
        batch = next(iter(trainer.get_train_dataloader()))
        assert ("margin" in batch) == margin
        if margin:
            told = batch["margin"].clone()
            with torch.no_grad():
                loss = float(trainer.compute_loss(trainer.model.eval(), dict(batch)))
                ids, mask = batch["input_ids"], batch["attention_mask"]
                chosen, rejected = trainer.model(ids, attention_mask=mask).logits[:, 0].chunk(2)
            expected = -torch.nn.functional.logsigmoid(chosen - rejected - told).mean()
            assert loss == pytest.approx(float(expected), abs=1e-4)
        done = shp_miner.train(out, tmp_path / f"m-{margin}", model=base, quick=True, epochs=6)
        answers = [[answer["body"] for answer in thread["answers"]] for thread in made[:20]]
        ends = [[text for texts in answers for text in texts if text.endswith(end)] for end in (EARLY, LATE)]
        early, late = (np.mean(shp_miner.score(done.model, made[0]["title"], texts)) for texts in ends)
        preferences.append(early - late)
    with_margin, without = preferences
    assert without > 0.5
    assert abs(with_margin) < without / 2
