"""The embedded forum as a Discourse site with one category: its lists of topics, and topics with their posts.

Shapes and habits are those of saved topics of real sites and of Discourse's source code. There are likes and no
down-votes. A post that its author deleted leaves a note in its place; one that a moderator deleted, or a whole topic,
is not there any more for the public, and neither is one in a category that guests cannot see: the site does not tell
these from what never was. Nested replies stand in the same row, with the number of the post they answer.
"""

from __future__ import annotations

import html
from datetime import UTC, datetime
from typing import Any

from shp_miner.forum.live import Community, LiveAnswer, LiveItem, LiveThread
from shp_miner.forum.serve.message import Request, Response, Status

#: Discourse's own figures: topics in a page, posts in a page.
_TOPICS, _POSTS = 30, 20

#: The number of the community's category.
CATEGORY_ID = 5

_NOT_FOUND = Response(404, {"errors": ["The requested URL or resource could not be found."], "error_type": "not_found"})
_MEMBERS_ONLY = Response(403, {"errors": ["You need to be logged in to do that."], "error_type": "not_logged_in"})
_NOT_PERMITTED = Response(
    403, {"errors": ["You are not permitted to view the requested resource."], "error_type": "invalid_access"}
)
_DELETED = "(post deleted by author)"


_REFUSALS = {
    401: ("not_logged_in", "You need to be logged in to do that."),
    403: ("invalid_access", "You are not permitted to view the requested resource."),
    404: ("not_found", "The requested URL or resource could not be found."),
    410: ("not_found", "That topic has been deleted."),
}


