"""The card: the Hub's keys with allowed values, the same bytes of the same rows, and text that renders as it is."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from datasets import load_dataset
from huggingface_hub import DatasetCard
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from shp_miner import FORMATS, PRESETS, Store, export_dataset, import_dump
from shp_miner.export import dataset, tasks
from shp_miner.export.card import BEGIN, END, card_text
from shp_miner.export.described import describe_column
from shp_miner.export.facts import Facts
from shp_miner.export.front import HUB_LICENSES, licensing
from shp_miner.export.markdown import bar, code, percent, plain, quoted, table
from shp_miner.export.snippets import SNIPPETS
from shp_miner.rules.figures import LONGER, RIGHT, TRAINED

from .build import answer_row, chunk, post_row, thread, tree, write_month
from .conftest import ROOT

MARKDOWN = MarkdownIt("commonmark").enable("table")

#: What the Hub's documentation of the keys allows; only what an export can write.
TASKS = {"text-ranking", "text-generation", "question-answering", "reinforcement-learning", "text-classification"}
CREATORS = {"crowdsourced", "found", "expert-generated", "machine-generated", "no-annotation", "other"}
SIZES = {
    "n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B", "10B<n<100B",
}  # fmt: skip
LICENSES = {
    "cc0-1.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "other", "unknown",
}  # fmt: skip

LONG = "word " * 30
NASTY = (
    "a|b `c` <b>*d*</b>\n![x](http://e.example/p.png)\n<!-- shp-miner:end -->\n# e\n1. f\n> g\n\n    h www.i.example"
)


def store_of(folder: Path, **changes: Any) -> Path:
    """A store with four threads of three answers each."""
    records = [record for number in range(4) for record in thread(f"p{number}", (3, 9, 5), **changes)]
    for record in records:
        if "body" in record:
            record["body"] = f"{LONG} {record['id']} " + "and more " * record["score"]
    import_dump("reddit-dump", write_month(folder / "dump", records), folder / "store")
    return folder / "store"


def card_of(out: Path) -> str:
    return (out / "README.md").read_text(encoding="utf-8")


def front_of(card: str) -> dict[str, Any]:
    front = yaml.safe_load(card.split("---\n")[1])
    assert isinstance(front, dict)
    return front


def rendered(markdown: str) -> str:
    """The text that a reader sees in one paragraph, without the character that keeps addresses from being links."""
    return "".join(_text(token) for token in MARKDOWN.parse(markdown)).replace("\u200b", "")


def _text(token: Token) -> str:
    if token.type in ("text", "code_inline"):
        return token.content
    if token.type in ("softbreak", "hardbreak"):
        return "\n"
    return "".join(_text(child) for child in token.children or ())


def kinds(markdown: str) -> set[str]:
    """The kinds of everything in a piece of Markdown."""
    tokens = MARKDOWN.parse(markdown)
    return {token.type for block in tokens for token in (block, *(block.children or ()))}


def check_front(front: dict[str, Any]) -> None:
    """Hold front matter against the Hub's lists."""
    assert front["pretty_name"]
    assert set(front["task_categories"]) <= TASKS
    assert set(front["annotations_creators"]) <= CREATORS
    assert set(front["language_creators"]) <= CREATORS
    assert front["source_datasets"] == ["original"]
    assert set(front["size_categories"]) <= SIZES
    names = front["license"] if isinstance(front["license"], list) else [front["license"]]
    assert set(names) <= LICENSES
    assert (names == ["other"]) == ("license_name" in front) == ("license_link" in front)
    if names == ["other"]:
        assert re.fullmatch(r"[a-z0-9.-]+", front["license_name"])
        assert front["license_link"].startswith("https://")
    assert all(re.fullmatch("[a-z]{2,3}", code) for code in front.get("language", ["en"]))


# -- the Hub's keys ---------------------------------------------------------------------------------------------------


