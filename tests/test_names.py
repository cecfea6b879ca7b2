"""What names things: sites, threads and answers together, and the names of communities and configurations."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shp_miner.cli import run
from shp_miner.sites import site_of
from shp_miner.store import Store

from .build import comment as reddit_comment
from .build import submission, write_dump, write_month
from .crawls import bench, settled
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
