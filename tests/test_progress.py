"""Progress: what a meter says, a bar that leaves no trace on a terminal, and a line a minute elsewhere."""

from __future__ import annotations

import codecs
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shp_miner.cli import progress as progressing
from shp_miner.cli.meter import Meter
from shp_miner.cli.progress import Watch, WatchedClock, _Lines, crawl_shown, export_shown, progress, run_shown
from shp_miner.cli.terminal import wrapped_sentence
from shp_miner.crawling.progress import CrawlProgress
from shp_miner.crawling.run import crawl, recheck
from shp_miner.dumps.importing import import_dump
from shp_miner.engine import Step
from shp_miner.export.dataset import export_dataset
from shp_miner.forum.serve.message import Request, Response
from shp_miner.forum.serve.server import Forum

from .build import thread, tree, write_month
from .crawls import DAY_S, bench, settled
from .web import FakeClock

#: The command with its terminal as the one that controls it: what is typed there reaches it as it does in a shell.
MAIN = [
    sys.executable,
    "-c",
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "from shp_miner.cli import main; main(sys.argv[1:])",
]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(0.0)


def metered(clock: FakeClock, unit: str = "threads", total: float = 98) -> Meter:
    """A meter that counted 1.4 a second for 30 seconds."""
    meter = Meter("askculinary", total, unit=unit, now=clock.now)
    for _ in range(30):
        clock.time += 1
        meter(1.4)
        meter.sample()
    return meter


# -- what a meter says ------------------------------------------------------------------------------------------------


def test_a_line_has_amount_rate_time_left_and_what_came_of_it(clock: FakeClock) -> None:
    meter = metered(clock)
    meter.so_far = "1,204 answers"
    assert meter.line() == "askculinary: 42 of 98 threads, 1.4/s, 40 s left, 1,204 answers"


def test_a_line_of_bytes_has_the_name_of_the_file(clock: FakeClock) -> None:
    meter = Meter("Importing", 2.7e9, now=clock.now)
    meter(Step(doing="RC_2024-01.zst"))
    for _ in range(10):
        clock.time += 1
        meter(34_000_000)
        meter.sample()
    assert meter.line() == "Importing RC_2024-01.zst: 340.0 MB of 2.7 GB, 34.0 MB/s, 69 s left"
    meter(Step(doing="writing the store"))
    assert meter.line().startswith("Importing writing the store: ")


def test_a_size_that_nobody_knows_has_no_time_left(clock: FakeClock) -> None:
    assert metered(clock, total=0).line() == "askculinary: 42 threads, 1.4/s"


def test_slow_work_has_a_rate_a_minute(clock: FakeClock) -> None:
    meter = Meter("slow", 10, unit="threads", now=clock.now)
    for _ in range(2):
        clock.time += 20
        meter(1)
        meter.sample()
    assert meter.line() == "slow: 2 of 10 threads, 3/min, 3 min left"


def test_the_rate_is_that_of_the_last_half_minute(clock: FakeClock) -> None:
    meter = metered(clock)
    for _ in range(31):
        clock.time += 1
        meter.sample()
    assert meter.rate == 0
    assert "left" not in meter.line()


@pytest.mark.parametrize("name", ["askculinary", "名" * 60, "n" * 300])
def test_a_bar_fits_into_any_width(name: str, clock: FakeClock) -> None:
    for width in range(8, 100):
        meter = metered(clock)
        meter.label, meter.so_far = name, "1,204 answers"
        line = meter.line_of(width)
        assert len(line) + line.count("名") <= width, line
        meter.wait(12, "forum.example asks for a pause (status 429, Retry-After)")
        line = meter.line_of(width)
        assert len(line) + line.count("名") <= width, line


def test_a_narrow_bar_keeps_what_matters_most(clock: FakeClock) -> None:
    meter = metered(clock)
    meter.so_far = "1,204 answers"
    assert meter.line_of(80).startswith("askculinary  ━━━━━━")
    assert meter.line_of(60) == "askculinary  42 of 98 threads  40 s left  1.4/s"
    assert meter.line_of(30) == "askculinary  42 of 98 threads"


