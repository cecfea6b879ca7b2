"""The dataset card: made of an export's manifest and one of its rows, so the same export has the same card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shp_miner.export.card_making import cleaned, communities, languages, left_out, lengths, parameters, screened, sites
from shp_miner.export.card_worth import TERMS, worth
from shp_miner.export.compact import PAIRS, part_name, row_files
from shp_miner.export.described import column_rows
from shp_miner.export.example import Example
from shp_miner.export.facts import written_between
from shp_miner.export.formats import Format
from shp_miner.export.front import front_matter, languages_for_hub, licensing, tasks_of, title_of
from shp_miner.export.margins import form_of_manifest
from shp_miner.export.markdown import code, percent, plain, quoted, table
from shp_miner.export.shards import ALL
from shp_miner.export.snippets import snippets_of
from shp_miner.rules.hashing import SPLITS
from shp_miner.rules.presets import rule_summary
from shp_miner.rules.written import rule_of_manifest

#: What is written between these lines is written anew with each export; a push keeps what stands outside of them.
BEGIN, END = "<!-- shp-miner:begin -->", "<!-- shp-miner:end -->"

Manifest = Mapping[str, Any]


def card_text(manifest: Manifest, example: Example | None = None) -> str:
    """Return the card of an export of one format. Its configurations list exactly the files of the manifest.

    An empty split is not listed. `example` is the row to quote.
    """
    form, rule = form_of_manifest(manifest), rule_of_manifest(manifest)
    facts, compact = manifest.get("facts", {}), is_compact(manifest)
    made = parameters(rule), cleaned(manifest), left_out(manifest)
    parts = [
        f"# Preferences mined from forums: rule {code(rule.name)}, format `{form.name}`",
        loading_line(_splits(manifest), compact=compact),
        "## At a glance\n\n" + glance(manifest, form),
        *_example(example),
        "## Columns\n\n"
        + table(
            ("column", "type", "what it is"), [(f"`{name}`", kind, told) for name, kind, told in column_rows(form)]
        ),
        "## Length of rows\n\n" + lengths(facts),
        "## Where it comes from\n\n" + sites(facts) + "\n\n" + communities(row_files(manifest["files"])),
        "## What a label is worth\n\n" + worth(rule, facts),
        "## How it was made\n\n" + "\n\n".join(filter(None, made)),
        "## Training\n\n" + training(form, compact=compact),
        "## Attribution, terms and removal\n\n" + terms(form, manifest),
        "## Evaluation sets\n\n" + screened(manifest),
    ]
    return _front_matter(manifest, form) + "\n\n" + marked(parts)


def marked(parts: Sequence[str]) -> str:
    """Return the generated body of a card, between its marks."""
    return "\n\n".join([BEGIN, *parts, END]) + "\n"


def is_compact(manifest: Manifest) -> bool:
    """Return whether an export has the compact layout."""
    return bool(manifest["configuration"].get("layout") == "compact")


def loading_line(splits: Sequence[str], config: str = "", *, compact: bool = False) -> str:
    """Return the code that loads an export, with the first of its splits."""
    if compact:
        choice = f", format={json.dumps(config)}" if config else ""
        return (
            f'```python\nimport shp_miner\n\ndataset = shp_miner.load("PATH", split="{splits[0]}"{choice})\n```\n\n'
            "PATH is this folder. Each text is written once: `pairs/` has the numbers of its rows in `posts/` and "
            "`answers/` (`post_row`, `answer1_row`, `answer2_row`, from 0, by community and split), and `load` joins "
            "them. `datasets` loads the tables one by one."
        )
    arguments = ['"PATH"', *([json.dumps(config, ensure_ascii=False)] if config else []), f'split="{splits[0]}"']
    return (
        "```python\nfrom datasets import load_dataset\n\n"
        f"dataset = load_dataset({', '.join(arguments)})\n```\n\n"
        "PATH is this folder, or the name of its repository on the Hub."
    )


def glance(manifest: Manifest, form: Format) -> str:
    """Return a table of the facts that a reader asks first."""
    rule, facts, rows = rule_of_manifest(manifest), manifest.get("facts", {}), manifest["rows"]
    by_split = ", ".join(f"{split} {rows[split]:,}" for split in SPLITS if split in rows)
    known = facts.get("sites", {})
    told = [("rows", f"{sum(rows.values()):,} ({by_split})")]
    if known:
        told += [
            ("threads", f"{sum(of['threads'] for of in known.values()):,}"),
            ("sites", ", ".join(map(plain, list(known)[:5])) + (f" and {len(known) - 5:,} more" * (len(known) > 5))),
            ("answers written", written_between(known.values())),
        ]
    if facts.get("undated"):
        told.append(("answers without a time", f"{facts['undated']:,}; their times in the rows are null"))
    told += [
        ("languages", languages(facts)),
        ("format", f"`{form.name}`, for {plain(form.purpose)}"),
        ("rule", f"{code(rule.name)}: {plain(rule_summary(rule))}."),
    ]
    for key, words in (("longer_wins", "the longer answer wins"), ("earlier_wins", "the earlier answer wins")):
        won, pairs = facts.get(key, (0, 0))
        if pairs:
            told.append((words, f"{percent(won, pairs)} of {pairs:,} pairs"))
    return table(("", ""), told)


def training(form: Format, *, compact: bool = False) -> str:
    """Return the lines with which each trainer reads the format."""
    if compact:
        return (
            "Trainers read the joined rows: pass `shp_miner.load` to those that take a `datasets.Dataset`, and write "
            "the rows with `load(...).to_parquet(FILE)` for others."
        )
    return "\n\n".join(f"{one.title}:\n\n```{one.language}\n{one.lines}\n```" for one in snippets_of(form.name))


def terms(form: Format, manifest: Mapping[str, Any]) -> str:
    """Return who is to be named, under which terms the texts are, and how somebody gets a text out."""
    facts = manifest.get("facts", {})
    authors = (manifest["configuration"].get("clean") or {}).get("authors", "keep")
    if authors != "keep":
        how = "are hashes under a key that is not here" if authors == "hash" else "were left out"
        named = f"The names of authors and of people that texts mention {how}; the page of each post names its authors."
    elif "author_post" in form.schema.names:
        named = "`url` links the page of each row, `author_post` and the authors of the answers are in the row."
    else:
        named = "Rows of this format do not name their authors. An export in the format `pairs` does."
    licenses = [name for name in facts.get("licenses", ()) if name]
    held = [f"Licences of the texts: {', '.join(map(plain, licenses))}."] if licenses else []
    of_platforms = [TERMS[platform] for platform in facts.get("platforms", ()) if platform in TERMS]
    removal = (
        "To have a text removed, write to the publisher of this data set (on the Hub: in its community tab) and link "
        "the post or answer. `shp-miner forget` takes it out of the store and of every export; then the publisher "
        "uploads the new files."
    )
    unknown = "The content belongs to those who wrote it; ask the forum for its terms."
    return "\n\n".join([named, *held, *(of_platforms or [unknown]), removal])


def _example(example: Example | None) -> list[str]:
    if example is None:
        return []
    texts = [
        f"**{plain(column)}**{' (preferred)' if preferred else ''}\n\n{quoted(text)}"
        for column, text, preferred in example.texts
    ]
    source = [f"From {code(example.url)}, which names the authors."] if example.url else []
    return ["## A row\n\n" + "\n\n".join([*texts, *source])]


def _splits(manifest: Manifest) -> list[str]:
    return [split for split in SPLITS if split in manifest["rows"]]


def _front_matter(manifest: Manifest, form: Format) -> str:
    first = PAIRS if is_compact(manifest) else ALL
    configs: dict[str, dict[str, list[str]]] = {first: {}}
    rows: dict[str, int] = {}
    for file in manifest["files"]:
        for name in (file["part"],) if "part" in file else (ALL, file["config"]):
            configs.setdefault(name, {}).setdefault(file["split"], []).append(file["path"])
        rows[file["community"]] = rows.get(file["community"], 0) + file["rows"] * (part_name(file) == PAIRS)
    largest = sorted(rows, key=lambda name: (-rows[name], name))
    title = title_of(largest, rule_of_manifest(manifest).name, [form.name])
    facts = manifest.get("facts", {})
    about = title, tasks_of(form), licensing(facts), languages_for_hub(facts)
    content = "".join(file["sha256"] for file in manifest["files"])
    return front_matter(configs, first, sum(manifest["rows"].values()), about, content)
