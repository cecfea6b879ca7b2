"""The lab: worlds are the same each time and behave as they say, measures are right, and a stopped run goes on."""

from __future__ import annotations

import itertools
import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shp_miner import PRESETS
from shp_miner.cli import run as command
from shp_miner.errors import UsageError
from shp_miner.forum import World
from shp_miner.forum import simulate as simulate_readers
from shp_miner.forum.simulate import wilson as wilson_of_one
from shp_miner.lab import charts, run
from shp_miner.lab.measures import (
    Labels,
    accuracy_at,
    calibration_error,
    coverage,
    kept_at,
    length_bias,
    multiple,
    multiple_error,
    reliability,
    share_with_error,
)
from shp_miner.lab.report import details, geometric_mean, summary, write_report
from shp_miner.lab.rows import answer_ids, answer_positions, reddit_tables
from shp_miner.lab.simulate import Threads, simulate, wilson
from shp_miner.lab.table import Table, markdown, write_whole
from shp_miner.lab.worlds import WORLDS, LabWorld
from shp_miner.mining.tables import make_pairs
from shp_miner.model import ANSWER, POST
from shp_miner.rules.presets import Rule

from .property import examples

BASE = WORLDS["base"]
SMALL = msgspec.structs.replace(BASE, mean_readers=200.0)


def world(**changes: object) -> LabWorld:
    return msgspec.structs.replace(BASE, **changes)


def same(one: Threads, other: Threads) -> bool:
    return all(np.array_equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(Threads))


def ranks(threads: Threads) -> np.ndarray:
    return np.arange(len(threads.thread)) - np.searchsorted(threads.thread, threads.thread)


# -- worlds -----------------------------------------------------------------------------------------------------------


def test_a_thread_depends_on_seed_world_and_number_alone() -> None:
    many, few = simulate(SMALL, 0, 300), simulate(SMALL, 0, 270)
    answers = int(np.searchsorted(many.thread, 270))
    assert answers == len(few.thread) > 270
    for name in ("thread", "delay_s", "quality", "length", "up", "down", "looks"):
        assert np.array_equal(getattr(many, name)[:answers], getattr(few, name)), name
    assert np.array_equal(many.post_up[:270], few.post_up)
    assert same(few, simulate(SMALL, 0, 270))
    assert not np.array_equal(few.readers, simulate(SMALL, 1, 270).readers)
    assert not np.array_equal(few.readers[:20], few.readers[250:270]), "blocks are not copies of each other"