def test_a_wait_says_how_long_and_why(clock: FakeClock) -> None:
    meter = metered(clock)
    seen: list[str] = []

    class Waiting(FakeClock):
        def sleep(self, seconds: float, why: str) -> None:
            clock.time += 2
            seen.append(meter.line_of(79))
            super().sleep(seconds, why)

    watched = WatchedClock(Waiting(), meter)
    watched.sleep(12, "waiting 12 s until 14:03:10 UTC: forum.example asks for a pause (status 429)")
    assert seen == ["askculinary  42 of 98 threads  waiting 10 s: forum.example asks for a pause"]
    assert "waiting" not in meter.line()
    watched.sleep(1, "waiting 1 s until 14:03:10 UTC: forum.example gets at most 60 requests in 60 s")
    assert "waiting" not in seen[-1], "a pace is no news"


def test_the_name_of_a_file_cannot_act_on_the_terminal(clock: FakeClock) -> None:
    meter = Meter("Importing", now=clock.now)
    meter(Step(doing="a\x1b[31m\n"))
    assert meter.line() == r"Importing a\u001b[31m\u000a"
    assert meter.line_of(80) == r"Importing a\u001b[31m\u000a"


# -- where it is shown ------------------------------------------------------------------------------------------------


def test_elsewhere_it_is_a_line_a_minute(clock: FakeClock) -> None:
    lines: list[str] = []
    meter = Meter("askculinary", 600, unit="threads", now=clock.now)
    watch = Watch(meter, clock.now, _Lines(lines.append, clock.now()))
    for _ in range(4 * 200):
        clock.time += 0.25
        meter(0.25)
        watch.look()
    assert lines == [f"askculinary: {n} of 600 threads, 1.0/s, {left} left" for n, left in ((60, "9 min"),
                     (120, "8 min"), (180, "7 min"))]  # fmt: skip
    watch.end()
    clock.time += 100
    watch.look()
    assert len(lines) == 3


def test_nothing_is_shown_of_short_work_or_quietly(capfd: pytest.CaptureFixture[str]) -> None:
    for quiet in (True, False):
        with progress("Importing", 100, quiet=quiet) as advance:
            advance(100)
    assert capfd.readouterr() == ("", "")


# -- what the functions tell ------------------------------------------------------------------------------------------


def test_a_crawl_and_a_recheck_tell_how_far_they_are(tmp_path: Path, clock: FakeClock) -> None:
    told: list[CrawlProgress] = []
    with bench("discourse", tmp_path / "store", settled(12)) as at:
        (done,) = crawl(at.kind.source, [at.kind.community], at.store, at.access(), advance=told.append)
        at.pass_time(40 * DAY_S)
        visits: list[CrawlProgress] = []
        (again,) = recheck(at.store, at.access(), advance=visits.append)
    assert (visits[0].total, visits[-1].done) == (again.read, again.read)
    assert done.listed > 3
    assert told[0].total == 0
    assert (told[-1].listed, told[-1].fresh, told[-1].done, told[-1].answers) == (
        done.listed, done.fresh, done.read, done.answers,
    )  # fmt: skip
    assert told[-1].total == done.read
    assert {step.done for step in told} == set(range(done.read + 1))
    meter = Meter("Crawling", unit="threads", now=clock.now)
    shown = crawl_shown(meter)
    shown(told[0])
    assert "listing" in meter.line()
    shown(told[-1])
    assert meter.line() == f"{told[-1].community}: {done.read} of {done.read} threads, {done.answers:,} answers"


def test_an_import_names_its_files_and_an_export_counts_pairs(tmp_path: Path, clock: FakeClock) -> None:
    month = write_month(tmp_path / "dumps", [*thread("p1"), *thread("p2", subreddit="Other")])
    steps: list[int] = []
    import_dump("reddit-dump", month, tmp_path / "store", advance=steps.append)
    words = list(dict.fromkeys(step.doing for step in steps if isinstance(step, Step)))
    assert words == [*(path.name for path in month), "writing the store", "tidying the store"]
    assert sum(steps) == sum(path.stat().st_size for path in month)
    meter = Meter("Exporting", unit="steps", now=clock.now)
    export_dataset(tmp_path / "store", tmp_path / "out", formats=["pairs", "kto"], advance=export_shown(meter))
    assert meter.line() == "Exporting writing: 6 of 6 steps, 4 pairs"


