"""Whose files they are: an export replaces and removes what a manifest of its own names, wherever its place is."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest
from datasets import load_dataset
from datasets.exceptions import DataFilesNotFoundError

import shp_miner
from shp_miner import import_dump
from shp_miner.cli import run
from shp_miner.export.registered import known_exports
from shp_miner.store import Store

from .build import thread, tree, write_month
from .killing import killed

TEXT = "Answer p0c1."
AUTHOR = "writer-p0c1@reddit.com"


@pytest.fixture
def store(tmp_path: Path, now: datetime) -> Path:
    records = [record for i in range(12) for record in thread(f"p{i}", subreddit="AskTest" if i % 3 else "AskMore")]
    import_dump("reddit-dump", write_month(tmp_path / "dumps", records), tmp_path / "store", now=now)
    return tmp_path / "store"


Export = Callable[..., int]


@pytest.fixture
def export(store: Path) -> Export:
    return lambda out, *words: run(["export", str(out), "--store", str(store), "--quiet", "--replace", *words])


@pytest.fixture
def expected(export: Export, tmp_path: Path) -> dict[str, bytes]:
    """An export as it is where nothing was before."""
    assert export(tmp_path / "expected") == 0
    return tree(tmp_path / "expected")


def put_foreign(out: Path, store: Path) -> dict[str, bytes]:
    """What people keep in the folder of an export, down to a whole store."""
    for name in (".git/HEAD", "model/weights.bin", "NOTES.md", "asktest/notes.txt", "more/README.md", ".cache/x"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(f"mine: {name}")
    shutil.copytree(store, out / "store")
    return {name: data for name, data in tree(out).items() if name.startswith("store/") or data.startswith(b"mine")}


def is_text_in(folder: Path) -> bool:
    return TEXT in repr(shp_miner.load(folder).to_dict())


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- what else lies there ---------------------------------------------------------------------------------------------


def test_exporting_again_leaves_what_else_lies_there(
    export: Export, expected: dict[str, bytes], store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert export(out, "--format", "trl", "--format", "kto") == 0
    foreign = put_foreign(out, store)
    (out / "trl" / "mine.txt").write_text("mine: too")
    foreign["trl/mine.txt"] = b"mine: too"
    assert export(out) == 0
    assert tree(out) == {**expected, **foreign}
    assert export(out, "--community", "askmore") == 0
    assert not list((out / "asktest").glob("*.parquet"))
    assert {name: data for name, data in tree(out).items() if name in foreign} == foreign
    assert names_in(tmp_path) == ["dumps", "expected", "out", "store"]


def test_forgetting_leaves_what_else_lies_there(export: Export, store: Path, tmp_path: Path) -> None:
    out, several = tmp_path / "out", tmp_path / "several"
    assert export(out, "--rule", "votes") == 0
    assert export(several, "--rule", "votes", "--format", "pairs", "--format", "kto") == 0
    foreign = {folder: put_foreign(folder, tmp_path / "dumps") for folder in (out, several)}
    assert is_text_in(out)
    assert run(["forget", "--author", AUTHOR, "--store", str(store)]) == 0
    for folder, files in foreign.items():
        assert {name: data for name, data in tree(folder).items() if name in files} == files
    assert not is_text_in(out)
    assert len(load_dataset(str(several), "kto")["train"]) > 0


def test_one_format_written_or_emptied_alone_is_in_the_card_over_all(
    export: Export, store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert export(out, "--rule", "votes", "--format", "pairs", "--format", "kto") == 0
    before = load_dataset(str(out), "kto")["train"].num_rows
    assert export(out / "kto", "--rule", "votes", "--format", "kto", "--community", "askmore") == 0
    loaded = load_dataset(str(out), "kto")
    assert 0 < loaded["train"].num_rows < before
    assert loaded["train"].num_rows == load_dataset(str(out / "kto"))["train"].num_rows
    assert TEXT in str(load_dataset(str(out), "pairs")["train"].to_dict())
    assert export(out, "--rule", "votes", "--format", "pairs", "--format", "kto") == 0
    assert run(["forget", "--author", AUTHOR, "--store", str(store)]) == 0
    for name in ("pairs", "kto"):
        assert TEXT not in str({split: rows.to_dict() for split, rows in load_dataset(str(out), name).items()})


def test_forgetting_leaves_files_beside_dropped_rows(export: Export, store: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    assert export(tmp_path / "out", "--rule", "votes", "--min-answer-score", "4", "--keep-dropped", str(rows)) == 0
    (rows / "answers" / "mine.parquet").write_bytes(b"mine, and no Parquet")
    assert run(["forget", "--author", AUTHOR, "--store", str(store)]) == 0
    assert (rows / "answers" / "mine.parquet").read_bytes() == b"mine, and no Parquet"


def test_the_demo_leaves_folders_that_it_did_not_make(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "cache" / "mine"
    mine.parent.mkdir()
    mine.write_text("mine")
    for out in (tmp_path, mine):  # a folder with other content, a file
        assert run(["demo", "--out", str(out), "--quiet"]) == 2
        assert f"{out} exists and was not made by the demo" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert mine.read_text() == "mine"


#: Stands for the first file of an export.
SHARD = "asktest/shard"


def named(name: str, export: Export, folder: Path) -> str:
    """The name of a file of an export; that of a shard says which thread is first in it."""
    if name != SHARD:
        return name
    assert export(folder) == 0
    return min(path.relative_to(folder).as_posix() for path in (folder / "asktest").glob("train-*"))


@pytest.mark.parametrize("names", [[SHARD], ["asktest"], ["pairs"], ["kto/README.md"]])
def test_what_is_in_the_way_is_named_and_stays(
    names: list[str], export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    names = [named(name, export, tmp_path / "like") for name in names]
    assert export(out, "--community", "askmore") == 0
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("mine")
    before = tree(out)
    words = [] if "asktest" in names[0] else ["--format", "pairs", "--format", "kto"]
    assert export(out, *words) == 2
    said = capsys.readouterr().err
    assert f"{out / names[0]} is in the way, and it is not part of the earlier export." in said
    assert tree(out) == before


@pytest.mark.parametrize("name", [SHARD, "README.md"])
def test_a_folder_in_the_place_of_a_file_of_the_export_is_named_and_stays(
    name: str, export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    name = named(name, export, tmp_path / "like")
    assert export(out) == 0
    (out / name).unlink()
    (out / name).mkdir()
    (out / name / "mine").write_text("mine")
    before = tree(out)
    assert export(out, "--community", "asktest") == 2
    assert f"{out / name} is in the way" in capsys.readouterr().err
    assert tree(out) == before
    (out / name).rename(tmp_path / "mine")
    assert export(out) == 0


def test_folders_beside_an_export_that_look_like_its_own_stay(export: Export, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in (".out.old", ".out.new", "out/.shp-miner.whole"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "mine.txt").write_text("mine")
    assert export(out) in (0, 2)
    for name in (".out.old", ".out.new", "out/.shp-miner.whole"):
        assert (tmp_path / name / "mine.txt").read_text() == "mine"


def test_a_link_below_an_export_is_not_followed(export: Export, tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    assert export(out) == 0
    (out / "asktest").rename(other)
    (out / "asktest").symlink_to(other)
    before = tree(other)
    assert export(out) == 2
    assert tree(other) == before


def test_a_manifest_that_names_files_elsewhere_reaches_nothing_there(
    export: Export, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, other = tmp_path / "in" / "out", tmp_path / "other"
    assert export(other) == 0
    assert export(out) == 0
    before = tree(other)
    manifest = out / "manifest.json"
    whole = json.loads(manifest.read_bytes())
    (file,) = (other / "asktest").glob("train*")
    for bad in (f"../../other/asktest/{file.name}", str(file), "asktest/../../../other/manifest.json", "x\0y", ""):
        data = {**whole, "files": [{**whole["files"][0], "path": bad}]}
        manifest.write_text(json.dumps(data))
        with pytest.raises(shp_miner.BadInput, match="names a file outside"):
            shp_miner.load(out)
        capsys.readouterr()
        run(["forget", "--author", AUTHOR, "--store", str(store)])
        assert export(out, "--format", "kto") in (0, 2), "what the manifest does not name any more may be in the way"
        assert set(tree(other)) == set(before)
        shutil.rmtree(out)
        assert export(out) == 0


# -- where it is ------------------------------------------------------------------------------------------------------


def test_an_export_to_a_link_goes_where_it_leads(
    export: Export, expected: dict[str, bytes], store: Path, tmp_path: Path
) -> None:
    real, link = tmp_path / "disk" / "real", tmp_path / "link"
    real.parent.mkdir()
    link.symlink_to(real)
    for words in ([], ["--format", "kto"], []):
        assert export(link, *words) == 0
        assert link.is_symlink()
    assert tree(real) == expected
    assert names_in(tmp_path) == ["disk", "dumps", "expected", "link", "store"]
    assert names_in(real.parent) == ["real"]
    # The link leads elsewhere now: what was exported through it before is still known, and cleaned.
    link.unlink()
    link.symlink_to(tmp_path / "disk" / "second")
    assert export(link) == 0
    assert str(real) in [registered.path for registered in known_exports(Store(store))]
    assert is_text_in(real)
    assert run(["forget", "--author", AUTHOR, "--store", str(store)]) == 0
    assert not is_text_in(real)
    assert not is_text_in(link)
    assert run(["forget", "--drop-export", str(link), "--store", str(store)]) == 0
    assert str(link.resolve()) not in [registered.path for registered in known_exports(Store(store))]


def test_a_parent_may_be_a_link(export: Export, expected: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to("disk")
    for _ in range(2):
        assert export(tmp_path / "data" / "out") == 0
    assert tree(tmp_path / "disk") == {f"out/{name}": data for name, data in expected.items()}


def test_a_link_that_leads_to_itself_is_refused(
    export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert export(tmp_path / "loop") == 2
    assert "symbolic link to itself" in capsys.readouterr().err


def test_an_export_to_the_current_folder_leaves_a_shell_in_it(
    export: Export, expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.chdir(out)
    for _ in range(2):
        assert export(".") == 0
        assert Path.cwd() == out
        assert tree(Path()) == expected


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "mounted"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=9m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("mounting needs the right to")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_an_export_to_a_mount_point(export: Export, expected: dict[str, bytes], mounted: Path, store: Path) -> None:
    (mounted / "lost+found").mkdir()
    for words in (["--format", "kto"], []):
        assert export(mounted, *words) == 0
    assert tree(mounted) == expected
    assert run(["forget", "--author", AUTHOR, "--store", str(store)]) == 0
    assert not is_text_in(mounted)
    assert names_in(mounted) == ["README.md", "askmore", "asktest", "lost+found", "manifest.json"]


def test_a_folder_below_an_export_may_be_another_file_system(
    export: Export, expected: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert export(out) == 0
    done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", out / "asktest"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("mounting needs the right to")
    try:
        assert export(out) == 0
        assert tree(out) == expected
    finally:
        subprocess.run(["umount", "--lazy", out / "asktest"], check=True)


def test_the_parent_of_an_export_need_not_be_writable(
    export: Export, expected: dict[str, bytes], mounted: Path
) -> None:
    """As in a container whose only writable folder is the one for the export."""
    out = mounted / "out"
    out.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", out], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
        for _ in range(2):
            assert export(out) == 0
            assert tree(out) == expected
        assert names_in(mounted) == ["out"]
    finally:
        subprocess.run(["umount", "--lazy", out], check=True)


# -- ended at any moment ----------------------------------------------------------------------------------------------


def _export_again(folder: Path) -> None:
    run(["export", str(folder.parent / "out"), "--store", str(folder), "--quiet", "--replace"])


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("moment", "then"),
    [
        ("shp_miner.export.publish:_sync_tree after 1", "forget"),
        ("shp_miner.export.publish:_complete before 1", "doctor"),
        *((f"pathlib:Path.unlink after {n}", "export") for n in (1, 6, 12)),
        ("pathlib:Path.unlink after 8", "forget"),
        *((f"pathlib:Path.replace after {n}", "export") for n in (1, 3, 7)),
        *(("pathlib:Path.replace after 5", then) for then in ("forget", "doctor")),
        *((f"pathlib:Path.rmdir after {n}", "export") for n in (1, 4)),
    ],
)
def test_killed_while_an_export_changes_it_is_the_earlier_or_the_new_one(
    moment: str, then: str, export: Export, expected: dict[str, bytes], store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert export(out, "--format", "trl", "--format", "kto") == 0
    earlier = tree(out)
    rows = {"trl": _rows(out, "trl"), "kto": _rows(out, "kto"), None: _rows(tmp_path / "expected", None)}
    (out / "asktest").mkdir()
    (out / "NOTES.md").write_text("mine")
    killed(_export_again, store, moment)
    # Nobody can read a part of it: not the library, and not `datasets`.
    after = {name: _rows(out, name) for name in rows}
    assert all(count in (None, rows[name]) for name, count in after.items()), after
    if "replace" in moment:
        with suppress(FileNotFoundError, DataFilesNotFoundError, ValueError):
            loaded = load_dataset(str(out))
            assert sum(split.num_rows for split in loaded.values()) in rows.values()
    match then:
        case "export":
            assert export(out) == 0
        case "forget":
            run(["forget", "--author", "nobody", "--store", str(store)])
        case "doctor":
            assert run(["doctor", "--repair", "--store", str(store)]) == 0
    left = tree(out)
    assert left.pop("NOTES.md") == b"mine"
    assert left == expected or (left == earlier and then != "export")


def _rows(out: Path, name: str | None) -> int | None:
    try:
        loaded = shp_miner.load(out, format=name)
    except shp_miner.Error:
        return None
    return len(loaded)
