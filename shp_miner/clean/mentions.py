"""Mentions of people in texts: u/name, @name, who is quoted, and addresses of people's pages. Code has none."""

from __future__ import annotations

import re
from collections.abc import Callable

import polars as pl

#: Words behind "@" that are no names: rules of style sheets, annotations of code, and calls to everybody.
_NO_NAME = re.compile(
    "all|channel|everyone|here|import|include|layer|media|mixin|namespace|override|page|param|property|returns?|see|since|"
    "suppresswarnings|test|throws|todo|username|user|name|font-face|keyframes|charset|supports",
    re.IGNORECASE,
)
_MENTION = re.compile(
    r"```.*?```|~~~.*?~~~|`[^`\n]{1,500}`"
    r"|\bhttps?://(?P<host>[^\s/()<>\[\]]{1,250})/(?:[^\s/()<>\[\]]{1,80}/)??(?:u|user|users)/"
    r"(?P<page>(?:[0-9]{1,12}/)?(?P<person>[^\s/?#()<>\[\]]{1,80}))"
    r"|https?://[^\s()<>\[\]]+"
    r"|(?<![\w/.\\])(?:/?u/|/user/)(?P<name>(?:[A-Za-z0-9_-]|\\_){3,25})(?![\w/])"
    r"|(?<![\w@./:+\\-])@(?P<handle>[^\W\d](?:[\w.-]|\\_){0,38}\w(?:@(?P<home>(?:[\w-]{1,63}\.){1,4}[A-Za-z]{2,24}))?)"
    r"(?![\w@/]|\.\w)"
    r"|\[quote=[\"'“]?(?P<bracketed>[^\"'“”,;\]\n]{1,60})"
    r"|^(?:> ?){0,10}(?P<quoted>[\w.-]{1,60}):(?=[ ]{0,2}\n[ >\n]{0,20}>)",
    re.DOTALL | re.MULTILINE,
)
_UNIT = re.compile(r"\d ?$")
_GATE = r"(?i)@[^\W\d]|\b(?:u|user|users)/\w|\[quote=|:[ ]{0,2}\n[ >\n]{0,20}>"
_PREFIX = re.compile(r"(?:www|old|new|np|m)\.")
#: How Discourse's HTML says who is quoted.
_QUOTED = re.compile(r'data-username="([^"<>]{1,60})"')


def replace_mentions(
    texts: pl.Series, bodies: pl.Series, sites: pl.Series, written: Callable[[str, str], str]
) -> tuple[pl.Series, int]:
    """Return texts with each name that they mention replaced, and how many there were.

    `bodies` are the texts as their `sites` wrote them; `written(site, name)` gives what stands for a name. A leading
    "u/" or "@" and the site of a page stay.
    """
    rows = texts.str.contains(_GATE).arg_true()
    changed, count = [], 0
    for text, body, site in zip(texts.gather(rows), bodies.gather(rows), sites.gather(rows), strict=True):
        quoted = frozenset(_QUOTED.findall(body or ""))
        parts, place = [], 0
        for found in _MENTION.finditer(text):
            group = _group(found, quoted)
            if group is not None:
                name = found["person"] if group == "page" else found[group].partition("@")[0].replace("\\_", "_")
                home = _PREFIX.sub("", found["host"].lower(), count=1) if group == "page" else found["home"]
                parts += [text[place : found.start(group)], written(home or site, name)]
                place = found.end(group)
                count += 1
        changed.append("".join([*parts, text[place:]]))
    return (texts.clone().scatter(rows, pl.Series(changed, dtype=pl.String)) if len(rows) else texts), count


def _group(found: re.Match[str], quoted: frozenset[str]) -> str | None:
    """The group with the name of a mention; None for what is none."""
    if found["page"]:
        return "page"
    if found["handle"]:
        return None if _NO_NAME.fullmatch(found["handle"]) else "handle"
    if found["name"]:
        return None if _UNIT.search(found.string, max(0, found.start() - 2), found.start()) else "name"
    if found["quoted"]:
        return "quoted" if found["quoted"] in quoted else None
    return "bracketed" if found["bracketed"] else None
