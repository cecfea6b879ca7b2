"""The pipeline file: every key changes what a run does, and every mistake in a file is named with what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import polars as pl
import pyarrow.parquet as pq
import pytest

from shp_miner import clean_profile, cli
from shp_miner.cli import run_
from shp_miner.errors import BadInput, Error, NotAllowed
from shp_miner.forum.serve.reddit import CLIENT_ID, CLIENT_SECRET
from shp_miner.forum.serve.server import Forum
from shp_miner.pipeline import config
from shp_miner.pipeline import run as running
from shp_miner.pipeline import steps as parts
from shp_miner.pipeline.reference import Key, reference
from shp_miner.rules.presets import Rule, preset
from shp_miner.store import Store
from shp_miner.units import Duration, Seconds, Size

from .build import thread, write_dump, write_month
from .crawls import Bench, bench, rows, with_limits
from .flows import community, manifest, out_of, pipeline, run_on, source, steps, tables, written
from .test_cleaning import VALUES
from .test_import_discourse import topic
from .test_rules import OVERRIDES, TWO
from .test_rules import run as ruled

Test = TypeVar("Test", bound=Callable[..., None])

#: The keys, as "table.key", and the tests that prove them.
PROVED: dict[str, str] = {}


def proves(*keys: str) -> Callable[[Test], Test]:
    """Marks a test that fails if a key does nothing."""

    def mark(test: Test) -> Test:
        PROVED.update(dict.fromkeys(keys, test.__name__))
        return test

    return mark


def test_every_key_of_the_reference_has_a_test_here() -> None:
    keys = {".".join(filter(None, (key.table.strip("[]"), key.name))) for key in reference()}
    assert keys == PROVED.keys()


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Bench]:
    with bench("discourse", tmp_path / "store", community()) as found:
        yield found


def crawled(at: Bench, **source_keys: Any) -> running.Ran:
    return run_on(at, pipeline(at, source=[source(at, **source_keys)]), only=["crawl"])


# -- store, source ----------------------------------------------------------------------------------------------------


@proves("store")
def test_the_store_lies_where_the_file_says_from_the_files_folder(tmp_path: Path) -> None:
    path = written(tmp_path / "deep" / "p.toml", {"store": "my/store"})
    assert config.read(path).store == str(tmp_path / "deep" / "my" / "store")
    running.run(config.read(path), "p.toml")
    assert Store(tmp_path / "deep" / "my" / "store").exists


@proves("source.kind", "source.url")
def test_the_kind_and_the_address_say_what_is_asked_and_where(at: Bench) -> None:
    with Forum(at.community, ["arctic-shift"]) as other:
        crawled(at, kind="arctic-shift", site=None, url=other.url("arctic-shift"))
        assert rows(at.store, "posts")["source"].unique().to_list() == ["arctic-shift"]
        assert at.requests == []
        assert len(other.requests("arctic-shift")) > 8


@proves("source.communities")
def test_each_community_is_asked_for(at: Bench) -> None:
    crawled(at, communities=["latest", "workbench"])
    paths = [request.path for request in at.requests]
    assert "/latest.json" in paths
    assert any(path.startswith("/c/workbench/") for path in paths)


@proves("source.site")
def test_the_site_is_what_rows_are_filed_under(at: Bench) -> None:
    crawled(at, site="other.example")
    assert rows(at.store, "posts")["site"].unique().to_list() == ["other.example"]


@proves("source.allow_private")
def test_private_addresses_are_refused_unless_allowed(at: Bench) -> None:
    ran = crawled(at, allow_private=False)
    ((said, code),) = steps(ran)["crawl"]
    assert code == 5
    assert "127.0.0.1" in said
    assert at.requests == []
    assert crawled(at).exit_code == 0


@proves("source.limit")
def test_the_limit_bounds_the_threads_of_a_run(at: Bench) -> None:
    assert crawled(at, limit=3).new == 3
    assert crawled(at).new == 5


# -- import -----------------------------------------------------------------------------------------------------------


def imported(folder: Path, **keys: Any) -> running.Ran:
    return running.run(config.parse({"store": str(folder / "store"), "import": [keys]}), "p.toml")


@proves("import.kind", "import.paths", "import.communities")
def test_what_is_imported(tmp_path: Path) -> None:
    write_month(tmp_path / "dumps", [*thread("p1"), *thread("p2", subreddit="Other")])
    ran = imported(tmp_path / "a", kind="threads", paths=[str(tmp_path / "dumps" / "*")])
    assert ran.exit_code == 5, "these are no files of that kind"
    ran = imported(tmp_path / "b", kind="reddit-dump", paths=[str(tmp_path / "dumps" / "RS*")])
    assert steps(ran)["import"] == [("2 posts of 1 file", 0)]
    ran = imported(tmp_path / "c", kind="reddit-dump", paths=[str(tmp_path / "dumps")], communities=["other"])
    assert steps(ran)["import"] == [("3 answers, 1 post of 1 file", 0)]
    assert rows(Store(tmp_path / "c" / "store"), "posts")["community"].to_list() == ["other"]


@proves("import.site")
def test_the_site_of_files_that_do_not_say_it(tmp_path: Path) -> None:
    file = write_dump(tmp_path / "topics.ndjson", [topic()])
    assert imported(tmp_path, kind="discourse-json", paths=[str(file)], site="named.example").exit_code == 0
    assert rows(Store(tmp_path / "store"), "posts")["site"].to_list() == ["named.example"]


@proves("import.map")
def test_a_table_is_imported_by_its_map_and_again_when_the_map_has_changed(tmp_path: Path) -> None:
    text = """site = "a.b"
