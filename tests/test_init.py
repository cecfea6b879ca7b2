"""`shp-miner init`: a file that is taken as it is, from questions or options, and never over another."""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from shp_miner import cli
from shp_miner.pipeline import config
from shp_miner.pipeline.reference import reference, tables
from shp_miner.pipeline.template import default_out, starting_text

from .crawls import bench, with_limits
from .flows import community

DISCOURSE = ("--source", "discourse", "--site", "forum.example", "--community", "workbench")


class Terminal(io.StringIO):
    """Somebody who types these lines, and then Ctrl-D."""

    def isatty(self) -> bool:
        return True


def answers(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("".join(f"{line}\n" for line in lines)))


def settings(name: str = "pipeline.toml") -> dict[str, Any]:
    """What stands in a file that is switched on, without empty tables."""
    return {key: value for key, value in tomllib.loads(Path(name).read_text()).items() if value}


def test_three_questions_make_a_file(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answers(monkeypatch, "discourse", "meta.discourse.org", "support  howto", "")
    assert cli.run(["init"]) == 0
    assert settings() == {
        "store": "data/store",
        "source": [{"kind": "discourse", "site": "meta.discourse.org", "communities": ["support", "howto"]}],
        "rule": {"name": "shp"},
        "export": [{"out": "data/support", "formats": ["pairs"]}],
    }
    said = capsys.readouterr().out
    assert said.count("?") == 4, "three questions, and which site"
    assert said.index("shp-miner run pipeline.toml --dry-run") < said.rindex("shp-miner run pipeline.toml")


def test_only_what_no_option_says_is_asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answers(monkeypatch, "elsewhere/set")
    assert cli.run(["init", "a.toml", *DISCOURSE]) == 0
    assert settings("a.toml")["export"][0]["out"] == "elsewhere/set"
    answers(monkeypatch)
    assert cli.run(["init", "b.toml", *DISCOURSE, "--out", "x"]) == 0


def test_empty_answers_take_what_is_offered_or_are_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(monkeypatch, "", "", "  ", "meta.discourse.org", "", "")
    assert cli.run(["init"]) == 0
    assert settings()["source"] == [
        {"kind": "discourse", "site": "meta.discourse.org", "communities": ["latest"]},
    ]
    assert settings()["export"][0]["out"] == "data/meta-discourse-org"
    assert "The answer is empty" in capsys.readouterr().out


def test_a_wrong_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answers(monkeypatch, "redit", "reddit", "", "explainlikeimfive", "")
    assert cli.run(["init"]) == 0
    assert settings()["source"] == [{"kind": "reddit", "communities": ["explainlikeimfive"]}]
    output = capsys.readouterr()
    assert "'redit' is not one of" in output.out + output.err
    assert "app of your own" in output.out


@pytest.mark.parametrize("lines", [(), ("discourse",), ("discourse", "a.example", "b")])
def test_who_stops_answering_gets_no_file(
    lines: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(monkeypatch, *lines)
    assert cli.run(["init"]) == 3
    assert list(Path().glob("*.toml*")) == []
    assert "Traceback" not in capsys.readouterr().err


def test_ctrl_c_makes_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Terminal):
        def readline(self, *_: Any) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Interrupted())
    assert cli.run(["init"]) == 3
    assert list(Path().glob("*.toml*")) == []