def test_worlds_that_differ_in_display_share_their_threads() -> None:
    one, other = simulate(BASE, 0, 50), simulate(WORLDS["top"], 0, 50)
    for name in ("readers", "thread", "delay_s", "quality", "length"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert not np.array_equal(one.up, other.up)


@pytest.mark.parametrize("name", WORLDS)
def test_better_answers_get_more_votes_and_no_vote_comes_without_a_look(name: str) -> None:
    threads = simulate(WORLDS[name], 0, 100)
    net = threads.up - threads.down
    low, high = np.quantile(threads.quality, [1 / 3, 2 / 3])
    assert net[threads.quality > high].mean() > 3 * max(net[threads.quality < low].mean(), 1)
    assert (threads.up + threads.down <= threads.looks).all()
    assert (threads.looks <= threads.readers[threads.thread]).all()
    assert (threads.delay_s < WORLDS[name].read_after_days * 86_400).all()
    assert len(set(threads.quality.tolist())) == len(threads.quality), "no two answers are equally good"


def test_what_is_shown_first_is_looked_at_most() -> None:
    """Looks at the later half of a thread's answers for each look at the earlier half."""
    found = {}
    for name in ("chronological", "best", "hot", "random"):
        threads = simulate(world(order=name), 0, 200)
        late = ranks(threads) >= np.bincount(threads.thread)[threads.thread] / 2
        found[name] = threads.looks[late].sum() / threads.looks[~late].sum()
    assert found["chronological"] < found["best"] / 1.3
    assert found["best"] < found["random"] / 1.3, "votes keep the early answers up"
    assert found["random"] < found["hot"], "hot lifts what is new"


def test_first_answers_get_more_votes_than_their_quality_explains() -> None:
    def first_to_tenth(**changes: object) -> float:
        """In threads that had ten answers within six hours."""
        threads = simulate(world(order="top", **changes), 0, 400)
        tenth = np.flatnonzero((ranks(threads) == 9) & (threads.delay_s < 6 * 3600))
        assert len(tenth) > 80
        return float(threads.up[tenth - 9].mean() / threads.up[tenth].mean())

    assert first_to_tenth() > 1.5 * first_to_tenth(position_bias=0.0) > 1.5


def test_every_parameter_does_what_it_says() -> None:
    base = simulate(BASE, 0, 200)
    assert simulate(WORLDS["no-herding"], 0, 200).up.sum() < base.up.sum()
    late = simulate(WORLDS["late-much-better"], 0, 200)
    place = ranks(late) / np.bincount(late.thread)[late.thread]
    assert 0.5 < np.corrcoef(place, late.quality)[0, 1] < 0.65
    assert abs(np.corrcoef(ranks(base), base.quality)[0, 1]) < 0.05
    assert late.quality.std() == pytest.approx(1, abs=0.05)
    assert simulate(WORLDS["early-snapshot"], 0, 200).readers.sum() < 0.95 * base.readers.sum()
    for name in ("reputation", "faint-quality"):
        blurred = simulate(WORLDS[name], 0, 200)
        assert np.corrcoef(blurred.quality, np.log1p(blurred.up))[0, 1] < 0.9 * _follows(base), name
    longer = simulate(WORLDS["length-bias"], 0, 200)
    assert np.corrcoef(np.log(longer.length), np.log1p(longer.up))[0, 1] > 2 * _follows_length(base)
    assert np.corrcoef(np.log(base.length), base.quality)[0, 1] == pytest.approx(0.3, abs=0.05)


def _follows(threads: Threads) -> float:
    return float(np.corrcoef(threads.quality, np.log1p(threads.up))[0, 1])


def _follows_length(threads: Threads) -> float:
    return float(np.corrcoef(np.log(threads.length), np.log1p(threads.up))[0, 1])


def test_steps_of_time_come_out_as_reader_by_reader() -> None:
    """The demo's simulator, which lets one reader after the other vote, as the judge: 'top' is the same in both."""
    readers = simulate_readers(
        World(threads=250, readers_spread=0.3, display_order="top", span_days=1, settle_days=30), 3
    )
    steps = simulate(world(order="top", mean_readers=300.0, readers_spread=0.3), 3, 1000)
    by_reader = [(answer.up, place) for thread in readers for place, answer in enumerate(thread.at().answers)]
    up, place = np.array(by_reader).T
    assert len(up) / 250 == pytest.approx(len(steps.up) / 1000, rel=0.05)
    for rank in range(4):
        slow, fast = up[place == rank], steps.up[ranks(steps) == rank]
        error = math.hypot(slow.std() / math.sqrt(len(slow)), fast.std() / math.sqrt(len(fast)))
        assert abs(slow.mean() - fast.mean()) < 3 * error, rank
        assert error < 0.15 * slow.mean()


def test_wilson_of_arrays_is_that_of_the_forum() -> None:
    up, down = np.array([1, 5, 0, 400]), np.array([0, 3, 2, 10])
    assert wilson(up, down).tolist() == pytest.approx([wilson_of_one(u, d) for u, d in zip(up, down, strict=True)])


def test_the_worlds_differ_from_the_base_in_what_they_say() -> None:
    assert next(iter(WORLDS)) == "base"
    assert len(WORLDS) == 17
    default = msgspec.structs.asdict(BASE)
    for world in WORLDS.values():
        changed = {name for name, value in msgspec.structs.asdict(world).items() if value != default[name]}
        assert len(changed - {"name", "differs"}) == (world.name != "base"), world.name
        assert msgspec.convert(msgspec.structs.asdict(world), LabWorld) == world, "within the bounds of its fields"


# -- tables -----------------------------------------------------------------------------------------------------------


def test_the_tables_are_those_of_the_product() -> None:
    early = WORLDS["early-snapshot"]
    threads = simulate(early, 0, 30)
    posts, answers = reddit_tables(threads, early)
    assert (posts.schema, answers.schema) == (POST, ANSWER)
    assert (len(posts), len(answers)) == (30, len(threads.thread))
    for table in (posts, answers):
        assert set(table["platform"].to_pylist()) == {"reddit"}
    by_post = {row["post_id"]: row for row in posts.to_pylist()}
    for row in answers.to_pylist():
        post = by_post[row["post_id"]]
        assert row["observed_at"] == post["observed_at"] == post["created_at"] + timedelta(hours=36)
        assert post["created_at"] <= row["created_at"] < row["observed_at"]
    at = answer_positions(threads, answers["answer_id"])
    assert sorted(at.tolist()) == list(range(len(threads.thread)))
    assert answers["score"].to_pylist() == (1 + threads.up - threads.down)[at].tolist()
    assert answers["post_id"].to_pylist() == [str(n) for n in threads.thread[at]]
    assert answers["body_chars"].to_pylist() == threads.length[at].tolist()
    assert (np.diff(answer_ids(threads)) > 0).all()


def test_pairs_are_held_against_the_truth() -> None:
    """Written out thread by thread and pair by pair, without the product's rules."""
    threads = simulate(SMALL, 0, 80)
    posts, answers = reddit_tables(threads, SMALL)
    found = run._pairs(posts, answers, PRESETS["shp"], threads)
    asked = 1 + threads.post_up - threads.post_down
    expected = []
    score, delay_s, quality, length = (
        column.tolist() for column in (threads.score, threads.delay_s, threads.quality, threads.length)
    )
    for number in np.flatnonzero(asked >= 10).tolist():
        for w, el in itertools.permutations(np.flatnonzero(threads.thread == number).tolist(), 2):
            eligible = min(score[w], score[el]) >= 2 and max(delay_s[w], delay_s[el]) < 29 * 86_400
            if eligible and score[w] > score[el] and delay_s[w] >= delay_s[el]:
                better, worse = (w, el) if quality[w] > quality[el] else (el, w)
                expected.append((number, w == better, length[w] > length[el], length[better] > length[worse]))
    assert np.bincount(threads.thread).max() <= 50
    assert len(expected) > 100
    got = zip(found.labels.thread, found.labels.right, found.longer_won, found.longer_better, strict=True)
    assert sorted(map(tuple, expected)) == sorted(got)


# -- measures ---------------------------------------------------------------------------------------------------------


def labels(right: str, confidence: list[float], thread: list[int] | None = None) -> Labels:
    """'1' for a right label."""
    return Labels(
        np.array(thread if thread is not None else range(len(right)), np.int64),
        np.array([digit == "1" for digit in right], dtype=bool),
        np.array(confidence, np.float64),
    )


FIVE = labels("10110", [0.9, 0.8, 0.7, 0.6, 0.55])


def test_measures_by_hand() -> None:
    assert accuracy_at(FIVE, 1) == 1
    assert accuracy_at(FIVE, 4) == 0.75
    assert accuracy_at(FIVE, 6) is None
    assert kept_at(FIVE, 1.0) == 1
    assert kept_at(FIVE, 0.7) == 4, "two wrong ones on the way do not end the search"
    assert kept_at(FIVE, 0.6) == 5
    assert kept_at(labels("0", [0.9]), 0.5) == 0
    assert multiple(FIVE, labels("1110", [math.nan] * 4)) == 1.0
    # One bin each: |1 - .9|, |0 - .8|, |1 - .7|, |1 - .6|, |0 - .55|.
    assert calibration_error(FIVE) == pytest.approx((0.1 + 0.8 + 0.3 + 0.4 + 0.55) / 5)
    assert reliability(labels("1101", [0.91, 0.93, 0.94, 1.0])) == [
        (pytest.approx(0.926667, abs=1e-6), pytest.approx(2 / 3), 3),
        (1.0, 1.0, 1),
    ]
    won, better = np.array([True, True, False, True]), np.array([True, False, False, True])
    assert length_bias(won, better, np.arange(4))[0] == 0.25


def test_equal_confidences_stand_together() -> None:
    tied = labels("1100", [0.9, 0.7, 0.7, 0.7])
    assert kept_at(tied, 0.6) == 1
    assert kept_at(tied, 0.5) == 4
    assert accuracy_at(tied, 2) == pytest.approx((1 + 1 / 3) / 2)
    backwards = labels("0011", [0.7, 0.7, 0.7, 0.9])
    assert [accuracy_at(backwards, n) for n in (1, 2, 3, 4)] == [accuracy_at(tied, n) for n in (1, 2, 3, 4)]


@pytest.mark.parametrize("confidence", [[math.nan] * 3, [0.9, math.nan, 0.8]])
def test_without_confidences_nothing_is_ranked(confidence: list[float]) -> None:
    unranked = labels("110", confidence)
    assert not unranked.ranked
    assert accuracy_at(unranked, 1) is kept_at(unranked, 0.5) is multiple(unranked, FIVE) is None
    assert multiple_error(unranked, FIVE, 5, 0) is calibration_error(unranked) is None
    assert reliability(unranked) == coverage(unranked, 5) == []
    none = labels("", [])
    assert accuracy_at(none, 1) is multiple(none, FIVE) is multiple(FIVE, none) is None
    assert all(map(math.isnan, share_with_error(none.right, none.thread)))


CASES = st.lists(st.tuples(st.booleans(), st.sampled_from([0.5, 0.6, 0.75, 0.9, 1.0])), min_size=1, max_size=30)


@given(CASES, st.floats(0, 1))
@examples(50)
def test_what_is_kept_is_the_largest_prefix_that_is_right_enough(cases: list[tuple[bool, float]], floor: float) -> None:
    one = labels("".join("01"[right] for right, _ in cases), [confidence for _, confidence in cases])
    expected = 0
    for bound in {confidence for _, confidence in cases}:
        kept = [right for right, confidence in cases if confidence >= bound]
        if sum(kept) / len(kept) >= floor:
            expected = max(expected, len(kept))
    assert kept_at(one, floor) == expected
    assert multiple(one, one) == 1
    assert accuracy_at(one, len(one)) == pytest.approx(np.mean([right for right, _ in cases]))
    error = calibration_error(one)
    assert error is not None
    assert 0 <= error <= 1
    assert sum(pairs for *_, pairs in reliability(one)) == len(one)


def test_confidences_that_are_right_have_no_calibration_error() -> None:
    chance = np.random.default_rng(0)
    confidence = chance.uniform(0.5, 1, 200_000)
    true = Labels(np.arange(200_000), chance.random(200_000) < confidence, confidence)
    error = calibration_error(true)
    assert error is not None
    assert error < 0.005
    boasting = calibration_error(Labels(true.thread, true.right, np.minimum(confidence + 0.2, 1)))
    assert boasting is not None
    assert boasting > 0.12


def test_standard_errors_take_threads_as_units() -> None:
    chance = np.random.default_rng(0)
    right = chance.random(2000) < 0.8
    alone = share_with_error(right, np.arange(2000))
    assert alone[0] == right.mean()
    assert alone[1] == pytest.approx(math.sqrt(0.16 / 2000), rel=0.05)
    tenfold = share_with_error(np.repeat(right, 10), np.repeat(np.arange(2000), 10))
    assert tenfold == pytest.approx(alone), "ten copies of a pair say no more than the pair"


def test_the_bootstrap_knows_how_far_a_multiple_varies() -> None:
    """The spread of the multiple over many data sets, against what one data set says of it."""

    def data(seed: int) -> tuple[Labels, Labels]:
        chance = np.random.default_rng(seed)
        confidence = chance.uniform(0.5, 1, 3000)
        thread = np.arange(3000) // 3
        one = Labels(thread, chance.random(3000) < confidence, confidence)
        return one, one.only(chance.random(3000) < 0.3)

    spread = np.std([multiple(*data(seed)) for seed in range(40)])
    said = [multiple_error(*data(seed), 1000, 0) for seed in range(5)]
    assert 0.6 * spread < np.mean([error for error in said if error]) < 1.6 * spread


def test_curves_end_at_the_whole() -> None:
    chance = np.random.default_rng(0)
    confidence = chance.uniform(0.5, 1, 1000)
    one = Labels(np.arange(1000), chance.random(1000) < confidence, confidence)
    points = coverage(one, 400)
    assert points[-1] == (2.5, pytest.approx(one.right.mean()))
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert points[0][1] > points[-1][1]


def test_geometric_mean() -> None:
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4)
    assert geometric_mean([2.0, 0.0]) == 0
    assert math.isnan(geometric_mean([]))


