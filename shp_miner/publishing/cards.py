"""The card on the Hub: ours replaces what shp-miner wrote before, and what people added stays.

A card has YAML between two lines `---`, then text. What shp-miner writes of the text stands between two marker lines.
"""

from __future__ import annotations

import re

from shp_miner.errors import BadInput

BEGIN, END = "<!-- shp-miner:begin -->", "<!-- shp-miner:end -->"

#: Keys that describe data files which a push replaces: a value of an earlier export would be wrong.
_OF_THE_FILES = {"dataset_info", "configs", "license_name", "license_link", "size_categories"}

#: Lists to which people may add: entries of both cards stay.
_SHARED_LISTS = ("tags", "language")

#: The data set's name, which people may replace, and how a name of ours begins.
_NAME, _GENERATED_NAME = "pretty_name", "Forum preferences: "

#: The title of cards that were written without markers.
_UNMARKED = "# Preferences mined from forums"

_FRONT = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$\n?", re.DOTALL | re.MULTILINE)
_KEY = re.compile(r"[\"']?([A-Za-z_][\w.-]*)[\"']?\s*:")


def merged_card(ours: str, theirs: str | None, where: str = "the card") -> str:
    """Return our card with what people added to the one on the Hub (None: there is none).

    Kept: YAML keys that ours does not have, another name, more tags and languages, and all text outside of the markers.
    Everything between the markers is replaced. `where` names the card on the Hub in messages. Raises BadInput if a
    marker there is missing or repeated: what is whose cannot be told then.
    """
    front, body = _parts(ours)
    body = body if BEGIN in body and END in body else f"{BEGIN}\n{body.strip()}\n{END}\n"
    if theirs is None:
        return _joined(front, body)
    their_front, their_body = _parts(theirs)
    before, after = _around(their_body, where)
    begin, end = body.index(BEGIN), body.index(END) + len(END)
    text = "\n\n".join(part for part in (before.strip(), body[begin:end], after.strip()) if part)
    return _joined(_merged_front(front, their_front), text + "\n")


def _parts(card: str) -> tuple[str, str]:
    """Return the YAML of a card without its lines `---`, and the text below."""
    card = card.removeprefix("\ufeff")
    found = _FRONT.match(card)
    return (found[1], card[found.end() :]) if found else ("", card)


def _joined(front: str, body: str) -> str:
    return (f"---\n{front.rstrip()}\n---\n\n" if front.strip() else "") + body.lstrip("\n")


def _around(body: str, where: str) -> tuple[str, str]:
    """Return the text of people before and after the generated part of a card."""
    begins, ends = body.count(BEGIN), body.count(END)
    if not begins and not ends:
        return "", "" if body.lstrip().startswith(_UNMARKED) else body
    if (begins, ends) != (1, 1) or body.index(BEGIN) > body.index(END):
        raise BadInput(
            f"In {where}, the lines {BEGIN} and {END} do not stand once each, in this order.",
            "Put them around the generated part there, or delete the card there, and push again.",
        )
    before, _, rest = body.partition(BEGIN)
    return before, rest.partition(END)[2]


def _merged_front(ours: str, theirs: str) -> str:
    """Return our YAML with the keys of theirs that ours does not have, as they are written there."""
    own, other = _blocks(ours), _blocks(theirs)
    for key in own.keys() & other.keys() & set(_SHARED_LISTS):
        have = {_entry(line).strip("\"'") for line in own[key]}
        added = [_entry(line) for line in _entries(other[key])]
        own[key] += [f"- {entry}" for entry in added if entry.strip("\"'") not in have]
    own |= {key: lines for key, lines in other.items() if key not in own and key not in _OF_THE_FILES}
    if _NAME in other and _GENERATED_NAME not in other[_NAME][0]:
        own[_NAME] = other[_NAME]
    return "\n".join(line for lines in own.values() for line in lines)


def _blocks(front: str) -> dict[str, list[str]]:
    """Return the lines of each top-level key; lines before the first key belong to the key ""."""
    blocks: dict[str, list[str]] = {}
    key = ""
    for line in front.splitlines():
        found = _KEY.match(line)
        key = found[1] if found else key
        blocks.setdefault(key, []).append(line)
    return blocks


def _entries(lines: list[str]) -> list[str]:
    """Return the entries of a list, in block form (`- a`), in one line (`tags: [a, b]`) or alone (`tags: a`)."""
    inline = re.fullmatch(r"[^:]+:\s*(?:\[(.*)\]|([^\s\[#].*?))\s*", lines[0])
    if inline:
        return [entry for entry in (inline[1] or inline[2] or "").split(",") if entry.strip()]
    return [line for line in lines[1:] if line.strip().startswith("- ")]


def _entry(line: str) -> str:
    return line.strip().removeprefix("- ").strip()
