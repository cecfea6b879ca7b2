"""How each trainer reads a format: a few lines for the card. PATH is the export's folder or its repository."""

from __future__ import annotations

from typing import NamedTuple


class Snippet(NamedTuple):
    """What to write for a trainer: a title for people, the language of the lines, and the lines.

    `tool` and `setting` are those of the check's table of tools, where a test looks whether the tool keeps the rows;
    both are empty for lines that no tool of the table reads.
    """

    title: str
    language: str
    lines: str
    tool: str = ""
    setting: str = ""


_LOAD = 'from datasets import load_dataset\n\ntrain = load_dataset("PATH", split="train")\n'


def _trl(name: str, *lines: str, setting: str = "") -> Snippet:
    load = _LOAD.replace("\n\n", f"\nfrom trl import {name}Config, {name}Trainer\n\n", 1)
    return Snippet(f"TRL, {name}Trainer", "python", load + "\n".join(lines), "trl" if setting else "", setting)


_REWARD = _trl(
    "Reward",
    'config = RewardConfig("model", max_length=2048)  # rows with more tokens are dropped without a word',
    'RewardTrainer("Qwen/Qwen3-0.6B", args=config, train_dataset=train).train()',
    setting="RewardTrainer",
)
_DPO = _trl(
    "DPO",
    'config = DPOConfig("model", max_length=2048)',
    'DPOTrainer("Qwen/Qwen3-0.6B", args=config, train_dataset=train).train()',
    setting="DPOTrainer",
)
_KTO = _trl(
    "KTO",
    "train = train.shuffle(seed=0)  # answers of one thread are neighbours",
    'KTOTrainer("Qwen/Qwen3-0.6B", args=KTOConfig("model"), train_dataset=train).train()',
    setting="KTOTrainer",
)
_SFT = _trl("SFT", 'SFTTrainer("Qwen/Qwen3-0.6B", args=SFTConfig("model"), train_dataset=train).train()')

_AS_TRL = """
def as_pair(row):
    better, other = ({better}, {other})
    return {{"prompt": row["{question}"] + "\\n\\nAnswer:\\n", "chosen": better, "rejected": other}}


train = train.map(as_pair, remove_columns=train.column_names)
train = train.filter(lambda row: row["chosen"] != row["rejected"])"""

_PAIRS = Snippet(
    "Any trainer of pairs, as prompt, chosen and rejected",
    "python",
    _LOAD
    + _AS_TRL.format(
        better="row[f\"answer{row['preferred']}\"]", other="row[f\"answer{3 - row['preferred']}\"]", question="question"
    ),
)
_SHP = Snippet(
    "Any trainer of pairs, as prompt, chosen and rejected",
    "python",
    _LOAD
    + _AS_TRL.format(
        better="row['human_ref_A' if row['labels'] else 'human_ref_B']",
        other="row['human_ref_B' if row['labels'] else 'human_ref_A']",
        question="history",
    ),
)

_REWARDBENCH = Snippet(
    "rewardbench",
    "sh",
    "rewardbench --model MODEL --dataset PATH --split test --max_length 2048 --force_truncation",
    "rewardbench",
    "--dataset",
)


def _openrlhf(setting: str, *options: str) -> Snippet:
    command = [
        "python -m openrlhf.cli.train_rm --model.model_name_or_path MODEL --data.dataset PATH --data.max_len 2048",
        "--data.chosen_key chosen --data.rejected_key rejected",
    ]
    return Snippet("OpenRLHF", "sh", " \\\n    ".join([*command, *options]), "openrlhf", setting)


def _factory(setting: str, language: str, lines: str) -> Snippet:
    file = "data/dataset_info.json" if language == "json" else "a file for `train_dataset`"
    return Snippet(f"LLaMA-Factory, {file}", language, lines, "llama-factory", setting)


def _axolotl(setting: str, *lines: str) -> Snippet:
    config = ["rl: dpo", "datasets:", "- path: PATH", "  split: train", f"  type: {setting}", *lines]
    return Snippet("axolotl", "yaml", "\n".join(config), "axolotl", setting)


_TORCH = Snippet("PyTorch", "python", _LOAD + 'for row in train.to_iterable_dataset().with_format("torch"):\n    break')

#: The trainers that read each format as it is.
SNIPPETS: dict[str, tuple[Snippet, ...]] = {
    "pairs": (_PAIRS,),
    "shp": (_SHP,),
    "trl": (
        _REWARD,
        _DPO,
        _axolotl("chat_template.default", "  field_messages: prompt"),
        _openrlhf("apply_chat_template, prompt_key", "--data.prompt_key prompt --data.apply_chat_template"),
    ),
    "trl-text": (
        _REWARD,
        _DPO,
        _factory(
            "alpaca, ranking",
            "json",
            '{"preferences": {"hf_hub_url": "PATH", "formatting": "alpaca", "ranking": true,\n'
            ' "columns": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}}}',
        ),
        _openrlhf("prompt_key", "--data.prompt_key prompt"),
    ),
    "chat-pairs": (
        _REWARD,
        _DPO,
        _REWARDBENCH,
        _factory("v1, converter: pair", "yaml", "preferences:\n  path: PATH\n  split: train\n  converter: pair"),
        _axolotl("chat_template.argilla_chat"),
        _openrlhf("apply_chat_template", "--data.apply_chat_template"),
    ),
    "kto": (
        _KTO,
        _factory(
            "alpaca, kto_tag",
            "json",
            '{"preferences": {"hf_hub_url": "PATH", "formatting": "alpaca",\n'
            ' "columns": {"prompt": "prompt", "response": "completion", "kto_tag": "label"}}}',
        ),
    ),
    "sft": (_SFT,),
}


def snippets_of(form: str) -> tuple[Snippet, ...]:
    """Return the snippets of a format; where no trainer reads it as it is, the loop over its rows."""
    return SNIPPETS.get(form, (_TORCH,))