community = "%s"
answers = {answer_id = "id", post_id = "of", body = "text", created_at = "at", score = "n"}"""
    file, table_map = tmp_path / "a.csv", tmp_path / "map.toml"
    file.write_text("id,of,text,at,n\n1,2,Yes,1704164645,3\n")
    for name, found in (("one", 1), ("one", 0), ("two", 1)):
        table_map.write_text(text % name)
        ran = imported(tmp_path, kind="table", paths=[str(file)], map=str(table_map))
        assert len(steps(ran).get("import", [])) == found
    assert sorted(rows(Store(tmp_path / "store"), "answers")["community"]) == ["one", "two"]
    with pytest.raises(BadInput, match="has no map"):
        imported(tmp_path, kind="table", paths=[str(file)])


@proves("import.utc")
def test_times_without_a_zone_are_utc_only_where_that_is_said(tmp_path: Path) -> None:
    at = datetime(2024, 1, 2, 3)  # noqa: DTZ001
    answer = {"answer_id": "1", "body": "Yes.", "created_at": at, "score": 3}
    post = {"site": "a.b", "community": "c", "post_id": "1", "title": "T", "created_at": at, "score": 3}
    pl.DataFrame([{**post, "answers": [answer]}]).write_parquet(tmp_path / "t.parquet")
    keys = {"kind": "threads", "paths": [str(tmp_path / "t.parquet")]}
    assert imported(tmp_path, **keys).exit_code == 5
    assert imported(tmp_path, **keys, utc=True).exit_code == 0
    assert rows(Store(tmp_path / "store"), "answers")["created_at"].to_list() == [at.replace(tzinfo=UTC)]


@proves("import.vote_history")
def test_what_scores_were_before(tmp_path: Path) -> None:
    from .test_import_votes import VOTES, dump

    folder = str(dump(tmp_path, VOTES))
    counts = []
    for number, history in enumerate((False, True)):
        kept = tmp_path / str(number)
        assert imported(kept, kind="stackexchange-dump", paths=[folder], vote_history=history).exit_code == 0
        counts.append(rows(Store(kept / "store"), "answers").height)
    assert counts[0] < counts[1]


# -- recheck, forget --------------------------------------------------------------------------------------------------


def visits(at: Bench, after_s: float, /, **keys: Any) -> int | None:
    """How many threads a run visits that comes so long after two were asked and crawled; None if it has no visits."""
    for number in (1, 2):
        post = at.community.ask(f"Is this question {number}?", "I should like to know.")
        at.community.answer(post, "Yes.")
    at.pass_time(60)
    whole = pipeline(at, recheck=keys)
    run_on(at, whole, only=["crawl"])
    at.pass_time(after_s)
    ran = run_on(at, whole, only=["recheck"])
    return int(steps(ran)["recheck"][0][0].split()[0]) if ran.steps else None


@proves("recheck.at")
def test_the_ages_say_when_a_visit_is_due(at: Bench) -> None:
    ages = {"at": ["8d", "3h", "1h"]}
    assert visits(at, 2 * 3600, **ages) == 2
    again = pipeline(at, recheck=ages)
    assert run_on(at, again, only=["recheck"]).steps == []
    at.pass_time(2 * 3600)
    assert run_on(at, again, only=["recheck"]).changed == 2, "the next age after a visit is of the file, too"


def test_by_default_no_visit_is_due_after_two_hours(at: Bench) -> None:
    assert visits(at, 2 * 3600) is None
    assert visits(at, 7 * 3600) == 4


@proves("recheck.enabled")
def test_visits_can_be_left_out(at: Bench) -> None:
    assert visits(at, 7 * 3600, enabled=False) is None


@proves("recheck.older_than")
def test_threads_not_read_for_long_are_visited_as_well(at: Bench) -> None:
    assert visits(at, 2 * 3600, older_than="3h") is None
    assert visits(at, 2 * 3600, older_than="3h") == rows(at.store, "posts")["post_id"].n_unique() - 2


@proves("recheck.limit")
def test_the_limit_bounds_the_visits(at: Bench) -> None:
    assert visits(at, 7 * 3600, limit=1) == 1


@proves("forget.file")
def test_the_list_is_read_when_it_has_changed(at: Bench, tmp_path: Path) -> None:
    run_on(at)
    author = rows(at.store, "answers")["author"].drop_nulls()[0]
    file = tmp_path / "forget.txt"
    whole = pipeline(at, forget={"file": str(file)})
    ((said, code),) = steps(run_on(at, whole, only=["forget"]))["forget"]
    assert code == 5
    assert str(file) in said
    file.write_text("")
    assert run_on(at, whole, only=["forget"]).steps == []
    file.write_text(f"author: {author}\n")
    assert author in rows(at.store, "answers")["author"].to_list()
    ((said, code),) = steps(run_on(at, whole, only=["forget"]))["forget"]
    assert code == 0
    assert int(said.split()[0]) > 0
    assert author not in rows(at.store, "answers")["author"].to_list()
    assert run_on(at, whole, only=["forget"]).steps == [], "once is enough"


# -- rule -------------------------------------------------------------------------------------------------------------

OTHERS: list[tuple[str, Any]] = [  # what TWO answers do not show; each has a test elsewhere
    ("neighbours_only", True),
    ("confidence_slope", 0.5),
    ("sample_by_weight", True),
    ("max_pairs_per_post", 3),
    ("seed", 7),
    ("observe_at_s", 86_400.0),
    ("keep_unreadable", True),
    ("accepted_over", "all"),
]


@proves(*(f"rule.{name.removesuffix('_s').rstrip('_')}" for name, *_ in [*OVERRIDES, *OTHERS]))
@pytest.mark.parametrize(
    ("name", "value", "post", "answer"),
    [*OVERRIDES, *((name, value, None, {}) for name, value in OTHERS)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_key_of_a_rule_is_its_parameter(
    name: str, value: Any, post: dict[str, Any] | None, answer: dict[str, Any], tmp_path: Path
) -> None:
    shown = f"{value}s" if name.endswith("_s") else value
    key = name.removesuffix("_s").rstrip("_")
    rule = config.rule_of(config.read(written(tmp_path / "p.toml", {"rule": {key: shown}})).rule)
    assert rule == preset("shp", **{name: value})
    assert rule != preset("shp")
    if post is not None:
        answers = [{**TWO[0], **answer}, TWO[1]]
        assert ruled(rule, answers, **post) != ruled(preset("shp"), answers, **post)


@pytest.mark.parametrize(
    "text", ["2023-01-02", "2023-01-02T00:00:00", "2023-01-02T01:00:00+01:00", '"2023-01-02T00:00:00Z"']
)
def test_times_are_utc_where_they_have_no_zone(text: str, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(f"rule.since = {text}")
    rule = config.rule_of(config.read(tmp_path / "p.toml").rule)
    assert rule.since == datetime(2023, 1, 2, tzinfo=UTC)


@proves("rule.name", "export.rule")
def test_the_rule_of_an_export_comes_before_that_of_the_file(at: Bench) -> None:
    one, two = out_of(at), out_of(at).with_name("two")
    exports = [{"out": str(one)}, {"out": str(two), "rule": {"name": "votes", "min_ratio": 1.5}}]
    run_on(at, pipeline(at, rule={"name": "time-matched", "max_apart": "2h"}, export=exports))
    rules = [msgspec.convert(manifest(folder)["configuration"]["rule"], Rule) for folder in (one, two)]
    assert rules == [preset("time-matched", max_apart_s=7200), preset("votes", max_apart_s=7200, min_ratio=1.5)]


@proves("clean.profile", "export.clean", *(f"clean.{name}" for name in VALUES))
@pytest.mark.parametrize("name", VALUES)
def test_what_an_export_cleans_comes_before_what_the_file_cleans(name: str, tmp_path: Path) -> None:
    value = VALUES[name]
    given = list(value) if isinstance(value, tuple) else value
    tables = {"clean": {"profile": "strict"}, "export": [{"out": "o", "clean": {name: given}}]}
    read = config.read(written(tmp_path / "p.toml", tables))
    assert config.cleaning_of(read.clean, read.exports[0].clean) == clean_profile("strict", **{name: value})


# -- export -----------------------------------------------------------------------------------------------------------


@proves("export.out", "export.formats")
def test_formats_each_get_a_folder(at: Bench) -> None:
    run_on(at, pipeline(at, export=[{"out": str(out_of(at)), "formats": ["trl", "kto"]}]))
    assert {manifest(out_of(at) / name)["format"] for name in ("trl", "kto")} == {"trl", "kto"}


@proves("export.communities")
def test_an_export_takes_its_communities_alone(at: Bench) -> None:
    run_on(at)
    ran = run_on(at, pipeline(at, export=[{"out": str(out_of(at)), "communities": ["elsewhere"]}]), only=["export"])
    ((said, code),) = steps(ran)["export"]
    assert "no community 'elsewhere'" in said
    assert (ran.pairs, code) == (0, 3)


@proves("export.sites")
def test_an_export_takes_its_sites_alone(at: Bench) -> None:
    run_on(at)
    ran = run_on(at, pipeline(at, export=[{"out": str(out_of(at)), "sites": ["elsewhere.example"]}]), only=["export"])
    ((said, code),) = steps(ran)["export"]
    assert ("The store has no threads of the site" in said, ran.pairs, code) == (True, 0, 0)
    ran = run_on(at, pipeline(at, export=[{"out": str(out_of(at)), "sites": [at.kind.site]}]), only=["export"])
    assert ran.pairs > 0


@proves("export.validation", "export.test")
def test_the_shares_of_the_splits(at: Bench) -> None:
    def split_of(**shares: float) -> set[str]:
        run_on(at, pipeline(at, export=[{"out": str(out_of(at)), **shares}]))
        return {file["path"].split("/")[-1].split("-")[0] for file in manifest(out_of(at))["files"]}

    assert split_of(validation=0, test=0) == {"train"}
    assert "validation" in split_of(validation=0.9, test=0)
    assert "test" in split_of(validation=0, test=0.9)


@proves("export.decontaminate", "export.decontaminate_columns", "export.decontaminate_preset", "clean.near_duplicates")
def test_what_an_export_is_screened_for(at: Bench, tmp_path: Path) -> None:
    (tmp_path / "exam.jsonl").write_text('{"question": "What is the answer to this?", "note": "none"}')
    keys = {"decontaminate": [str(tmp_path / "exam.jsonl")], "decontaminate_columns": ["question"]}
    keys |= {"decontaminate_preset": "strict", "clean": {"near_duplicates": "one"}}
    run_on(at, pipeline(at, export=[{"out": str(out_of(at)), **keys}]))
    found = manifest(out_of(at))["configuration"]
    assert found["clean"]["near_duplicates"] == "one"
    (file,) = found["decontaminate"]["files"]
    assert (file["items"], file["too_short"]) == (1, 1)
    assert (found["decontaminate"]["columns"], found["decontaminate"]["preset"]) == (["question"], "strict")


@proves("export.layout")
def test_the_layout_of_an_export(at: Bench) -> None:
    run_on(at, pipeline(at, export=[{"out": str(out_of(at)), "layout": "compact"}]))
    assert {file["part"] for file in manifest(out_of(at))["files"]} == {"pairs", "posts", "answers"}


@proves("export.margin")
def test_the_margin_of_an_export(at: Bench) -> None:
    keys = {"formats": ["trl"], "margin": True, "rule": {"name": "comparisons"}}
    run_on(at, pipeline(at, export=[{"out": str(out_of(at)), **keys}]))
    (file, *_) = manifest(out_of(at))["files"]
    assert "margin" in pq.read_schema(out_of(at) / file["path"]).names


@proves("export.refit")
def test_the_fit_stays_unless_it_is_to_be_made_anew(at: Bench) -> None:
    def slope_after(**keys: object) -> float:
        run_on(at, pipeline(at, export=[{"out": str(out_of(at)), **keys}]))
        return float(manifest(out_of(at))["calibration"][0]["slope_rank"])

    fitted = slope_after()
    told = manifest(out_of(at))
    told["calibration"][0]["slope_rank"] = fitted + 0.001
    (out_of(at) / "manifest.json").write_text(json.dumps(told))
    assert slope_after() == fitted + 0.001
    assert slope_after(refit=True) == fitted


@proves("export.report")
def test_a_report_follows_each_export(at: Bench) -> None:
    page = out_of(at) / "report.html"
    exports = [{"out": str(out_of(at)), "report": True}]
    ((said, code),) = steps(run_on(at, pipeline(at, export=exports)))["export"]
    assert (said.endswith(f"Report: {page}"), code, page.is_file()) == (True, 0, True)
    of = json.loads(page.with_suffix(".json").read_bytes())["of"]
    page.unlink()
    assert f"up to date. Report: {page}" in str(steps(run_on(at, pipeline(at, export=exports)))["export"])
    run_on(at, pipeline(at, export=[{**exports[0], "validation": 0.5}]))
    assert json.loads(page.with_suffix(".json").read_bytes())["of"] != of
    page.write_text("somebody's own")
    ((said, code),) = steps(run_on(at, pipeline(at, export=exports)))["export"]
    assert ("is in the way" in said, code) == (True, 2)


# -- limits, log ------------------------------------------------------------------------------------------------------


@proves("limits.max_requests")
def test_requests_are_counted(at: Bench) -> None:
    ran = run_on(at, pipeline(at, limits={"max_requests": 5}))
    assert (ran.requests, len(at.requests), ran.exit_code) == (5, 5, 3)


@proves("limits.max_seconds")
def test_seconds_are_counted(tmp_path: Path) -> None:
    with bench("lemmy-v4", tmp_path / "store", community()) as at:  # a second between two requests
        ran = run_on(at, pipeline(at, limits={"max_seconds": "6s"}))
        assert 3 <= len(at.requests) <= 12
        assert (ran.exit_code, ran.seconds <= 6) == (3, True)
        assert run_on(at).exit_code == 0


@proves("limits.min_free")
def test_a_run_stops_before_the_disk_is_full(at: Bench) -> None:
    free = [50_000_000]
    ran = run_on(at, pipeline(at, limits={"min_free": "60MB"}), free_bytes=lambda _: free[0])
    assert ran.exit_code == 75
    assert {said for ended in steps(ran).values() for said, _ in ended} == {
        "Only 50.0 MB free; limits.min_free is 60.0 MB: free some space, or lower limits.min_free."
    }
    assert at.requests == []
    ran = run_on(at, pipeline(at, limits={"min_free": "40MB"}), free_bytes=lambda _: free[0])
    assert ran.exit_code == 0


def test_the_disk_is_looked_at_while_a_site_is_asked(at: Bench) -> None:
    ran = run_on(at, free_bytes=lambda _: 2_000_000_000 if len(at.requests) < 5 else 1)
    assert (len(at.requests), ran.exit_code) == (5, 3)
    assert "limits.min_free is" in steps(ran)["crawl"][0][0]


@proves("limits.workers", "limits.memory", "limits.engine", "limits.address")
def test_work_is_bounded_and_goes_where_the_file_says(
    at: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = []
    means = ("workers", "memory", "engine", "address")
    for name in ("import_dump", "export_dataset"):
        original = getattr(parts, name)

        def spy(*arguments: Any, original: Any = original, **options: Any) -> Any:
            bounds.append([options[name] for name in means])
            return original(*arguments, **{**options, "engine": "local", "address": None})

        monkeypatch.setattr(parts, name, spy)
    dumps = write_month(tmp_path / "dumps", thread("p1"))
    imports = [{"kind": "reddit-dump", "paths": [str(path) for path in dumps]}]
    limits = {"workers": 2, "memory": "3GiB", "engine": "ray", "address": "10.0.0.1:6379"}
    run_on(at, pipeline(at, source=[], limits=limits, **{"import": imports}))
    assert bounds == [[2, 3 << 30, "ray", "10.0.0.1:6379"]] * 2


def lines_of(at: Bench, capsys: pytest.CaptureFixture[str], tmp_path: Path, **log: Any) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        with_limits(patch=patch, requests=100_000, burst=100, pause_s=0)
        path = written(tmp_path / "p.toml", tables(at, log=log))
        assert cli.run(["run", str(path)]) == 0
    return capsys.readouterr().err.splitlines()


@proves("log.format")
def test_the_form_of_the_lines(at: Bench, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    human = lines_of(at, capsys, tmp_path, format="human")
    assert all(line[2] == line[5] == ":" for line in human)
    assert "threads new" in human[-1]
    for form in ("json", "auto"):  # here is no terminal
        parsed = [json.loads(line) for line in lines_of(at, capsys, tmp_path, format=form)]
        assert all({"time", "level", "message"} <= line.keys() for line in parsed)
        counts = {"new", "changed", "deleted", "pairs", "requests", "waited_s", "seconds", "exit_code"}
        assert counts | {"event", "pipeline"} <= parsed[-1].keys()


@proves("log.metrics")
def test_metrics_are_a_file_that_prometheus_reads(
    at: Bench, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines_of(at, capsys, tmp_path, metrics="deep/shp.prom")
    text = (tmp_path / "deep" / "shp.prom").read_text()
    samples = metrics_in(text)
    assert samples["shp_miner_threads_new"] == ('pipeline="p.toml"', 8)
    assert samples["shp_miner_exit_code"][1] == 0
    assert samples["shp_miner_last_run_timestamp_seconds"][1] > 1.7e9
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["shp.prom"], "nothing half-written stays"


def metrics_in(text: str) -> dict[str, tuple[str, float]]:
    """Name to labels and value, by the rules of Prometheus' text format 0.0.4."""
    assert text.endswith("\n")
    found: dict[str, tuple[str, float]] = {}
    described: dict[str, set[str]] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            _, what, name, rest = line.split(" ", 3)
            assert what in ("HELP", "TYPE")
            assert name not in found, "comments come before the sample"
            assert what == "HELP" or rest in ("gauge", "counter")
            described.setdefault(name, set()).add(what)
            continue
        name, _, labels = line.partition("{")
        labels, _, value = labels.rpartition("} ")
        assert name not in found
        found[name] = (labels, float(value))
    assert described == {name: {"HELP", "TYPE"} for name in found}
    return found