# -- runs -------------------------------------------------------------------------------------------------------------

FEW = ("base", "low-traffic", "top")


def run_few(out: Path, **options: object) -> list[run.WorldResult]:
    run.claim_folder(out)
    return run.run_worlds(out, run.chosen_worlds(FEW), threads=60, workers=1, **options)


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_a_run_that_was_stopped_goes_on_and_comes_out_the_same(tmp_path: Path) -> None:
    whole = run_few(tmp_path / "whole")
    assert [result.world.name for result in whole] == list(FEW)
    count = 0

    def stop(steps: int) -> None:
        nonlocal count
        count += steps
        if count == len(PRESETS) + 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_few(tmp_path / "stopped", advance=stop)
    assert [path.name for path in (tmp_path / "stopped" / "worlds").iterdir()] == ["base.json"]
    found: list[str] = []
    assert run_few(tmp_path / "stopped", found=lambda result: found.append(result.world.name)) == whole
    assert found == ["base"]
    for out in ("whole", "stopped"):
        write_report(tmp_path / out, run_few(tmp_path / out), [])
    assert contents(tmp_path / "whole") == contents(tmp_path / "stopped")


def test_a_kept_world_is_taken_only_if_nothing_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_few(tmp_path)
    job = run.Job(tmp_path / "worlds" / "base.json", BASE, 0, 60)
    assert run._kept(job) == first[0]
    for other in (
        run.Job(job.path, BASE, 1, 60),
        run.Job(job.path, BASE, 0, 61),
        run.Job(job.path, world(herding=0.1), 0, 60),
    ):
        assert run._kept(other) is None
    with monkeypatch.context() as patch:
        patch.setitem(run.PRESETS, "shp", msgspec.structs.replace(PRESETS["shp"], min_ratio=1.5))
        assert run._kept(job) is None
    job.path.write_bytes(job.path.read_bytes()[:-100])
    assert run._kept(job) is None
    assert run_few(tmp_path) == first


