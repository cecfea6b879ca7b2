"""Places: a folder of this machine and a prefix of a bucket do the same, and what a store refuses has its exit code."""

from __future__ import annotations

import logging
import os
import pickle
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from traceback import format_exception

import polars as pl
import pyarrow as pa
import pytest

from shp_miner.cli import run
from shp_miner.errors import BadInput, Error, NotAllowed, TryLater, UsageError
from shp_miner.paths import expanded
from shp_miner.places import access
from shp_miner.places.objects import Entry, ObjectPlace
from shp_miner.places.replacing import create_file, remove_tree, replace_file
from shp_miner.store.table import create_table, open_table, scan_files

from . import s3

SECRETS = ("SECRET", "KEY-OF-A-TEST")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[s3.Server]:
    with s3.running() as server:
        s3.credentials(monkeypatch, server.port)
        yield server


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few repetitions, without waiting."""
    monkeypatch.setattr(access, "RETRIES", 4)
    monkeypatch.setattr(access, "_WAIT_S", 0.001)


def place(url: str) -> ObjectPlace:
    return ObjectPlace.of_url(url)


def test_objects_are_written_whole_and_read_from_anywhere(server: s3.Server, tmp_path: Path) -> None:
    folder = place("s3://bucket/pre fix/folder")
    big = os.urandom(20_000_000)  # more than one part of an upload
    (tmp_path / "big").write_bytes(big)
    assert (folder.entries(), folder.is_dir(), folder.is_file()) == ([], False, False)
    (folder / "a/one").write(b"1")
    (folder / "big").write(tmp_path / "big")
    (folder / "b ü%+&'<").write(lambda file: file.write(b"written"))
    (folder / "empty").write(b"")
    (folder / "big").copy(folder / "c/big")
    expected = [Entry("a/one", 1), Entry("b ü%+&'<", 7), Entry("big", len(big)), Entry("c/big", len(big)),
                Entry("empty", 0)]  # fmt: skip
    assert folder.entries() == expected
    assert ((folder / "a").is_dir(), (folder / "a").is_file(), (folder / "a/one").is_file()) == (True, False, True)
    assert [(folder / entry.name).size() for entry in expected] == [entry.size for entry in expected]
    assert (folder / "b ü%+&'<").read_bytes() == b"written"
    with (folder / "c/big").open() as file:
        file.seek(-5, os.SEEK_END)
        assert file.read() == big[-5:]
        file.seek(9_999_990)
        assert file.read(20) == big[9_999_990:10_000_010]
        file.seek(0)
        assert file.read() == big
    (folder / "two").delete()
    folder.delete(["a/one", "missing", "b ü%+&'<", "empty"])
    assert [entry.name for entry in folder.entries()] == ["big", "c/big"]
    with pytest.raises(FileNotFoundError):
        (folder / "two").open()
    assert pickle.loads(pickle.dumps(folder)) == folder


def test_a_list_of_many_pages_is_whole(server: s3.Server) -> None:
    server.page = 7
    names = [f"{number:03d}" for number in range(50)]
    server.bucket().update({f"folder/{name}": b"" for name in names} | {"folder-b/x": b"", "folder": b""})
    assert [entry.name for entry in place("s3://bucket/folder").entries()] == names


@pytest.mark.usefixtures("quick")
def test_faults_cost_repetitions_and_change_no_byte(server: s3.Server) -> None:
    data = os.urandom(9_000_000)
    at = place("s3://bucket/data")
    server.faults = [s3.Fault(), s3.Fault(status=500), s3.Fault(method="PUT", after=True)]
    at.write(data)
    server.faults = [s3.Fault(method="GET", cut=True, times=2), s3.Fault(status=200, slow_s=0.05), s3.Fault()]
    assert at.read_bytes() == data
    server.faults = [s3.Fault(method="GET", cut=True)]
    with at.open() as file:
        assert file.read() == data
    # The store took the name, and its answer was lost: it is ours. Another's stays another's.
    server.faults = [s3.Fault(method="PUT", after=True)]
    place("s3://bucket/mine").create(b"mine")
    server.faults = [s3.Fault(method="PUT")]
    with pytest.raises(FileExistsError):
        place("s3://bucket/mine").create(b"yours")
    with pytest.raises(FileExistsError):
        place("s3://bucket/mine").create(b"mine")
    assert server.bucket()["mine"] == b"mine"


def test_a_file_that_is_replaced_while_it_is_read_is_not_mixed(server: s3.Server) -> None:
    at = place("s3://bucket/data")
    at.write(b"a" * 9_000_000)
    with at.open() as file:
        file.read(10)
        at.write(b"b" * 9_000_000)
        with pytest.raises(TryLater, match="changed"):
            file.read()


@pytest.mark.usefixtures("quick")
def test_each_refusal_has_its_exit_code_and_no_secret(server: s3.Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    at = place("s3://bucket/data")

    def refused(kind: type[Error]) -> str:
        words = []
        for act in (at.entries, at.size, at.is_file, at.delete, lambda: at.write(b"1"), lambda: at.create(b"1")):
            with pytest.raises(kind) as raised:
                act()
            assert raised.value.__cause__ is None
            assert "Token" not in "".join(format_exception(raised.value))
            words.append(f"{raised.value.message} {raised.value.hint}")
        return words[0]

    server.expired = True
    assert "expired" in refused(NotAllowed)
    server.expired, server.faults = False, [s3.Fault(status=403, code="SECRET InvalidAccessKeyId", times=999)]
    assert "refused the credentials" in refused(NotAllowed)
    server.faults = [s3.Fault(times=999)]
    assert "status 503" in refused(TryLater)
    server.faults = []
    server.objects.clear()
    with pytest.raises(BadInput, match="s3://bucket does not exist"):
        at.write(b"1")
    assert not [secret for secret in SECRETS if secret in caplog.text]


@pytest.mark.usefixtures("quick")
def test_every_library_asks_a_server_that_falls_silent_again(
    server: s3.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_SILENCE_S", 1)
    monkeypatch.setattr(access, "_REQUEST_S", 1)
    schema = pa.schema({"a": pa.int64()})
    pl.DataFrame({"a": [7]}).write_parquet(tmp_path / "x")
    server.bucket("silent")["x"] = (tmp_path / "x").read_bytes()
    url = expanded("s3://silent/x")
    create_table(expanded("s3://silent/table"), schema, {})
    for asks in (url.read_bytes, scan_files([url]).collect, lambda: open_table(expanded("s3://silent/table"))):
        server.faults = [s3.Fault(status=200, slow_s=9.0)]
        begun = time.monotonic()
        asks()
        assert server.faults[0].times == 0
        assert time.monotonic() - begun < 8.0


def test_a_store_that_is_down_is_for_later(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.credentials(monkeypatch, 9)
    with pytest.raises(TryLater, match="no answer"):
        place("s3://bucket/data").read_bytes()


def test_a_profile_gives_what_the_environment_does_not(
    server: s3.Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text("[work]\naws_access_key_id = K\naws_secret_access_key = S%x\n")
    (tmp_path / "config").write_text(f"[profile work]\nendpoint_url = http://127.0.0.1:{server.port}\nregion = r\n")
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "work")
    place("s3://bucket/data").write(b"1")
    assert server.bucket() == {"data": b"1"}
    assert access.storage_options("s3")["aws_secret_access_key"] == "S%x"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3:///x", "s3://bucket/folder"),
        ("s3://bucket/a/../b", "s3://bucket/folder"),
        ("s3://bucket/a//b", "s3://bucket/folder"),
        ("s3://KEY-OF-A-TEST:SECRET@bucket/x", "by the environment"),
        ("s3://bucket/x?token=SECRET", "by the environment"),
    ],
)
def test_a_url_that_cannot_be_is_wrong_usage(url: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        place(url)
    words = f"{raised.value.message} {raised.value.hint}"
    assert says in words
    assert not [secret for secret in SECRETS if secret in words]


def test_a_path_of_a_bucket_is_used_like_one_of_a_disk(server: s3.Server, tmp_path: Path) -> None:
    for folder in (tmp_path / "folder", expanded("s3://bucket/folder")):
        assert (folder.exists(), list(folder.glob("*.txt"))) == (False, [])
        (folder / "a").mkdir(parents=True)
        (folder / "a" / "one.txt").write_text("ü", encoding="utf-8")
        with (folder / "two.txt").open("wb") as file:
            file.write(b"2")
        replace_file(folder / "three.txt", lambda file: file.write(b"3"), durable=True)
        with pytest.raises(FileExistsError), (folder / "two.txt").open("xb") as file:
            file.write(b"3")
        with pytest.raises(FileExistsError):
            create_file(folder / "two.txt", b"3")
        with pytest.raises(FileNotFoundError):
            (folder / "four.txt").read_bytes()
        assert [path.name for path in sorted(folder.iterdir())] == ["a", "three.txt", "two.txt"]
        assert [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.txt"))] == [
            "a/one.txt",
            "three.txt",
            "two.txt",
        ]
        assert ((folder / "a").is_dir(), (folder / "a").is_file(), (folder / "two.txt").is_file()) == (
            True,
            False,
            True,
        )
        assert (folder / "a" / "one.txt").read_text(encoding="utf-8") == "ü"
        assert (folder / "three.txt").stat().st_size == 1
        (folder / "two.txt").rename(folder / "b.txt")
        (folder / "three.txt").unlink()
        (folder / "three.txt").unlink(missing_ok=True)
        assert pickle.loads(pickle.dumps(folder)) == folder
        remove_tree(folder / "a")
        assert [path.name for path in folder.iterdir()] == ["b.txt"]
    assert server.bucket() == {"folder/b.txt": b"2"}
    assert str(folder / "b.txt") == "s3://bucket/folder/b.txt"


def test_what_works_on_a_disk_only_makes_no_folder_of_a_url(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="files of this machine only"):
        os.stat(expanded("s3://bucket/x"))  # noqa: PTH116
    for url in ("ftp://host/x", "s4://bucket"):
        with pytest.raises(UsageError, match="not a kind of path"):
            expanded(url)
    assert run(["check", "s4://bucket/x"]) == 2
    assert not list(tmp_path.iterdir())


def test_without_its_library_a_url_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    for command in ("check", "show"):
        assert run([command, "s3://bucket/x"]) == 2
        assert "pip install 'shp-miner[objects]'" in capsys.readouterr().err