# -- credentials ------------------------------------------------------------------------------------------------------

SECRETS = ["reddit_client_id", "reddit_client_secret", "reddit_user_agent", "stackexchange_key"]


@proves(*(f"credentials.{key}" for key in SECRETS))
@pytest.mark.parametrize("key", SECRETS)
def test_credentials_are_set_for_the_sources_from_the_variables_named(key: str) -> None:
    whole = config.parse({"credentials": {key: "${MY_OWN}"}})
    assert config.credentials(whole, {"MY_OWN": "hidden"}) == {f"SHP_MINER_{key.upper()}": "hidden"}
    with pytest.raises(NotAllowed, match=rf"credentials\.{key} names the environment variable MY_OWN"):
        config.credentials(whole, {})


def test_reddit_is_asked_with_the_credentials_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with bench("reddit", tmp_path / "store", community()) as at:
        for name in ("CLIENT_ID", "CLIENT_SECRET", "USER_AGENT"):
            monkeypatch.delenv(f"SHP_MINER_REDDIT_{name}")
        with_limits(patch=monkeypatch, requests=100_000, burst=100, pause_s=0)
        named = {f"reddit_{name}": f"${{MY_{name.upper()}}}" for name in ("client_id", "client_secret", "user_agent")}
        path = written(tmp_path / "p.toml", tables(at, credentials=named))
        assert cli.run(["run", str(path)]) == 4
        assert "MY_CLIENT_ID, which is not set" in capsys.readouterr().err
        for name, value in (("CLIENT_ID", CLIENT_ID), ("CLIENT_SECRET", "wrong"), ("USER_AGENT", "reader")):
            monkeypatch.setenv(f"MY_{name}", value)
        assert cli.run(["run", str(path)]) == 4
        monkeypatch.setenv("MY_CLIENT_SECRET", CLIENT_SECRET)
        assert cli.run(["run", str(path)]) == 0
        output = capsys.readouterr()
        assert CLIENT_SECRET not in output.out + output.err
        for file in tmp_path.rglob("*"):
            assert not file.is_file() or CLIENT_SECRET.encode() not in file.read_bytes(), file


