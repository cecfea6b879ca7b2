"""What the loaders of training tools keep of an export: the tools' own code, run on its rows.

    python -m venv /tmp/venv-rb                      # one environment for each tool; the versions exclude each other
    /tmp/venv-rb/bin/pip install rewardbench==0.1.4
    /tmp/venv-rb/bin/python benchmarks/loaders.py OUT rewardbench loaded.json
    uv run shp-miner check OUT --for rewardbench --json > checked.json
    python benchmarks/loaders.py --compare checked.json loaded.json

OUT is an export of several formats with one split (`--validation 0 --test 0`), because the tools read one split. The
script imports nothing of shp-miner, so that it runs beside any version of a tool. Nothing is downloaded: tokenizer and
model are made on the spot. Every result has the rows that the tool trains on, and those with the whole question in
both sides. docs/checking.md has the results.
"""

# ruff: noqa: PLC0415 - each tool is imported where it is installed

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", WANDB_MODE="disabled", DO_NOT_TRACK="1")

FORMATS = ("trl", "chat-pairs", "trl-text")

#: Long enough that no row of a test is cut or dropped for its length.
LONG = 1_000_000

TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>\n{{ message.content }}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>\n{% endif %}"
)

#: Both sides of a row as the tool trains on them.
Sides = Iterator[tuple[str, str]]


def tokenizer(folder: Path) -> Any:
    """Return a byte-level tokenizer with a chat template that loses no character."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    names = {"pad_token": "<pad>", "eos_token": "<end>", "bos_token": "<begin>"}
    inner = ByteLevelBPETokenizer()
    inner.train_from_iterator(["how do I"], vocab_size=300, special_tokens=list(names.values()), show_progress=False)
    made = PreTrainedTokenizerFast(tokenizer_object=inner._tokenizer, model_max_length=LONG, **names)
    made.chat_template = TEMPLATE
    made.save_pretrained(folder)
    return made


def _without(library: str) -> None:
    """Let a module be imported that wants a library which no text needs."""
    if importlib.util.find_spec(library) is None:
        module = ModuleType(library)
        module.__spec__ = importlib.machinery.ModuleSpec(library, None)
        sys.modules[library] = module


def rows_of(out: Path) -> Any:
    """Return the rows of an export of one format."""
    from datasets import load_dataset

    return load_dataset(str(out), split="train")


def decoded(tok: Any, rows: Any, *columns: str) -> Sides:
    """Yield the texts of two columns of tokens."""
    for row in rows:
        first, second = (tok.decode(row[column]) for column in columns)
        yield first, second


# -- the tools --------------------------------------------------------------------------------------------------------


def rewardbench(out: Path, work: Path) -> Sides:
    """`rewardbench --dataset OUT`: its function load_and_process_dataset."""
    from rewardbench.utils import load_and_process_dataset

    for row in load_and_process_dataset(str(out), split="train", tokenizer=tokenizer(work)):
        yield row["text_chosen"], row["text_rejected"]


def llama_factory_pair(out: Path, work: Path) -> Sides:
    """LLaMA-Factory v1 with `converter: pair`: its DataEngine."""
    from llamafactory.v1.core.data_engine import DataEngine

    (work / "data.yaml").write_text(json.dumps({"pairs": {"path": str(out), "converter": "pair"}}))
    engine = DataEngine(str(work / "data.yaml"))
    for number in range(len(engine)):
        row = engine[number]
        yield tuple(
            "\n".join(part["value"] for message in row[side][:-1] for part in message["content"]) + " " + str(row[side])
            for side in ("chosen_messages", "rejected_messages")
        )  # type: ignore[misc]


def llama_factory(formatting: str) -> Callable[[Path, Path], Sides]:
    """LLaMA-Factory's ranking data sets in one formatting: its function get_dataset, stage rm."""

    def loaded(out: Path, work: Path) -> Sides:
        _without("torchaudio")
        from llamafactory.data import get_dataset
        from llamafactory.data.template import get_template_and_fix_tokenizer
        from llamafactory.hparams import DataArguments, ModelArguments

        names = rows_of(out).column_names
        columns = {"chosen": "chosen", "rejected": "rejected"}
        if formatting == "alpaca":
            columns |= {"prompt": "prompt"} if "prompt" in names else {}
            info: dict[str, Any] = {"columns": columns}
        else:
            tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
            info = {"columns": columns | {"messages": "prompt" if "prompt" in names else "chosen"}, "tags": tags}
        info |= {"hf_hub_url": str(out), "ranking": True, "formatting": formatting}
        (work / "dataset_info.json").write_text(json.dumps({"pairs": info}))
        data = DataArguments(
            template="default", dataset="pairs", dataset_dir=str(work), cutoff_len=LONG, overwrite_cache=True
        )
        tok = tokenizer(work)
        training = SimpleNamespace(
            should_log=True, seed=0, local_process_index=0, predict_with_generate=False, dataloader_num_workers=0,
            main_process_first=lambda **_: nullcontext(),
        )  # fmt: skip
        template = get_template_and_fix_tokenizer(tok, data)
        model = ModelArguments(model_name_or_path=str(work))
        found = get_dataset(template, model, data, training, stage="rm", tokenizer=tok)["train_dataset"]
        yield from decoded(tok, found, "chosen_input_ids", "rejected_input_ids")

    return loaded