def test_the_front_matter_of_every_format_is_what_the_hub_takes(tmp_path: Path) -> None:
    export_dataset(store_of(tmp_path), tmp_path / "out", formats=list(FORMATS))
    for folder in (tmp_path / "out", *(tmp_path / "out" / name for name in FORMATS)):
        card = DatasetCard.load(folder / "README.md")
        assert card.data.to_dict()["license_name"] == "reddit-user-agreement"
        assert card.text.strip().startswith(BEGIN)
        check_front(front_of(card_of(folder)))
        assert set(load_dataset(str(folder), split="train", streaming=True).take(1).column_names or ())
    assert (
        front_of(card_of(tmp_path / "out"))["pretty_name"] == f"Forum preferences: asktest (shp, {', '.join(FORMATS)})"
    )


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"licenses": ["CC BY-SA 4.0"], "unlicensed": 0}, (["cc-by-sa-4.0"], "")),
        ({"licenses": ["CC BY-SA 3.0", "CC BY-SA 4.0"], "unlicensed": 0}, (["cc-by-sa-3.0", "cc-by-sa-4.0"], "")),
        (
            {"licenses": ["CC BY-SA 2.5"], "unlicensed": 0, "platforms": ["stackexchange"]},
            (["other"], "https://stackoverflow.com/help/licensing"),
        ),
        (
            {"licenses": ["CC BY 4.0"], "unlicensed": 1, "platforms": ["discourse"], "sites": {"f.example/talk": {}}},
            (["other"], "https://f.example/talk"),
        ),
        ({"platforms": ["reddit", "discourse"], "sites": {"a.example": {}, "reddit.com": {}}}, (["unknown"], "")),
        ({"platforms": ["threads"], "sites": {"not a host": {}}}, (["unknown"], "")),
        ({}, (["unknown"], "")),
    ],
)
def test_the_licence_is_one_of_the_hub_or_has_a_name_and_a_link(facts: dict[str, Any], expected: Any) -> None:
    found = licensing(facts)
    assert (list(found.names), found.link) == expected
    assert bool(found.link) == bool(found.other_name) == (found.names == ("other",))
    assert set(found.names) <= LICENSES
    assert set(HUB_LICENSES.values()) <= LICENSES


# -- the text ---------------------------------------------------------------------------------------------------------


def test_every_table_of_a_card_is_well_formed_and_nothing_of_a_text_is_markup(tmp_path: Path) -> None:
    posts = [post_row(post_id="p1", community=NASTY, title="t " + NASTY)]
    answers = [
        answer_row(f"a{n}", community=NASTY, score=3 + n, body=NASTY + str(n), body_format="markdown") for n in (1, 2)
    ]
    Store(tmp_path / "s").append(chunk(posts, answers))
    export_dataset(tmp_path / "s", tmp_path / "o")
    card = card_of(tmp_path / "o")
    body = card.split("---\n", 2)[2]
    assert body.strip().splitlines()[0] == BEGIN
    assert body.strip().splitlines()[-1] == END
    assert (body.count(BEGIN), body.count(END)) == (1, 1)
    tokens = MARKDOWN.parse(body)
    assert not {"html_inline", "image", "link_open"} & kinds(body)
    assert [token.content.strip() for token in tokens if token.type == "html_block"] == [BEGIN, END]
    headings = [tokens[n + 1].content for n, token in enumerate(tokens) if token.type == "heading_open"]
    assert headings == [
        "Preferences mined from forums: rule `shp`, format `pairs`", "At a glance", "A row", "Columns",
        "Length of rows", "Where it comes from", "What a label is worth", "How it was made", "Training",
        "Attribution, terms and removal", "Evaluation sets",
    ]  # fmt: skip
    lines = [line for line in body.splitlines() if line.startswith("|")]
    assert sum(token.type == "tr_open" for token in tokens) == len(lines) - sum(map(_is_rule, lines))
    cells = {_text(token) for n, token in enumerate(tokens) if tokens[n - 1].type == "td_open"}
    assert "".join(c if c.isprintable() else " " for c in NASTY) in {cell.replace("\u200b", "") for cell in cells}
    quotes = body.split("## A row")[1].split("## Columns")[0]
    assert "# e" in rendered(quotes)
    check_front(front_of(card))


