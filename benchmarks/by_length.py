"""Seconds of CPU by the length of hostile input, one row a reader: what grows faster than its input shows here.

    uv run python -m benchmarks.by_length

Each reader is given the worst of its inputs at 1, 2, 4 and 8 MB; docs/hostile.md has the table. Importers are run as
the command is, in this process, on a file of that length. The last column is how many times as long the largest input
took as the second largest, which is half as long: about 2 where time is linear.
"""

from __future__ import annotations

import io
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

from shp_miner.cli import run
from shp_miner.errors import Error
from shp_miner.platforms.communities import stored_name
from shp_miner.platforms.sites import site_of
from shp_miner.sources.decode import page_kind
from shp_miner.text.clean import to_markdown, visible_chars

LENGTHS = [1_000_000, 2_000_000, 4_000_000, 8_000_000]

#: What searches for tags, brackets, entities and the ends of lines might look at again and again.
PIECES = [
    "<", "<img ", "<a href=", "<!--", "&#9", "<div>", "<b>x", "<ul><li>", "<title ", "<p>", "[", "](", "![](", "*_",
    "`", "> ", "|", "#", "\x00", "\u200b", "&amp;", "&lt;", "\n", " ", "r/", "u/", "@a.", "https://", ".",
    "<ul><li>x", "<b></i>", "<h1><p>", "<p>x", "<tr><td>x", "<!-- -->", "x",
]  # fmt: skip


def repeated(piece: str, length: int) -> str:
    """The piece again and again, up to the length."""
    return piece * (length // len(piece))


def of_reddit(body: str, folder: Path) -> list[str]:
    """Write a Reddit dump with one body; the arguments of its import."""
    post = {"id": "p1", "subreddit": "a", "title": "t", "selftext": body, "score": 3, "created_utc": 1_700_000_000}
    (folder / "RS_2023-11").write_text(json.dumps(post) + "\n")
    return ["reddit-dump", str(folder)]


def of_threads(body: str, folder: Path) -> list[str]:
    """Write a file of own threads with one body; the arguments of its import."""
    answer = {"answer_id": "1", "body": body, "score": 2, "created_at": 1_700_000_100}
    thread = {"site": "a.example", "community": "c", "post_id": "1", "title": "t", "body": body, "body_format": "html"}
    thread |= {"score": 1, "created_at": 1_700_000_000, "answers": [answer]}
    (folder / "t.jsonl").write_text(json.dumps(thread) + "\n")
    return ["threads", str(folder / "t.jsonl")]


def of_discourse(body: str, folder: Path) -> list[str]:
    """Write a file of Discourse topics with one body; the arguments of its import."""
    post = {
        "id": 1,
        "post_number": 1,
        "cooked": body,
        "created_at": "2023-11-14T00:00:00Z",
        "username": "a",
        "user_id": 1,
    }
    topic = {"id": 1, "title": "t", "category_id": 1, "posts_count": 1, "created_at": "2023-11-14T00:00:00Z"}
    topic |= {"post_stream": {"posts": [post], "stream": [1]}}
    (folder / "t.ndjson").write_text(json.dumps(topic) + "\n")
    return ["discourse-json", str(folder / "t.ndjson"), "--site", "a.example"]


def of_stackexchange(body: str, folder: Path) -> list[str]:
    """Write a Stack Exchange dump with one body; the arguments of its import."""
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), ('"', "&quot;"), ("\n", "&#xA;"), ("\x00", "")):
        body = body.replace(sign, entity)
    site = folder / "a.stackexchange.com"
    site.mkdir()
    row = '<row Id="1" PostTypeId="1" CreationDate="2023-11-14T00:00:00.000" Score="1" Title="t" Tags="" Body="'
    row += f'{body}" />'
    (site / "Posts.xml").write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<posts>\n  {row}\n</posts>\n')
    return ["stackexchange-dump", str(site)]


def imported(write: Callable[[str, Path], list[str]]) -> Callable[[str], object]:
    """One file whose only text is the body, imported into an empty store."""

    def work(body: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            given = write(body, Path(folder))
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                code = run(["import", *given, "--store", f"{folder}/store"])
            assert code in (0, 3, 5), (given, code)  # 5: nothing in the file is a record

    return work


def lines(body: str, folder: Path) -> list[str]:
    """Not one long text but a file of what is no record."""
    (folder / "RS_2023-11").write_text(body)
    return ["reddit-dump", str(folder)]


READERS: dict[str, Callable[[str], object]] = {
    "HTML to Markdown": lambda text: to_markdown(text, "html"),
    "characters that show in HTML": lambda text: visible_chars(text, "html"),
    "Reddit's escapes": lambda text: to_markdown(text, "reddit"),
    "an error page": lambda text: page_kind(text.encode()),
    "the name of a community": stored_name,
    "the name of a site": lambda text: _refused(lambda: site_of(text)),
    "import reddit-dump": imported(of_reddit),
    "import reddit-dump, no records": imported(lines),
    "import threads": imported(of_threads),
    "import discourse-json": imported(of_discourse),
    "import stackexchange-dump": imported(of_stackexchange),
}


def _refused(work: Callable[[], object]) -> None:
    with suppress(Error):
        work()


def seconds(work: Callable[[str], object], text: str) -> float:
    """CPU seconds of the reader with the text."""
    start = time.process_time()
    work(text)
    return time.process_time() - start


def main() -> None:
    """Print the table."""
    print("| reader | worst piece | " + " | ".join(f"{length / 1e6:g} MB" for length in LENGTHS) + " | times |")
    print("|---|---|" + "---:|" * (len(LENGTHS) + 1))
    for name, work in READERS.items():
        work("text")  # what is loaded late is loaded
        worst = max(PIECES, key=lambda piece: seconds(work, repeated(piece, LENGTHS[0])))
        took = [min(seconds(work, repeated(worst, length)) for _ in range(2)) for length in LENGTHS]
        cells = " | ".join(f"{time_s:.2f}" for time_s in took)
        print(f"| {name} | `{worst!r}` | {cells} | {took[-1] / took[-2]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
