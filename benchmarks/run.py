"""Run the product, the floor and the peers in turns, and write a table. See benchmarks/README.md."""

from __future__ import annotations

import compileall
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from benchmarks import cases
from benchmarks.cases import Case, Contender, Step, Tool
from benchmarks.dumps import ROOT, WrongDump, ensure
from benchmarks.measure import Measure, measure
from benchmarks.table import TOGETHER, Result, Row, as_json, machine, page, together

NAMES = ("filtered", "unfiltered", "pairs", "pairs-largest", "scale")
#: Enough to fill every buffer of the product already at 1x.
SCALE_COMMENTS = 500_000
GROWTH = 10
#: Monthly dumps have the longest window there is; a decoder's memory then follows the input until it holds 2 GiB.
LONG_WINDOW_LOG = 31
#: The growth of cost is measured with a short window (8 MiB), so that memory is the product's own.
SHORT_WINDOW_LOG = 23


class Failed(click.ClickException):
    """A command that did not end well; `reason` is the last line it wrote to standard error."""

    def __init__(self, name: str, measured: Measure) -> None:
        lines = measured.error.strip().splitlines() or ["no message"]
        super().__init__(f"`{name}` ended with exit code {measured.exit_code}:\n" + "\n".join(lines))
        self.reason = lines[-1]


def run_case(case: Case, runs: int, work: Path, say: Callable[[str], None]) -> Result:
    """All contenders `runs` times in turns, each in new folders under `work`; the results must agree."""
    say(case.title)
    for name in case.inputs:
        _warm(Path(name))
    prepared = _new(work / "prepared")
    for step in case.prepare:
        _run(step, prepared, prepared)
    result = Result(case, [], {}, {})
    for _ in range(runs):
        for contender in case.contenders:
            if contender.name not in result.failures:
                _run_contender(contender, result, prepared, work, say)
    shutil.rmtree(prepared)
    return result


def _run_contender(
    contender: Contender, result: Result, prepared: Path, work: Path, say: Callable[[str], None]
) -> None:
    out = _new(work / "out")
    try:
        measures = [_run(step, out, prepared) for step in contender.steps]
    except Failed as error:
        if not contender.may_fail:
            raise
        result.failures[contender.name] = error.reason
        return
    names = [step.name for step in contender.steps] if len(measures) > 1 else [""]
    if len(measures) > 1:
        names.append(TOGETHER)
        measures.append(together(measures))
    for name, measured in zip(names, measures, strict=True):
        row = result.step(contender.name, name)
        if row is None:
            row = Row(contender.name, name)
            result.rows.append(row)
        row.runs.append(measured)
    say(f"  {contender.name}: {measures[-1].wall_s:.2f} s")
    if contender.evidence:
        _agree(contender, out, result)
    shutil.rmtree(out)


def _agree(contender: Contender, out: Path, result: Result) -> None:
    """Look at what was produced and hold it against what the others of the group produced."""
    assert contender.evidence
    kind, place = contender.evidence
    command = [sys.executable, "-m", "benchmarks.evidence", kind, place.replace("{out}", str(out))]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(said)
    groups = {timed.name: timed.group for timed in result.case.contenders}
    for other, what in result.evidence.items():
        if groups[other] == contender.group and what != found:
            raise click.ClickException(
                f"{result.case.name}: the results differ: {contender.name} has {found}, {other} has {what}."
            )
    result.evidence[contender.name] = found


def _run(step: Step, out: Path, prepared: Path) -> Measure:
    command = [word.replace("{out}", str(out)).replace("{prepared}", str(prepared)) for word in step.command]
    # What earlier runs wrote must not be on its way to the disk while this one is timed.
    os.sync()
    measured = measure(command, ROOT, discard=step.discard)
    if measured.exit_code:
        raise Failed(step.name or Path(command[0]).name, measured)
    return measured


def _new(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _warm(path: Path) -> None:
    """Read a file once, so that the first who is timed does not pay for the disk."""
    with path.open("rb") as file:
        while file.read(1 << 20):
            pass


def _check_installed() -> None:
    missing = [name for name in ("zstandard", "orjson", "duckdb") if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException(f"{', '.join(missing)}: not installed. `uv sync --group bench` installs the peers.")
    # pip does this when it installs; without it everybody is measured translating Python at every start.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_path(skip_curdir=False, quiet=2)


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="Holds dumps, work and results.")
@click.option("--comments", default=4_000_000, show_default=True, help="Size of the dump; 4 million are 6.7 GB raw.")
@click.option("--scale-comments", default=SCALE_COMMENTS, show_default=True, help="The case `scale` at 1x.")
@click.option("--runs", default=3, show_default=True, help="How often everything is run.")
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="Only this case. Repeatable.")
@click.option("--tool-options", default="", help="Added to every import and export, such as '--workers 1'.")
def main(folder: Path, comments: int, scale_comments: int, runs: int, only: tuple[str, ...], tool_options: str) -> None:
    """Measure, and write results.md and results.json to the folder."""
    _check_installed()
    if not shutil.which("zstd"):
        click.echo(
            "There is no `zstd`: the floor is decompression in Python, peers that need it are left out.", err=True
        )
    wanted = only or NAMES
    tool = Tool(tuple(shlex.split(tool_options)))
    folder = folder.resolve()
    load = os.getloadavg()[0]
    results: list[Result] = []
    try:
        for case in _cases(wanted, tool, folder, comments, scale_comments):
            results.append(run_case(case, runs, folder / "work", lambda text: click.echo(text, err=True)))
    except WrongDump as error:
        raise click.ClickException(str(error)) from error
    finally:
        shutil.rmtree(folder / "work", ignore_errors=True)
        if results:
            facts = machine(load)
            (folder / "results.md").write_text(page(results, facts, runs))
            (folder / "results.json").write_text(json.dumps(as_json(results, facts), indent=1))
    click.echo((folder / "results.md").read_text())


def _cases(wanted: tuple[str, ...], tool: Tool, folder: Path, comments: int, scale_comments: int) -> list[Case]:
    """The wanted cases, with their dumps made."""
    found = []
    if set(wanted) - {"scale"}:
        dump = ensure(folder, comments, LONG_WINDOW_LOG)
        makers: dict[str, Callable[[], Case]] = {
            "filtered": lambda: cases.filtered(dump, tool),
            "unfiltered": lambda: cases.unfiltered(dump, tool),
            "pairs": lambda: cases.pairs(dump, tool, largest=False),
            "pairs-largest": lambda: cases.pairs(dump, tool, largest=True),
        }
        found += [make() for name, make in makers.items() if name in wanted]
    if "scale" in wanted:
        small = ensure(folder / f"scale-{scale_comments}", scale_comments, SHORT_WINDOW_LOG)
        large = ensure(folder / f"scale-{scale_comments * GROWTH}", scale_comments * GROWTH, SHORT_WINDOW_LOG)
        found.append(cases.scale(small, large, tool))
    return found


if __name__ == "__main__":
    main()
