"""What the pages and `explain` say of the public names: as the code has them."""

from __future__ import annotations

import inspect

import msgspec
import pytest

import shp_miner
from shp_miner.manual.columns import OBSERVED, PAIRED
from shp_miner.manual.pages import section
from shp_miner.manual.public import VALUES, public, public_names
from shp_miner.manual.results import FIELDS
from shp_miner.manual.terms import terms
from shp_miner.model import NULLABLE

NAMES = sorted(set(shp_miner.__all__) - {"__version__"})


def test_explain_knows_every_public_name() -> None:
    assert list(public_names()) == NAMES
    assert set(terms()["Python"]) == {"Python", *NAMES}
    assert {name for name in NAMES if not callable(getattr(shp_miner, name))} == set(VALUES)


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(VALUES)))
def test_a_public_name_has_its_own_docstring_which_explain_quotes(name: str) -> None:
    named = getattr(shp_miner, name)
    own = vars(named).get("__doc__") if inspect.isclass(named) else named.__doc__
    assert own, "a docstring of a class above says nothing of this one"
    told = public(name)
    assert told.sentence.endswith(".")
    assert " ".join(own.split()).startswith(told.sentence)
    assert told.kind == ("Python class" if inspect.isclass(named) else "Python function")
    assert section(told.page) is not None


@pytest.mark.parametrize("name", [name for name in NAMES if inspect.isfunction(getattr(shp_miner, name))])
def test_the_call_names_the_arguments_that_the_function_takes(name: str) -> None:
    taken = inspect.signature(getattr(shp_miner, name)).parameters
    names: dict[str, object] = {}
    exec(f"def {public(name).call}: ...", names)
    assert list(inspect.signature(names[name]).parameters) == list(taken)  # type: ignore[arg-type]


def test_every_column_has_a_meaning_and_says_whether_it_may_be_null() -> None:
    assert set(OBSERVED) == {*shp_miner.POST.names, *shp_miner.ANSWER.names}
    assert list(PAIRED) == shp_miner.PAIR.names
    assert {name for name, meaning in OBSERVED.items() if "; null if" in meaning} == NULLABLE


def test_the_types_that_calls_take_or_return_are_on_the_page_with_every_field() -> None:
    results = {name for name in NAMES if isinstance(getattr(shp_miner, name), type(msgspec.Struct))}
    assert set(FIELDS) == results - {"Rule", "Cleaning"}, "their parameters have pages of their own"
    for name, meanings in FIELDS.items():
        assert tuple(meanings) == getattr(shp_miner, name).__struct_fields__
        assert section(f"python#{name.lower()}") is not None
