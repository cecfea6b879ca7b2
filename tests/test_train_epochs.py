"""An epoch of TRL's trainers in every layout that claims them, from files and as a stream, and the page's own snippets.

Slow, and needs the extra `train`, as tests/test_train.py does.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shp_miner.checking.check import check
from shp_miner.checking.tools import READINGS

from .conftest import ROOT
from .test_train import ROWS_A_STEP, exported, parts, tiny_model

__all__ = ["parts"]

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

#: The layouts that each trainer reads, as the table of tools has it: `test_check.KEEPS` holds the table to this.
LAYOUTS = [
    ("Reward", "trl"), ("Reward", "chat-pairs"), ("Reward", "trl-text"),
    ("DPO", "trl"), ("DPO", "chat-pairs"), ("DPO", "trl-text"),
    ("KTO", "trl"), ("KTO", "chat-pairs"), ("KTO", "trl-text"), ("KTO", "kto"),
]  # fmt: skip


def words_of(rows: Any) -> list[str]:
    """Every text of some rows, for the tokenizer to learn from."""
    texts = []
    for row in rows:
        for value in row.values():
            if isinstance(value, str):
                texts.append(value)
            elif isinstance(value, list):
                texts += [message["content"] for message in value]
    return texts


def trained(parts: SimpleNamespace, kind: str, folder: Path, rows: Any, steps: int, **settings: Any) -> Any:
    """TRL's trainer on some rows, after `steps` steps."""
    tokenizer = parts.transformers.AutoTokenizer.from_pretrained(str(folder / "model"))
    own = getattr(parts.trl, f"{kind}Config")(
        output_dir=str(folder / "out"), max_steps=steps, per_device_train_batch_size=ROWS_A_STEP, learning_rate=1e-2,
        save_strategy="no", report_to="none", use_cpu=True, bf16=False, disable_tqdm=True, **settings,
    )  # fmt: skip
    trainer = getattr(parts.trl, f"{kind}Trainer")(
        model=str(folder / "model"), args=own, train_dataset=rows, processing_class=tokenizer
    )
    outcome = trainer.train()
    assert outcome.global_step == steps
    assert math.isfinite(outcome.training_loss)
    return trainer


@pytest.mark.parametrize("streaming", [False, True], ids=["files", "stream"])
@pytest.mark.parametrize(("kind", "form"), LAYOUTS, ids=str)
def test_an_epoch_takes_every_row(
    kind: str, form: str, streaming: bool, parts: SimpleNamespace, tmp_path: Path
) -> None:
    import datasets

    out = exported(tmp_path, form)
    rows = datasets.load_dataset(str(out), split="train", streaming=streaming, cache_dir=str(tmp_path / "cache"))
    tiny_model(parts, tmp_path / "model", words_of(rows))
    (found,) = check(out, tools="trl").formats
    (said,) = (tool for tool in found.tools if tool.setting == f"{kind}Trainer")
    count = sum(1 for _ in rows)
    taken = 2 * count if said.changed else count  # each pair becomes two rows
    trainer = trained(parts, kind, tmp_path, rows, math.ceil(taken / ROWS_A_STEP))
    assert sum(1 for _ in trainer.train_dataset) == taken > 0
    assert count == said.kept == said.with_question
    assert trainer.state.epoch == pytest.approx(1)


def test_the_layouts_are_those_of_the_table_of_tools() -> None:
    assert {f"{kind}Trainer" for kind, _ in LAYOUTS} == {one.setting for one in READINGS if one.tool == "trl"}


def test_rows_that_the_reward_trainer_drops_are_said_beforehand(parts: SimpleNamespace, tmp_path: Path) -> None:
    import datasets

    out = exported(tmp_path, "chat-pairs")
    rows = datasets.load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))
    tiny_model(parts, tmp_path / "model", words_of(rows))
    tokenizer = parts.transformers.AutoTokenizer.from_pretrained(str(tmp_path / "model"))
    plain = [
        max(
            sum(len(tokenizer.encode(message["content"], add_special_tokens=False)) for message in row[side])
            for side in ("chosen", "rejected")
        )
        for row in rows
    ]
    whole = [max(len(tokenizer.apply_chat_template(row[side])["input_ids"]) for side in ("chosen", "rejected"))
             for row in rows]  # fmt: skip
    (template,) = {long - short for long, short in zip(whole, plain, strict=True)}
    limit = sorted(plain)[len(plain) // 2]
    file = tmp_path / "model" / "tokenizer.json"
    (found,) = check(out, tools="trl", max_tokens=limit, tokenizer=file).formats
    said = next(tool for tool in found.tools if tool.setting == "RewardTrainer")
    trainer = trained(parts, "Reward", tmp_path, rows, 1, max_length=limit + template)
    assert 0 < len(trainer.train_dataset) == said.kept < len(rows)
    assert said.dropped == {f"longer than {limit:,} tokens": len(rows) - said.kept}


@pytest.mark.parametrize(("kind", "form"), [("Reward", "chat-pairs"), ("DPO", "chat-pairs"), ("KTO", "kto")])
def test_the_page_s_snippets_train(
    kind: str, form: str, parts: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import datasets

    import shp_miner

    exported(tmp_path, form)
    out = tmp_path / "data" / "cooking"
    shp_miner.export_dataset(tmp_path / "store", out, formats=["chat-pairs", "kto"], validation=0, test=0)
    rows = datasets.load_dataset(str(out), form, split="train", cache_dir=str(tmp_path / "cache"))
    tiny_model(parts, tmp_path / "model", words_of(rows))
    page = (ROOT / "docs" / "trainers.md").read_text()
    (snippet,) = re.findall(rf"^## TRL: {kind}Trainer\n.*?^```python\n(.*?)^```", page, re.M | re.S)
    here = snippet.replace("MODEL", str(tmp_path / "model")).replace(
        "max_length=2048", 'max_length=1024, use_cpu=True, bf16=False, report_to="none", save_strategy="no"'
    )
    left: dict[str, Any] = {}
    exec(here, left)
    assert left["trainer"].state.epoch == 3
    assert re.search(r"^0 rows ", capsys.readouterr().out, re.M)
