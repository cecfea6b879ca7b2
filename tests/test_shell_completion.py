"""Completion in a shell: by click's protocol, and in the shells that this machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from shp_miner import FORMATS, PRESETS
from shp_miner.cli import COMMANDS, cli, run
from shp_miner.sources.table import ROWS

from .build import thread, write_month

PROGRAM = Path(sys.executable).with_name("shp-miner")


def completed(*words: str) -> list[str]:
    *before, last = words
    complete = ShellComplete(cli, {}, "shp-miner", "_SHP_MINER_COMPLETE")
    return [item.value for item in complete.get_completions(list(before), last)]


@pytest.fixture
def store() -> str:
    dumps = [str(path) for path in write_month(Path("dumps"), [*thread("p1"), *thread("p2", subreddit="Other")])]
    assert run(["import", "reddit-dump", *dumps, "--quiet"]) == 0
    return "data/store"


def test_commands_kinds_sources_rules_and_formats_complete() -> None:
    assert completed("") == list(COMMANDS)
    assert completed("import", "r") == ["reddit-dump"]
    assert completed("crawl", "l") == ["lemmy"]
    assert completed("crawl", "") == list(ROWS)
    assert completed("export", "out", "--rule", "") == list(PRESETS)
    assert completed("export", "out", "--rule", "SHP") == ["shp", "shp-strict"]
    assert completed("export", "out", "--format", "") == list(FORMATS)
    assert completed("export", "out", "--format", "trl,k") == ["trl,kto"]
    assert completed("init", "--rule", "cal") == ["calibrated"]
    assert completed("help", "expo") == ["export"]
    assert completed("explain", "winner_o") == ["winner_older"]
    assert "rules#confidence" in completed("docs", "rules#")
    assert completed("--store", "elsewhere", "stat") == ["status", "stats"]


def test_communities_of_the_store_complete(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert completed("export", "out", "--community", "") == ["asktest", "other"]
    assert completed("export", "out", "--community", "AS") == ["asktest"]
    assert completed("export", "out", "--community", "r/As") == ["r/asktest"]
    assert completed("export", "out", "--store", "nowhere", "--community", "") == []
    Path(store).rename("moved")
    assert completed("export", "out", "--community", "") == []
    assert completed("export", "out", "--store", "moved", "--community", "o") == ["other"]
    monkeypatch.setenv("SHP_MINER_STORE", str(tmp_path / "moved"))
    assert completed("export", "out", "--community", "o") == ["other"]


def test_a_damaged_store_completes_to_nothing(store: str) -> None:
    for file in Path(store).rglob("*.parquet"):
        file.write_bytes(b"PAR1 and no more")
    (Path(store) / "crawl.sqlite").write_bytes(b"not SQLite")
    assert completed("export", "out", "--community", "") == []


def test_pipelines_complete_by_folders_and_toml_files(tmp_path: Path) -> None:
    (tmp_path / "sets").mkdir()
    for name in ("a.toml", "b.txt", ".hidden.toml", "sets/c.toml"):
        (tmp_path / name).touch()
    assert completed("run", "") == ["a.toml", "sets/"]
    assert completed("schedule", "sets/") == ["sets/c.toml"]
    assert completed("run", "nowhere/") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed_for_each_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert f"_SHP_MINER_COMPLETE={shell}_complete" in out
    assert run(["completion", "tcsh"]) == 2


def test_a_shell_that_asks_gets_its_answer_without_heavy_libraries() -> None:
    heavy = {"polars", "pyarrow", "datasets", "numpy", "deltalake", "rich", "pandas"}
    code = (
        "import sys; from shp_miner.cli import run; code = run([]); "
        f"print(code, sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )
    around = {**os.environ, "_SHP_MINER_COMPLETE": "bash_complete", "COMP_WORDS": "shp-miner export o --rule shp-"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**around, "COMP_CWORD": "4"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["plain,shp-strict"]
    assert done.stderr.splitlines()[-1] == "0 []"


def has(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    if not PROGRAM.exists():
        pytest.skip("shp-miner is not installed as a program")


def asked(shell: str, script: str) -> str:
    around = {**os.environ, "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"}
    begin_s = time.monotonic()
    done = subprocess.run([shell, "-c", script], env=around, capture_output=True, text=True, check=False, timeout=60)
    assert time.monotonic() - begin_s < 30
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_bash_completes() -> None:
    has("bash")
    version = asked("bash", 'echo "${BASH_VERSINFO[0]}${BASH_VERSINFO[1]}"').strip()
    if int(version) < 44:
        pytest.skip("click needs bash 4.4")
    line = "shp-miner export out --rule shp-s"
    script = f"""eval "$(shp-miner completion bash)"
COMP_WORDS=({line}); COMP_CWORD=4; COMP_LINE="{line}"; COMP_POINT=${{#COMP_LINE}}
_shp_miner_completion shp-miner; printf '%s\\n' "${{COMPREPLY[@]}}"; complete -p shp-miner"""
    first, registered = asked("bash", script).splitlines()
    assert first == "shp-strict"
    assert "_shp_miner_completion" in registered


def test_fish_completes() -> None:
    has("fish")
    script = "shp-miner completion fish | source; complete -C 'shp-miner export out --rule shp-s'"
    assert asked("fish", script).split()[0] == "shp-strict"


def test_zsh_takes_the_script() -> None:
    has("zsh")
    script = 'autoload -Uz compinit; compinit -u; eval "$(shp-miner completion zsh)"; print ${_comps[shp-miner]}'
    assert asked("zsh", script).strip() == "_shp_miner_completion"
