"""The measurements as a Markdown page and as JSON. Medians, with the least and the most in brackets."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cases import CAREFUL_PANDAS, EVERYTHING, JSON, ONE_COMMUNITY, PANDAS, PYTHON_FLOOR, TOOL, ZSTD, Case
from benchmarks.measure import Measure

MIB = 1 << 20
PACKAGES = ("shp-miner", "polars", "pyarrow", "pandas", "msgspec", "deltalake", "zstandard", "orjson", "duckdb")
TOGETHER = "together"


@dataclass
class Row:
    """The runs of one step of one contender; `together` sums the steps of contenders that have several."""

    contender: str
    step: str
    runs: list[Measure] = field(default_factory=list)

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.contender}: {self.step}" if self.step else self.contender

    @property
    def comparable(self) -> bool:
        """Whether the step is a whole job; an import is, since it ends in a store that people keep."""
        return self.step in ("", "import", TOGETHER)

    def median(self, figure: str) -> float | None:
        """The median of one of Measure's numbers; None where it could not be measured."""
        values = self.values(figure)
        return statistics.median(values) if values else None

    def values(self, figure: str) -> list[float]:
        """One of Measure's numbers for every run."""
        return [value for value in (getattr(run, figure) for run in self.runs) if value is not None]


@dataclass
class Result:
    """A case with its rows, what its contenders agreed on, and why some could not take part."""

    case: Case
    rows: list[Row]
    evidence: dict[str, dict[str, Any]]
    failures: dict[str, str]

    def total(self, contender: str) -> Row | None:
        """The row that stands for all of a contender's work."""
        own = [row for row in self.rows if row.contender == contender]
        return own[-1] if own else None

    def step(self, contender: str, step: str) -> Row | None:
        """The row of one of a contender's steps."""
        return next((row for row in self.rows if (row.contender, row.step) == (contender, step)), None)


def together(measures: Sequence[Measure]) -> Measure:
    """Steps one after the other as one: times add up, of memory the highest counts."""

    def highest(values: Sequence[int | None]) -> int | None:
        known = [value for value in values if value is not None]
        return max(known) if known else None

    return Measure(
        wall_s=sum(measure.wall_s for measure in measures),
        cpu_s=sum(measure.cpu_s for measure in measures),
        peak_rss_bytes=highest([measure.peak_rss_bytes for measure in measures]),
        peak_pss_bytes=highest([measure.peak_pss_bytes for measure in measures]),
        largest_bytes=max(measure.largest_bytes for measure in measures),
        exit_code=measures[-1].exit_code,
        output="",
        error="",
    )


def machine(load: float) -> dict[str, str]:
    """Facts about the machine that say nothing about whose it is. `load` is the load average before the first run."""
    facts = {
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "load average before the first run": f"{load:.1f}",
        "Python": platform.python_version(),
    }
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        facts["processor"] = names[0] if names else "unknown"
    try:
        said = subprocess.run(["zstd", "--version"], capture_output=True, text=True, check=True).stdout
        facts["zstd"] = next((word.strip(",") for word in said.split() if word.startswith("v1")), "unknown")
    except OSError:
        facts["zstd"] = "not installed"
    return facts | {name: importlib.metadata.version(name) for name in PACKAGES}


def page(results: Sequence[Result], facts: dict[str, str], runs: int) -> str:
    """The whole report in Markdown."""
    parts = [
        f"Medians of {runs} runs (least to most), in turns: first one run of everybody, then the next. Times are of "
        "whole processes. Memory is the highest sum over the process tree: RSS counts shared pages once for each "
        "process, PSS divides them among all processes of the machine; `largest` is the kernel's record of the "
        "largest process. `against` is the reference's median time divided by the row's: above 1 is faster than the "
        "reference.",
        ", ".join(f"{name} {value}" for name, value in facts.items()) + ".",
    ]
    claims = [line for result in results for line in _claims(result)]
    if claims:
        parts.append("| what | ratio of medians | ratio in each round |\n|---|---:|---:|\n" + "\n".join(claims))
    parts += [_section(result) for result in results]
    return "\n\n".join(parts) + "\n"


def as_json(results: Sequence[Result], facts: dict[str, str]) -> dict[str, Any]:
    """Everything, with every single run, for machines."""
    return {
        "machine": facts,
        "cases": [
            {
                "name": result.case.name,
                "title": result.case.title,
                "raw_bytes": result.case.raw_bytes,
                "evidence": result.evidence,
                "failures": result.failures,
                "rows": [
                    {"contender": row.contender, "step": row.step, "runs": [_numbers(run) for run in row.runs]}
                    for row in result.rows
                ],
            }
            for result in results
        ],
    }