def test_the_steps_of_a_run_are_told_one_after_the_other(clock: FakeClock) -> None:
    meter = Meter("p.toml", now=clock.now)
    show = run_shown(meter)
    show("import")
    show("import", Step(1_000_000, "RC.zst"))
    assert meter.line() == "import RC.zst: 1.0 MB"
    for step in ("recheck", "crawl"):
        show(step)
        show(step, CrawlProgress("discourse", "forum.example", "latest", 10, 4, 1, 4, 7))
        assert meter.line() == "latest: 1 of 4 threads, 7 answers"
    show("export")
    show("export", Step(1, "mining", 12), 5)
    assert meter.line() == "export mining: 1 of 5 steps, 12 pairs"
    show("tidy")
    assert meter.line() == "tidy"


# -- a real terminal --------------------------------------------------------------------------------------------------


class Terminal:
    """A command on a terminal of 80 columns; `data` is what it wrote."""

    def __init__(self, *words: str, **environment: str) -> None:
        master, slave = pty.openpty()
        self.data, self._master, self._decoder = "", master, codecs.getincrementaldecoder("utf-8")()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", **environment}
        self.process = subprocess.Popen([*MAIN, *words], stdin=slave, stdout=slave, stderr=slave, env=environment)
        os.close(slave)

    def until(self, seen: Callable[[str], object], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not seen(self.data) and time.monotonic() < end:
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    self.data += self._decoder.decode(os.read(self._master, 1 << 16))
                except OSError:  # the command ended
                    break

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def press_ctrl_c(self) -> None:
        self.type("\x03")

    def press_at_question(self, keys: str) -> None:
        """Type until something is said: a busy machine may have asked already, and not read yet."""
        for _ in range(5):
            said = len(self.data)
            self.type(keys)
            self.until(lambda data, said=said: "\n" in data[said:].replace("^C", ""), 5)  # type: ignore[misc]
            if "\n" in self.data[said:]:
                return

    def end(self) -> tuple[int, list[str]]:
        """The exit code, and the lines that a person sees afterwards."""
        self.until(lambda _: False)
        os.close(self._master)
        lines = [line.split("\r\x1b[2K")[-1] for line in self.data.replace("\r\n", "\n").split("\n")]
        return self.process.wait(30), [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in lines]


class Slow:
    """A Discourse site with many topics that takes its time for each."""

    platform = "discourse"

    def __init__(self, inner: object) -> None:
        self._inner = inner

    def respond(self, request: Request) -> Response:
        if request.path.startswith("/t/"):
            time.sleep(0.4)
        answer: Response = self._inner.respond(request)  # type: ignore[attr-defined]
        return answer


@pytest.fixture
def slow() -> Iterator[list[str]]:
    from shp_miner.forum.serve.discourse import DiscourseApi

    community = settled(40)
    with Forum(community, [Slow(DiscourseApi(community))]) as forum:  # type: ignore[list-item]
        yield [
            "crawl", "discourse", community.name, "--site", "forum.example", "--url", forum.url("discourse"),
            "--allow-private",
        ]  # fmt: skip


def test_ctrl_c_leaves_no_bar_of_a_crawl(slow: list[str]) -> None:
    terminal = Terminal(*slow)
    terminal.until(lambda data: re.search(r"━.* [2-9] of \d+ threads", data))
    terminal.press_ctrl_c()
    code, lines = terminal.end()
    assert "━" in terminal.data
    assert code == 3
    assert not [line for line in lines if "━" in line or " of " in line], lines
    assert any("interrupted" in line for line in lines)


def test_a_bar_leaves_room_for_what_ctrl_c_writes(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(progressing.bar, "draw", drawn.append)
    for width in ("80", "60"):
        monkeypatch.setenv("COLUMNS", width)
        meter = metered(clock)
        meter.label, meter.so_far = "n" * 300, "1,204 answers"
        progressing._bar(meter, 0)
        meter.wait(90, "forum.example asks for a pause of an hour and a half, so nothing more is read")
        progressing._bar(meter, 0)
    assert [len(line + "^C") <= width - 1 for line, width in zip(drawn, (80, 80, 60, 60), strict=True)] == [True] * 4
    assert max(map(len, drawn)) == 77


def test_ctrl_c_and_errors_leave_no_bar_of_an_import(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    terminal = Terminal("import", "threads", str(pipe))
    terminal.until(lambda data: "Importing" in data)
    time.sleep(0.5)  # it waits for whoever writes to the pipe
    terminal.press_ctrl_c()
    code, lines = terminal.end()
    assert code == 3
    assert lines == ["Error: Interrupted: nothing was written.", "Run the same command again.", ""]


@pytest.mark.parametrize("key", ["ctrl-c", "ctrl-d"])
def test_ctrl_c_at_a_question_ends_the_command(key: str, tmp_path: Path) -> None:
    import_dump("reddit-dump", write_month(tmp_path / "dumps", thread("p1")), tmp_path / "store")
    export_dataset(tmp_path / "store", tmp_path / "out")
    before = tree(tmp_path / "out")
    questions = {
        ("export", str(tmp_path / "out"), "--rule", "votes", "--store", str(tmp_path / "store")): "Replace it? [y/N]: ",
        ("init", str(tmp_path / "p.toml"), "--source", "lemmy"): "Which site? (for example lemmy.world): ",
    }
    for words, question in questions.items():
        terminal = Terminal(*words)
        terminal.until(lambda data, question=question: question in data)  # type: ignore[misc]
        terminal.press_at_question("\x03" if key == "ctrl-c" else "\x04")
        code, lines = terminal.end()
        assert code == 3, words
        assert "Error: The question was not answered: nothing was done." in lines
    assert tree(tmp_path / "out") == before
    assert not (tmp_path / "p.toml").exists()


@pytest.mark.parametrize(("keys", "code"), [("\n", 2), ("n\n", 2), ("y\n", 0)], ids=repr)
def test_an_export_is_replaced_only_after_a_yes(keys: str, code: int, tmp_path: Path) -> None:
    import_dump("reddit-dump", write_month(tmp_path / "dumps", thread("p1")), tmp_path / "store")
    export_dataset(tmp_path / "store", tmp_path / "out")
    before = tree(tmp_path / "out")
    terminal = Terminal("export", str(tmp_path / "out"), "--rule", "votes", "--store", str(tmp_path / "store"))
    terminal.until(lambda data: "Replace it? [y/N]: " in data)
    terminal.press_at_question(keys)
    ended, lines = terminal.end()
    assert ended == code
    assert (tree(tmp_path / "out") == before) == (code == 2)
    assert ("Nothing was written: the export in" in "\n".join(lines)) == (code == 2)


def test_an_error_is_wrapped_at_words_on_a_terminal_alone(tmp_path: Path) -> None:
    """No path and no command is broken; a pipe gets each sentence in one line."""
    store = tmp_path / ("deep" * 20)
    code, lines = Terminal("stats", "--store", str(store), COLUMNS="60").end()
    assert code == 5
    assert lines[:2] == ["Error: There is no store at", f"{store}."]
    assert all(len(line) <= 60 for line in lines[2:])
    piped = subprocess.run(
        [sys.executable, "-m", "shp_miner", "stats", "--store", str(store)], capture_output=True, text=True, check=False
    )
    assert piped.stderr.splitlines() == [" ".join(lines[:2]), " ".join(lines[2:]).strip()]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("  Give --allow-unknown-age. `shp-miner compare --json` shows what each rule gives.",
         ["  Give --allow-unknown-age.", "  `shp-miner compare --json`", "  shows what each rule gives."]),
        ("For example: shp-miner export data/eli5 --format trl",
         ["For example:", "shp-miner export data/eli5 --format trl"]),
        ("There is no community 'a b c d e f g' here.", ["There is no community", "'a b c d e f g' here."]),
    ],
)  # fmt: skip
def test_commands_and_names_stay_whole(line: str, told: list[str]) -> None:
    assert wrapped_sentence(line, 30) == told
    assert wrapped_sentence(line, 200) == [line]


def test_a_terminal_that_cannot_go_back_gets_no_bar(slow: list[str]) -> None:
    code, lines = (terminal := Terminal(*slow, "--limit", "3", TERM="dumb")).end()
    assert code in (0, 3)
    assert "\x1b" not in terminal.data
    assert any("Crawled into" in line for line in lines)