def trl_reward(out: Path, work: Path) -> Sides:
    """TRL's RewardTrainer: the rows that it trains on."""
    yield from _trl("Reward", out, work)


def trl_dpo(out: Path, work: Path) -> Sides:
    """TRL's DPOTrainer: the rows that it trains on."""
    yield from _trl("DPO", out, work)


def _trl(kind: str, out: Path, work: Path) -> Sides:
    import transformers
    import trl

    tok = tokenizer(work)
    shape = transformers.LlamaConfig(
        vocab_size=len(tok), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        pad_token_id=tok.pad_token_id,
    )  # fmt: skip
    transformers.LlamaForCausalLM(shape).save_pretrained(work)
    settings = getattr(trl, f"{kind}Config")(
        output_dir=str(work / "out"), max_length=None, report_to="none", use_cpu=True, bf16=False
    )
    trainer = getattr(trl, f"{kind}Trainer")(
        model=str(work), args=settings, train_dataset=rows_of(out), processing_class=tok
    )
    for row in trainer.train_dataset:
        before = row.get("prompt_ids", [])
        yield tok.decode(before + row["chosen_ids"]), tok.decode(before + row["rejected_ids"])


def axolotl(strategy: str, **settings: str) -> Callable[[Path, Path], Sides]:
    """Axolotl's strategies of DPO: the function that transforms a row."""

    def loaded(out: Path, work: Path) -> Sides:
        from axolotl.prompt_strategies.dpo import chat_template
        from axolotl.utils.dict import DictDefault

        own = {"path": str(out), "type": f"chat_template.{strategy}", **settings}
        config = DictDefault({"datasets": [own], "chat_template": "tokenizer_default"})
        transform, _ = getattr(chat_template, strategy)(config)
        tok = tokenizer(work)
        for row in rows_of(out):
            made = transform(row, tokenizer=tok)
            yield made["prompt"] + made["chosen"], made["prompt"] + made["rejected"]

    return loaded


def axolotl_orpo(out: Path, work: Path) -> Sides:  # noqa: ARG001
    """Axolotl's strategy of ORPO: the conversations that it parses out of a row."""
    from axolotl.prompt_strategies.orpo.chat_template import ORPODatasetParsingStrategy

    parser = ORPODatasetParsingStrategy()
    for row in rows_of(out):
        sides = parser.get_chosen_conversation_thread(row), parser.get_rejected_conversation_thread(row)
        first, second = ("\n".join(message.content for message in side.messages) for side in sides)
        yield first, second


def axolotl_bradley_terry(out: Path, work: Path) -> Sides:
    """Axolotl's strategy of reward models: the tokens of a row."""
    from axolotl.prompt_strategies.bradley_terry import load
    from axolotl.utils.dict import DictDefault

    tok = tokenizer(work)
    config = DictDefault({"sequence_len": LONG, "reward_model": True, "chat_template": "tokenizer_default"})
    strategy = load("chat_template", tok, config, {"type": "bradley_terry.chat_template"})
    for row in rows_of(out):
        made = strategy._tokenize_single_prompt(row)
        yield tok.decode(made["chosen_ids"]), tok.decode(made["rejected_ids"])


def openrlhf(*, prompt_key: str | None, template: bool) -> Callable[[Path, Path], Sides]:
    """OpenRLHF's RewardDataset."""

    def loaded(out: Path, work: Path) -> Sides:
        from openrlhf.datasets.reward_dataset import RewardDataset

        tok = tokenizer(work)
        own = SimpleNamespace(
            prompt_key=prompt_key, chosen_key="chosen", rejected_key="rejected", apply_chat_template=template
        )
        made = RewardDataset(rows_of(out), tok, LONG, SimpleNamespace(args=SimpleNamespace(data=own)), num_processors=1)
        for number in range(len(made)):
            first, _, second, *_ = made[number]
            yield tok.decode(first[0]), tok.decode(second[0])

    return loaded


