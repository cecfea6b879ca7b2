"""What a type checker tells those who use the package."""

from __future__ import annotations

import re
import subprocess
import sys

import shp_miner

from .conftest import ROOT

API = ROOT / "tests/typing/api.py"


def test_each_public_name_has_the_types_that_users_see() -> None:
    used = set(re.findall(r"shp_miner\.(\w+)", API.read_text(encoding="utf-8")))
    assert set(shp_miner.__all__) - used == set()
    command = [sys.executable, "-m", "mypy", "--strict", str(API)]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