# -- mistakes ---------------------------------------------------------------------------------------------------------

NO_KEYS: list[tuple[dict[str, Any], str, str]] = [
    ({"stor": "x"}, "there is no key 'stor'", "'store'"),
    ({"sources": []}, "there is no key 'sources'", "'source'"),
    ({"source": [{"comunities": ["a"]}]}, "[source.1] has no key 'comunities'", "'communities'"),
    ({"source": [{"kind": "reddit", "communities": ["a"]}, {"lmit": 1}]}, "[source.2] has no key 'lmit'", "'limit'"),
    ({"import": [{"path": "a"}]}, "[import.1] has no key 'path'", "'paths'"),
    ({"recheck": {"enable": True}}, "[recheck] has no key 'enable'", "'enabled'"),
    ({"forget": {"flie": "a"}}, "[forget] has no key 'flie'", "'file'"),
    ({"rule": {"min_rato": 2}}, "rule: there is no key 'min_rato'", "'min_ratio'"),
    ({"clean": {"min_word": 2}}, "clean: there is no key 'min_word'", "'min_words'"),
    ({"clean": {"zzz": 2}}, "clean: there is no key 'zzz'", "Known: profile, text_mode"),
    ({"rule": {"min_score_age_s": 2}}, "rule: there is no key 'min_score_age_s'", "'min_score_age'"),
    ({"export": [{"format": ["trl"]}]}, "[export.1] has no key 'format'", "'formats'"),
    ({"export": [{"out": "a", "rule": {"min_rato": 2}}]}, "export.1.rule: there is no key 'min_rato'", "'min_ratio'"),
    ({"limits": {"max_request": 2}}, "[limits] has no key 'max_request'", "'max_requests'"),
    ({"log": {"fromat": "json"}}, "[log] has no key 'fromat'", "'format'"),
    ({"credentials": {"reddit_id": "${A}"}}, "[credentials] has no key 'reddit_id'", "'reddit_client_id'"),
    (
        {"source": [{"kind": "reddit-dump", "paths": ["a"]}]},
        "[source.1] has no key 'paths'",
        "It is a key of [[import]] (Dump files to import): write it below that heading.",
    ),
    ({"source": [{"kind": "threads", "communities": ["a"]}]}, "'threads'", "'threads' is a kind of [[import]]"),
    ({"import": [{"kind": "discourse", "paths": ["a"]}]}, "'discourse'", "'discourse' is a kind of [[source]]"),
    ({"formats": ["trl"]}, "there is no key 'formats'", "It is a key of [[export]] (An export)"),
    ({"min_ratio": 2}, "there is no key 'min_ratio'", "It is a key of [rule] ("),
    ({"export": [{"min_ratio": 2}]}, "[export.1] has no key 'min_ratio'", "It is a key of [rule] ("),
    ({"recheck": {"zzz": 1}}, "[recheck] has no key 'zzz'", "Known: enabled, at, older_than, limit"),
]