TOOLS: dict[str, tuple[str, dict[str, Callable[[Path, Path], Sides]]]] = {
    "trl": ("trl", {"RewardTrainer": trl_reward, "DPOTrainer": trl_dpo}),
    "rewardbench": ("rewardbench", {"--dataset": rewardbench}),
    "llama-factory": (
        "llamafactory",
        {
            "v1, converter: pair": llama_factory_pair,
            "sharegpt, ranking": llama_factory("sharegpt"),
            "openai, ranking": llama_factory("openai"),
            "alpaca, ranking": llama_factory("alpaca"),
        },
    ),
    "axolotl": (
        "axolotl",
        {
            "bradley_terry.chat_template": axolotl_bradley_terry,
            "chat_template.argilla_chat": axolotl("argilla_chat"),
            "chat_template.default": axolotl("default", field_messages="prompt"),
            "orpo.chat_template": axolotl_orpo,
        },
    ),
    "openrlhf": (
        "openrlhf",
        {
            "apply_chat_template": openrlhf(prompt_key=None, template=True),
            "apply_chat_template, prompt_key": openrlhf(prompt_key="prompt", template=True),
            "prompt_key": openrlhf(prompt_key="prompt", template=False),
        },
    ),
}


# -- results ----------------------------------------------------------------------------------------------------------


def questions(out: Path) -> list[str]:
    """Return the question of each row of an export of one format."""
    rows = rows_of(out)
    if "prompt" not in rows.column_names:
        return [row[0]["content"] for row in rows["chosen"]]
    return [value if isinstance(value, str) else value[0]["content"] for value in rows["prompt"]]


def result(name: str, load: Callable[[Path, Path], Sides], out: Path) -> dict[str, Any]:
    """Run a loader on an export of one format; count its rows, and those with the question in both sides."""
    asked = questions(out)
    found: dict[str, Any] = {"setting": name, "format": out.name, "rows": len(asked), "kept": 0, "with_question": 0}
    try:
        with tempfile.TemporaryDirectory() as work:
            kept = list(load(out, Path(work)))
    except Exception as error:  # noqa: BLE001 - whatever the tool raises is its answer
        lines = str(error).strip().splitlines() or [""]
        return found | {"stops": f"{type(error).__name__}: {lines[-1]:.120}"}
    # Loaders keep the order; where rows are missing, a question may be that of any row.
    every = len(kept) == len(asked)
    whole = sum(
        all((question in side) if every else any(one in side for one in asked) for side in sides)
        for sides, question in zip(kept, asked if every else [""] * len(kept), strict=True)
    )
    return found | {"kept": len(kept), "with_question": whole}


def compare(checked: Path, *loaded: Path) -> int:
    """Print both figures of every setting and format; return 1 if any differs."""
    said = {
        (tool["tool"], tool["setting"], form["format"]): tool
        for form in json.loads(checked.read_text())["formats"]
        for tool in form["tools"]
    }
    differs = 0
    print("| format | tool | setting | loaded | with the question | `check --for` says |")
    print("|---|---|---|---:|---:|---|")
    for path in loaded:
        data = json.loads(path.read_text())
        for found in data["results"]:
            told = said[data["tool"], found["setting"], found["format"]]
            same = (told["kept"], told["with_question"]) == (found["kept"], found["with_question"])
            differs += not same
            says = f"{told['kept']:,}, {told['with_question']:,}{'' if same else ' (differs)'}"
            rows = f"{found['kept']:,} of {found['rows']:,}"
            cells = (f"`{found['format']}`", f"{data['tool']} {data['version']}", found["setting"], rows)
            print(f"| {' | '.join(cells)} | {found['with_question']:,} | {says} |")
    return int(differs > 0)


def main() -> int:
    """Run the loaders of a tool on an export, or compare results."""
    if sys.argv[1] == "--compare":
        return compare(*map(Path, sys.argv[2:]))
    out, tool = Path(sys.argv[1]).absolute(), sys.argv[2]
    package, settings = TOOLS[tool]
    results = []
    for name, load in settings.items():
        for form in FORMATS:
            if (out / form).is_dir():
                results.append(result(name, load, out / form))
                print(json.dumps(results[-1]), file=sys.stderr)
    versions = {part: importlib.metadata.version(part) for part in ("datasets", "transformers", "torch")}
    found = {"tool": tool, "version": importlib.metadata.version(package), "versions": versions, "results": results}
    Path(sys.argv[3]).write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
