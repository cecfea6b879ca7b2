"""Forgetting: no byte of it is left in the store or an export, nothing brings it back, and nothing else changes."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
import zstandard

from shp_miner import BadInput, TryLater, UsageError, export_dataset, import_dump
from shp_miner.cli import run
from shp_miner.export.registered import known_exports
from shp_miner.forgetting.forget import forget, purge
from shp_miner.health.doctor import examine
from shp_miner.mining.mine import Selection
from shp_miner.store import HashRange, Store
from shp_miner.store.files import write_file
from shp_miner.store.forget import ForgottenItem, tombstone_items
from shp_miner.store.lock import exclusive_lock, shared_lock

from .build import READ, T0, answer_row, chunk, post_row, submission, thread, tree, write_month
from .conftest import NOW
from .killing import die_at

WHOLE = HashRange(-(1 << 63), 1 << 63)
NAME = "Zephyrine_Quux"
TITLE, BODY, ANSWER = "Xylotitle", "Wvubody", "Yttanswer"
SECRETS = (NAME, TITLE, BODY, ANSWER)


# -- searching every byte ---------------------------------------------------------------------------------------------


def seen(folder: Path, *words: str) -> list[str]:
    """Where any of the words stands under a folder: in names, bytes, zstd frames or cells of Parquet files."""
    wanted = [word.lower().encode() for word in words]
    found = []
    for path in folder.rglob("*"):
        texts = [path.relative_to(folder).as_posix().encode()]
        if path.is_file():
            data = path.read_bytes()
            texts += [data, *frames(data)]
            if path.suffix == ".parquet":
                table = pq.read_table(path)
                texts.append(repr(table.to_pylist()).encode())
                texts.append(str(pq.read_metadata(path).to_dict()).encode())
        found += [f"{word.decode()} in {path}" for word in wanted if any(word in text.lower() for text in texts)]
    return found


def frames(data: bytes) -> Iterator[bytes]:
    """Everything in the data that can be decompressed, whether anything points to it or not."""
    for match in re.finditer(re.escape(b"\x28\xb5\x2f\xfd"), data):
        try:
            yield zstandard.ZstdDecompressor().decompressobj().decompress(data[match.start() :])
        except zstandard.ZstdError:
            continue


def records() -> list[dict[str, Any]]:
    """Five threads. The person asked p1, answered p2 and p3, and asked in a community of their own."""
    out = [record for i in range(5) for record in thread(f"p{i}", (3, 9, 5, 7))]
    for record in out:
        if record["id"] == "p1":
            record |= {"title": f"{TITLE}?", "selftext": BODY, "author": NAME}
            record["permalink"] = f"/r/AskTest/comments/p1/{TITLE}/"
        elif record["id"] in ("p2c2", "p3c1"):
            record |= {"body": f"{ANSWER} {record['id']}", "author": NAME}
        elif record["id"] == "p4c3":
            record |= {"author": NAME, "score": 1}
    own = submission("own", subreddit=f"u_{NAME}", author=NAME, title=TITLE, selftext=BODY)
    return [*out, own, *(r | {"subreddit": f"u_{NAME}"} for r in thread("own", (5, 8))[1:])]


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_month(tmp_path_factory.mktemp("dump"), records())


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, dump: list[Path]) -> Path:
    """A store with a past: appended twice, compacted, with a file that a crash left, and older versions."""
    store = Store(tmp_path_factory.mktemp("filled") / "store")
    import_dump("reddit-dump", dump, store, now=NOW)
    store.append(chunk([], [answer_row("extra", post_id="p2", author=NAME, body=f"{ANSWER} extra")]))
    store.compact()
    store.append(chunk([], [answer_row("later", post_id="p0", body="Somebody else's.")]))
    ahead = time.time() + 10**6
    write_file(store.path / "posts", chunk([post_row(title=TITLE, body=BODY, author=NAME)], []).posts)
    for path in (store.path / "posts").glob("*.parquet"):
        os.utime(path, (ahead, ahead))  # files from a machine whose clock was wrong
    return store.path


@pytest.fixture
def store(tmp_path: Path, filled: Path) -> Store:
    shutil.copytree(filled, tmp_path / "store")
    return Store(tmp_path / "store")


def newest(store: Store, name: str) -> pl.DataFrame:
    frame = getattr(store.snapshot(), name)(WHOLE)[0]
    frame = store.snapshot().bodies(name, WHOLE, frame)
    return frame.sort("site", "post_id", *(["answer_id"] if name == "answers" else []))


def exported(store: Store, out: Path, **options: Any) -> Path:
    export_dataset(store, out, **options)
    return out


# -- by author --------------------------------------------------------------------------------------------------------


def test_an_author_is_gone_from_every_byte_and_nobody_else_changes(
    store: Store, dump: list[Path], tmp_path: Path, now: datetime
) -> None:
    before = {name: newest(store, name) for name in ("posts", "answers")}
    exported(store, tmp_path / "out" / "one", keep_dropped=tmp_path / "out" / "dropped")
    exported(store, tmp_path / "out" / "many", formats=["kto", "trl", "chat-pairs", "shp", "ranking"])
    assert {word.split(" in ")[0] for word in seen(store.path, *SECRETS)} == {word.lower() for word in SECRETS}
    assert seen(tmp_path / "out" / "one", ANSWER)
    assert seen(tmp_path / "out" / "dropped", NAME)

    done = forget(store, authors=[f"u/{NAME.upper()}"])
    assert seen(store.path, *SECRETS) == []
    assert seen(tmp_path / "out", *SECRETS) == []
    assert {name: (counts.items, counts.rows) for name, counts in done.tables.items()} == {
        "posts": (2, 2),
        "answers": (4, 6),
    }
    assert {Path(export.path).name: export.outcome for export in done.exports} == dict.fromkeys(
        ("one", "many", "dropped"), "rewritten"
    )

    gone = {"posts": ["p1", "own"], "answers": ["p2c2", "p3c1", "p4c3", "extra"]}
    for name, key in (("posts", "post_id"), ("answers", "answer_id")):
        after = newest(store, name)
        assert after[key].to_list() == before[name][key].to_list(), "ids stay"
        theirs = after.filter(pl.col(key).is_in(gone[name]))
        assert set(theirs["state"]) == {"deleted"}
        assert theirs.select("author", "author_id", "author_url", "url").null_count().row(0) == (theirs.height,) * 4
        assert set(theirs["body"]) == {""}
        # Answers to a gone post lose their page, and a community called after the person its name.
        others = ~pl.col(key).is_in(gone[name]) & ~pl.col("post_id").is_in(gone["posts"])
        assert after.filter(others).equals(before[name].filter(others))
        kept = ["body", "author", "score", "created_at", "observed_at"]
        assert (
            after.filter(~pl.col(key).is_in(gone[name]))
            .select(kept)
            .equals(before[name].filter(~pl.col(key).is_in(gone[name])).select(kept))
        )

    # The same dump, and later ones, bring nothing back: nor where the platform itself hides the name by now.
    import_dump("reddit-dump", dump, store, now=now)
    later = submission("new", title=TITLE, author=NAME.lower(), selftext=BODY)
    hers = [record for record in records() if record["author"] == NAME]
    nameless = [record | {"author": "[deleted]", "retrieved_on": READ + 9} for record in hers]
    again = write_month(tmp_path / "again", [*nameless, later])
    import_dump("reddit-dump", again, store, now=now)
    import_dump("reddit-dump", write_month(tmp_path / "x", [later | {"author": "[deleted]"}]), store, now=now)
    assert seen(store.path, *SECRETS) == []
    assert newest(store, "posts").filter(post_id="new")["state"].to_list() == ["deleted"]
    export_dataset(store, tmp_path / "out" / "fresh", rule="votes", formats=["pairs"])
    assert seen(tmp_path / "out", *SECRETS) == []


def test_the_exports_are_what_a_store_without_the_author_gives(store: Store, tmp_path: Path) -> None:
    out = exported(store, tmp_path / "out", rule="votes", formats=["pairs", "kto"], communities=["AskTest"], test=0.2)
    settings = json.loads((out / "kto" / "manifest.json").read_text())["configuration"]
    forget(store, authors=[f"{NAME}@reddit.com"])
    export_dataset(store, tmp_path / "same", rule="votes", formats=["pairs", "kto"], communities=["asktest"], test=0.2)
    kept = tree(out)
    assert {name for name, data in kept.items() if data != tree(tmp_path / "same").get(name)} <= {
        name for name in kept if not name.endswith(".parquet") or "pairs" in name
    }
    export_dataset(
        store, out, rule="votes", formats=["pairs", "kto"], communities=["asktest"], test=0.2, refit=True
    )  # the fit had stayed
    assert tree(out) == tree(tmp_path / "same")
    assert json.loads((out / "kto" / "manifest.json").read_text())["configuration"] == settings
    # Whatever else an export can be told to do must be told again; tests of cleaning and of leaks show it of theirs.
    assert set(Selection.__struct_fields__) == {
        "rule", "communities", "sites", "places", "validation", "test", "layout", "margin", "clean", "decontaminate",
    }  # fmt: skip


@pytest.mark.parametrize(
    "named", ["/u/Alice", "u/alice", "/user/alice/", "user/alice", "@alice", "/u/alice@reddit.com", "/alice", "file"]
)
def test_a_name_as_platforms_show_it_is_the_name(named: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.append(chunk([], [answer_row("1", author="Alice"), answer_row("2", author="u"), answer_row("3", author="@")]))
    (tmp_path / "names.txt").write_text("/user/ALICE\n")
    words = ["--file", str(tmp_path / "names.txt")] if named == "file" else ["--author", named]
    assert run(["forget", *words, "--store", str(store.path), "--quiet"]) == 0
    assert newest(store, "answers")["author"].to_list() == [None, "u", "@"]
    forget(store, authors=["u"])
    assert newest(store, "answers")["author"].to_list() == [None, None, "@"], "somebody may be called so"


def test_a_name_on_one_site_is_another_elsewhere(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    sites = ("a.example", "b.example")
    store.append(chunk([], [answer_row(f"{i}", site=site, author="Sam") for i, site in enumerate(sites)]))
    forget(store, authors=["sam@a.example"])
    assert newest(store, "answers")["author"].to_list() == [None, "Sam"]
    forget(store, authors=["Sam"])
    assert newest(store, "answers")["author"].to_list() == [None, None]


def test_what_the_same_account_wrote_under_another_name_goes_too(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    rows = [answer_row("1", author="old name", author_id="7"), answer_row("2", author="new name", author_id="7")]
    other = answer_row("3", author="old name too", author_id="7", site="other.example")
    page = answer_row("4", author="someone", author_url="https://x.example/u/4/")
    store.append(chunk([], [*rows, other, page]))
    forget(store, authors=["New Name", "https://x.example/u/4"])
    assert newest(store, "answers")["author"].to_list() == ["old name too", None, None, None]
    forget(store, authors=["old name too"])
    for site in ("reddit.com", "other.example"):
        store.append(chunk([], [answer_row("5", author="third name", author_id="7", body=ANSWER, site=site)]))
    assert seen(store.path, "third name", ANSWER, "old name") == []


# -- by id and by file ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", ["http", "https"])
@pytest.mark.parametrize("named", ["http://Plain.example/user/hers", "https://plain.example/user/hers/"])
def test_a_page_is_one_with_tls_and_without(stored: str, named: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    address = f"{stored}://plain.example/user/hers"
    store.append(chunk([post_row()], [answer_row("1", author=NAME, author_url=address, body=ANSWER)]))
    done = forget(store, authors=[named])
    assert (done.tables["answers"].items, done.unknown) == (1, 0)
    assert seen(store.path, NAME, ANSWER) == []
    later = answer_row("2", author="another name", author_url=address, body=ANSWER)
    store.append(chunk([], [later]))
    assert seen(store.path, ANSWER) == []


def test_ids_addresses_and_files_name_items(store: Store, tmp_path: Path) -> None:
    page = f"https://www.reddit.com/r/AskTest/comments/p1/{TITLE}/"
    asked = tmp_path / "asked.txt"
    asked.write_text(f"\ufeff# requests\n\nreddit.com/p2/p2c2\nid: Reddit.com/p2/extra\n{page}\nu/writer-p0c1\n")
    done = forget(store, file=asked, ids=["reddit.com/nowhere"])
    assert done.unknown == 1
    assert seen(store.path, "Xylotitle?", f"{ANSWER} p2c2", f"{ANSWER} extra", "writer-p0c1") == []
    assert len(seen(store.path, f"{ANSWER} p3c1")) > 0
    assert newest(store, "posts").filter(post_id="p1")["state"].to_list() == ["deleted"]
    # What was not there is remembered all the same.
    store.append(chunk([post_row(post_id="nowhere", body="Zzz-not-wanted")], []))
    assert seen(store.path, "zzz-not-wanted") == []


def test_a_page_called_after_a_gone_title_goes_with_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    slug = f"https://forum.example/t/{TITLE}/17"
    store.append(chunk([post_row(title=TITLE, url=slug)], [answer_row("1", url=f"{slug}/1")]))
    forget(store, ids=["reddit.com/p1"])
    assert seen(store.path, TITLE) == []
    assert newest(store, "answers").select("state", "body", "url").row(0) == ("live", "Answer 1.", None)
    store.append(chunk([], [answer_row("2", url=f"{slug}/2")]))
    assert seen(store.path, TITLE) == []


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({}, UsageError, "names no author and no item"),
        ({"ids": ["p1"]}, UsageError, "is not the id of a post or answer"),
        ({"ids": ["a/b/c/d"]}, UsageError, "is not the id of a post or answer"),
        *(({"authors": [text]}, UsageError, "has no name") for text in ("  ", "@", "u/", "/u/", "/user/", "@@")),
        ({"file": "missing.txt"}, BadInput, "cannot be read"),
        ({"file": "bad.txt"}, UsageError, "line 2: 'a//b'"),
        ({"exports": ["."], "authors": ["x"]}, BadInput, "is not an export"),
    ],
)
def test_what_cannot_be_understood_changes_nothing(
    store: Store, options: dict[str, Any], error: type[Exception], says: str
) -> None:
    Path("bad.txt").write_text("good name\na//b\n")
    before = tree(store.path)
    with pytest.raises(error, match=says):
        forget(store, **options)
    assert {path for path in tree(store.path) if not path.startswith("locks")} == {
        path for path in before if not path.startswith("locks")
    }


# -- what the platform deleted ----------------------------------------------------------------------------------------


def test_a_tombstone_wins_and_its_purge_leaves_no_byte(store: Store, dump: list[Path], now: datetime) -> None:
    items = [
        ForgottenItem("reddit.com", "p1"),
        ForgottenItem("reddit.com", "p2", "p2c2"),
        ForgottenItem("reddit.com", "p2", "never seen"),
    ]
    # The clock that saw it gone is behind the one that saw it there.
    assert tombstone_items(store, items, "removed", T0 * 1_000_000) == 2
    gone = newest(store, "posts").filter(post_id="p1")
    assert gone.select("state", "title", "body", "author", "score").row(0) == ("removed", "", "", None, None)
    assert seen(store.path, BODY), "the text lies there until it is purged"
    assert any("forget" in problem for problem in examine(store.path)["problems"])
    done = purge(store)
    assert done.tables["answers"].items == 1
    assert seen(store.path, f"{ANSWER} p2c2") == []
    assert seen(store.path, "asktest/comments/p1") == []
    assert newest(store, "answers").filter(answer_id="p2c2")["state"].to_list() == ["removed"]
    assert not any("forget" in problem for problem in examine(store.path)["problems"])
    import_dump("reddit-dump", dump, store, now=now)
    assert seen(store.path, f"{ANSWER} p2c2") == []
    version = store.snapshot().version
    assert purge(store).version == version, "nothing is left to be done"


# -- old versions, exports, locks -------------------------------------------------------------------------------------


def test_earlier_versions_are_refused_with_the_reason(store: Store, tmp_path: Path) -> None:
    version = store.snapshot().version
    forget(store, authors=[NAME])
    for as_of in (version, "1.1", "2020-01-01"):
        with pytest.raises(UsageError, match="old versions are deleted after a time, and with forgotten content"):
            export_dataset(store, tmp_path / "out", as_of=as_of)
    now = store.snapshot().version
    assert store.snapshot(now).rows("posts") == store.snapshot("2099-01-01").rows("posts") == 6
    store.append(chunk([post_row(post_id="later")], []))
    store.compact()
    assert store.snapshot(now).rows("posts") == 6
    assert store.snapshot().rows("posts") == 7


def test_only_files_with_something_in_them_are_rewritten(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for i in range(4):
        store.append(chunk([post_row(post_id=f"p{i}", author=f"asker {i}")], [answer_row(f"a{i}", post_id=f"p{i}")]))
    before = {path: data for path, data in tree(store.path).items() if path.endswith("c000.zstd.parquet")}
    done = forget(store, authors=["asker 2"])
    after = {path: data for path, data in tree(store.path).items() if path.endswith("c000.zstd.parquet")}
    assert done.tables["posts"].files == 1
    assert len(after) == 8
    assert len(before.items() & after.items()) == 7


def test_a_large_file_is_rewritten_by_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shp_miner.store.files.ROW_GROUP", 50)
    store = Store(tmp_path / "store")
    rows = [answer_row(f"a{i}", post_id=f"p{i}", author=NAME if i == 77 else "x") for i in range(300)]
    store.append(chunk([], rows))
    before = newest(store, "answers")
    forget(store, authors=[NAME])
    (file,) = (store.path / "answers").glob("*.parquet")
    assert pq.read_metadata(file).num_row_groups == 6
    hashes = pq.read_table(file, columns=["thread_hash"])["thread_hash"].to_pylist()
    assert hashes == sorted(hashes)
    after = newest(store, "answers")
    other = pl.col("answer_id") != "a77"
    assert after.filter(other).equals(before.filter(other))
    assert after.filter(~other)["body"].to_list() == [""]
    assert store.snapshot().answers(store.snapshot().ranges(50)[0])[0].height > 0


def test_exports_without_the_text_are_left_alone_and_empty_ones_removed(
    store: Store, tmp_path: Path, now: datetime
) -> None:
    other = write_month(tmp_path / "more", [*thread("q1", subreddit="other"), *thread("q2", (4, 6), subreddit="only")])
    import_dump("reddit-dump", other, store, now=now)
    exported(store, tmp_path / "clean", communities=["other"], formats=["sft"])
    exported(store, tmp_path / "lost", communities=["only"], formats=["kto", "pairs"])
    exported(store, tmp_path / "own", communities=[f"u_{NAME}"])
    exported(store, tmp_path / "deleted", communities=["other"])
    moved = tmp_path / "moved"
    (tmp_path / "deleted").rename(moved)
    killed = tmp_path / ".clean.new"
    (killed / ".pieces").mkdir(parents=True)
    (killed / ".pieces" / "piece").write_text(BODY)
    before = tree(tmp_path / "clean")
    done = forget(
        store,
        authors=[NAME],
        ids=["reddit.com/q2/q2c1", "reddit.com/q1/q1c2"],
        exports=[moved],
        drop_exports=[tmp_path / "deleted"],
    )
    outcome = {Path(export.path).name: export for export in done.exports}
    assert {name: export.outcome for name, export in outcome.items()} == {
        "clean": "rewritten", "lost": "removed", "own": "removed", "moved": "rewritten", "deleted": "dropped",
    }  # fmt: skip
    assert "No pair" in outcome["lost"].why
    assert not (tmp_path / "lost").exists()
    assert not killed.exists()
    assert tree(tmp_path / "clean") != before
    before = tree(tmp_path / "clean") | tree(moved)
    shutil.copytree(tmp_path / "clean", killed)
    done = forget(store, ids=["reddit.com/p0/p0c1"])
    assert {Path(export.path).name: export.outcome for export in done.exports} == {
        "clean": "nothing in it", "moved": "nothing in it",
    }  # fmt: skip
    assert tree(tmp_path / "clean") | tree(moved) == before
    assert not killed.exists()
    assert len(known_exports(store)) == 2


def test_an_export_put_back_from_a_backup_is_held_against_the_whole_list(store: Store, tmp_path: Path) -> None:
    out = exported(store, tmp_path / "out", rule="votes")
    forget(store, authors=[NAME])
    clean = tree(out)
    (tmp_path / "other").mkdir()
    exported(store, tmp_path / "other" / "out", rule="votes")
    for shard in out.glob("*/*.parquet"):
        table = pq.read_table(shard)
        ids = table.column("answer1_id").to_pylist()
        changed = table.set_column(table.column_names.index("answer1_id"), "answer1_id", [["p3c1"] * len(ids)])
        pq.write_table(changed, shard)
        (out / "manifest.json").write_text((out / "manifest.json").read_text() + "\n")
    (done,) = [export for export in forget(store, ids=["x.example/1"]).exports if export.path == str(out)]
    assert (done.outcome, done.open) == ("away", True), "this store never wrote such a manifest"
    assert "Another export is in this folder" in done.why
    found = [export for export in forget(store, exports=[out]).exports if export.path == str(out)]
    assert [export.outcome for export in found] == ["away", "rewritten"], (
        "nobody can tell whether it is the one waited for"
    )
    assert forget(store, drop_exports=[out]).finished
    assert tree(out) == clean


def test_a_damaged_file_stops_it_and_the_request_stays(tmp_path: Path) -> None:
    store = Store(tmp_path / "s #b?c* x")
    store.append(chunk([post_row()], [answer_row("1", author=NAME)]))
    (file,) = (store.path / "answers").glob("*.parquet")
    sound = file.read_bytes()
    file.write_bytes(sound[:200] + b"?" * (len(sound) - 200))
    with pytest.raises(BadInput, match="Something failed while searching"):
        forget(store, authors=[NAME])
    assert newest(store, "posts").height == 1
    file.write_bytes(sound)
    forget(store)
    assert seen(store.path, NAME) == []
    assert newest(store, "answers")["answer_id"].to_list() == ["1"]


def test_what_a_user_put_beside_an_export_stays(store: Store, tmp_path: Path) -> None:
    out = exported(store, tmp_path / "out", rule="votes", formats=["sft", "trl"])
    (out / "notes.txt").write_text("mine")
    (done,) = forget(store, authors=[NAME]).exports
    assert done.outcome == "rewritten"
    assert seen(out, *SECRETS) == []
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "manifest.json", "notes.txt", "sft", "trl"]


def test_a_writer_and_who_forgets_wait_for_each_other_and_say_for_whom(store: Store) -> None:
    with shared_lock(store.path, "writing an export"):
        store.append(chunk([], []))
        says = r"is in use: writing an export \(process \d+, since 20"
        with pytest.raises(TryLater, match=says), exclusive_lock(store.path, "forgetting", wait_s=0.1):
            pass
    with exclusive_lock(store.path, "forgetting"):
        with shared_lock(store.path, "what it calls"):
            pass
        code = (
            "import sys, pathlib, shp_miner.store.lock as lock\n"
            "with lock.shared_lock(pathlib.Path(sys.argv[1]), 'writing', wait_s=0.1): pass"
        )
        command = [sys.executable, "-c", code, str(store.path)]
        other = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "forgetting (process" in other.stderr
    with exclusive_lock(store.path, "forgetting", wait_s=0):
        assert len(list((store.path / "locks").iterdir())) == 3
    assert sorted(path.name for path in (store.path / "locks").iterdir()) == ["identity", "lock"]


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_did_or_would_do(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = exported(store, tmp_path / "out", rule="votes")
    before = tree(tmp_path)
    arguments = ["forget", "--author", NAME, "--id", "reddit.com/none", "--store", str(store.path), "--json"]
    assert run([*arguments, "--dry-run"]) == 0
    would = json.loads(capsys.readouterr().out)
    assert tree(tmp_path) == before
    assert run(arguments) == 0
    captured = capsys.readouterr()
    did = json.loads(captured.out)
    says = "Not found in the store: 1 of the given authors and ids. Later imports and crawls will leave them out."
    assert says in captured.err
    assert NAME not in captured.out
    assert did["tables"] == would["tables"]
    assert (
        did["exports"]
        == would["exports"]
        == [{"path": str(out), "outcome": "rewritten", "why": "", "open": False, "hint": ""}]
    )
    assert did["finished"]
    assert (did["dry_run"], would["dry_run"], did["unknown"]) == (False, True, 1)
    with exclusive_lock(store.path, "compacting"):
        pass
    assert run(["forget", "--store", str(store.path)]) == 2
    assert run(["forget", "--author", "x", "--store", str(tmp_path / "nowhere")]) == 5


# -- kill -9 ----------------------------------------------------------------------------------------------------------


PLACES = {
    "forgetting": "shp_miner.forgetting.forget",
    "again": "shp_miner.forgetting.exports",
    "tables": "shp_miner.store.forget",
    "vacuum": "shp_miner.store.vacuum",
}


def killed(store: Path, moment: str) -> None:
    """Forget, and be killed before or after the n-th call of a function."""
    module, name, when, nth = moment.split(".")
    die_at(f"{PLACES[module]}:{name} {when} {nth}")
    forget(store, authors=[NAME])


MOMENTS = [
    "forgetting.add_lines.before.1",
    pytest.param("forgetting.add_lines.after.1", marks=pytest.mark.slow),
    "forgetting.add_lines.after.2",
    "tables.write_tables.after.1",
    pytest.param("forgetting.purge_table.after.1", marks=pytest.mark.slow),
    "forgetting.purge_table.after.2",
    pytest.param("forgetting.delete_earlier_versions.after.1", marks=pytest.mark.slow),
    "vacuum.shorten_log.before.2",
    pytest.param("again.make_export_again.before.1", marks=pytest.mark.slow),
    "again.make_export_again.after.1",
    pytest.param("forgetting.settle_list.before.1", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_step_it_is_completed_by_the_next_run(moment: str, store: Store, tmp_path: Path) -> None:
    exported(store, tmp_path / "out", rule="votes", formats=["pairs", "kto"])
    before = {name: newest(store, name).height for name in ("posts", "answers")}
    # A server that has imported everything starts a process in no time.
    processes = get_context("forkserver")
    processes.set_forkserver_preload([__name__, "shp_miner.forgetting.forget"])
    process = processes.Process(target=killed, args=(store.path, moment))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert {name: newest(store, name).height for name in before} == before, "the store can be read"
    if moment.endswith("before.1") and "add" in moment:
        assert seen(store.path, NAME)
        forget(store, authors=[NAME])
    else:
        assert any("forget" in problem for problem in examine(store.path)["problems"])
        # What comes in meanwhile is kept out already.
        store.append(chunk([post_row(post_id="new", title="Uvwnew", author=NAME)], []))
        assert seen(store.path, "uvwnew") == []
        forget(store)
    assert seen(store.path, *SECRETS) == []
    assert seen(tmp_path / "out", *SECRETS) == []
    assert examine(store.path)["problems"] == []
    export_dataset(store, tmp_path / "same", rule="votes", formats=["pairs", "kto"])
    assert tree(tmp_path / "out") == tree(tmp_path / "same")


@pytest.mark.slow
def test_killed_at_random_moments_it_is_completed(store: Store, tmp_path: Path) -> None:
    exported(store, tmp_path / "out", rule="votes", formats=["pairs", "kto"])
    rng = random.Random(5)
    code = "import sys; from shp_miner.cli import main; main(sys.argv[1:])"
    for _ in range(12):
        arguments = ["forget", "--author", NAME, "--store", str(store.path)]
        process = subprocess.Popen([sys.executable, "-c", code, *arguments], stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.3, 1.6))
        process.kill()
        process.wait()
        assert newest(store, "posts").height == 6
    forget(store, authors=[NAME])
    assert seen(store.path, *SECRETS) == []
    assert seen(tmp_path / "out", *SECRETS) == []
