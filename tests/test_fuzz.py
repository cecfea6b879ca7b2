"""Fuzzing: files, answers of sites, texts and names that are spoilt at random. No crash, no hang, nothing that grows.

    SHP_MINER_FUZZ_S=1800 uv run --group dev pytest -m slow tests/test_fuzz.py -s

takes that many seconds (half an hour unless it says otherwise), in equal parts; docs/hostile.md has what came of it. A
failure names the seed of its example. The ordinary tests run the first examples of each part.
"""

from __future__ import annotations

import os
import random
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from shp_miner.cli import run
from shp_miner.errors import BadInput, UsageError
from shp_miner.forum.serve import lies
from shp_miner.platforms.communities import stored_name, undecorated_name
from shp_miner.platforms.sites import site_of
from shp_miner.store import Store
from shp_miner.text.clean import to_markdown

from .crawls import KINDS, bench, settled
from .test_hostile import FILES, code_of, sound

#: Seconds for all parts together, and what one example may take (CPU).
TOTAL_S = float(os.environ.get("SHP_MINER_FUZZ_S", "1800"))
EACH_S = 30.0

#: Pieces that are put into texts and files: what parsers, terminals, file systems and formats might obey.
PIECES = [
    b"<", b">", b"<b>", b"</b>", b"<title ", b"<!--", b"]]>", b"<![CDATA[", b"&#", b"&#99999999999;", b"&amp;",
    b"\x00", b"\x1b[31m", b"\xff\xfe", b"\xed\xa0\x80", b"\r", b"\n", b"\t", b"{", b"}", b"[" * 50, b'"',
    b"\\u0000", b"\\ud800", b"1e999", b"-0", b"NaN", b"9" * 400, b"null", b"../", b"\xe2\x80\xae", b"`" * 40,
    b"*_" * 40, b"![](", b"](", b"|" * 60, b"> " * 60, b"    ", b"#" * 80, b"%PDF-1.4", b"PK\x03\x04",
]  # fmt: skip


def spoilt(data: bytes, dice: random.Random) -> bytes:
    """The data with a few pieces put in, cut out, repeated, exchanged or flipped."""
    for _ in range(dice.randint(1, 6)):
        start = dice.randrange(len(data) + 1)
        end = min(len(data), start + dice.choice([0, 1, 1, 2, 10, 100]))
        how = dice.randrange(5)
        if how == 0:
            middle = dice.choice(PIECES) * dice.choice([1, 1, 1, 20, 2000])
        elif how == 1:
            middle = b""
        elif how == 2:
            middle = data[start:end] * dice.choice([2, 3, 50])
        elif how == 3:
            middle = bytes(dice.randrange(256) for _ in range(end - start))
        else:
            other = dice.randrange(len(data) + 1)
            middle = data[other : other + 30]
        data = data[:start] + middle + data[end:]
    return data[: dice.randrange(len(data) + 1)] if dice.random() < 0.1 else data


def of_file(kind: str, dice: random.Random, folder: Path) -> None:
    (folder / "dump").mkdir()
    given = FILES[kind](folder / "dump", "score-null")
    for path in [file for file in (folder / "dump").rglob("*") if file.is_file()]:
        path.write_bytes(spoilt(path.read_bytes(), dice))
    store = str(folder / "s")
    assert run(["import", kind, *given, "--store", store, "--quiet"]) in (0, 2, 3, 5)
    if Store(store).exists:
        sound(Store(store))


def of_site(name: str, dice: random.Random, folder: Path) -> None:
    with bench(name, folder / "s", settled(3), small_pages=True) as at:
        for lie in dice.sample(list(lies.LIES), 3):
            at.forum.faults.add(lies.told(lie, share=dice.choice([0.05, 0.3, 1.0]), seed=dice.randrange(10**6)))
        assert code_of(at) in (0, 3, 4, 5, 75)
        sound(at.store)


def of_text(name: str, dice: random.Random, folder: Path) -> None:
    text = spoilt(
        b"<p>Some <b>text</b> with a [link](https://x.example) and `code`.</p>" * dice.choice([1, 3, 50]), dice
    )
    body = text.decode(errors="replace")
    assert isinstance(to_markdown(body, name), str)


def of_name(name: str, dice: random.Random, folder: Path) -> None:
    written = spoilt(dice.choice([b"r/AskCulinary", b"u/somebody", b"!a@b.example", b"https://x.example/c/y"]), dice)
    given = written.decode(errors="replace")
    assert stored_name(given) == stored_name(given).lower()
    assert isinstance(undecorated_name(given), str)
    with suppress(UsageError, BadInput):
        assert site_of(given) == site_of(given).lower()


PARTS: dict[str, tuple[Callable[[str, random.Random, Path], None], list[str]]] = {
    "files": (of_file, list(FILES)),
    "sites": (of_site, list(KINDS)),
    "texts": (of_text, ["html", "markdown", "reddit", "text"]),
    "names": (of_name, ["names"]),
}


def fuzz(part: str, tmp_path: Path, *, seconds: float, examples: int) -> int:
    """Run examples until the time is over, or so many; the number of them."""
    work, names = PARTS[part]
    ends, done = time.monotonic() + seconds, 0
    while time.monotonic() < ends and done < examples:
        folder = tmp_path / f"{part}{done}"
        folder.mkdir()
        start = time.process_time()
        name = names[done % len(names)]
        try:
            work(name, random.Random(f"{part} {name} {done}"), folder)
        except BaseException as error:
            raise AssertionError(f"{part} {name}, seed {done}: {type(error).__name__}: {error}") from error
        took = time.process_time() - start
        assert took < EACH_S, f"{part} {name}, seed {done} took {took:.0f} s"
        done += 1
    return done


@pytest.mark.parametrize("part", PARTS)
def test_the_first_examples(part: str, tmp_path: Path) -> None:
    assert fuzz(part, tmp_path, seconds=60, examples=200 if part in ("texts", "names") else 8) >= 8


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_fuzz(part: str, tmp_path: Path) -> None:
    done = fuzz(part, tmp_path, seconds=TOTAL_S / len(PARTS), examples=10**9)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"\n{part}: {done:,} examples, at most {peak:.1f} GB of memory")
    assert peak < 6
