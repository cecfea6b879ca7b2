"""A forget request stays open until every registered export was reached or dropped by name, and the commands say so."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shp_miner import import_dump
from shp_miner.cli import run
from shp_miner.export.registered import KnownExport, known_exports, write_export
from shp_miner.forgetting.forget import forget, purge
from shp_miner.store import Store
from shp_miner.store.forget import ForgottenItem, tombstone_items
from shp_miner.store.identity import FILE as IDENTITY
from shp_miner.store.identity import _which, is_copy

from .build import chunk, post_row, thread, tree, write_month
from .conftest import NOW
from .killing import killed
from .test_forget import seen

ALICE, TEXT = "Alice_Zephyr", "Xylotext"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which Alice answered in two threads, and once alone in a community of two answers."""
    folder = tmp_path_factory.mktemp("filled")
    records = [record for i in range(5) for record in thread(f"p{i}", (3, 9, 5, 7))]
    records += thread("q1", (4, 6), subreddit="only")
    for record in records:
        if record["id"] in ("p1c1", "p2c2", "q1c2"):
            record |= {"body": f"{TEXT} {record['id']}", "author": ALICE}
    import_dump("reddit-dump", write_month(folder / "dump", records), folder / "store", now=NOW)
    return folder / "store"


@pytest.fixture
def store(tmp_path: Path, filled: Path) -> Path:
    """A store of its own beside no copy: the first one does not lie at its noted place any more."""
    shutil.copytree(filled, tmp_path / "store")
    (tmp_path / "store" / IDENTITY).unlink()
    return tmp_path / "store"