LAB = "import sys; from shp_miner.cli import main; main()"


def test_kill_in_the_middle_loses_the_current_world_alone(tmp_path: Path) -> None:
    arguments = ["lab", "out", "--threads", "100", "--workers", "1", "--no-charts", "--quiet"]
    arguments += [part for name in FEW for part in ("--world", name)]
    process = subprocess.Popen([sys.executable, "-c", LAB, *arguments], cwd=tmp_path)
    first = tmp_path / "out" / "worlds" / "base.json"
    for _ in range(3000):
        if first.exists() or process.poll() is not None:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = first.read_bytes(), first.stat().st_mtime_ns
    assert not (tmp_path / "out" / "lab.json").exists()
    assert command(arguments) == 0
    assert (first.read_bytes(), first.stat().st_mtime_ns) == kept, "taken, not made again"
    run.claim_folder(tmp_path / "whole")
    write_report(
        tmp_path / "whole", run.run_worlds(tmp_path / "whole", run.chosen_worlds(FEW), threads=100, workers=1), []
    )
    stopped, whole = contents(tmp_path / "out"), contents(tmp_path / "whole")
    assert {name: content for name, content in stopped.items() if not name.endswith(".part")} == whole


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[run.WorldResult]:
    return run_few(tmp_path_factory.mktemp("lab"))


