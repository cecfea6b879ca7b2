"""The whole way on real forum data, against counts that an independent implementation found."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from shp_miner import PRESETS, export_dataset, import_dump, load
from shp_miner.rules.presets import BY_VOTES
from shp_miner.store import HashRange, Store, Within

from . import calibrated_reference, reference
from .build import tree

WHOLE = HashRange(-(1 << 63), 1 << 63)
EXPECTED = {"askacademia": (29_540, 947), "gradschool": (22_195, 666)}


@pytest.fixture(scope="module")
def both(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with AskAcademia and GradSchool."""
    store = tmp_path_factory.mktemp("both") / "store"
    folder = shared_data / "reddit-dumps"
    imported = import_dump(
        "reddit-dump",
        [folder / f"{kind}_{name}.zst" for kind in ("RS", "RC") for name in ("AskAcademia", "GradSchool")],
        store,
    )
    assert imported.tally.complete
    return store


def pair_keys(out: Path) -> set[tuple[str, str, str, str]]:
    rows = load(out).to_polars()
    winner = pl.when(pl.col("preferred") == 1).then("answer1_id").otherwise("answer2_id")
    loser = pl.when(pl.col("preferred") == 1).then("answer2_id").otherwise("answer1_id")
    return set(rows.select(pl.lit("reddit.com"), "post_id", winner.alias("w"), loser.alias("l")).iter_rows())


@pytest.mark.parametrize("name", ["AskAcademia", "GradSchool"])
def test_shp_gives_the_known_counts_for_one_community(name: str, shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "reddit-dumps"
    import_dump("reddit-dump", [folder / f"RC_{name}.zst", folder / f"RS_{name}.zst"], tmp_path / "store")
    result = export_dataset(tmp_path / "store", tmp_path / "out")
    pairs, posts = EXPECTED[name.lower()]
    assert result.pairs == {name.lower(): pairs}
    assert result.posts == {name.lower(): posts}
    assert load(tmp_path / "out").num_rows == pairs


def test_both_communities_in_one_store(both: Path, tmp_path: Path) -> None:
    result = export_dataset(both, tmp_path / "out")
    assert result.pairs == {name: pairs for name, (pairs, _) in EXPECTED.items()}
    assert result.posts == {name: posts for name, (_, posts) in EXPECTED.items()}
    alone = export_dataset(both, tmp_path / "alone", communities=["AskAcademia"])
    assert alone.pairs == {"askacademia": EXPECTED["askacademia"][0]}


BY_COMMUNITY = pytest.mark.parametrize("name", ["gradschool", pytest.param("askacademia", marks=pytest.mark.slow)])


def read_whole(store: Path, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the posts and answers of one community, as the slow references take them."""
    snapshot, within = Store(store).snapshot(), Within(communities=(name,))
    posts, answers = snapshot.posts(WHOLE, within)[0], snapshot.answers(WHOLE, within)[0]
    return posts.to_pandas(), answers.to_pandas()


@BY_COMMUNITY
def test_every_pair_is_the_slow_reference_s(name: str, both: Path, tmp_path: Path) -> None:
    """Every pair of the presets without sampling; with it, a subset of at most five a post."""
    posts, answers = read_whole(both, name)
    expected = reference.pairs(posts, answers, *(name for name in BY_VOTES if name != "calibrated"))
    expected["calibrated"] = calibrated_reference.pairs(posts, answers)
    for rule in BY_VOTES:
        preset = PRESETS[rule]
        export_dataset(both, tmp_path / rule, rule=rule, communities=[name])
        found = pair_keys(tmp_path / rule)
        if preset.max_pairs_per_post is None:
            assert found == expected[rule].pairs
        else:
            assert found <= expected[rule].pairs
            assert len({post for _, post, _, _ in found}) == expected[rule].posts
            assert (
                load(tmp_path / rule).to_polars()["post_id"].value_counts()["count"].max() <= preset.max_pairs_per_post
            )


@BY_COMMUNITY
def test_every_confidence_is_that_of_the_formulas(name: str, both: Path, tmp_path: Path) -> None:
    expected = calibrated_reference.confidences(*read_whole(both, name))
    export_dataset(both, tmp_path / "votes", rule="votes", communities=[name])
    rows = load(tmp_path / "votes").to_polars().select("post_id", "answer1_id", "answer2_id", "preferred", "confidence")
    assert rows.height > 50_000
    for post, first, second, preferred, confidence in rows.iter_rows():
        winner, loser = (first, second) if preferred == 1 else (second, first)
        # Exports cut a confidence to three decimals.
        assert -1e-6 < expected["reddit.com", post, winner, loser] - confidence < 0.001 + 1e-6


def test_files_in_another_order_and_in_pieces_give_the_same_bytes(
    both: Path, shared_data: Path, tmp_path: Path
) -> None:
    from shp_miner.dumps.compressed import zstd
    from shp_miner.dumps.whole_lines import decompressed_lines
    from shp_miner.tally import Tally

    pieces = []
    for file in sorted((shared_data / "reddit-dumps").glob("R*.zst")):
        all_lines = [line for _, line in decompressed_lines(file, Tally())]
        for number in range(3):
            piece = tmp_path / f"{file.stem}-{number}.zst"
            piece.write_bytes(zstd.compress(b"\n".join(all_lines[number::3]) + b"\n", level=1))
            pieces.append(piece)
    for piece in (*pieces[::-2], *pieces[::-1]):
        import_dump("reddit-dump", [piece], tmp_path / "store")
    export_dataset(both, tmp_path / "one", formats=["pairs", "shp"])
    export_dataset(tmp_path / "store", tmp_path / "two", formats=["pairs", "shp"])
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_the_original_files_of_2005_to_2019_import(shared_data: Path, tmp_path: Path, now: datetime) -> None:
    imported = import_dump("reddit-dump", [shared_data / "reddit-dumps" / "original"], tmp_path / "store", now=now)
    assert imported.tally.complete
    assert imported.tally.read == {"answer": 3050, "post": 21_321}
    assert imported.tally.dropped == {("answer", "not_direct_reply"): 1691}


@pytest.mark.parametrize(
    ("path", "site", "pairs", "posts"),
    [
        ("beer.stackexchange.com.7z", "beer.stackexchange.com", 380, 175),
        ("conlang.meta", "conlang.meta.stackexchange.com", 14, 9),
    ],
)
def test_stack_exchange_gives_the_known_counts(
    path: str, site: str, pairs: int, posts: int, shared_data: Path, tmp_path: Path
) -> None:
    imported = import_dump("stackexchange-dump", [shared_data / "stackexchange" / path], tmp_path / "store")
    assert imported.tally.complete
    result = export_dataset(tmp_path / "store", tmp_path / "out")
    assert (result.pairs, result.posts) == ({site: pairs}, {site: posts})
    rows = load(tmp_path / "out").to_polars()
    assert rows["license"].is_not_null().all()
    assert rows["url"].str.starts_with(f"https://{site}/questions/").all()
    assert rows["author1"].str.contains(f"<https://{site}/users/").all()
