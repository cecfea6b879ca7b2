"""How each trainer reads a format: a few lines for the card. PATH is the export's folder or its repository."""

from __future__ import annotations

_LOAD = 'from datasets import load_dataset\n\ntrain = load_dataset("PATH", split="train")\n'


def _trl(name: str, *lines: str) -> tuple[str, str, str]:
    code = [f"from trl import {name}Config, {name}Trainer", ""]
    return (f"TRL, {name}Trainer", "python", _LOAD.replace("\n\n", "\n" + "\n".join(code), 1) + "\n".join(lines))


_REWARD = _trl(
    "Reward",
    'config = RewardConfig("model", max_length=2048)  # rows with more tokens are dropped without a word',
    'RewardTrainer("Qwen/Qwen3-0.6B", args=config, train_dataset=train).train()',
)
_DPO = _trl(
    "DPO",
    'config = DPOConfig("model", max_length=2048)',
    'DPOTrainer("Qwen/Qwen3-0.6B", args=config, train_dataset=train).train()',
)
_KTO = _trl(
    "KTO",
    "train = train.shuffle(seed=0)  # answers of one thread are neighbours",
    'KTOTrainer("Qwen/Qwen3-0.6B", args=KTOConfig("model"), train_dataset=train).train()',
)
_SFT = _trl("SFT", 'SFTTrainer("Qwen/Qwen3-0.6B", args=SFTConfig("model"), train_dataset=train).train()')

_AS_TRL = """
def as_pair(row):
    better, other = ({better}, {other})
    return {{"prompt": row["{question}"] + "\\n\\nAnswer:\\n", "chosen": better, "rejected": other}}


train = train.map(as_pair, remove_columns=train.column_names)
train = train.filter(lambda row: row["chosen"] != row["rejected"])"""

_PAIRS = (
    "Any trainer of pairs, as prompt, chosen and rejected",
    "python",
    _LOAD
    + _AS_TRL.format(
        better="row[f\"answer{row['preferred']}\"]", other="row[f\"answer{3 - row['preferred']}\"]", question="question"
    ),
)
_SHP = (
    "Any trainer of pairs, as prompt, chosen and rejected",
    "python",
    _LOAD
    + _AS_TRL.format(
        better="row['human_ref_A' if row['labels'] else 'human_ref_B']",
        other="row['human_ref_B' if row['labels'] else 'human_ref_A']",
        question="history",
    ),
)

_OPENRLHF = (
    "OpenRLHF",
    "sh",
    "python -m openrlhf.cli.train_rm --dataset PATH --chosen_key chosen --rejected_key rejected --apply_chat_template",
)
_AXOLOTL = (
    "axolotl",
    "yaml",
    "rl: orpo\ndatasets:\n- path: PATH\n  type: chat_template.argilla_chat",
)
_TORCH = ("PyTorch", "python", _LOAD + 'for row in train.to_iterable_dataset().with_format("torch"):\n    break')

#: Title, language and lines of each trainer that reads a format.
SNIPPETS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "pairs": (_PAIRS,),
    "shp": (_SHP,),
    "trl": (_REWARD, _DPO),
    "trl-text": (_REWARD, _DPO),
    "chat-pairs": (_REWARD, _DPO, _OPENRLHF, _AXOLOTL),
    "kto": (_KTO,),
    "sft": (_SFT,),
}


def snippets_of(form: str) -> tuple[tuple[str, str, str], ...]:
    """Return the snippets of a format; where no trainer reads it as it is, the loop over its rows."""
    return SNIPPETS.get(form, (_TORCH,))
