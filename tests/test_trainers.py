"""The snippets of docs/trainers.md: each is run where that is fast, or its configuration is held to the tool."""

from __future__ import annotations

import json
import re
import shlex
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from shp_miner import FORMATS, export_dataset, import_dump
from shp_miner.checking.readings import axolotl_bradley_terry, has_question
from shp_miner.checking.tools import READINGS

from .build import thread, write_month
from .conftest import ROOT

PAGE = ROOT / "docs" / "trainers.md"


def blocks(heading: str, language: str) -> list[str]:
    """The blocks of code of a section, in one language."""
    (section,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S)
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.M | re.S)


@pytest.fixture
def cooking(tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The export that the page reads, at its path."""
    monkeypatch.chdir(tmp_path)
    records = [record for number in range(12) for record in thread(f"p{number}", (3, 9, 5))]
    import_dump("reddit-dump", write_month(tmp_path / "dump", records), tmp_path / "store", now=now)
    export_dataset(tmp_path / "store", tmp_path / "data" / "cooking", formats=["chat-pairs", "kto", "trl-text"])
    return tmp_path / "data" / "cooking"


def formats_named(text: str) -> set[str]:
    return set(re.findall(r"data/cooking/([\w-]+)", text)) | set(re.findall(r'"data/cooking", "([\w-]+)"', text))


def fits(tool: str, setting: str, form: str) -> bool:
    """Whether the table of tools keeps a format's rows with this setting."""
    (reading,) = (one for one in READINGS if (one.tool, one.setting) == (tool, setting))
    question, answers = "Why?", ("So.", "Thus.")
    user = {"role": "user", "content": question}
    first, second = ({"role": "assistant", "content": answer} for answer in answers)
    rows: dict[str, dict[str, Any]] = {
        "chat-pairs": {"chosen": [user, first], "rejected": [user, second]},
        "trl-text": {"prompt": question, "chosen": answers[0], "rejected": answers[1]},
        "kto": {"prompt": question, "completion": answers[0], "label": True},
    }
    return has_question(reading.sees(rows[form]), question)


def test_every_snippet_reads_a_format_that_exists_and_python_blocks_compile() -> None:
    text = PAGE.read_text()
    assert formats_named(text) == {"chat-pairs", "kto", "trl-text"} <= set(FORMATS)
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)):
        compile(block, f"block {number}", "exec")


@pytest.mark.parametrize("kind", ["Reward", "DPO", "KTO"])
def test_trl_gets_the_format_that_it_keeps(kind: str) -> None:
    (block,) = blocks(f"TRL: {kind}Trainer", "python")
    (form,) = formats_named(block)
    assert fits("trl", f"{kind}Trainer", form)


def test_rewardbench_gets_the_format_that_it_keeps() -> None:
    (block,) = blocks("rewardbench", "sh")
    words = shlex.split(block)
    assert words[0] == "rewardbench"
    assert {word for word in words if word.startswith("--")} <= {
        "--model", "--dataset", "--split", "--max_length", "--force_truncation",
    }  # fmt: skip
    assert fits("rewardbench", "--dataset", *formats_named(block))


def test_llama_factory_gets_data_sets_that_it_keeps() -> None:
    (pair,) = map(yaml.safe_load, blocks("LLaMA-Factory", "yaml"))
    assert pair["cooking"]["converter"] == "pair"
    assert fits("llama-factory", "v1, converter: pair", Path(pair["cooking"]["path"]).name)
    (ranking,) = map(json.loads, blocks("LLaMA-Factory", "json"))
    own = ranking["cooking"]
    assert (own["formatting"], own["ranking"]) == ("alpaca", True)
    form = Path(own["hf_hub_url"]).name
    assert set(own["columns"].values()) <= set(FORMATS[form].schema.names)
    assert fits("llama-factory", "alpaca, ranking", form)


def test_axolotl_gets_data_sets_that_it_keeps() -> None:
    pairs, reward = map(yaml.safe_load, blocks("axolotl", "yaml"))
    assert (pairs["rl"], pairs["datasets"][0]["type"]) == ("dpo", "chat_template.argilla_chat")
    assert fits("axolotl", pairs["datasets"][0]["type"], Path(pairs["datasets"][0]["path"]).name)
    assert fits("axolotl", "orpo.chat_template", "chat-pairs")
    assert reward["reward_model"] is True
    assert reward["datasets"][0]["type"] == "bradley_terry.chat_template"


def test_the_texts_for_axolotl_s_reward_model_are_those_that_it_reads(cooking: Path) -> None:
    from datasets import Dataset, load_dataset

    (block,) = blocks("axolotl", "python")
    exec(block, {})
    _, reward = map(yaml.safe_load, blocks("axolotl", "yaml"))
    made = Dataset.from_parquet(reward["datasets"][0]["path"])
    rows = load_dataset(str(cooking), "chat-pairs", split="train")
    assert len(made) == len(rows) > 0
    for text, row in zip(made, rows, strict=True):
        seen = axolotl_bradley_terry(text)
        assert (seen.chosen, seen.rejected) == (row["chosen"], row["rejected"])


def test_openrlhf_gets_the_format_that_it_keeps() -> None:
    (block,) = blocks("OpenRLHF", "sh")
    words = shlex.split(block.replace("\\\n", " "))
    assert words[:3] == ["python", "-m", "openrlhf.cli.train_rm"]
    assert "--data.apply_chat_template" in words
    assert "--data.prompt_key" not in words
    assert fits("openrlhf", "apply_chat_template", *formats_named(block))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_torch_reads_batches_of_a_stream(cooking: Path) -> None:
    pytest.importorskip("torch", reason="the extra `train` is not installed: no torch")
    (block,) = blocks("Torch", "python")
    left: dict[str, Any] = {}
    exec(block, left)
    assert left["questions"]
    assert left["better"] != left["worse"]
