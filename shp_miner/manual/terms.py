"""Short explanations of rules, cleaning, formats, reasons, exit codes and other words, from the code's own tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import get_args

from shp_miner.clean.cleaning import PROFILES, Cleaning, changes
from shp_miner.clean.cleaning import SUMMARIES as CLEANINGS
from shp_miner.errors import EXIT_CODES, UsageError, likely
from shp_miner.manual import pages
from shp_miner.manual.public import PAGE, public, public_names
from shp_miner.pipeline.keys import FormatName
from shp_miner.rules.fields import PARAMETERS, Field, fields
from shp_miner.rules.presets import PRESETS, SUMMARIES
from shp_miner.rules.reasons import CLEANED, EDITED, PARAMETERS_OF, REASONS
from shp_miner.sources.table import ROWS
from shp_miner.tally import LOST, counted
from shp_miner.units import Duration

_OF_CLEANING = {*CLEANED, *EDITED}

_ROW = re.compile(r"\| (`?[^|]+?`?) \| (.+?) \|")
_LINKED = re.compile(r"\[([^\]]*)\]\(([^)]*)\)")


@dataclass(frozen=True)
class Explained:
    """What a word means: the kind of word, some sentences, and the page that says more."""

    term: str
    kind: str
    sentences: list[str]
    page: str


def explain(term: str) -> list[Explained]:
    """Return what a word means, once for each kind of word that it is. Raises UsageError for an unknown word."""
    key = _key(term)
    found = [told for known in _KINDS.values() for name, told in known().items() if _key(name) == key]
    words = term.split()
    if not found and len(words) > 1 and all(_key(word) in _names() for word in words):
        return [told for word in words for told in explain(word)]
    if not found and key.isdigit():
        raise UsageError(
            f"There is no exit code {key}.", f"The codes: {', '.join(map(str, EXIT_CODES))}. The shell sets others."
        )
    if not found:
        near = _names().get(likely(key, _names()), "")
        hint = f"Did you mean {near!r}?" if near else f"`shp-miner docs {term}` searches the pages for it."
        raise UsageError(f"There is no explanation of {term!r}.", f"{hint} `shp-miner explain` lists all terms.")
    return [told() for told in found]


def _names() -> dict[str, str]:
    """Every term, by its key."""
    return {_key(name): name for names in terms().values() for name in names}


def terms() -> dict[str, list[str]]:
    """Return all words that can be explained, by kind."""
    return {kind: list(known()) for kind, known in _KINDS.items()}


_Known = dict[str, Callable[[], Explained]]


def _rules() -> _Known:
    def told(name: str) -> Explained:
        rule, base = PRESETS[name], PRESETS["shp"]
        changed = [
            f"{key.removesuffix('_s')} {getattr(rule, key)}"
            for key in rule.__struct_fields__
            if key not in ("name", "confounded") and getattr(rule, key) != getattr(base, key)
        ]
        differs = [f"It differs from shp in: {', '.join(changed)}."] if changed else []
        marked = ["Its labels follow attention: use it to compare rules, not to train."] if rule.confounded else []
        return Explained(name, "rule", [_sentence(SUMMARIES[name]), *differs, *marked], "rules#which-rule-to-choose")

    return {name: lambda name=name: told(name) for name in PRESETS}  # type: ignore[misc]


def _parameters() -> _Known:
    def told(field: Field) -> Explained:
        value = getattr(PRESETS["shp"], field.name)
        default = [f"Default in shp: {value}{' s' if field.kind is Duration else ''}."] if value is not None else []
        option = f"Set it with --{field.key.replace('_', '-')} of `export`."
        return Explained(field.name, "parameter of a rule", [field.description, *default, option], "rules#parameters")

    return {key: lambda field=field: told(field) for key, field in PARAMETERS.items()}  # type: ignore[misc]


def _cleaning() -> _Known:
    def told(field: Field) -> Explained:
        sets = [name for name, profile in PROFILES.items() if field.name in changes(profile)]
        on = [f"On in the {counted(len(sets), 'profile')} {' and '.join(sets)}."] if sets else ["Off in all profiles."]
        option = f"Set it with --{field.option or 'clean-' + field.key.replace('_', '-')} of `export`."
        reasons = [reason for reason, names in PARAMETERS_OF.items() if field.name in names and reason in _OF_CLEANING]
        what = [f"Counted as: {', '.join(reasons)}."] if reasons else []
        return Explained(
            field.name, "parameter of cleaning", [field.description, *on, option, *what], "cleaning#parameters"
        )

    known = {key: field for key, field in fields(Cleaning).items() if key != "name"}
    return {key: lambda field=field: told(field) for key, field in known.items()}  # type: ignore[misc]


def _profiles() -> _Known:
    def told(name: str) -> Explained:
        on = [f"{key} {value}".removesuffix(" True") for key, value in changes(PROFILES[name]).items()]
        sets = [f"On: {', '.join(on)}."] if on else []
        option = f"Choose it with --clean {name} of `export`."
        return Explained(name, "profile of cleaning", [_sentence(CLEANINGS[name]), *sets, option], "cleaning#profiles")

    return {name: lambda name=name: told(name) for name in PROFILES}  # type: ignore[misc]


def _formats() -> _Known:
    def told(name: str) -> Explained:
        from shp_miner.export.formats import FORMATS  # noqa: PLC0415 - tables take a second to import

        form = FORMATS[name]
        columns = f"Columns: {', '.join(form.schema.names)}."
        return Explained(name, "format", [_sentence(form.purpose), columns], f"formats#{name}")

    return {name: lambda name=name: told(name) for name in get_args(FormatName)}  # type: ignore[misc]


def _reasons() -> _Known:
    def told(name: str) -> Explained:
        page = "formats#unusable-records" if name in LOST else "rules#who-is-eligible"
        page = "cleaning#reasons" if name in CLEANED else page
        return Explained(name, "reason", [REASONS[name]], page)

    return {name: lambda name=name: told(name) for name in REASONS}  # type: ignore[misc]


def _exit_codes() -> _Known:
    pages_of = {3: "#exit-code-3-done-in-part", 4: "#exit-code-4-not-allowed", 5: "#exit-code-5-bad-input",
                75: "#exit-code-75-try-later"}  # fmt: skip

    def told(code: int) -> Explained:
        return Explained(str(code), "exit code", [EXIT_CODES[code]], f"cron{pages_of.get(code, '#troubleshooting')}")

    return {str(code): lambda code=code: told(code) for code in EXIT_CODES}  # type: ignore[misc]


def _sources() -> _Known:
    def told(name: str) -> Explained:
        row = ROWS[name]
        where = f"It reads {row.site}." if row.site else f"It reads any {row.sites_are}: name it with --site."
        keys = ", ".join(credential.variable for credential in row.credentials)
        needs = "It needs credentials" if row.needs_credentials else "It takes credentials"
        return Explained(
            name, "source", [f"{row.title}'s API.", where, *([f"{needs}: {keys}."] if keys else [])], "crawling"
        )

    return {name: lambda name=name: told(name) for name in ROWS}  # type: ignore[misc]


def _python() -> _Known:
    def told(name: str) -> Explained:
        known = public(name)
        call = [f"Call: shp_miner.{known.call}."] if known.call else []
        return Explained(f"shp_miner.{name}", known.kind, [known.sentence, *call], known.page)

    names = public_names()
    listed = f"`import shp_miner` has: {', '.join(names)}."
    whole = Explained("Python", "library", ["The commands call functions that programs can call, too.", listed], PAGE)
    return {"Python": lambda: whole, **{name: lambda name=name: told(name) for name in names}}  # type: ignore[misc]


def _words() -> _Known:
    return {name: lambda told=told: told for name, told in _glossary()}  # type: ignore[misc]


def _glossary() -> Iterator[tuple[str, Explained]]:
    path = pages.pages()["glossary"]
    for line in path.read_text(encoding="utf-8").splitlines():
        row = _ROW.fullmatch(line.strip())
        if row is None or row[1] in ("word", "---") or set(row[1]) == {"-"}:
            continue
        link = _LINKED.search(row[2])
        page = link[2].replace(".md", "") if link and ".md" in link[2] else "glossary"
        for name in re.split(r", | / ", row[1].replace("`", "")):
            yield name, Explained(name, "word", [_LINKED.sub(r"\1", row[2])], page)


_KINDS: dict[str, Callable[[], _Known]] = {
    "exit code": _exit_codes,
    "rule": _rules,
    "format": _formats,
    "reason": _reasons,
    "parameter of a rule": _parameters,
    "profile of cleaning": _profiles,
    "parameter of cleaning": _cleaning,
    "source": _sources,
    "Python": _python,
    "word": _words,
}


def _key(term: str) -> str:
    words = re.sub(r"[\s_-]+", " ", term.casefold()).strip().removesuffix("()")
    return words.removeprefix("exit code ").removeprefix("shp miner.").removeprefix("clean ").removesuffix(" s")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
