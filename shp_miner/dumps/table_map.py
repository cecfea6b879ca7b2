"""The map of a table: which column holds what, in a few lines of TOML. docs/tables.md documents the keys."""

from __future__ import annotations

import codecs
import tomllib
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, tzinfo
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct, field

from shp_miner.arguments import moment
from shp_miner.dumps.table_values import Clock, DateOrder
from shp_miner.dumps.threads_layout import ANSWER_KEYS, ANSWER_REQUIRED, THREAD_KEYS, THREAD_REQUIRED
from shp_miner.errors import BadInput, likely, nearest_name
from shp_miner.paths import whole

_SEE = "`shp-miner docs tables` lists the keys of a map."

#: What the columns of posts and of answers may mean, and what each must have. Site and community may be constants.
POST_COLUMNS = (THREAD_KEYS - {"answers"}) | {"accepted_answer_id"}
ANSWER_COLUMNS = ANSWER_KEYS | {"site", "community", "post_id", "parent_id"}
CONSTANTS = ("site", "community", "format", "license", "observed_at")
POST_NEEDED = THREAD_REQUIRED - {"answers", "site", "community"}
ANSWER_NEEDED = ANSWER_REQUIRED | {"post_id"}

Columns = dict[str, str]


class Kinds(Struct, frozen=True, forbid_unknown_fields=True):
    """The column that tells posts from answers, and its values."""

    column: str
    post: str | int | list[str | int]
    answer: str | int | list[str | int]

    def words(self, kind: str) -> frozenset[str]:
        """The values, as text, of "post" or "answer"."""
        given = getattr(self, kind)
        return frozenset(map(str, given if isinstance(given, list) else [given]))


class TableMap(Struct, frozen=True, forbid_unknown_fields=True):
    """What a map says. `posts` and `answers` have the name of a column for each key of the layout.

    Constants hold where no column says anything. A row of a table that has both is an answer if its `post_id` says so.
    """

    posts: Columns = field(default_factory=dict)
    answers: Columns = field(default_factory=dict)
    site: str | None = None
    community: str | None = None
    format: Literal["markdown", "html", "text"] | None = None
    license: str | None = None
    observed_at: Any = None
    utc: bool = False
    zone: str | None = None
    dates: DateOrder | None = None
    decimal: Literal[".", ","] = "."
    kind: Kinds | None = None
    encoding: str | None = None
    delimiter: str | None = None
    quotes: bool = True
    escape: str | None = None

    @property
    def clock(self) -> Clock:
        """How times are read."""
        return Clock(UTC if self.utc else zone_of(self.zone) if self.zone else None, self.dates)

    def columns(self, kind: str) -> Columns:
        """The columns of "post" or "answer"."""
        return self.posts if kind == "post" else self.answers


def zone_of(name: str) -> tzinfo:
    """The time zone of a name such as UTC or Europe/Berlin. Raises BadInput."""
    try:
        return UTC if name.upper() == "UTC" else ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise BadInput(f"There is no time zone {name!r:.60}.", "Name it like UTC or Europe/Berlin.") from None