def _is_rule(line: str) -> bool:
    return "-" in line and not line.strip("|-: ")


@given(st.text(min_size=1))
def test_a_name_is_shown_as_it_is(name: str) -> None:
    shown = "".join(character if character.isprintable() else " " for character in name)
    cells = [token for token in MARKDOWN.parse(table(("a",), [(plain(name),)])) if token.type == "inline"]
    assert [_text(cell).replace("\u200b", "").strip() for cell in cells[1:]] == [shown.strip()]
    assert not {"html_inline", "html_block", "image", "link_open", "code_inline"} & kinds(quoted(name))


def test_small_parts_of_the_card() -> None:
    assert [bar(share) for share in (0, 0.001, 0.5, 1)] == ["", "█", "█" * 12, "█" * 24]
    assert [percent(*of) for of in ((0, 5), (1, 3), (1, 30), (1, 10_000), (5, 0))] == [
        "0 %",
        "33 %",
        "3.3 %",
        "0.1 %",
        "0 %",
    ]
    assert (code("shp"), code("a|b"), code("a`b")) == ("`shp`", "a\\|b", "a\\`b")
    assert quoted("one two three", longest=9) == "> one two …  "


def test_the_card_says_what_was_counted(tmp_path: Path) -> None:
    export_dataset(store_of(tmp_path), tmp_path / "out", rule="votes", validation=0, test=0)
    manifest, card = json.loads((tmp_path / "out" / "manifest.json").read_text()), card_of(tmp_path / "out")
    rows = pl.read_parquet(tmp_path / "out" / "*" / "*.parquet")
    winner, loser = (pl.when(pl.col("preferred") == number).then("answer1").otherwise("answer2") for number in (1, 2))
    longer = rows.filter(winner.str.len_chars() > loser.str.len_chars()).height
    older = rows.filter(pl.col("seconds_difference") < 0).height
    assert rows.height == 12
    assert manifest["facts"]["longer_wins"] == [longer, 12] == [12, 12]
    assert manifest["facts"]["earlier_wins"] == [older, 12] == [4, 12]
    assert "| the longer answer wins | 100 % of 12 pairs |" in card
    assert "| the earlier answer wins | 33 % of 12 pairs |" in card
    assert manifest["facts"]["sites"] == {
        "reddit.com": {"threads": 4, "first_answer": "2020-09-13", "last_answer": "2020-09-13"}
    }
    words = rows.select(
        pl.col("question").str.split(" ").list.len()
        + pl.max_horizontal(pl.col("answer1", "answer2").str.extract_all(r"\S+").list.len())
    ).to_series()
    assert manifest["facts"]["rows_by_words"] == {
        "64": (words <= 64).sum(), "128": (words > 64).sum(), "256": 0, "512": 0, "1024": 0, "2048": 0, "more": 0,
    }  # fmt: skip
    assert "confounded by attention" in card
    quote = card.split("## A row")[1].split("## Columns")[0]
    assert "(preferred)" in quote
    assert "/r/AskTest/comments/" in quote


