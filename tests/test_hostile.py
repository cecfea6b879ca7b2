"""What is foreign can only cost itself: every source and every importer against records that lie in many ways.

A new source or importer is in here by being registered. Whatever it is told, a run ends with a code that is documented,
the store can be read and exported, and honest records that came beside the lies are in it.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import msgspec
import pytest

from shp_miner.cli import run
from shp_miner.cli.import_ import command as import_command
from shp_miner.crawling.run import recheck
from shp_miner.errors import Error
from shp_miner.forum.serve import lies
from shp_miner.health.stats import stats
from shp_miner.store import Store

from .build import thread, tree
from .crawls import DAY_S, KINDS, Bench, assert_same, bench, content, settled, waiting
from .flows import community, pipeline, run_on, source
from .stackexchange_dump import element
from .stackexchange_dump import folder as xml_folder
from .stackexchange_dump import table as xml_table
from .test_import_discourse import topic
from .test_import_threads import thread as own_thread

#: All are proven, one of so many in every run of the tests.
_EVERY = 6

CELLS = [
    pytest.param(name, lie, id=f"{name}-{lie}", marks=[] if (n + m) % _EVERY == 0 else [pytest.mark.slow])
    for n, name in enumerate(KINDS)
    for m, lie in enumerate(lies.LIES)
]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("name", "lie"), CELLS)
def test_a_site_that_lies_costs_its_lies_and_is_read_when_it_is_honest(name: str, lie: str, tmp_path: Path) -> None:
    start = time.process_time()
    with bench(name, tmp_path / "honest", settled(5), small_pages=True) as at:
        assert at.crawl().complete
        honest = content(at.store)
    with bench(name, tmp_path / "store", settled(5), small_pages=True) as at:
        at.forum.faults.add(lies.told(lie))
        codes: list[int] = []
        for _ in range(2):
            codes.append(code_of(at))
            at.clock.time += DAY_S
        assert set(codes) <= {0, 3, 4, 5, 75}
        sound(at.store)
        at.forum.faults.clear()
        at.clock.time += 2 * DAY_S
        at.crawl()
        assert waiting(at.store) == set()
        assert time.process_time() - start < 60
        recheck(at.store, at.access(), older_than_s=0.0)
        if lie in WELL_AGAIN:
            assert_same(content(at.store), honest)


# -- files ------------------------------------------------------------------------------------------------------------


def of_reddit(folder: Path, lie: str) -> list[str]:
    records = [record for number in range(6) for record in thread(f"p{number}", (3, 9, 5))]
    lied = [lies.lying(lie, record) for number in range(6, 12) for record in thread(f"p{number}", (3, 9, 5))]
    posts = [record for record in records + lied if "selftext" in record]
    answers = [record for record in records + lied if "selftext" not in record]
    for name, some in (("RS_2024-01", posts), ("RC_2024-01", answers)):
        (folder / name).write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in some))
    return [str(folder)]


def of_threads(folder: Path, lie: str) -> list[str]:
    records = [own_thread(str(number)) for number in range(6)]
    records += [lies.lying(lie, own_thread(str(number))) for number in range(6, 12)]
    (folder / "threads.jsonl").write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))
    return [str(folder / "threads.jsonl")]


def of_table(folder: Path, lie: str) -> list[str]:
    """Posts and answers, each in a table of its own with a map of the same names."""
    posts, answers = [], []
    for number in range(12):
        told = own_thread(str(number))
        replies = [{**reply, "post_id": told["post_id"]} for reply in told.pop("answers")]
        honest = number < 6
        posts.append(told if honest else lies.lying(lie, told))
        answers += replies if honest else [lies.lying(lie, reply) for reply in replies]
    for name, some in (("posts.jsonl", posts), ("answers.jsonl", answers)):
        (folder / name).write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in some))
    keys = {"posts": posts[0], "answers": answers[0]}
    tables = (f"[{name}]\n" + "".join(f'{key} = "{key}"\n' for key in record) for name, record in keys.items())
    (folder.parent / "map.toml").write_text("\n".join(tables))
    return [str(folder / "posts.jsonl"), str(folder / "answers.jsonl"), "--map", str(folder.parent / "map.toml")]


def of_discourse(folder: Path, lie: str) -> list[str]:
    records = [topic(number) for number in range(1, 7)] + [lies.lying(lie, topic(number)) for number in range(7, 13)]
    (folder / "topics.ndjson").write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))
    return [str(folder / "topics.ndjson"), "--site", "forum.example"]


def of_stackexchange(folder: Path, lie: str) -> list[str]:
    """Attributes of XML are text; what a lie makes of them is written as text, too."""
    rows = []
    for number in range(1, 13):
        head = {"CreationDate": "2024-01-01T00:00:00.000", "OwnerUserId": 5, "Body": "<p>So.</p>"}
        told = [{**head, "Id": number, "PostTypeId": 1, "Score": 3, "Title": "Why?", "Tags": "<a>"}]
        told += [
            {**head, "Id": 100 * number + n, "PostTypeId": 2, "ParentId": number, "Score": 2 + n} for n in range(3)
        ]
        told = told if number <= 6 else [lies.lying(lie, record) for record in told]
        rows += [
            element(**{key: _text(value) for key, value in record.items() if value is not None}) for record in told
        ]
    return [str(xml_folder(folder / "plain.stackexchange.com", {"Posts.xml": xml_table("posts", *rows)}))]


def _text(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return "".join(character for character in text if character.isprintable())


FILES = {
    "reddit-dump": of_reddit,
    "threads": of_threads,
    "table": of_table,
    "discourse-json": of_discourse,
    "stackexchange-dump": of_stackexchange,
}


def test_every_importer_is_here() -> None:
    assert FILES.keys() == import_command.commands.keys()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("lie", lies.LIES)
@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_lies_costs_its_lies(
    kind: str, lie: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dump").mkdir()
    given = FILES[kind](tmp_path / "dump", lie)
    store = str(tmp_path / "s")
    start = time.process_time()
    assert run(["import", kind, *given, "--store", store]) in (0, 3, 5)
    sound(Store(store))
    rows = Store(store).snapshot().scan("posts").collect()
    assert rows["post_id"].n_unique() >= 6, "what came beside the lies is there"
    assert run(["export", str(tmp_path / "out"), "--rule", "votes", "--allow-unknown-age", "--store", store]) in (
        0,
        3,
        5,
    )
    assert run(["stats", "--store", store]) == 0
    said = capsys.readouterr()
    assert not any(trace in said.out + said.err for trace in ("\x1b]", "\x07", "\x1b[31m", "bug"))
    assert time.process_time() - start < 30


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind != "stackexchange-dump"])
def test_half_of_a_character_in_any_value_costs_that_record(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dump").mkdir()
    given = FILES[kind](tmp_path / "dump", "score-null")
    for path in (tmp_path / "dump").rglob("*"):
        lines = path.read_bytes().splitlines(keepends=True)
        last = lines[-1]
        values = [match.end() for match in re.finditer(rb'":\s*"', last)]
        values += [match.end() for match in re.finditer(rb'":\s*"[^"\\]{12}', last)]
        lines += [last[:end] + b"\\ud800" + last[end:] for end in values]
        path.write_bytes(b"".join(lines))
    assert run(["import", kind, *given, "--store", str(tmp_path / "s")]) in (0, 3)
    assert "could not be read further" not in capsys.readouterr().err
    sound(Store(tmp_path / "s"))


# -- what holds after any of them -------------------------------------------------------------------------------------


def code_of(at: Bench) -> int:
    """How a crawl ends."""
    try:
        return 0 if at.crawl().complete else 3
    except Error as error:
        assert error.message.endswith("."), error.message  # noqa: PT017
        return error.exit_code


def sound(store: Store) -> None:
    """The store can be read, and every row says whose it is."""
    if not store.exists:
        return
    stats(store.snapshot())
    for table in ("posts", "answers"):
        rows = store.snapshot().scan(table).collect()
        assert sum(rows.select("site", "post_id", "community", "state").null_count().row(0)) == 0


#: Lies that no reader can take for the truth: when the site is honest again, the store is as if it always had been.
WELL_AGAIN = {
    "score-too-large", "score-far-too-large", "score-too-small", "score-a-text", "time-a-text",
    "count-too-large",
}  # fmt: skip


# -- three sites ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "told",
    [pytest.param(list(lies.LIES)[::7], id="some"), pytest.param(list(lies.LIES), id="all", marks=pytest.mark.slow)],
)
def test_a_site_that_lies_and_one_that_is_down_cost_the_third_nothing(told: list[str], tmp_path: Path) -> None:
    with (
        bench("discourse", tmp_path / "store", community()) as liar,
        bench("lemmy-v4", tmp_path / "none", community()) as well,
        bench("lemmy-v4", tmp_path / "alone", community()) as alone,
    ):
        down = source(liar, kind="nodebb", site="down.example", url="http://127.0.0.1:1")
        three = [source(well, site="well.example"), source(liar), down]
        export = {"formats": ["pairs", "trl"], "sites": ["well.example"]}
        whole = pipeline(liar, source=three, export=[{**export, "out": str(tmp_path / "of three")}])
        one = pipeline(
            alone, source=[source(alone, site="well.example")], export=[{**export, "out": str(tmp_path / "of one")}]
        )
        for lie in told:
            liar.forum.faults.clear()
            liar.forum.faults.add(lies.told(lie))
            # Waiting on the others moves the clock, and with it the times of visits: only crawls are compared.
            ran = run_on(liar, whole, only=["crawl", "export"])
            assert ran.exit_code in (3, 5), lie
            said = {step.about: step for step in ran.steps}
            assert sum(step.exit_code != 0 for step in ran.steps if step.step == "crawl") >= 1
            assert any("down.example" in step.said or "127.0.0.1" in step.said for step in ran.steps), said
            assert run_on(alone, one, only=["crawl", "export"]).exit_code == 0
            liar.clock.time = alone.clock.time = liar.clock.time + DAY_S
        found, expected = tree(tmp_path / "of three"), tree(tmp_path / "of one")
        assert found == expected
        assert len(found) > 4
