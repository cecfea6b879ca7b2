"""Arguments of the public functions: one name or several, None for all, dates and durations as on the command line."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import shp_miner
from shp_miner.forum import World, simulate, write_threads
from shp_miner.forum.live import Community
from shp_miner.forum.serve.server import Forum
from shp_miner.lab.run import chosen_worlds

from .build import submission, thread, write_month
from .conftest import NOW

WORLD = World(threads=12)


@pytest.fixture
def store(tmp_path: Path) -> shp_miner.Store:
    write_threads(simulate(WORLD, 0), tmp_path / "threads.jsonl")
    store = shp_miner.Store(tmp_path / "store")
    shp_miner.import_dump("threads", tmp_path / "threads.jsonl", store, now=NOW)
    return store


@pytest.mark.parametrize(
    ("one", "several"),
    [
        ({"communities": "cooking"}, {"communities": ["cooking"]}),
        ({"sites": "https://Forum.example/"}, {"sites": ("forum.example",)}),
        ({"places": {"forum.example": "cooking"}}, {"places": {"forum.example": ["cooking"]}}),
        ({"format": "trl"}, {"formats": ["trl"]}),
        ({"formats": "kto"}, {"format": ("kto",)}),
        ({"communities": None, "sites": None, "formats": None, "places": None}, {}),
        ({"communities": (name for name in ["cooking"])}, {"communities": {"cooking"}}),
    ],
)
def test_an_export_takes_one_name_for_a_list_of_one(
    store: shp_miner.Store, tmp_path: Path, one: dict[str, Any], several: dict[str, Any]
) -> None:
    first = shp_miner.export_dataset(store, tmp_path / "one", rule="votes", **one)
    second = shp_miner.export_dataset(store, tmp_path / "several", rule="votes", **several)
    assert first.shards == second.shards
    assert first.pairs == second.pairs


def test_a_dump_is_read_from_one_path_and_for_one_community(tmp_path: Path) -> None:
    records = [*thread("p1"), submission("p2", subreddit="other")]
    folder = write_month(tmp_path / "dump", records)[0].parent
    imported = shp_miner.import_dump("reddit-dump", folder, tmp_path / "store", communities="AskTest", now=NOW)
    assert imported.tally.read["post"] == 1
    whole = shp_miner.import_dump("reddit-dump", str(folder), tmp_path / "store", communities=None, now=NOW)
    assert whole.tally.read["post"] == 2


def test_a_crawl_takes_one_community_and_a_run_one_step(tmp_path: Path) -> None:
    with Forum(Community(world=WORLD, now=WORLD.observed_at), "discourse") as forum:
        how = {"site": "forum.example", "url": forum.url("discourse"), "allow_private": True}
        (crawled,) = shp_miner.crawl("discourse", "workbench", tmp_path / "store", limit=3, **how)
    assert (crawled.community, crawled.read) == ("workbench", 3)
    (tmp_path / "p.toml").write_text('[[import]]\nkind = "threads"\npaths = ["none-*.jsonl"]\n')
    with pytest.raises(shp_miner.UsageError, match="no step 'craw'") as caught:
        shp_miner.run(tmp_path / "p.toml", only="craw")
    assert caught.value.hint == "Did you mean 'crawl'?"


def test_a_crawl_without_a_community_says_so(tmp_path: Path) -> None:
    for none in ((), []):
        with pytest.raises(shp_miner.UsageError, match="No community is named"):
            shp_miner.crawl("discourse", none, tmp_path / "store", site="forum.example")
    with pytest.raises(shp_miner.UsageError, match="No file is named"):
        shp_miner.import_dump("threads", [], tmp_path / "store")


def test_forgetting_takes_one_of_everything(store: shp_miner.Store, tmp_path: Path) -> None:
    author = store.answers()["author"][0]
    shp_miner.export_dataset(store, tmp_path / "out", rule="votes")
    of_author = shp_miner.forget(store, authors=author, exports=tmp_path / "out", dry_run=True)
    assert of_author.tables["answers"].items > 0
    assert of_author == shp_miner.forget(store, authors=[author], exports=[tmp_path / "out"], dry_run=True)
    post = store.posts()["post_id"][0]
    assert shp_miner.forget(store, ids=f"forum.example/{post}", dry_run=True).tables["posts"].items == 1
    assert shp_miner.forget(store, drop_exports=str(tmp_path / "out")).exports[0].outcome == "dropped"


def test_the_lab_takes_one_world() -> None:
    assert chosen_worlds("base") == chosen_worlds(["base"])


@pytest.mark.parametrize("wrong", [5, [5], b"eli5", [None]])
def test_what_is_neither_a_name_nor_a_list_of_names_is_named(store: shp_miner.Store, wrong: Any) -> None:
    with pytest.raises(shp_miner.UsageError, match="communities") as caught:
        shp_miner.export_dataset(store, "out", communities=wrong)
    assert 'communities="' in caught.value.hint


def test_no_format_and_an_unknown_format_are_told(store: shp_miner.Store) -> None:
    with pytest.raises(shp_miner.UsageError, match="No format"):
        shp_miner.export_dataset(store, "out", formats=[])
    with pytest.raises(shp_miner.UsageError, match="no format 'tlr'"):
        shp_miner.export_dataset(store, "out", format="tlr")


# -- dates and durations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "day",
    [
        "2023-01-01",
        "2023-01-01T00:00:00Z",
        date(2023, 1, 1),
        datetime(2023, 1, 1),  # noqa: DTZ001 - a time without a zone is UTC
        datetime(2023, 1, 1, tzinfo=UTC),
    ],
)
def test_a_day_is_a_text_a_date_or_a_datetime(day: Any) -> None:
    since, until = shp_miner.preset("shp", since=day).since, shp_miner.preset("shp", until=day).until
    assert since == until == datetime(2023, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("day", ["2h", 7200, 7200.0, timedelta(hours=2), "120m"])
def test_a_length_of_time_is_seconds_a_text_or_a_timedelta(day: Any) -> None:
    rule = shp_miner.preset("shp", min_score_age_s=day, max_apart_s=day)
    assert rule.min_score_age_s == rule.max_apart_s == 7200.0
    assert rule == shp_miner.preset("shp", min_score_age_s=7200, max_apart_s=7200)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"since": "2023-13-01"}, "write 2023-01-01"),
        ({"min_score_age_s": "24x"}, "write 90s, 15m, 24h"),
        ({"min_score_age_s": "24"}, "'24' has no unit"),
        ({"max_apart_s": float("nan")}, "not a finite number"),
        ({"max_apart": 3}, "3 has no unit: write 3s"),
        ({"max_apart": "2h", "max_apart_s": 7200}, "no parameter 'max_apart'"),
        ({"max_appart": 3}, "no parameter 'max_appart'"),
        ({"min_ratio": "2"}, "min_ratio is '2': write a number, such as 2 or 0.5"),
        ({"min_ratio": 0.5}, "min_ratio is 0.5: write 1 or more"),
        ({"min_confidence": 0.5}, "min_confidence is 0.5: write more than 0.5"),
        ({"max_pairs_per_post": 2.5}, "max_pairs_per_post is 2.5: write a whole number"),
        ({"floors": "no"}, "floors is 'no': write true or false"),
        ({"since": 2023}, 'since is 2023: write a date, such as "2023-01-01"'),
        ({"and_": "votes"}, r"and_ is 'votes': write accepted\."),
        ({"accepted_over": "older"}, "accepted_over is 'older': write existing or all"),
        ({"order": "older"}, "order is 'older': write winner-not-older, winner-older or any"),
    ],
)
def test_a_bad_date_or_duration_says_how_to_write_one(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(shp_miner.UsageError, match=said):
        shp_miner.preset("shp", **parameters)


def test_names_are_taken_as_the_command_takes_them(store: shp_miner.Store, tmp_path: Path) -> None:
    assert shp_miner.preset("SHP_Strict", min_score_age="2d") == shp_miner.preset("shp-strict", min_score_age_s=172_800)
    assert shp_miner.preset("shp", order="Any").name == "votes"
    done = shp_miner.export_dataset(
        store, tmp_path / "out", rule="Votes", format="TRL", layout="Compact", memory="2GiB"
    )
    assert list(done.shards) == ["trl"]
    assert shp_miner.scan(tmp_path / "out", format="Trl", tier="Strict").tier == "strict"
    assert shp_miner.check(tmp_path / "out", tools="TRL").formats[0].tools[0].tool == "trl"
    write_month(tmp_path / "dumps", thread("p1"))
    for kind in ("reddit_dump", "Reddit"):
        assert shp_miner.import_dump(kind, tmp_path / "dumps", tmp_path / "other").tally.read["post"] == 1


@pytest.mark.parametrize(
    ("call", "said", "hint"),
    [
        (lambda at: shp_miner.preset(None), "There is no rule None", "Known: shp, "),  # type: ignore[arg-type]
        (lambda at: shp_miner.export_dataset(at, at / "o", rule=3), "There is no rule 3", "Known: shp, "),
        (lambda at: shp_miner.export_dataset(at, at / "o", format="kot"), "no format 'kot'", "Did you mean 'kto'?"),
        (lambda at: shp_miner.export_dataset(at, at / "o", workers="2"), "workers is '2', which is not a whole", "=10"),
        (lambda at: shp_miner.export_dataset(at, at / "o", workers=0), "workers is 0, which is too small", "1 or more"),
        (lambda at: shp_miner.export_dataset(at, at / "o", memory="2"), "memory: '2' has no unit", 'memory="2GiB"'),
        (lambda at: shp_miner.export_dataset(at, at / "o", validation="0.1"), "validation is '0.1'", "=0.5"),
        (lambda at: shp_miner.Store(at).snapshot(3), "as_of is 3: not a version", '"1.1"'),
        (lambda at: shp_miner.import_dump("redit-dump", at, at), "kind 'redit-dump'", "Did you mean 'reddit-dump'?"),
        (lambda at: shp_miner.import_dump("threads", at, at, sit="x"), "no option 'sit'", "Its options: utc, site."),
        (lambda at: shp_miner.crawl("discource", "x", at / "s"), "no source 'discource'", "'discourse'"),
        (lambda at: shp_miner.crawl("discourse", "x", at / "s", limit="5"), "limit is '5'", "limit=10"),
        (lambda at: shp_miner.Store(None), "None is not a path", '"data/store"'),
    ],
)
def test_what_a_function_cannot_take_is_said_in_words(call: Any, said: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(shp_miner.UsageError, match=re.escape(said)) as refused:
        call(tmp_path)
    assert hint in refused.value.hint


def test_an_export_takes_the_dates_of_the_command(store: shp_miner.Store, tmp_path: Path) -> None:
    middle = store.posts()["created_at"].sort()[6]
    exported = shp_miner.export_dataset(store, tmp_path / "new", rule=shp_miner.preset("votes"), since=middle)
    others = shp_miner.export_dataset(store, tmp_path / "old", rule="votes", until=middle.isoformat())
    both = shp_miner.export_dataset(store, tmp_path / "all", rule="votes")
    assert sum(exported.pairs.values()) + sum(others.pairs.values()) == sum(both.pairs.values())
    assert exported.tally.dropped["post", "before_since"] == 6


def test_another_export_is_replaced_only_when_that_is_asked_for(store: shp_miner.Store, tmp_path: Path) -> None:
    shp_miner.export_dataset(store, tmp_path / "out", rule="votes")
    shp_miner.export_dataset(store, tmp_path / "out", rule="votes", until="2030-01-01")
    with pytest.raises(shp_miner.UsageError, match=r"out holds another export \(rule votes") as refused:
        shp_miner.export_dataset(store, tmp_path / "out", rule="older-winner")
    assert refused.value.hint == "Name another folder, or give replace=True."
    with pytest.raises(shp_miner.UsageError, match=r"another export \(format pairs"):
        shp_miner.export_dataset(store, tmp_path / "out", rule="votes", format="kto")
    shp_miner.export_dataset(store, tmp_path / "out", rule="older-winner", replace=True)


def test_an_earlier_version_is_named_by_its_number_or_a_day(store: shp_miner.Store, tmp_path: Path) -> None:
    later = date.today() + timedelta(days=2)  # noqa: DTZ011 - far enough ahead in every zone
    assert shp_miner.stats(store, as_of=later) == shp_miner.stats(store.path, as_of=later.isoformat())
    assert shp_miner.stats(store, as_of="0.0")["tables"]["posts"]["observations"] == 0
    assert shp_miner.export_dataset(store, tmp_path / "out", rule="votes", as_of=datetime.now(UTC)).version == "1.1"
    with pytest.raises(shp_miner.UsageError, match="no version"):
        store.posts(as_of="7.7")


def test_lengths_of_time_of_other_functions_are_read_alike(store: shp_miner.Store) -> None:
    assert shp_miner.status(store, stale_s="2d").stale_s == 172_800
    assert shp_miner.recheck(store, older_than_s="90d") == []
    assert shp_miner.recheck(store, older_than="90d") == shp_miner.recheck(store, older_than=timedelta(days=90)) == []
    with pytest.raises(shp_miner.UsageError, match="older_than: '60' has no unit: write 60s"):
        shp_miner.recheck(store, older_than=60)  # type: ignore[arg-type]
    with pytest.raises(shp_miner.UsageError, match="given as older_than_s, too"):
        shp_miner.recheck(store, older_than="1d", older_than_s=60)
    with pytest.raises(shp_miner.UsageError, match="stale_s: '2' has no unit"):
        shp_miner.status(store, stale_s="2")
