"""Discourse topics saved as /t/{id}.json serves them: one per line, or one file per topic in folders.

The topics contain neither the site nor their reading time. The site is an option, or the name of the folder above `t/`.
A line may have the key `observed_at` beside Discourse's own: seconds since 1970 or ISO 8601 with a zone. So one topic
may occur several times, as it was at several times.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from shp_miner.dumps.ahead import read_ahead, threads_at_once, worked_ahead
from shp_miner.dumps.compressed import Advance, decompressed_head, ignore_progress
from shp_miner.dumps.discourse_records import Decoded, decode_topic
from shp_miner.dumps.inputs import NotOurs, chosen_files, refuse_container
from shp_miner.dumps.plain_lines import UTF8_MARK
from shp_miner.dumps.threads_lines import batches
from shp_miner.errors import BadInput, UsageError
from shp_miner.model import ANSWER, EARLIEST_S, POST
from shp_miner.platforms.discourse import (
    Categories,
    Site,
    Topic,
    TopicPost,
    category_names,
    is_direct,
    to_thread,
    topic_answers,
)
from shp_miner.platforms.items import Item, Origin, item_row
from shp_miner.platforms.records import (
    epoch_us,
    file_alone,
    latest_allowed_us,
    unknown_time,
)
from shp_miner.platforms.rows import Chunk, Rows
from shp_miner.platforms.sites import site_of
from shp_miner.tally import Damage, Lost, Tally
from shp_miner.text.clean import sound_text
from shp_miner.units import to_us

if TYPE_CHECKING:
    from shp_miner.dumps.discourse_columns import Topics
    from shp_miner.dumps.lines import Lines

SOURCE = "discourse-json"
PLATFORM = "discourse"

_HINT = (
    "`import discourse-json` reads topics as /t/{id}.json serves them: one per line, or one file per topic in a folder."
)
_HOST = re.compile(r"([a-z0-9-]+\.)+[a-z]{2,}|localhost")
_TOPIC = re.compile(rb'"post_stream"\s*:')
_SNIFFED_BYTES = 1 << 16

#: A topic may say that it has any number of posts; more than this are not counted as missing.
_MISSING_MAX = 100_000

#: Fewer topics at the beginning of a file are not worth making columns of.
_FEW = 16

#: Files beside the topics that name the categories, as /site.json and /categories.json serve them.
_CATEGORY_FILES = ("site.json", "categories.json")


class _File(msgspec.Struct, frozen=True):
    """A file of topics, one a line. `folder` is where its site begins."""

    path: Path
    site: str
    folder: Path


def read(
    paths: Sequence[Path],
    tally: Tally,
    *,
    now: datetime,
    advance: Advance = ignore_progress,
    site: str | None = None,
    observed_at: datetime | None = None,
) -> Iterator[Chunk]:
    """Read files and folders of topics in the given order.

    `site` is their host; `observed_at` is for topics without a reading time, which is unknown otherwise. Raises
    BadInput before anything is yielded if a path is missing or has no topics, and UsageError if the site is not known.
    Damage inside a file is noted in `tally`.
    """
    files = _files(paths, site, tally)
    observed_us = None if observed_at is None else to_us(observed_at)
    collector = _Collector(tally, latest_allowed_us(now), observed_us)
    for file in files:
        with file_alone(file.path, tally):
            for _ in collector.added(file, advance):
                if collector.full:
                    yield collector.take()
    collector.finish()
    yield collector.take()


class _Collector:
    """Turns topics into rows and counts what is left out."""

    def __init__(self, tally: Tally, latest_us: int, observed_us: int | None) -> None:
        self.tally, self.latest_us, self.observed_us = tally, latest_us, observed_us
        self.rows = {"post": Rows(POST), "answer": Rows(ANSWER)}
        self.names: dict[Path, dict[int, str]] = {}
        # By topic, the ids of posts that no file has handed out so far: pages of a topic may lie in several files.
        self.missing: dict[tuple[str, int], set[int]] = {}

    @property
    def full(self) -> bool:
        return any(rows.full for rows in self.rows.values())

    def take(self) -> Chunk:
        return Chunk(self.rows["post"].take(), self.rows["answer"].take())

    def finish(self) -> None:
        """Count what topics list and no file holds."""
        self.tally.drop("answer", "not_in_the_files", sum(map(len, self.missing.values())))

    def added(self, file: _File, advance: Advance) -> Iterator[None]:
        """Add the topics of a file: usual ones some thousand at once, the others one by one."""
        blocks = batches(file.path, self.tally, advance, beyond_damage=False)
        first = next(blocks, None)
        if first is None:
            return
        if file.folder not in self.names:
            self.names[file.folder] = _names(file.folder)
        if len(first) < _FEW:
            for lines in chain([first], blocks):
                self._add_each(lines, file)
                yield
            return
        # Tables take a while to import, and most files of a folder hold one topic.
        from shp_miner.dumps.discourse_columns import UsualTopics  # noqa: PLC0415

        heads = {"source": SOURCE, "platform": PLATFORM, "site": file.site}
        usual = UsualTopics(heads, self.names[file.folder], self.latest_us, self.observed_us)

        def made(lines: Lines) -> tuple[Lines, Topics]:
            found = usual.topics(lines)
            found.rows = {kind: self.rows[kind].hashed(frame) for kind, frame in found.rows.items() if frame.height}
            return lines, found

        for lines, found in worked_ahead(made, chain([first], read_ahead(blocks, 1)), threads_at_once()):
            self._add_batch(lines, found, file)
            yield

    def _add_each(self, lines: Lines, file: _File) -> None:
        for offset, line in lines:
            place = Damage(str(file.path), offset, "")
            self._add(self._decoded(offset, line), place, file)

    def _add_batch(self, lines: Lines, found: Topics, file: _File) -> None:
        """Add usual topics and, one by one, the others; what topics list counts in the order of the lines."""
        alone = {}
        for line in np.flatnonzero(~found.usual).tolist():
            offset, text = lines.at(line)
            alone[line] = self._decoded(offset, text)
        again = [found[0].id for found in alone.values() if not isinstance(found, Lost)]
        # The rows of one topic stay in the order in which they were read.
        shared = found.usual & np.isin(found.ids, np.array(again)) if again else np.zeros(len(lines), bool)
        self._add_frames(found, {str(number) for number in found.ids[shared].tolist()}, found.usual & ~shared)
        for line in range(len(lines)):
            offset, text = lines.at(line) if shared[line] else (int(lines.offsets[line]), b"")
            place = Damage(str(file.path), offset, "")
            if shared[line]:
                self._add(self._decoded(offset, text), place, file)
            elif line in alone:
                self._add(alone.pop(line), place, file)
            elif not found.whole[line] or (file.site, int(found.ids[line])) in self.missing:
                self._note_missing((file.site, int(found.ids[line])), *found.listed(line))

    def _add_frames(self, found: Topics, left_out: set[str], usual: npt.NDArray[np.bool_]) -> None:
        for kind, frame in found.rows.items():
            rows = frame.filter(~frame["post_id"].is_in(list(left_out))) if left_out else frame
            self.rows[kind].settle()
            self.rows[kind].add_hashed(rows)
            self.tally.keep(kind, rows.height)
            self.tally.note(
                kind,
                "score_age_unknown",
                rows["observed_at"].null_count() if "observed_at" in rows.columns else rows.height,
            )
        self.tally.drop("answer", "not_direct_reply", int(found.others[usual].sum()))

    def _decoded(self, offset: int, line: bytes) -> Decoded | Lost:
        """The topic and the posts of it that are broken, or why all of it is lost."""
        try:
            return decode_topic(line.removeprefix(UTF8_MARK) if offset == 0 else line, self.tally)
        except Lost as lost:
            return lost

    def _add(self, decoded: Decoded | Lost, place: Damage, file: _File) -> None:
        """Add a topic, or count what is Lost; a bad head loses the topic, a bad reply only that reply."""
        if isinstance(decoded, Lost):
            self.tally.lose("post", decoded.reason, _at(place, decoded.what))
            return
        topic, broken = decoded
        if topic.archetype == "private_message":
            self.tally.drop("post", "private_message")
            return
        try:
            observed_us = self.observed_us if unknown_time(topic.observed_at) else self._moment(topic.observed_at)
        except Lost as lost:
            self.tally.lose("post", lost.reason, _at(place, lost.what))
            return
        posts = []
        for post in topic.post_stream.posts:
            try:
                self._check(post)
                posts.append(post)
            except Lost as lost:
                broken.append((post.post_number, lost))
        for number, wrong in broken:
            kind = "post" if number == 1 else "answer"
            self.tally.lose(kind, wrong.reason, _at(place, f"topic {topic.id}, post {number}: {wrong.what}"))
        stream, there = topic.post_stream.stream, [post.id for post in topic.post_stream.posts]
        self._note_missing((file.site, topic.id), topic.posts_count, stream, there)
        if any(number == 1 for number, _ in broken):
            self.tally.drop("answer", "thread_lost", sum(map(is_direct, posts)))
        else:
            self._add_items(topic, posts, file, observed_us, place)

    def _add_items(
        self, topic: Topic, posts: list[TopicPost], file: _File, observed_us: int | None, place: Damage
    ) -> None:
        known = self.names[file.folder]
        community = known.get(topic.category_id or 0) or f"category-{topic.category_id or 'none'}"
        origin = Origin(SOURCE, PLATFORM, file.site, community)
        address = f"https://{file.site}"
        thread = to_thread(topic, posts, address)
        # Without its opening post this is a later page of the topic.
        found: list[tuple[str, Item]] = [("post", thread.post)] if thread else []
        found += [("answer", answer) for answer in (thread.answers if thread else topic_answers(topic, posts, address))]
        for number, (kind, item) in enumerate(found):
            try:
                self.rows[kind].add(**item_row(origin, item, observed_us))
            except Lost as lost:
                self.tally.lose(kind, lost.reason, _at(place, f"topic {topic.id}: {lost.what}"))
                if kind == "post":
                    self.tally.drop("answer", "thread_lost", len(found) - 1 - number)
                    break
                continue
            self.tally.keep(kind)
            if observed_us is None:
                self.tally.note(kind, "score_age_unknown")
            if any(sound_text(text)[1] for text in (item.body, getattr(item, "title", ""))):
                self.tally.note(kind, "text_repaired")
        others = sum(not is_direct(post) for post in posts if post.post_number != 1)
        self.tally.drop("answer", "not_direct_reply", others)

    def _note_missing(
        self, key: tuple[str, int], posts_count: int, stream: Sequence[int] | None, there: Iterable[int]
    ) -> None:
        """Note which posts a topic (site and number) lists and does not hold."""
        held = set(there)
        listed = self.missing.get(key)
        if listed is None:
            # Topics of over 10,000 posts come without ids; what is missing has a number only.
            count = min(max(posts_count - len(held), 0), _MISSING_MAX)
            listed = set(range(-1, -count - 1, -1)) if stream is None else set(stream)
        listed -= held
        if listed:
            self.missing[key] = listed
        else:
            self.missing.pop(key, None)

    def _check(self, post: TopicPost) -> None:
        created_us = to_us(post.created_at)
        if created_us < EARLIEST_S * 1_000_000:
            raise Lost("bad_time", "created_at is earlier than any forum")
        if created_us > self.latest_us:
            raise Lost("time_in_future", "created_at is in the future")

    def _moment(self, value: Any) -> int:
        """Microseconds since 1970 from seconds or ISO 8601 with a zone."""
        if isinstance(value, str):
            try:
                moment = datetime.fromisoformat(value)
            except ValueError as error:
                raise Lost("bad_time", f"observed_at {value!r:.40} is not an ISO 8601 time") from error
            if moment.tzinfo is None:
                raise Lost("bad_time", "observed_at has no time zone")
            value = moment.timestamp()
        return epoch_us(value, "observed_at", self.latest_us)


def _at(place: Damage, what: str) -> Damage:
    return Damage(place.path, place.offset, what)


# Files


def _files(paths: Sequence[Path], site: str | None, tally: Tally) -> list[_File]:
    """The files of topics that paths stand for."""
    found = chosen_files(paths, _holds, tally, holds="Discourse topics")
    files = [_file(path, site) for path, holds in found if holds is not None]
    if not files:
        raise BadInput(f"{paths[0]} has no Discourse topics, only names of categories.", _HINT)
    return files


def _file(path: Path, site: str | None) -> _File:
    """The file with its site: as told, or the name of its folder or of the one above `t/`."""
    folders = path.absolute().parents
    above = [folders[place + 1] for place, folder in enumerate(folders[:-1]) if folder.name == "t"]
    folder = above[0] if above else folders[0]
    host = site_of(site or folder.name)
    if not _HOST.fullmatch(host.partition("/")[0]):
        raise UsageError(
            f"{site!r} is not a host name." if site else f"The site of the topics in {path} is unknown.",
            "Name the site with --site HOST, for example --site meta.discourse.org.",
        )
    return _File(path, host, folder)


def _holds(path: Path) -> str | None:
    """What is in a file, by its first bytes, or None for one that names the categories."""
    if path.name in _CATEGORY_FILES:
        return None
    start = decompressed_head(path, _SNIFFED_BYTES)
    refuse_container(path, start, "discourse-json")
    start = start.removeprefix(UTF8_MARK).lstrip()
    if not start:
        return "topics"  # an empty file holds no topics; one that is damaged at its start says so when it is read
    if _TOPIC.search(start) is None:
        raise NotOurs(f"{path} has no Discourse topics: there is no `post_stream` at its beginning.", _HINT)
    return "topics"


def _names(folder: Path) -> dict[int, str]:
    """The names of the categories, where a file beside the topics tells them."""
    for name, kind in zip(_CATEGORY_FILES, (Site, Categories), strict=True):
        path = folder / name
        if path.is_file():
            try:
                found = msgspec.json.decode(path.read_bytes(), type=kind)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
                raise BadInput(f"{path} does not list the categories of a Discourse site: {error}.", _HINT) from error
            return category_names(found.categories if isinstance(found, Site) else found.category_list.categories)
    return {}
