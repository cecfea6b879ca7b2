"""The posts of an archive that are kept between the two readings of it."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shp_miner.dumps import stackexchange_7z, stackexchange_kept, stackexchange_tables, stackexchange_wreck
from shp_miner.dumps.stackexchange import read
from shp_miner.tally import Tally

from .stackexchange_dump import ALL, LZMA2, NOW, STORED, archive, long_members, read_all

Times = list[str]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def decompressed(monkeypatch: pytest.MonkeyPatch) -> Times:
    """One entry for each time a file is decompressed."""
    times: Times = []

    def counted(inner: Callable[..., Any], path: Path, *what: Any) -> Any:
        times.append(path.name)
        return inner(path, *what)

    readers = ((stackexchange_7z, "archive_blocks"), (stackexchange_wreck, "wreck_blocks"))
    for module, name in (*readers, (stackexchange_tables, "decompressed_blocks")):
        monkeypatch.setattr(module, name, partial(counted, getattr(module, name)))
    return times


def _open_in(folder: Path) -> list[str]:
    """The open files of this process that lie in a folder, with a name or without one."""
    return [link for link in _open_files() if link.startswith(str(folder))]


def _open_files() -> Iterator[str]:
    for file in Path("/proc/self/fd").iterdir():
        try:
            yield str(file.readlink())
        except OSError:
            continue


def _whole(path: Path) -> None:
    pass


def _cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 4 // 5])


def _corrupt(path: Path) -> None:
    data = path.read_bytes()
    middle = len(data) * 4 // 5
    path.write_bytes(data[:middle] + bytes(99) + data[middle + 99 :])


@pytest.mark.parametrize("damaged", [_whole, _cut, _corrupt])
@pytest.mark.parametrize("filters", [LZMA2, STORED])
def test_a_kept_reading_is_a_decompressed_one(
    tmp_path: Path,
    temporary: Path,
    decompressed: Times,
    monkeypatch: pytest.MonkeyPatch,
    filters: Any,
    damaged: Callable[[Path], None],
) -> None:
    monkeypatch.setattr(stackexchange_kept, "_LOOK_BYTES", 100_000)
    for number, members in enumerate((ALL, long_members(60))):
        path = archive(tmp_path / f"a{number}.meta.7z", members, filters)
        damaged(path)
        posts, answers, tally = read_all(path)
        assert decompressed == [path.name]
        with monkeypatch.context() as full:
            full.setattr(stackexchange_kept, "_free_bytes", lambda _: 0)
            full.setattr(stackexchange_kept, "_LOOK_BYTES", 1)
            again = read_all(path)
        assert len(decompressed) == 3
        assert again == (posts, answers, tally)
        assert not _open_in(temporary)
        decompressed.clear()


@pytest.mark.parametrize(("pack", "times"), [(bz2.compress, 1), (lzma.compress, 1), (gzip.compress, 2)])
def test_posts_that_are_slow_to_decompress_are_decompressed_once(
    tmp_path: Path, temporary: Path, decompressed: Times, pack: Callable[[bytes], bytes], times: int
) -> None:
    plain, packed = (tmp_path / name / "a.meta" / "Posts.xml" for name in ("plain", "packed"))
    for path, data in ((plain, ALL["Posts.xml"]), (packed, pack(ALL["Posts.xml"]))):
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    assert read_all(packed)[:2] == read_all(plain)[:2]
    assert decompressed == ["Posts.xml"] * times
    assert not _open_in(temporary)


def test_a_killed_import_leaves_no_kept_posts(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shp_miner.dumps.stackexchange.ROWS_PER_CHUNK", 10)
    monkeypatch.setattr("shp_miner.dumps.stackexchange_pieces.AT_ONCE_BYTES", 200_000)
    chunks = read([archive(tmp_path / "a.meta.7z", long_members(200))], Tally(), now=NOW)
    assert next(chunks).posts.num_rows
    # What is open has no name: the system deletes it with the process, however that ends.
    assert len(_open_in(temporary)) == 1
    assert not list(temporary.iterdir())
    chunks.close()  # type: ignore[attr-defined]
    assert not _open_in(temporary)


def test_an_archive_is_imported_when_there_is_no_room_to_keep_its_posts(
    tmp_path: Path, small_disk: Path, decompressed: Times, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stackexchange_kept, "_LOOK_BYTES", 1 << 40)  # so that the disk fills up
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    posts, _, tally = read_all(archive(tmp_path / "a.meta.7z", long_members(800), STORED))
    assert (len(posts), tally.complete, len(decompressed)) == (800, True, 2)
    assert not list(small_disk.iterdir())
    assert os.statvfs(small_disk).f_bfree == os.statvfs(small_disk).f_blocks
