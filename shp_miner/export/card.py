"""The dataset card: YAML for `datasets`, generated from the written files, and text for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from shp_miner.export.formats import FORMATS
from shp_miner.export.shards import ALL, Shard
from shp_miner.rules.hashing import SPLITS
from shp_miner.rules.presets import Rule, rule_summary

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10**7, "1M<n<10M"))

_WORTH = """\
Votes follow attention as much as quality: what is seen more is voted on more, people follow the score they see, and
longer answers look better. A label here says which answer people voted up more under the rule below; it is no judgement
of truth, safety or helpfulness. A score ratio is not a significance test: 4 votes against 2 happen by chance one time
in three. `confidence` is the probability, by a model of how much attention an answer's rank and age bring, that the
preferred answer is the better one for those who vote; it knows nothing of herding or of the taste for long answers.
`tier` is `strict` for pairs of SHP's own kind with a confidence of 0.8 or more, else `extended`."""

#: Communities with another name as configurations that the card lists.
_RENAMED_SHOWN = 100

_LEFT_OUT = ("| what | reason | count |", "|---|---|---:|")

_CONFOUNDED = """\
**The labels of this rule are known to be confounded by attention.** Use it to compare rules, not to train."""

_TERMS = {
    "reddit": """\
Reddit's policy: content that was deleted on Reddit must be removed from copies, and training on Reddit content needs
Reddit's agreement. Having a copy gives you no right to either.""",
    "stackexchange": """\
Stack Exchange content is licensed CC BY-SA (2.5, 3.0 or 4.0 by date): name the site, link the question, and name and
link the authors. The agreement under which its dump has been offered since 2024 excludes training language models.""",
}


def card_text(
    manifest: dict[str, Any], shards: Sequence[Shard], platforms: Sequence[str], licenses: Sequence[str]
) -> str:
    """Return the card's text. Its configurations list exactly the written files; an empty split is not listed."""
    rule = manifest["configuration"]["rule"]
    form = FORMATS[manifest["format"]]
    terms = [_TERMS[platform] for platform in platforms if platform in _TERMS]
    parts = [
        _front_matter(shards, sum(manifest["rows"].values()), licenses),
        f"# Preferences mined from forums: rule `{rule['name']}`, format `{form.name}`",
        f"For {form.purpose}. Rule: {rule_summary(msgspec.convert(rule, Rule))}.",
        _numbers(shards),
        "## What a label is worth\n\n" + "\n\n".join([*([_CONFOUNDED] if rule["confounded"] else []), _WORTH]),
        "## How it was made\n\n" + _making(manifest),
        "## Terms\n\n"
        + "\n\n".join(terms or ["The content belongs to those who wrote it; ask the forum for its terms."]),
        "```python\nfrom datasets import load_dataset\n\n"
        'dataset = load_dataset("PATH")             # every community\n'
        f'dataset = load_dataset("PATH", {json.dumps(shards[0].config, ensure_ascii=False)})\n```',
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(shards: Sequence[Shard], rows: int, licenses: Sequence[str]) -> str:
    configs: dict[str, dict[str, list[str]]] = {ALL: {}}
    for shard in shards:
        for name in (ALL, shard.config):
            configs.setdefault(name, {}).setdefault(shard.split, []).append(shard.path)
    license_name = licenses[0].lower().replace(" ", "-") if len(licenses) == 1 else ""
    content = "".join(shard.sha256 for shard in shards)
    return front_matter(configs, ALL, rows, license_name if license_name.startswith("cc-") else "other", content)


def front_matter(
    configs: Mapping[str, Mapping[str, Sequence[str]]], default: str, rows: int, license_name: str, content: str
) -> str:
    """Return the YAML of a card: the files of each configuration and split. `content` changes when a file changes."""
    size = next((name for limit, name in _SIZES if rows < limit), "n>10M")
    lines = ["---", "tags:", "- preferences", "- reward-model", "- shp-miner", "size_categories:", f"- {size}"]
    lines += [f"license: {license_name}", "configs:"]
    # `datasets` caches rows under a key made of these lines, not of the files. Without the digest it would keep
    # returning rows of an earlier export in the same folder, forgotten ones too.
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    for name, splits in configs.items():
        lines.append(f"- config_name: {json.dumps(name, ensure_ascii=False)}")
        lines.append(f'  description: "content {digest}"')
        if name == default:
            lines.append("  default: true")
        lines.append("  data_files:")
        for split in SPLITS:
            if split in splits:
                lines += [f"  - split: {split}", "    path:"]
                lines += [f"    - {json.dumps(path)}" for path in splits[split]]
    return "\n".join([*lines, "---"])


def _numbers(shards: Sequence[Shard]) -> str:
    rows: dict[str, dict[str, int]] = {}
    for shard in shards:
        row = rows.setdefault(shard.community, dict.fromkeys(SPLITS, 0))
        row[shard.split] += shard.rows
    shown = sorted(rows, key=lambda name: (-sum(rows[name].values()), name))[:100]
    lines = ["| community | " + " | ".join(SPLITS) + " |", "|---|" + "---:|" * len(SPLITS)]
    lines += [f"| {_plain(name)} | " + " | ".join(f"{rows[name][s]:,}" for s in SPLITS) + " |" for name in shown]
    if len(rows) > len(shown):
        lines.append(f"| and {len(rows) - len(shown):,} more (see manifest.json) | | | |")
    renamed = {shard.community: shard.config for shard in shards if shard.config != shard.community}
    if renamed:
        lines += [
            "",
            "Names that `datasets` does not take, or that mean something else there, and their configurations:",
            "",
        ]
        lines += [f"- {_plain(name)}: `{config}`" for name, config in sorted(renamed.items())[:_RENAMED_SHOWN]]
        if len(renamed) > _RENAMED_SHOWN:
            lines.append(f"- and {len(renamed) - _RENAMED_SHOWN:,} more (see manifest.json)")
    return "\n".join(lines)


def _plain(name: str) -> str:
    return name.replace("|", "\\|").replace("\n", " ")


def _making(manifest: dict[str, Any]) -> str:
    changed = {key: value for key, value in manifest["configuration"]["rule"].items() if value is not None}
    parameters = ", ".join(f"`{key}` {value}" for key, value in changed.items() if key not in ("name", "confounded"))
    dropped = manifest["counts"]["dropped"]
    lines = [
        f"Parameters: {parameters}.",
        "",
        "Left out, by reason:",
        "",
        "| what | reason | count |",
        "|---|---|---:|",
    ]
    lines += [f"| {kind} | {reason} | {n:,} |" for kind, reasons in dropped.items() for reason, n in reasons.items()]
    lines += [
        "",
        "Sides and splits follow a hash of the ids: a thread keeps its split and a pair its sides as data grow.",
        f"Made with shp-miner {manifest['versions']['shp-miner']}. `manifest.json` has all settings and file hashes.",
    ]
    return "\n".join(lines)
