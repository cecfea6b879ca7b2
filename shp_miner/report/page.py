"""The page of a report: one file that loads nothing and needs no script."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from shp_miner.export.owned import REPORT_MARK
from shp_miner.pages.frame import document
from shp_miner.pages.markup import link, rendered, safe, shortened, web_address
from shp_miner.report.figure import Cell, Figure
from shp_miner.report.titles import GROUPS, TITLES
from shp_miner.show.parts import Part as Text
from shp_miner.show.parts import Shown
from shp_miner.tally import counted

#: Rows of a table behind a figure; JSON has all.
_TABLE_ROWS = 200

#: Characters of a text that are shown of a question and of an answer.
_QUESTION_CHARS, _ANSWER_CHARS = 600, 900

#: Bytes of the pairs to read, so that a page stays below 2 MB whatever the texts are.
_PAIRS_BYTES = 1_000_000


def page(
    title: str, about: Sequence[tuple[str, str]], figures: Sequence[Figure], drawings: dict[str, str],
    samples: dict[str, list[Shown]], notes: Sequence[str],
) -> str:  # fmt: skip
    """Return the whole page. `drawings` are SVG elements by the name of the figure; `about` are plain texts."""
    groups = {
        group: own for group, names in GROUPS.items() if (own := [figure for figure in figures if figure.name in names])
    }
    sections = [_section(group, own, drawings) for group, own in groups.items()]
    anchors = [(_anchor(group), group) for group in groups]
    if samples:
        sections.append(_samples(samples))
        anchors.append(("read", "Pairs to read"))
    links = "".join(f'<li><a href="#{anchor}">{safe(words)}</a></li>' for anchor, words in anchors)
    facts = "".join(f"<dt>{safe(name)}</dt><dd>{safe(value)}</dd>" for name, value in about)
    told = "".join(f"<p>{safe(note)}</p>" for note in notes)
    body = (
        f'<header><h1>{safe(title)}</h1><dl class="about">{facts}</dl>{told}'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header>\n<main>\n{"".join(sections)}</main>'
    )
    return document(title, body, made_by=REPORT_MARK)


def _anchor(group: str) -> str:
    return f"part-{group.lower().replace(' ', '-')}"


def _section(group: str, figures: Iterable[Figure], drawings: dict[str, str]) -> str:
    anchor = _anchor(group)
    inside = "".join(_figure(figure, drawings[figure.name]) for figure in figures)
    head = f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{safe(group)}</h2>'
    return f'{head}\n<div class="figures">{inside}</div></section>\n'


def _figure(figure: Figure, drawing: str) -> str:
    name, title = figure.name, TITLES[figure.name]
    finding = "".join(f"<p>{_sentence(sentence)}</p>" for sentence in figure.finding)
    return (
        f'<figure id="{name}"><h3 id="{name}-title">{safe(title)}</h3>{drawing}'
        f'<figcaption id="{name}-finding">{finding}</figcaption>'
        f"<details><summary>Numbers: {safe(title.lower())}</summary>{_table(figure)}</details></figure>\n"
    )


def _sentence(words: str) -> str:
    """Return a finding as HTML: commands between backticks as code, and a number with its per cent in one line."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", safe(words)).replace(" %", "&nbsp;%")


def _table(figure: Figure) -> str:
    numbers = [
        all(isinstance(row[place], int | float | None) for row in figure.rows) for place in range(len(figure.columns))
    ]
    head = "".join(
        f'<th scope="col"{_NUMBER * number}>{safe(name)}</th>'
        for name, number in zip(figure.columns, numbers, strict=True)
    )
    shown = figure.rows[:_TABLE_ROWS]
    rows = "".join(
        "<tr>"
        + "".join(f"<td{_NUMBER * number}>{safe(_cell(cell))}</td>" for cell, number in zip(row, numbers, strict=True))
        + "</tr>"
        for row in shown
    )
    left = len(figure.rows) - len(shown)
    more = f'<p class="faint">And {left:,} more rows, which the JSON file has.</p>' if left else ""
    label = f'tabindex="0" role="region" aria-label="Table: {safe(TITLES[figure.name].lower())}"'
    return f'<div class="scroll" {label}><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{more}'


_NUMBER = ' class="number"'


def _cell(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.4g}" if abs(cell) < 1 else f"{cell:,.2f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


# -- pairs to read ----------------------------------------------------------------------------------------------------


def _samples(samples: dict[str, list[Shown]]) -> str:
    """Return the pairs of each community, in turn until the room for them is full."""
    held: dict[str, list[str]] = {community: [] for community in samples}
    size, full = 0, False
    for turn in range(max(map(len, samples.values()))):
        for community, rows in samples.items():
            if turn < len(rows) and not full:
                pair = _pair(rows[turn], turn + 1)
                size += len(pair.encode())
                full = size > _PAIRS_BYTES
                held[community] += [] if full else [pair]
    parts: list[str] = []
    for community, pairs in held.items():
        summary = f"<summary>{safe(community)}: {counted(len(pairs), 'pair')}</summary>"
        is_open = "" if parts else " open"
        parts += [f"<details{is_open}>{summary}{''.join(pairs)}</details>"] if pairs else []
    said = "A sample by hash, the same at every call. Long texts are cut; the links lead to the source."
    head = f'<section aria-labelledby="read"><h2 id="read">Pairs to read</h2><p class="faint">{said}</p>'
    return f"{head}{''.join(parts)}</section>\n"


def _pair(row: Shown, number: int) -> str:
    question, *answers = row.parts
    facts = ", ".join([row.split, *row.facts] if row.split else row.facts)
    sides = "".join(_side(answer, preferred=place == 0) for place, answer in enumerate(answers))
    source = link(row.url, _where(row.url)) if row.url else "The row has no address."
    return (
        f'<article class="pair"><h3>{safe(row.community)}, pair {number}</h3><p class="faint">{safe(facts)}</p>'
        f'{_text(question, _QUESTION_CHARS)}<div class="sides">{sides}</div><p class="source">{source}</p></article>\n'
    )


def _side(answer: Text, *, preferred: bool) -> str:
    kind = "side preferred" if preferred else "side"
    return f'<div class="{kind}">{_text(answer, _ANSWER_CHARS)}</div>'


def _text(part: Text, most: int) -> str:
    about = [f"score {part.score:,}"] if part.score is not None else []
    about += [f"written {part.written_at:%Y-%m-%d %H:%M}"] if part.written_at is not None else []
    told = f' <span class="faint">({safe(", ".join(about))})</span>' if about else ""
    kept, left = shortened(part.text, most)
    more = f'<p class="faint">… {left:,} more characters.</p>' if left else ""
    return f'<p class="label">{safe(part.label)}{told}</p>{rendered(kept)}{more}'


def _where(url: str | None) -> str:
    address = web_address(url)
    return f"The thread at {address.split('/')[2]}" if address is not None else str(url)
