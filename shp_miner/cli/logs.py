"""Lines on stderr: for people on a terminal, JSON for machines. Rotation is the system's job."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

import click

#: Everything below says what it has to say to this logger and its children.
NAME = "shp_miner"


@contextmanager
def logging_to_stderr(form: Literal["auto", "human", "json"], *, quiet: bool) -> Iterator[None]:
    """Show log lines while the block runs: warnings and errors alone where `quiet`."""
    handler = _Handler(as_json=form == "json" or (form == "auto" and not sys.stderr.isatty()))
    logger = logging.getLogger(NAME)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Handler(logging.Handler):
    """A line a record; what is in `extra={"data": {...}}` becomes keys of their own in JSON."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def emit(self, record: logging.LogRecord) -> None:
        moment = datetime.fromtimestamp(record.created, UTC)
        if not self._as_json:
            click.echo(f"{moment:%H:%M:%S} {record.getMessage()}", err=True)
            return
        import msgspec

        data: dict[str, Any] = {
            "at": moment.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "said": record.getMessage(),
            **getattr(record, "data", {}),
        }
        click.echo(msgspec.json.encode(data).decode(), err=True)
