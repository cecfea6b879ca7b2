"""The public names of Python as `explain` tells them: read from the source, so that nothing heavy is imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from shp_miner.manual import pages

PAGE = "python"

_PACKAGE = Path(__file__).resolve().parent.parent
_SENTENCE = re.compile(r".+?\.(?=\s|$)", re.DOTALL)
_Node = ast.FunctionDef | ast.ClassDef

#: Names that are values: nothing at their place in the source is a sentence for users.
VALUES = {
    "POST": "The columns of posts, an Arrow schema.",
    "ANSWER": "The columns of answers, an Arrow schema.",
    "PAIR": "The columns of pairs, an Arrow schema.",
    "FORMATS": "The formats of exports, by name.",
    "PRESETS": "The rules, by name.",
}


@dataclass(frozen=True)
class Public:
    """A public name: "Python function", "Python class" or "Python value", a sentence, and how it is called ("")."""

    name: str
    kind: str
    sentence: str
    call: str

    @property
    def page(self) -> str:
        """Return the first section of the page about Python that has the name."""
        return _section(self.name)


@cache
def public_names() -> tuple[str, ...]:
    """Return the public names of `shp_miner`, in alphabetical order."""
    return tuple(sorted(name for name, _ in _imports(_PACKAGE / "__init__.pyi")))


def public(name: str) -> Public:
    """Return what the source says of a public name."""
    if name in VALUES:
        return Public(name, "Python value", VALUES[name], "")
    node = _definition(_PACKAGE / "__init__.pyi", name)
    first = _SENTENCE.match(ast.get_docstring(node) or "")
    sentence = " ".join(first[0].split()) if first else ""
    if isinstance(node, ast.FunctionDef):
        return Public(name, "Python function", sentence, f"{name}({_arguments(node)})")
    start = next((part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"), None)
    return Public(name, "Python class", sentence, f"{name}({_arguments(start)})" if start else "")


def _arguments(node: ast.FunctionDef) -> str:
    """Return the arguments of a call without their types, and "..." for defaults that are names or code."""
    given = node.args
    for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
        if argument is not None:
            argument.annotation = None
    if given.args and given.args[0].arg == "self":
        del given.args[0]
    given.defaults = [_shown(value) for value in given.defaults]
    given.kw_defaults = [value and _shown(value) for value in given.kw_defaults]
    return ast.unparse(given)


def _shown(default: ast.expr) -> ast.expr:
    return default if isinstance(default, ast.Constant) else ast.Constant(...)


def _imports(stub: Path) -> Iterator[tuple[str, Path]]:
    """Yield each name of a stub with the file or the stub of the module that it is from."""
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            module = stub.parent.joinpath(*node.module.split("."))
            files = (module.with_suffix(".py"), module / "__init__.pyi", module / "__init__.py")
            yield from ((alias.name, next(file for file in files if file.is_file())) for alias in node.names)


def _definition(file: Path, name: str) -> _Node:
    if file.suffix == ".pyi":
        return _definition(dict(_imports(file))[name], name)
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return next(node for node in body if isinstance(node, _Node) and node.name == name)


def _section(name: str) -> str:
    parts = [part for part in pages.sections(PAGE, pages.pages()[PAGE]) if part.level > 1]
    word = re.compile(rf"(?<![\w/]){name}\b")
    # A heading of its own comes first, then the first section that has the name.
    for part in (
        *(part for part in parts if part.heading == name),
        *(part for part in parts if word.search(part.text)),
    ):
        return part.address
    return PAGE
