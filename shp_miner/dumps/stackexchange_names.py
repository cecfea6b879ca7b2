"""The names of attributes at many places of a text at once, as small numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from shp_miner.dumps.bytes_at import Numbers, Places, Words

#: Bytes of the longest name that is looked for.
NAME_MAX = 24
#: Different names that a table may have: as many as there are bits to note which of them a row has.
NAMES_MAX = 63

#: Stands for what is no name.
UNKNOWN = 255

_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9]*")

#: Names of published tables; others are learned where they come.
_KNOWN = (
    "Id", "PostTypeId", "ParentId", "AcceptedAnswerId", "CreationDate", "DeletionDate", "Score", "ViewCount", "Body",
    "OwnerUserId", "OwnerDisplayName", "LastEditorUserId", "LastEditorDisplayName", "LastEditDate", "LastActivityDate",
    "Title", "Tags", "AnswerCount", "CommentCount", "FavoriteCount", "ClosedDate", "CommunityOwnedDate",
    "ContentLicense", "Reputation", "DisplayName", "LastAccessDate", "WebsiteUrl", "Location", "AboutMe", "Views",
    "UpVotes", "DownVotes", "ProfileImageUrl", "EmailHash", "AccountId", "PostId", "VoteTypeId", "UserId",
    "BountyAmount",
)  # fmt: skip

#: A name is three words of 8 bytes. Mixed with these they give a place in a table in which no two names share one.
_MIXERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)
_TABLE_BITS = 14


@dataclass(frozen=True)
class _Table:
    """Names with their words, and the number of a name at the place that its words are mixed to."""

    names: tuple[str, ...]
    words: tuple[Numbers, ...]
    slots: npt.NDArray[np.uint8]
    mixers: tuple[int, ...]


def names_at(text: bytes, words: Words, begins: Places, sizes: Places) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """The number of the name of `sizes` bytes at each place, UNKNOWN where there is none, and the names by number."""
    parts = tuple(_words_of(words, begins + 8 * part, sizes - 8 * part) for part in range(len(_MIXERS)))
    table = _table(_KNOWN)
    codes = _looked_up(table, parts)
    codes[(sizes < 1) | (sizes > NAME_MAX)] = UNKNOWN
    unknown = np.flatnonzero((codes == UNKNOWN) & (sizes >= 1) & (sizes <= NAME_MAX))
    if len(unknown):
        table = _table(_KNOWN + _new_names(text, begins[unknown], sizes[unknown], [part[unknown] for part in parts]))
        codes[unknown] = _looked_up(table, tuple(part[unknown] for part in parts))
    return codes, list(table.names)


def _words_of(words: Words, begins: Places, sizes: Places) -> Numbers:
    """One word of each name, 0 where it has none; where few names have one, only those are looked at."""
    longer = np.flatnonzero(sizes > 0)
    if 4 * len(longer) > len(sizes):
        return words.first(begins, sizes)
    found = np.zeros(len(begins), np.uint64)
    found[longer] = words.first(begins[longer], sizes[longer])
    return found


def _new_names(text: bytes, begins: Places, sizes: Places, parts: list[Numbers]) -> tuple[str, ...]:
    different = np.unique(np.stack(parts, axis=1), axis=0, return_index=True)[1][: NAMES_MAX * 4]
    found = {text[begins[at] : begins[at] + sizes[at]] for at in different.tolist()}
    names = sorted(name.decode() for name in found if _NAME.fullmatch(name))
    return tuple(names[: NAMES_MAX - len(_KNOWN)])


def _mixed(parts: tuple[Numbers, ...], mixers: tuple[int, ...]) -> Numbers:
    found = parts[0] * np.uint64(mixers[0])
    for part, mixer in zip(parts[1:], mixers[1:], strict=True):
        found ^= part * np.uint64(mixer)
    return found >> np.uint64(64 - _TABLE_BITS)


def _looked_up(table: _Table, parts: tuple[Numbers, ...]) -> npt.NDArray[np.uint8]:
    codes = table.slots[_mixed(parts, table.mixers)]
    for part, words in zip(parts, table.words, strict=True):
        codes[words[codes] != part] = UNKNOWN
    return codes


@cache
def _table(names: tuple[str, ...]) -> _Table:
    padded = np.array([name.encode().ljust(NAME_MAX, b"\0") for name in names])
    columns = np.frombuffer(padded.tobytes(), "<u8").reshape(len(names), -1).T
    words = tuple(np.append(column, np.zeros(UNKNOWN + 1 - len(names), np.uint64)) for column in columns)
    mixers: tuple[int, ...] = _MIXERS
    while len(set(places := _mixed(tuple(columns), mixers).tolist())) < len(names):
        mixers = tuple((mixer * 5 + 2) & (1 << 64) - 1 | 1 for mixer in mixers)
    slots = np.full(1 << _TABLE_BITS, UNKNOWN, np.uint8)
    slots[places] = range(len(names))
    return _Table(names, words, slots, mixers)
