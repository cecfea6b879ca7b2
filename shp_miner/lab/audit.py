"""People's judgments of pairs: a JSONL file of an audit, one judgment a line.

A line is an object with `pair_id` (as in exports: site/post/answer-answer) and `choice`: 1 or 2 for the better answer,
3 for a tie, 4 for two bad answers, 0 for "cannot tell". `answer1_id` and `answer2_id` say which answers were shown as 1
and 2; without them 1 is the first answer of the pair's id. A line with `undo` takes back the judgment with that `id`.
Other keys (the judge's name, times) are not looked at. `shp-miner audit` writes such files.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import polars as pl

from shp_miner.errors import BadInput
from shp_miner.lab.threads import KEY, Threads

_FORMAT = "Each line needs pair_id and choice (0 to 4); see `shp-miner docs real-checks`."


class Judgment(msgspec.Struct):
    """One judgment of a pair."""

    pair_id: str
    choice: int
    answer1_id: str | None = None
    answer2_id: str | None = None
    id: str = ""


class _Line(msgspec.Struct):
    undo: str = ""


def read_judgments(path: Path) -> list[Judgment]:
    """Return the judgments of a file in its order, without those that were taken back.

    Half a line at the end, which a killed audit leaves, is none. Raises BadInput that names the line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"The judgments in {path} cannot be read: {error.strerror}.", _FORMAT) from error
    judgments: list[Judgment] = []
    undone = set()
    lines = content.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            if undo := msgspec.json.decode(line, type=_Line).undo:
                undone.add(undo)
                continue
            judgment = msgspec.json.decode(line, type=Judgment)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if number == len(lines):
                break
            raise BadInput(f"Line {number} of {path} is not a judgment: {error}.", _FORMAT) from error
        if not 0 <= judgment.choice <= 4:
            raise BadInput(f"Line {number} of {path}: choice {judgment.choice} is not one of 0 to 4.", _FORMAT)
        judgments.append(judgment)
    return [judgment for judgment in judgments if judgment.id not in undone]


def judged_better(threads: Threads, judgments: list[Judgment]) -> tuple[pl.DataFrame, int, int]:
    """Return KEY[:3], `better_id` and `worse_id` of each judgment for one side; and two counts.

    The counts are judgments that prefer neither answer, and those of pairs that the threads do not have.
    """
    known = threads.answers.select(*KEY)
    answers = {(site, post, answer): thread for thread, site, post, answer in known.rows()}
    rows = []
    neither = unknown = 0
    for judgment in judgments:
        site, _, rest = judgment.pair_id.partition("/")
        post, _, both = rest.rpartition("/")
        # An answer's id may hold a dash itself; of the ways to cut, one has two known answers.
        cuts = [(both[:place], both[place + 1 :]) for place, mark in enumerate(both) if mark == "-"]
        pair = next(((a, b) for a, b in cuts if (site, post, a) in answers and (site, post, b) in answers), None)
        shown = pair if judgment.answer1_id is None else (judgment.answer1_id, judgment.answer2_id)
        if pair is None or shown is None or set(shown) != set(pair):
            unknown += 1
        elif judgment.choice not in (1, 2):
            neither += 1
        else:
            better, worse = shown if judgment.choice == 1 else shown[::-1]
            rows.append((answers[site, post, pair[0]], site, post, better, worse))
    schema = {name: known.schema[name] for name in KEY[:3]} | {"better_id": pl.String, "worse_id": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row"), neither, unknown