FILES = {"kind": "threads", "paths": ["a"]}

WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"store": 5}, "store: expected a string, got a whole number", "`shp-miner docs pipelines`"),
    ({"rule": 5}, "rule: expected a table", ""),
    ({"rule": {"name": 5}}, "rule: its name is 5", ""),
    ({"clean": {"profile": "strct"}}, "clean: There is no profile 'strct'", "'strict'"),
    ({"clean": {"bots": ["p.toml"]}}, "bots has the line 'p.toml', which is a file", 'bots = "p.toml"'),
    ({"clean": {"min_words": "x"}}, "clean: Cleaning's min_words is 'x'", "`shp-miner docs cleaning`"),
    ({"rule": {"name": "shpp"}}, "rule: There is no rule 'shpp'", "'shp'"),
    ({"rule": {"min_ratio": "x"}}, "min_ratio", "`shp-miner docs rules`"),
    ({"rule": {"min_score_age": "1 fortnight"}}, "'1 fortnight' is not a duration", ""),
    ({"source": {"kind": "reddit"}}, "source: expected a list, got a table", "[[source]] with two brackets"),
    ({"source": [{"kind": "redit", "communities": ["a"]}]}, "source.1.kind: invalid enum value 'redit'", "'reddit'"),
    ({"source": [{"kind": "reddit", "communities": []}]}, "source.1.communities: expected a list of length >= 1", ""),
    ({"source": [{"kind": "reddit"}]}, "source.1: object missing required field `communities`", ""),
    ({"source": [{"kind": "lemmy", "communities": ["a"]}]}, "source.1 has no site", "lemmy has many sites"),
    ({"import": [{"kind": "reddit", "paths": ["a"]}]}, "import.1.kind: invalid enum value 'reddit'", "'reddit-dump'"),
    ({"import": [FILES | {"communities": ["b"]}]}, "import.1.communities is not for threads", "reddit-dump"),
    ({"import": [FILES | {"kind": "reddit-dump", "site": "b"}]}, "import.1.site is not for reddit-dump", "threads"),
    ({"recheck": {"at": ["1d", "soon"]}}, "recheck.at.2: 'soon' is not a duration", ""),
    ({"recheck": {"at": ["1d", -5]}}, "recheck.at.2: -5 is not a duration", ""),
    ({"recheck": {"limit": 0}}, "recheck.limit: expected a whole number >= 1", ""),
    ({"recheck": {"enabled": "yes"}}, "recheck.enabled: expected true or false, got a string", ""),
    ({"limits": {"min_free": "5XB"}}, "limits.min_free: '5XB' is not a size", ""),
    ({"limits": {"max_seconds": True}}, "limits.max_seconds: true is not a duration", ""),
    ({"limits": {"max_requests": 1.5}}, "limits.max_requests: expected a whole number, got a number", ""),
    ({"log": {"format": "jsn"}}, "log.format: invalid enum value 'jsn'", "'json'"),
    ({"export": [{"out": "a", "formats": ["trll"]}]}, "export.1.formats.1: invalid enum value 'trll'", "'trl'"),
    ({"export": [{"out": "a", "validation": 0.6, "test": 0.4}]}, "export.1: validation and test leave nothing", ""),
    ({"export": [{"out": "a"}, {"out": "b/../a"}]}, "two exports write to 'a'", "its own folder"),
    ({"export": [{"out": "a", "decontaminate_preset": "strict"}]}, "no evaluation set", "decontaminate = [FILE]"),
    ({"credentials": {"reddit_client_id": "abc"}}, "credentials.reddit_client_id: a literal secret is not allowed", ""),
    ({"store": "${HOME}/x"}, "store contains a variable", "[credentials] only"),
    ({"export": [{"out": "${HOME}/x"}]}, "export.out contains a variable", "[credentials] only"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "message", "hint"), [*NO_KEYS, *WRONG], ids=lambda value: str(value)[:40])
