"""The command line as a person or a script meets it: help, results, errors and exit codes."""

from __future__ import annotations

import json
import pickle
import re
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import click
import polars as pl
import pyarrow.parquet as pq
import pytest

from shp_miner import FORMATS, PRESETS, UsageError, preset
from shp_miner.cli import COMMANDS, _Commands, cli, run
from shp_miner.cli.grouped import groups_of
from shp_miner.cli.output import Marked, print_marked, print_table
from shp_miner.forum.live import Community
from shp_miner.forum.serve.server import Forum
from shp_miner.forum.world import World
from shp_miner.rules.fields import PARAMETERS
from shp_miner.rules.presets import BY_VOTES, HEADINGS, Rule
from shp_miner.store.lake import TABLES

from .build import comment, submission, thread, tree, write_dump, write_month
from .conftest import ROOT
from .web import grown


def output(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert run(arguments) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def parsed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(output(capsys, *arguments, "--json", code=code)[0])
    return data


@pytest.fixture
def dumps(tmp_path: Path) -> list[str]:
    return [str(path) for path in write_month(tmp_path / "dumps", [*thread("p1"), *thread("p2", subreddit="Other")])]


# -- help -------------------------------------------------------------------------------------------------------------


def commands() -> list[tuple[str, click.Command]]:
    found = [(name, _Commands().get_command(click.Context(cli), name)) for name in COMMANDS]
    nested = [
        (f"{name} {sub}", c)
        for name, group in found
        if isinstance(group, click.Group)
        for sub, c in group.commands.items()
    ]
    return [(name, command) for name, command in [*found, *nested] if command is not None]


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_has_help_with_an_example(
    name: str, command: click.Command, capsys: pytest.CaptureFixture[str]
) -> None:
    text, _ = output(capsys, *name.split(), "--help")
    assert command.help
    assert isinstance(command, click.Group) or f"shp-miner {name}" in text.split("Example:")[1]
    for parameter in command.params:
        assert isinstance(parameter, click.Argument) or parameter.help, parameter.name  # type: ignore[attr-defined]


def test_every_parameter_of_a_rule_is_an_option_of_export(capsys: pytest.CaptureFixture[str]) -> None:
    text, _ = output(capsys, "export", "--help")
    for name in set(Rule.__struct_fields__) - {"name", "confounded"}:
        assert f"--{name.removesuffix('_s').rstrip('_').replace('_', '-')}" in text
    for name in (*PRESETS, *FORMATS):
        assert name in text.replace("-\n  ", "-")


def test_every_parameter_of_a_rule_has_a_heading() -> None:
    assert set(HEADINGS) <= set(Rule.__struct_fields__)
    assert list(dict.fromkeys(field.heading for field in PARAMETERS.values())) == list(HEADINGS.values())


def test_the_help_of_long_commands_comes_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    text, _ = output(capsys, "export", "--help")
    headings = [
        "What to export",
        "Form of the export",
        *HEADINGS.values(),
        "Cleaning",
        "Speed and memory",
        "Other options",
    ]
    assert re.findall(r"^([A-Z][\w ]+):$", text, re.M) == headings
    assert "--min-ratio" in text.split("Which pairs:")[1].split("Speed and memory:")[0]
    for command in ("crawl", "recheck", "import reddit-dump"):
        assert "\nOther options:\n" in output(capsys, *command.split(), "--help")[0]
    assert "\nOptions:\n" in output(capsys, "stats", "--help")[0]
    for _, command in commands():
        shown = [option for _, group in groups_of(command, click.Context(command)) for option in group]
        assert sorted(map(id, shown)) == sorted(
            id(option) for option in command.get_params(click.Context(command)) if isinstance(option, click.Option)
        )


@pytest.mark.parametrize("width", [60, 80])
def test_help_fits_a_narrow_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = output(capsys, "export", "--help")[0].split("Example:")[0]  # which is pasted
    assert max(map(len, text.splitlines())) <= width


def test_help_needs_no_heavy_library() -> None:
    heavy = {
        "polars",
        "pyarrow",
        "datasets",
        "numpy",
        "deltalake",
        "rich",
        "obstore",
        "ray",
        "msgspec",
        "importlib.metadata",
    }
    code = f"import sys; from shp_miner.cli import run; run(['--help']); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    import shp_miner

    assert output(capsys, "--version")[0].strip() == f"shp-miner, version {shp_miner.__version__}"


def test_the_exported_names_are_there() -> None:
    import shp_miner

    for name in shp_miner.__all__:
        assert getattr(shp_miner, name) is not None
        assert name in dir(shp_miner)
    from shp_miner import crawling, forgetting, pipeline  # rooms do not take the place of functions  # noqa: F401

    for name in ("crawl", "recheck", "forget", "export_dataset", "load", "run", "status"):
        assert callable(getattr(shp_miner, name))
    with pytest.raises(AttributeError):
        _ = shp_miner.nothing_of_the_kind


# -- the flow ---------------------------------------------------------------------------------------------------------


def test_import_export_stats_and_doctor_for_people(dumps: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text, errors = output(capsys, "import", "reddit-dump", *dumps)
    assert "Imported into data/store, version 1.1" in text
    assert errors == ""
    text, _ = output(capsys, "export", "out")
    assert "asktest" in text
    assert "winner older" in text
    text, _ = output(capsys, "stats")
    assert "reddit.com" in text
    text, _ = output(capsys, "doctor")
    assert "No problems found." in text


def test_the_same_for_machines(dumps: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    data = parsed(capsys, "import", "reddit-dump", *dumps)
    assert data["kept"] == {"answer": 6, "post": 2}
    assert data["complete"] is True
    data = parsed(capsys, "export", "out", "--format", "trl", "--format", "kto", "--community", "OTHER")
    assert data["pairs"] == {"other": 2}
    assert data["formats"] == {"kto": 3, "trl": 2}
    assert data["dropped"]["pair"] == {"winner_older": 1}
    data = parsed(capsys, "stats")
    assert [row["community"] for row in data["communities"]] == ["asktest", "other"]
    assert [row["posts"] for row in data["communities"]] == [1, 1]
    data = parsed(capsys, "doctor")
    assert data["store"]["version"] == "1.1"
    assert data["problems"] == []


@pytest.mark.parametrize("width", [30, 80, 120])
def test_a_narrow_terminal_cuts_nothing_and_breaks_no_word(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("FORCE_COLOR", "1"), ("NO_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", str(width))):
        monkeypatch.setenv(name, value)
    columns = ("pipeline", "started", "took", "outcome", "code", "new", "changed", "deleted", "pairs", "requests")
    row = ("meta.toml", "2026-11-26 03:27 (17 min ago)", "6 s", "in part", 3, 1_234, 56, 7, 90_123, 4_567)
    print_table("Last runs", columns, [row] * 2)
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    for word in (*columns, "meta.toml", "2026-11-26", "03:27", "(17", "ago)", "1,234", "90,123", "4,567"):
        assert re.search(rf"(^|\s){re.escape(word)}(\s|$)", out, re.M), word
    widest = max(map(len, out.splitlines()))
    assert widest <= max(width, 80), "no wider than its words need"


def on_terminal(monkeypatch: pytest.MonkeyPatch, width: int, *, colour: bool = False) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", str(width))):
        monkeypatch.setenv(name, value)
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")


def test_columns_leave_a_narrow_terminal_by_rank(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = ("community", "site", "read", "restored", "failed")
    rows = [("explainlikeimfive", "forum.example", 12, 0, 3)]
    expected = {80: columns, 45: ("community", "site", "read", "failed"), 32: ("community", "read", "failed")}
    for width, left in expected.items():
        on_terminal(monkeypatch, width)
        print_table("Crawled", columns, rows, leave=("site", "failed", "restored"))
        text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
        assert tuple(text.splitlines()[2].split()) == left
        assert max(map(len, text.splitlines()[:6])) <= width
        gone = len(columns) - len(left)
        note = f"{gone} more column{'s' * (gone > 1)} in a wider window or with --json"
        assert (note in text) == bool(gone)


def test_a_heading_that_just_does_not_fit_is_not_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = ("rule", "right", "pairs a thread", "multiple", "worlds with 2 or more")
    for width in range(60, 90):
        on_terminal(monkeypatch, width)
        print_table("Summary", columns, [("time-matched", "0.929 to 0.929", "30.750", "1.000", "0 of 1")])
        text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
        assert {"worlds", "with", "2", "or", "more"} <= set(text.split()), width


def test_without_a_terminal_no_column_leaves(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("Long", ("a", "b"), [("x" * 200, "y" * 200)], leave=("b",))
    assert "y" in capsys.readouterr().out


def test_colour_repeats_what_a_word_says(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(Marked("done", "good"), 1), (Marked("failed", "wrong"), 2)]
    for colour in (True, False):
        on_terminal(monkeypatch, 80, colour=colour)
        print_table("Runs", ("outcome", "n"), rows)
        print_marked(Marked("Wrong: runs.", "wrong"))
        text = capsys.readouterr().out
        assert ("\x1b[32mdone" in text, "31mfailed" in text, "31mWrong: runs." in text) == (colour,) * 3
        assert {"done", "failed", "Wrong:"} <= set(re.sub(r"\x1b\[[0-9;]*m", "", text).split())
    monkeypatch.delenv("FORCE_COLOR")
    print_table("Runs", ("outcome", "n"), rows)
    print_marked(Marked("Wrong: runs.", "wrong"))
    assert "\x1b" not in capsys.readouterr().out


def test_quiet_says_nothing(dumps: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert output(capsys, "import", "reddit-dump", *dumps, "--quiet") == ("", "")
    assert output(capsys, "export", "out", "--quiet") == ("", "")


def test_options_can_stand_in_the_environment(
    dumps: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHP_MINER_IMPORT_REDDIT_DUMP_STORE", "elsewhere")
    monkeypatch.setenv("SHP_MINER_EXPORT_STORE", "elsewhere")
    monkeypatch.setenv("SHP_MINER_EXPORT_RULE", "votes")
    assert parsed(capsys, "import", "reddit-dump", *dumps)["store"] == "elsewhere"
    assert parsed(capsys, "export", "out")["rule"] == "votes"


def test_durations_and_dates_as_people_write_them(dumps: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    parsed(capsys, "import", "reddit-dump", *dumps)
    assert parsed(capsys, "export", "out", "--max-apart", "1m")["pairs"] == {"asktest": 1, "other": 1}
    assert parsed(capsys, "export", "out2", "--since", "2020-01-01", "--until", "2021-01-01", "--min-score-age", "2d")[
        "pairs"
    ]
    assert "is not a duration" in output(capsys, "export", "out", "--max-apart", "soon", code=2)[1]
    assert "is not a date" in output(capsys, "export", "out", "--since", "last year", code=2)[1]


def test_a_confounded_rule_is_marked(dumps: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    output(capsys, "import", "reddit-dump", *dumps)
    assert "confounded" in output(capsys, "export", "out", "--rule", "votes")[0]
    assert "confounded by attention" in Path("out/README.md").read_text()


def test_changed_parameters_change_what_an_export_is_called(
    dumps: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    output(capsys, "import", "reddit-dump", *dumps)
    output(capsys, "export", "older", "--rule", "older-winner")
    shown, _ = output(capsys, "export", "turned", "--rule", "shp", "--order", "winner-older")
    assert "Rule older-winner" in shown
    assert "confounded by attention" in shown
    assert tree(Path("turned")) == tree(Path("older"))
    assert parsed(capsys, "export", "out", "--min-ratio", "1.5")["rule"] == "shp with min_ratio 1.5"
    card = Path("out/README.md").read_text()
    assert "rule `shp with min_ratio 1.5`" in card
    assert "wins if it is not older; at least 1.5 times the score." in card
    assert set(pl.read_parquet("out/*/*.parquet")["rule"]) == {"shp with min_ratio 1.5"}


def test_months_read_too_early_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    early = [comment(f"c{i}", retrieved_on=1_600_000_100) for i in range(20)]
    output(capsys, "import", "reddit-dump", str(write_dump(tmp_path / "RC", early)))
    data = parsed(capsys, "stats")
    assert data["read_too_early"] == [{"community": "asktest", "month": "2020-09", "answers": 20, "share": 1.0}]
    assert "noise" in output(capsys, "stats")[0]
    assert "--allow-unknown-age" not in output(capsys, "stats")[0]


def test_scores_of_which_nobody_knows_the_age_are_not_called_early(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ageless = [comment(f"c{i}", retrieved_on=None) for i in range(20)]
    output(capsys, "import", "reddit-dump", str(write_dump(tmp_path / "RC", ageless)))
    data = parsed(capsys, "stats")
    assert data["read_too_early"] == []
    (community,) = data["communities"]
    assert (community["share_read_within_a_day"], community["share_of_unknown_age"]) == (0.0, 1.0)
    shown = output(capsys, "stats")[0]
    assert "noise" not in shown
    assert "Scores read at an unknown time: rules drop them without --allow-unknown-age" in shown


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["imprt"], 2, "Did you mean 'import'?"),
        (["zzz"], 2, "The commands:"),
        (["import"], 2, "COMMAND"),
        (["import", "reddit-dump"], 2, "Missing argument"),
        (["import", "reddit-dump", "nowhere.zst"], 5, "/nowhere.zst.\nCheck the path."),
        (["import", "stackexchange-dump", "nowhere.7z"], 5, "nowhere.7z"),
        (["import", "threads", "nowhere.jsonl"], 5, "nowhere.jsonl"),
        (["export", "out"], 5, "data/store.\nImport or crawl"),
        (["stats", "--store", "nowhere"], 5, "/nowhere.\nImport or crawl"),
        (["export", "out", "--rule", "shpp"], 2, "Did you mean 'shp'"),
        (["export", "out", "--min-ratio", "0.5"], 2, "0.5 is not in the range x>=1"),
        (["export", "out", "--min-confidence", "0.5"], 2, "0.5 is not in the range 0.5<x<1"),
        (["export", "out", "--min-confidence", "1"], 2, "1.0 is not in the range 0.5<x<1"),
        (["export", "out", "--min-confidence", "nan"], 2, "min_confidence"),
        (["export", "out", "--max-answers-per-post", "0"], 2, "0 is too small: write 1 or more"),
        (["export", "out", "--order", "newest"], 2, "winner-not-older"),
        (["demo", "--seed", "-1"], 2, "seed"),
    ],
)
def test_an_error_says_what_happened_and_what_to_do(
    arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, errors = output(capsys, *arguments, code=code)
    assert words in out + errors
    assert "Traceback" not in errors
    assert not Path("data").exists()


def test_a_traceback_only_with_v(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Traceback" in output(capsys, "stats", "-v", code=5)[1]


def test_a_traceback_in_python_shows_what_to_do() -> None:
    with pytest.raises(UsageError) as caught:
        preset("calibratd")
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):  # as one that comes from another process
        assert traceback.format_exception(error)[-1] == "Did you mean 'calibrated'?\n"


def test_a_bug_is_called_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dumps: list[str]
) -> None:
    output(capsys, "import", "reddit-dump", *dumps)
    monkeypatch.setattr("shp_miner.health.stats.stats", lambda _: 1 / 0)
    _, errors = output(capsys, "stats", code=1)
    assert "This is a bug" in errors


def test_lost_records_are_counted_located_and_exit_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_dump(tmp_path / "RC", [comment("c1"), "{broken", comment("c2", score="x")])
    out, errors = output(capsys, "import", "reddit-dump", str(path), code=3)
    assert "not json" in out
    assert f"{path}, byte " in errors
    assert "2 records could not be used; all other records are in the store" in errors
    data = parsed(capsys, "import", "reddit-dump", str(path), code=3)
    assert data["dropped"]["answer"] == {"bad_score": 1, "not_json": 1}
    assert data["complete"] is False


def test_a_truncated_file_keeps_what_is_whole_and_exits_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_dump(tmp_path / "RC.gz", [comment(f"c{i}", body=f"{i * 7919 % 10_007} " * 40) for i in range(2000)])
    path.write_bytes(path.read_bytes()[:-20_000])
    data = parsed(capsys, "import", "reddit-dump", str(path), code=3)
    assert data["kept"]["answer"] > 100
    assert data["damaged"] == [
        {"file": str(path), "byte": path.stat().st_size, "what": "the archive ends in the middle (truncated)"}
    ]


def test_doctor_never_shows_a_credential(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("REDDIT_CLIENT_ID", "REDDIT_CLIENT_SECRET", "REDDIT_USER_AGENT", "STACKEXCHANGE_KEY"):
        monkeypatch.setenv(f"SHP_MINER_{name}", f"hidden {name}")
    monkeypatch.setenv("HF_TOKEN", "hidden-token")
    text = "".join([*output(capsys, "doctor"), *output(capsys, "doctor", "--json")])
    assert "hidden" not in text
    every = {"Hugging Face": True, "Reddit": True, "Stack Exchange": True}
    assert parsed(capsys, "doctor")["credentials"] == every
    monkeypatch.delenv("SHP_MINER_REDDIT_CLIENT_ID")
    assert parsed(capsys, "doctor")["credentials"] == every | {"Reddit": False}


def test_doctor_names_a_broken_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "shp-miner-store.json").write_text("{")
    text, _ = output(capsys, "doctor", "--store", "broken", code=5)
    assert "is damaged" in text


AS_NOBODY = """
import os, sys
import shp_miner.cli.import_, shp_miner.dumps.importing, shp_miner.store
import shp_miner.dumps.reddit, shp_miner.dumps.reddit_columns
from shp_miner.cli import run
if os.geteuid() == 0:
    os.setuid(65534)
sys.exit(run(["import", "reddit-dump", "locked", "--store", "store"]))
"""


def test_a_folder_without_the_right_to_read_is_one_sentence(tmp_path: Path) -> None:
    """Root may read everything, so the command gives that up once its modules are loaded."""
    folder = tmp_path / "locked"
    folder.mkdir()
    write_dump(folder / "RC", [submission()])
    folder.chmod(0)
    # pytest's folders are closed to others, and the way to the locked folder must be open.
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", AS_NOBODY], capture_output=True, text=True, check=False, cwd=tmp_path)
    folder.chmod(0o755)
    assert done.returncode == 5, done.stderr
    assert "Permission was denied" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["stats", "--store", "file/store"],
        ["status", "--store", "file/store"],
        ["import", "threads", "file", "--store", "file/store"],
        ["import", "threads", "file/threads.jsonl"],
        ["import", "reddit-dump", f"{'R' * 300}.zst"],
        ["lab", "file/out", "--world", "base", "--threads", "2", "--no-charts"],
        ["doctor", "--repair", "--store", "loop/store"],
        ["vacuum", "--store", f"{'s' * 300}"],
    ],
)
def test_a_path_that_cannot_be_is_no_bug(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    assert run(words) == 5
    assert "Invalid path while" in capsys.readouterr().err


def test_the_demo_runs_twice_alike_and_prints_what_the_readme_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CLIENT_ID", "CLIENT_SECRET", "USER_AGENT"):
        monkeypatch.setenv(f"SHP_MINER_REDDIT_{name}", "the user's own, which the forum would refuse")
    first = parsed(capsys, "demo")
    files = demo_files()
    right = {row["rule"]: row["accuracy"] for row in first["rules"]}
    assert right.keys() == set(BY_VOTES)
    assert right["shp"] > right["votes"] > right["older-winner"]
    assert first["loaded_rows"] == next(row["pairs"] for row in first["rules"] if row["rule"] == "shp")
    assert [day["new"] for day in first["days"]] == [41, 4, 0, 0, 0]
    assert first["days"][-1]["again"] == first["threads"] == 45, "on the last day every thread is due"
    assert "Pairs to read" in Path(first["report"]).read_text()
    reported = {
        figure["name"]: figure
        for figure in json.loads(Path(first["report"]).with_suffix(".json").read_bytes())["figures"]
    }
    for figure in json.loads((ROOT / "docs" / "pictures" / "report.json").read_bytes()):
        assert figure == reported[figure["name"]], "take it over: .ci/pictures --report data/demo/shp/report.json"

    text, _ = output(capsys, "demo")
    assert demo_files() == files
    assert "Pictures of the shp export, and pairs to read: data/demo/shp/report.html" in " ".join(text.split())
    shown = (ROOT / "README.md").read_text().split("```text\n")[1].split("```")[0]
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for line in shown.strip().splitlines():
        assert " ".join(line.split()) in lines
    page = (ROOT / "docs" / "looking.md").read_text().split("```text\n")[1].split("```")[0].splitlines()
    shown, _ = output(capsys, *page[0].split()[2:])
    assert " ".join(shown.split()) == " ".join(" ".join(page[1:]).split())
    following = [line.strip() for line in text.split("Next:")[1].splitlines() if line.strip()]
    assert len(following) == 3
    for line in following[:2]:
        output(capsys, *line.split()[1:])

    # What people deleted is in no file of the store, whichever version it belongs to.
    posts, answers = (pq.ParquetDataset(Path("data/demo/store") / name).read().to_pylist() for name in TABLES)
    gone = [row for row in [*posts, *answers] if row["state"] != "live"]
    gone_ids = {(row["post_id"], row.get("answer_id")) for row in gone}
    assert len(gone_ids) == first["deleted"] == sum(day["gone"] for day in first["days"])
    for row in [*posts, *answers]:
        if (row["post_id"], row.get("answer_id")) in gone_ids:
            assert (row["body"], row.get("title") or "", row["author"]) == ("", "", None)


def demo_files() -> dict[str, bytes]:
    """The demo's exports, and nothing of its store, whose files have random names."""
    folders = (Path("data/demo") / name for name in BY_VOTES)
    return {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def test_the_demo_replaces_no_store_but_its_own(dumps: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    output(capsys, "import", "reddit-dump", *dumps, "--store", "data/demo/store")
    assert "was not made by the demo" in output(capsys, "demo", code=2)[1]
    assert parsed(capsys, "stats", "--store", "data/demo/store")["communities"]


# -- crawling ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signal_sent", [signal.SIGTERM, signal.SIGKILL])
def test_a_crawl_that_is_ended_is_completed_by_the_next(
    signal_sent: signal.Signals, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    community = grown(8)
    with Forum(community, ["discourse"]) as forum:
        command = ["crawl", "discourse", community.name, "--site", "forum.example", "--allow-private"]
        command += ["--url", forum.url("discourse"), "--json"]
        start = "import sys; from shp_miner.cli import run; sys.exit(run(sys.argv[1:]))"
        process = subprocess.Popen([sys.executable, "-c", start, *command], stdout=subprocess.PIPE)
        while process.poll() is None and len(forum.requests("discourse")) < 5:
            time.sleep(0.002)
        process.send_signal(signal_sent)
        out, _ = process.communicate(timeout=60)
        read_before = 0
        if signal_sent == signal.SIGTERM:
            assert process.returncode == 3
            (told,) = json.loads(out)["communities"]
            assert (told["stopped"], told["listed"], told["read"] + told["waiting"]) == ("interrupted", 8, 8)
            read_before = told["read"]
        else:
            assert process.returncode == -signal.SIGKILL
            # What it had claimed is free again after a quarter of an hour.
            monkeypatch.setattr("shp_miner.sources.pace._SystemClock.now", lambda _: time.time() + 1000)
        data = parsed(capsys, *command)
        assert data["complete"]
        assert 0 < data["communities"][0]["read"] <= 8 - read_before
        assert parsed(capsys, *command)["communities"][0]["read"] == 0
    (row,) = parsed(capsys, "stats")["communities"]
    assert (row["community"], row["posts"]) == (community.name, 8)
    assert row["answers"] == sum(len(thread.answers) for thread in community.threads())


def test_what_cannot_be_crawled_is_said_and_makes_no_store(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHP_MINER_REDDIT_CLIENT_ID", raising=False)
    assert "requires credentials" in output(capsys, "crawl", "reddit", "askacademia", code=4)[1]
    assert "No site given" in output(capsys, "crawl", "lemmy", "asklemmy", code=2)[1]
    assert "There is no store" in output(capsys, "recheck", code=5)[1]
    with Forum(Community(world=World(threads=1)), ["lemmy"]) as forum:
        arguments = ["crawl", "discourse", "latest", "--site", "forum.example", "--url", forum.url("lemmy")]
        assert "--allow-private" in output(capsys, *arguments, code=5)[1]
        arguments.append("--allow-private")
        assert "does not answer like a Discourse forum" in output(capsys, *arguments, code=5)[1]
    assert not Path("data").exists()


@pytest.mark.parametrize("stopped", [None, "a.example is down."])
def test_an_export_may_visit_first_what_is_due(
    stopped: str | None, dumps: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from shp_miner import Crawled

    parsed(capsys, "import", "reddit-dump", *dumps)
    asked: list[Path] = []

    def visit(store: Path, *_: object, **__: object) -> list[Crawled]:
        asked.append(store)
        return [Crawled("lemmy", "a.example", "talk", stopped=stopped)]

    monkeypatch.setattr("shp_miner.crawling.run.recheck", visit)
    assert run(["export", "out"]) == 0
    assert asked == []
    capsys.readouterr()
    assert run(["export", "out", "--recheck"]) == 0
    assert asked == [Path("data/store")]
    assert ("Some threads could not be rechecked" in capsys.readouterr().err) == (stopped is not None)


def test_loading_every_command_leaves_the_function_that_runs_them() -> None:
    from shp_miner import cli

    for name in cli.COMMANDS:
        cli._Commands().get_command(click.Context(cli.cli), name)
    assert cli.run is run, "a module of that name would take its place"
