"""The public functions, called as a program calls them: nothing but what they are about has to be named."""

from __future__ import annotations

from pathlib import Path

import shp_miner
from shp_miner.forum.serve.server import Forum
from shp_miner.sources.clocks import default_path

from .web import grown


def test_a_forum_is_crawled_exported_and_looked_at_in_five_calls(tmp_path: Path) -> None:
    store, out = tmp_path / "store", tmp_path / "out"
    with Forum(grown(3), ["discourse"]) as forum:
        (done,) = shp_miner.crawl(
            "discourse",
            ["workbench"],
            store,
            site="forum.example",
            url=forum.url("discourse"),
            allow_private=True,
            limit=3,
        )
        assert (done.read, done.complete) == (3, True)
        assert default_path().exists(), "requests keep the pace that all runs of this machine share"
        assert shp_miner.recheck(store) == []
    exported = shp_miner.export_dataset(store, out, rule="votes")
    assert shp_miner.load(out).num_rows == sum(exported.pairs.values())
    status = shp_miner.status(store)
    assert isinstance(status, shp_miner.Status)
    assert [cursor.community for cursor in status.cursors] == ["workbench"]


def test_a_pipeline_file_is_run_by_its_path(tmp_path: Path) -> None:
    with Forum(grown(3), ["discourse"]) as forum:
        file = tmp_path / "p.toml"
        file.write_text(
            f"""
            store = "store"
            [[source]]
            kind = "discourse"
            communities = ["workbench"]
            site = "forum.example"
            url = "{forum.url("discourse")}"
            allow_private = true
            """
        )
        said: list[str] = []
        ran = shp_miner.run(file, only=["crawl"], say=said.append)
    assert (ran.exit_code, ran.pipeline, ran.new) == (0, "p.toml", 3)
    assert [line for line in said if line.startswith("crawl discourse")]
    assert shp_miner.status(tmp_path / "store").runs[0].outcome == "done"