def _numbers(run: Measure) -> dict[str, Any]:
    return {name: value for name, value in asdict(run).items() if name not in ("output", "error")}


def _section(result: Result) -> str:
    case = result.case
    references = [total for total in map(result.total, case.references) if total]
    unit = "MB/s" if case.raw_bytes else "pairs/s"
    heads = [
        "",
        "wall s",
        "CPU s",
        unit,
        "RSS MiB",
        "PSS MiB",
        "largest MiB",
        *(f"against {r.name}" for r in references),
    ]
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    for row in result.rows:
        cells = [
            row.name,
            _spread(row.values("wall_s"), lambda v: f"{v:.2f}"),
            f"{row.median('cpu_s'):.2f}",
            _rate(result, row),
            *(_mib(row, name) for name in ("peak_rss_bytes", "peak_pss_bytes", "largest_bytes")),
            *(_ratio(reference, row, "wall_s") if row.comparable else "" for reference in references),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    text = f"## {case.title}\n\n" + "\n".join(lines)
    if result.evidence:
        text += "\n\nThe results held " + "; ".join(_agreed(what) for what in _distinct(result)) + "."
    for name, reason in result.failures.items():
        text += f"\n\n{name}: not possible ({reason})."
    return text


def _distinct(result: Result) -> list[tuple[str, dict[str, Any]]]:
    seen: list[tuple[str, dict[str, Any]]] = []
    for name, what in result.evidence.items():
        if what not in [already for _, already in seen]:
            seen.append((name if result.case.name == "scale" else "", what))
    return seen


def _agreed(found: tuple[str, dict[str, Any]]) -> str:
    name, what = found
    said = ", ".join(f"{value:,} {key}" for key, value in what.items() if isinstance(value, int))
    return f"{said} ({name})" if name else f"{said}, the same for everybody"


def _rate(result: Result, row: Row) -> str:
    wall_s = row.median("wall_s") or 0
    if result.case.raw_bytes:
        return f"{result.case.raw_bytes / 1e6 / wall_s:,.0f}" if row.comparable else ""
    made = result.evidence.get(row.contender, {}).get("pairs")
    return f"{made / wall_s:,.0f}" if made and row.step != "import" else ""


def _claims(result: Result) -> list[str]:
    """The few ratios that matter, as lines of a table."""
    tool = result.total(TOOL)
    name = result.case.name
    floor = result.total(ZSTD) or result.total(PYTHON_FLOOR)
    found: list[tuple[str, Row | None, Row | None, str]] = []
    if name == "filtered" and floor:
        found.append((f"filtered import, speed against {floor.name}", floor, result.step(TOOL, "import"), "wall_s"))
        found.append((f"filtered import and export, speed against {JSON}", result.total(JSON), tool, "wall_s"))
    elif name == "unfiltered":
        found.append((f"unfiltered import, speed against {JSON}", result.total(JSON), tool, "wall_s"))
    elif name.startswith("pairs"):
        found += [
            (f"{name}: speed against {peer}", result.total(peer), tool, "wall_s") for peer in (PANDAS, CAREFUL_PANDAS)
        ]
    elif name == "scale":
        for what, step in ((EVERYTHING, "import"), (EVERYTHING, "export"), (ONE_COMMUNITY, "")):
            rows = result.step(f"{what}, 10x", step), result.step(f"{what}, 1x", step)
            for label, figure in (("time", "wall_s"), ("peak RSS", "peak_rss_bytes")):
                subject = f"{step} of {what}" if step else what
                found.append((f"{subject}, {label} at 10x input against 1x", *rows, figure))
    lines = []
    for what, above, below, figure in found:
        if above and below and above.median(figure) and below.median(figure):
            ratios = [a / b for a, b in zip(above.values(figure), below.values(figure), strict=True)]
            lines.append(f"| {what} | {_ratio(above, below, figure)} | {min(ratios):.2f} to {max(ratios):.2f} |")
    return lines


def _ratio(above: Row, below: Row, figure: str) -> str:
    a, b = above.median(figure), below.median(figure)
    return f"{a / b:.2f}" if a and b else ""


def _spread(values: Sequence[float], shown: Callable[[float], str]) -> str:
    return f"{shown(statistics.median(values))} ({shown(min(values))} to {shown(max(values))})"


def _mib(row: Row, figure: str) -> str:
    value = row.median(figure)
    return "" if value is None else f"{value / MIB:,.0f}"