@pytest.mark.parametrize("form", list(FORMATS))
def test_the_facts_do_not_depend_on_how_rows_are_grouped(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(tmp_path)
    monkeypatch.setattr(dataset, "LANGUAGE_SAMPLE", 6)
    export_dataset(store, tmp_path / "whole", format=form)
    each = tasks.facts_of

    def apart(form: Any, threads: Any, table: Any, post_row: pl.Series, sampled: float) -> Facts:
        """The facts of each thread by itself, in turned order."""
        facts = Facts()
        for post in reversed(range(threads.posts.height)):
            answers = threads.answers.with_row_index("at").filter(pl.col("post_row") == post)
            start = answers["at"].min() or 0
            pairs = threads.pairs.filter(pl.col("winner").is_in(answers["at"].implode())).with_columns(
                pl.col("winner", "loser") - start
            )
            alone = replace(
                threads,
                posts=threads.posts[post : post + 1],
                answers=answers.drop("at").with_columns(post_row=pl.lit(0, answers["post_row"].dtype)),
                pairs=pairs,
            )
            mask = post_row == post
            facts.add(each(form, alone, table.filter(mask.to_arrow()), post_row.filter(mask) * 0, sampled))
        return facts

    monkeypatch.setattr(tasks, "facts_of", apart)
    export_dataset(store, tmp_path / "apart", format=form)
    assert tree(tmp_path / "apart") == tree(tmp_path / "whole")


def test_the_card_follows_from_the_manifest_and_has_no_path_and_no_clock(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    for name in ("one", "other"):
        export_dataset(store, tmp_path / name)
    assert card_of(tmp_path / "one") == card_of(tmp_path / "other")
    assert str(tmp_path) not in card_of(tmp_path / "one")
    manifest = json.loads((tmp_path / "one" / "manifest.json").read_text())
    without = re.sub(r"## A row\n.*?\n\n(?=## Columns)", "", card_of(tmp_path / "one"), flags=re.DOTALL)
    assert card_text(manifest) == without


def test_a_card_of_an_earlier_manifest_has_no_facts(tmp_path: Path) -> None:
    export_dataset(store_of(tmp_path), tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    del manifest["facts"]
    card = card_text(manifest)
    check_front(front_of(card))
    assert "| rows | 8 " in card


# -- tables that stand once -------------------------------------------------------------------------------------------


def test_every_column_has_a_meaning() -> None:
    for form in FORMATS.values():
        for column in form.schema.names:
            assert describe_column(form.name, column), f"{form.name}: {column}"


def test_the_figures_of_rules_are_those_of_the_page() -> None:
    page = (ROOT / "docs" / "rules.md").read_text()
    assert set(RIGHT) == set(PRESETS)
    for name, (low, high) in RIGHT.items():
        assert f"| `{name}` | {low:.3f} to {high:.3f} |" in page
    for name, (one, other) in TRAINED.items():
        assert f"| `{name}` | {one:.3f} | {other:.3f} |" in page
    assert "| (the longer answer) | {:.3f} | {:.3f} |".format(*LONGER) in page


@pytest.mark.parametrize("form", list(SNIPPETS))
def test_snippets_are_code(form: str) -> None:
    for snippet in SNIPPETS[form]:
        assert "PATH" in snippet.lines
        if snippet.language == "python":
            ast.parse(snippet.lines)
        if snippet.language == "yaml":
            assert yaml.safe_load(snippet.lines)
        if snippet.language == "json":
            assert set(json.loads(snippet.lines)["preferences"]["columns"].values()) <= set(FORMATS[form].schema.names)


@pytest.mark.parametrize("form", ["pairs", "shp"])
def test_the_snippet_for_pairs_gives_prompt_chosen_and_rejected(form: str, tmp_path: Path) -> None:
    export_dataset(store_of(tmp_path), tmp_path / "out", format=form, validation=0, test=0)
    export_dataset(store_of(tmp_path), tmp_path / "text", format="trl-text", validation=0, test=0)
    (snippet,) = SNIPPETS[form]
    names: dict[str, Any] = {}
    exec(snippet.lines.replace("PATH", str(tmp_path / "out")), names)
    expected = load_dataset(str(tmp_path / "text"), split="train").to_polars()
    found = names["train"].to_polars()
    assert found.columns == expected.columns
    if form == "pairs":
        assert found.sort(pl.all()).equals(expected.sort(pl.all()))
    assert found.height == expected.height
