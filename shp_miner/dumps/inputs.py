"""The files of an import: which files its paths name, for every kind of dump.

A named file must be of the kind. A folder is searched at every depth, and each file's kind is detected by its content.
A file in a folder without any dump data (notes, checksums) is skipped and reported. A file that may hold dump data but
cannot be read as it is (an archive, a pointer of Git LFS) counts as damage: the import is not complete without it.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TypeVar

from shp_miner.errors import BadInput, from_os_error
from shp_miner.paths import is_remote
from shp_miner.tally import Damage, Tally

Look = TypeVar("Look")

#: Bytes at the beginning of a file that tell a container from a file of lines.
START_BYTES = 1 << 16

#: So many zero bytes at the beginning are no dump's.
_ZEROS = 4096

_TAR_HEADER = 512

#: What begins a file that cannot be read as it lies: its first bytes, what it is, and what to do. FILE and KIND are
#: filled in.
_SEND = "{} | shp-miner import KIND -"
_CONTAINERS = (
    (
        b"PK\x03\x04",
        "a zip archive",
        "Unpack it and name the folder, or pipe its files: " + _SEND.format("unzip -p FILE"),
    ),
    (b"PK\x05\x06", "an empty zip archive", "Get the archive again."),
    (b"Rar!\x1a\x07", "a RAR archive", "Unpack it and name the folder."),
    (
        b"7z\xbc\xaf\x27\x1c",
        "a 7z archive",
        "For a Stack Exchange site use `import stackexchange-dump`; otherwise unpack it.",
    ),
    (b"\x04\x22\x4d\x18", "compressed with lz4", "Pipe its text: " + _SEND.format("lz4 -dc FILE")),
    (b"LZIP", "compressed with lzip", "Pipe its text: " + _SEND.format("lzip -dc FILE")),
    (b"\x1f\x9d", "compressed with compress (.Z)", "Pipe its text: " + _SEND.format("gzip -dc FILE")),
    (b"/annex/objects/", "a git-annex pointer, not the file", "Fetch the file: git annex get FILE"),
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer, not the file", "Fetch the file: git lfs pull"),
)
#: Where links of git-annex lead, to nothing until the file is fetched.
_ANNEX = "annex/objects/"
_OTHERS = (
    (b"PAR1", "a Parquet file"),
    (b"ARROW1\0\0", "an Arrow IPC file"),
    (b"\xff\xff\xff\xff", "an Arrow IPC stream"),
    (b"FEA1", "a Feather file"),
    (b"%PDF", "a PDF file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"d8:announce", "a torrent"),
    (b"d13:announce", "a torrent"),
)
#: The kinds of dump that read one of these.
_READ_BY = {b"PAR1": ("threads", "table"), b"\xff\xff\xff\xff": ("threads",)}
_WEB_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*+(?:<\?xml[^>]*+>\s*+)?(?:(?><!--.*?-->)\s*+)*+<(?:!doctype html|html\b)",
    re.IGNORECASE | re.DOTALL,
)
_COMPRESSED = (b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")


class NotOurs(BadInput):
    """The file has no dump data; in a folder it is skipped."""


def refuse_container(path: Path, start: bytes, kind: str) -> None:
    """Raise BadInput for an archive; `start` is its decompressed beginning."""
    if kind != "table" or path.suffix.lower() in _SHEETS:
        refuse_table(path)
    for magic, what, hint in _CONTAINERS:
        if start.startswith(magic):
            raise BadInput(f"{path} is {what}.", hint.replace("FILE", quote(str(path))).replace("KIND", kind))
    for magic, what in _OTHERS:
        if start.startswith(magic) and kind not in _READ_BY.get(magic, ()):
            raise NotOurs(f"{path} is {what}, not a dump of this kind.", "Name the files of the dump.")
    if start.startswith(_COMPRESSED):
        how = "with gzip or similar, not with 7-Zip" if kind == "stackexchange-dump" else "twice"
        raise BadInput(f"{path} is compressed {how}.", "Decompress it once and import the result.")
    if start and not start[:_ZEROS].strip(b"\0"):
        raise BadInput(f"{path} begins with zero bytes.", "The download may be incomplete: fetch it again.")
    if _WEB_PAGE.match(start):
        error = NotOurs if path.suffix.lower() in (".html", ".htm") else BadInput
        raise error(f"{path} is a web page, not a dump.", "The download may have failed: fetch it again.")
    if _is_tar(start):
        send = _SEND.format(f"tar -xOf {quote(str(path))}").replace("KIND", kind)
        raise BadInput(f"{path} is a tar archive.", f"Unpack it and name the folder, or pipe its files: {send}")


#: Endings of tables and of spreadsheets.
_SHEETS = (".xlsx", ".ods")
_TABLES = {".csv": "a CSV table", ".tsv": "a table with tabs", **dict.fromkeys(_SHEETS, "a spreadsheet")}


def refuse_table(path: Path) -> None:
    """Raise NotOurs for a table: it has a row per post or answer, and only `import table` reads one."""
    names = [suffix.lower() for suffix in path.suffixes[-2:]]
    for suffix in names:
        if suffix in _SHEETS:
            raise NotOurs(
                f"{path} is a spreadsheet.", "Save each sheet as CSV, and use `import table --guess` for them."
            )
        if suffix in _TABLES:
            raise NotOurs(
                f"{path} is {_TABLES[suffix]}.", "Use `import table --guess`: it finds out what the columns mean."
            )


def refuse_empty(path: Path) -> None:
    """Raise NotOurs for a file of no bytes or of empty lines. A compressed empty file is valid: an empty month."""
    with suppress(OSError):  # its reader says what is wrong with it
        if not path.is_file() or path.stat().st_size > START_BYTES:
            return
        start = path.read_bytes()
        if not start.strip():
            what = "has only empty lines" if start else "is empty"
            raise NotOurs(f"{path} {what}.", "Check the download, or the command that wrote it.")


def _is_tar(start: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(start[:_TAR_HEADER], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def chosen_files(
    paths: Sequence[Path], look: Callable[[Path], Look], tally: Tally, *, holds: str
) -> list[tuple[Path, Look]]:
    """Return the files that `paths` name, each once, with what `look` returns for it, in the given order.

    `look` raises BadInput for a file that cannot be read, NotOurs for a file of another kind. Such a file in a folder
    is counted in `tally`. Raises BadInput for a named one, and for a folder without a file of the kind; `holds` names
    the kind.
    """
    found: dict[Path, tuple[Path, Look]] = {}
    for path in paths:
        if not is_folder(path):
            refuse_empty(path)
            told = look(path)
            found.setdefault(path.resolve(), (path, told))
            continue
        hints: list[str] = []
        inside = list(in_folder(path, look, tally, hints))
        if not inside:
            raise nothing_in(path, holds, tally, hints)
        for file, told in inside:
            found.setdefault(file.resolve(), (file, told))
    return list(found.values())


def in_folder(
    folder: Path, look: Callable[[Path], Look], tally: Tally, hints: list[str] | None = None
) -> Iterator[tuple[Path, Look]]:
    """Return the files of the kind in a folder; the others are counted in `tally`.

    `hints` gets what to do with the first of them.
    """
    for file in files_in(folder, tally):
        try:
            refuse_empty(file)
            yield file, look(file)
        except NotOurs as other:
            tally.pass_over(f"Skipped: {other.message}")
            if hints is not None and not hints:
                hints.append(other.hint)
        except BadInput as refused:
            tally.damages.append(Damage(str(file), None, refused.message.removeprefix(f"{file} "), refused.hint))


def nothing_in(folder: Path, holds: str, tally: Tally, hints: Sequence[str] = ()) -> BadInput:
    """Return the error for a folder without a file of the kind. It names a file that is there."""
    there = [*(damage.sentence() for damage in tally.damages), *tally.passed]
    hint = next(iter(hints), "") or "Name the folder that contains the dump's files."
    hint = tally.damages[0].hint if tally.damages else hint
    return BadInput(f"The folder {folder} contains no {holds}.{f' {there[0]}' if there else ''}", hint)


def is_folder(path: Path) -> bool:
    """Whether a path is a folder. Raises BadInput if that cannot be checked."""
    try:
        return path.is_dir()
    except OSError as error:
        raise _refused(error, path) from error


def files_in(folder: Path, tally: Tally) -> Iterator[Path]:
    """Yield every file below a folder, in the order of the paths. Hidden entries and special files are skipped."""

    def refuse(error: OSError) -> None:
        raise _refused(error, folder) from error

    if is_remote(folder):
        yield from _objects_in(folder, tally)
        return
    for place, folders, names in os.walk(folder, onerror=refuse):
        if "_delta_log" in folders:
            tally.pass_over(f"Skipped: {place} is a table of a store.")
            folders.clear()
            continue
        for name in sorted(folders):
            if name.startswith(".") or (Path(place) / name).is_symlink():
                tally.pass_over(f"Skipped: {Path(place) / name} is a hidden folder or a link to one.")
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in sorted(Path(place) / name for name in names):
            if file.is_symlink() and not file.exists() and _ANNEX in str(file.readlink()):
                annexed = Damage(str(file), None, "is a git-annex pointer, not the file.", _fetch_annexed(file))
                tally.damages.append(annexed)
            elif file.name.startswith(".") or not file.is_file():
                tally.pass_over(f"Skipped: {file} is hidden or not a file.")
            else:
                yield file


def _objects_in(folder: Path, tally: Tally) -> Iterator[Path]:
    """Every object below an address that is not hidden and not of a table."""
    found = list(folder.rglob("*"))
    tables = {file.parent.parent for file in found if file.parent.name == "_delta_log"}
    for table in sorted(tables):
        tally.pass_over(f"Skipped: {table} is a table of a store.")
    for file in found:
        if any(file.is_relative_to(table) for table in tables):
            continue
        if any(part.startswith(".") for part in file.relative_to(folder).parts):
            tally.pass_over(f"Skipped: {file} is hidden or not a file.")
        else:
            yield file


def _fetch_annexed(file: Path) -> str:
    return f"Fetch the file: git annex get {quote(str(file))}"


def size_bytes(paths: Sequence[Path]) -> int:
    """Return the bytes of all files that paths name, for a progress bar. The reader reports problems of a file."""
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return sum(file.stat().st_size for file in files if file.is_file())


def _refused(error: OSError, folder: Path) -> BadInput:
    known = from_os_error(error, f"reading the folder {folder}")
    if isinstance(known, BadInput):
        return known
    return BadInput(f"{folder} cannot be read: {error.strerror or error}.", "Check the path and the disk.")
