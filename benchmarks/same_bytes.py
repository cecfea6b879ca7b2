"""Whether two revisions make the same stores and exports of real dumps: every format, byte for byte, else by rows.

    uv run --group bench python -m benchmarks.same_bytes --before REV --data DIR --folder DIR

Each revision is checked out below the folder and run with this environment's libraries, so only the project's code
differs. Every input is imported and exported in all formats that both revisions have, with the default rule. Files are
compared by their SHA-256. Of manifests and cards, which name their files and have new lines in newer versions, only
what is said of the rows counts. A Parquet file that differs is compared by its rows and the columns of the earlier
revision. The exit code is 1 if any row differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from shp_miner import Store

FORMATS = ("pairs", "shp", "trl", "chat-pairs", "trl-text", "kto", "ranking", "sft", "bandit")


@dataclass(frozen=True)
class Input:
    """Dumps that are imported together; `options` are of the import, `export` those of the export."""

    kind: str
    paths: tuple[str, ...]
    options: tuple[str, ...] = ()
    export: tuple[str, ...] = ()


_ORIGINAL = "reddit-dumps/original"
INPUTS = {
    "beer": Input("stackexchange-dump", ("stackexchange/beer.stackexchange.com.7z",)),
    "beer, votes": Input("stackexchange-dump", ("stackexchange/beer.stackexchange.com.7z",), ("--vote-history",)),
    "conlang.meta": Input("stackexchange-dump", ("stackexchange/conlang.meta",)),
    "discourse": Input(
        "discourse-json",
        ("discourse/urho3d_topics.ndjson.zst",),
        ("--site", "discourse.urho3d.io"),
        ("--allow-unknown-age",),
    ),
    "GradSchool": Input("reddit-dump", ("reddit-dumps/RS_GradSchool.zst", "reddit-dumps/RC_GradSchool.zst")),
    "AskAcademia": Input("reddit-dump", ("reddit-dumps/RS_AskAcademia.zst", "reddit-dumps/RC_AskAcademia.zst")),
    "original": Input(
        "reddit-dump",
        tuple(
            f"{_ORIGINAL}/{name}"
            for name in ("RC_2005-12.zst", "RC_2006-01.zst", "RS_2019-10.zst", "AskMen_submissions.zst")
        ),
    ),
}


def command(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run shp-miner of a tree, from there: what Python finds in its folder comes before what is installed."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}  # for the processes that it starts
    return subprocess.run(
        [sys.executable, "-m", "shp_miner", *words],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tree,
        check=False,
    )


def checked_out(revision: str, folder: Path) -> Path:
    """Return the tree of a revision, checked out once. `git worktree remove` takes it away."""
    asked = ["git", "rev-parse", "--short", revision]
    tree = folder / "trees" / subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    if not tree.exists():
        subprocess.run(["git", "worktree", "add", "--detach", str(tree), revision], check=True, capture_output=True)
    told = command(tree, "--version").stdout, _package(tree)
    if not told[1].startswith(str(tree)):
        raise SystemExit(f"{told[0].strip()} of {revision} is not run from {tree} but from {told[1]}.")
    return tree


def _package(tree: Path) -> str:
    asked = [sys.executable, "-c", "import shp_miner; print(shp_miner.__file__)"]
    return subprocess.run(asked, capture_output=True, text=True, cwd=tree, check=True).stdout.strip()


def made(tree: Path, name: str, data: Path, work: Path) -> tuple[str, Path]:
    """Import and export an input; return what the commands counted, and the folder of the exports."""
    one, store, out = INPUTS[name], work / "store", work / "out"
    for folder in (store, out):
        shutil.rmtree(folder, ignore_errors=True)
    paths = [str(data / path) for path in one.paths]
    imported = command(tree, "import", one.kind, *paths, *one.options, "--store", str(store), "--json")
    counts = json.loads(imported.stdout)["kept"] if imported.stdout else {}
    forms = [word for form in FORMATS for word in ("--format", form)]
    exported = command(tree, "export", str(out), "--store", str(store), *forms, *one.export, "--json")
    rows: dict[str, int] = {}
    for manifest in sorted(out.rglob("manifest.json")):
        found = json.loads(manifest.read_text())
        if "format" in found:
            rows[found["format"]] = sum(found["rows"].values())
    return f"import {imported.returncode} {counts}, export {exported.returncode} {rows}", out


def compared(before: Path, after: Path) -> Iterator[tuple[str, str]]:
    """Yield each file of two exports and what became of it; nothing is said of files with the same bytes."""
    files = {path.relative_to(of) for of in (before, after) for path in of.rglob("*") if path.is_file()}
    for file in sorted(files):
        old, new = before / file, after / file
        if not (old.exists() and new.exists()):
            yield str(file), "only before" if old.exists() else "only after"
        elif file.suffix == ".parquet" and digest(old) != digest(new):
            yield str(file), _of_rows(pl.read_parquet(old), pl.read_parquet(new))


def stored(before: Path, after: Path) -> Iterator[tuple[str, str]]:
    """Yield each table of two stores and what became of its rows, in any order; the names of files are random."""
    for name in ("posts", "answers"):
        old, new = (Store(store).snapshot().scan(name).collect() for store in (before, after))
        shared = [column for column in old.columns if column in new.columns]
        hashes = [frame.select(shared).hash_rows().sort() for frame in (old, new)]
        same = hashes[0].equals(hashes[1])
        yield name, f"{new.height:,} rows, {'the same' if same else f'not those of before ({old.height:,})'}"


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _of_rows(old: pl.DataFrame, new: pl.DataFrame) -> str:
    lost = [name for name in old.columns if name not in new.columns]
    added = [name for name in new.columns if name not in old.columns]
    if not lost and new.select(old.columns).equals(old):
        return f"other bytes, the same rows (columns added: {', '.join(added) or 'none'})"
    if old.height != new.height:
        return f"{old.height:,} rows before, {new.height:,} after"
    changed = [name for name in old.columns if name in new.columns and not old[name].equals(new[name])]
    return f"differs in {', '.join([*lost, *changed])}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare two revisions; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True, help="the earlier revision")
    parser.add_argument("--after", default="HEAD", help="the later revision (default: HEAD)")
    parser.add_argument("--data", type=Path, required=True, help="the folder of real dumps")
    parser.add_argument("--folder", type=Path, required=True, help="where trees, stores and exports are made")
    parser.add_argument("--only", action="append", choices=INPUTS, help="an input (repeatable; default: all)")
    asked = parser.parse_args(arguments)
    folder = asked.folder.absolute()
    trees = {name: checked_out(getattr(asked, name), folder) for name in ("before", "after")}
    differs = 0
    for name in asked.only or INPUTS:
        outs = {}
        for which, tree in trees.items():
            counts, outs[which] = made(tree, name, asked.data.absolute(), folder / name.replace(", ", "-") / which)
            print(f"{name}, {which}: {counts}", flush=True)
        tables = dict(stored(outs["before"].parent / "store", outs["after"].parent / "store"))
        print(f"  stores: {tables}")
        differs += sum("the same" not in what for what in tables.values())
        files = sum(path.suffix == ".parquet" for path in outs["after"].rglob("*"))
        found = list(compared(outs["before"], outs["after"]))
        for file, what in found:
            print(f"  {file}: {what}")
        other = [what for file, what in found if file.endswith(".parquet")]
        print(f"  {files - len(other)} of {files} Parquet files have the same bytes")
        differs += sum("same rows" not in what for what in other)
    return int(differs > 0)


if __name__ == "__main__":
    sys.exit(main())
