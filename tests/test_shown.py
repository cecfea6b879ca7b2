"""Results as people see them in Python: `repr`, and tables in notebooks."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

import shp_miner
from shp_miner.crawling.result import Crawled
from shp_miner.dumps.importing import Imported
from shp_miner.forgetting.exports import ExportDone
from shp_miner.forgetting.forget import Forgot, TableDone
from shp_miner.forum import World, simulate, write_threads
from shp_miner.pipeline.ran import Ran, StepDone
from shp_miner.rules.presets import Rule, preset
from shp_miner.shown import ROWS_SHOWN, table
from shp_miner.store import frames
from shp_miner.tally import Damage, Tally

from .conftest import NOW

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def store(tmp_path: Path) -> shp_miner.Store:
    write_threads(simulate(World(threads=8), 0), tmp_path / "threads.jsonl")
    shp_miner.import_dump("threads", tmp_path / "threads.jsonl", tmp_path / "store", now=NOW)
    return shp_miner.Store("store")


def cells(html: str) -> list[str]:
    """The text of every cell, after checking that the table is well formed."""
    found: list[str] = []
    opened: list[str] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert opened.pop() == tag

        def handle_data(self, data: str) -> None:
            if opened[-1] in ("td", "th", "caption"):
                found.append(data)

    Parser().feed(html)
    assert opened == []
    return found


def test_a_store_says_its_version_and_how_many_items_it_has(store: shp_miner.Store) -> None:
    assert repr(store) == "Store('store', version 1.1: 8 posts, 25 answers)"
    shp_miner.import_dump("threads", "threads.jsonl", store, now=NOW)
    assert repr(store) == "Store('store', version 2.2: 8 posts, 25 answers)", "a second reading is no second item"
    assert cells(store._repr_html_())[:3] == [repr(store), "table", "observations"]


def test_a_large_store_counts_observations_which_its_log_has(
    store: shp_miner.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "_COUNTED_ROWS", 10)
    monkeypatch.setattr(shp_miner.store.Snapshot, "scan", None)
    assert repr(store) == "Store('store', version 1.1: 8 observations of posts, 25 observations of answers)"


def test_a_store_that_is_not_there_or_is_damaged_says_so_and_raises_nothing(store: shp_miner.Store) -> None:
    nothing = shp_miner.Store("nothing")
    assert repr(nothing) == "Store('nothing', not there yet: the first import or crawl makes it)"
    assert cells(nothing._repr_html_()) == [repr(nothing)]
    assert not Path("nothing").exists()
    for log in Path("store/posts/_delta_log").iterdir():
        log.write_text("{")
    assert repr(store).startswith("Store('store', cannot be read: ")
    assert repr(store).endswith("; run `shp-miner doctor`)")
    assert cells(store._repr_html_()) == [repr(store)]


def test_a_rule_shows_the_call_that_makes_it() -> None:
    changed = preset("shp", min_ratio=3, since="2023-01-01", min_score_age_s="36h", observe_at_s=90.5)
    assert repr(changed) == (
        "preset('shp', since='2023-01-01', min_score_age_s='36h', observe_at_s='90.5s', min_ratio=3.0)"
    )
    rules = [*shp_miner.PRESETS.values(), changed, preset("shp-strict", max_pairs_per_post=None, max_apart_s=60)]
    rules.append(preset("calibrated", until="2023-01-01T12:00:00+02:00", keep_edited_posts=True, seed=3))
    for rule in rules:
        assert eval(repr(rule), {"preset": preset}) == rule
    assert repr(shp_miner.PRESETS["votes"]) == "preset('votes')"
    assert repr(Rule(name="mine", max_apart_s=60.0)) == "Rule(name='mine', max_apart_s=60.0)"
    assert cells(changed._repr_html_())[-2:] == ["min_ratio", "3.0"]
    assert cells(preset("votes")._repr_html_()) == [
        "votes: the higher score wins, whatever the age; confounded by attention"
    ]


def test_an_import_says_what_was_read_and_what_could_not_be_used() -> None:
    tally = Tally()
    tally.keep("post", 1)
    tally.keep("answer", 4718)
    assert repr(Imported(tally, "1.1")) == "Imported(store version 1.1: 1 post, 4,718 answers)"
    tally.lose("answer", "bad_score", Damage("file", 3, HOSTILE))
    tally.damages.append(Damage("file", 3, "cut off"))
    told = repr(Imported(tally, "1.1", "None of c."))
    assert told.endswith("4,718 answers, 1 record could not be used, 1 place damaged, some communities missing)")
    assert "bad_score" in cells(Imported(tally, "1.1")._repr_html_())
    assert repr(Imported(Tally(), "0.0")) == "Imported(store version 0.0: nothing read)"


def test_a_crawl_says_what_was_read_and_why_it_stopped() -> None:
    crawled = Crawled("discourse", "forum.example", "latest", read=3, new=2, answers=15)
    assert repr(crawled) == "Crawled('latest' of forum.example by discourse: 3 threads read (2 new), 15 answers)"
    stopped = msgspec.structs.replace(crawled, gone=1, stopped="Interrupted.")
    assert repr(stopped).endswith("15 answers, 1 gone, stopped: Interrupted.)")
    assert cells(stopped._repr_html_())[1:5] == ["what", "count", "listed", "0"]


def test_an_export_says_its_pairs_and_formats(store: shp_miner.Store) -> None:
    exported = shp_miner.export_dataset(store, "out", rule="votes", format=["trl", "pairs"])
    pairs, posts = sum(exported.pairs.values()), sum(exported.posts.values())
    counts = f"{pairs} pairs of {posts} posts, {len(exported.pairs)} communities"
    assert repr(exported) == f"Exported('out', store version 1.1: {counts}, as trl, pairs)"
    assert cells(exported._repr_html_())[1:4] == ["community", "posts", "pairs"]


def test_forgetting_says_what_it_reached() -> None:
    tables = {"posts": TableDone(1, 1, 1), "answers": TableDone(2, 3, 1)}
    done = Forgot(False, "3.4", tables, [ExportDone("out", "rewritten")])
    assert repr(done) == "Forgot(store version 3.4: 3 items in 4 rows, 1 export)"
    other = msgspec.structs.replace(done, dry_run=True, unknown=2, finished=False)
    assert repr(other) == (
        "Forgot(dry run, store version 3.4: 3 items in 4 rows, 1 export, 2 requests matched nothing, not finished)"
    )
    assert cells(done._repr_html_())[-2:] == ["out", "rewritten"]


def test_a_run_says_its_counts_and_shows_its_steps() -> None:
    ran = Ran("p.toml", seconds=12.3, new=3, pairs=1234, steps=[StepDone("crawl", HOSTILE, "3 threads")])
    assert repr(ran) == "Ran('p.toml', exit code 0: 1 step, 3 new, 0 changed, 0 deleted, 1,234 pairs, 12 s)"
    assert HOSTILE not in ran._repr_html_()
    assert HOSTILE in cells(ran._repr_html_())


def test_a_status_says_whether_something_is_wrong(store: shp_miner.Store) -> None:
    well = shp_miner.status(store)
    counts = "8 observations of posts, 25 observations of answers"
    assert repr(well) == f"Status('store': nothing wrong, no runs, {counts})"
    ill = shp_miner.status(store, free_bytes=lambda _: 5)
    assert repr(ill) == f"Status('store': 1 problem (disk), no runs, {counts})"
    assert "free some space" in cells(ill._repr_html_())[-1]


def test_a_table_escapes_values_and_has_an_end() -> None:
    html = table(HOSTILE, [HOSTILE], [[HOSTILE], *[[number] for number in range(1000, 1100)]])
    assert "<script" not in html
    assert cells(html)[-2:] == ["1,018", f"{101 - ROWS_SHOWN} more"]


def test_names_that_need_no_tables_are_read_without_arrow() -> None:
    program = "import sys, shp_miner; print(shp_miner.preset('shp', min_ratio=2), 'pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "preset('shp', min_ratio=2.0) False\n"