def test_a_mistake_is_named_with_what_to_do(
    data: dict[str, Any], message: str, hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "p.toml", data)
    with pytest.raises(BadInput) as caught:
        config.read(path)
    assert f"{path}: " in caught.value.message
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.hint
    assert "$." not in caught.value.message or "rule" in caught.value.message
    assert cli.run(["run", str(path)]) == 5
    assert cli.run(["run", str(path), "--dry-run"]) == 5
    assert not (tmp_path / "data").exists(), "nothing was done"
    assert "Traceback" not in capsys.readouterr().err


def test_a_secret_that_is_written_out_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "p.toml", {"credentials": {"reddit_client_secret": "hunter2-hunter2"}})
    assert cli.run(["run", str(path)]) == 5
    assert "hunter2" not in capsys.readouterr().err


def test_files_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(code: int) -> str:
        assert cli.run(["run", str(tmp_path / "p.toml")]) == code
        return capsys.readouterr().err

    assert "write the file with `shp-miner init`" in said(2)
    (tmp_path / "p.toml").write_text("[source")
    assert "is not valid TOML" in said(5)
    (tmp_path / "p.toml").write_bytes(b"store = '\xff'")
    assert "is not valid UTF-8: invalid start byte at byte 9. Save the file" in said(5)
    (tmp_path / "p.toml").unlink()
    (tmp_path / "p.toml").mkdir()
    assert "is a folder, not a pipeline file. Name the pipeline file" in said(5)
    (tmp_path / "p.toml").rmdir()
    (tmp_path / "p.toml").symlink_to("p.toml")
    assert "cannot be read: Too many levels of symbolic links. Correct" in said(5)