@pytest.fixture
def cli(store: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on the store: its exit code, and what it printed for people and for errors."""

    def call(command: str, *words: object, on: Path = store) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([command, *map(str, words), "--store", str(on)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def exported(cli: Run, out: Path, *options: str) -> Path:
    assert cli("export", out, "--rule", "votes", *options)[0] == 0
    return out


def outcomes(cli: Run, *words: object) -> dict[str, str]:
    data = json.loads(cli("forget", *words, "--json")[1])
    return {Path(export["path"]).name: export["outcome"] for export in data["exports"]}


def is_open(cli: Run, path: Path, says: str) -> None:
    """`status` and `doctor` are not content, and name the export and what to do."""
    code, out, _ = cli("status", "--json")
    data = json.loads(out)
    assert code == 3
    assert [(wrong["what"], str(path) in wrong["says"]) for wrong in data["wrong"]] == [("forgetting", True)]
    (waits,) = data["forgetting_waits"]
    assert (waits["path"], says in waits["why"]) == (str(path), True), waits
    assert waits["since"] == data["forgetting_since"]
    assert waits["hint"]
    code, out, _ = cli("doctor", "--json")
    (problem,) = json.loads(out)["problems"]
    assert code == 5
    assert f"A forget request is not finished yet: it has not reached {path}. " in problem
    assert says in problem


def is_finished(cli: Run, *places: Path) -> None:
    assert cli("status")[0] == 0
    assert cli("doctor")[0] == 0
    for place in places:
        assert seen(place, ALICE, TEXT) == []


# -- away, and back ---------------------------------------------------------------------------------------------------


@pytest.mark.sampled(3)
@pytest.mark.parametrize("again", ["other name", "forget", "repair", "export", "recheck", "run", "purge"])
def test_an_export_that_was_away_is_cleaned_when_it_is_back(again: str, cli: Run, store: Path, tmp_path: Path) -> None:
    disk, away = tmp_path / "disk", tmp_path / "away"
    out = exported(cli, disk / "ex")
    assert cli("forget", "--author", "nobody1")[0] == 0
    disk.rename(away)
    disk.mkdir()  # where it was mounted
    code, said, errors = cli("forget", "--author", ALICE)
    assert code == 3
    assert "away" in said
    assert f"! {out}: The folder does not exist. Bring it back:" in errors
    assert f"--drop-export {out}" in errors
    assert "A forget request is not finished yet: 1 export not reached." in errors
    assert seen(store, ALICE, TEXT) == []
    version = Store(store).snapshot().version
    for _ in range(2):
        assert cli("forget")[0] == 3
        is_open(cli, out, "The folder does not exist.")
    assert Store(store).snapshot(version).version == version, "waiting ends no version"
    disk.rmdir()
    away.rename(disk)
    assert seen(out, TEXT)
    is_open(cli, out, "It is back, and not cleaned yet.")
    match again:
        case "other name":
            assert cli("forget", "--author", "nobody2")[0] == 0
        case "forget":
            code, said, _ = cli("forget")
            assert (code, "rewritten" in said) == (0, True)
        case "repair":
            code, said, _ = cli("doctor", "--repair")
            assert (code, f"A forget request had not reached {out}. Repaired: content removed from it." in said) == (
                0,
                True,
            )
        case "export":
            exported(cli, tmp_path / "other")
        case "recheck":
            assert cli("recheck")[0] == 0
        case "run":
            (tmp_path / "p.toml").write_text(f'store = "{store}"\n')
            assert run(["run", str(tmp_path / "p.toml")]) == 0
        case "purge":
            tombstone_items(Store(store), [ForgottenItem("reddit.com", "p0", "p0c1")], "deleted", 1)
            assert purge(store).finished
    is_finished(cli, out)
    assert cli("forget")[0] == 2, "nothing is left to do"


def test_a_run_says_what_it_waits_for(
    cli: Run, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = exported(cli, tmp_path / "ex")
    out.rename(tmp_path / "moved")
    (tmp_path / "names.txt").write_text(f"{ALICE}\n")
    (tmp_path / "p.toml").write_text(f'store = "{store}"\nforget = {{ file = "{tmp_path / "names.txt"}" }}\n')
    for _ in range(2):
        capsys.readouterr()
        assert run(["run", str(tmp_path / "p.toml")]) == 3
        said = capsys.readouterr().err
        assert f"tidy forget requests: not finished yet: {out} was not reached. The folder does not exist." in said
    assert cli("forget", "--drop-export", out)[0] == 0
    assert run(["run", str(tmp_path / "p.toml")]) == 0


def test_only_dropping_it_by_name_ends_the_wait_for_a_deleted_export(cli: Run, tmp_path: Path) -> None:
    out = exported(cli, tmp_path / "ex")
    shutil.rmtree(out)
    assert cli("forget", "--author", ALICE)[0] == 3
    is_open(cli, out, "The folder does not exist.")
    code, _, said = cli("forget", "--drop-export", tmp_path / "xe")
    assert (code, f"has no registered export {tmp_path / 'xe'}" in said, str(out) in said) == (2, True, True)
    assert outcomes(cli, "--drop-export", out, "--dry-run") == {"ex": "dropped"}
    is_open(cli, out, "The folder does not exist.")
    assert outcomes(cli, "--drop-export", out) == {"ex": "dropped"}
    is_finished(cli)


def test_what_is_dropped_and_still_there_is_left_alone_and_said(cli: Run, tmp_path: Path) -> None:
    out = exported(cli, tmp_path / "ex")
    before = tree(out)
    code, said, _ = cli("forget", "--author", ALICE, "--drop-export", out)
    assert (code, "The folder still exists, unchanged: delete it yourself." in said) == (0, True)
    assert tree(out) == before


def test_a_moved_export_is_named_at_its_new_place(cli: Run, store: Path, tmp_path: Path) -> None:
    out, moved = exported(cli, tmp_path / "ex"), tmp_path / "moved"
    out.rename(moved)
    assert outcomes(cli, "--author", ALICE) == {"ex": "away"}
    is_open(cli, out, "The folder does not exist.")
    assert seen(moved, TEXT)
    assert f"forget --export NEW-PATH --drop-export {out}`" in cli("forget")[2]
    assert outcomes(cli, "--export", moved, "--drop-export", out) == {"ex": "dropped", "moved": "rewritten"}
    is_finished(cli, moved)
    assert [export.path for export in known_exports(Store(store))] == [str(moved)]


@pytest.mark.parametrize("named", ["export of the same bytes", "copy", "moved"])
def test_an_export_that_is_named_never_ends_the_wait_for_one_that_is_away(
    named: str, cli: Run, store: Path, tmp_path: Path
) -> None:
    out, disk, other = exported(cli, tmp_path / "mnt" / "A"), tmp_path / "disk", tmp_path / "other"
    match named:
        case "copy":
            shutil.copytree(out, other)
        case "moved":
            exported(cli, tmp_path / "B").rename(other)
        case _:
            exported(cli, other)
    out.parent.rename(disk)
    assert outcomes(cli, "--author", ALICE, "--export", other)["A"] == "away"
    assert seen(other, TEXT) == []
    assert str(out) in [export.path for export in known_exports(Store(store))]
    if named == "moved":
        assert cli("forget", "--drop-export", tmp_path / "B")[0] == 3
    is_open(cli, out, "The folder does not exist.")
    disk.rename(out.parent)
    assert cli("forget")[0] == 0
    is_finished(cli, out, other)


def test_a_copy_that_is_named_does_not_end_the_wait_for_another_export(cli: Run, tmp_path: Path) -> None:
    out = exported(cli, tmp_path / "ex")
    copy = Path(shutil.copytree(out, tmp_path / "copy"))
    other = exported(cli, tmp_path / "other", "--validation", "0.2")
    other.rename(tmp_path / "away")
    assert outcomes(cli, "--author", ALICE, "--export", copy) == {
        "ex": "rewritten", "copy": "rewritten", "other": "away"
    }  # fmt: skip
    is_open(cli, other, "The folder does not exist.")


@pytest.mark.parametrize("how", ["export", "another store"])
def test_an_export_made_in_the_place_of_one_that_is_waited_for_does_not_end_the_wait(
    how: str, cli: Run, filled: Path, tmp_path: Path
) -> None:
    out, away = exported(cli, tmp_path / "ex"), tmp_path / "away"
    out.rename(away)
    assert cli("forget", "--author", ALICE)[0] == 3
    if how == "export":
        code, _, said = cli("export", out, "--rule", "votes")
        assert (code, f"it has not reached {out}." in said) == (0, True)
    else:
        other = Path(shutil.copytree(filled, tmp_path / "other"))
        records = thread("p9", (2, 8, 5))
        import_dump("reddit-dump", write_month(tmp_path / "dump", records), other, now=NOW)
        exported(lambda *words: cli(*words, on=other), out)
    before = tree(out)
    assert cli("forget")[0] == 3
    is_open(cli, out, "Another export is in this folder")
    assert tree(out) == before
    shutil.rmtree(out)
    away.rename(out)
    assert cli("forget")[0] == 0
    is_finished(cli, out)


def test_an_export_put_back_from_a_backup_is_known_and_cleaned(cli: Run, tmp_path: Path) -> None:
    out = exported(cli, tmp_path / "ex")
    shutil.copytree(out, tmp_path / "backup")
    assert outcomes(cli, "--author", ALICE) == {"ex": "rewritten"}
    shutil.rmtree(out)
    shutil.copytree(tmp_path / "backup", out)
    assert outcomes(cli, "--author", "nobody") == {"ex": "rewritten"}
    is_finished(cli, out)


def test_dropped_rows_that_are_away_are_waited_for(cli: Run, tmp_path: Path) -> None:
    out, rows = tmp_path / "ex", tmp_path / "rows"
    exported(cli, out, "--min-answer-score", "6", "--keep-dropped", str(rows))
    assert seen(rows, ALICE)
    rows.rename(tmp_path / "away")
    assert outcomes(cli, "--author", ALICE) == {"ex": "rewritten", "rows": "away"}
    is_open(cli, rows, "The folder with dropped rows does not exist.")
    (tmp_path / "away").rename(rows)
    assert outcomes(cli)["rows"] == "rewritten"
    is_finished(cli, out, rows)
    shutil.rmtree(rows)
    assert cli("forget", "--author", "x")[0] == 3
    assert outcomes(cli, "--drop-export", rows) == {"rows": "dropped", "ex": "nothing in it"}
    is_finished(cli)


def test_dropped_rows_on_a_disk_that_is_not_mounted_are_waited_for(
    cli: Run, store: Path, small_disk: Path, tmp_path: Path
) -> None:
    out, rows = tmp_path / "ex", tmp_path / "mnt"
    rows.mkdir()
    exported(cli, out, "--min-answer-score", "6", "--keep-dropped", str(rows))
    assert seen(rows, ALICE)
    rows.rename(tmp_path / "away")
    rows.mkdir()  # as the place of a disk that is not mounted
    assert outcomes(cli, "--author", ALICE) == {"ex": "rewritten", "mnt": "away"}
    is_open(cli, rows, "The folder with dropped rows is empty: its disk may not be mounted.")
    rows.rmdir()
    (tmp_path / "away").rename(rows)
    is_open(cli, rows, "It is back, and not cleaned yet.")
    assert outcomes(cli)["mnt"] == "rewritten"
    is_finished(cli, out, rows)


def test_a_folder_that_got_no_dropped_row_is_not_taken_for_away(cli: Run, tmp_path: Path) -> None:
    out, rows = tmp_path / "ex", tmp_path / "rows"
    exported(cli, out, "--min-post-score", "0", "--keep-dropped", str(rows))
    shutil.rmtree(rows / "answers")
    assert outcomes(cli, "--author", ALICE) == {"ex": "rewritten", "rows": "nothing in it"}


def _export_on_disk(folder: Path) -> None:
    words = ["--rule", "votes", "--min-answer-score", "6", "--keep-dropped", str(folder.parent / "rows")]
    run(["export", str(folder.parent / "mnt" / "ex"), *words, "--store", str(folder)])


@pytest.mark.sampled(5)
@pytest.mark.parametrize("is_mount_point", [True, False])
@pytest.mark.parametrize(
    "moment",
    ["shp_miner.export.dataset:_written after 1", "shp_miner.export.registered:Registration.publishing after 1"],
)
@pytest.mark.parametrize("between", ["nothing", "another export", "its place is named"])
def test_what_a_killed_export_left_on_a_disk_that_is_away_is_waited_for(
    between: str, moment: str, is_mount_point: bool, cli: Run, store: Path, tmp_path: Path
) -> None:
    mnt, disk, out = tmp_path / "mnt", tmp_path / "disk", tmp_path / "mnt" / "ex"
    killed(_export_on_disk, store, moment)
    assert seen(mnt / ".ex.new", TEXT)
    assert seen(mnt / ".ex.new" if "_written" in moment else tmp_path / "rows", ALICE)
    mnt.rename(disk)
    if is_mount_point:
        mnt.mkdir()
    if between != "nothing":  # on the disk below, or another one
        exported(cli, out)
    if between == "its place is named":
        cli("forget", "--export", out)
    assert cli("forget", "--author", ALICE)[0] == 3
    why = "Its parent folder is empty: its disk" if is_mount_point else "Its parent folder does not exist."
    is_open(cli, out, why if between == "nothing" else "The files that the killed export left there are missing.")
    if between != "nothing":
        assert seen(mnt, TEXT) == []
        mnt.rename(tmp_path / "second")
    elif is_mount_point:
        mnt.rmdir()
    disk.rename(mnt)
    is_open(cli, out, "It is back, and not cleaned yet.")
    if between == "nothing":
        assert cli("recheck")[0] == 0
    else:  # now the other one is away
        assert cli("forget")[0] == 3
        is_open(cli, out, "The folder does not exist.")
        mnt.rename(disk)
        (tmp_path / "second").rename(mnt)
        assert cli("forget")[0] == 0
        assert seen(disk, TEXT) == []
    assert {tuple(export.dropped) for export in known_exports(Store(store))} >= {(str(tmp_path / "rows"),)}
    is_finished(cli, mnt, tmp_path / "rows")


def test_an_export_made_where_another_disk_was_mounted_leaves_the_first_known(
    cli: Run, store: Path, tmp_path: Path
) -> None:
    """Whether the second has the same bytes or not, and is on a disk or in the folder below."""
    mnt, out = tmp_path / "mnt", tmp_path / "mnt" / "ex"
    for number, options in enumerate([[], [], ["--validation", "0.2"]]):
        mnt.mkdir()
        exported(cli, out, *options)
        mnt.rename(tmp_path / f"disk{number}")
    (tmp_path / "disk2").rename(mnt)
    assert len(known_exports(Store(store))) == 3
    code, _, said = cli("forget", "--author", ALICE)
    assert (code, said.count(f"! {out}: Another export is in this folder"), "2 exports not reached" in said) == (
        3,
        2,
        True,
    )
    mnt.rename(tmp_path / "disk2")
    for number in (0, 1):
        disk = tmp_path / f"disk{number}"
        assert seen(disk, TEXT)
        disk.rename(mnt)
        assert cli("forget")[0] == 3
        assert seen(mnt, TEXT) == []
        mnt.rename(disk)
    (tmp_path / "disk2").rename(mnt)
    assert cli("forget", "--drop-export", out)[0] == 0
    assert [export.is_there() for export in known_exports(Store(store))] == [True], (
        "only those that are not there are dropped"
    )
    is_finished(cli, mnt)


def test_an_export_of_a_store_that_cannot_be_written_to_says_that_forget_will_not_know_it(
    cli: Run, store: Path, small_disk: Path, tmp_path: Path
) -> None:
    there = Path(shutil.copytree(store, small_disk / "store"))
    Store(there).create()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    out = tmp_path / "ex"
    code, said, errors = cli("export", out, "--rule", "votes", "--json", on=there)
    assert (code, json.loads(said)["registered"]) == (0, False)
    assert (
        "This export is not registered, because the store is not writable: `forget` does not find it by itself. "
        f"Give it to each forget request: `shp-miner forget --export {out}`." in errors
    )
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert outcomes(lambda *words: cli(*words, on=there), "--author", ALICE, "--export", out) == {"ex": "rewritten"}
    assert seen(out, TEXT) == []
    code, said, errors = cli("export", tmp_path / "other", "--rule", "votes", "--json", on=there)
    assert (json.loads(said)["registered"], "is not registered" in errors) == (True, False)


# -- there, and not reached -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["deleted", "cut", "one of two"])
def test_an_export_without_a_readable_manifest_is_not_taken_for_gone(how: str, cli: Run, tmp_path: Path) -> None:
    options = ["--format", "pairs", "--format", "kto"] if how == "one of two" else []
    out = exported(cli, tmp_path / "ex", *options)
    place = out / "kto" if how == "one of two" else out
    manifest = place / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:100]) if how == "cut" else manifest.unlink()
    code, _, said = cli("forget", "--author", ALICE)
    assert code == 3
    assert f"{place} is not a readable export: it has no readable manifest.json." in said
    assert "Restore its manifest.json" in said
    is_open(cli, out, "is not a readable export")
    assert seen(place, TEXT), "nothing of it was deleted"
    manifest.write_bytes(whole)
    assert outcomes(cli) == {"ex": "rewritten"}
    is_finished(cli, out)


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_an_export_that_cannot_be_made_again_is_kept_and_waited_for(
    how: str, cli: Run, small_disk: Path, tmp_path: Path
) -> None:
    out, other = exported(cli, small_disk / "ex"), exported(cli, tmp_path / "other")
    before = tree(out)
    if how == "full":
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - 4096))
        why = "No space is left on the disk"
    else:
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        why = "read-only"
    code, said, errors = cli("forget", "--author", ALICE)
    assert (code, why in errors, "Correct this" in errors) == (3, True, True)
    assert "failed" in said
    assert tree(out) == before
    assert seen(other, TEXT) == [], "one that fails keeps no other from being cleaned"
    is_open(cli, out, why)
    code, said, _ = cli("doctor", "--repair")
    assert (code, why in said) == (5, True)
    if how == "full":
        ballast.unlink()
    else:
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert outcomes(cli) == {"ex": "rewritten", "other": "nothing in it"}
    is_finished(cli, out)


def test_settings_of_another_version_delete_nothing(cli: Run, store: Path, tmp_path: Path) -> None:
    out = exported(cli, tmp_path / "ex")
    manifest = out / "manifest.json"
    told = json.loads(manifest.read_text())
    told["configuration"]["rule"]["min_post_score"] = "later"
    manifest.write_text(json.dumps(told))
    files = set(tree(out))
    assert outcomes(cli, "--author", ALICE, "--export", out, "--drop-export", out) == {"ex": "failed"}
    assert set(tree(out)) == files
    is_open(cli, out, "This version does not understand the settings in its manifest.json")
    exported(cli, out)  # by hand, with settings of now
    is_finished(cli, out)


def test_a_bug_at_one_export_keeps_no_other_from_being_cleaned(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = exported(cli, tmp_path / "a"), exported(cli, tmp_path / "b")
    before = tree(first)
    from shp_miner.forgetting import exports as exports_again

    real = exports_again.make_export_again

    def broken(store: Any, known: KnownExport, *rest: Any) -> None:
        if known.path == str(first):
            raise KeyError("xyz")
        real(store, known, *rest)

    monkeypatch.setattr(exports_again, "make_export_again", broken)
    assert outcomes(cli, "--author", ALICE) == {"a": "failed", "b": "rewritten"}
    assert tree(first) == before
    assert seen(second, TEXT) == []
    is_open(cli, first, "KeyError: 'xyz'")
    monkeypatch.undo()
    assert outcomes(cli) == {"a": "rewritten", "b": "nothing in it"}


def test_a_damaged_file_of_the_list_is_named_and_keeps_no_export_from_being_cleaned(
    cli: Run, store: Path, tmp_path: Path
) -> None:
    out = exported(cli, tmp_path / "ex")
    damaged = store / "exports" / f"{'0' * 32}.json"
    damaged.write_bytes(b"{")
    code, _, said = cli("forget", "--author", ALICE)
    assert code == 3
    assert f"! {damaged}: This file of the list of exports is damaged" in said
    assert seen(out, TEXT) == []
    assert cli("status")[0] == 3
    assert cli("doctor")[0] == 5
    damaged.unlink()
    is_finished(cli, out)


# -- nothing left for it ----------------------------------------------------------------------------------------------


def test_an_export_with_no_pair_left_loses_only_files_of_its_own(cli: Run, store: Path, tmp_path: Path) -> None:
    out = exported(cli, tmp_path / "ex", "--community", "only", "--format", "pairs", "--format", "kto")
    alone = exported(cli, tmp_path / "alone", "--community", "only")
    (out / "kto" / "notes.txt").write_text("mine")
    data = json.loads(cli("forget", "--author", ALICE, "--json")[1])
    assert {export["outcome"] for export in data["exports"]} == {"removed"}
    assert "No pair of answers" in data["exports"][0]["why"]
    assert tree(out) == {"kto": None, "kto/notes.txt": b"mine"} or list(tree(out)) == ["kto/notes.txt"]
    assert not alone.exists()
    is_finished(cli, out)
    assert known_exports(Store(store)) == []


def _forget_alice(folder: Path) -> None:
    forget(folder, authors=[ALICE])


@pytest.mark.parametrize(
    "moment",
    [
        "shp_miner.forgetting.exports:write_export after 1",
        "shp_miner.forgetting.exports:remove_export after 1",
        "shp_miner.forgetting.exports:drop_export before 1",
        "pathlib:Path.rmdir after 1",
    ],
)
def test_killed_while_an_export_is_removed_it_is_completed(moment: str, cli: Run, store: Path, tmp_path: Path) -> None:
    out = exported(cli, tmp_path / "ex", "--community", "only", "--format", "pairs", "--format", "kto")
    killed(_forget_alice, store, moment)
    assert cli("status")[0] == 3
    assert cli("forget")[0] == 0
    assert not out.exists()
    is_finished(cli, tmp_path)


@pytest.mark.parametrize(
    "moment",
    [
        "shp_miner.forgetting.exports:write_export before 1",
        "shp_miner.forgetting.exports:write_export after 1",
        "shp_miner.forgetting.forget:settle_list before 1",
        "shp_miner.forgetting.forget:settle_list after 1",
    ],
)
def test_killed_while_one_is_away_the_request_is_still_open(moment: str, cli: Run, store: Path, tmp_path: Path) -> None:
    out = exported(cli, tmp_path / "ex")
    out.rename(tmp_path / "away")
    killed(_forget_alice, store, moment)
    assert cli("status")[0] == 3
    assert cli("forget")[0] == 3
    (tmp_path / "away").rename(out)
    assert cli("forget")[0] == 0
    is_finished(cli, out)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("nth", "is_of_earlier_version"), [*((nth, False) for nth in (1, 2)), *((nth, True) for nth in range(1, 5))]
)
def test_killed_while_one_format_of_several_changes_places_nothing_is_left(
    nth: int, is_of_earlier_version: bool, cli: Run, store: Path, tmp_path: Path
) -> None:
    out = exported(cli, tmp_path / "ex", "--format", "pairs", "--format", "kto")
    (out / "notes.txt").write_text("mine")
    if is_of_earlier_version:  # without a manifest over both, each format is made again by itself
        (out / "README.md").unlink()
        (out / "manifest.json").unlink()
    killed(_forget_alice, store, f"pathlib:Path.rename after {nth}")
    assert cli("forget")[0] == 0
    names = {path.name for path in out.iterdir()}
    assert names == {"kto", "notes.txt", "pairs"} | (
        {"README.md", "manifest.json"} if not is_of_earlier_version else set()
    )
    is_finished(cli, tmp_path)


# -- registering ------------------------------------------------------------------------------------------------------


def test_a_place_that_cannot_be_used_is_not_registered(cli: Run, store: Path, tmp_path: Path) -> None:
    good = exported(cli, tmp_path / "good")
    (tmp_path / "file").write_text("x")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    for out, says in (
        (Path("/"), "An export cannot be written to /: it is the top folder."),
        (tmp_path / ("x" * 252), "the name is too long."),
        (tmp_path / ("x" * 300), "the name is too long."),
        (tmp_path / "file", "exists and is not an export."),
        (tmp_path / "file" / "in", "is a file, not a folder."),
        (tmp_path / "mine", "exists and is not an export."),
    ):
        code, _, said = cli("export", out, "--rule", "votes")
        assert code in (2, 5), (out, said)
        assert says in said
        assert "bug" not in said
        assert [export.path for export in known_exports(Store(store))] == [str(good)], out
    assert cli("export", tmp_path / "none", "--community", "nowhere")[0] == 5
    assert [export.path for export in known_exports(Store(store))] == [str(good)], "nothing was written there"
    assert cli("forget", "--author", ALICE)[0] == 0
    is_finished(cli, good)


def test_places_that_an_earlier_version_noted_and_that_cannot_be_do_no_harm(
    cli: Run, store: Path, tmp_path: Path
) -> None:
    good = exported(cli, tmp_path / "good")
    for path in ("/", str(tmp_path / ("x" * 252)), str(tmp_path / ("x" * 300))):
        write_export(Store(store), KnownExport(path))
    tombstone_items(Store(store), [ForgottenItem("reddit.com", "p0", "p0c1")], "deleted", 1)
    assert cli("doctor", "--repair")[0] == 0
    assert cli("forget", "--author", ALICE)[0] == 0
    assert [export.path for export in known_exports(Store(store))] == [str(good)]
    is_finished(cli, good)


def test_what_an_earlier_version_missed_is_found(cli: Run, store: Path, tmp_path: Path) -> None:
    """It took an export for clean that was away while something was forgotten."""
    out = exported(cli, tmp_path / "ex")
    assert cli("forget", "--author", "nobody1")[0] == 0
    (file,) = (store / "exports").glob("*.json")
    clean = json.loads(file.read_bytes())["clean"]
    out.rename(tmp_path / "away")
    assert cli("forget", "--author", ALICE)[0] == 3
    (tmp_path / "away").rename(out)
    file.write_text(json.dumps({"path": str(out), "dropped": [], "clean": clean}))
    assert outcomes(cli, "--author", "nobody2") == {"ex": "rewritten"}
    is_finished(cli, out)


def _export(folder: Path) -> None:
    run(["export", str(folder.parent / "ex"), "--rule", "votes", "--store", str(folder)])


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    ("moment", "known"),
    [
        ("shp_miner.export.registered:remember_export before 1", False),
        ("shp_miner.export.registered:remember_export after 1", False),
        ("shp_miner.export.dataset:_written after 1", False),
        ("shp_miner.export.registered:Registration.publishing after 1", False),
        ("pathlib:Path.rename before 1", False),
        ("shp_miner.export.publish:_sync_tree after 1", False),
        ("shp_miner.export.registered:Registration.appeared before 1", True),
        ("shp_miner.export.registered:Registration.appeared after 1", True),
    ],
)
@pytest.mark.parametrize("is_moved", [False, True])
def test_what_a_killed_export_left_is_found_and_one_that_never_was_is_not_waited_for(
    moment: str, known: bool, is_moved: bool, cli: Run, store: Path, tmp_path: Path
) -> None:
    killed(_export, store, moment)
    assert (tmp_path / "ex").exists() == known
    if known and is_moved:
        (tmp_path / "ex").rename(tmp_path / "away")
        assert outcomes(cli, "--author", ALICE) == {"ex": "away"}
        (tmp_path / "away").rename(tmp_path / "ex")
        assert outcomes(cli) == {"ex": "rewritten"}
    else:
        assert outcomes(cli, "--author", ALICE) == ({"ex": "rewritten"} if known else {})
    if "remember_export" not in moment:
        assert not (tmp_path / ".ex.new").exists()
    is_finished(cli, tmp_path)


# -- which store it is ------------------------------------------------------------------------------------------------


def test_a_copied_store_never_touches_the_exports_of_the_first(cli: Run, store: Path, tmp_path: Path) -> None:
    out = exported(cli, tmp_path / "ex")
    own_id = json.loads((store / IDENTITY).read_bytes())["id"]
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    before = tree(out)
    (tmp_path / ".ex.old").mkdir()  # as while it is being replaced
    assert cli("doctor", on=copy)[0] == 0
    assert cli("status", on=copy)[0] == 0
    assert outcomes(lambda *words: cli(*words, on=copy), "--author", ALICE, "--dry-run") == {}
    assert is_copy(copy)
    code, said, _ = cli("forget", "--author", ALICE, "--json", on=copy)
    assert (code, f"It belongs to the store {store}; this store is a copy of that one." in said) == (0, True)
    assert "It belongs" not in cli("forget", "--author", "x", on=copy)[1], "it is listed once"
    assert seen(copy, ALICE, TEXT) == []
    assert tree(out) == before
    assert (tmp_path / ".ex.old").exists()
    assert known_exports(Store(copy)) == []
    assert json.loads((copy / IDENTITY).read_bytes())["id"] != own_id
    assert json.loads((store / IDENTITY).read_bytes())["id"] == own_id
    # Both have exports of their own from now on.
    exported(lambda *words: cli(*words, on=copy), tmp_path / "of copy")
    assert outcomes(cli, "--author", ALICE) == {"ex": "rewritten"}
    assert seen(tmp_path, *(ALICE, TEXT)) == []


@pytest.mark.parametrize("command", ["export", "append", "repair", "vacuum"])
def test_whoever_writes_to_a_copy_makes_it_a_store_of_its_own(
    command: str, cli: Run, store: Path, tmp_path: Path
) -> None:
    out = exported(cli, tmp_path / "ex")
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    match command:
        case "export":
            exported(lambda *words: cli(*words, on=copy), tmp_path / "own")
        case "append":
            Store(copy).append(chunk([post_row()], []))
        case "repair":
            assert cli("doctor", "--repair", on=copy)[0] == 0
        case "vacuum":
            assert cli("vacuum", on=copy)[0] == 0
    assert [Path(export.path).name for export in known_exports(Store(copy))] == ["own"] * (command == "export")
    before = tree(out)
    assert cli("forget", "--author", ALICE, on=copy)[0] == 0
    assert tree(out) == before


def test_a_moved_store_keeps_its_exports(cli: Run, store: Path, tmp_path: Path) -> None:
    out = exported(cli, tmp_path / "ex")
    own_id = json.loads((store / IDENTITY).read_bytes())["id"]
    moved = store.rename(tmp_path / "moved")
    assert outcomes(lambda *words: cli(*words, on=moved), "--author", ALICE) == {"ex": "rewritten"}
    assert seen(out, TEXT) == []
    assert json.loads((moved / IDENTITY).read_bytes()) == {
        "id": own_id, "path": str(moved), "copy_of": None, "theirs": [], "folder": _which(moved), "proven": "",
    }  # fmt: skip


@pytest.mark.parametrize("it_is", ["that store", "a copy"])
@pytest.mark.parametrize("how", ["moved to another disk", "copied"])
def test_where_nobody_can_tell_a_copy_from_a_moved_store_no_export_is_touched(
    how: str, it_is: str, cli: Run, store: Path, small_disk: Path, tmp_path: Path
) -> None:
    out, rows = tmp_path / "ex", tmp_path / "rows"
    first = Path(shutil.copytree(store, small_disk / "store")) if how.startswith("moved") else store

    def on_first(command: str, *words: object) -> tuple[int, str, str]:
        return cli(command, *words, on=first)

    exported(on_first, out, "--min-answer-score", "6", "--keep-dropped", str(rows))
    other = Path(shutil.copytree(first, tmp_path / "other"))
    away = first.rename(first.with_name("away"))  # deleted, or on a disk that is not mounted
    before = tree(out) | tree(rows)

    def on_other(command: str, *words: object) -> tuple[int, str, str]:
        return cli(command, *words, on=other)

    for _ in range(2):
        assert outcomes(on_other, "--author", ALICE, "--dry-run") == {"ex": "unsure"}
        assert on_other("status")[0] == 0
        assert on_other("doctor", "--repair")[0] == 0
    code, _, said = on_other("forget", "--author", ALICE)
    assert code == 3
    assert (
        f"! {out}: The store {first} made it; this store may be that one, moved, or a copy of it. "
        f"If this is that store, run `shp-miner forget --export {out}`; "
        f"if it is a copy, `shp-miner forget --drop-export {out}`." in said
    )
    is_open(on_other, out, "this store may be that one")
    assert tree(out) | tree(rows) == before
    if it_is == "that store":
        assert outcomes(on_other, "--export", out) == {"ex": "rewritten", "rows": "rewritten"}
        is_finished(on_other, out, rows)
        return
    assert outcomes(on_other, "--drop-export", out) == {"ex": "dropped"}
    is_finished(on_other)
    assert known_exports(Store(other)) == []
    assert tree(out) | tree(rows) == before
    away.rename(first)
    assert outcomes(on_first, "--author", ALICE) == {"ex": "rewritten", "rows": "rewritten"}
    assert seen(out, ALICE, TEXT) == seen(rows, ALICE, TEXT) == []


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_it_is_noted_that_nobody_can_tell(
    nth: int, when: str, cli: Run, store: Path, tmp_path: Path
) -> None:
    out = exported(cli, tmp_path / "ex")
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    store.rename(tmp_path / "away")
    killed(_append, copy, f"shp_miner.store.identity:replace_file {when} {nth}")
    before = tree(out)
    assert outcomes(lambda *words: cli(*words, on=copy), "--author", ALICE) == {"ex": "unsure"}
    assert tree(out) == before


def test_the_same_store_through_a_link_or_another_mount_is_the_same(cli: Run, store: Path, tmp_path: Path) -> None:
    exported(cli, tmp_path / "ex")
    told = (store / IDENTITY).read_bytes()
    (tmp_path / "link").symlink_to(store)
    assert outcomes(lambda *words: cli(*words, on=tmp_path / "link"), "--author", "x") == {"ex": "nothing in it"}
    assert (store / IDENTITY).read_bytes() == told
    bound = tmp_path / "bound"
    bound.mkdir()
    if subprocess.run(["mount", "--bind", store, bound], capture_output=True, check=False).returncode:
        pytest.skip("binding needs the right to mount")
    try:
        assert outcomes(lambda *words: cli(*words, on=bound), "--author", ALICE) == {"ex": "rewritten"}
        assert (store / IDENTITY).read_bytes() == told
    finally:
        subprocess.run(["umount", "--lazy", bound], check=True)


def _append(folder: Path) -> None:
    Store(folder).append(chunk([post_row()], []))


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_a_copy_becomes_a_store_of_its_own(
    nth: int, when: str, cli: Run, store: Path, tmp_path: Path
) -> None:
    out = exported(cli, tmp_path / "ex")
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    killed(_append, copy, f"shp_miner.store.identity:_write {when} {nth}")
    before = tree(out)
    code, said, _ = cli("forget", "--author", ALICE, on=copy)
    assert (code, "It belongs to the store" in said) == (0, True)
    assert tree(out) == before
    assert cli("forget", "--author", ALICE)[0] == 0


def test_a_store_of_an_earlier_version_gets_an_identity_by_its_next_write(
    cli: Run, store: Path, tmp_path: Path
) -> None:
    assert not (store / IDENTITY).exists()
    cli("stats")
    assert not (store / IDENTITY).exists()
    Store(store).append(chunk([post_row()], []))
    assert msgspec.json.decode((store / IDENTITY).read_bytes())["path"] == os.path.realpath(store)


# -- what no command reaches ------------------------------------------------------------------------------------------


def test_what_no_command_reaches_is_named_in_one_line(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    exported(cli, tmp_path / "MyExport")
    said = cli("forget", "--author", ALICE)[1]
    assert "Delete other copies yourself: copies of exports, pushed data sets, trained models." in said
    cache = tmp_path / "hf" / "datasets" / "my_export"
    cache.mkdir(parents=True)
    assert f"copies of exports, the cache of `datasets` ({cache}), pushed" in cli("forget", "--author", "x")[1]
    assert cache.exists()
