"""Blocks of the tables of a Stack Exchange dump, as files and archives give them."""

from __future__ import annotations

#: (table, some of its bytes), or (table, None) where the table ends.
Block = tuple[str, bytes | None]

MAGIC_7Z = b"7z\xbc\xaf\x27\x1c"


class BrokenFileError(Exception):
    """The file cannot be read after byte `offset`; `what` says why."""

    def __init__(self, offset: int, what: str) -> None:
        super().__init__(what)
        self.offset, self.what = offset, what
