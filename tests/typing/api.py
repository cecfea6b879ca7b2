"""Each public name as somebody uses it who has it checked. Never run: mypy reads it (tests/test_typing.py, .ci/run)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_type

import polars as pl
import pyarrow as pa

import shp_miner

if TYPE_CHECKING:
    import datasets
    import pandas as pd


def a_dump_into_a_store(path: Path) -> shp_miner.Store:
    store = shp_miner.Store(path)
    imported = shp_miner.import_dump("threads", ["my-forum.jsonl"], store, now=datetime.now(UTC))
    assert_type(imported, shp_miner.Imported)
    assert_type(imported.version, str)
    assert_type(imported.tally.complete, bool)
    shp_miner.import_dump("reddit-dump", [path / "RS_2024-01.zst"], "data/eli5", communities=["explainlikeimfive"])
    assert_type(store.path, Path)
    assert_type(store.exists, bool)
    return store


def a_check(out: Path) -> bool:
    checked = shp_miner.check(out, tools=["trl", "rewardbench"], max_tokens=1024, tokenizer="tokenizer.json")
    assert_type(checked, shp_miner.Checked)
    assert_type(shp_miner.check(str(out), tools="trl").problems, list[str])
    return checked.passed


def own_frames(posts: pd.DataFrame, answers: pl.DataFrame, store: shp_miner.Store) -> pa.Table:
    imported = shp_miner.import_frames(posts, answers, store, site="forum.example", community="all")
    assert_type(imported, shp_miner.Imported)
    assert_type(shp_miner.make_pairs(posts, answers.lazy(), "votes"), pa.Table)
    assert_type([schema.names for schema in (shp_miner.POST, shp_miner.ANSWER, shp_miner.PAIR)], list[list[str]])
    return shp_miner.make_pairs(store.posts().to_arrow(), store.answers())


def a_store_as_frames(store: shp_miner.Store) -> pl.LazyFrame:
    assert_type(store.posts(community="cooking", columns=["score", "body"], as_of=date(2024, 1, 31)), pl.DataFrame)
    assert_type(next(store.batches("answers", site=["forum.example"], rows=50_000)), pl.DataFrame)
    assert_type(shp_miner.stats(store, as_of="2024-01-31"), dict[str, Any])
    return assert_type(store.observations("answers"), pl.LazyFrame)


def one_name_instead_of_a_list(store: shp_miner.Store, out: Path) -> None:
    shp_miner.import_dump("reddit-dump", out, store, communities="eli5")
    shp_miner.crawl("discourse", "latest", store, site="meta.discourse.org")
    shp_miner.forget(store, authors="somebody", ids="forum.example/1", exports=out)
    shp_miner.export_dataset(store, out, format="trl", communities="eli5", sites=None, since="2023-01-01")
    shp_miner.export_dataset(store, out, formats=("trl", "kto"), until=date(2024, 1, 1), as_of=datetime.now(UTC))
    shp_miner.export_dataset(store, out, format=1)  # type: ignore[arg-type]
    shp_miner.recheck(store, older_than_s="90d")
    shp_miner.preset("shp", min_score_age_s=timedelta(hours=48), since=date(2023, 1, 1))


def a_living_forum_into_a_store(store: shp_miner.Store) -> list[str]:
    access = shp_miner.Access(site="meta.discourse.org")
    shp_miner.crawl("discourse", ["latest"], store, access)
    crawled = shp_miner.crawl("discourse", ["latest"], store, site="meta.discourse.org", limit=50, say=print)
    assert_type(crawled, list[shp_miner.Crawled])
    assert_type([result.read for result in crawled], list[int])
    visited = shp_miner.recheck(store.path, access, older_than_s=90 * 86_400.0)
    assert_type(visited, list[shp_miner.Crawled])
    assert_type(visited[0].complete, bool)
    return [result.stopped for result in visited if result.stopped is not None]


def content_out_of_a_store(store: shp_miner.Store) -> bool:
    done = shp_miner.forget(store, authors=["somebody@forum.example"], ids=("forum.example/1",), dry_run=True)
    assert_type(done, shp_miner.Forgot)
    assert_type(done.tables["posts"].rows, int)
    assert_type([export.path for export in done.exports], list[str])
    return done.finished


def to_the_hub(out: Path) -> str:
    done = shp_miner.push(out, "user/name", public=False, purge_history=True, store="data/store")
    assert_type(done, shp_miner.Pushed)
    assert_type(done.history.left if done.history else [], list[str])
    return done.url


def a_rule() -> shp_miner.Rule:
    assert_type(shp_miner.PRESETS["shp"], shp_miner.Rule)
    rule = shp_miner.preset("shp-strict", min_ratio=3.0)
    assert_type(rule, shp_miner.Rule)
    assert_type(rule.name, str)
    return rule


def pairs_without_a_store(posts: pa.Table, answers: pa.Table) -> pa.Table:
    return assert_type(shp_miner.make_pairs(posts, answers, a_rule(), observations=answers), pa.Table)


def clean_pairs(store: shp_miner.Store, out: Path) -> shp_miner.Exported:
    cleaning = shp_miner.clean_profile("standard", personal="drop", languages=["en"])
    assert_type(cleaning, shp_miner.Cleaning)
    sets = shp_miner.evaluation_sets(["test.jsonl"], columns="prompt", preset="strict")
    assert_type(sets, shp_miner.EvaluationSets)
    return shp_miner.export_dataset(store, out, clean=cleaning, decontaminate=sets)


def a_store_into_a_data_set(store: shp_miner.Store, out: Path) -> datasets.Dataset:
    formats = [name for name, form in shp_miner.FORMATS.items() if assert_type(form.schema, pa.Schema).names]
    exported = shp_miner.export_dataset(store, out, rule=a_rule(), formats=formats)
    assert_type(exported, shp_miner.Exported)
    assert_type(exported.pairs, dict[str, int])
    assert_type([shard.rows for shards in exported.shards.values() for shard in shards], list[int])
    scanned = assert_type(shp_miner.scan(out, "eli5", split="train", tier="strict", min_confidence=0.9), shp_miner.Scan)
    assert_type(scanned.to_arrow(), pa.Table)
    assert_type(scanned.to_polars(), pl.DataFrame)
    assert_type(scanned.lazy(), pl.LazyFrame)
    assert_type(len(scanned), int)
    return shp_miner.load(out, ["eli5"], split="test", columns="pair_id")


def a_model(out: Path) -> list[float]:
    trained = shp_miner.train(out, "model", thread_weights="one", quick=True)
    assert_type(trained, shp_miner.Trained)
    assert_type(trained.files, list[str])
    return assert_type(shp_miner.score(trained.model, "Why?", ["Because.", "No idea."]), list[float])


def a_pipeline_file(path: Path) -> int:
    ran = shp_miner.run(path, only=["crawl", "export"], say=print)
    assert_type(ran, shp_miner.Ran)
    status = shp_miner.status("data/eli5", stale_s=86_400.0)
    assert_type(status, shp_miner.Status)
    assert_type([problem.what for problem in status.wrong], list[str])
    return assert_type(ran.exit_code, int)


def what_went_wrong(store: shp_miner.Store, out: Path) -> int:
    try:
        a_store_into_a_data_set(store, out)
    except shp_miner.TryLater as later:
        return assert_type(later.exit_code, int)
    except (shp_miner.BadInput, shp_miner.Incomplete, shp_miner.NotAllowed, shp_miner.UsageError) as error:
        raise SystemExit(assert_type(error.hint, str)) from error
    except shp_miner.Error as error:
        raise SystemExit(assert_type(error.message, str)) from error
    return 0


def what_is_not_there() -> None:
    shp_miner.crawll  # type: ignore[attr-defined]  # noqa: B018  (a name that is written wrong is found)
    shp_miner.preset(1)  # type: ignore[arg-type]


assert_type(shp_miner.__version__, str)
