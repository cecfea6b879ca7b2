"""The numbers of an audit: published worked examples, simulated judges of known accuracy, and the file's own sums."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from shp_miner.errors import BadInput, TryLater
from shp_miner.lab.audit import read_judgments as read_by_lab
from shp_miner.store.lock import InUse
from shp_miner.web.agreement import between_judges, calibration_slope, coefficients, wilson
from shp_miner.web.judgments import Judgment, Judgments, read_judgments
from shp_miner.web.sample import plan

#: Krippendorff 2011 (also Gwet 2014, page 55): 4 coders, 12 units, values 1 to 5, some missing.
CODERS = [
    "1 2 3 3 2 1 4 1 2 - - -",
    "1 2 3 3 2 2 4 1 2 5 - 3",
    "- 3 3 3 2 3 4 2 2 5 1 -",
    "1 2 3 3 2 4 4 1 2 5 1 -",
]


def table(coders: list[str], categories: int) -> np.ndarray:
    values = np.array([[int(v) if v != "-" else 0 for v in coder.split()] for coder in coders])
    return np.stack([(values == category).sum(axis=0) for category in range(1, categories + 1)], axis=1)


def test_the_coefficients_are_those_of_published_examples() -> None:
    raw, alpha, ac1 = coefficients(table(CODERS, 5), np.ones((1, 12)))[0]
    assert round(alpha, 3) == 0.743  # Krippendorff 2011
    assert (round(raw, 4), round(ac1, 4), round(alpha, 4)) == (0.8182, 0.7754, 0.7434)  # Gwet 2014, pages 55 to 56
    # Krippendorff 2011, two coders, ten units, binary.
    two = ["1 2 1 1 1 1 1 1 2 1", "2 2 2 1 1 2 1 1 1 1"]
    assert round(coefficients(table(two, 2), np.ones((1, 10)))[0, 1], 3) == 0.095


def test_rare_ties_pull_alpha_down_and_leave_ac1() -> None:
    counts = np.array([[2, 0]] * 94 + [[1, 1]] * 6)
    between = between_judges(counts, np.arange(100))
    assert (between.units, between.raw.value) == (100, 0.94)
    assert round(between.alpha.value or 0, 2) == -0.03
    assert round(between.ac1.value or 0, 2) == 0.94
    assert between.raw.low is not None
    assert between.raw.low < 0.94 < (between.raw.high or 0)
    # All alike: alpha is not defined, and nothing is invented for it.
    alike = between_judges(np.array([[2, 0]] * 5), np.arange(5))
    assert (alike.raw.value, alike.alpha.value, alike.ac1.value) == (1.0, None, 1.0)
    assert between_judges(np.array([[1, 0]]), np.arange(1)).units == 0
    # Two judges met on one thread only: that has no spread, which is not certainty.
    once = between_judges(np.array([[2, 0], [2, 0], [1, 0]]), np.array([0, 0, 1]))
    assert (once.raw.value, once.raw.low, once.ac1.high) == (1.0, None, None)


def test_wilsons_interval_is_that_of_published_examples() -> None:
    # Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    known = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (holds, of), ends in known.items():
        found = wilson(holds, of)
        assert (round(found.low or 0, 4), round(found.high or 0, 4)) == ends
    assert wilson(0, 0).value is None


@pytest.mark.parametrize("slope", [0.5, 1.0, 1.4])
def test_intervals_of_300_simulated_judgments_cover_the_truth(slope: float) -> None:
    """500 draws of 300 judgments, each right with a known chance: 92 to 98 % of the 95 % intervals hold the truth."""
    draw = np.random.default_rng(17)
    slopes = shares = 0
    found = []
    for _ in range(500):
        confidence = draw.uniform(0.5, 0.97, 300)
        logit = np.log(confidence / (1 - confidence))
        chance = 1 / (1 + np.exp(-slope * logit))
        agrees = (draw.random(300) < chance).astype(float)
        estimate = calibration_slope(confidence, agrees, np.arange(300))
        found.append(estimate.value)
        slopes += (estimate.low or math.inf) <= slope <= (estimate.high or -math.inf)
        share = wilson(float(agrees.sum()), 300)
        truth = float(
            1 / 0.47 * np.trapezoid(1 / (1 + (1 / np.linspace(0.5, 0.97, 9999) - 1) ** slope), dx=0.47 / 9998)
        )
        shares += (share.low or 1) <= truth <= (share.high or 0)
    assert abs(np.mean(found) - slope) < 0.05
    assert 0.92 <= slopes / 500 <= 0.98
    assert 0.92 <= shares / 500 <= 0.98


def test_pairs_of_one_thread_make_the_interval_wider_not_narrower() -> None:
    draw = np.random.default_rng(3)
    confidence = np.repeat(draw.uniform(0.55, 0.95, 60), 5)
    agrees = np.repeat((draw.random(60) < 0.75).astype(float), 5)  # a thread's pairs are right or wrong together
    alone, together = (
        calibration_slope(confidence, agrees, thread) for thread in (np.arange(300), np.repeat(np.arange(60), 5))
    )
    assert alone.value == together.value
    assert (together.high or 0) - (together.low or 0) > 2 * ((alone.high or 0) - (alone.low or 0))
    assert calibration_slope(confidence, np.ones(300), np.arange(300)).value is None


# -- the file ---------------------------------------------------------------------------------------------------------


def judgment(number: int, judge: str = "ada", choice: int = 1) -> Judgment:
    return Judgment(
        pair_id=f"reddit.com/p{number}/a-b", choice=choice, answer1_id="b", answer2_id="a", judge=judge,
        at="2024-01-01T00:00:00Z", seconds=1.5, id=f"{judge}{number}",
    )  # fmt: skip


def test_a_line_is_kept_by_whoever_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with Judgments(path) as kept:
        for number in range(4):
            kept.add(judgment(number, ("ada", "ben")[number % 2]))
        assert kept.undo("ada", "now") == judgment(2)
        assert kept.undo("eve", "now") is None
        with pytest.raises(InUse, match="Another `shp-miner audit` writes to"):
            Judgments(path)
    assert read_judgments(path) == [judgment(0), judgment(1, "ben"), judgment(3, "ben")]
    assert [line.pair_id[-6:-4] for line in read_by_lab(path)] == ["p0", "p1", "p3"]
    assert len(path.read_bytes().splitlines()) == 5


def test_half_a_line_of_a_killed_process_is_cut_off_and_the_next_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with Judgments(path) as kept:
        kept.add(judgment(0))
    whole = path.read_bytes()
    for torn in (b'{"pair_id": "reddit.com/p', b"\0\0\0", b"{"):
        path.write_bytes(whole + torn)
        assert read_judgments(path) == [judgment(0)]
        assert len(read_by_lab(path)) == 1
        with Judgments(path) as kept:
            kept.add(judgment(1))
        assert read_judgments(path) == [judgment(0), judgment(1)]
    path.write_bytes(whole.rstrip(b"\n"))  # whole, but for its end
    with Judgments(path) as kept:
        kept.add(judgment(1))
    assert read_judgments(path) == [judgment(0), judgment(1)]
    path.write_bytes(b"{\n" + whole)
    with pytest.raises(BadInput, match="Line 1 of"):
        Judgments(path)


def test_a_file_that_was_replaced_takes_no_judgment(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with Judgments(path) as kept:
        kept.add(judgment(0))
        path.rename(tmp_path / "moved.jsonl")
        with pytest.raises(TryLater, match="was moved or changed"):
            kept.add(judgment(1))
    assert not path.exists()


def test_lines_by_hand_are_judgments_too(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text(json.dumps({"pair_id": "s/p/a-b", "choice": 2}) + "\n\n")
    assert read_judgments(path) == [Judgment(pair_id="s/p/a-b", choice=2)]
    assert read_judgments(tmp_path / "none.jsonl") == []
    path.write_text(json.dumps({"pair_id": "s/p/a-b", "choice": 7}) + "\n")
    with pytest.raises(BadInput, match="choice 7 is not one of 0 to 4"):
        read_judgments(path)


# -- the order --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 4, 5, 20, 33, 100])
def test_one_pair_in_ten_comes_again_later_on_the_other_side(count: int) -> None:
    pairs = [f"s/p{number}/a-b" for number in range(count)]
    slots = plan("ada", pairs)
    again = [number for number, slot in enumerate(slots) if slot.again]
    assert len(again) == (-(-count // 10) if count >= 5 else 0)
    assert sorted(slot.pair_id for slot in slots if not slot.again) == sorted(pairs)
    for number in again:
        before = next(place for place, slot in enumerate(slots) if slot.pair_id == slots[number].pair_id)
        assert before < count // 2 <= number
        assert slots[before].swapped is not slots[number].swapped
    assert slots == plan("ada", pairs[::-1])
    if count >= 20:
        assert slots != plan("ben", pairs)
        assert 0.3 < np.mean([slot.swapped for slot in slots]) < 0.7
