"""What each kind of input costs to import, beside a loop that only reads it.

    uv run --group bench python -m benchmarks.inputs --folder DIR

Every file is generated: texts of a Zipf law, no real content. Each import is a process of its own with a fresh store;
the peers are the plainest loops over the same file (that of Posts.xml needs `uv pip install lxml`). Printed are
megabytes of the file per second of wall time and per second of CPU time, start-up included, each the best of `--runs`,
the ratio of wall times in each turn, as a median, and the peak of memory (PSS).
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import py7zr
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import Measure, measure

SITE = "forum.example"
SE_SITE = "cooking.stackexchange.com"
FIRST = datetime(2023, 1, 1, tzinfo=UTC)
READ = datetime(2024, 6, 1, tzinfo=UTC)

JSON_LOOP = "import json, sys\nfor line in open(sys.argv[1], 'rb'): json.loads(line)"
CSV_LOOP = "import csv, sys\nfor row in csv.reader(open(sys.argv[1], newline='')): pass"
PARQUET_LOOP = """import sys, pyarrow.parquet
for batch in pyarrow.parquet.ParquetFile(sys.argv[1]).iter_batches(4096): pass"""
ARCHIVE_LOOP = """import sys, py7zr
from py7zr.io import NullIOFactory
py7zr.SevenZipFile(sys.argv[1]).extract(factory=NullIOFactory())"""
XML_LOOP = """import sys
from lxml import etree
for _, row in etree.iterparse(sys.argv[1], tag='row'):
    dict(row.attrib)
    row.clear()
    while row.getprevious() is not None: del row.getparent()[0]"""


class Texts:
    """Texts of a few hundred characters, each different."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
        lengths = self._rng.integers(2, 11, 5_000)
        self._words = np.array(["".join(self._rng.choice(letters, length)) for length in lengths], dtype=object)

    def text(self, mean: int) -> str:
        """Some words, about `mean` on average."""
        count = max(int(self._rng.lognormal(np.log(mean), 0.7)), 1)
        return " ".join(self._words[np.minimum(self._rng.zipf(1.25, count), len(self._words)) - 1])

    def number(self, most: int) -> int:
        """A whole number below `most`."""
        return int(self._rng.integers(0, most))


def threads(count: int, seed: int = 0, words: int = 60) -> Iterator[dict[str, Any]]:
    """Threads of the project's own layout with nine answers on average, and about so many words in each text."""
    texts = Texts(seed)
    for number in range(count):
        at = FIRST + timedelta(seconds=number * 60)
        yield {
            "site": SITE,
            "community": f"c{texts.number(40)}",
            "post_id": str(number),
            "title": texts.text(8),
            "body": texts.text(words),
            "created_at": _iso(at),
            "score": texts.number(50),
            "observed_at": _iso(READ),
            "author": f"writer-{texts.number(9_999)}",
            "answers": [
                {
                    "answer_id": str(answer),
                    "body": texts.text(words),
                    "created_at": _iso(at + timedelta(seconds=texts.number(200_000))),
                    "score": texts.number(30),
                    "author": f"writer-{texts.number(9_999)}",
                    "author_id": texts.number(9_999),
                    "url": f"https://{SITE}/t/{number}#{answer}",
                    "edited": texts.number(9) == 0,
                }
                for answer in range(texts.number(19))
            ],
        }


