"""The YAML of a card: what `datasets` loads and what the Hub shows, sorts and searches by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from shp_miner.export.formats import Format
from shp_miner.rules.hashing import SPLITS

#: The Hub's classes of size: rows below the limit have the name.
_SIZES = (
    (10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"),
)  # fmt: skip

#: Creative Commons licences that the Hub has an identifier for. CC BY-SA 2.5, of old answers, is not one of them.
HUB_LICENSES = {"CC BY-SA 3.0": "cc-by-sa-3.0", "CC BY-SA 4.0": "cc-by-sa-4.0", "CC BY 4.0": "cc-by-4.0",
                "CC BY 3.0": "cc-by-3.0", "CC BY 2.5": "cc-by-2.5", "CC0 1.0": "cc0-1.0"}  # fmt: skip

#: Terms of a platform with one document for all of its sites, as `license_name` and `license_link`.
_PLATFORM_TERMS = {
    "reddit": ("reddit-user-agreement", "https://redditinc.com/policies/user-agreement"),
    "stackexchange": ("cc-by-sa-by-date", "https://stackoverflow.com/help/licensing"),
}
_PLATFORM_TERMS |= {"stack-exchange-preferences": _PLATFORM_TERMS["stackexchange"], "eli5": _PLATFORM_TERMS["reddit"]}

#: The share of the answers from which a language is one of the data set's.
_LISTED = 0.05

#: Names of communities in the title.
_NAMED = 3

#: Tasks in the Hub's list by what a row is.
_PAIR_TASKS = ("text-ranking", "text-generation")
_TASKS = {"ranking": ("text-ranking",), "bandit": ("reinforcement-learning", "text-generation")}
_OTHER_TASKS = ("text-generation", "question-answering")


class Licensing(Struct, frozen=True):
    """The licence of an export as the Hub takes it: identifiers, or "other" with a name and a link to the terms."""

    names: tuple[str, ...]
    other_name: str = ""
    link: str = ""


def licensing(facts: Mapping[str, Any]) -> Licensing:
    """Return the licence from the facts of a manifest.

    Where sites have no common licence or terms, it is the Hub's "unknown": "other" needs one document to link to.
    """
    licenses, platforms, sites = (list(facts.get(name, ())) for name in ("licenses", "platforms", "sites"))
    if licenses and not facts.get("unlicensed", 1) and all(name in HUB_LICENSES for name in licenses):
        return Licensing(tuple(HUB_LICENSES[name] for name in licenses))
    if len(platforms) == 1 and platforms[0] in _PLATFORM_TERMS:
        return Licensing(("other",), *_PLATFORM_TERMS[platforms[0]])
    if len(sites) == 1 and "." in sites[0] and sites[0].isascii() and " " not in sites[0]:
        return Licensing(("other",), "terms-of-the-site", f"https://{sites[0]}")
    return Licensing(("unknown",))


def front_matter(
    configs: Mapping[str, Mapping[str, Sequence[str]]],
    default: str,
    rows: int,
    about: tuple[str, Sequence[str], Licensing, Sequence[str]],
    content: str,
) -> str:
    """Return the YAML of a card: the files of each configuration and split. `content` changes when a file changes.

    `about` is the title, the tasks, the licence and the languages. Without a language the key is left out: the Hub
    takes cards without it, and `und` would file the data under a language that nobody speaks.
    """
    title, tasks, license_, languages = about
    size = next((name for limit, name in _SIZES if rows < limit), "10B<n<100B")
    lines = ["---", f"pretty_name: {json.dumps(title, ensure_ascii=False)}"]
    # Quoted: in YAML, the code of Norwegian is a way to write "false".
    lines += _list("language", [json.dumps(code) for code in languages]) if languages else []
    lines += _list("task_categories", tasks)
    if license_.names == ("other",):
        lines += ["license: other", f"license_name: {license_.other_name}", f"license_link: {license_.link}"]
    else:
        lines += _list("license", license_.names) if len(license_.names) > 1 else [f"license: {license_.names[0]}"]
    lines += _list("source_datasets", ["original"])
    # People's votes made the labels, and forums had the texts before.
    lines += _list("annotations_creators", ["crowdsourced"]) + _list("language_creators", ["found"])
    lines += _list("size_categories", [size]) + _list("tags", ["preferences", "reward-model", "rlhf", "shp-miner"])
    return "\n".join([*lines, *_configs(configs, default, content), "---"])


def languages_for_hub(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the languages that a fair share of the answers is in, the most frequent first; none if not measured."""
    shares = facts.get("languages", {}).get("share", {})
    return tuple(code for code, share in shares.items() if share >= _LISTED)


def _list(key: str, values: Sequence[str]) -> list[str]:
    return [f"{key}:", *(f"- {value}" for value in values)]


def _configs(configs: Mapping[str, Mapping[str, Sequence[str]]], default: str, content: str) -> list[str]:
    # `datasets` caches rows under a key made of these lines, not of the files. Without the digest it would keep
    # returning rows of an earlier export in the same folder, forgotten ones too.
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    lines = ["configs:"]
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
    return lines


def title_of(communities: Sequence[str], rule: str, formats: Sequence[str]) -> str:
    """Return the data set's name for people; `communities` begin with the largest."""
    names = ["".join(c if c.isprintable() else " " for c in name)[:60] for name in communities[:_NAMED]]
    more = len(communities) - len(names)
    where = ", ".join(names) + (f" and {more:,} more" if more > 0 else "")
    return f"Forum preferences: {where} ({rule}, {', '.join(formats)})"


def tasks_of(form: Format) -> tuple[str, ...]:
    """Return the Hub's tasks that a format is for."""
    return _TASKS.get(form.name) or (_PAIR_TASKS if form.answers else _OTHER_TASKS)
