"""The container file: what can be held to be true without a container engine."""

from __future__ import annotations

import json
import re
import shlex
import tomllib

from .conftest import ROOT

LINES = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text()).splitlines()
STEPS = [line.split(maxsplit=1) for line in LINES if line and not line.startswith("#")]


def steps(word: str) -> list[str]:
    return [rest for name, rest in STEPS if name == word]


def test_the_builder_gets_what_is_copied_and_what_the_build_reads() -> None:
    given = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {name for rest in steps("COPY") if "--from" not in rest for name in rest.split()[:-1]}
    assert copied == given
    assert all((ROOT / name).exists() for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert {project["project"]["readme"], *project["project"]["license-files"]} <= copied
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*wheel["packages"], *wheel.get("force-include", {})} <= copied


def test_exact_versions_are_installed_and_a_user_that_is_not_root_runs_the_program() -> None:
    (install,) = [rest for rest in steps("RUN") if "pip install" in rest]
    assert "-c constraints.txt" in install
    assert steps("USER") == ["miner"]
    assert json.loads(steps("ENTRYPOINT")[0]) == ["shp-miner"]
    programs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert json.loads(steps("ENTRYPOINT")[0])[0] in programs


def test_the_python_is_one_that_the_project_supports() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    used = {match for rest in steps("FROM") for match in re.findall(r"python:(3\.\d+)-slim", rest)}
    assert len(used) == 1
    assert f'"{used.pop()}"' in workflow


def test_its_examples_use_commands_that_exist() -> None:
    from shp_miner.cli import COMMANDS

    examples = [line for line in LINES if line.startswith("#   docker run")]
    assert examples
    for line in examples:
        words = shlex.split(line[1:])
        assert words[words.index("shp-miner") + 1] in COMMANDS
