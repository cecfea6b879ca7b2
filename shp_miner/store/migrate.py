"""The mark of a store, which has the number of its schema, and migrations from earlier schemas.

The first command that writes to a store migrates it, step by step. Reading needs no migration so far: a store of any
schema can be exported from a read-only disk.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from deltalake import DeltaTable, Schema

from shp_miner.errors import BadInput
from shp_miner.model import ANSWER, POST
from shp_miner.paths import STORE_MARK
from shp_miner.store.files import replace_file
from shp_miner.store.lock import exclusive_lock
from shp_miner.store.table import open_table
from shp_miner.store.vacuum import sync_log
from shp_miner.units import utc_text

MARK = STORE_MARK

_TABLES = {"posts": POST, "answers": ANSWER}

#: What a mark says: "schema", and from 2 on "made_at" and "made_by" (a version, null if nobody knows), "migrated_at"
#: and "migrated_by" (null if it never was). Times are ISO 8601, in UTC.
Mark = dict[str, Any]


def _to_2(folder: Path, mark: Mark) -> Mark:
    """The mark tells when and by which version a store was made. The first is known from its tables."""
    made_ms = open_table(folder / "posts").metadata().created_time
    made_at = None if made_ms is None else utc_text(datetime.fromtimestamp(made_ms / 1000, UTC), "seconds")
    return {"made_at": made_at, "made_by": None, **mark}


def _to_3(folder: Path, mark: Mark) -> Mark:
    """The tables have the columns in OPTIONAL. Files stay as they are: who reads them finds these columns null."""
    for name in _TABLES:
        table = open_table(folder / name)
        before, missing = table.version(), _lacking(table, name)
        if missing:
            table.alter.add_columns(Schema.from_arrow(pa.schema(missing)).fields)
            sync_log(folder / name, before)
    return mark


def _lacking(table: DeltaTable, name: str) -> list[pa.Field[pa.DataType]]:
    """The columns of the current schema that a table lacks."""
    known = {field.name for field in table.schema().fields}
    return [field for field in _TABLES[name] if field.name not in known]


#: The steps from each schema to the next; the last leads to the current one. A step may be ended at any moment and is
#: then taken again: it does its work on the folder, and returns what the mark is to say besides the schema.
STEPS: tuple[Callable[[Path, Mark], Mark], ...] = (_to_2, _to_3)

#: The schema of the stores that this version makes. A store of a newer one is refused.
SCHEMA_VERSION = 1 + len(STEPS)


def schema_of(folder: Path) -> int | None:
    """The schema of the store in `folder`, None if it has no mark. Raises BadInput where it is damaged or newer."""
    mark = _read(folder)
    if mark is None:
        return None
    schema = mark.get("schema")
    if not isinstance(schema, int) or schema < 1:
        raise _damaged(folder)
    if schema > SCHEMA_VERSION:
        raise BadInput(
            f"The store {folder} has schema {schema}; this version reads {SCHEMA_VERSION}.",
            "Install the newest shp-miner.",
        )
    return schema


def first_mark(folder: Path) -> None:
    """Mark a store that was just created."""
    now, by = utc_text(datetime.now(UTC), "seconds"), version("shp-miner")
    write_mark(
        folder,
        {"schema": SCHEMA_VERSION, "made_at": now, "made_by": by, "migrated_at": None, "migrated_by": None},
    )


def restored_mark(folder: Path) -> None:
    """Mark a store whose mark was lost, by its tables: as one of the current schema, or of the one before."""
    told = {"migrated_at": utc_text(datetime.now(UTC), "seconds"), "migrated_by": version("shp-miner")}
    lacking = any(_lacking(open_table(folder / name), name) for name in _TABLES)
    write_mark(folder, {**_to_2(folder, {}), **told, "schema": 2 if lacking else SCHEMA_VERSION})


def migrate_store(folder: Path) -> int:
    """Migrate a store to the current schema; return its previous one. Raises TryLater while it is in use."""
    if schema_of(folder) == SCHEMA_VERSION:
        return SCHEMA_VERSION
    with exclusive_lock(folder, "migrating the store to a newer schema"):
        before = schema_of(folder) or SCHEMA_VERSION
        for number, step in enumerate(STEPS[before - 1 :], before + 1):
            mark = step(folder, _read(folder) or {})
            told = {"migrated_at": utc_text(datetime.now(UTC), "seconds"), "migrated_by": version("shp-miner")}
            write_mark(folder, {**mark, **told, "schema": number})
    return before


def write_mark(folder: Path, mark: Mark) -> None:
    """Replace the present mark in one step that survives a loss of power."""
    replace_file(folder / MARK, msgspec.json.encode(mark), durable=True)


def _read(folder: Path) -> Mark | None:
    try:
        return msgspec.json.decode((folder / MARK).read_bytes(), type=Mark)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise _damaged(folder) from error


def _damaged(folder: Path) -> BadInput:
    return BadInput(
        f"{folder / MARK} is damaged.", "Run `shp-miner doctor --repair`: it rewrites the file if the tables are sound."
    )