def test_an_empty_file_is_a_pipeline_that_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "p.toml").touch()
    ran = running.run(config.read(tmp_path / "p.toml"), "p.toml")
    assert (ran.exit_code, ran.steps) == (0, [])


def test_relative_paths_start_at_the_files_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somebody")
    data = {
        "forget": {"file": "forget.txt"}, "log": {"metrics": "../m.prom"}, "import": [FILES | {"paths": ["*.zst"]}],
        "export": [{"out": "~/sets"}, {"out": "/srv/sets"}],
    }  # fmt: skip
    whole = config.read(written(tmp_path / "deep" / "p.toml", data))
    assert whole.store == str(tmp_path / "deep" / "data" / "store")
    assert whole.forget.file == str(tmp_path / "deep" / "forget.txt")
    assert whole.log.metrics == str(tmp_path / "m.prom")
    assert whole.imports[0].paths == [str(tmp_path / "deep" / "*.zst")]
    assert [export.out for export in whole.exports] == ["/somebody/sets", "/srv/sets"]


def test_lengths_and_sizes_as_people_write_them() -> None:
    lengths = {"90s": 90, "1.5h": 5400, "2 w": 1_209_600, "0": 0, 0: 0, "0.0": 0}
    assert {text: Duration.parse(text) for text in lengths} == lengths
    assert [Seconds.parse(text) for text in ("90", 3, 1.5, "2m")] == [90, 3, 1.5, 120]
    sizes = {"5B": 5, "1kB": 1000, "1.5MB": 1_500_000, "2GiB": 2 << 30, "2G": 2 * 10**9, "0": 0, 0: 0}
    assert {text: Size.parse(text) for text in sizes} == sizes
    # What was read once is not read again.
    assert (Duration.parse(Duration(7)), Size.parse(Size(7))) == (7, 7)


