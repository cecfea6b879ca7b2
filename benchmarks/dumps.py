"""The dump files that are measured: made if they are missing, counted once, and the communities chosen from them.

Run as a module with a folder, it counts the dump in it and writes facts.json there. The counting is a process of its
own so that the process that measures stays small (see benchmarks/measure.py).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FILES = ("RS_bench.zst", "RC_bench.zst")
#: The share of lines that a filtered import keeps: one middling community of a month of Reddit.
WANTED_SHARE = 0.01
LARGEST = 10
_SUBREDDIT = re.compile(rb'"subreddit":"([^"]*)"')


class WrongDump(Exception):
    """The folder holds a dump of another size than asked for."""


@dataclass(frozen=True)
class Dump:
    """A pair of dump files with what is known of them. `raw` and `lines` are by file; `communities` are lines."""

    folder: Path
    raw: dict[str, int]
    lines: dict[str, int]
    communities: dict[str, int]

    @property
    def paths(self) -> list[str]:
        """Submissions, then comments."""
        return [str(self.folder / name) for name in FILES]

    @property
    def raw_bytes(self) -> int:
        """Decompressed size of both files."""
        return sum(self.raw.values())

    @property
    def compressed_bytes(self) -> int:
        """Size of both files on disk."""
        return sum((self.folder / name).stat().st_size for name in FILES)

    @property
    def middling(self) -> str:
        """The community whose share of all lines is nearest to the wanted one."""
        wanted = WANTED_SHARE * sum(self.lines.values())
        return min(self.communities, key=lambda name: (abs(self.communities[name] - wanted), name))

    @property
    def largest(self) -> list[str]:
        """The ten largest communities, the largest first."""
        return sorted(self.communities, key=lambda name: (-self.communities[name], name))[:LARGEST]

    def share(self, community: str) -> float:
        """The community's share of all lines, 0 to 1."""
        return self.communities[community] / sum(self.lines.values())


def ensure(folder: Path, comments: int, window_log: int) -> Dump:
    """The dump in `folder`, made and counted if that was not done. Raises WrongDump if it has another size."""
    if not all((folder / name).exists() for name in FILES):
        partial = folder / "partial"
        options = ["--comments", str(comments), "--window-log", str(window_log)]
        _module("benchmarks.generate", str(partial), *options)
        for name in FILES:
            (partial / name).rename(folder / name)
        partial.rmdir()
        (folder / "facts.json").unlink(missing_ok=True)
    if not (folder / "facts.json").exists():
        _module("benchmarks.dumps", str(folder))
    facts = json.loads((folder / "facts.json").read_text())
    dump = Dump(folder, facts["raw"], facts["lines"], facts["communities"])
    found = dump.lines[FILES[1]]
    if found != comments:
        raise WrongDump(f"{folder} holds a dump of {found:,} comments, not {comments:,}: name another folder.")
    return dump


def count(folder: Path) -> dict[str, Any]:
    """Raw bytes and lines of each file, and lines of each community over both."""
    # Imported late: only the process that counts needs it.
    from benchmarks.decompress import blocks  # noqa: PLC0415

    raw: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    communities: Counter[bytes] = Counter()
    for name in FILES:
        rest = b""
        for block in blocks(folder / name):
            raw[name] += len(block)
            lines[name] += block.count(b"\n")
            whole, _, rest_of_block = (rest + block).rpartition(b"\n")
            communities.update(_SUBREDDIT.findall(whole))
            rest = rest_of_block
    return {"raw": raw, "lines": lines, "communities": {name.decode(): n for name, n in sorted(communities.items())}}


def _module(name: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", name, *arguments], cwd=ROOT, check=True)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    (target / "facts.json").write_text(json.dumps(count(target)))