def read_map(path: Path, told: Mapping[str, Any] | None = None) -> TableMap:
    """The map in a file, with keys that a person has told in place of the file's own.

    Raises BadInput, which names the key and what to do.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise BadInput(f"There is no map {whole(path)}.", "Check the path, or let --guess propose a map.") from None
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path} is not valid TOML: {error}.", _SEE) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"The map {path} cannot be read: {error}.", "Save it as a text file in UTF-8.") from None
    if told and told.get("zone"):
        data.pop("utc", None)
    return to_map(data | dict(told or {}), str(path))


def to_map(data: Mapping[str, Any], where: str = "The map") -> TableMap:
    """The map in plain data, checked. Raises BadInput."""
    for key in data:
        if key not in TableMap.__struct_fields__:
            near = [f"[{name}]" for name, known in _TABLES.items() if key in known]
            told = f"It is a key of {' and of '.join(near)}." if near else nearest_name(key, TableMap.__struct_fields__)
            raise BadInput(f"{where} has no key {key!r:.60}.", told)
    for table, known in _TABLES.items():
        for key in data.get(table, {}) if isinstance(data.get(table), Mapping) else ():
            if key not in known:
                raise BadInput(f"{where}: [{table}] has no key {key!r:.60}.", nearest_name(key, sorted(known)))
    try:
        found = msgspec.convert(dict(data), TableMap)
    except msgspec.ValidationError as error:
        raise BadInput(f"{where}: {error!s:.200}.", _SEE) from None
    _check(found, where)
    return found


_TABLES: dict[str, Collection[str]] = {"posts": POST_COLUMNS, "answers": ANSWER_COLUMNS}
_NEEDED = {"posts": POST_NEEDED, "answers": ANSWER_NEEDED}


def _check(found: TableMap, where: str) -> None:
    """Raise BadInput for a map that cannot be followed."""
    if not (found.posts or found.answers):
        raise BadInput(f"{where} maps no column.", "Add [posts] and [answers], or let --guess propose a map.")
    for table, needed in _NEEDED.items():
        columns = found.columns(table.removesuffix("s"))
        lacking = sorted(needed.difference(columns)) if columns else []
        if lacking:
            raise BadInput(f"{where}: [{table}] lacks {', '.join(lacking)}.", f'Add {lacking[0]} = "COLUMN" to it.')
    for name in ("site", "community"):
        missing = [table for table in _NEEDED if (own := found.columns(table.removesuffix("s"))) and name not in own]
        if getattr(found, name) is None and "posts" in missing:
            raise BadInput(
                f"{where} has no {name}.", f'Add {name} = "{_EXAMPLES[name]}", or {name} = "COLUMN" to [posts].'
            )
        if getattr(found, name) is None and missing and not found.posts:
            raise BadInput(f"{where} has no {name}.", f'Add {name} = "{_EXAMPLES[name]}" to it.')
    _check_reading(found, where)


def _check_reading(found: TableMap, where: str) -> None:
    """Raise BadInput for what a map says of cells and cannot mean."""
    if found.utc and found.zone:
        raise BadInput(f"{where} has both utc and zone.", "Keep one of the two.")
    _ = found.clock
    try:
        if found.encoding:
            codecs.lookup(found.encoding)
    except LookupError:
        raise BadInput(f"{where}: there is no encoding {found.encoding!r:.60}.", "Name it like cp1252.") from None
    for name in ("delimiter", "escape"):
        if len(getattr(found, name) or ",") != 1:
            raise BadInput(f"{where}: {name} is not one character.", f'Write {name} = ";", for example.')
    if found.kind and (both := found.kind.words("post") & found.kind.words("answer")):
        raise BadInput(f"{where}: kind says that {min(both)!r:.60} is a post and an answer.", _SEE)
    if found.observed_at is not None:
        try:
            moment(found.observed_at)
        except ValueError as error:
            raise BadInput(f"{where}: observed_at: {error}", _SEE) from None


_EXAMPLES = {"site": "forum.example", "community": "cooking"}


def fitting_kinds(table_map: TableMap, header: Sequence[str]) -> list[str]:
    """Whether a table with this header has "post"s, "answer"s, or both; empty if it has neither."""
    there = set(header)
    kinds = []
    for kind, needed in (("post", POST_NEEDED), ("answer", ANSWER_NEEDED)):
        columns = table_map.columns(kind)
        if columns and all(columns[key] in there for key in needed):
            kinds.append(kind)
    return kinds


def both_in_a_row(table_map: TableMap, header: Sequence[str]) -> bool:
    """Whether each row of a table with this header has a post and one of its answers."""
    same = table_map.posts.get("post_id") == table_map.answers.get("post_id")
    return same and table_map.kind is None and len(fitting_kinds(table_map, header)) == len(_TABLES)


def require_columns(table_map: TableMap, tables: Sequence[tuple[Path, Sequence[str]]]) -> None:
    """Raise BadInput for a table (path, header) that is none of posts or answers, and for a column that none has.

    One of many tables of posts may lack a column that posts need not have.
    """
    headers = [header for _, header in tables if header]
    for path, header in tables:
        if header and not fitting_kinds(table_map, header):
            raise _no_column(f"{path} has", _missing_column(table_map, header), header)
    for kind in _TABLES:
        there = [name for header in headers if kind[:-1] in fitting_kinds(table_map, header) for name in header]
        for key, name in table_map.columns(kind[:-1]).items() if there else ():
            if name not in there:
                above = f"For one value of all rows, write {key} above the tables." if key in CONSTANTS else ""
                raise _no_column(f"[{kind}] {key}: the tables have", name, there, above)
    there = [name for header in headers for name in header]
    if table_map.kind and there and table_map.kind.column not in there:
        raise _no_column("kind: the tables have", table_map.kind.column, there)


def _missing_column(table_map: TableMap, header: Sequence[str]) -> str:
    """A column that a table lacks for being one of posts or of answers, whichever is nearer."""
    lacking = []
    for kind, needed in (("post", POST_NEEDED), ("answer", ANSWER_NEEDED)):
        columns = table_map.columns(kind)
        if columns:
            lacking.append([columns[key] for key in sorted(needed) if columns[key] not in header])
    return min(lacking, key=lambda names: (len(names), not likely(names[0], header)))[0]


def _no_column(where: str, name: str, columns: Sequence[str], hint: str = "") -> BadInput:
    near = likely(name, columns)
    hint = hint or (f"Did you mean {near!r}?" if near else f"Its columns: {', '.join(columns[:20]):.400}.")
    return BadInput(f"{where} no column {name!r:.60}, which the map names.", hint)


def written(table_map: TableMap) -> str:
    """The map as TOML."""
    lines = []
    for name in TableMap.__struct_fields__:
        value = getattr(table_map, name)
        if name not in ("posts", "answers") and value != _DEFAULTS[name]:
            lines.append(f"{name} = {_toml(value)}")
    for name, columns in (("posts", table_map.posts), ("answers", table_map.answers)):
        if columns:
            lines += ["", f"[{name}]", *(f"{key} = {_toml(column)}" for key, column in columns.items())]
    return "\n".join(lines).strip() + "\n"


_DEFAULTS = msgspec.to_builtins(TableMap())


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Kinds):
        return f"{{ column = {_toml(value.column)}, post = {_toml(value.post)}, answer = {_toml(value.answer)} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, date):
        return value.isoformat()
    # A basic string of TOML has the escapes of JSON.
    return msgspec.json.encode(value).decode()