def _iso(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def write_threads(path: Path, count: int) -> None:
    """One thread a line."""
    with path.open("w") as file:
        for record in threads(count):
            file.write(json.dumps(record, separators=(",", ":")) + "\n")


def write_parquet(path: Path, count: int) -> None:
    """The same threads, a row each."""
    found = []
    for record in threads(count):
        for item in (record, *record["answers"]):
            for name in ("created_at", "observed_at"):
                if name in item:
                    item[name] = datetime.fromisoformat(item[name])
        found.append(record)
    pq.write_table(pa.Table.from_pylist(found), path, compression="zstd")


def write_posts(path: Path, count: int) -> None:
    """A Posts.xml of questions and their answers, of about the bytes of the other files."""
    with path.open("w") as file:
        file.writelines(posts_xml(post_threads(count * 2 // 3)))


def post_threads(count: int) -> Iterator[dict[str, Any]]:
    """Threads of which a Posts.xml has rows as long as real ones (beer.stackexchange.com: 1,231 bytes on average)."""
    return threads(count, words=93)


def posts_xml(records: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The lines of a Posts.xml with these threads; each has ids of its own, wherever its record comes from."""
    texts = Texts()
    yield '<?xml version="1.0" encoding="utf-8"?>\n<posts>\n'
    number = 0
    for record in records:
        number += 1
        question = number
        for item in (record, *record["answers"]):
            words = item["body"].split(" ")
            parts = [" ".join(words[at::4]) for at in range(4)]
            body = "".join(f"<p>{part}</p>\n" for part in (*parts, f"<code>x &lt; {number}</code>"))
            kind = f'PostTypeId="1" ViewCount="{texts.number(999)}" Title="{escape(record["title"])}" Tags="&lt;a&gt;"'
            parent = f'PostTypeId="2" ParentId="{question}"'
            yield (
                f'  <row Id="{number}" {kind if item is record else parent} '
                f'CreationDate="{item["created_at"][:19]}.000" Score="{item["score"]}" Body="{_attribute(body)}" '
                f'OwnerUserId="{texts.number(9_999) + 1}" LastActivityDate="{item["created_at"][:19]}.000" '
                f'CommentCount="0" ContentLicense="CC BY-SA 4.0" />\n'
            )
            number += 1
    yield "</posts>\n"


def write_table(path: Path, count: int) -> None:
    """The answers of the same threads as CSV, with their map beside it."""
    keys = ("answer_id", "body", "created_at", "score", "author", "url")
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["post_id", *keys])
        for record in threads(count):
            for answer in record["answers"]:
                writer.writerow(
                    [record["post_id"], f"{record['post_id']}-{answer['answer_id']}", *map(answer.get, keys[1:])]
                )
    columns = "".join(f'{key} = "{key}"\n' for key in ("post_id", *keys))
    path.with_name("map.toml").write_text(f'site = "{SITE}"\ncommunity = "c"\nutc = true\n[answers]\n{columns}')


def _attribute(text: str) -> str:
    return escape(text).replace("\n", "&#xA;")


def write_topics(path: Path, count: int) -> None:
    """The same threads as Discourse serves topics, one a line."""
    with path.open("w") as file:
        for record in threads(count):
            posts = [
                {
                    "id": int(record["post_id"]) * 20 + number,
                    "post_number": number,
                    "post_type": 1,
                    "created_at": item["created_at"],
                    "cooked": f"<p>{escape(item['body'])}</p>",
                    "version": 1,
                    "actions_summary": [{"id": 2, "count": item["score"]}],
                    "username": item["author"],
                    "user_id": 7,
                    "reply_to_post_number": None,
                    "reads": 50,
                }
                for number, item in enumerate((record, *record["answers"]), 1)
            ]
            topic = {
                "id": int(record["post_id"]) + 1,
                "title": record["title"],
                "posts_count": len(posts),
                "post_stream": {"posts": posts, "stream": [post["id"] for post in posts]},
                "observed_at": record["observed_at"],
            }
            file.write(json.dumps(topic, separators=(",", ":")) + "\n")


def write_archive(path: Path, count: int) -> None:
    """The Posts.xml in an archive, compressed as published ones are."""
    xml = path.with_name("Posts.xml")
    if not xml.exists():
        write_posts(xml, count)
    with py7zr.SevenZipFile(path, "w", filters=[{"id": py7zr.FILTER_BZIP2}]) as archive:
        archive.write(xml, "Posts.xml")


INPUTS = {
    "threads": ("threads.jsonl", write_threads, ["threads"], JSON_LOOP),
    "parquet": ("threads.parquet", write_parquet, ["threads"], PARQUET_LOOP),
    "discourse": ("topics.ndjson", write_topics, ["discourse-json", "--site", "talk.forum.example"], JSON_LOOP),
    "table": ("answers.csv", write_table, ["table", "--map", "map.toml"], CSV_LOOP),
    "archive": (f"{SE_SITE}.7z", write_archive, ["stackexchange-dump"], ARCHIVE_LOOP),
    "posts": ("Posts.xml", write_posts, ["stackexchange-dump", "--site", SE_SITE], XML_LOOP),
}


def _best(found: list[Measure]) -> tuple[float, float]:
    return min(one.wall_s for one in found), min(one.cpu_s for one in found)


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="Where the files are made and kept.")
@click.option("--count", default=60_000, show_default=True, help="Threads; 60,000 are about 300 MB of JSON.")
@click.option("--runs", default=3, show_default=True)
@click.option("--only", multiple=True, type=click.Choice(list(INPUTS)), help="Only these inputs.")
def main(folder: Path, count: int, runs: int, only: tuple[str, ...]) -> None:
    """Print the speed of each import and of its peer."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (file, write, kind, peer) in INPUTS.items():
        if only and name not in only:
            continue
        path = folder / f"{count}" / file
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            write(path, count)
        words = [str(path.with_name(word)) if word == "map.toml" else word for word in kind]
        commands = {"import": [sys.executable, "-m", "shp_miner", "import", *words, str(path), "--store", "store"]}
        if peer:
            commands["plain loop"] = [sys.executable, "-c", peer, str(path)]
        spent: dict[str, list[Measure]] = {what: [] for what in commands}
        for _ in range(runs):
            for what, command in commands.items():
                shutil.rmtree(folder / "store", ignore_errors=True)
                spent[what].append(measure(command, folder))
                if spent[what][-1].exit_code:
                    raise click.ClickException(f"{name}: {spent[what][-1].error}")
        megabytes = path.stat().st_size / 1e6
        ratios = [loop.wall_s / ours.wall_s for ours, loop in zip(*spent.values(), strict=True)] if peer else []
        for what, found in spent.items():
            wall_s, cpu_s = _best(found)
            speeds = f"{megabytes / wall_s:6.0f} MB/s  {megabytes / cpu_s:6.0f} MB per core-second"
            peak = max(one.peak_pss_bytes or one.largest_bytes for one in found) >> 20
            click.echo(f"{name:10} {what:10} {megabytes:6.0f} MB  {wall_s:6.2f} s {speeds}  {peak:5} MiB")
        if ratios:
            low, high = min(ratios), max(ratios)
            click.echo(f"{name:10} speed against the loop, wall time: {median(ratios):.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