def test_the_numbers_are_those_of_the_pairs(results: list[run.WorldResult]) -> None:
    threads = simulate(BASE, 0, 60)
    posts, answers = reddit_tables(threads, BASE)
    assert (results[0].answers, results[0].votes) == (len(answers), int((threads.up + threads.down).sum()))
    for name in ("shp", "votes", "older-winner"):
        made = make_pairs(posts, answers, PRESETS[name])
        quality = dict(zip(map(str, answer_ids(threads)), threads.quality, strict=True))
        right = [quality[row["winner_id"]] > quality[row["loser_id"]] for row in made.to_pylist()]
        one = results[0].rule(name)
        assert (one.pairs, one.accuracy) == (len(right), pytest.approx(np.mean(right), abs=1e-6))
        assert one.pairs_per_thread == pytest.approx(len(right) / 60, abs=1e-6)
    assert [rule.rule for rule in results[0].rules] == list(PRESETS)


def test_more_is_known_of_more_pairs(tmp_path: Path) -> None:
    """What the lab is for, in small: confidence gains pairs over SHP, and knowing the looks gains more."""
    run.claim_folder(tmp_path)
    (result,) = run.run_worlds(tmp_path, [BASE], threads=250, workers=1)
    calibrated = result.rule("calibrated")
    assert calibrated.ranked_pairs > calibrated.pairs, "measured with all pairs above a coin's confidence"
    assert calibrated.multiple is not None
    assert result.looks_known.multiple is not None
    assert 1.5 < calibrated.multiple < result.looks_known.multiple
    votes = result.rule("votes")
    assert votes.accuracy is not None
    assert votes.accuracy_at_shp is not None
    assert votes.accuracy_at_shp > votes.accuracy + 0.1
    assert result.rule("shp").multiple == 1
    assert min(confidence for confidence, *_ in calibrated.reliability) > 0.5


