"""The pages of the documentation: in the installed package, or in the repository of a checkout."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath

from shp_miner.errors import BadInput, UsageError, likely

_PACKAGE = Path(__file__).resolve().parent.parent
_README = "readme"
_HEADING = re.compile(r"(#{1,6}) (.+)")
_FENCE = re.compile(r"\s*(```|~~~)")
_QUESTION = re.compile(r"\| ([^|]+) \| (.*\]\(.*) \|")
_LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)\.md(#[^)]+)?\)")

_TO_PAGE = re.compile(r"(?<!!)\[([^\]]*)\]\((?:([\w./-]+)\.md)?(#[^)]+)?\)")

#: A word of a page, and how alike one must be to be suggested: there are thousands.
_WORD = re.compile(r"[a-z][\w-]{3,}")
_ALIKE = 0.8

#: Sections that a search names at most.
_HITS = 12


@dataclass(frozen=True)
class Section:
    """A part of a page: from its heading to the next heading of its level. `slug` is "" for the whole page."""

    page: str
    heading: str
    slug: str
    level: int
    text: str

    @property
    def address(self) -> str:
        """What `shp-miner docs` takes for the section."""
        return f"{self.page}#{self.slug}" if self.slug else self.page


def pages() -> dict[str, Path]:
    """Return the pages by name ("rules", "decisions/delta"), the front page first.

    Raises BadInput if the installation has none.
    """
    folders = (_PACKAGE / "docs", _PACKAGE.parent / "docs")
    folder = next((folder for folder in folders if (folder / "index.md").is_file()), None)
    if folder is None:
        raise BadInput("This installation lacks the pages of the documentation.", "Install shp-miner again.")
    found = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.md"))}
    readme = next((path for path in (folder / "readme.md", folder.parent / "README.md") if path.is_file()), None)
    front = {"index": found.pop("index")} | ({_README: readme} if readme is not None else {})
    return {**front, **found}


def title(path: Path) -> str:
    """Return the title of a page."""
    with path.open(encoding="utf-8") as file:
        return next((found[2] for line in file if (found := _HEADING.match(line))), path.stem).strip()


def questions() -> list[tuple[str, list[str]]]:
    """Return what people want, with the pages that say how, from the tables of the front page."""
    text = pages()["index"].read_text(encoding="utf-8")
    rows = [(found[1].strip(), found[2]) for line in text.splitlines() if (found := _QUESTION.match(line))]
    return [(asked, [f"{page}{heading or ''}" for page, heading in _LINK.findall(links)]) for asked, links in rows]


def section(address: str) -> Section | None:
    """Return the page or the section (page#heading) of an address in any letter case; None if there is none.

    Raises UsageError for a heading that its page lacks.
    """
    name, _, wanted = address.strip().casefold().partition("#")
    name = name.removeprefix("docs/").removesuffix(".md") or "index"
    known = pages()
    if name not in known:
        return None
    whole, *parts = sections(name, known[name])
    if not wanted:
        return whole
    found = next((part for part in parts if wanted in (part.slug, part.heading.casefold())), None)
    if found is None:
        near = likely(wanted, [part.slug for part in parts])
        hint = f"Did you mean {name}#{near}?" if near else f"`shp-miner docs {name}` shows the whole page."
        raise UsageError(f"The page {name} has no section {wanted!r}.", hint)
    return found


def with_commands(part: Section) -> str:
    """Return the text of a section whose links to pages say what `shp-miner docs` takes for them."""

    def said(link: re.Match[str]) -> str:
        text, page, heading = link[1], link[2], link[3] or ""
        folder = PurePosixPath(part.page if part.page != _README else "").parent
        name = posixpath.normpath(folder / page).removeprefix("docs/") if page else part.page
        command = f"`docs {name}{heading}`"
        named = text.strip("`").casefold().removesuffix(heading).removesuffix(".md")
        return command if named == name else f"{text} ({command})"

    return _TO_PAGE.sub(said, part.text)


def search(words: str) -> list[Section]:
    """Return the smallest sections that have all the words, those with one in the heading first."""
    wanted = [word for word in re.split(r"[\s_]+", words.casefold()) if word]
    hits: list[tuple[int, int, int, Section]] = []
    for name, path in pages().items():
        for part in sections(name, path)[1:]:
            own, heading = _own(part.text).casefold().replace("_", " "), part.heading.casefold()
            if all(word in own for word in wanted):
                named = sum(word in heading for word in wanted)
                hits.append((-named, -sum(own.count(word) for word in wanted), len(hits), part))
    return [part for *_, part in sorted(hits, key=lambda hit: hit[:3])][:_HITS]


def nearest_words(words: str) -> str:
    """Return words that some page has, each the nearest to one of the given ones; "" if one has none that is near."""
    known = {word for path in pages().values() for word in _WORD.findall(path.read_text(encoding="utf-8").casefold())}
    near = [[word] if word in known else get_close_matches(word, known, 1, _ALIKE) for word in words.casefold().split()]
    found = " ".join(words[0] for words in near if words)
    return found if all(near) and search(found) else ""


def sections(name: str, path: Path) -> list[Section]:
    """Return the whole page first, and then each of its sections in order."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    heads = list(_headings(lines))
    seen: dict[str, int] = {}
    found = [Section(name, title(path), "", 0, text)]
    for number, (begin, level, heading) in enumerate(heads):
        end = next((line for line, other, _ in heads[number + 1 :] if other <= level), len(lines))
        slug = slugged(heading)
        seen[slug] = seen.get(slug, 0) + 1
        slug = slug if seen[slug] == 1 else f"{slug}_{seen[slug] - 1}"
        found.append(Section(name, heading, slug, level, "\n".join(lines[begin:end]).strip() + "\n"))
    return found


def slugged(heading: str) -> str:
    """Return the anchor of a heading, as the site of the pages has it."""
    plain = re.sub(r"[^\w\s-]", "", heading).strip().lower()
    return re.sub(r"[-\s]+", "-", plain)


def _headings(lines: list[str]) -> Iterator[tuple[int, int, str]]:
    """Yield the line, the level and the text of each heading outside of blocks of code."""
    in_code = False
    for number, line in enumerate(lines):
        if _FENCE.match(line):
            in_code = not in_code
        found = None if in_code else _HEADING.fullmatch(line.rstrip())
        if found:
            yield number, len(found[1]), found[2].replace("`", "")


def _own(text: str) -> str:
    """Return a section's text up to its first section inside."""
    first, *rest = text.splitlines()
    inner = next((number for number, *_ in _headings(rest)), len(rest))
    return "\n".join([first, *rest[:inner]])
