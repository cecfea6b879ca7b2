"""Log lines on stderr: text on a terminal, JSON elsewhere. The system rotates logs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Literal

from shp_miner.cli.saying import say
from shp_miner.errors import in_words
from shp_miner.units import utc_text

#: The logger that the whole package logs to, with its children.
NAME = "shp_miner"


@contextmanager
def logging_to_stderr(form: Literal["auto", "human", "json"], *, quiet: bool) -> Iterator[None]:
    """Show log lines while the block runs; with `quiet`, warnings and errors only.

    With JSON lines, an error that ends the block is a line too, so that every line of the log can be parsed.
    """
    as_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    handler = _Handler(as_json=as_json)
    logger = logging.getLogger(NAME)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        yield
    except BaseException as error:
        words = in_words(error) if as_json else None
        if words is None or words.told:
            raise
        data = {"event": "error", "exit_code": words.exit_code}
        logger.error("%s", f"{words.message} {words.hint}".strip(), extra={"data": data})
        words.told = True
        if words is error:
            raise
        raise words from error
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Handler(logging.Handler):
    """Prints one line per record; in JSON, the keys of `extra={"data": {...}}` become keys of the line."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # the log's disk is full, or its reader went away: no reason to end what is logged
            self._emit(record)

    def _emit(self, record: logging.LogRecord) -> None:
        moment = datetime.fromtimestamp(record.created, UTC)
        if not self._as_json:
            say(f"{moment:%H:%M:%S} {record.getMessage()}", err=True)
            return
        import msgspec

        data: dict[str, object] = {
            "time": utc_text(moment, "seconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "data", {}),
        }
        say(msgspec.json.encode(data).decode(), err=True)