def test_without_a_terminal_options_say_all(capsys: pytest.CaptureFixture[str]) -> None:
    more = shlex.split("--community howto --rule calibrated --format trl --format kto --store s --out o")
    assert cli.run(["init", "deep/p.toml", *DISCOURSE, *more, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {
        "pipeline": "deep/p.toml",
        "next": ["shp-miner run deep/p.toml --dry-run", "shp-miner run deep/p.toml"],
    }
    assert settings("deep/p.toml") == {
        "store": "s",
        "source": [{"kind": "discourse", "site": "forum.example", "communities": ["workbench", "howto"]}],
        "rule": {"name": "calibrated"},
        "export": [{"out": "o", "formats": ["trl", "kto"]}],
    }


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ((), "--source and --community are missing"),
        (("--source", "lemmy"), "--community and --site are missing"),
        (("--source", "reddit"), "--community is missing"),
    ],
)
def test_what_is_missing_is_said(
    options: tuple[str, ...], missing: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert cli.run(["init", *options]) == 2
    assert missing in capsys.readouterr().err
    assert not Path("pipeline.toml").exists()


def test_no_file_is_ever_overwritten(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Path("pipeline.toml").write_text("# mine\n")
    Path("link.toml").symlink_to("nowhere.toml")
    for name in ("pipeline.toml", "link.toml"):
        answers(monkeypatch, *["x"] * 9)
        assert cli.run(["init", name, *DISCOURSE]) == 2
        output = capsys.readouterr()
        assert "exists already" in output.err
        assert output.out == "", "nobody is asked in vain"
    assert Path("pipeline.toml").read_text() == "# mine\n"
    assert not Path("nowhere.toml").exists()


TEXT = starting_text(source="discourse", site="forum.example", communities=["workbench"], out="data/x")


def test_every_table_and_key_stands_in_the_file_with_what_it_does() -> None:
    for name, about in tables().items():
        assert about
        section = TEXT.split(f"\n{name}\n" if f"\n{name}\n" in TEXT else f"\n#{name}\n")[1] if name else TEXT
        for key in [row for row in reference() if row.table == name]:
            assert re.search(rf"^# {re.escape(key.description)}.*\n#?{key.name} = ", section, re.M), key


@pytest.mark.parametrize("key", [key for key in reference() if key.table != "[[import]]"], ids=lambda key: key.name)
def test_each_key_can_be_switched_on(key: Any) -> None:
    before, mark, after = TEXT.partition(f"\n{key.table}\n") if key.table else ("", "", TEXT.replace("\n\n", "\n", 1))
    section, gap, rest = after.partition("\n\n")
    names = f"{key.name}|decontaminate" if key.name.startswith("decontaminate_") else key.name  # it needs a set
    switched = before + mark + re.sub(rf"^#(?=({names}) = )", "", section, flags=re.M) + gap + rest
    assert re.search(rf"^{key.name} = ", switched, re.M)
    config.parse(tomllib.loads(switched))


def test_the_table_of_imports_can_be_switched_on() -> None:
    before, mark, after = TEXT.partition("#[[import]]\n")
    assert mark
    switched = before + mark[1:] + re.sub(r"^#(?=(kind|paths|communities) = )", "", after, count=3, flags=re.M)
    (found,) = config.parse(tomllib.loads(switched)).imports
    assert (found.kind, found.paths, found.communities) == ("reddit-dump", ["dumps/*.zst"], ["askacademia"])


@pytest.mark.parametrize(
    ("communities", "site", "out"),
    [
        (["r/AskAcademia"], None, "data/askacademia"),
        (["latest"], "https://forum.example/talk", "data/forum-example-talk"),
        (["all"], "cooking.stackexchange.com", "data/cooking-stackexchange-com"),
        (["support/linux", "x"], "a.example", "data/support-linux"),
        (["../.."], None, "data/dataset"),
    ],
)
def test_where_an_export_goes_unless_told_otherwise(communities: list[str], site: str | None, out: str) -> None:
    assert default_out(communities, site) == out


def test_values_with_quotes_and_other_letters_stay_what_they_are() -> None:
    text = starting_text(source="discourse", site="a.example", communities=['say "ü\\"\n'], out="o")
    assert config.parse(tomllib.loads(text)).sources[0].communities == ['say "ü\\"\n']


def test_the_file_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_limits(patch=monkeypatch, requests=100_000, burst=100, pause_s=0)
    with bench("discourse", tmp_path / "unused", community()) as at:
        assert cli.run(["init", "p.toml", *DISCOURSE]) == 0
        url = at.forum.url("discourse")
        text = Path("p.toml").read_text().replace('#url = "http://127.0.0.1:8000"', f'url = "{url}"')
        Path("p.toml").write_text(text.replace("#allow_private = false", "allow_private = true"))
        assert cli.run(["run", "p.toml"]) == 0
    assert Path("data/workbench/manifest.json").exists()
