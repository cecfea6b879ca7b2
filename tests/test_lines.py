"""Lines held as one text are the lines that a split gives."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from shp_miner.dumps.lines import all_lines, cut_lines, joined_lines, line_bounds, positions_of
from shp_miner.dumps.whole_lines import split_lines

TEXTS = st.lists(st.sampled_from([b"", b" ", b"\t\r", b"a", b"bc", b"{d e}", b" f"]), min_size=1, max_size=9).map(
    b"\n".join
)


@given(TEXTS.filter(bool), st.integers(0, 9))
@example(b"\n", 0)
@example(b"a", 5)
def test_all_lines_are_those_of_a_split(text: bytes, offset: int) -> None:
    expected = list(split_lines(offset, text))
    found = all_lines(offset, memoryview(text))
    assert list(found) == [found.at(index) for index in range(len(found))] == expected
    assert found.text == b"".join(line + b"\n" for _, line in expected)


@given(st.lists(st.tuples(st.sampled_from([b"a", b"bc", b"def"]), st.booleans()), min_size=1), st.booleans())
def test_lines_are_cut_whether_or_not_they_are_neighbours(lines: list[tuple[bytes, bool]], ended: bool) -> None:
    text = b"\n".join(line for line, _ in lines) + b"\n" * ended
    starts, ends = line_bounds(text)
    chosen = [kept for _, kept in lines]
    found = cut_lines(100, text, starts[chosen], ends[chosen])
    assert list(found) == [place for place, kept in zip(split_lines(100, text), chosen, strict=True) if kept]


@given(st.lists(TEXTS.filter(bool), min_size=1, max_size=4), st.data())
def test_parts_and_sums_hold_the_same_lines(texts: list[bytes], data: st.DataObject) -> None:
    whole = joined_lines([all_lines(1000 * number, text) for number, text in enumerate(texts)])
    expected = [line for number, text in enumerate(texts) for line in split_lines(1000 * number, text)]
    assert list(whole) == expected
    first = data.draw(st.integers(0, len(expected)))
    stop = data.draw(st.integers(first, len(expected)))
    part = whole.part(first, stop)
    assert list(part) == expected[first:stop]
    assert part.text == b"".join(line + b"\n" for _, line in expected[first:stop])


@given(st.binary(min_size=1, max_size=40), st.sampled_from([b"\n", b"ab", b"\0"]))
@example(b"abab", b"ab")
@example(b"x" * 70_000 + b"ab", b"ab")
def test_positions_are_those_of_a_search(text: bytes, needle: bytes) -> None:
    expected, at = [], text.find(needle)
    while at >= 0:
        expected.append(at)
        at = text.find(needle, at + len(needle))
    assert positions_of(text, needle).tolist() == expected
