"""`report`: the page and its numbers are those of the rows, and the page is safe whatever the rows hold."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from shp_miner import FORMATS, Store, export_dataset, forget, import_dump, load
from shp_miner.cli import run
from shp_miner.export.owned import REPORT, REPORT_NUMBERS
from shp_miner.health.status import status
from shp_miner.report import charts
from shp_miner.report.figure import Part, compared

from .browser import browser, violations
from .build import comment, submission, thread, write_month
from .test_pages import HOSTILE, Seen

#: Rows of both sides of a pair.
BETTER = pl.when(pl.col("preferred") == 1)


def imported(folder: Path, records: list[dict[str, Any]]) -> Path:
    import_dump("reddit-dump", write_month(folder / "dumps", records), folder / "s", now=datetime.now().astimezone())
    return folder / "s"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = []
    for number in range(60):
        place = ("AskTest", "AskMore", "AskTest")[number % 3]
        at = 1_600_000_000 + number * 3 * 86_400
        post = f"p{number}"
        told = {"subreddit": place, "retrieved_on": at + 40 * 86_400}
        records.append(submission(post, created_utc=at, **told))
        for order in range(3 + number % 4):
            score = 2 + (number * 7 + order * order * 5) % 23
            text = f"Answer {order}. " + "word " * ((number * 3 + order * 11) % 70)
            records.append(
                comment(f"{post}c{order}", post, score=score, created_utc=at + 900 * order, body=text, **told)
            )
    return imported(tmp_path_factory.mktemp("report"), records)


@pytest.fixture(scope="module")
def out(store: Path) -> Path:
    """An export with its report; tests only read them."""
    export_dataset(store, store.parent / "out")
    assert run(["report", str(store.parent / "out"), "--quiet"]) == 0
    return store.parent / "out"


def numbers(out: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((out / REPORT_NUMBERS).read_bytes())
    return told


def rows_of(out: Path, name: str) -> list[dict[str, Any]]:
    (figure,) = [figure for figure in numbers(out)["figures"] if figure["name"] == name]
    return [dict(zip(figure["columns"], row, strict=True)) for row in figure["rows"]]


def finding(out: Path, name: str) -> str:
    return " ".join(
        sentence for figure in numbers(out)["figures"] if figure["name"] == name for sentence in figure["finding"]
    )


# -- the numbers ------------------------------------------------------------------------------------------------------


def test_the_numbers_are_those_of_the_rows(out: Path) -> None:
    pairs = load(out).to_polars()
    split = load(out, split="train").num_rows
    assert sum(row["pairs"] for row in rows_of(out, "months")) == pairs.height
    assert {row["split"]: row["rows"] for row in rows_of(out, "splits")}["train"] == split
    ratio = {row["times the votes"]: row["pairs"] for row in rows_of(out, "ratio")}
    assert ratio["2 to 3"] == pairs.filter(pl.col("score_ratio").is_between(2, 3, closed="left")).height
    assert sum(ratio.values()) == pairs.height
    apart = {row["time between"]: row["later answer preferred"] for row in rows_of(out, "apart")}
    seconds = pl.col("seconds_difference")
    assert apart["10 min to 1 h"] == pairs.filter(seconds >= 600, seconds < 3600).height
    sure = {row["confidence"]: row["strict"] + row["extended"] for row in rows_of(out, "confidence")}
    assert sure["0.80 to 0.85"] == pairs.filter(pl.col("confidence").is_between(0.8, 0.85, closed="left")).height
    better, worse = (pairs.select(one.str.len_chars()).to_series() for one in (sides("answer"), sides("answer", 2)))
    length = rows_of(out, "length")
    assert {row["characters"]: row["preferred answers"] for row in length}["100 to 200"] == (
        (better >= 100) & (better < 200)
    ).sum()
    assert {row["characters"]: row["other answers"] for row in length}["100 to 200"] == (
        (worse >= 100) & (worse < 200)
    ).sum()
    wins = [(row["share"] * row["pairs"], row["pairs"]) for row in rows_of(out, "gap")]
    assert round(sum(won for won, _ in wins)) == (better > worse).sum()
    assert sum(of for _, of in wins) == (better != worse).sum()


def sides(column: str, first: int = 1) -> pl.Expr:
    """A column of the preferred answer, or with 2 of the other one."""
    return BETTER.then(f"{column}{first}").otherwise(f"{column}{3 - first}")


def test_the_baselines_are_those_of_the_check(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(out), "--json"]) == 0
    checked = {base["name"]: base for base in json.loads(capsys.readouterr().out)["formats"][0]["baselines"]}
    shown = {row["what"]: row for row in rows_of(out, "baselines")}
    assert shown.keys() == checked.keys()
    for name, base in checked.items():
        assert shown[name]["share"] == pytest.approx(base["share"], abs=1e-6)
        assert (shown[name]["pairs"], shown[name]["threads"]) == (base["pairs"], base["threads"])


def test_the_flow_adds_up_and_ends_with_the_pairs(out: Path) -> None:
    manifest = json.loads((out / "manifest.json").read_bytes())
    rows = rows_of(out, "flow")
    for kind in ("post", "answer", "pair"):
        own = [row for row in rows if row["what"] == kind]
        assert own[0]["left"] - sum(row["left out"] for row in own) == own[-1]["left"]
    assert rows[-1]["left"] == manifest["counts"]["kept"]["pair"]
    assert {row["step"].replace(" ", "_") for row in rows} >= set(manifest["counts"]["dropped"]["pair"])


def test_every_finding_is_a_sentence_with_a_number_that_the_page_shows(out: Path) -> None:
    page = re.sub("</?code>", "`", (out / REPORT).read_text())
    for figure in numbers(out)["figures"]:
        for sentence in figure["finding"]:
            assert sentence.endswith(".")
            assert any(character.isdigit() for character in sentence), sentence
            assert sentence.replace(" %", "&nbsp;%") in page


# -- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_is_one_small_file_that_loads_nothing(out: Path) -> None:
    page = (out / REPORT).read_text()
    assert len(page.encode()) < 2_000_000
    tags = whole(page)
    assert not {"script", "img", "iframe", "link", "object", "embed", "form"} & {tag for tag, _ in tags}
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    assert not [attributes for _, attributes in tags if {"src", "srcset", "style"} & attributes.keys()]
    names = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(names) == len(set(names))
    figures = [tag for tag, _ in tags].count("figure")
    assert figures == [tag for tag, _ in tags].count("svg") == [tag for tag, _ in tags].count("table") == 12


def whole(page: str) -> list[tuple[str, dict[str, str | None]]]:
    """Every tag of a page with its attributes; those of a page may stay open."""
    seen = Seen.__new__(Seen)
    seen.handle_endtag = lambda tag: None  # type: ignore[method-assign]
    Seen.__init__(seen, page)
    return seen.tags


def test_the_same_export_gives_the_same_page(out: Path, tmp_path: Path) -> None:
    assert run(["report", str(out), "--out", str(tmp_path / "again.html"), "--quiet"]) == 0
    assert (tmp_path / "again.html").read_bytes() == (out / REPORT).read_bytes()
    assert (tmp_path / "again.json").read_bytes() == (out / REPORT_NUMBERS).read_bytes()


def test_a_page_without_texts_quotes_nobody(out: Path, tmp_path: Path) -> None:
    assert run(["report", str(out), "--no-texts", "--out", str(tmp_path / "bare.html"), "--quiet"]) == 0
    assert "Answer 1." in (out / REPORT).read_text()
    assert "Answer 1." not in (tmp_path / "bare.html").read_text()


def test_hostile_texts_do_nothing(tmp_path: Path) -> None:
    records = []
    for number, text in enumerate(HOSTILE):
        post = f"p{number}"
        records.append(submission(post, title=f"{text[:200]} ?", selftext=text[:20_000]))
        records += [
            comment(
                f"{post}c{order}", post, score=5 + 9 * order, created_utc=1_600_000_060 + order, body=f"{order} {text}"
            )
            for order in range(2)
        ]
    records += [
        submission("long"),
        comment("l1", "long", score=3, body="word " * 20_000, created_utc=1_600_000_060),
        comment("l2", "long", score=2**40, body="word " * 19_000 + "<script>", created_utc=1_600_000_070),
    ]
    export_dataset(imported(tmp_path, records), tmp_path / "o")
    assert run(["report", str(tmp_path / "o"), "--quiet"]) == 0
    page = (tmp_path / "o" / REPORT).read_text()
    tags = whole(page)
    assert not {"script", "img", "iframe", "svg-onload"} & {tag for tag, _ in tags}
    assert [tag for tag, _ in tags].count("body") == 1
    links = [str(attributes["href"]) for tag, attributes in tags if tag == "a"]
    assert all(address.startswith(("#", "https://", "http://")) for address in links)
    assert len(page.encode()) < 2_000_000
    with browser() as tab:
        tab.open((tmp_path / "o" / REPORT).as_uri())
        assert tab.messages == []
        assert tab.run("document.querySelectorAll('article').length") > 5


def test_a_browser_asks_for_nothing_and_has_nothing_to_say(out: Path) -> None:
    with browser() as tab:
        for width in (320, 390, 1280):
            for theme in ("light", "dark"):
                tab.size(width).theme(theme).open((out / REPORT).as_uri())
                assert tab.run("document.documentElement.scrollWidth") <= width
        tab.size(794).call("Emulation.setEmulatedMedia", media="print")  # paper of A4, whatever the theme
        tab.open((out / REPORT).as_uri())
        assert tab.run("document.documentElement.scrollWidth") <= 794
        for name, style in (("body", "backgroundColor"), ("nav", "display"), ("figure details", "display")):
            shown = tab.run(f"getComputedStyle(document.querySelector('{name}')).{style}")
            assert shown == ("rgb(255, 255, 255)" if name == "body" else "none")
        assert set(tab.requests) == {(out / REPORT).as_uri()}
        assert tab.messages == []


def test_a_reader_with_a_keyboard_reaches_every_table(out: Path) -> None:
    with browser() as tab:
        tab.size(1280).open((out / REPORT).as_uri())
        seen = []
        for focus in tab.focused_by_tab(80):
            seen.append(tab.run(f"{focus}.tagName + ' ' + {focus}.textContent.slice(0, 40)"))
            assert tab.run(f"getComputedStyle({focus}).outlineStyle") != "none"
            if not tab.run(f"{focus}.closest('.text')"):  # a link within a sentence has its height
                assert tab.run(f"{focus}.getBoundingClientRect().height") >= 24
        assert len([one for one in seen if one.startswith("SUMMARY Numbers:")]) == 12
        tab.run("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert tab.run("document.documentElement.scrollWidth") <= 1280


def test_axe_finds_nothing_wrong(out: Path, store: Path) -> None:
    assert run(["report", "--store", str(store), "--quiet"]) == 0
    with browser() as tab:
        for page, theme in ((out, "light"), (out, "dark"), (store, "light"), (store, "dark")):
            tab.size(390).theme(theme).open((page / REPORT).as_uri())
            tab.run("document.querySelectorAll('details').forEach(one => one.open = true)")
            assert violations(tab) == []
        assert set(tab.requests) == {(page / REPORT).as_uri() for page in (out, store)}
        assert tab.messages == []


# -- a store ----------------------------------------------------------------------------------------------------------


def test_a_store_says_when_its_scores_were_read_and_what_rules_make_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """30 answers of one month read early, of which a third was read again; 30 of another month read late; a gap."""
    folder, day = tmp_path / "s", 86_400
    begins = {"early": 1_600_000_000, "late": 1_600_000_000 + 92 * day}
    for read, aged in ((3_600, ("early", "late")), (40 * day, ("late",))):
        rows: list[dict[str, Any]] = []
        for name in aged:
            for number in range(10):
                told = {"retrieved_on": begins[name] + read + 100}
                rows.append(submission(f"{name}{number}", created_utc=begins[name], **told))
                rows += [
                    comment(f"{name}{number}c{n}", f"{name}{number}", score=3 + n, created_utc=begins[name] + n, **told)
                    for n in range(3)
                ]
        import_dump("reddit-dump", write_month(tmp_path / str(read), rows), folder, now=datetime.now().astimezone())
    assert run(["report", "--store", str(folder), "--quiet"]) == 0
    coverage = {row["period"]: row for row in rows_of(folder, "coverage")}
    assert list(coverage) == ["2020-09", "2020-10", "2020-11", "2020-12"]
    assert [row["answers"] for row in coverage.values()] == [30, 0, 0, 30]
    assert [row["read too early"] for row in coverage.values()] == [True, False, False, False]
    assert "No answer in 2020-10 to 2020-11." in finding(folder, "coverage")
    assert "1 triangle: " in finding(folder, "coverage")
    assert {row["times read"]: row["answers"] for row in rows_of(folder, "readings")}["2"] == 30
    assert finding(folder, "readings").startswith("50 % of 60 answers were read at two ages or more")
    ages = {row["age of the score"]: row for row in rows_of(folder, "observed")}
    assert (ages["1 h to 6 h"]["newest reading"], ages["1 h to 6 h"]["earlier readings"]) == (30, 30)
    assert (ages["30 d to 90 d"]["newest reading"], ages["30 d to 90 d"]["counts"]) == (30, True)
    assert finding(folder, "observed").startswith("67 % of 90 readings are younger than the gate of 24 h")
    page = (folder / REPORT).read_text()
    assert "Answer" not in page.split("Answers by community")[0]
    capsys.readouterr()
    assert run(["compare", "--store", str(folder), "--json"]) == 0
    compared = {rule["rule"]: rule for rule in json.loads(capsys.readouterr().out)["rules"]}
    presets = {row["rule"]: row for row in rows_of(folder, "presets")}
    assert {name: (row["pairs"], row["posts"]) for name, row in presets.items()} == {
        name: (rule["pairs"], rule["posts"]) for name, rule in compared.items()
    }
    export_dataset(folder, tmp_path / "o")
    assert run(["report", str(tmp_path / "o"), "--quiet"]) == 0
    for name in ("flow", "arrival"):
        assert rows_of(folder, name) == rows_of(tmp_path / "o", name)
    assert status(folder).reports == [str(folder / REPORT), str(tmp_path / "o" / REPORT)]
    assert run(["report", str(folder), "--against", str(tmp_path / "o")]) == 2
    assert "store with a store" in capsys.readouterr().err


def test_votes_by_arrival_are_those_of_the_threads(store: Path, out: Path) -> None:
    rank = pl.col("created_at").rank("ordinal").over("post_id").alias("rank")
    votes = (pl.col("score") - 1).abs().log1p() * (pl.col("score") - 1).sign()
    apart = (votes - votes.mean().over("post_id")).alias("apart")
    answers = Store(store).answers().select(rank, apart)
    means = dict(answers.group_by("rank").agg(pl.col("apart").mean()).iter_rows())
    shown = rows_of(out, "arrival")
    for row, at in zip(shown, (1, 2), strict=False):
        assert (row["order of arrival"], row["answers"]) == (str(at), 60)
        assert row["votes"] == pytest.approx(math.exp(means[at]), abs=1e-3)
    for column in ("votes", "fitted"):  # both are held against the thread's mean
        assert sum(row["answers"] * math.log(row[column]) for row in shown) == pytest.approx(0, abs=0.05)
    assert shown[0]["fitted"] > shown[1]["fitted"]


@pytest.mark.parametrize(
    ("name", "first", "second", "order"),
    [
        ("confidence", ["0.80 to 0.85"], ["0.50 to 0.55", "0.80 to 0.85", "0.95 or more"], [1, 0, 2]),
        ("confidence", ["0.80 to 0.85"], ["0.50 to 0.55"], [1, 0]),
        ("readings", ["2", "3"], ["1", "2", "4"], [2, 0, 1, 3]),
    ],
)
def test_bins_of_two_exports_stand_in_their_order(
    name: str, first: list[str], second: list[str], order: list[int]
) -> None:
    columns = ("confidence", "strict", "extended") if name == "confidence" else ("times read", "answers")
    parts = [Part(name, "", columns, [(label, *[1] * (len(columns) - 1)) for label in own]) for own in (first, second)]
    drawn = charts.drawn(compared([("A", parts[0]), ("B", parts[1])]))
    labels = list(dict.fromkeys([*first, *second]))
    shown = [text for text in re.findall(r">([^<>]+)</text>", drawn) if text in labels]
    assert shown == [labels[at] for at in order]


def test_captions_say_what_the_numbers_do_and_no_more(tmp_path: Path) -> None:
    records = [submission("p", created_utc=1_600_000_000, retrieved_on=1_604_000_000)]
    for order in range(3):  # the later, the more votes
        told = {"created_utc": 1_600_000_900 + 900 * order, "retrieved_on": 1_604_000_000}
        records.append(comment(f"c{order}", "p", score=3 + 9 * order, **told))
    export_dataset(imported(tmp_path, records), tmp_path / "o")
    assert run(["report", str(tmp_path / "o"), "--quiet"]) == 0
    figures = json.loads((tmp_path / "o" / REPORT_NUMBERS).read_text())["figures"]
    found = {figure["name"]: figure["finding"][0] for figure in figures}
    assert "here votes do not follow who came first" in found["arrival"]
    assert "too few threads to say" in found["balance"]
    assert found["flow"].startswith("Of 1 post read, 1 (100 %) is in the pairs.")


# -- other exports ----------------------------------------------------------------------------------------------------


def test_every_format_has_a_report(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export_dataset(store, tmp_path / "all", formats=list(FORMATS))
    figures = {}
    for name in FORMATS:
        assert run(["report", str(tmp_path / "all" / name), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        figures[name] = {figure["name"] for figure in told["figures"]}
        assert {"flow", "splits"} <= figures[name]
        assert bool(told["notes"]) == (name != "pairs")
    assert "balance" in figures["kto"]
    assert {"gap", "baselines"} <= figures["trl-text"]
    assert run(["report", str(tmp_path / "all")]) == 0
    assert numbers(tmp_path / "all")["about"]["Format"] == "pairs"


def test_two_exports_are_compared(store: Path, out: Path, tmp_path: Path) -> None:
    export_dataset(store, tmp_path / "strict", rule="shp-strict", layout="compact")
    page = tmp_path / "both.html"
    assert run(["report", str(out), "--against", str(tmp_path / "strict"), "--out", str(page), "--quiet"]) == 0
    both = json.loads(page.with_suffix(".json").read_bytes())["figures"]
    assert {figure["name"] for figure in both} == {figure["name"] for figure in numbers(out)["figures"]}
    for figure in both:
        assert figure["series"] == ["out", "strict"]
        assert figure["finding"][0].startswith("out: ")
        assert figure["finding"][1].startswith("strict: ")
    alone = {figure["name"]: figure for figure in numbers(out)["figures"]}
    for figure in both:
        assert [row[1:] for row in figure["rows"] if row[0] == "out"] == alone[figure["name"]]["rows"]


def test_one_pair_is_enough(tmp_path: Path) -> None:
    export_dataset(imported(tmp_path, thread("p1", (3, 9))), tmp_path / "o", validation=0, test=0)
    assert run(["report", str(tmp_path / "o"), "--quiet"]) == 0
    assert "1 pair in 2020-09." in finding(tmp_path / "o", "months")


def many(folder: Path, communities: int) -> Path:
    records = [
        record for number in range(communities) for record in thread(f"p{number}", (3, 9), subreddit=f"Place{number}")
    ]
    export_dataset(imported(folder, records), folder / "o")
    assert run(["report", str(folder / "o"), "--quiet"]) == 0
    return folder / "o"


def test_many_communities_make_no_larger_page(tmp_path: Path) -> None:
    out = many(tmp_path, 300)
    assert len((out / REPORT).read_bytes()) < 2_000_000
    assert {row["community"] for row in rows_of(out, "months")} >= {"all others (288)"}
    assert (out / REPORT).read_text().count("<article") == 240


@pytest.mark.slow
def test_two_thousand_communities(tmp_path: Path) -> None:
    assert len((many(tmp_path, 2000) / REPORT).read_bytes()) < 2_000_000


# -- bad input, and what is not ours ----------------------------------------------------------------------------------


def without_times(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in record.items() if name != "retrieved_on"} for record in records]


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([], "no answers with scores yet"),
        ([submission("p1")], "no answers with scores yet"),
        ([submission("p1"), comment("c1", "p1", score=3)], "1 answer in 2020-09"),
        (without_times(thread("p1", (3, 9))), "--allow-unknown-age"),
        (thread("p1", (3, 10**9)), "The default, shp, makes 1."),
        (thread("p1", (3, 9), body="word " * 200_000), "0 of each"),
        ([record for n in range(300) for record in thread(f"p{n}", (3, 9), subreddit=f"P{n}")], "all others (288)"),
    ],
    ids=["empty", "post", "answer", "no times", "large scores", "1 MB", "communities"],
)
def test_any_store_has_a_report(records: list[dict[str, Any]], says: str, tmp_path: Path) -> None:
    store = imported(tmp_path, records) if records else tmp_path / "s"
    Store(store).create()
    assert run(["report", "--store", str(store), "--quiet"]) == 0
    page = (store / REPORT).read_text()
    assert says in page
    assert len(page.encode()) < 2_000_000
    assert "word word" not in page


def test_an_export_without_rows_has_a_report_that_says_so(store: Path, tmp_path: Path) -> None:
    export_dataset(store, tmp_path / "o")
    manifest = tmp_path / "o" / "manifest.json"
    told = json.loads(manifest.read_bytes())
    for file in told["files"]:
        path, file["rows"] = tmp_path / "o" / file["path"], 0
        pq.write_table(pq.read_table(path, partitioning=None).slice(0, 0), path)
    manifest.write_text(json.dumps(told))
    assert run(["report", str(tmp_path / "o"), "--quiet"]) == 0
    assert "This export has no rows." in (tmp_path / "o" / REPORT).read_text()


def test_a_full_or_read_only_disk_leaves_no_half_page(
    out: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    assert run(["report", str(out), "--out", str(small_disk / "page.html")]) == 75
    assert "No space is left" in capsys.readouterr().err
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]
    assert run(["report", str(out), "--out", "/proc/page.html"]) == 5
    assert "name another path" in capsys.readouterr().err


def test_what_is_no_export_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(tmp_path)]) == 5
    assert "is not an export" in capsys.readouterr().err


def test_a_missing_or_damaged_file_is_named(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export_dataset(store, tmp_path / "o")
    file = sorted((tmp_path / "o").rglob("*.parquet"))[0]
    whole = file.read_bytes()
    file.write_bytes(whole[:50] + bytes(len(whole) - 100) + whole[-50:])
    assert run(["report", str(tmp_path / "o")]) == 5
    assert file.name in capsys.readouterr().err
    file.unlink()
    assert run(["report", str(tmp_path / "o")]) == 5
    assert file.name in capsys.readouterr().err
    (tmp_path / "o" / "manifest.json").write_text("{")
    assert run(["report", str(tmp_path / "o")]) == 5
    assert "manifest.json is damaged" in capsys.readouterr().err
    assert not (tmp_path / "o" / REPORT).exists()


def test_a_file_of_others_is_not_replaced(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export_dataset(store, tmp_path / "o")
    for name in (REPORT, REPORT_NUMBERS):
        (tmp_path / "o" / name).write_text("mine")
        assert run(["report", str(tmp_path / "o")]) == 2
        assert "is in the way" in capsys.readouterr().err
        export_dataset(store, tmp_path / "o", rule="votes", replace=True)
        assert (tmp_path / "o" / name).read_text() == "mine"
        (tmp_path / "o" / name).unlink()


def test_a_new_export_takes_the_old_report_away(store: Path, tmp_path: Path) -> None:
    for formats in (["pairs"], ["pairs", "trl"], ["pairs", "trl"]):
        export_dataset(store, tmp_path / "o", formats=formats, replace=True)
        assert not (tmp_path / "o" / REPORT).exists()
        assert run(["report", str(tmp_path / "o"), "--quiet"]) == 0
        assert (tmp_path / "o" / REPORT).exists()


@pytest.mark.parametrize("formats", [["pairs"], ["pairs", "trl"]], ids=len)
def test_what_is_forgotten_leaves_the_report(tmp_path: Path, formats: list[str]) -> None:
    secret = "A sentence that nobody else wrote."
    records = [
        *thread("p1", (3, 9)),
        *thread("p2", (4, 8)),
        comment("x", "p1", score=50, body=secret, created_utc=1_600_000_500),
    ]
    store = imported(tmp_path, records)
    export_dataset(store, tmp_path / "o", formats=formats)
    assert run(["report", str(tmp_path / "o"), "--quiet"]) == 0
    assert secret in (tmp_path / "o" / REPORT).read_text()
    assert run(["report", "--store", str(store), "--quiet"]) == 0
    forget(store, authors="writer-x@reddit.com")
    left = [path for path in tmp_path.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert [path.parent.name for path in left if "dumps" not in path.parts] == []
    assert not (tmp_path / "o" / REPORT).exists()
    assert not (store / REPORT).exists(), "it names communities, which may be people's own"


def test_without_the_extra_a_message_names_it(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(charts, "find_spec", lambda name: None if name == "vl_convert" else object())
    assert run(["report", str(out)]) == 2
    assert "pip install 'shp-miner[report]'" in capsys.readouterr().err


def test_nothing_but_a_report_imports_altair() -> None:
    code = (
        "import sys; from shp_miner.cli import COMMANDS, run, _Commands, cli; import click\n"
        "for name in COMMANDS: _Commands().get_command(click.Context(cli), name)\n"
        "import shp_miner.pipeline.run, shp_miner.report.write, shp_miner.health.status\n"
        "assert not {'altair', 'vl_convert'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