class DiscourseApi:
    """Discourse's JSON over a community. A private one is a site for members only, a banned one no category."""

    platform = "discourse"

    def __init__(self, community: Community) -> None:
        self.community = community

    @staticmethod
    def refusal(status: Status) -> Response:
        """Discourse's own refusal."""
        kind, says = _REFUSALS[status]
        return Response(status, {"errors": [says], "error_type": kind})

    def respond(self, request: Request) -> Response:
        """Answer a request as a guest's."""
        if self.community.private:
            return _MEMBERS_ONLY
        if self._refused(request):
            return _NOT_PERMITTED
        body = self._found(request)
        return _NOT_FOUND if body is None else Response(200, body)

    def _found(self, request: Request) -> dict[str, Any] | None:
        found: dict[str, Any] | None = None
        match [part for part in request.path.removesuffix(".json").split("/") if part]:
            case ["site"]:
                found = {"default_archetype": "regular", "categories": self._categories()}
            case ["categories"]:
                found = {"category_list": {"can_create_category": False, "categories": self._categories()}}
            case ["latest"]:
                found = self._list(request)
            case ["c", slug, number, "l", "latest"] if [slug, number] in self._addresses():
                found = self._list(request)
            case ["t", topic_id]:
                found = self._topic(topic_id, request)
            case ["t", topic_id, "posts"]:
                found = self._posts(topic_id, request)
        return found

    def _categories(self) -> list[dict[str, Any]]:
        """The community, and a category in which nobody posts."""
        slugs = {1: "uncategorized"} | ({} if self.community.banned else {CATEGORY_ID: self.community.name})
        return [
            {"id": number, "name": slug.title(), "slug": slug, "parent_category_id": None, "read_restricted": False}
            for number, slug in slugs.items()
        ]

    def _addresses(self) -> list[list[str]]:
        return [[category["slug"], str(category["id"])] for category in self._categories()]

    def _thread(self, topic_id: str) -> LiveThread | None:
        """A topic that the public can read."""
        thread = None if self.community.banned else self.community.thread(topic_id)
        return thread if thread and thread.state == "live" and not thread.closed else None

    def _refused(self, request: Request) -> bool:
        """Whether it asks for a topic that guests see in a list and cannot read."""
        match [part for part in request.path.removesuffix(".json").split("/") if part]:
            case ["t", topic_id, *_]:
                thread = self.community.thread(topic_id)
                return thread is not None and thread.closed and thread.category is None
        return False

    def _list(self, request: Request) -> dict[str, Any]:
        by_creation = request.first("order") == "created"
        threads = self.community.threads("created" if by_creation else "activity")
        empty = self.community.banned or request.path.startswith("/c/uncategorized/")
        whole = request.path.startswith("/latest")
        here = [thread for thread in threads if thread.category is None or (whole and not thread.closed)]
        shown = [thread for thread in here if thread.state == "live" and not empty]
        if not by_creation:
            shown.sort(key=lambda thread: not thread.pinned)
        page = int(request.first("page", "0"))
        topics = shown[page * _TOPICS : (page + 1) * _TOPICS]
        more = {"more_topics_url": f"{request.path.removesuffix('.json')}?page={page + 1}"}
        return {
            "users": [],
            "topic_list": {
                "per_page": _TOPICS,
                **(more if len(topics) == _TOPICS else {}),
                "topics": [self._listed(thread) for thread in topics],
            },
        }

    def _listed(self, thread: LiveThread) -> dict[str, Any]:
        """What a list says of a topic, and the topic itself as well."""
        there = [answer for answer in thread.walk() if answer.state != "removed"]
        return {
            "id": int(thread.post_id),
            "title": thread.title,
            "fancy_title": html.escape(thread.title),
            "slug": "-".join("".join(c if c.isalnum() else " " for c in thread.title.lower()).split()),
            "posts_count": 1 + len(there),
            "created_at": _time(thread.created_s),
            "last_posted_at": _time(thread.activity_s),
            "bumped_at": _time(thread.activity_s),
            "archetype": "regular",
            "pinned": thread.pinned,
            "pinned_globally": thread.pinned,
            "visible": True,
            "category_id": CATEGORY_ID,
            "views": thread.views,
            "like_count": thread.up + sum(answer.up for answer in there),
        }

    def _topic(self, topic_id: str, request: Request) -> dict[str, Any] | None:
        thread = self._thread(topic_id)
        if thread is None:
            return None
        rows = self._rows(thread, request)
        solving = next((row["post_number"] for row in rows if row["accepted_answer"]), None)
        return {
            "post_stream": {"posts": rows[:_POSTS], "stream": [row["id"] for row in rows]},
            **self._listed(thread),
            **({"accepted_answer": {"post_number": solving}} if solving else {}),
            "chunk_size": _POSTS,
            "deleted_at": None,
            "featured_link": None,
        }

    def _posts(self, topic_id: str, request: Request) -> dict[str, Any] | None:
        thread = self._thread(topic_id)
        if thread is None:
            return None
        wanted = {int(number) for number in request.query.get("post_ids[]", []) if number.isdecimal()}
        rows = [row for row in self._rows(thread, request) if row["id"] in wanted]
        return {"post_stream": {"posts": rows}, "id": int(topic_id)}

    def _rows(self, thread: LiveThread, request: Request) -> list[dict[str, Any]]:
        """All posts that the public can see, numbered over all there ever were."""
        answers = sorted(thread.walk(), key=lambda answer: (answer.created_s, int(answer.answer_id)))
        numbers = {thread.post_id: 1} | {answer.answer_id: 2 + place for place, answer in enumerate(answers)}
        with_raw = bool(request.first("include_raw"))
        rows = [self._row(thread, thread.post_id, numbers, with_raw)]
        for answer in answers:
            if answer.state != "removed":
                accepted = answer.answer_id == thread.accepted_id
                rows.append(self._row(answer, answer.answer_id, numbers, with_raw) | {"accepted_answer": accepted})
        return rows

    def _row(self, item: LiveItem, item_id: str, numbers: dict[str, int], with_raw: bool) -> dict[str, Any]:
        raw = _DELETED if item.state == "deleted" else item.body
        user_id = None if item.author is None else int(item.author_id) * (-1 if item.role == "bot" else 1)
        return {
            "id": int(item_id),
            "username": item.author,
            "user_id": user_id,
            "created_at": _time(item.created_s),
            "cooked": "".join(f"<p>{html.escape(part)}</p>\n" for part in raw.split("\n\n")),
            "post_number": numbers[item_id],
            "post_type": 1,
            "reply_to_post_number": _replies_to(item, numbers),
            "topic_id": int(item.post_id),
            "version": 2 if item.edited_s else 1,
            "reads": item.reads,
            "readers_count": item.reads - 1,
            "actions_summary": [{"id": 2, "count": item.up}] if item.up else [],
            "moderator": item.role == "moderator",
            "admin": False,
            "staff": item.role == "moderator",
            "hidden": False,
            "deleted_at": None,
            "user_deleted": item.state == "deleted",
            "accepted_answer": False,
            **({"raw": raw} if with_raw else {}),
        }


def _replies_to(item: LiveItem, numbers: dict[str, int]) -> int | None:
    """The number of the post that somebody pressed "reply" at: for the question that is done by some and not others."""
    if not isinstance(item, LiveAnswer):
        return None
    said = item.parent_id != item.post_id or int(item.answer_id) % 3 == 0
    return numbers[item.parent_id] if said else None


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
