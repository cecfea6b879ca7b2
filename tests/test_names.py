"""What names things: sites, threads and answers together, and the names of communities and configurations."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from datasets import get_dataset_config_names, load_dataset
from hypothesis import given
from hypothesis import strategies as st

from shp_miner.cli import run
from shp_miner.dumps.importing import _note_places
from shp_miner.export.markdown import plain
from shp_miner.model import thread_hash
from shp_miner.platforms.sites import site_of
from shp_miner.schedule import systemd
from shp_miner.sources import clocks
from shp_miner.sources.table import ROWS
from shp_miner.store import Store
from shp_miner.store.snapshot import EVERYTHING
from shp_miner.tally import Tally

from .build import chunk, post_row, submission, write_dump, write_month
from .build import comment as reddit_comment
from .crawls import bench, settled
from .flows import manifest, out_of, pipeline, run_on, written
from .stackexchange_dump import ALL, folder
from .test_import_discourse import topic


def numbered_thread(number: int, answers: int = 2, **changes: Any) -> dict[str, Any]:
    """A thread of a forum that numbers the answers of each thread from 1; later answers have more votes."""
    read = "2024-03-01T00:00:00Z"
    return {
        "site": "forum.example",
        "community": "cooking",
        "post_id": str(number),
        "title": f"Why {number}?",
        "body": "Some detail.",
        "created_at": "2024-01-02T03:04:05Z",
        "observed_at": read,
        "score": 12,
        "author": f"asker-{number}",
        "answers": [
            {
                "answer_id": str(k),
                "body": f"Answer {k} to question {number}.",
                "created_at": f"2024-01-02T04:{k:02}:00Z",
                "observed_at": read,
                "score": 3 + k,
                "author": f"writer-{k}",
            }
            for k in range(1, answers + 1)
        ],
        **changes,
    }


def store_of(folder: Path, threads: list[dict[str, Any]]) -> Path:
    """A store with these threads, imported as a user does it."""
    file = folder / "threads.jsonl"
    file.write_text("".join(json.dumps(thread) + "\n" for thread in threads), encoding="utf-8")
    assert run(["import", "threads", str(file), "--store", str(folder / "store"), "--quiet"]) == 0
    return folder / "store"


def rows_of(folder: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(file) for file in sorted(folder.rglob("*.parquet"))])


# -- sides and samples ------------------------------------------------------------------------------------------------


def test_a_forum_that_numbers_the_answers_of_each_thread_has_fair_sides(tmp_path: Path) -> None:
    store = store_of(tmp_path, [numbered_thread(number) for number in range(142)])
    assert run(["export", str(tmp_path / "out"), "--store", str(store), "--quiet"]) == 0
    won = Counter(rows_of(tmp_path / "out")["preferred"])
    assert won.total() == 142
    assert 42 < won[1] < 100  # within five standard deviations


def test_a_subreddit_whose_answers_are_numbered_in_each_thread_has_fair_sides(tmp_path: Path) -> None:
    records = []
    for number in range(60):
        records.append(submission(f"p{number}"))
        answers = ((f"{k}", f"p{number}", {"score": 3 + k, "created_utc": 1_600_000_060 + k}) for k in range(3))
        records += [reddit_comment(name, post, **more) for name, post, more in answers]
    write_month(tmp_path / "dump", records)
    store = str(tmp_path / "store")
    assert run(["import", "reddit-dump", str(tmp_path / "dump"), "--store", store, "--quiet"]) == 0
    assert run(["export", str(tmp_path / "out"), "--store", store, "--format", "shp", "--quiet"]) == 0
    assert 57 < rows_of(tmp_path / "out")["labels"].sum() < 123  # of 180


def test_samples_differ_between_threads_whose_answers_have_the_same_numbers(tmp_path: Path) -> None:
    store = store_of(tmp_path, [numbered_thread(number, answers=8) for number in range(40)])
    options = ["--rule", "shp", "--max-pairs-per-post", "1", "--store", str(store), "--quiet"]
    assert run(["export", str(tmp_path / "out"), *options]) == 0
    pairs = rows_of(tmp_path / "out")["pair_id"].str.split("/").list.last()
    assert len(pairs) == 40
    assert pairs.n_unique() > 15  # one number for all threads would take the same pair of each


def test_sides_and_samples_of_a_thread_do_not_follow_other_threads(tmp_path: Path) -> None:
    stores = []
    for count in (5, 50):
        (tmp_path / str(count)).mkdir()
        stores.append(store_of(tmp_path / str(count), [numbered_thread(number, answers=6) for number in range(count)]))
    columns = ["pair_id", "answer1_id", "answer2_id", "preferred"]
    rows = []
    for store in stores:
        out = store.parent / "out"
        command = ["export", str(out), "--max-pairs-per-post", "5", "--store", str(store), "--quiet"]
        assert run(command) == 0
        rows.append(set(rows_of(out).select(columns).rows()))
    assert rows[0] < rows[1]


# -- sites ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("cooking", "cooking.stackexchange.com"),
        ("Cooking.StackExchange.com", "cooking.stackexchange.com"),
        ("https://cooking.stackexchange.com/", "cooking.stackexchange.com"),
        ("stackoverflow", "stackoverflow.com"),
        ("www.stackoverflow.com", "stackoverflow.com"),
        ("mathoverflow", "mathoverflow.net"),
        ("cooking.meta", "cooking.meta.stackexchange.com"),
        ("meta.cooking.stackexchange.com", "cooking.meta.stackexchange.com"),
        ("meta.superuser", "meta.superuser.com"),
        ("meta", "meta.stackexchange.com"),
    ],
)
def test_a_stack_exchange_site_has_one_host_by_any_of_its_names(name: str, host: str) -> None:
    assert site_of(name, stackexchange=True) == host
    # Who names no short name need not know the platform.
    assert "." not in name or name.count(".") == 1 or site_of(name) == host


LABELS = st.text("abcxyz019-", min_size=1, max_size=8).filter(lambda text: text.strip("-") == text)
HOSTS = st.lists(LABELS, min_size=2, max_size=4).map(".".join)


@given(HOSTS, st.sampled_from(["", "/forum", "/a/b"]), st.booleans())
def test_a_site_is_the_same_however_it_is_written(host: str, path: str, stackexchange: bool) -> None:
    site = site_of(host + path, stackexchange=stackexchange)
    ways = [
        host + path,
        f"https://{host}{path}/",
        f"HTTP://{host.upper()}{path}",
        f" {host}:443{path} ",
        f"{host}.{path}",
    ]
    assert {site_of(way, stackexchange=stackexchange) for way in ways} == {site}


@given(HOSTS.map(lambda host: f"{host}.stackexchange.com"))
def test_stack_exchange_hosts_are_known_without_being_told(host: str) -> None:
    assert site_of(host) == site_of(host, stackexchange=True) == site_of(host.removesuffix(".com"), stackexchange=True)


def sites_in(store: Path) -> set[str]:
    snapshot = Store(store).snapshot()
    return {site for name in ("posts", "answers") for site in snapshot.scan(name).collect()["site"]}


@pytest.mark.parametrize("name", ["workbench", "Workbench.StackExchange.com", "https://workbench.stackexchange.com/"])
def test_crawl_dump_and_own_threads_of_a_stack_exchange_site_meet(name: str, tmp_path: Path) -> None:
    store = ["--store", str(tmp_path / "store"), "--quiet"]
    with bench("stackexchange", tmp_path / "store", settled(3)) as at:
        there = ["--url", at.forum.url(at.view.platform), "--allow-private"]
        assert run(["crawl", "stackexchange", "all", "--site", name, *there, *store]) == 0
    dump = folder(tmp_path / "dump", ALL)
    assert run(["import", "stackexchange-dump", str(dump), "--site", name, *store]) == 0
    site = name if "." in name else f"{name}.stackexchange.com"
    store_of(tmp_path, [numbered_thread(number, site=site) for number in range(2)])
    assert sites_in(tmp_path / "store") == {"workbench.stackexchange.com"}


@pytest.mark.parametrize(
    "name", ["forum.example", "Forum.Example.", "https://forum.example/", "http://FORUM.example:80"]
)
@pytest.mark.parametrize("kind", ["discourse", "nodebb", "lemmy-v4"])
def test_crawl_dump_and_own_threads_of_any_site_meet(kind: str, name: str, tmp_path: Path) -> None:
    store = ["--store", str(tmp_path / "store"), "--quiet"]
    with bench(kind, tmp_path / "store", settled(2)) as at:
        there = ["--url", at.forum.url(at.view.platform), "--allow-private"]
        assert run(["crawl", at.kind.source, at.kind.community, "--site", name, *there, *store]) == 0
    topics = write_dump(tmp_path / "topics.ndjson", [topic()])
    assert run(["import", "discourse-json", str(topics), "--site", name, *store]) == 0
    store_of(tmp_path, [numbered_thread(1, site=name)])
    assert sites_in(tmp_path / "store") == {"forum.example"}


def old_crawl(tmp_path: Path, patch: pytest.MonkeyPatch) -> Path:
    """A store into which an earlier version crawled a Stack Exchange site by its short name."""
    patch.setitem(ROWS, "stackexchange", replace(ROWS["stackexchange"], site_of=lambda name: name))
    with bench("stackexchange", tmp_path / "store", settled(4)) as at:
        there = ["--url", at.forum.url(at.view.platform), "--allow-private", "--quiet"]
        command = ["crawl", "stackexchange", "all", "--site", "workbench", "--store", str(tmp_path / "store")]
        assert run([*command, *there]) == 0
    patch.undo()
    return tmp_path / "store"


def test_doctor_joins_what_was_crawled_under_a_short_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = old_crawl(tmp_path, monkeypatch)
    snapshot = Store(store).snapshot()
    before = {name: snapshot.scan(name).collect().height for name in ("posts", "answers")}
    first = snapshot.scan("posts").collect().row(0, named=True)
    assert (first["site"], first["community"]) == ("workbench", "workbench")
    assert run(["forget", "--id", f"workbench/{first['post_id']}", "--store", str(store), "--quiet"]) == 0
    assert run(["doctor", "--store", str(store)]) == 5
    assert "The site workbench.stackexchange.com is also in the store as workbench" in capsys.readouterr().out
    assert run(["doctor", "--repair", "--store", str(store)]) == 0
    assert run(["doctor", "--store", str(store)]) == 0

    snapshot, site = Store(store).snapshot(), "workbench.stackexchange.com"
    for name, count in before.items():
        rows = snapshot.scan(name).collect()
        assert rows.height == count
        assert set(rows["site"]) == set(rows["community"]) == {site}
        assert rows["thread_hash"].to_list() == [thread_hash(site, post) for post in rows["post_id"]]
        assert not [url for url in rows["url"].drop_nulls() if url.startswith("https://workbench/")]
    # The crawl goes on where it was, and what was forgotten does not come back.
    with bench("stackexchange", store, settled(4)) as at:
        done = at.crawl()
        assert (done.site, done.new) == (site, 0)
        assert run_on(at, pipeline(at, recheck={"older_than": "0s"})).exit_code == 0
    rows = Store(store).snapshot().posts(EVERYTHING)[0]
    assert rows.height == before["posts"]
    assert rows.filter(post_id=first["post_id"])["state"].to_list() == ["deleted"]


# -- what is a pipeline's own -----------------------------------------------------------------------------------------


@pytest.fixture
def shared_store(tmp_path: Path) -> Path:
    """A store that holds threads of three sites, two of which have a community of the same name."""
    others = [
        numbered_thread(number, site=site, community=community)
        for number in range(6)
        for site, community in [("reddit.com", "help"), ("reddit.com", "beer"), ("other.example", "workbench")]
    ]
    for number, thread in enumerate(others):
        thread["post_id"] = str(number)
    return store_of(tmp_path, others)


def places_in(out: Path) -> set[tuple[str, str]]:
    rows = rows_of(out)
    return set(zip(rows["pair_id"].str.split("/").list.first(), rows["community"], strict=True))


def test_an_export_takes_the_sites_alone_that_are_named(shared_store: Path, tmp_path: Path) -> None:
    export = ["export", str(tmp_path / "out"), "--store", str(shared_store), "--quiet", "--replace"]
    assert run([*export, "--site", "https://Other.example/", "--site", "lemmy.world"]) == 0
    assert places_in(tmp_path / "out") == {("other.example", "workbench")}
    assert manifest(tmp_path / "out")["configuration"]["sites"] == ["lemmy.world", "other.example"]
    assert run([*export, "--site", "reddit.com", "--community", "help"]) == 0
    assert places_in(tmp_path / "out") == {("reddit.com", "help")}
    assert run([*export, "--site", "reddit.com", "--community", "workbench"]) == 5
    # What was not chosen is not in the manifest, which stays as it was without these options.
    assert run(export) == 0
    assert not {"sites", "places"} & set(manifest(tmp_path / "out")["configuration"])


def pipeline_of(tmp_path: Path, store: Path, **tables: Any) -> list[str]:
    data = {"store": str(store), "recheck": {"enabled": False}, "export": [{"out": str(tmp_path / "out")}]} | tables
    return ["run", str(written(tmp_path / "p.toml", data)), "--quiet"]


DOWN = {"url": "http://127.0.0.1:9", "allow_private": True}


@pytest.mark.parametrize(
    "source",
    [
        {"kind": "discourse", "site": "forum.example", "communities": ["latest"]},
        {"kind": "lemmy", "site": "forum.example", "communities": ["workbench"]},
        {"kind": "arctic-shift", "communities": ["r/cooking"]},
    ],
    ids=lambda source: source["kind"],
)
def test_a_pipeline_whose_site_is_down_exports_nothing_of_others(
    source: dict[str, Any], shared_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    command = pipeline_of(tmp_path, shared_store, source=[source | DOWN], limits={"max_seconds": 5})
    assert run(command) in (3, 75)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["discourse", "nodebb", "stackexchange", "lemmy-v4", "arctic-shift"])
def test_a_pipeline_exports_what_it_crawls(kind: str, shared_store: Path, tmp_path: Path) -> None:
    with bench(kind, shared_store, settled(8, readers=300)) as at:
        whole = pipeline(at, recheck={"enabled": False})
        assert run_on(at, whole).exit_code == 0
        own = places_in(out_of(at))
        site = at.kind.site or "reddit.com"
        assert {place[0] for place in own} == {site}
        assert len(own) == 1
        assert run_on(at, whole).steps[-1].said == "up to date"
        everything = pipeline(at, export=[{"out": str(tmp_path / "all"), "sites": ["*"]}])
        assert run_on(at, everything, only=["export"]).exit_code == 0
        assert len(places_in(tmp_path / "all")) == 4
        other = pipeline(at, export=[{"out": str(tmp_path / "other"), "sites": ["other.example"]}])
        assert run_on(at, other, only=["export"]).exit_code == 0
        assert places_in(tmp_path / "other") == {("other.example", "workbench")}


def test_a_pipeline_exports_what_it_imports_also_when_the_files_are_gone(shared_store: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    file = tmp_path / "mine" / "a.jsonl"
    file.write_text("".join(json.dumps(numbered_thread(number)) + "\n" for number in range(6)), encoding="utf-8")
    imports = [{"kind": "threads", "paths": [str(tmp_path / "mine" / "*")]}]
    command = pipeline_of(tmp_path, shared_store, **{"import": imports})
    for _ in range(2):
        assert run(command) == 0
        assert places_in(tmp_path / "out") == {("forum.example", "cooking")}
        file.unlink(missing_ok=True)
        shutil.rmtree(tmp_path / "out")


def test_a_pipeline_without_files_or_sites_of_its_own_exports_the_store(shared_store: Path, tmp_path: Path) -> None:
    assert run(pipeline_of(tmp_path, shared_store)) == 0
    assert len(places_in(tmp_path / "out")) == 3


def test_a_pipeline_whose_files_are_missing_exports_nothing_of_others(shared_store: Path, tmp_path: Path) -> None:
    imports = [{"kind": "threads", "paths": [str(tmp_path / "nowhere.jsonl")]}]
    assert run(pipeline_of(tmp_path, shared_store, **{"import": imports})) != 0
    assert not (tmp_path / "out").exists()


def test_what_files_are_of_names_no_person() -> None:
    tally = Tally()
    rows = [post_row(community=name, post_id=name) for name in ("u_somebody", "help")]
    _note_places(chunk(rows, []), tally)
    assert tally.places == {"reddit.com": None}
    tally.saw("forum.example", [f"c{number}" for number in range(60)])
    other = Tally()
    other.saw("forum.example", ["c1", "c2"])
    tally.merge(other)
    assert tally.places["forum.example"] == {f"c{number}" for number in range(60)}
    tally.saw("forum.example", [f"d{number}" for number in range(60)])
    tally.merge(other)
    assert tally.places["forum.example"] is None


# -- names of communities ---------------------------------------------------------------------------------------------

#: Taken as they are.
AS_THEY_ARE = [
    "train", "pairs", "con", "Help", "help", "C#", "Вопросы", "料理", "🍲 soups", "- x", "null", "true", "12", "1.5",
    "~", "[a]", "{b}", "%d", "it's",
]  # fmt: skip

#: Called otherwise.
CALLED_OTHERWISE = [
    "default", "all", "manifest.json", "readme.md", "README.md", "Default", "a/b", "a\\b", "a*b?", "<b>", "what: why",
    'q"q', "..", ".hidden", " padded ", "two\nlines", "tab\tbed", "a\u200bb", "a\u2028b", "x" * 200, "ж" * 90,
]  # fmt: skip
COMMUNITIES = [*AS_THEY_ARE, *CALLED_OTHERWISE]


def test_every_name_of_a_community_loads(tmp_path: Path) -> None:
    threads = [numbered_thread(number, community=name, answers=3) for number, name in enumerate(COMMUNITIES)]
    store = store_of(tmp_path, threads)
    command = ["export", str(tmp_path / "out"), "--store", str(store), "--validation", "0", "--test", "0", "--quiet"]
    assert run(command) == 0
    files = {file["community"]: file for file in manifest(tmp_path / "out")["files"]}
    assert set(files) == set(COMMUNITIES)
    configs = set(get_dataset_config_names(str(tmp_path / "out")))
    assert configs == {"all", *(file["config"] for file in files.values())}
    assert len(configs) == len(COMMUNITIES) + 1
    card = (tmp_path / "out" / "README.md").read_text()
    for name, file in files.items():
        rows = load_dataset(str(tmp_path / "out"), file["config"], cache_dir=str(tmp_path / "cache"))["train"]
        assert set(rows["community"]) == {name}
        assert (f"- {plain(name)}: `{file['config']}`" in card) == (file["config"] != name)
    assert len(load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))["train"]) == 3 * len(COMMUNITIES)
    assert [name for name in COMMUNITIES if files[name]["config"] == name] == AS_THEY_ARE


@pytest.mark.parametrize("only", ["default", "all", "C#", "readme.md", "train"])
def test_a_store_of_one_such_community_loads(only: str, tmp_path: Path) -> None:
    store = store_of(tmp_path, [numbered_thread(number, community=only) for number in range(4)])
    assert run(["export", str(tmp_path / "out"), "--store", str(store), "--quiet"]) == 0
    assert sum(map(len, load_dataset(str(tmp_path / "out")).values())) == 4


def test_an_export_that_datasets_does_not_load_does_not_appear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = store_of(tmp_path, [numbered_thread(number) for number in range(4)])
    export = ["export", str(tmp_path / "out"), "--store", str(store), "--quiet"]
    for spoilt, said in (
        (lambda community: f"{community}?", "cannot load the configuration"),
        (lambda _: "default", "cannot load the configuration"),
    ):
        monkeypatch.setattr("shp_miner.export.shards.config_name", spoilt)
        assert run(export) != 0
        assert said in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["a b", "a*b?", "{y}", "#", "%20", "ü", ".hidden", "train"])
def test_where_an_export_lies_does_not_matter(name: str, tmp_path: Path) -> None:
    store = store_of(tmp_path, [numbered_thread(number) for number in range(4)])
    assert run(["export", str(tmp_path / name / "out"), "--store", str(store), "--quiet"]) == 0


def test_an_export_is_not_written_where_datasets_would_not_find_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = store_of(tmp_path, [numbered_thread(number) for number in range(4)])
    assert run(["export", str(tmp_path / "[x]" / "out"), "--store", str(store)]) == 2
    assert "cannot load from a path with brackets" in capsys.readouterr().err
    assert not (tmp_path / "[x]").exists()


# -- paths ------------------------------------------------------------------------------------------------------------


def test_a_home_in_the_environment_is_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    file = store_of(tmp_path, [numbered_thread(number) for number in range(3)]).parent / "threads.jsonl"
    monkeypatch.setenv("SHP_MINER_IMPORT_THREADS_STORE", "~/store")
    monkeypatch.setenv("SHP_MINER_EXPORT_STORE", "~/store")
    monkeypatch.setenv("SHP_MINER_EXPORT_KEEP_DROPPED", "~/dropped")
    assert run(["import", "threads", str(file), "--quiet"]) == 0
    assert run(["export", "~/out", "--min-answer-score", "5", "--quiet"]) == 5  # of two answers one is left
    assert run(["export", "~/out", "--quiet"]) == 0
    assert {path.name for path in (tmp_path / "home").iterdir()} >= {"store", "out", "dropped"}
    assert not Path("~").exists()
    monkeypatch.setenv("SHP_MINER_EXPORT_STORE", "~nobody-of-this-name/store")
    assert run(["export", "out", "--quiet"]) == 2


@pytest.mark.parametrize("variable", ["XDG_STATE_HOME", "XDG_CONFIG_HOME"])
def test_a_home_in_the_places_of_others_is_a_home(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somebody")
    monkeypatch.setenv(variable, "~/place")
    found = clocks.default_path() if variable == "XDG_STATE_HOME" else systemd._config()
    assert str(found).startswith("/somebody/place")
