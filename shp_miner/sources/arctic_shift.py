"""Reddit through the Arctic Shift archive: no credentials, slow, everything back to 2005.

The archive reads an item when it is posted and again about 36 hours later, and reports the time. So an item is an
observation at that time, not at the time of the request: `observed_at` is the archive's time of reading. A thread of
the last 36 hours has the scores of its first seconds (1 or 0), observed at that age. It is worth a second request after
two days, and none later. If the archive does not report a time, the score is null.

Its text is that of the first reading, escaped as in the monthly dumps (`body_format` "reddit"). The archive marks items
that were deleted by the second reading; their text is left out. An item that was gone at the first and back at the
second reading is live.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import msgspec

from shp_miner.errors import BadInput
from shp_miner.model import CLOCK_SKEW, NO_COMMUNITY
from shp_miner.platforms import reddit as reddit_records
from shp_miner.platforms.items import Answer, Post, Thread
from shp_miner.sources.access import Access, http_of
from shp_miner.sources.evidence import Meanings, at_the_door, refusals_as_evidence
from shp_miner.sources.http import Http, Refused, Unexpected
from shp_miner.sources.limits import Limits, Wait
from shp_miner.sources.losing import counting_lost, each_record
from shp_miner.sources.pace import SYSTEM, Clock
from shp_miner.sources.reddit_answers import plain_name
from shp_miner.sources.source import Items, Listed, Listing, Unreadable
from shp_miner.tally import Lost, Tally

URL = "https://arctic-shift.photon-reddit.com"

#: The archive's own figures: `limit=auto` gives this many or more (up to 1,000) where there are more; ids at a time.
_PAGE, _IDS = 100, 500

#: Posts of listings that are remembered until their thread is asked for; spares a guest every second request.
_REMEMBERED = 2_000

#: Seconds to wait when the archive says in a body that it is too busy. It names no time; its database warms up.
_BUSY_S = 15.0
_BUSY = re.compile(r"slow down|timed? ?out", re.IGNORECASE)
_ERROR_BYTES = 2_000

#: What refusals of one post mean. A post that is gone is absent; where the archive refuses, it refuses all of them.
MEANINGS = Meanings(statuses={401: "closed", 403: "closed"})

_HINT = "The archive may have changed; please report this."

T = TypeVar("T", Post, Answer)
_Page = TypeVar("_Page")


class _Said(msgspec.Struct):
    error: str | None = None


class _Posts(msgspec.Struct):
    data: list[reddit_records.Submission] | None
    error: str | None = None


class _Comments(msgspec.Struct):
    data: list[reddit_records.Comment] | None
    error: str | None = None


def signals(body: bytes, headers: Mapping[str, str], status: int, now: float) -> Wait | None:  # noqa: ARG001
    """Read a wait from a body of the archive, whatever the status: "Query timed out", "Slow down a little"."""
    if len(body) > _ERROR_BYTES:
        return None
    try:
        said = msgspec.json.decode(body, type=_Said).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if said is None or not _BUSY.search(said):
        return None
    return Wait(now + _BUSY_S, "reports that it is too busy", retry=True)


#: A guest: one at a time, about one a second.
LIMITS = Limits(requests=60, interval_s=60, pause_s=1.0, signals=signals)


@contextmanager
def opened(access: Access) -> Iterator[ArcticShift]:
    """Open the archive. See registry.Module."""
    with http_of(access.url or URL, LIMITS, access) as http:
        yield ArcticShift(http, clock=access.clock)


class ArcticShift:
    """The archive as a source; see source.Source. Listings start at any time and go up."""

    name = "arctic-shift"
    platform = "reddit"
    site = reddit_records.SITE
    order: Literal["oldest"] = "oldest"
    lists_activity = False
    ids_per_request = _IDS
    looks_up = True
    tells_the_past = True

    def __init__(self, http: Http, *, clock: Clock = SYSTEM) -> None:
        self._http = http
        self._clock = clock
        self._listed: OrderedDict[str, Post] = OrderedDict()

    def verify(self, community: str) -> str:
        """See Source. The archive's list of communities lags behind, so this requests posts instead."""
        name = plain_name(community)
        found = self._posts("search", {"subreddit": name, "limit": 1, "sort": "asc"})
        if not found:
            raise BadInput(f"Arctic Shift has no posts of r/{name}.", "Check the spelling.")
        return found[0].subreddit or name

    def listing(self, community: str, *, since: int | None, token: str | None) -> Listing:
        """See Source. A token is the second at which the next page starts."""
        after = int(token) if token else None if since is None else since // 1_000_000 - 1
        with counting_lost() as lost:
            rows = self._posts("search", {"subreddit": plain_name(community), **_from(after)})
            posts = self._items("post", rows, Post)
        for post in posts:
            self._listed[post.post_id] = post
        while len(self._listed) > _REMEMBERED:
            self._listed.popitem(last=False)
        following, skipped = _next(posts, after, full=len(posts) + lost.total() >= _PAGE)
        capped = None
        if skipped:
            capped = (
                f"r/{plain_name(community)} has more posts in one second than a page holds; some of them are left out."
            )
        return Listing(
            [Listed(post.post_id, post.created_at) for post in posts],
            None if following is None else str(following),
            capped,
        )

    def thread(self, community: str, post_id: str) -> Thread:  # noqa: ARG002  (the archive's ids need none)
        """See Source. `missing` is a lower bound if one second has more answers than a page holds."""
        with refusals_as_evidence(MEANINGS):
            return self._thread(post_id)

    def _thread(self, post_id: str) -> Thread:
        post = self._listed.pop(post_id, None) or next(iter(self.again([post_id], []).posts), None)
        if post is None:
            raise Unreadable("missing", f"Arctic Shift has no post {post_id}.")
        answers: dict[str, Answer] = {}
        after: int | None = None
        missing = 0
        while True:
            # An empty parent_id asks for direct replies.
            with counting_lost() as lost:
                rows = self._comments("search", {"link_id": post_id, "parent_id": "", **_from(after)})
                page = self._items("answer", rows, Answer)
            direct = {row.id.removeprefix("t1_") for row in rows if row.parent_id == row.link_id}
            answers |= {answer.answer_id: answer for answer in page if answer.answer_id in direct}
            after, skipped = _next(page, after, full=len(page) + lost.total() >= _PAGE)
            missing += skipped
            if after is None:
                return Thread(post, list(answers.values()), missing)

    def again(self, post_ids: Sequence[str], answer_ids: Sequence[tuple[str, str]]) -> Items:
        """See Source. An item that is absent was removed from the archive on request."""
        answered = [answer_id for _, answer_id in answer_ids]
        posts = [row for ids in _batches(post_ids) for row in self._posts("ids", {"ids": ids})]
        comments = [row for ids in _batches(answered) for row in self._comments("ids", {"ids": ids})]
        return Items(self._items("post", posts, Post), self._items("answer", comments, Answer))

    def _posts(self, what: str, params: dict[str, str | int]) -> list[reddit_records.Submission]:
        found = self._get(f"/api/posts/{what}", _Posts, params)
        if found.data is None:
            raise _refusal(found.error)
        return found.data

    def _comments(self, what: str, params: dict[str, str | int]) -> list[reddit_records.Comment]:
        found = self._get(f"/api/comments/{what}", _Comments, params)
        if found.data is None:
            raise _refusal(found.error)
        return found.data

    def _get(self, path: str, kind: type[_Page], params: dict[str, str | int]) -> _Page:
        try:
            return self._http.get(path, kind, params=params)
        except (Refused, Unexpected) as error:
            wall = at_the_door(error, MEANINGS)
            if wall is None:
                raise
            raise wall from error

    def _items(self, kind: str, rows: Sequence[Any], made: type[T]) -> list[T]:
        """Rows as items. Raises BadInput where none can be used."""
        try:
            return each_record(rows, lambda row: self._item(kind, row, made))
        except Lost as lost:
            hint = "Check this machine's clock." if lost.reason == "time_in_future" else _HINT
            raise BadInput(f"Arctic Shift sent an invalid value: {lost.what}.", hint) from None

    def _item(self, kind: str, row: Any, made: type[T]) -> T:
        """A row as an item, with the time at which the archive read it. Raises Lost."""
        latest_us = int((self._clock.now() + CLOCK_SKEW.total_seconds()) * 1_000_000)
        if not row.subreddit:
            raise Lost(NO_COMMUNITY, "subreddit is missing")
        columns = reddit_records.values(kind, row, latest_us, Tally())
        item = made(**{name: columns[name] for name in made.__struct_fields__ if name in columns})
        if item.observed_at is None:
            item.score = None
        return item


def _from(after: int | None) -> dict[str, str | int]:
    """Parameters of a page of a search, oldest first, from a second on."""
    return {"sort": "asc", "limit": "auto"} | ({} if after is None else {"after": after})


def _next(page: Sequence[Post | Answer], after: int | None, *, full: bool) -> tuple[int | None, bool]:
    """The second from which the next page goes on, null at the end, and whether something had to be skipped for that.

    It begins a second before the last item's, so that nothing is lost whether `after` is meant with its second or
    without. Where that would ask for the same page again, one second holds more than a page.
    """
    if not full or not page:
        return None, False
    following = max(item.created_at for item in page) // 1_000_000 - 1
    if after is not None and following <= after:
        return after + 1, True
    return following, False


def _batches(ids: Sequence[str]) -> list[str]:
    return [",".join(ids[start : start + _IDS]) for start in range(0, len(ids), _IDS)]


def _refusal(said: str | None) -> BadInput:
    what = re.sub(r"[^\w '.,:-]", "", said or "no reason given")[:80]
    return BadInput(f"Arctic Shift refused a request ({what}).", "Check the name of the community.")
