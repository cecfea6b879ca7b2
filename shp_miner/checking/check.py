"""Checks an export from its files: whether it is whole and right, what its labels are worth, what trainers keep."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
from msgspec import Struct

from shp_miner.arguments import AnyPath, Names, several, whole_number
from shp_miner.checking.baselines import LONGER
from shp_miner.checking.files import (
    card_problems,
    file_problem,
    foreign_files,
    loading_problem,
    manifest_problems,
    schema_problems,
)
from shp_miner.checking.held import Held, Search
from shp_miner.checking.lengths import LIMITS, Units
from shp_miner.checking.opened import Opened, opened, row_tables
from shp_miner.checking.rows import FormatFindings, Rows
from shp_miner.checking.tools import readings_for
from shp_miner.errors import BadInput
from shp_miner.export.screens import Sets, as_sets
from shp_miner.export.shards import Shard
from shp_miner.paths import expanded
from shp_miner.tally import counted

#: Above this share, the labels mostly say which answer is longer.
_LONGER_WINS_TOO_OFTEN = 0.6

#: A share of true labels (kto) below this, or of false ones, is a warning.
_FEW_LABELS = 0.25

#: Problems of one kind that are listed before the rest is counted.
_LISTED = 20


class Checked(Struct):
    """The result of a check: what is wrong, what to know, and the figures of each format.

    `problems` are reasons not to use the export; `warnings` are not. Both are sentences. `held` are the texts that hold
    an item of an evaluation set.
    """

    out: str
    problems: list[str]
    warnings: list[str]
    formats: list[FormatFindings]
    held: list[Held] = []

    def __repr__(self) -> str:
        verdict = counted(len(self.problems), "problem") if self.problems else "whole and right"
        rows = ", ".join(f"{found.rows:,} rows of {found.format}" for found in self.formats)
        return f"Checked({self.out!r}: {verdict}, {counted(len(self.warnings), 'warning')}, {rows})"

    @property
    def passed(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.problems


def check(
    out: AnyPath,
    *,
    tools: Names | None = None,
    max_tokens: int | None = None,
    tokenizer: AnyPath | None = None,
    decontaminate: Sets = None,
    advance: Callable[[int, int], None] | None = None,
) -> Checked:
    """Check an export from its files alone, and return what is wrong and what its rows are like.

    `tools` names training tools (`shp_miner.checking.tools.TOOLS`): how many rows each would keep is in
    `Checked.formats[...].tools`. `max_tokens` is the limit at which a trainer cuts or drops texts; None means 512,
    1,024 and 2,048. It counts words, or tokens of the `tokenizer` file (a tokenizer.json). Texts that hold an item of
    `decontaminate` (files, or what `evaluation_sets` returns) are a problem, and in `Checked.held`. `advance(done, of)`
    is called with bytes.

    Raises BadInput if `out` is not an export, if its manifest is damaged or of another version, or for a tokenizer
    file that cannot be read; UsageError for an unknown tool, or if the library `tokenizers` is not installed.
    """
    folder = expanded(out)
    readings = readings_for(several(tools, "tools"))
    max_tokens = whole_number(max_tokens, "max_tokens")
    units = Units(expanded(tokenizer) if tokenizer is not None else None)
    sets = as_sets(decontaminate)
    search = None if sets is None else Search(sets)
    exports = opened(folder)
    of = sum(file.bytes for export in exports for file in export.row_files)
    problems = list(manifest_problems(folder, exports))
    found, done = [], 0
    for export in exports:
        problems += schema_problems(export)
        rows = Rows(export, readings, units, list(LIMITS) if max_tokens is None else [max_tokens], max_tokens)
        damaged = {file.path: problem for file in export.files if (problem := file_problem(export, file))}
        problems += damaged.values()
        for file in export.row_files:
            texts = export.texts_of(file)
            if not damaged.keys() & {file.path, *(text.path for text in texts)}:
                problem = _read(rows, search, export, file)
                problems += [problem] if problem else []
            done += file.bytes
            if advance is not None:
                advance(done, of)
        found.append(rows.found())
        problems += found[-1].problems
    if not problems:  # a card of broken files, and what `datasets` makes of them, say nothing new
        problems += card_problems(folder, exports)
    if not problems:  # only a card that lists our files and no others is given to `datasets`
        problems += [problem for export in exports if (problem := loading_problem(export))]
    warnings = [warning for export, one in zip(exports, found, strict=True) for warning in _warnings(export, one)]
    if search is not None:
        problems += search.problems()
    held = [] if search is None else search.found
    return Checked(str(folder), _listed(problems), list(dict.fromkeys(warnings)), found, held)


def _read(rows: Rows, search: Search | None, export: Opened, file: Shard) -> str | None:
    """Check the rows of a file; return why it cannot be read."""
    try:
        for table in row_tables(export, file):
            rows.add(table, file.split, file.path)
            if search is not None:
                search.add(export.form.name, table, file.split)
    except (OSError, pa.ArrowException) as error:
        return f"{file.path} cannot be read: {error}"
    except BadInput as error:
        return f"{file.path} cannot be read: {error.message}"
    return None


def _warnings(export: Opened, found: FormatFindings) -> list[str]:
    """What does not make an export wrong, and whoever trains on it should know."""
    name, said = export.form.name, []
    rule = export.manifest["configuration"].get("rule")
    if isinstance(rule, dict) and rule.get("confounded"):
        said.append(f"The labels of the rule {rule.get('name')} follow attention: use them to compare, not to train.")
    for baseline in found.baselines:
        if baseline.name == LONGER and baseline.share > _LONGER_WINS_TOO_OFTEN:
            said.append(f"The longer answer wins {baseline.share:.1%} of the pairs: compare a model with that.")
    if found.questions_straddling:
        questions = counted(found.questions_straddling, "text")
        said.append(f"{questions} of a question in more than one split: different threads that ask the same.")
    for length in found.lengths:
        if length.equal:
            pairs = (
                f"{counted(length.equal, 'pair')} with two sides that are equal within {length.limit:,} {length.unit}"
            )
            said.append(f"{pairs}: a trainer that cuts there learns nothing from them.")
            break
    if found.label_share is not None and not _FEW_LABELS < found.label_share < 1 - _FEW_LABELS:
        said.append(f"{found.label_share:.0%} of the labels of {name} are true: weigh the two kinds in the trainer.")
    readable = {tool.tool for tool in found.tools if tool.with_question}
    for tool in dict.fromkeys(kept.tool for kept in found.tools if kept.tool not in readable):
        said.append(f"{tool} gets no row of {name} with its question, whatever its settings.")
    foreign = foreign_files(export)
    if foreign:
        said.append(f"{export.folder} has {foreign[0]}, which is not of the export; programs that glob read it.")
    if export.is_compact and found.tools:
        said.append("The layout is compact: tools get the rows that --for shows from shp_miner.load alone.")
    missing = [split for split in ("train", "test") if split not in {file.split for file in export.files}]
    said += [f"There is no split {split}." for split in missing]
    return said


def _listed(problems: list[str]) -> list[str]:
    once = list(dict.fromkeys(problems))
    return once if len(once) <= _LISTED else [*once[:_LISTED], f"{len(once) - _LISTED:,} more problems."]
