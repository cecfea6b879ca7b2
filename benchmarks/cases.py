"""What is measured: the cases, who takes part in each, and the commands of each part.

A command may hold {out}, a folder that is new for every run, and {prepared}, one that the case's preparation filled.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.dumps import FILES, Dump

TOOL = "shp-miner"
ZSTD = "zstd -d"
PYTHON_FLOOR = "decompression in Python"
JSON = "json per line"
PANDAS = "pandas combinations"
CAREFUL_PANDAS = "pandas combinations, careful"
GREP = "zstd into grep, then orjson per line"
EVERYTHING = "everything"
ONE_COMMUNITY = "import of one community"


@dataclass(frozen=True)
class Step:
    """One command; with `discard` its output goes to /dev/null."""

    name: str
    command: tuple[str, ...]
    discard: bool = False


@dataclass(frozen=True)
class Contender:
    """Somebody who does a case's work in one or more commands, one after the other.

    `evidence` says how to look at the result (benchmarks/evidence.py) and where; whoever has one must agree with the
    others of the case. `group` limits that to contenders of one group. `may_fail` is for peers of which it is not known
    whether they can do it at all: a failure is reported and no reason to stop.
    """

    name: str
    steps: tuple[Step, ...]
    evidence: tuple[str, str] | None = None
    group: str = ""
    may_fail: bool = False


@dataclass(frozen=True)
class Case:
    """Contenders that are run in turns.

    `references` are those that the others are compared with; `raw_bytes` is the decompressed size of the input, None
    where speed is counted in pairs; `inputs` are files to be read once before anything is timed.
    """

    name: str
    title: str
    contenders: tuple[Contender, ...]
    references: tuple[str, ...]
    raw_bytes: int | None
    inputs: tuple[str, ...]
    prepare: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Tool:
    """How the product is called: what is added to every import and export, such as --workers 2."""

    options: tuple[str, ...] = ()

    def bring_in(self, dump: Dump, store: str, communities: Sequence[str] = ()) -> Step:
        """Import a dump into a new store."""
        command = (*_program(), "import", "reddit-dump", *dump.paths, *_named(communities), "--store", store)
        return Step("import", (*command, "--json", *self.options))

    def export(self, store: str, out: str, communities: Sequence[str] = ()) -> Step:
        """Export pairs from a store."""
        command = (*_program(), "export", out, "--store", store, "--format", "pairs", *_named(communities))
        return Step("export", (*command, "--json", *self.options))


def filtered(dump: Dump, tool: Tool) -> Case:
    """One community out of a dump, to pairs."""
    community = dump.middling
    pairs = ("pairs", "{out}/pairs")
    contenders = [
        *_floors(dump),
        Contender(
            TOOL,
            (tool.bring_in(dump, "{out}/store", [community]), tool.export("{out}/store", "{out}/pairs")),
            pairs,
        ),
        Contender(JSON, (_lines("json", dump.paths, "{out}/pairs", community),), pairs),
        Contender("orjson per line", (_lines("orjson", dump.paths, "{out}/pairs", community),), pairs),
    ]
    if shutil.which("zstd") and shutil.which("grep"):
        found = [f"{{out}}/{kind}.jsonl" for kind in ("posts", "answers")]
        # grep's exit code 1 means that nothing was found.
        script = 'for i in 1 2; do zstd -dqc --long=31 "$1" | LC_ALL=C grep -F "$3" > "$2" || true; shift 3; done'
        needle = f'"subreddit":"{community}"'
        grep = ("sh", "-c", script, "sh", dump.paths[0], found[0], needle, dump.paths[1], found[1], needle)
        then = _lines("orjson", found, "{out}/pairs", community)
        contenders.append(Contender(GREP, (Step("grep", grep), then), pairs))
    share = dump.share(community)
    title = f"One community ({community}, {share:.1%} of the lines) to pairs: {_size(dump)}"
    return Case("filtered", title, tuple(contenders), (_floor_name(), JSON), dump.raw_bytes, tuple(dump.paths))


def unfiltered(dump: Dump, tool: Tool) -> Case:
    """Every post and every direct reply of a dump."""
    rows = ("rows", "{out}/rows")
    compressed = ["--posts", dump.paths[0], "--answers", dump.paths[1], "{out}/rows"]
    contenders = [
        *_floors(dump),
        Contender(TOOL, (tool.bring_in(dump, "{out}/rows"),), rows),
        Contender(JSON, (_lines("json", dump.paths, "{out}/rows"),), rows),
        Contender("orjson per line", (_lines("orjson", dump.paths, "{out}/rows"),), rows),
        Contender("polars on .zst", (_frames("polars", *compressed),), rows, may_fail=True),
        Contender("DuckDB on .zst", (_frames("duckdb", *compressed),), rows, may_fail=True),
    ]
    if shutil.which("zstd"):
        plain = [f"{{out}}/{kind}.jsonl" for kind in ("posts", "answers")]
        script = 'zstd -dqc --long=31 "$1" > "$2"; zstd -dqc --long=31 "$3" > "$4"'
        copy = Step("zstd -d to a file", ("sh", "-c", script, "sh", dump.paths[0], plain[0], dump.paths[1], plain[1]))
        query = _frames("polars", "--posts", plain[0], "--answers", plain[1], "{out}/rows")
        contenders.append(Contender("polars on a decompressed copy", (copy, query), rows))
        pipe = 'zstd -dqc --long=31 "$1" | "$2" -m benchmarks.peers.frames --engine duckdb "$3" /dev/stdin "$4"'
        queries = tuple(
            Step(kind, ("sh", "-c", pipe, "sh", path, sys.executable, f"--{kind}", "{out}/rows"))
            for kind, path in zip(("posts", "answers"), dump.paths, strict=True)
        )
        contenders.append(Contender("DuckDB behind zstd", queries, rows))
    title = f"Everything into a store: {_size(dump)}"
    return Case("unfiltered", title, tuple(contenders), (JSON, _floor_name()), dump.raw_bytes, tuple(dump.paths))


def pairs(dump: Dump, tool: Tool, largest: bool) -> Case:
    """Pairs with text to Parquet, of what an unfiltered import left: all communities, or only the ten largest."""
    communities = dump.largest if largest else []
    evidence = ("pairs", "{out}/pairs")
    contenders = [Contender(TOOL, (tool.export("{prepared}/store", "{out}/pairs", communities),), evidence)]
    engines = {
        PANDAS: "pandas",
        CAREFUL_PANDAS: "pandas-careful",
        "polars self-join": "polars",
        "DuckDB self-join": "duckdb",
    }
    for name, engine in engines.items():
        command = _module("peers.pairs", "--engine", engine, *_named(communities), "{prepared}/rows", "{out}/pairs")
        contenders.append(Contender(name, (Step("pairs", command),), evidence))
    prepare = (tool.bring_in(dump, "{prepared}/store"), _lines("orjson", dump.paths, "{prepared}/rows"))
    what = f"the {len(communities)} largest" if largest else f"all {len(dump.communities):,}"
    name = "pairs-largest" if largest else "pairs"
    title = f"Pairs with text to Parquet, {what} communities: {_size(dump)}"
    return Case(name, title, tuple(contenders), (PANDAS, CAREFUL_PANDAS), None, (), prepare)


def scale(small: Dump, large: Dump, tool: Tool) -> Case:
    """The product alone, on a dump and on one ten times as large."""
    contenders = []
    sizes = (("1x", small), ("10x", large))
    for size, dump in sizes:
        steps = (tool.bring_in(dump, "{out}/store"), tool.export("{out}/store", "{out}/pairs"))
        contenders.append(Contender(f"{EVERYTHING}, {size}", steps, ("pairs", "{out}/pairs"), group=size))
    for size, dump in sizes:
        step = tool.bring_in(dump, "{out}/store", [dump.middling])
        contenders.append(Contender(f"{ONE_COMMUNITY}, {size}", (step,)))
    title = f"Growth of cost: 1x is {_size(small)}, 10x is {_size(large)}"
    return Case("scale", title, tuple(contenders), (), None, (*small.paths, *large.paths))


def _floors(dump: Dump) -> Iterator[Contender]:
    if shutil.which("zstd"):
        yield Contender(ZSTD, (Step("", ("zstd", "-dqc", "--long=31", *dump.paths), discard=True),))
    yield Contender(PYTHON_FLOOR, (Step("", _module("decompress", *dump.paths)),))


def _floor_name() -> str:
    return ZSTD if shutil.which("zstd") else PYTHON_FLOOR


def _lines(parser: str, paths: Sequence[str], out: str, community: str = "") -> Step:
    chosen = ("--community", community) if community else ()
    return Step(parser, _module("peers.lines", "--parser", parser, *chosen, *paths, out))


def _frames(engine: str, *arguments: str) -> Step:
    return Step("query", _module("peers.frames", "--engine", engine, *arguments))


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"benchmarks.{name}", *arguments)


def _program() -> tuple[str, ...]:
    beside = Path(sys.executable).parent / "shp-miner"
    return (str(beside),) if beside.exists() else (sys.executable, "-c", "from shp_miner.cli import main; main()")


def _named(communities: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for name in communities for word in ("--community", name))


def _size(dump: Dump) -> str:
    comments = dump.lines[FILES[1]]
    return (
        f"{comments:,} comments, {dump.raw_bytes / 1e6:,.0f} MB raw, {dump.compressed_bytes / 1e6:,.1f} MB compressed"
    )