def ranked(result: run.WorldResult) -> run.WorldResult:
    """The result as if `votes` had confidences and `shp` had none."""
    changes = {
        "votes": {"ranked_pairs": 300, "multiple": 2.5, "multiple_se": 0.1, "accuracy_at_shp": 0.97,
                  "calibration_error": 0.02, "reliability": [(0.7, 0.68, 100), (0.9, 0.93, 200)],
                  "coverage": [(0.5, 0.99), (2.5, 0.9)]},
        "shp": {"ranked_pairs": 0, "multiple": None, "multiple_se": None, "accuracy_at_shp": None,
                "calibration_error": None, "reliability": [], "coverage": []},
    }  # fmt: skip
    rules = [msgspec.structs.replace(rule, **changes.get(rule.rule, {})) for rule in result.rules]
    return msgspec.structs.replace(result, rules=rules)


def test_the_report_says_where_there_is_no_confidence(results: list[run.WorldResult], tmp_path: Path) -> None:
    both = [ranked(result) for result in results]
    rows = {row["rule"]: row for row in summary(both).to_dict()["rows"]}
    assert rows["votes"]["multiple"] == pytest.approx(2.5)
    assert rows["votes"]["worlds with 2 or more"] == "3 of 3"
    assert rows["votes"]["not in"] == ""
    assert rows["shp"]["multiple"] == "no confidence"
    assert rows["shp"]["worlds with 2 or more"] is None
    by_title = {table.title: table.to_dict()["rows"][0] for table in details(both)}
    assert by_title["Multiple of SHP's pairs at SHP's accuracy"]["votes"] == "2.50 ± 0.10"
    assert by_title["Calibration error"]["shp"] == "no confidence"
    assert charts.draw_charts(tmp_path, both) == ["coverage.png", "reliability.png"]
    for name in ("coverage.png", "reliability.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_writes_tables_charts_and_all_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["lab", "out", "--world", "base", "--world", "low-traffic", "--threads", "40", "--workers", "1"]
    assert command(arguments) == 0
    shown = capsys.readouterr().out
    assert "Right labels" in shown
    assert "out/lab.md" in shown
    page = Path("out/lab.md").read_text()
    for word in ("base", "low-traffic", *PRESETS, "![coverage.png](coverage.png)", "2 simulated worlds of 40 threads"):
        assert word in page
    assert command([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(Path("out/lab.json").read_text())
    assert list(printed["worlds"]) == ["base", "low-traffic"]
    assert {rule["rule"] for rule in printed["worlds"]["base"]["rules"]} == set(PRESETS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["out", "--world", "bose"], ("no world 'bose'", "Did you mean 'base'?")),
        (["out", "--world", "zzz"], ("no world 'zzz'", "Known: base, low-traffic, ")),
        (["taken"], ("taken exists and was not made by the lab", "empty this one")),
        (["file"], ("file exists and was not made by the lab",)),
        (["out", "--world", "base", "--store", "s"], ("--world has no effect with --store",)),
        (["out", "--threads", "9", "--store", "s"], ("--threads has no effect with --store",)),
        (["out", "--workers", "1", "--store", "s"], ("--workers has no effect with --store",)),
        (["out", "--threads", "0"], ("--threads",)),
    ],
)
def test_bad_calls_are_refused(
    arguments: list[str], words: tuple[str, ...], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    Path("taken").mkdir()
    Path("taken/precious.txt").write_text("mine")
    Path("file").write_text("mine")
    assert command(["lab", *arguments]) == 2
    said = capsys.readouterr().err
    for word in words:
        assert word in said
    assert [path.name for path in Path("taken").iterdir()] == ["precious.txt"]
    assert Path("file").read_text() == "mine"
    assert not Path("out").exists()


def test_without_matplotlib_the_extra_is_named_before_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(charts, "find_spec", lambda name: None)
    assert command(["lab", "out"]) == 2
    assert "shp-miner[lab]" in capsys.readouterr().err
    assert not Path("out").exists()
    assert command(["lab", "out", "--world", "low-traffic", "--threads", "10", "--no-charts", "-q"]) == 0
    assert not list(Path("out").glob("*.png"))


def test_charts_of_an_earlier_run_do_not_stay_beside_other_numbers() -> None:
    assert command(["lab", "out", "--world", "base", "--threads", "40", "-q"]) == 0
    assert Path("out/coverage.png").exists()
    assert command(["lab", "out", "--world", "hot", "--threads", "40", "--no-charts", "-q"]) == 0
    assert not list(Path("out").glob("*.png"))


def test_one_thread_has_no_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["lab", "out", "--world", "base", "--threads", "1", "--no-charts"]) == 0
    assert "±" not in capsys.readouterr().out + Path("out/lab.md").read_text()
    assert "1 simulated world of 1 thread each" in Path("out/lab.md").read_text()
    assert command(["lab", "out", "--world", "base", "--threads", "40", "--no-charts"]) == 0
    assert "±" in capsys.readouterr().out


# -- tables for people ------------------------------------------------------------------------------------------------


def test_tables_as_markdown_and_json(tmp_path: Path) -> None:
    table = Table("T", "A note.", ("a|b", "n"), [("x|y", 1234), ("z", 0.5), (None, math.nan)])
    assert markdown(table) == (
        "## T\n\n| a\\|b | n |\n| --- | ---: |\n| x\\|y | 1,234 |\n| z | 0.500 |\n| - | - |\n\nA note.\n"
    )
    assert table.to_dict()["rows"][0] == {"a|b": "x|y", "n": 1234}
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        Table("T", "", ("a", "b"), [("x",)])
    write_whole(tmp_path / "deep" / "file", b"whole")
    assert contents(tmp_path / "deep") == {"file": b"whole"}


def test_claim_takes_its_own_and_empty_folders(tmp_path: Path) -> None:
    for _ in range(2):
        run.claim_folder(tmp_path / "new" / "lab")
    (tmp_path / "empty").mkdir()
    run.claim_folder(tmp_path / "empty")
    (tmp_path / "empty" / "lab.md").write_text("ours")
    run.claim_folder(tmp_path / "empty")
    with pytest.raises(UsageError, match="was not made by the lab"):
        run.claim_folder(tmp_path)


def test_null_confidences_come_out_as_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(posts: pa.Table, answers: pa.Table, rule: Rule) -> pa.Table:
        made = make_pairs(posts, answers, rule)
        at = made.schema.get_field_index("confidence")
        return made.set_column(at, "confidence", pa.nulls(len(made), pa.float64()))

    threads = simulate(SMALL, 0, 60)
    posts, answers = reddit_tables(threads, SMALL)
    known = run._pairs(posts, answers, PRESETS["votes"], threads)
    monkeypatch.setattr(run, "make_pairs", without)
    unknown = run._pairs(posts, answers, PRESETS["votes"], threads)
    assert known.labels.ranked
    assert not unknown.labels.ranked
    result = run._measured(PRESETS["votes"], unknown, known.labels, run.Job(Path("x"), SMALL, 0, 60))
    assert (result.pairs, result.ranked_pairs, result.multiple, result.coverage) == (len(known.labels), 0, None, [])
    assert result.accuracy == pytest.approx(known.labels.right.mean(), abs=1e-6)
