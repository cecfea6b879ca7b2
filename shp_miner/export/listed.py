"""Lists that people keep in files of their own: one value a line."""

from __future__ import annotations

from pathlib import Path

from shp_miner.errors import BadInput


def values_in_file(path: Path) -> tuple[str, ...]:
    """Return the values of a text file, one a line; empty lines and those that begin with # are left out.

    Raises BadInput for a file that cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise BadInput(
            f"{path} cannot be read: {why}.", "Correct the path; write one value a line, as UTF-8."
        ) from None
    values = (line.strip() for line in lines)
    return tuple(dict.fromkeys(value for value in values if value and not value.startswith("#")))
