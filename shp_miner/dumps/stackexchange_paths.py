"""Which Stack Exchange site a file belongs to, and which files make up the dump of one site.

A site is published as one archive (`beer.stackexchange.com.7z`) that holds Posts.xml, Users.xml, Votes.xml and other
tables; the largest one as an archive for each table (`stackoverflow.com-Posts.7z`, `stackoverflow.com-Users.7z` ...).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from shp_miner.dumps.compressed import compression_of, decompressed_head
from shp_miner.dumps.inputs import NotOurs, in_folder, nothing_in, refuse_container
from shp_miner.dumps.stackexchange_blocks import MAGIC_7Z
from shp_miner.dumps.stackexchange_tables import DumpFile
from shp_miner.errors import BadInput, Error, UsageError, from_os_error
from shp_miner.platforms.sites import site_of
from shp_miner.platforms.stackexchange import site_name
from shp_miner.tally import Tally

#: The tables that are read, and the others of a published dump, which hold nothing a preference needs.
TABLES = ("posts", "users", "votes")
_OTHER_TABLES = ("badges", "comments", "posthistory", "postlinks", "tags")

_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
_SPLIT = re.compile(r"(.+)-(Posts|Users|Votes|Badges|Comments|PostHistory|PostLinks|Tags)", re.IGNORECASE)
# Each comment is taken whole (?>): else many of them could be read in ways without number.
_ROOT = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*+(?:<\?xml[^>]*>\s*+)?(?:(?><!--.*?-->)\s*+)*+<(!DOCTYPE|[A-Za-z]+)", re.DOTALL
)
_SNIFFED_BYTES, _SNIFFED_WITH_COMMENT = 4096, 1 << 20


#: A part of what a path stands for: itself, its files, and the site that its name tells.
_Unit = tuple[Path, list[DumpFile], str | None]


def sources_by_site(
    paths: Sequence[Path], site: str | None = None, tally: Tally | None = None
) -> dict[str, list[DumpFile]]:
    """Check all `paths` and group their files by site, each file once, in the given order.

    A folder may have archives and folders of several sites; other files in it are counted in `tally`. `site` overrides
    the names of files. BadInput: a path that is not a dump, or a site without posts. UsageError: a name that does not
    show the site, or one `site` for paths of several sites.
    """
    override = _override(site)
    found: dict[str, dict[Path, DumpFile]] = {}
    told: dict[str, Path] = {}
    tally = Tally() if tally is None else tally
    for path, sources, named in (unit for given in paths for unit in _units(given, tally)):
        if named:
            told.setdefault(named, path)
        host = override or named
        if host is None:
            raise UsageError(
                f"The name of {path} does not show its Stack Exchange site.",
                "Name the site with --site HOST, for example --site beer.stackexchange.com.",
            )
        for source in sources:
            found.setdefault(host, {}).setdefault(source.path.resolve(), source)
    if override and len(told) > 1:
        raise UsageError(
            f"One site ({override}) was given for files of several sites ({', '.join(sorted(told))}).",
            "Import each site separately, or leave out --site.",
        )
    _require_posts(found, tally)
    return {host: list(sources.values()) for host, sources in found.items()}


def _override(site: str | None) -> str | None:
    if site is None:
        return None
    host = site_of(site, stackexchange=True)
    if not _HOST.fullmatch(host):
        raise UsageError(
            f"{site!r} is not the host of a site.", "Give a full host name, for example beer.stackexchange.com."
        )
    return host


def _require_posts(found: Mapping[str, Mapping[Path, DumpFile]], tally: Tally) -> None:
    for host, sources in found.items():
        if not any("posts" in source.tables for source in sources.values()):
            folders = {source.path.parent for source in sources.values()}
            for damage in tally.damages:  # posts that are there and cannot be read
                if _plain_name(Path(damage.path)) == "posts.xml" and Path(damage.path).parent in folders:
                    raise BadInput(f"{damage.path} {damage.what}", damage.hint)
            names = ", ".join(str(source.path) for source in sources.values())
            raise BadInput(
                f"There is no Posts.xml for {host} in {names}.",
                "Give the archive as published, or the folder or file that holds the posts.",
            )


def _units(path: Path, tally: Tally) -> list[_Unit]:
    """What a path stands for: an archive, a file, or every site in a folder."""
    try:
        if not path.is_dir():
            return [_unit(path)]
        units = [unit for _, unit in in_folder(path, _unit, tally)]
    except OSError as error:
        raise _refused(path, error) from error
    # A table that is not needed has no tables to read. Of the tables in one folder Posts.xml stands for all.
    tally.drop("file", "not_needed", sum(not source.tables for _, sources, _ in units for source in sources))
    units = [(place, [source for source in sources if source.tables], site) for place, sources, site in units]
    whole = {source.path for _, sources, _ in units for source in sources[1:]}
    units = [unit for unit in units if unit[1] and unit[1][0].path not in whole]
    if not units:
        raise nothing_in(path, "Posts.xml and no archive of a site", tally)
    return units


def _unit(path: Path) -> _Unit:
    """A file with those that belong to it."""
    with path.open("rb") as file:
        start = file.read(_SNIFFED_BYTES)
    if start.startswith(MAGIC_7Z):
        stem = re.sub(r"\.7z$", "", path.name, flags=re.IGNORECASE)
        split = _SPLIT.fullmatch(stem)
        if split and split[2].lower() in _OTHER_TABLES:
            return path, [DumpFile(path, {}, is_archive=True)], site_name(split[1])
        sources = [_archive_source(path)]
        if split and split[2].lower() == "posts":
            wanted = {f"{split[1]}-{table}.7z".lower() for table in ("users", "votes")}
            sources += [
                _archive_source(other) for other in sorted(path.parent.iterdir()) if other.name.lower() in wanted
            ]
        return path, sources, site_name(split[1] if split else stem)
    source = _xml_source(path)
    beside = "posts" in source.tables and _plain_name(path) == "posts.xml"
    return path, list(_folder_sources(path.parent)) if beside else [source], _folder_site(path.parent)


def _folder_site(folder: Path) -> str | None:
    # A relative folder may have no name of its own ("."), and a link may be better named than its target.
    return site_name(folder.absolute().name) or site_name(folder.resolve().name)


def _folder_sources(folder: Path) -> Iterator[DumpFile]:
    """The tables in a folder, of which Posts.xml is one."""
    # Of a table that is there plain and compressed, the plain one counts.
    entries = sorted(folder.iterdir(), key=lambda entry: (entry.suffix.lower() == ".xml", entry.name))
    files = {_plain_name(entry): entry for entry in entries}
    for table in TABLES:
        entry = files.get(f"{table}.xml")
        if entry is not None:
            yield _xml_source(entry)


#: Endings of compressed files.
_PACKED = (".gz", ".zst", ".bz2", ".xz")


def _plain_name(path: Path) -> str:
    """The name of a file in lower case, without the ending of a compressed one."""
    name = path.name.lower()
    return name[: -len(path.suffix)] if path.suffix.lower() in _PACKED else name


def _xml_source(path: Path) -> DumpFile:
    with path.open("rb") as file:
        start = raw = file.read(_SNIFFED_BYTES)
    packed = compression_of(path) != "plain" or b"\0" in raw[:64]
    if packed or b"<!--" in raw:  # a comment may be long
        start = decompressed_head(path, _SNIFFED_WITH_COMMENT)
    match = _ROOT.match(start)
    root = match[1].decode() if match else ""
    if match and root == "!DOCTYPE":
        raise BadInput(
            f"{path} declares a document type at byte {match.start(1) - 1}, which a Stack Exchange dump never does.",
            "Use the file as published; entities are never expanded.",
        )
    if root not in TABLES + _OTHER_TABLES:
        refuse_container(path, start, "stackexchange-dump")
        nothing = "unpacks to nothing: it is empty inside, or cut off" if raw else "is empty"
        blank = "has only empty lines" if start else nothing
        kind = blank if not start.strip() else "is neither a 7z archive nor the XML of a Stack Exchange dump"
        raise NotOurs(
            f"{path} {kind}.",
            "Give a .7z as published, the folder it was unpacked to, or its Posts.xml.",
        )
    return DumpFile(path, {root: ""} if root in TABLES else {}, packed=packed)


def _archive_source(path: Path) -> DumpFile:
    from shp_miner.dumps.stackexchange_7z import list_archive  # noqa: PLC0415  (slow to import)

    names = list_archive(path)
    if names is None:
        return DumpFile(path, dict.fromkeys(TABLES, ""), is_archive=True, listed=False)
    tables: dict[str, str] = {}
    known = False
    for name in names:
        table = Path(name).name.lower().removesuffix(".xml")
        known = known or table in TABLES + _OTHER_TABLES
        if table in tables:
            raise BadInput(
                f"{path} contains more than one {table.capitalize()}.xml.", "Unpack it and import each site's folder."
            )
        if table in TABLES and name.lower().endswith(".xml"):
            tables[table] = name
    if not known:
        raise NotOurs(
            f"{path} contains no Posts.xml and no other table of a Stack Exchange dump.",
            "Give an archive of one site as published, for example beer.stackexchange.com.7z.",
        )
    return DumpFile(path, tables, is_archive=True)


def _refused(path: Path, error: OSError) -> Error:
    known = from_os_error(error, f"reading {path}")
    if known is not None:
        return known
    if isinstance(error, FileNotFoundError):
        return BadInput(f"{path} does not exist.", "Check the path.")
    return BadInput(f"{path} cannot be read ({error.strerror or error}).", "Check the path and the disk.")
