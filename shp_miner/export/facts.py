"""What the card says about all rows of a format, summed while its tables are written.

Sums, minima and sets do not depend on the order or the grouping of the rows, so neither does the card.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import xxhash
from msgspec import Struct, field

from shp_miner.export.columns import Repeated, from_arrow
from shp_miner.export.example import Example, example_of, first_example
from shp_miner.export.formats import Format
from shp_miner.mining.mine import Threads
from shp_miner.rules.age import known_time
from shp_miner.rules.hashing import mix_bits
from shp_miner.text.language import languages_of

#: Rows are counted by length: up to this many words, and a last class of longer ones.
WORDS = (64, 128, 256, 512, 1024, 2048)

#: About so many answers of an export are read for their language: one in a hundred is then known to 0.4 points.
LANGUAGE_SAMPLE = 2_000

#: A word is what stands between white space. Tokens are about a third more in English.
_WORD = r"\S+"


class SiteFacts(Struct):
    """The threads of one site, and when their first and last answers were written (microseconds since 1970).

    Without times both are None.
    """

    threads: int
    first_us: int | None
    last_us: int | None


class Facts(Struct):
    """Counts over many tables of a format.

    rows: by length in words, one count for each of `WORDS` and one for longer rows. longer: pairs that the longer
    answer wins, of `pairs_by_length` with different lengths in characters; earlier: pairs that the earlier answer wins,
    of `pairs_by_time` with different times. undated: answers whose time of writing is not known. unlicensed: questions
    and answers without a known licence. languages: the answers of the sample in each language ("": not clear).
    example: the row that the card quotes.
    """

    rows: list[int] = field(default_factory=lambda: [0] * (len(WORDS) + 1))
    longer: int = 0
    pairs_by_length: int = 0
    earlier: int = 0
    pairs_by_time: int = 0
    sites: dict[str, SiteFacts] = field(default_factory=dict)
    unlicensed: int = 0
    undated: int = 0
    languages: dict[str, int] = field(default_factory=dict)
    example: Example | None = None

    def add(self, other: Facts) -> None:
        """Add the counts of `other`."""
        self.rows = [mine + theirs for mine, theirs in zip(self.rows, other.rows, strict=True)]
        for name in ("longer", "pairs_by_length", "earlier", "pairs_by_time", "unlicensed", "undated"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.example = first_example(self.example, other.example)
        for code, count in other.languages.items():
            self.languages[code] = self.languages.get(code, 0) + count
        for site, theirs in other.sites.items():
            mine = self.sites.get(site, SiteFacts(0, theirs.first_us, theirs.last_us))
            first = min((time for time in (mine.first_us, theirs.first_us) if time is not None), default=None)
            last = max((time for time in (mine.last_us, theirs.last_us) if time is not None), default=None)
            self.sites[site] = SiteFacts(mine.threads + theirs.threads, first, last)

    def data(self, platforms: Collection[str], licenses: Collection[str]) -> dict[str, Any]:
        """Return the facts as plain data for the manifest, with all platforms and licences. It has no text of a row."""
        return {
            "sites": {
                site: {
                    "threads": facts.threads,
                    "first_answer": _day(facts.first_us),
                    "last_answer": _day(facts.last_us),
                }
                for site, facts in sorted(self.sites.items())
            },
            "platforms": sorted(platforms),
            "licenses": sorted(licenses),
            "unlicensed": self.unlicensed,
            **({"undated": self.undated} if self.undated else {}),
            "rows_by_words": {**dict(zip(map(str, WORDS), self.rows, strict=False)), "more": self.rows[-1]},
            "longer_wins": [self.longer, self.pairs_by_length],
            "earlier_wins": [self.earlier, self.pairs_by_time],
            "languages": self._shares_of_languages(),
        }

    def _shares_of_languages(self) -> dict[str, Any]:
        """Return the answers that were read and the share of each language, the most frequent first."""
        read = sum(self.languages.values())
        known = sorted((-count, code) for code, count in self.languages.items() if code)
        shares = {code: round(-count / read, 4) for count, code in known}
        return {"answers": read, "share": shares, "unclear": round(self.languages.get("", 0) / max(read, 1), 4)}


def _day(time_us: int | None) -> str | None:
    return None if time_us is None else datetime.fromtimestamp(time_us // 1_000_000, UTC).date().isoformat()


def written_between(sites: Iterable[Mapping[str, Any]]) -> str:
    """Return when the answers of sites (of a manifest's facts) were written, in words."""
    times = [(of["first_answer"], of["last_answer"]) for of in sites if of["first_answer"] is not None]
    return f"{min(first for first, _ in times)} to {max(last for _, last in times)}" if times else "not known"


def facts_of(form: Format, threads: Threads, table: pa.Table, post_row: pl.Series, sampled: float = 1.0) -> Facts:
    """Return the facts of some rows: the table of a format, the row of `threads.posts` of each, and the threads.

    `sampled` is the share of the answers that are read for their language.
    """
    facts = Facts(example=example_of(form, threads.posts, table, post_row))
    _count_words(facts, form, table)
    _count_pairs(facts, form, threads)
    _count_sites(facts, threads, post_row)
    _count_languages(facts, threads, post_row, sampled)
    return facts


def _count_words(facts: Facts, form: Format, table: pa.Table) -> None:
    """Count rows by the words of question and answer; of several answers the longest counts, as in a trainer."""
    words = {name: _words(from_arrow(table[name].combine_chunks())) for name in _text_columns(form)}
    answers = [words.pop(name) for name in form.answers or ()]
    longest = pl.DataFrame({str(number): side for number, side in enumerate(answers)})
    parts = list(words.values())
    if answers:
        parts.append(longest.select(pl.max_horizontal(pl.all())).to_series())
    total = pl.DataFrame({str(number): part for number, part in enumerate(parts)}).select(pl.sum_horizontal(pl.all()))
    classes = np.searchsorted(WORDS, total.to_series().to_numpy())
    facts.rows = np.bincount(classes, minlength=len(WORDS) + 1).tolist()


def _text_columns(form: Format) -> list[str]:
    """Return the columns with texts: those of the format, and lists of answers."""
    lists = [column.name for column in form.schema if pa.types.is_list(column.type)]
    return list(dict.fromkeys([*form.texts, *lists]))


def _words(column: Repeated) -> pl.Series:
    """Return the words of each row: of a conversation the sum of its messages, of a list of answers the longest."""
    values = column.values
    if isinstance(values.dtype, pl.List):
        frame = values.to_frame("values")
        is_chat = "content" in [part.name for part in values.dtype.inner.fields]  # type: ignore[union-attr]
        text = pl.element().struct.field("content" if is_chat else "text")
        counts = pl.col("values").list.eval(text.str.count_matches(_WORD))
        counted = frame.select(counts.list.sum() if is_chat else counts.list.max()).to_series()
    else:
        counted = values.str.count_matches(_WORD)
    return counted.cast(pl.Int64).gather(column.rows)


def _count_pairs(facts: Facts, form: Format, threads: Threads) -> None:
    pairs = threads.pairs if form.same_text else threads.pairs.filter(~pl.col("same_text"))
    known = threads.answers.select(known_time(), chars=pl.col("text").str.len_chars())
    winner, loser = known[pairs["winner"]], known[pairs["loser"]]
    facts.longer = int((winner["chars"] > loser["chars"]).sum())
    facts.pairs_by_length = int((winner["chars"] != loser["chars"]).sum())
    facts.earlier = int((winner["created_at"] < loser["created_at"]).sum())
    facts.pairs_by_time = int((winner["created_at"] != loser["created_at"]).sum())  # null where one is not known


def _count_sites(facts: Facts, threads: Threads, post_row: pl.Series) -> None:
    """Count what is in the rows: a format may leave out a thread."""
    posts = threads.posts.with_row_index("post_row").select("post_row", "site", "license")
    posts = posts.filter(pl.col("post_row").is_in(post_row.unique().implode()))
    answers = threads.answers.select(
        pl.col("post_row").cast(pl.UInt32), "license", written=known_time().dt.epoch("us")
    ).join(posts.select("post_row", "site"), on="post_row")
    times = answers.group_by("site").agg(pl.col("written").min().alias("first"), pl.col("written").max().alias("last"))
    counts = posts.group_by("site").len("threads").join(times, on="site")
    facts.sites = {site: SiteFacts(threads, first, last) for site, threads, first, last in counts.iter_rows()}
    facts.undated = answers["written"].null_count()
    facts.unlicensed = posts["license"].null_count() + answers["license"].null_count()


def _count_languages(facts: Facts, threads: Threads, post_row: pl.Series, sampled: float) -> None:
    """Count the languages of the answers with the smallest hashes, so the same answers are read in any grouping."""
    answers = threads.answers.filter(pl.col("post_row").is_in(post_row.unique().implode()))
    names = np.fromiter(map(xxhash.xxh3_64_intdigest, answers["answer_id"].cast(pl.Binary)), np.uint64, len(answers))
    hashes = mix_bits(names + threads.posts["thread_hash"][answers["post_row"]].to_numpy().view(np.uint64))
    texts = answers["text"].filter(pl.Series((hashes >> np.uint64(11)) < sampled * 2.0**53))
    for code in languages_of(texts):
        facts.languages[code or ""] = facts.languages.get(code or "", 0) + 1
