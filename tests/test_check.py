"""`check`: an export that is whole passes, and everything that is wrong with one is said in a sentence."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shp_miner
from shp_miner import FORMATS, BadInput, UsageError, export_dataset, import_dump
from shp_miner.checking import opened, rows
from shp_miner.checking.baselines import Agreement, share_with_error
from shp_miner.checking.check import check
from shp_miner.checking.lengths import Lengths, Units
from shp_miner.checking.readings import LOADED
from shp_miner.checking.tools import READINGS, TOOLS
from shp_miner.cli import run
from shp_miner.export.snippets import SNIPPETS

from .build import thread, write_month
from .conftest import ROOT

#: What each setting of a tool makes of the formats of pairs: the formats that it keeps whole, and those whose rows it
#: keeps without the question. With every other format it stops, or drops every row.
#: `benchmarks/loaders.py` ran the tools' own loaders; docs/checking.md has the result.
KEEPS: dict[tuple[str, str], tuple[str, str]] = {
    ("trl", "RewardTrainer"): ("trl chat-pairs trl-text", ""),
    ("trl", "DPOTrainer"): ("trl chat-pairs trl-text", ""),
    ("trl", "KTOTrainer"): ("kto trl chat-pairs trl-text", ""),
    ("rewardbench", "--dataset"): ("chat-pairs", "trl"),
    ("llama-factory", "v1, converter: pair"): ("chat-pairs", "trl kto pairs shp ranking sft bandit"),
    ("llama-factory", "sharegpt, ranking"): ("", ""),
    ("llama-factory", "openai, ranking"): ("", ""),
    ("llama-factory", "alpaca, ranking"): ("trl-text", ""),
    ("llama-factory", "alpaca, kto_tag"): ("kto", ""),
    ("axolotl", "bradley_terry.chat_template"): ("", ""),
    ("axolotl", "chat_template.argilla_chat"): ("chat-pairs", ""),
    ("axolotl", "chat_template.default"): ("trl trl-text", ""),
    ("axolotl", "orpo.chat_template"): ("chat-pairs", ""),
    ("openrlhf", "apply_chat_template"): ("chat-pairs", "trl"),
    ("openrlhf", "apply_chat_template, prompt_key"): ("trl", ""),
    ("openrlhf", "prompt_key"): ("trl-text", ""),
    ("rlhflow", "llama3_rm.py"): ("chat-pairs", "trl"),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("check")
    records = []
    for number in range(40):
        scores = [2 + (number * 7 + order * order * 5) % 23 for order in range(2 + number % 5)]
        records += thread(f"p{number}", scores, subreddit="AskTest" if number % 3 else "AskMore")
    import_dump(
        "reddit-dump", write_month(folder / "dumps", records), folder / "store", now=datetime.now().astimezone()
    )
    return folder / "store"


@pytest.fixture(scope="module")
def whole(store: Path) -> Path:
    """An export in every format; tests only read it."""
    export_dataset(store, store.parent / "whole", formats=list(FORMATS))
    return store.parent / "whole"


@pytest.fixture
def pairs(store: Path, tmp_path: Path) -> Path:
    """An export of one format, to be damaged."""
    kept = store.parent / "pairs"
    if not kept.exists():
        export_dataset(store, kept)
    return Path(shutil.copytree(kept, tmp_path / "pairs"))


def said(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> str:
    capsys.readouterr()
    assert run(["check", *map(str, words)]) == code
    captured = capsys.readouterr()
    return captured.out if code in (0, 5) and captured.out else captured.err


def manifest(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return read


def write_manifest(folder: Path, data: dict[str, Any]) -> None:
    (folder / "manifest.json").write_text(json.dumps(data))


def rewritten(folder: Path, change: Callable[[pa.Table], pa.Table], number: int = 0) -> None:
    """Change the rows of a file and let the manifest say so, as a bug of the exporter would."""
    data = manifest(folder)
    file = data["files"][number]
    path = folder / file["path"]
    table = change(pq.read_table(path, partitioning=None))
    pq.write_table(table, path, store_schema=False)
    content = path.read_bytes()
    data["rows"][file["split"]] += table.num_rows - file["rows"]
    file |= {"rows": table.num_rows, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    write_manifest(folder, data)


def replaced(table: pa.Table, column: str, values: list[Any]) -> pa.Table:
    number = table.column_names.index(column)
    return table.set_column(number, table.schema.field(number), pa.array(values, table.schema.field(number).type))


# -- exports that are right -------------------------------------------------------------------------------------------


def test_an_export_in_every_format_is_right(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, whole)
    assert text.splitlines()[0].startswith(f"{whole} is whole and right: ")
    data = json.loads(said(capsys, whole, "--json"))
    assert data["passed"] is True
    assert data["problems"] == []
    assert [found["format"] for found in data["formats"]] == list(FORMATS)
    by_ids = {found["format"]: found["threads"] for found in data["formats"] if found["thread_by"] == "ids"}
    assert set(by_ids) == {"pairs", "shp", "trl", "chat-pairs"}
    assert len(set(by_ids.values())) == 1
    assert {found["straddling"] for found in data["formats"]} == {0}


def test_one_format_inside_an_export_of_several_is_checked_alone(whole: Path) -> None:
    checked = check(whole / "chat-pairs")
    assert checked.passed
    assert [found.format for found in checked.formats] == ["chat-pairs"]


def test_the_public_function_is_the_command(pairs: Path) -> None:
    checked = shp_miner.check(pairs, tools="trl")
    assert isinstance(checked, shp_miner.Checked)
    assert checked.passed
    assert {tool.tool for tool in checked.formats[0].tools} == {"trl"}
    rows = f"{checked.formats[0].rows:,} rows of pairs"
    warnings = "1 warning" if len(checked.warnings) == 1 else f"{len(checked.warnings)} warnings"
    assert repr(checked) == f"Checked({str(pairs)!r}: whole and right, {warnings}, {rows})"


def test_rows_are_read_by_row_groups_and_no_result_depends_on_their_size(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, most = [], []
    add = rows.Rows.add
    monkeypatch.setattr(rows.Rows, "add", lambda *them: (most.append(them[1].num_rows), add(*them))[1])
    for size in (7, 10_000):
        monkeypatch.setattr("shp_miner.checking.opened._ROWS", size)
        export_dataset(store, tmp_path / f"o{size}", formats=["chat-pairs"])
        most.clear()
        results.append(check(tmp_path / f"o{size}", tools=TOOLS, max_tokens=3).formats)
        assert max(most) <= size
    assert results[0] == results[1]


def test_a_confounded_rule_and_a_file_of_others_are_warnings(store: Path, tmp_path: Path) -> None:
    export_dataset(store, tmp_path / "o", rule="votes")
    (tmp_path / "o" / "mine.parquet").write_bytes(b"x")
    checked = check(tmp_path / "o")
    assert checked.passed
    assert any("votes follow attention" in warning for warning in checked.warnings)
    assert any("mine.parquet" in warning for warning in checked.warnings)


# -- exports that are not ---------------------------------------------------------------------------------------------


def test_a_folder_that_is_no_export_is_refused(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{store} is a store, not an export." in said(capsys, store, code=5)
    assert "is not an export: it has no manifest.json." in said(capsys, tmp_path, code=5)
    assert "is not an export" in said(capsys, tmp_path / "nowhere", code=5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layout": 99}, "has the layout 99; this version reads layout 1"),
        ({"files": []}, "names no files"),
        ({"files": [{"path": "a", "community": "b", "split": "c"}]}, "was changed by hand"),
        ({"rows": 3}, "was changed by hand"),
        ({"format": "newer"}, "has the format 'newer', which this version does not know"),
    ],
)
def test_a_manifest_of_others_is_one_sentence(
    change: dict[str, Any], words: str, pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_manifest(pairs, manifest(pairs) | change)
    assert words in said(capsys, pairs, code=5)


def test_a_format_that_is_missing_is_said(whole: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(whole, tmp_path / "o"))
    shutil.rmtree(out / "kto")
    with pytest.raises(BadInput, match="lacks the format 'kto'"):
        check(out)


def test_missing_changed_and_foreign_bytes_are_problems(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third = (pairs / file["path"] for file in manifest(pairs)["files"][:3])
    first.unlink()
    content = bytearray(second.read_bytes())
    content[len(content) // 2] ^= 1
    second.write_bytes(content)
    third.write_bytes(b"PAR1")
    text = said(capsys, pairs, code=5)
    assert text.splitlines()[0] == f"{pairs} is not right: 3 problems."
    assert f"{first.relative_to(pairs)} is missing." in text
    assert f"{second.relative_to(pairs)} has another SHA-256" in text
    assert f"{third.relative_to(pairs)} has 4 bytes; its manifest says" in text


def test_a_file_that_is_not_parquet_is_a_problem(pairs: Path) -> None:
    data = manifest(pairs)
    content = b"no Parquet"
    (pairs / data["files"][0]["path"]).write_bytes(content)
    data["files"][0] |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    write_manifest(pairs, data)
    assert any("is not a readable Parquet file" in problem for problem in check(pairs).problems)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: replaced(table, "answer1", ["\n", *table["answer1"].to_pylist()[1:]]), "has an empty answer1"),
        (lambda table: replaced(table, "answer1", table["answer2"].to_pylist()), "with two equal answers"),
        (lambda table: replaced(table, "preferred", [1] * table.num_rows), "the sides are not fair"),
        (lambda table: table.append_column("margin", table["score1"]), "has the reserved column 'margin'"),
        (lambda table: table.drop_columns(["url"]), "does not have the schema of format pairs"),
        (lambda table: table.slice(0, 0), "has 0 rows instead of 0"),
    ],
    ids=["empty", "equal", "sides", "reserved", "schema", "no rows"],
)
def test_rows_that_no_export_has_are_problems(change: Callable[[pa.Table], pa.Table], words: str, pairs: Path) -> None:
    sizes = [file["rows"] for file in manifest(pairs)["files"]]
    rewritten(pairs, change, sizes.index(max(sizes)))
    problems = check(pairs).problems
    assert any(words in problem for problem in problems), problems


def test_a_thread_in_two_splits_is_a_problem(pairs: Path) -> None:
    data = manifest(pairs)
    train, test = ([file["split"] for file in data["files"]].index(split) for split in ("train", "test"))
    stray = pq.read_table(pairs / data["files"][train]["path"], partitioning=None).slice(0, 1)
    rewritten(pairs, lambda table: pa.concat_tables([table, stray]), test)
    assert "1 threads of pairs are in more than one split (by their ids)." in check(pairs).problems


def test_row_counts_that_the_manifest_contradicts_are_a_problem(pairs: Path) -> None:
    data = manifest(pairs)
    write_manifest(pairs, data | {"rows": {**data["rows"], "train": 1}})
    assert any(
        problem.startswith("manifest.json says 1 rows of train") for problem in check(pairs).problems[:1]
    ) or any("1 rows of train" in problem for problem in check(pairs).problems)


def test_a_card_without_a_file_is_a_problem(pairs: Path) -> None:
    card = pairs / "README.md"
    first, second = (file["path"] for file in manifest(pairs)["files"][:2])
    card.write_text(card.read_text().replace(f'    - "{first}"', f'    - "{second}"', 1))
    (problem,) = check(pairs).problems
    assert problem == f"{card} lists other files of the configuration 'all' than the manifest."
    card.write_text("no card")
    (problem,) = check(pairs).problems
    assert problem.startswith(f"{card} does not list its configurations")
    card.unlink()
    assert f"{pairs} has no README.md." in check(pairs).problems


def test_a_card_that_names_files_elsewhere_is_not_followed(pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shp_miner.checking.check.loading_problem", lambda _: pytest.fail("datasets was asked"))
    card = pairs / "README.md"
    card.write_text(
        card.read_text().replace(
            "configs:\n",
            "configs:\n- config_name: more\n  data_files:\n  - split: train\n    path: https://example.org/rows.parquet\n",
            1,
        )
    )
    (problem,) = check(pairs).problems
    assert problem == f"{card} has the configuration 'more', which no file of the manifest has."


def test_a_common_manifest_that_is_not_of_its_formats_is_a_problem(whole: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(whole, tmp_path / "o"))
    own = out / "trl" / "manifest.json"
    own.write_text(own.read_text() + "\n")
    assert any("another hash of the manifest of trl" in problem for problem in check(out).problems)


# -- rules of thumb and lengths ---------------------------------------------------------------------------------------


def test_shares_are_those_of_the_rows(pairs: Path) -> None:
    table = pl.concat([pl.read_parquet(pairs / file["path"]) for file in manifest(pairs)["files"]])
    first = table["preferred"] == 1
    (found,) = check(pairs).formats
    shares = {baseline.name: baseline.share for baseline in found.baselines}
    assert shares["higher position wins"] == pytest.approx(first.mean())
    assert shares["earlier wins"] == pytest.approx(((table["created_at1"] < table["created_at2"]) == first).mean())
    longer = table["answer1"].str.len_chars().cast(pl.Int64) - table["answer2"].str.len_chars().cast(pl.Int64)
    decided = longer != 0
    if decided.any():
        assert shares["longer wins"] == pytest.approx(((longer > 0) == first).filter(decided).mean())
    same = next((one.undecided for one in found.baselines if one.name == "longer wins"), None)
    assert same in (None, int((~decided).sum()))


def test_the_interval_is_that_of_a_bootstrap_over_threads() -> None:
    draw = np.random.default_rng(0)
    pairs = draw.integers(1, 30, 300)
    right = draw.binomial(pairs, draw.beta(6, 4, 300))
    share, error = share_with_error(right, pairs)
    drawn = draw.integers(0, 300, (2000, 300))
    spread = np.std(right[drawn].sum(axis=1) / pairs[drawn].sum(axis=1))
    assert share == right.sum() / pairs.sum()
    assert error == pytest.approx(spread, rel=0.1)
    naive = np.sqrt(share * (1 - share) / pairs.sum())
    assert error > 1.5 * naive, "pairs of a thread are not independent"


def test_the_share_of_wanted_answers_is_that_of_the_rows(whole: Path) -> None:
    folder = whole / "kto"
    labels = pl.concat([pl.read_parquet(folder / file["path"]) for file in manifest(folder)["files"]])["label"]
    (found,) = check(folder).formats
    assert found.label_share == pytest.approx(labels.mean())
    assert found.first_share is None


def test_undecided_pairs_are_counted_apart_and_one_thread_has_no_interval() -> None:
    rule = Agreement("rule")
    rule.add(pl.Series([1, 1, 1], dtype=pl.UInt64), pl.Series([True, False, None]))
    found = rule.result()
    assert found is not None
    assert (found.share, found.pairs, found.threads, found.undecided) == (0.5, 2, 1, 1)
    assert (found.low, found.high) == (0, 1)
    nothing = Agreement("rule")
    nothing.add(pl.Series([1], dtype=pl.UInt64), pl.Series([None], dtype=pl.Boolean))
    assert nothing.result() is None


def test_pairs_that_are_equal_within_a_limit_are_counted() -> None:
    frame = pl.DataFrame(
        {
            "question": ["one two", "one two three four", "one"],
            "better": ["three four five", "x", "same same end"],
            "worse": ["three four six", "y", "same same other words"],
        }
    )
    lengths = Lengths(Units(), [3, 4, 5])
    assert [length.longest for length in lengths.add(frame)] == [5, 5, 5]
    assert [(found.limit, found.longer, found.equal) for found in lengths.results] == [(3, 3, 3), (4, 3, 2), (5, 0, 0)]


def test_a_tokenizer_file_counts_tokens(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tokenizer:
        @staticmethod
        def from_file(path: str) -> Any:
            if json.loads(Path(path).read_text()) != {"good": True}:
                raise Exception("not a tokenizer")
            return Tokenizer()

        def no_truncation(self) -> None: ...

        def no_padding(self) -> None: ...

        def encode_batch(self, texts: list[str], add_special_tokens: bool) -> list[Any]:
            assert not add_special_tokens
            return [type("Encoding", (), {"ids": list(text.encode())}) for text in texts]

    file = tmp_path / "tokenizer.json"
    file.write_text('{"good": true}')
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UsageError, match="tokenizers, which is not installed") as missing:
        check(pairs, tokenizer=file)
    assert "shp-miner[train]" in missing.value.hint
    monkeypatch.setitem(sys.modules, "tokenizers", type("tokenizers", (), {"Tokenizer": Tokenizer}))
    (found,) = check(pairs, tokenizer=file, max_tokens=30).formats
    assert [(length.unit, length.longer) for length in found.lengths] == [("tokens", found.rows)]
    file.write_text("{}")
    with pytest.raises(BadInput, match="not a file of the library tokenizers"):
        check(pairs, tokenizer=file)
    with pytest.raises(BadInput, match="There is no tokenizer file"):
        check(pairs, tokenizer=tmp_path / "nowhere.json")


# -- training tools ---------------------------------------------------------------------------------------------------


def test_every_setting_makes_of_every_format_what_the_tools_own_loaders_do(whole: Path) -> None:
    assert {(reading.tool, reading.setting) for reading in READINGS} == set(KEEPS)
    for found in check(whole, tools=TOOLS).formats:
        for tool in found.tools:
            right, without = (names.split() for names in KEEPS[tool.tool, tool.setting])
            expected = found.rows if found.format in [*right, *without] else 0
            assert (tool.rows, tool.kept) == (found.rows, expected), (tool.tool, tool.setting, found.format)
            assert tool.with_question == (found.rows if found.format in right else 0), (tool, found.format)
            assert bool(tool.stops or tool.dropped) == (not expected)


def test_the_card_has_lines_for_each_tool_with_a_setting_that_keeps_the_format_whole() -> None:
    for form, snippets in SNIPPETS.items():
        for snippet in snippets:
            if snippet.tool:
                assert form in KEEPS[snippet.tool, snippet.setting][0].split(), (form, snippet.title)
    # RLHFlow reads chat-pairs with a script of its own, which has no options.
    assert {snippet.tool for snippet in SNIPPETS["chat-pairs"]} == set(TOOLS) - {"rlhflow"}


def test_the_card_s_lines_have_the_options_of_the_page_on_trainers() -> None:
    page = (ROOT / "docs" / "trainers.md").read_text()
    options = {
        option
        for snippets in SNIPPETS.values()
        for snippet in snippets
        for option in re.findall(r"--[\w.]+", snippet.lines)
    }
    assert "--data.dataset" in options
    assert [option for option in sorted(options) if option not in page] == ["--data.prompt_key"]


def test_what_a_tool_makes_of_an_export_is_said_before_anybody_trains(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, whole / "trl", "--for", "rewardbench")
    rows = manifest(whole / "trl")["rows"]
    assert f"0 of {sum(rows.values())}" in text
    assert "no question: keeps" in text
    assert "* rewardbench gets no row of trl with its question" in text
    text = said(capsys, whole / "chat-pairs", "--for", "rewardbench,TRL", "--for", "llama_factory")
    assert text.count("keeps all") == 5
    assert text.count("A row of chat-pairs as trl, rewardbench and llama-factory see it:") == 1
    assert "    user: Question p" in text
    assert "    assistant: Answer p" in text


def test_rows_above_the_limit_are_dropped_where_the_tool_drops_them(whole: Path) -> None:
    (found,) = check(whole / "chat-pairs", tools="trl", max_tokens=3).formats
    kept = {tool.setting: (tool.kept, dict(tool.dropped)) for tool in found.tools}
    assert kept["RewardTrainer"] == (0, {"longer than 3 words": found.rows})
    assert kept["DPOTrainer"] == (0, {"the question has 3 words or more": found.rows})
    (found,) = check(whole / "chat-pairs", tools=["trl", "axolotl"], max_tokens=5).formats
    kept = {tool.setting: (tool.kept, dict(tool.dropped)) for tool in found.tools}
    assert kept["RewardTrainer"] == kept["chat_template.argilla_chat"] == (0, {"longer than 5 words": found.rows})
    assert kept["DPOTrainer"] == (found.rows, {})
    assert next(tool.changed for tool in found.tools if tool.setting == "KTOTrainer") == {
        "each pair becomes two rows": found.rows
    }


def test_unknown_tools_and_limits_are_refused(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Did you mean 'rewardbench'?" in said(capsys, whole, "--for", "reward-bench", code=2)
    with pytest.raises(UsageError, match="max_tokens is 0, which is too small"):
        check(whole, max_tokens=0)


def test_readings_take_no_column_that_is_not_loaded(whole: Path) -> None:
    """What a reading looks at is read from the files; a column that no list has would always be missing."""
    for reading in READINGS:
        asked: set[str] = set()

        class Row(dict[str, Any]):
            def __contains__(self, name: object, asked: set[str] = asked) -> bool:
                asked.add(str(name))
                return True

            def __getitem__(self, name: str, asked: set[str] = asked) -> Any:
                asked.add(name)
                return "text"

            def get(self, name: str, default: Any = None, asked: set[str] = asked) -> Any:
                asked.add(name)
                return [{"role": "user", "content": "text"}] * 2

        with suppress(Exception):
            reading.sees(Row())
        assert asked <= set(LOADED), reading


def test_the_page_has_every_setting_with_its_version() -> None:
    text = (ROOT / "docs" / "checking.md").read_text()
    for reading in READINGS:
        limit = "none" if reading.limit is None else f"{reading.limit:,} ({reading.over})"
        assert f"| {reading.tool} {reading.version} | {reading.setting} | {limit} |" in text


def test_files_are_found_through_the_manifest(pairs: Path) -> None:
    data = manifest(pairs)
    file = data["files"][0]
    (pairs / file["path"]).rename(pairs / file["community"] / "another-name.parquet")
    card = pairs / "README.md"
    card.write_text(card.read_text().replace(file["path"], f"{file['community']}/another-name.parquet"))
    file["path"] = f"{file['community']}/another-name.parquet"
    write_manifest(pairs, data)
    assert check(pairs).passed
    assert opened.opened(pairs)[0].rows == sum(data["rows"].values())
