"""Every reason that the code can count under has a plain sentence."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import chain

import pytest

from shp_miner.clean.cleaning import Cleaning
from shp_miner.clean.personal import KINDS
from shp_miner.rules.presets import Rule
from shp_miner.rules.reasons import CLEANED, EDITED, PARAMETERS_OF, REASONS, sentence
from shp_miner.tally import HINTS

from .conftest import ROOT

PACKAGE = ROOT / "shp_miner"
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}

#: Functions that return a reason, and the files whose pairs (reason, condition) judge items and pairs.
RETURNS = {"unwanted", "_unwanted", "_left_out"}
CONDITIONS = ("clean/eligible.py", "rules/age.py", "rules/pairs.py")
JUDGES = {"judge_posts", "judge_answers", "age_reasons", "_conditions", "_undecided", "_unchosen"}
COUNTS = {"drop": 1, "note": 1, "lose": 1, "Lost": 0, "without": 1}
A_REASON = re.compile(r"[a-z]+(_[a-z0-9]+)*")


def texts(node: ast.AST) -> Iterator[str]:
    """The texts in an expression that may be its value: those of both branches of a choice."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from chain(texts(node.body), texts(node.orelse))


def counted() -> Iterator[str]:
    """Reasons that are passed to a tally or to Lost by name."""
    for node in chain.from_iterable(map(ast.walk, TREES.values())):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            place = COUNTS.get(name)
            tallied = name in {"Lost", "without"} or "tally" in ast.unparse(node.func).casefold()
            if place is not None and tallied and len(node.args) > place:
                yield from texts(node.args[place])


def constants() -> Iterator[str]:
    """Reasons that have a name of their own."""
    for path, name in (
        ("mining/mine.py", "SAME_TEXT"), ("mining/mine.py", "UNREADABLE"), ("model.py", "NO_COMMUNITY"),
        ("tally.py", "NOT_THIS_KIND"), ("clean/clusters.py", "TWO_SPLITS"), ("clean/clusters.py", "OTHER_SPLIT"),
        ("clean/clusters.py", "REPEATED"), ("mining/cleaned.py", "IN_EVALUATION_SET"),
    ):  # fmt: skip
        module = TREES[PACKAGE / path]
        found = [node for node in module.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name]
        yield from texts(found[0].value)


def returned() -> Iterator[str]:
    """Reasons that functions give for records they do not want."""
    for function in chain.from_iterable(map(ast.walk, TREES.values())):
        if isinstance(function, ast.FunctionDef) and function.name in RETURNS:
            for node in ast.walk(function):
                if isinstance(node, ast.Return) and node.value is not None:
                    yield from texts(node.value)
                elif isinstance(node, ast.Call) and ast.unparse(node.func) == "pl.lit" and node.args:
                    yield from texts(node.args[0])


def conditions() -> Iterator[str]:
    """Reasons that stand in a pair with their condition."""
    for path in CONDITIONS:
        functions = [node for node in TREES[PACKAGE / path].body if isinstance(node, ast.FunctionDef)]
        for node in chain.from_iterable(ast.walk(node) for node in functions if node.name in JUDGES):
            if isinstance(node, ast.Tuple) and len(node.elts) == 2 and not isinstance(node.elts[1], ast.Constant):
                yield from texts(node.elts[0])


#: Where calls in `clean/` have a reason: a value, the values that are put in, and the note of an edit.
REASON_AT = {"pl.lit": 0, "reasons.scatter": 1, "Edit": 1, "ItemFilter": 0}


def cleaned() -> Iterator[str]:
    """Reasons of the filters and edits that clean: those in a tuple with their condition, as values, and notes."""
    for node in chain.from_iterable(ast.walk(TREES[path]) for path in sorted((PACKAGE / "clean").glob("*.py"))):
        if isinstance(node, ast.Tuple) and len(node.elts) > 1 and not isinstance(node.elts[1], ast.Constant):
            yield from texts(node.elts[0])
        elif isinstance(node, ast.Call):
            yield from chain.from_iterable(map(texts, node.args[REASON_AT.get(ast.unparse(node.func), 9) :][:1]))


def tables() -> Iterator[str]:
    """Reasons that stand alone: a state, a cap, a bound of a column or of the confidence."""
    yield from ("deleted", "removed", "unreadable", "over_answer_cap", "confidence_too_low", "not_drawn", *HINTS)
    yield from (f"masked_{kind}" for kind in KINDS)


SOURCES = (counted, constants, returned, conditions, cleaned, tables)


@pytest.mark.parametrize("source", SOURCES)
def test_every_reason_has_a_sentence(source: object) -> None:
    assert callable(source)
    found = {reason for reason in source() if A_REASON.fullmatch(reason)}
    assert found, "the search finds none any more"
    assert found - set(REASONS) == set()


def test_every_reason_of_lost_records_has_a_sentence_and_its_hint() -> None:
    assert all(REASONS[reason].endswith(hint) for reason, hint in HINTS.items())


def test_no_sentence_is_on_a_reason_that_nothing_gives() -> None:
    given = {reason for source in SOURCES for reason in source()}
    assert set(REASONS) - given == set()


@pytest.mark.parametrize("text", REASONS.values())
def test_sentences_are_sentences(text: str) -> None:
    assert text[0].isupper()
    assert text.endswith(".")


def test_an_unknown_reason_is_said_in_its_own_words() -> None:
    assert sentence("some_new_reason") == "Some new reason."


def test_reasons_name_the_parameters_that_they_follow() -> None:
    cleaning, named = set(Cleaning.__struct_fields__), set(chain.from_iterable(PARAMETERS_OF.values()))
    for reason, names in PARAMETERS_OF.items():
        assert reason in REASONS
        assert set(names) <= (cleaning if reason in {*CLEANED, *EDITED} else set(Rule.__struct_fields__))
    assert {*CLEANED, *EDITED} - set(PARAMETERS_OF) == {"in_evaluation_set"}
    assert cleaning - named == {"name", "text_mode", "abbreviations", "keep_maths"}
