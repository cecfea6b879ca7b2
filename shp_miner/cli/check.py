"""`shp-miner check`: check an export from its files, and show what training tools would keep of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from shp_miner.cli.layout import say_lines, width, wrapped
from shp_miner.cli.names import flat
from shp_miner.cli.options import FilePath, Whole, common, example
from shp_miner.cli.output import Marked, print_marked, print_table, progress, show_result
from shp_miner.cli.saying import harmless_text, say
from shp_miner.cli.screening import screening_options, taken_sets
from shp_miner.tally import counted

if TYPE_CHECKING:
    from shp_miner.checking.baselines import Baseline
    from shp_miner.checking.check import Checked
    from shp_miner.checking.held import Held
    from shp_miner.checking.readings import Messages
    from shp_miner.checking.rows import FormatFindings
    from shp_miner.checking.tools import Kept

#: Characters beside a message's text: the indent and the role.
_BESIDE = 20

_ONE = {"question": "a question", "answer": "an answer"}

#: Texts that hold an item, and lines of each.
_HELD, _HELD_LINES = 20, 4


class ToolNames(click.ParamType[tuple[str, ...]]):
    """One tool, or several with commas between them."""

    name = "tool"

    def convert(
        self,
        value: str | tuple[str, ...],
        param: click.Parameter | None,  # noqa: ARG002
        ctx: click.Context | None,  # noqa: ARG002
    ) -> tuple[str, ...]:
        """The names in lower case; the check itself refuses an unknown one."""
        if isinstance(value, tuple):
            return value
        return tuple(part.strip().casefold().replace("_", "-") for part in value.split(",") if part.strip())

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """The tools that begin so, behind those before the last comma."""
        from shp_miner.checking.tools import TOOLS

        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(f"{before}{comma}{tool}") for tool in TOOLS if tool.startswith(last.casefold())]


@click.command(
    "check",
    epilog=example("shp-miner check data/eli5", "shp-miner check data/eli5 --for trl,rewardbench --max-tokens 1024"),
)
@click.argument("out", type=FilePath())
@click.option(
    "--for",
    "tools",
    type=ToolNames(),
    multiple=True,
    callback=flat,
    help="Show what these tools would keep: trl, rewardbench, llama-factory, axolotl, openrlhf, rlhflow. "
    "Repeatable, or with commas.",
)
@click.option(
    "--max-tokens",
    type=Whole(min=1),
    metavar="N",
    help="Count pairs longer than N words (with --tokenizer: tokens), and pairs that are equal within them.",
)
@screening_options("Show texts that hold an item of this evaluation set")
@click.option("--tokenizer", type=FilePath(), metavar="FILE", help="Count tokens of this tokenizer.json.")
@common
def command(
    out: Path,
    tools: tuple[str, ...],
    max_tokens: int | None,
    tokenizer: Path | None,
    store: Path,  # noqa: ARG001 - every command takes it
    as_json: bool,
    quiet: bool,
    **screening: Any,
) -> int:
    """Check from its files alone whether the export OUT is whole and right, and what its labels are worth.

    It checks the schema, columns, empty and equal answers, sides, splits, hashes, row counts and the card. The
    table shows how often rules of thumb agree with the labels, with 95 % intervals over threads. Exit code 5 means that
    the export is not right; the problems are listed. Warnings do not change the exit code.
    """
    import msgspec

    from shp_miner.checking.check import check

    sets = taken_sets(screening)
    with progress("Checking", quiet=quiet, unit="bytes") as meter:
        checked = check(
            out, tools=tools, max_tokens=max_tokens, tokenizer=tokenizer, decontaminate=sets, advance=meter.reached
        )
    data = {"passed": checked.passed, **msgspec.to_builtins(checked)}
    show_result(data, lambda: _show(checked), as_json=as_json, quiet=quiet)
    return 0 if checked.passed else 5


def _show(checked: Checked) -> None:
    """Print the verdict, what is wrong, and the tables."""
    rows = counted(sum(found.rows for found in checked.formats), "row")
    names = ", ".join(found.format for found in checked.formats)
    if checked.passed:
        print_marked(Marked(f"{checked.out} is whole and right: {rows} of {names}.", "good"))
    else:
        problems = counted(len(checked.problems), "problem")
        print_marked(Marked(f"{checked.out} is not right: {problems}.", "wrong"))
        print_marked(*(Marked(f"! {problem}", "wrong") for problem in checked.problems))
    print_marked(*(Marked(f"* {warning}", "waiting") for warning in checked.warnings))
    _show_held(checked.held)
    say("")
    _show_baselines(checked.formats)
    _show_lengths(checked.formats)
    kept = [(found.format, tool) for found in checked.formats for tool in found.tools]
    if kept:
        _show_tools(kept)


def _show_held(held: list[Held]) -> None:
    """Print items and the texts that hold them, side by side; `--json` has all."""
    for one in held[:_HELD]:
        say("", f"{one.item}, {one.share:.0%} of it in {_ONE[one.of]} ({one.format}, {one.split})")
        for side, text in (("item", " ".join(one.item_text.split())), ("text", one.passage)):
            say(f"  {side}:")
            say_lines(wrapped(harmless_text(text), indent="    ", lines=_HELD_LINES, cut="..."))
    if len(held) > _HELD:
        say("", f"and {counted(len(held) - _HELD, 'text')} more; --json has all")


def _show_baselines(formats: list[FormatFindings]) -> None:
    from shp_miner.checking.baselines import EARLIER, HIGHER, LONGER

    names = (LONGER, EARLIER, HIGHER)
    rows = []
    for found in formats:
        known = {baseline.name: _share(baseline) for baseline in found.baselines}
        rows.append((found.format, found.rows, found.threads, *(known.get(name) for name in names)))
    shown = [place for place, name in enumerate(names, start=3) if any(row[place] for row in rows)]
    columns = ("format", "rows", "threads", *(names[place - 3] for place in shown))
    cells = [(*row[:3], *(row[place] for place in shown)) for row in rows]
    print_table("Rows, and how often a rule of thumb agrees", columns, cells)


def _share(baseline: Baseline) -> str:
    return f"{baseline.share:.1%} ({baseline.low:.1%} to {baseline.high:.1%})"


def _show_lengths(formats: list[FormatFindings]) -> None:
    rows = [
        (found.format, f"{length.limit:,} {length.unit}", length.longer, length.equal)
        for found in formats
        for length in found.lengths
        if length.longer
    ]
    if rows:
        print_table("Pairs above a limit", ("format", "limit", "longer", "equal within it"), rows)


def _show_tools(kept: list[tuple[str, Kept]]) -> None:
    shown = [(name, tool) for name, tool in kept if tool.with_question or not _fits(kept, name, tool.tool)]
    rows = [
        (name, f"{tool.tool} {tool.version}", tool.setting, f"{tool.with_question:,} of {tool.rows:,}",
         Marked(tool.verdict, "good" if tool.with_question == tool.rows else "waiting"), _limit(tool))
        for name, tool in shown
    ]  # fmt: skip
    columns = ("format", "tool", "setting", "rows with question", "what happens", "longer rows")
    print_table("What training tools would keep", columns, rows, leave=("longer rows",))
    if len(shown) < len(kept):
        say(f"and {counted(len(kept) - len(shown), 'setting')} that do not fit the format; --json has all", "")
    for heading, row in _rows_seen(shown):
        say(heading)
        for side, seen in row.items():
            say(f"  {side}")
            messages = [{"role": "text", "content": _ends(seen)}] if isinstance(seen, str) else seen
            for message in messages or [{"role": "nothing", "content": ""}]:
                text = " ".join(message["content"].split())
                say(f"    {message['role']}: {_shortened(text)}")


def _shortened(text: str) -> str:
    """The beginning of a text, as much as fits in a line."""
    room = width() - _BESIDE
    return text if len(text) <= room else f"{text[:room]}..."


def _ends(text: str) -> str:
    """The beginning and the end of a text: of a prompt and an answer in one, both are to be seen."""
    text = " ".join(text.split())
    room = (width() - _BESIDE - 5) // 2
    return text if len(text) <= 2 * room else f"{text[:room]} ... {text[-room:]}"


def _fits(kept: list[tuple[str, Kept]], form: str, name: str) -> bool:
    """Whether a setting of a tool keeps questions of a format; then its other settings are no news."""
    return any(tool.with_question for other, tool in kept if (other, tool.tool) == (form, name))


def _limit(tool: Kept) -> str:
    """What the tool does with long rows."""
    from shp_miner.checking.tools import DROPS

    if tool.limit is None:
        return "as they are"
    return f"{'dropped' if tool.over == DROPS else 'cut'} over {tool.limit:,} tokens"


def _rows_seen(kept: list[tuple[str, Kept]]) -> list[tuple[str, dict[str, Messages | str]]]:
    """The row of each format as the tools see it, under a heading; tools that see the same share one.

    Of each tool, that is the setting that keeps the most questions, if it keeps a row.
    """
    seen: list[tuple[str, list[str], dict[str, Messages | str]]] = []
    for name, tool in dict.fromkeys((name, one.tool) for name, one in kept):
        best = max((one for form, one in kept if (form, one.tool) == (name, tool)), key=lambda one: one.with_question)
        same = next((tools for form, tools, row in seen if (form, row) == (name, best.row)), None)
        if same is not None:
            same.append(tool)
        elif best.row is not None:
            seen.append((name, [tool], best.row))
    return [(f"A row of {name} as {_listed(tools)} it:", row) for name, tools, row in seen]


def _listed(tools: list[str]) -> str:
    *others, last = tools
    return f"{', '.join(others)} and {last} see" if others else f"{last} sees"