@pytest.mark.parametrize("kind", [Duration, Size])
@pytest.mark.parametrize("text", ["7", "1.5", 7, 1.5, " 24 "])
def test_a_number_alone_is_no_length_and_no_size(kind: type[Duration | Size], text: str | float) -> None:
    with pytest.raises(ValueError, match=r"has no unit: write \d"):
        kind.parse(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "-1d", "1y", "1h30m", "inf", "nan", "1e3s", True, None, float("inf"), [1], "9" * 400 + "w"]
)
def test_what_is_no_length_is_refused_in_a_sentence(text: Any) -> None:
    for kind in (Duration, Seconds, Size):
        with pytest.raises(ValueError, match=r": write \d"):
            kind.parse(text)


#: Every key that takes a length or a size, but for those whose name says the unit.
UNITLESS = [key for key in reference() if key.type in ("duration", "list of durations", "size")]


@pytest.mark.parametrize("key", UNITLESS, ids=lambda key: f"{key.table}.{key.name}")
def test_a_key_takes_a_number_alone_only_if_its_name_says_the_unit(key: Key, tmp_path: Path) -> None:
    for number in ("7", '"7"', "7.5"):
        value = f"[{number}]" if key.type.startswith("list") else number
        (tmp_path / "p.toml").write_text(_whole(key.table, key.name, value))
        if key.name.endswith("_seconds"):
            config.read(tmp_path / "p.toml")
            continue
        with pytest.raises(BadInput, match="has no unit: write 7"):
            config.read(tmp_path / "p.toml")


@pytest.mark.parametrize(
    "command",
    [
        "vacuum --keep 7",
        "export out --min-score-age 24",
        "export out --memory 2",
        "import reddit-dump . --memory 2",
        "status --stale 2",
        "status --min-free 5",
        "recheck --older-than 90",
        "schedule p.toml --every 6",
        "forum --serve --day-length 60",
        "vacuum --keep 99999999w",
        "status --min-free 99999999TB",
    ],
)
def test_an_option_takes_no_number_without_a_unit(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(command.split()) == 2
    assert ": write " in capsys.readouterr().err


def test_vacuum_without_a_unit_keeps_every_version(tmp_path: Path) -> None:
    write_month(tmp_path / "dump", thread())
    store = ["--store", str(tmp_path / "s"), "--quiet"]
    for _ in range(2):
        assert cli.run(["import", "reddit-dump", str(tmp_path / "dump"), *store]) == 0
    before = sorted(path for path in (tmp_path / "s").rglob("*.parquet"))
    assert cli.run(["vacuum", "--keep", "7", *store]) == 2
    assert sorted(path for path in (tmp_path / "s").rglob("*.parquet")) == before


def test_every_example_and_default_of_the_reference_is_taken(tmp_path: Path) -> None:
    for key in reference():
        for text in {key.default, key.example} - {"", "required"}:
            try:
                (tmp_path / "p.toml").write_text(_whole(key.table, key.name, text))
                config.read(tmp_path / "p.toml")
            except Error as error:
                pytest.fail(f"{key}: {error.message}")


def _whole(table: str, name: str, text: str) -> str:
    needed = {
        "[[source]]": {"kind": '"lemmy"', "communities": '["a"]', "site": '"b"'},
        "[[import]]": {"kind": '"reddit-dump"', "paths": '["a"]'},
        "[[export]]": {"out": '"a"'},
    }
    keys = needed.get(table, {}) | {name: text}
    if table == "[[import]]" and name in ("site", "vote_history"):
        keys["kind"] = '"stackexchange-dump"'
    if table == "[[import]]" and name == "map":
        keys["kind"] = '"table"'
    if table == "[[import]]" and name == "utc":
        keys["kind"] = '"threads"'
    if name in ("decontaminate_columns", "decontaminate_preset"):
        keys["decontaminate"] = '["a.csv"]'
    return "\n".join([table, *(f"{key} = {value}" for key, value in keys.items())])


def test_the_words_of_the_command_are_those_of_the_room() -> None:
    assert run_.STEPS == running.STEPS
    assert len({(key.table, key.name) for key in reference()}) == len(reference())
