"""What the pages and `explain` say of the public names: as the code has them."""

from __future__ import annotations

import inspect

import pytest

import shp_miner
from shp_miner.manual.pages import section
from shp_miner.manual.public import VALUES, public, public_names
from shp_miner.manual.terms import terms

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
