"""The list of the forgotten and its salt, damaged or lost: nobody comes back unseen, and no store is dead for ever."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from shp_miner import BadInput
from shp_miner.cli import run
from shp_miner.export.opening import read_manifest
from shp_miner.export.registered import remember_export
from shp_miner.forgetting.forget import forget
from shp_miner.health.repair import look, repair
from shp_miner.store import Store
from shp_miner.store.forget import ForgottenItem, tombstone_items
from shp_miner.store.forgotten import Forgotten, _loaded
from shp_miner.store.forgotten_list import list_names, read_part
from shp_miner.store.lake import TABLES
from shp_miner.store.runs import Runs
from shp_miner.store.salt import COPY, SALT, has_salt, heal_salt, unsound_copies

from .build import comment, thread, tree, write_month
from .killing import killed
from .test_forget import seen

NAME = "Zephyrine_Quux"
TEXT = "Yttanswer"


@pytest.fixture
def dumps(tmp_path: Path) -> list[Path]:
    records = [record for i in range(3) for record in thread(f"p{i}")]
    return write_month(tmp_path / "dump", [*records, comment("hers", "p1", author=NAME, body=f"{TEXT} one")])


@pytest.fixture
def later(tmp_path: Path) -> list[str]:
    made = write_month(tmp_path / "later", [comment("new", "p2", author=NAME, body=f"{TEXT} two")])
    return [str(path) for path in made]


@pytest.fixture
def store(tmp_path: Path, dumps: list[Path]) -> Store:
    """A store that has forgotten somebody."""
    where = str(tmp_path / "s")
    assert run(["import", "reddit-dump", *map(str, dumps), "--store", where, "--quiet"]) == 0
    assert run(["forget", "--author", NAME, "--store", where, "--quiet"]) == 0
    return Store(where)


def comes_in(store: Store, later: list[str]) -> int:
    """Import something new of hers; the exit code. Nothing of it may ever be there."""
    code = run(["import", "reddit-dump", *later, "--store", str(store.path), "--quiet"])
    assert [found for name in TABLES for found in seen(store.path / name, NAME, TEXT)] == []
    return code


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut off": lambda data: data[:9],
    "cut off at its checksum": lambda data: data[:20],
    "zeros": lambda data: bytes(len(data)),
    "zeros as long as before": lambda data: bytes(16),
    "one bit": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "longer": lambda data: data + b"\n",
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("how", [*DAMAGE, "lost"])
@pytest.mark.parametrize("name", [SALT, COPY])
def test_one_copy_that_is_lost_is_written_again_from_the_other(
    name: str, how: str, store: Store, later: list[str]
) -> None:
    path = store.path / "forgotten" / name
    sound = path.read_bytes()
    assert len(sound) == 32
    path.unlink() if how == "lost" else path.write_bytes(DAMAGE[how](sound))
    assert [name] == unsound_copies(store.path / "forgotten")
    assert comes_in(store, later) == 0
    assert path.read_bytes() == sound
    path.unlink() if how == "lost" else path.write_bytes(DAMAGE[how](sound))
    (found,) = look(store.path)
    assert (found.fixable, found.fixed, found.harmless) == (True, False, how == "lost")
    assert run(["doctor", "--repair", "--store", str(store.path), "--quiet"]) == 0
    assert path.read_bytes() == sound
    assert look(store.path) == []


@pytest.mark.parametrize("how", [*DAMAGE, "lost"])
def test_both_copies_lost_stops_everything_that_writes_and_is_mended_in_plain_words(
    how: str, store: Store, later: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (SALT, COPY):
        path = store.path / "forgotten" / name
        path.unlink() if how == "lost" else path.write_bytes(DAMAGE[how](path.read_bytes()))
    before = list_names(store.path)
    capsys.readouterr()
    assert comes_in(store, later) == 5
    said = capsys.readouterr().err
    assert f"Error: {store.path / 'forgotten' / SALT} is " in said
    assert "Restore it from a backup. Without one, run `shp-miner doctor --repair`, then repeat" in said
    # Another salt would make strangers of all who are on the list.
    assert run(["forget", "--author", "somebody", "--store", str(store.path)]) == 5
    assert list_names(store.path) == before
    assert not has_salt(store.path / "forgotten")
    with Runs(store.path) as runs:
        runs.did("forget:list.txt", "its state", 1)
        runs.did("import:x", "its state", 1)

    assert run(["doctor", "--store", str(store.path)]) == 5
    assert "lines on people are useless without it" in " ".join(capsys.readouterr().out.split())
    assert run(["doctor", "--repair", "--store", str(store.path)]) == 0
    assert "for everybody who was forgotten before" in " ".join(capsys.readouterr().out.split())
    assert look(store.path) == []
    with Runs(store.path) as runs:
        assert runs.state_of("forget:list.txt") is None, "a pipeline's list is read again"
        assert runs.state_of("import:x") == "its state"
    # What she wrote before stays out by its id, whatever became of her name.
    assert Forgotten.load(store.path).lines["kind"].to_list() == ["item"]
    assert run(["forget", "--author", NAME, "--store", str(store.path), "--quiet"]) == 0
    assert unsound_copies(store.path / "forgotten") == []
    assert comes_in(store, later) == 0


def test_a_salt_of_an_earlier_version_is_taken_and_gets_a_copy(store: Store, later: list[str]) -> None:
    folder = store.path / "forgotten"
    old = (folder / SALT).read_bytes()[:16]
    (folder / SALT).write_bytes(old)
    (folder / COPY).unlink()
    (found,) = look(store.path)
    assert found.harmless
    assert comes_in(store, later) == 0
    assert ((folder / SALT).read_bytes(), (folder / COPY).read_bytes()[:16]) == (old, old)
    assert look(store.path) == []
    # Another one of the right length is told by the copy, which has a checksum.
    (folder / SALT).write_bytes(os.urandom(16))
    assert heal_salt(folder) == old


def test_a_store_that_may_only_be_read_is_read_with_one_copy(small_disk: Path, store: Store) -> None:
    copied = shutil.copytree(store.path, small_disk / "s")
    (copied / "forgotten" / SALT).write_bytes(b"")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert len(heal_salt(copied / "forgotten") or b"") == 16
    assert Forgotten.load(copied).names_people


def test_a_damaged_salt_that_no_line_needs_stops_nobody(tmp_path: Path, dumps: list[Path], later: list[str]) -> None:
    where = str(tmp_path / "s")
    assert run(["import", "reddit-dump", *map(str, dumps), "--store", where, "--quiet"]) == 0
    tombstone_items(Store(where), [ForgottenItem("reddit.com", "p1")], "removed", 1)
    (tmp_path / "s" / "forgotten" / SALT).write_bytes(b"")
    assert run(["import", "reddit-dump", *later, "--store", where, "--quiet"]) == 0
    assert run(["forget", "--author", NAME, "--store", where, "--quiet"]) == 0
    assert unsound_copies(tmp_path / "s" / "forgotten") == []
    assert seen(tmp_path / "s", NAME, TEXT) == []


def forgetting(folder: Path) -> None:
    forget(folder, authors=[NAME])


@pytest.mark.parametrize("moment", ["shp_miner.store.salt:_write before 1", "shp_miner.store.salt:_write after 1"])
def test_a_salt_whose_making_was_killed_is_one_salt(
    moment: str, tmp_path: Path, dumps: list[Path], later: list[str]
) -> None:
    where = str(tmp_path / "s")
    assert run(["import", "reddit-dump", *map(str, dumps), "--store", where, "--quiet"]) == 0
    killed(forgetting, tmp_path / "s", moment)
    assert run(["forget", "--author", NAME, "--store", where, "--quiet"]) == 0
    assert unsound_copies(tmp_path / "s" / "forgotten") == []
    assert comes_in(Store(where), later) == 0


@pytest.mark.parametrize("how", ["empty", "cut off", "another file"])
@pytest.mark.parametrize("pending", [False, True])
def test_a_damaged_file_of_the_list(
    pending: bool, how: str, store: Store, later: list[str], dumps: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    if pending:
        tombstone_items(store, [ForgottenItem("reddit.com", "p0")], "removed", 1)
    (path,) = [store.path / "forgotten" / name for name in list_names(store.path) if ("pending" in name) == pending]
    match how:
        case "empty":
            path.write_bytes(b"")
        case "cut off":
            path.write_bytes(path.read_bytes()[:-20])
        case "another file":
            shutil.copyfile(next((store.path / "posts").glob("*.parquet")), path)
    read_part.cache_clear()  # a file of the list never changes, so a process reads it once
    _loaded.clear()
    capsys.readouterr()
    assert comes_in(store, later) == 5
    said = capsys.readouterr().err
    assert f"Error: {path} is damaged." in said
    assert "Restore it from a backup. Else run `shp-miner doctor --repair`" in said
    assert any(not fault.fixed and path.name in fault.fault for fault in look(store.path))
    found = repair(store.path)
    assert all(fault.fixed for fault in found)
    assert "for everybody who was forgotten" in found[0].remedy
    assert look(store.path) == []
    # The dump of before brings nothing back: what was taken out is known by its ids.
    assert run(["import", "reddit-dump", *map(str, dumps), "--store", str(store.path), "--quiet"]) == 0
    assert seen(store.path, NAME, TEXT) == []
    assert run(["forget", "--author", NAME, "--store", str(store.path), "--quiet"]) == 0
    assert comes_in(store, later) == 0


def test_a_list_on_which_nothing_is_wrong_is_left_as_it_is(store: Store) -> None:
    before = tree(store.path / "forgotten")
    assert repair(store.path) == []
    assert tree(store.path / "forgotten") == before


@pytest.mark.parametrize(
    "moment", ["path_aside before 1", "path_aside before 2", "path_aside before 3", "write_part after 1"]
)
def test_a_repair_of_the_list_that_is_killed_is_completed_by_the_next(
    moment: str, store: Store, later: list[str]
) -> None:
    for name in (SALT, COPY):
        (store.path / "forgotten" / name).write_bytes(b"")
    killed(repair, store.path, f"shp_miner.store.repair_list:{moment}")
    with nullcontext() if moment.endswith(("2", "3")) else pytest.raises(BadInput):
        forget(store, authors=["somebody"])
    repair(store.path)
    assert look(store.path) == []
    assert "hers" in Forgotten.load(store.path).lines["answer_id"].to_list()
    forget(store, authors=[NAME])
    assert comes_in(store, later) == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"path":3}', '{"path":"out"}', '{"path":"/x","dropped":["y"]}'])
def test_a_damaged_file_of_the_known_exports(text: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """All else is forgotten, and the request stays open: which export is meant nobody can tell."""
    remember_export(store, store.path.parent / "out")
    (file,) = (store.path / "exports").glob("*.json")
    file.write_text(text)
    for _ in range(2):
        assert run(["forget", "--author", "somebody", "--store", str(store.path), "--quiet"]) == 3
        said = capsys.readouterr().err
        assert f"{file}: This file of the list of exports is damaged" in said
        assert "forget --export" in said
    file.unlink()
    assert run(["forget", "--author", "somebody", "--store", str(store.path), "--quiet"]) == 0


@pytest.mark.parametrize("text", ["", "[]", '{"layout": 1}', '{"files": {}}', '{"files": [{}]}', '{"files": ["a"]}'])
def test_a_damaged_manifest(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(BadInput, match=r"manifest\.json"):
        read_manifest(tmp_path)
