"""Mistakes that people make: each is answered with what is wrong and the next step, and never with a wrong guess."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import click
import pytest

import shp_miner
from shp_miner.cli import COMMANDS, _Commands, cli, run
from shp_miner.cli import options as types
from shp_miner.cli.options import Number, Whole
from shp_miner.errors import likely, nearest_name
from shp_miner.platforms.communities import meant_communities
from shp_miner.units import Duration

from .build import thread, write_month


@pytest.fixture
def dumps() -> list[str]:
    records = [*thread("p1"), *thread("p2", subreddit="Other")]
    return sorted(str(path) for path in write_month(Path("dumps"), records))


@pytest.fixture
def store(dumps: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["import", "reddit-dump", *dumps, "--quiet"]) == 0
    capsys.readouterr()
    return "data/store"


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int) -> str:
    assert run(words) == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.out + captured.err


def own_thread(created_at: object, **more: object) -> str:
    item = {"created_at": created_at, "score": 5}
    answers = [{"answer_id": "a", "body": "text", **item}, {"answer_id": "b", "body": "other", **item, "score": 1}]
    ids = {"site": "forum.example", "community": "c", "post_id": "1", "title": "A title", "answers": answers}
    return json.dumps({**ids, **item, **more}) + "\n"


# -- answers that misled ----------------------------------------------------------------------------------------------


def test_a_length_of_time_without_a_unit(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["export", "out", "--max-apart", "60"],
        ["recheck", "--older-than", "60"],
        ["vacuum", "--keep", "60"],
    ):
        assert "'60' has no unit: write 60s, 60m, 60h, 60d or 60w." in answer(capsys, *words, code=2)
    Path("p.toml").write_text("[rule]\nmax_apart = 60\n")
    assert "rule: max_apart: 60 has no unit: write 60s" in answer(capsys, "run", "p.toml", "--dry-run", code=5)
    for text, seconds in (("90min", 5400), ("2 hours", 7200), ("1 day", 86_400), ("2w", 1_209_600), ("30 secs", 30)):
        assert Duration.parse(text) == seconds
    for text in ("1M", "1 month", "an hour", "1hourly", "2 y"):
        with pytest.raises(ValueError, match="is not a duration"):
            Duration.parse(text)


def test_a_community_that_matches_nothing_at_import(dumps: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = answer(capsys, "import", "reddit-dump", *dumps, "--community", "nosuch", code=5)
    assert "The dump has no community 'nosuch'.\nIt has 2: asktest, other." in text


def test_communities_and_sites_that_match_nothing_at_export(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "It has 2: asktest, other." in answer(capsys, "export", "out", "--community", "nosuch", code=5)
    text = answer(capsys, "export", "out", "--site", "reddit", code=5)
    assert "The store has no threads of the site 'reddit'.\nThe nearest names: reddit.com." in text
    text = answer(capsys, "compare", "--community", "asktest,nosuch", code=3)
    assert "The store has no community 'nosuch'. It has 2: asktest, other." in text


def test_comments_without_the_file_of_their_posts(dumps: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    comments, posts = dumps
    text = answer(capsys, "import", "reddit-dump", comments, "--community", "asktest", code=0)
    assert "no posts (submissions), so nothing can be exported yet: also import RS_2020-09.zst." in text
    assert f"Next:\n  shp-miner import reddit-dump {posts} --community asktest\n" in text
    assert "shp-miner export" not in text
    text = answer(capsys, "export", "out", code=5)
    assert "Import the files with the posts of these answers (for Reddit, RS_* beside RC_*)" in text
    assert "also import" not in answer(capsys, "import", "reddit-dump", posts, code=0)
    text = answer(capsys, "import", "reddit-dump", posts, "--store", "other", code=0)
    assert "also import RC_2020-09.zst." in text
    assert f"Next:\n  shp-miner import reddit-dump {comments} --store other\n" in text


def test_a_half_is_missed_although_the_store_has_other_communities(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("own.jsonl").write_text(own_thread("2024-01-02T03:04:05Z", answers=[]))
    text = answer(capsys, "import", "threads", "own.jsonl", code=0)
    assert "The store has no answers of c, so nothing of c can be exported yet: import threads with answers." in text
    Path("own.jsonl").write_text(own_thread("2024-01-02T03:04:05Z"))
    assert "so nothing" not in answer(capsys, "import", "threads", "own.jsonl", code=0)


def test_threads_without_an_answer_are_not_led_to_an_export(capsys: pytest.CaptureFixture[str]) -> None:
    Path("own.jsonl").write_text(own_thread("2024-01-02T03:04:05Z", answers=[]))
    text = answer(capsys, "import", "threads", "own.jsonl", code=0)
    assert "The store has no answers, so nothing can be exported yet: import threads with answers." in text
    assert "Next:" not in text


@pytest.mark.parametrize(
    ("time", "words"),
    [
        (
            "2024-01-02 03:04:05",
            "created_at 2024-01-02T03:04:05 has no time zone; if it is UTC, add Z to it or give --utc",
        ),
        (1_704_164_645_000, "1704164645000 seems to be milliseconds; divide it by 1,000"),
        (1_704_164_645_000_000, "seems to be microseconds; divide it by 1,000,000"),
        (1e30, "created_at is not a time in seconds\n"),
    ],
)
def test_times_without_a_zone_or_in_another_unit(time: object, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("own.jsonl").write_text(own_thread(time))
    text = answer(capsys, "import", "threads", "own.jsonl", code=3)
    assert words in text
    assert "the files have no other records to keep" in text
    assert "Nothing of these files is in data/store" in text


@pytest.mark.parametrize("kind", [["threads"], ["reddit-dump"], ["discourse-json"], []])
@pytest.mark.parametrize("name", ["forum.csv", "forum.tsv", "forum.xlsx"])
def test_a_table_given_to_an_import(kind: list[str], name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(name).write_bytes(b"PK\x03\x04" if name.endswith("x") else b"id,title,votes\n1,Hello,3\n")
    text = answer(capsys, "import", *kind, name, code=5)
    assert "`import table --guess`" in text


def test_a_file_as_parent_of_an_export(store: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    Path("file").touch()
    text = answer(capsys, "export", "file/sets/out", code=2)
    assert f"{tmp_path / 'file'} is a file, not a folder.\nChoose another path, or move that file." in text


def test_help_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "help", code=0) == answer(capsys, "--help", code=0)
    assert answer(capsys, "help", "export", code=0) == answer(capsys, "export", "--help", code=0)
    assert "Read Reddit's monthly files" in answer(capsys, "help", "import", "reddit-dump", code=0)
    assert "Did you mean 'export'?" in answer(capsys, "help", "exprt", code=2)
    assert "has no commands of its own" in answer(capsys, "help", "export", "now", code=2)
    assert answer(capsys, "-V", code=0) == answer(capsys, "--version", code=0)


@pytest.mark.parametrize(
    ("word", "meant"),
    [("exprot", "export"), ("Import", "import"), ("scrape", "crawl"), ("delete", "forget"), ("ls", "stats"),
     ("fix", "doctor"), ("validate", "check"), ("cron", "schedule"), ("manual", "docs"), ("halp", "help")],
)  # fmt: skip
def test_another_word_for_a_command(word: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"Did you mean {meant!r}?" in answer(capsys, word, code=2)


@pytest.mark.parametrize("word", ["prnt", "xyz", "sql", "hdea", "0"])
def test_no_command_is_guessed_where_likeness_is_small(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = answer(capsys, word, code=2)
    assert "Did you mean" not in text
    for name, (_, about) in COMMANDS.items():
        assert name in text
        assert about in text


def test_head_is_not_taken_for_schedule(capsys: pytest.CaptureFixture[str]) -> None:
    text = answer(capsys, "head", code=2)
    assert ("Did you mean 'show'?" if "show" in COMMANDS else "The commands:") in text


def test_names_are_near_in_any_letter_case_and_only_if_alike() -> None:
    assert likely("TRL", ["trl", "kto"]) == "trl"
    assert likely("measure", ["subreddit"]) == ""
    assert nearest_name("zzz", ["a", "b"]) == "Known: a, b."


def test_variables_that_nothing_reads(
    store: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHP_MINER_STOER", "x")
    monkeypatch.setenv("SHP_MINER_EXPORT_FORMATZ", "x")
    monkeypatch.setenv("SHP_MINER_SOMETHING_ELSE", "x")
    text = answer(capsys, "stats", code=0)
    assert "environment variable SHP_MINER_STOER. Did you mean SHP_MINER_STORE?" in text
    assert "SHP_MINER_EXPORT_FORMATZ. Did you mean SHP_MINER_EXPORT_FORMAT?" in text
    assert "SHP_MINER_SOMETHING_ELSE. `shp-miner docs cli` lists the variables" in text
    assert "Warning" not in answer(capsys, "stats", "--quiet", code=0)
    Path("p.toml").write_text("")
    assert run(["run", "p.toml"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert sum("no command reads" in line["message"] for line in lines) == 3


def test_every_known_variable_is_taken(
    store: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from shp_miner.sources.table import ROWS

    variables = [key.variable for row in ROWS.values() for key in row.credentials]
    for name in COMMANDS:
        command = _Commands().get_command(click.Context(cli), name)
        inner = command.commands.values() if isinstance(command, click.Group) else [command]
        variables += [
            f"SHP_MINER_{name}_{one.name + '_' if one is not command else ''}{spelt}".upper().replace("-", "_")
            for one in inner
            if one is not None
            for option in one.params
            if isinstance(option, click.Option) and option.expose_value
            for spelt in [*(word.removeprefix("--") for word in option.opts if word.startswith("--")), option.name]
        ]
    assert len(variables) > 140
    for name in {*variables, "SHP_MINER_TEST_DATA"} - set(os.environ):
        if not name.startswith("SHP_MINER_STATS_"):
            monkeypatch.setenv(name, "")
    assert "Warning" not in answer(capsys, "stats", code=0)


def test_variables_are_spelt_as_the_options_are(
    store: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHP_MINER_EXPORT_MIN_SCORE_AGE", "60")
    text = answer(capsys, "export", "out", code=2)
    assert "'60' has no unit" in text
    assert "The value comes from the environment variable SHP_MINER_EXPORT_MIN_SCORE_AGE." in text
    monkeypatch.setenv("SHP_MINER_EXPORT_MIN_SCORE_AGE", "30h")
    monkeypatch.setenv("SHP_MINER_EXPORT_JSON", "1")
    for name in ("COMMUNITY", "SUBREDDIT", "COMMUNITIES"):
        with monkeypatch.context() as more:
            more.setenv(f"SHP_MINER_EXPORT_{name}", "nosuch r/AskTest")
            assert run(["export", "out", "--dry-run"]) == 3
        out, err = capsys.readouterr()
        assert list(json.loads(out)["pairs"]) == ["asktest"]
        assert "Warning" not in err
    assert run(["export", "out", "--rule", "nosuch"]) == 2
    assert json.loads(capsys.readouterr().out)["exit_code"] == 2


def test_a_changed_parameter_is_not_called_by_the_name_of_the_preset(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Rule shp with min_ratio 1.5," in answer(capsys, "export", "out", "--min-ratio", "1.5", code=0)


@pytest.mark.parametrize(
    "words", [["run", "p.toml", "--dry-run"], ["run", "p.toml"], ["crawl", "reddit", "askacademia"]]
)
def test_reddit_without_credentials(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CLIENT_ID", "CLIENT_SECRET", "USER_AGENT"):
        monkeypatch.delenv(f"SHP_MINER_REDDIT_{name}", raising=False)
    Path("p.toml").write_text('[[source]]\nkind = "reddit"\ncommunities = ["askacademia"]\n')
    text = answer(capsys, *words, code=4)
    assert "Reddit requires credentials. Not set: SHP_MINER_REDDIT_CLIENT_ID" in text
    assert "`shp-miner docs crawling#reddit-credentials`" in text
    assert "`shp-miner docs cron#credentials` where a regular run finds them" in text


# -- one variable, and options before the command ----------------------------------------------------------------------


def test_one_variable_names_the_store(
    store: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path(store).rename("moved")
    monkeypatch.setenv("SHP_MINER_STORE", "moved")
    for words in (["stats"], ["status"], ["export", "out"], ["vacuum"], ["doctor"]):
        answer(capsys, *words, code=0)
    monkeypatch.setenv("SHP_MINER_STATS_STORE", "of-the-command")
    assert str(tmp_path / "of-the-command") in answer(capsys, "stats", code=5)
    assert "moved, version" in answer(capsys, "stats", "--store", "moved", code=0)
    monkeypatch.setenv("SHP_MINER_STORE", "~/sets")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert f"There is no store at {tmp_path / 'sets'}.\n" in answer(capsys, "recheck", code=5)


@pytest.mark.parametrize(
    "front", [["--store", "data/store", "--json"], ["--json", "--store=data/store"], ["-v", "--json"]]
)
def test_common_options_before_the_command(
    front: list[str], store: str, dumps: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = json.loads(answer(capsys, *front, "stats", code=0))
    assert [row["community"] for row in data["communities"]] == ["asktest", "other"]
    assert json.loads(answer(capsys, *front, "import", "reddit-dump", *dumps, code=0))["store"] == "data/store"
    assert json.loads(answer(capsys, "import", *front, "reddit-dump", *dumps, code=0))["store"] == "data/store"


def test_options_without_a_command_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Commands:" in answer(capsys, "--store", "x", code=2)
    assert "Usage: shp-miner [OPTIONS]" in answer(capsys, "--json", "--help", code=0)


def test_the_home_folder_in_python_and_pipelines(
    dumps: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    shp_miner.import_dump("reddit-dump", ["~/dumps"], "~/sets/store")
    shp_miner.export_dataset("~/sets/store", "~/sets/out")
    assert len(shp_miner.load("~/sets/out")) == 4
    assert shp_miner.Store("~/sets/store").path == tmp_path / "sets" / "store"
    (tmp_path / "p.toml").write_text('store = "~/sets/store"\n[[export]]\nout = "~/sets/again"\nsites = ["*"]\n')
    assert shp_miner.run("~/p.toml").exit_code == 0
    assert (tmp_path / "sets" / "again" / "README.md").exists()
    with pytest.raises(shp_miner.UsageError, match="names a user that does not exist"):
        shp_miner.Store("~nobody-of-this-name/store")


# -- what people mean --------------------------------------------------------------------------------------------------


def test_subreddits_letter_case_and_commas(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("asktest", "r/AskTest", "/r/asktest"):
        words = ["export", "out", "--subreddit", name, "--rule", "SHP_Strict", "--format", "TRL, kto", "--json"]
        data = json.loads(answer(capsys, *words, code=0))
        assert (data["rule"], list(data["pairs"]), sorted(data["formats"])) == (
            "shp-strict",
            ["asktest"],
            ["kto", "trl"],
        )
    text = answer(capsys, "export", "other", "--order", "Winner-Not-Older", "--format", "pairs", code=0)
    assert "Rule shp," in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("csv", "duckdb -c \"COPY (SELECT * FROM 'OUT/*/*.parquet') TO 'OUT.csv'\""),
        (".JSONL", "TO 'OUT.jsonl' (FORMAT json)\""),
        ("parquet", "Choose the columns: pairs, shp, trl,"),
        ("dpo", "Use 'trl' for that."),
        ("ktoo", "Did you mean 'kto'?"),
    ],
)
def test_formats_that_are_none(name: str, words: str, store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in answer(capsys, "export", "out", "--format", name, code=2)
    assert not Path("out").exists()


def test_the_line_of_duckdb_makes_what_it_says(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is in the group bench")
    answer(capsys, "export", "out", code=0)
    for kind in ("csv", "tsv", "json", "jsonl"):
        line = answer(capsys, "export", "other", "--format", kind, code=2).split('duckdb -c "')[1].rpartition('"')[0]
        duckdb.sql(line.replace("OUT", "out"))
        assert len(Path(f"out.{kind}").read_text().splitlines()) >= 4
    answer(capsys, "export", "several", "--format", "trl,kto", code=0)
    text = answer(capsys, "export", "other", "--format", "csv", "--format", "trl,kto,jsonl", code=2)
    assert "csv and jsonl are not formats.\nExport with --format trl,kto, and then convert: duckdb -c" in text
    lines = re.findall(r'duckdb -c "(.*?)"(?: ;|$)', text.splitlines()[1])
    for line in lines:
        duckdb.sql(line.replace("OUT", "several"))
    made = sorted(path.name for kind in ("csv", "jsonl") for path in Path("several").glob(f"*.{kind}"))
    assert made == ["kto.csv", "kto.jsonl", "trl.csv", "trl.jsonl"]


def kinds_of_files(tmp_path: Path) -> dict[str, list[str]]:
    (tmp_path / "Posts.xml").write_text('<?xml version="1.0"?>\n<posts></posts>')
    (tmp_path / "t.json").write_text('{"id": 1, "post_stream": {"posts": []}}')
    (tmp_path / "own.jsonl").write_text(own_thread("2024-01-02T03:04:05Z"))
    return {"stackexchange-dump": ["Posts.xml"], "discourse-json": ["t.json"], "threads": ["own.jsonl"]}


def test_a_kind_that_is_not_named_is_told_by_the_files(
    dumps: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from shp_miner.dumps.guess import kinds_in
    from shp_miner.dumps.importing import reader
    from shp_miner.dumps.kinds import KINDS

    for kind, files in {"reddit-dump": dumps, **kinds_of_files(tmp_path)}.items():
        assert all(kinds_in(Path(file)) == {kind} for file in files)
    assert all(callable(reader(kind)) for kind in KINDS)
    text = answer(capsys, "import", *dumps, "--community", "asktest", code=0)
    assert f"Importing as reddit-dump, which the contents of {dumps[0]} tell." in text
    assert "Importing as" not in answer(capsys, "import", "--quiet", "own.jsonl", code=0)
    assert run(["--json", "import", "--store", "other", "dumps"]) == 0
    assert json.loads(capsys.readouterr().out)["store"] == "other"
    for name in ("Reddit_Dump", "reddit", "REDDIT-DUMP"):
        assert "Imported into" in answer(capsys, "import", name, *dumps, code=0)


def test_no_kind_is_guessed_in_doubt(dumps: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("notes.txt").write_text("nothing of a forum\n")
    for words in (["notes.txt"], ["-"]):
        text = answer(capsys, "import", *words, code=2)
        assert "Its contents do not tell." in text
        assert "reddit-dump (Reddit's monthly RS_* and RC_* files)" in text
    kinds_of_files(tmp_path / "dumps")
    text = answer(capsys, "import", "dumps", "--community", "asktest", code=2)
    several = "discourse-json, reddit-dump, stackexchange-dump, threads"
    assert f"What kind of dump is dumps? Its contents are of several kinds: {several}." in text
    assert "`shp-miner import KIND dumps --community asktest`" in text
    assert f"There is no file {tmp_path / 'RS_2024-01.zst'}." in answer(capsys, "import", "RS_2024-01.zst", code=5)
    assert not Path("data").exists()


@pytest.mark.parametrize(("word", "meant"), [("redit-dump", "reddit-dump"), ("stackexchang", "stackexchange-dump"),
                                             ("discourse_jsn", "discourse-json"), ("Thread_s", "threads")])  # fmt: skip
def test_a_misspelt_kind(word: str, meant: str, dumps: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for files in (dumps, ["RS_1999-01.zst"], []):
        text = answer(capsys, "import", word, *files, code=2)
        assert f"There is no import kind {word!r}.\nDid you mean {meant!r}?" in text
    assert not Path("data").exists()


def test_files_of_two_kinds(dumps: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = kinds_of_files(tmp_path) | {"reddit-dump": dumps[:1]}
    for one, (first,) in kinds.items():
        for other, (second,) in kinds.items():
            if one != other:
                for named in ([], [one], [other]):
                    text = answer(capsys, "import", *named, first, second, code=5)
                    assert f"An import takes files of one kind: {first} is {one}; {second} is {other}." in text
                    assert f"`import {one}` for {first}, then `import {other}` for {second}." in text
                assert f"Use `import {one}` for it." in answer(capsys, "import", other, first, code=5)
    text = answer(capsys, "import", dumps[0], dumps[1], "own.jsonl", code=5)
    assert f"{dumps[0]}, {dumps[1]} is reddit-dump; own.jsonl is threads." in text
    assert not Path("data").exists()


@pytest.mark.parametrize("content", [b"", b"\n\n \n"])
def test_an_empty_file(content: bytes, dumps: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty.jsonl").write_bytes(content)
    for kind in ([], ["reddit-dump"], ["discourse-json"], ["threads"], ["stackexchange-dump"]):
        for files in (["empty.jsonl"], [*dumps, "empty.jsonl"], ["empty.jsonl", *dumps]):
            if kind in ([], ["reddit-dump"]) or len(files) == 1:
                text = answer(capsys, "import", *kind, *files, code=5)
                assert f"empty.jsonl {'has only empty lines' if content else 'is empty'}." in text
    assert not Path("data").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["export"], "For example: shp-miner export data/eli5"),
        (["export", "--out", "x"], "The folder is an argument: shp-miner export OUT."),
        (["export", "out", "asktest"], "Name communities with --community"),
        (["export", "out", "--test", "5%"], "'5%' is not a number: write 0.05."),
        (["stats", "elsewhere"], "To name a store: --store elsewhere"),
        (["forget", "somebody"], "Name people with --author"),
        (["doctor", "--fix"], "The option is called --repair."),
        (["run", "p.toml", "--store", "x"], "The pipeline file names the store: its key `store`."),
        (["crawl", "https://forum.example/latest", "x"], "--site forum.example"),
        (["crawl", "discourse", "https://forum.example/latest"], "Give the site as an option: --site forum.example."),
        (["crawl", "lemmy", "asklemmy@lemmy.world"], "Give the site as an option: --site lemmy.world."),
        (["completion"], "  bash,\n  zsh,"),
        (["docs", "rulez"], "Did you mean `shp-miner docs rules`?"),
        (["export", "out", "--subredit", "x"], "'--subreddit'"),
    ],
)
def test_a_wrong_call_is_told_the_next_step(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert told in answer(capsys, *words, code=2)


def test_a_wrong_value_in_a_variable_names_the_variable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHP_MINER_EXPORT_TEST", "many")
    assert "The value comes from the environment variable SHP_MINER_EXPORT_TEST." in answer(
        capsys, "export", "out", code=2
    )


# -- values -----------------------------------------------------------------------------------------------------------


def test_commas_part_the_values_of_every_repeatable_option_but_people_and_paths(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("p.toml").write_text("")
    assert "p.toml would" in answer(capsys, "run", "p.toml", "--only", "crawl, Export", "--dry-run", code=0)
    assert "'exprt' is not one of" in answer(capsys, "run", "p.toml", "--only", "crawl,exprt", code=2)
    assert "is not one of" in answer(capsys, "run", "p.toml", "--only", "", code=2)
    for command in (["compare"], ["export", "out", "--replace"], ["show"], ["show", "out"]):
        answer(capsys, *command, "--subreddit", "r/AskTest,OTHER", code=0)
    answer(capsys, "export", "out", "--site", "reddit.com,lemmy.world", "--replace", code=0)
    answer(capsys, "import", "reddit-dump", "dumps", "--community", "asktest,other", "--store", "again", code=0)
    assert shp_miner.Store("again").snapshot().communities() == {"asktest", "other"}
    answer(capsys, "init", "q.toml", "--source", "reddit", "--community", "a,b", "--community", "c", code=0)
    assert 'communities = ["a", "b", "c"]' in Path("q.toml").read_text()
    assert "There is no world 'nosuch'" in answer(capsys, "lab", "lab", "--world", "base,nosuch", code=2)
    text = answer(capsys, "forget", "--author", "a,b", "--dry-run", code=0)
    assert "repeat the option, as in --author A --author B." in text


def test_a_stored_name_may_have_a_comma(capsys: pytest.CaptureFixture[str]) -> None:
    old, read = "2024-01-02T03:04:05Z", "2024-03-01T00:00:00Z"
    more = {"score": 20, "observed_at": read}
    lines = [own_thread(old, post_id=str(n), community=name, **more) for n, name in enumerate(("Salt, pepper", "Salt"))]
    Path("own.jsonl").write_text("".join(lines))
    answer(capsys, "import", "own.jsonl", code=0)
    for asked, posts in (("salt, pepper", 1), ("salt", 1), ("salt,salt, pepper", 1)):
        answer(capsys, "compare", "--community", asked, "--json", code=3 if asked.count(",") > 1 else 0)
        found = shp_miner.Store("data/store").snapshot()
        assert len(meant_communities([asked], found.communities())[0]) == posts


def test_rules_and_formats_of_show_and_init_are_read_as_those_of_export(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(capsys, "show", "--rule", "SHP_Strict", "--min-post-score", "1", code=0)
    for command in (["show"], ["init", "--source", "reddit", "--community", "a"], ["export", "out"]):
        text = answer(capsys, *command, "--rule", "shp-strct", code=2)
        assert "There is no rule 'shp-strct'.\nDid you mean 'shp-strict'?" in text
    answer(capsys, "export", "out", "--format", "trl,kto", code=0)
    assert "format kto" in answer(capsys, "show", "out", "--format", "KTO", code=0)
    assert "It has: kto, trl." in answer(capsys, "show", "out", "--format", "dpo", code=2)
    assert "The nearest names: asktest." in answer(capsys, "show", "out", "--community", "askstest", code=5)


@pytest.mark.parametrize("command", [["stats"], ["compare"], ["export", "out"]])
@pytest.mark.parametrize("as_of", ["99", "9.9", "yesterday", "3d"])
def test_a_version_that_is_none_names_the_newest_and_a_time(
    as_of: str, command: list[str], store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = answer(capsys, *command, "--as-of", as_of, code=2)
    assert "Write a version (the newest is 1.1) or a time, for example: --as-of 2026-01-31T12:00:00Z." in text


def options_of(kinds: tuple[type[click.ParamType[Any]], ...]) -> list[tuple[list[str], click.Option]]:
    """Every option whose value is of one of these types, with the words of its command."""
    found = []
    context = click.Context(cli)
    commands = {(name,): _Commands.get_command(cli, context, name) for name in COMMANDS}
    for name, command in list(commands.items()):
        if isinstance(command, click.Group):
            commands |= {(*name, below): command.commands[below] for below in command.commands}
    for words, command in commands.items():
        assert command is not None
        found += [
            (list(words), option)
            for option in command.params
            if isinstance(option, click.Option) and isinstance(option.type, kinds) and not option.is_flag
        ]
    return found


def test_a_wrong_number_size_or_time_is_answered_with_one_that_can_be_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kinds = (Whole, Number, types.Duration, types.Moment, types.Size)
    options = options_of(kinds)
    assert len(options) > 40
    plain = options_of((type(click.INT), type(click.FLOAT)))
    assert [option for _, option in plain if not isinstance(option.type, kinds)] == [], "a type without a next step"
    for words, option in options:
        text = answer(capsys, *words, option.opts[0], "soon", code=2)
        assert re.search(r"'soon' is not a .*: write (it like )?\d", text), text
    for value, told in (
        ("1,000", "write it like 1000."),
        ("0", "0 is too small: write 1 or more."),
        ("1.5", "like 10"),
    ):
        assert told in answer(capsys, "show", "-n", value, code=2)
    assert "write 65000 or less." in answer(capsys, "forum", "--port", "99999", code=2)


def test_threads_without_reading_times_are_led_to_an_export(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("own.jsonl").write_text(own_thread("2024-01-02T03:04:05Z"))
    text = answer(capsys, "import", "own.jsonl", code=0)
    compare, export = (line.strip() for line in text.split("Next:\n")[1].splitlines() if line.startswith("  "))
    assert export == "shp-miner export data/pairs --allow-unknown-age"
    assert "shp-miner export data/pairs --rule shp --allow-unknown-age\n" in answer(
        capsys, *compare.split()[1:], code=0
    )
    text = answer(capsys, "compare", code=0)
    assert "No rule makes a pair of this; the next command says why." in text
    assert text.endswith("shp-miner export data/pairs --rule shp --dry-run\n")
    monkeypatch.setattr("shp_miner.cli.program", lambda: "uv run shp-miner")
    text = answer(capsys, "export", "data/pairs", "--dry-run", code=5)
    assert "Give --allow-unknown-age. `uv run shp-miner compare` shows what each rule gives." in text
    lowest = ["--min-post-score", "1", "--min-answer-score", "0"]
    answer(capsys, "export", "data/pairs", "--allow-unknown-age", "--rule", "votes", *lowest, code=0)


# -- machines ----------------------------------------------------------------------------------------------------------


def error_of(capsys: pytest.CaptureFixture[str], *words: str, code: int) -> dict[str, Any]:
    assert run(words) == code
    captured = capsys.readouterr()
    data: dict[str, Any] = json.loads(captured.out)
    assert data.keys() == {"error", "hint", "exit_code"}
    assert data["exit_code"] == code
    assert data["error"] in captured.err
    return data


def test_with_json_an_error_is_json_on_stdout_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = error_of(capsys, "stats", "--json", code=5)
    assert told["error"] == f"There is no store at {tmp_path / 'data/store'}."
    assert "--store" in told["hint"]
    assert "Did you mean 'export'" in error_of(capsys, "--json", "exprot", code=2)["error"]
    assert "For example:" in error_of(capsys, "export", "--json", code=2)["hint"]
    unlike = error_of(capsys, "zzzz", "--json", code=2)  # people read the list of commands, programs do not
    assert unlike["error"] == "No such command 'zzzz'."
    assert unlike["hint"] == "Try 'shp-miner --help' for the commands."
    for words in ([], ["import"]):
        assert run([*words, "--json"]) == 2
        lacking = json.loads(capsys.readouterr().out)
        assert lacking["error"] == f"{' '.join(['shp-miner', *words])} lacks a command or argument."
    monkeypatch.setenv("SHP_MINER_STATS_AS_JSON", "1")
    assert error_of(capsys, "stats", code=5)
    assert run(["run", "nowhere.toml", "--json"]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["exit_code"] == 2
    assert json.loads(captured.err)["message"]


def test_there_is_one_object_although_a_plan_fails_at_its_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHP_MINER_REDDIT_CLIENT_ID", raising=False)
    Path("p.toml").write_text('[[source]]\nkind = "reddit"\ncommunities = ["askacademia"]\n')
    assert run(["run", "p.toml", "--dry-run", "--json"]) == 4
    assert [step["step"] for step in json.loads(capsys.readouterr().out)["steps"]] == ["crawl", "tidy"]


def test_log_lines_have_the_keys_that_collectors_know(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.toml").write_text("")
    assert run(["run", "p.toml"]) == 0
    for line in map(json.loads, capsys.readouterr().err.splitlines()):
        assert list(line)[:3] == ["time", "level", "message"]
        others = [value for key, value in line.items() if key not in ("time", "message")]
        assert not {line["time"], line["message"]} & set(map(str, others))
