"""The embedded forum as the Arctic Shift archive: search by community or thread, and look-up by id.

The archive reads everything twice: when it is posted, and when somebody asks for it 36 hours later or more. Until then
it tells the score of the first moment, and ever after that of the second. It keeps the text it has given out before;
what is deleted since is only marked, and so is what is back: it bears the mark of its removal as well. What is purged
is what the archive was asked to take out. Doors that close on Reddit do not close here. Text is escaped as in the
monthly dumps.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

from shp_miner.forum.live import Community, LiveAnswer, LiveItem, LiveThread
from shp_miner.forum.serve.message import WORDS, Request, Response, Status
from shp_miner.forum.serve.reddit import base36, from_base36

#: When the archive reads an item again, in seconds after it was posted.
SECOND_READING_S = 36 * 3600

#: The archive's own figures: items in a page that is not told a number, at most, and with limit=auto; ids at a time.
_PAGE, _PAGE_MAX, _PAGE_AUTO, _IDS = 25, 100, 250, 500

#: Requests in a window, and its length in seconds.
_BUDGET, _WINDOW_S = 2000, 60

_FIRST_SCORE = 1
_STUB = {"deleted": "[deleted]", "removed": "[removed]"}

Live = TypeVar("Live", LiveThread, LiveAnswer)


class ArcticShiftApi:
    """The archive's API over a community."""

    platform: ClassVar[str] = "arctic-shift"

    def __init__(self, community: Community) -> None:
        self.community = community
        self._used = 0
        # By id: the author and text of what was live when it was read, and time and score of the second reading.
        self._texts: dict[str, tuple[str, str]] = {}
        self._second: dict[str, tuple[int, int]] = {}

    @staticmethod
    def refusal(status: Status) -> Response:
        """The archive's own refusal."""
        return Response(status, {"data": None, "error": WORDS[status].capitalize()})

    def respond(self, request: Request) -> Response:
        """Answer a request; what is wrong is said in the body."""
        self._used += 1
        headers = {
            "x-ratelimit-remaining": f"{_BUDGET - self._used % _BUDGET}",
            "x-ratelimit-reset": f"{int(self.community.now_s) + _WINDOW_S}",
        }
        try:
            found = self._found(request)
        except ValueError as error:
            return Response(400, {"data": None, "error": str(error)}, headers)
        if found is None:
            return Response(404, {"data": None, "error": "Not found"}, headers)
        return Response(200, {"data": found}, headers)

    def _found(self, request: Request) -> list[dict[str, Any]] | None:
        match [part for part in request.path.split("/") if part]:
            case ["api", "posts", "search"]:
                posts = [thread for thread in self.community.threads() if thread.category is None]
                return self._page(request, posts if self._is_ours(request) else [], self._post)
            case ["api", "comments", "search"]:
                return self._page(request, self._comments(request), self._comment)
            case ["api", "posts", "ids"]:
                found = [self.community.thread(id_) for id_ in _ids(request)]
                return [self._post(thread) for thread in found if thread]
            case ["api", "comments", "ids"]:
                items = [self.community.find(id_) for id_ in _ids(request)]
                return [self._comment(item) for item in items if isinstance(item, LiveAnswer)]
        return None

    def _is_ours(self, request: Request) -> bool:
        return request.first("subreddit").removeprefix("r/").lower() == self.community.name.lower()

    def _comments(self, request: Request) -> list[LiveAnswer]:
        """The comments of a thread; only direct replies where `parent_id` is given and empty."""
        thread = self.community.thread(from_base36(request.first("link_id").removeprefix("t3_")))
        if thread is None:
            return []
        if "parent_id" not in request.query:
            return list(thread.walk())
        parent = from_base36(request.first("parent_id").removeprefix("t1_")) or thread.post_id
        return [answer for answer in thread.walk() if answer.parent_id == parent]

    def _page(
        self, request: Request, items: Iterable[Live], row: Callable[[Live], dict[str, Any]]
    ) -> list[dict[str, Any]]:
        after, before = (_seconds(request.first(name)) for name in ("after", "before"))
        there = [
            item
            for item in items
            if (after is None or item.created_s >= after) and (before is None or item.created_s < before)
        ]
        there.sort(key=lambda item: item.created_s, reverse=request.first("sort", "desc") == "desc")
        limit = request.first("limit", str(_PAGE))
        count = _PAGE_AUTO if limit == "auto" else int(limit)
        if not 1 <= count <= (_PAGE_AUTO if limit == "auto" else _PAGE_MAX):
            raise ValueError("'limit' must be between 1 and 100")
        return [row(item) for item in there[:count]]

    def _post(self, thread: LiveThread) -> dict[str, Any]:
        post_id = base36(int(thread.post_id))
        author, body = self._text(thread.post_id, thread)
        votes = thread.up + thread.down
        return {
            **self._read(thread.post_id, thread),
            "id": post_id,
            "author": author,
            "title": html.escape(thread.title, quote=False),
            "selftext": body,
            "is_self": True,
            "over_18": False,
            "stickied": thread.pinned,
            "upvote_ratio": round(thread.up / votes, 2) if votes else 1.0,
            "permalink": f"/r/{self.community.name}/comments/{post_id}/_/",
        }

    def _comment(self, answer: LiveAnswer) -> dict[str, Any]:
        author, body = self._text(answer.answer_id, answer)
        kind = "t3" if answer.parent_id == answer.post_id else "t1"
        return {
            **self._read(answer.answer_id, answer),
            "id": base36(int(answer.answer_id)),
            "author": author,
            "body": body,
            "link_id": f"t3_{base36(int(answer.post_id))}",
            "parent_id": f"{kind}_{base36(int(answer.parent_id))}",
            "is_submitter": False,
            "score_hidden": False,
            "stickied": False,
        }

    def _text(self, item_id: str, item: LiveItem) -> tuple[str, str]:
        """The author and the text as the archive has them."""
        if item.state == "live":
            self._texts[item_id] = item.author or "[deleted]", html.escape(item.body, quote=False)
        return self._texts.get(item_id, ("[deleted]", _STUB.get(item.state, "")))

    def _read(self, item_id: str, item: LiveItem) -> dict[str, Any]:
        """What was read when."""
        now_s = int(self.community.now_s)
        meta: dict[str, Any] = {}
        score = _FIRST_SCORE
        if now_s - item.created_s >= SECOND_READING_S:
            meta["retrieved_2nd_on"], score = self._second.setdefault(item_id, (now_s, item.score))
        if item.state != "live":
            meta |= {"was_deleted_later": True} if item.state == "deleted" else {"removal_type": "moderator"}
        elif item.restored:
            meta |= {"was_initially_deleted": True, "removal_type": "moderator"}
        if item.edited_s:
            meta["is_edited"] = True
        return {
            "subreddit": self.community.name,
            "created_utc": item.created_s,
            "retrieved_on": item.created_s + 3,
            "score": score,
            "edited": False,
            "distinguished": "moderator" if item.role == "moderator" else None,
            "_meta": meta,
        }


def _ids(request: Request) -> list[str]:
    ids = request.first("ids").split(",")
    if len(ids) > _IDS:
        raise ValueError(f"'ids' may hold {_IDS} ids")
    return [from_base36(text.removeprefix("t3_").removeprefix("t1_")) for text in ids]


def _seconds(text: str) -> float | None:
    """A moment given as seconds since 1970 or as a date."""
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
