"""The embedded forum as Reddit's API: the OAuth token and the few addresses that a reading client needs.

Shapes and habits follow recorded answers of the real one. Ids are in base 36. A comment tree holds 500 comments at
most; what does not fit is named in stubs ("more"), and /api/morechildren hands it out. Deleted comments keep a stub in
the tree while they have replies and vanish from it otherwise; /api/info knows them always.
"""

from __future__ import annotations

import hashlib
import html
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from shp_miner.forum.live import Community, LiveAnswer, LiveThread
from shp_miner.forum.serve.message import WORDS, Request, Response, Status

#: The one app that may ask.
CLIENT_ID, CLIENT_SECRET = "embedded-forum", "not-a-secret"

#: Reddit's own figures: comments in one tree, its depth, threads in a page and in a whole listing, ids at a time.
_TREE, _DEPTH, _PAGE, _LISTING, _IDS = 500, 10, 100, 1000, 100

#: How long a token is good, and the budget of requests per window. Seconds.
TOKEN_S = 3600
_WINDOW_S, _BUDGET = 600, 1000

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_STUB = {"deleted": "[deleted]", "removed": "[removed]"}

Closed = Literal["private", "banned", "quarantined"]


def base36(number: int) -> str:
    """A number as Reddit writes ids."""
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = _DIGITS[rest] + digits
    return digits or "0"


def from_base36(text: str) -> str:
    """The forum's own id of one in base 36; an empty one where it is none."""
    try:
        return str(int(text, 36))
    except ValueError:
        return ""


@dataclass
class _Asked:
    """What a request for comments wants: how many, how deep, and in which order."""

    left: int
    depth: int
    sort: str


class RedditApi:
    """Reddit's API over a community. `hides_scores_s`: how long the score of a new comment or post is hidden."""

    platform: ClassVar[str] = "reddit"
    first_crawl: ClassVar[str] = (
        f"SHP_MINER_REDDIT_CLIENT_ID={CLIENT_ID} SHP_MINER_REDDIT_CLIENT_SECRET={CLIENT_SECRET} "
        "SHP_MINER_REDDIT_USER_AGENT=visitor shp-miner crawl reddit {name}"
    )

    def __init__(self, community: Community, *, hides_scores_s: int = 0, closed: Closed | None = None) -> None:
        self.community = community
        self.hides_scores_s = hides_scores_s
        self.closed = closed
        self._tokens: dict[str, float] = {}
        self._window = (0, 0)

    @staticmethod
    def refusal(status: Status) -> Response:
        """Reddit's own refusal."""
        reason = {"reason": "private"} if status == 403 else {}
        return Response(status, {"message": WORDS[status], "error": status, **reason})

    def respond(self, request: Request) -> Response:
        """Answer a request, or refuse it in Reddit's own words."""
        parts = [part for part in request.path.split("/") if part]
        if parts == ["api", "v1", "access_token"]:
            return self._token(request)
        token = request.headers.get("authorization", "").partition(" ")[2]
        if self.community.now_s >= self._tokens.get(token, 0.0):
            refusal = {"www-authenticate": 'Bearer realm="reddit", error="invalid_token"'}
            return Response(401, {"message": "Unauthorized", "error": 401}, refusal)
        answer = self._route(request, parts)
        body = answer.body if request.first("raw_json") == "1" else _escaped(answer.body)
        return Response(answer.status, body, {**answer.headers, **self._budget()})

    def _route(self, request: Request, parts: list[str]) -> Response:
        answer: Response | None = None
        match parts:
            case ["api", "info"]:
                answer = self._info(request)
            case ["api", "morechildren"] if request.method == "POST":
                answer = self._more(request)
            case ["r", name, "about" | "new"] if not self._is_ours(name):
                answer = Response(302, b"", {"location": f"/subreddits/search?q={name}"})
            case ["r", name, *_] if not self._is_ours(name):
                answer = _refused(404)
            case ["r", _, "about"]:
                answer = self._refusal() or Response(200, {"kind": "t5", "data": self._about()})
            case ["r", _, "new"]:
                answer = self._refusal() or self._new(request)
            case ["comments", post_id, *_] | ["r", _, "comments", post_id, *_]:
                answer = self._refusal() or self._comments(request, post_id)
        return answer or _refused(404)

    def _token(self, request: Request) -> Response:
        """A token for the app, as long as its name and secret are right."""
        given = request.headers.get("authorization", "").removeprefix("Basic ")
        if b64decode(given).decode("utf-8", "replace") != f"{CLIENT_ID}:{CLIENT_SECRET}":
            return _refused(401)
        if request.form().get("grant_type") != "client_credentials":
            return Response(200, {"error": "unsupported_grant_type"})
        token = hashlib.sha256(f"token {len(self._tokens)}".encode()).hexdigest()
        self._tokens[token] = self.community.now_s + TOKEN_S
        return Response(200, {"access_token": token, "token_type": "bearer", "expires_in": TOKEN_S, "scope": "*"})

    def revoke(self) -> None:
        """Let every token given so far run out."""
        self._tokens = dict.fromkeys(self._tokens, 0.0)

    def _budget(self) -> dict[str, str]:
        """The headers that say how many requests are left in this window."""
        now_s = int(self.community.now_s)
        window, used = self._window
        used = used + 1 if window == now_s // _WINDOW_S else 1
        self._window = (now_s // _WINDOW_S, used)
        left, reset_s = max(_BUDGET - used, 0), _WINDOW_S - now_s % _WINDOW_S
        return {"x-ratelimit-used": f"{used}", "x-ratelimit-remaining": f"{left}.0", "x-ratelimit-reset": f"{reset_s}"}

    def _is_ours(self, name: str) -> bool:
        return name.lower() == self._name().lower()

    def _name(self) -> str:
        return self.community.name

    def _refusal(self) -> Response | None:
        """How Reddit refuses a community that is closed; None where it is open."""
        closed = self.closed or ("private" if self.community.private else "banned" if self.community.banned else None)
        if closed is None:
            return None
        status = 404 if closed == "banned" else 403
        return _refused(status, closed)

    def _about(self) -> dict[str, Any]:
        kind = "private" if self.community.private else "public"
        return {"display_name": self._name(), "subreddit_type": kind, "quarantine": False, "over18": False}

    def _new(self, request: Request) -> Response:
        threads = [thread for thread in self.community.threads() if thread.category is None][:_LISTING]
        after = request.first("after")
        names = [f"t3_{base36(int(thread.post_id))}" for thread in threads]
        start = names.index(after) + 1 if after in names else 0
        page = threads[start : start + min(int(request.first("limit", "25")), _PAGE)]
        last = names[start + len(page) - 1] if page and start + len(page) < len(threads) else None
        return Response(200, _listing([self._post(thread) for thread in page], last))

    def _info(self, request: Request) -> Response:
        names = request.first("id").split(",")[:_IDS]
        found = [self._found(name) for name in names] if self._refusal() is None else []
        return Response(200, _listing([thing for thing in found if thing]))

    def _found(self, name: str) -> dict[str, Any] | None:
        kind, _, text = name.partition("_")
        item = self.community.find(from_base36(text))
        thread = self.community.thread(item.post_id) if item else None
        if thread is None or thread.closed:
            return None
        if isinstance(item, LiveThread) and kind == "t3":
            return self._post(item)
        return self._comment(thread, item, "") if isinstance(item, LiveAnswer) and kind == "t1" else None

    def _comments(self, request: Request, post_id: str) -> Response:
        thread = self.community.thread(from_base36(post_id))
        if thread is None:
            return _refused(404)
        if thread.closed:
            return _refused(403, "private")
        limit, depth = (int(request.first(name) or most) for name, most in (("limit", _TREE), ("depth", _DEPTH)))
        asked = _Asked(min(limit, _TREE), min(depth, _DEPTH), request.first("sort", "confidence"))
        # The front row of the tree is filled first, then what hangs below it.
        trees = self._row(thread, thread.answers, f"t3_{post_id}", asked, asked.depth)
        return Response(200, [_listing([self._post(thread)]), _listing(trees)])

    def _row(
        self, thread: LiveThread, answers: Iterable[LiveAnswer], parent: str, asked: _Asked, depth: int
    ) -> list[dict[str, Any]]:
        """Comments beside each other with what hangs below them; a stub for those that did not fit."""
        shown = _sorted([answer for answer in answers if answer.state == "live" or answer.replies], asked.sort)
        if not shown:
            return []
        if not depth:
            return [_continued(parent)] if asked.depth == _DEPTH else [_more(parent, shown)]
        fit = shown[: asked.left]
        asked.left -= len(fit)
        row = []
        for answer in fit:
            below = self._row(thread, answer.replies, f"t1_{base36(int(answer.answer_id))}", asked, depth - 1)
            row.append(self._comment(thread, answer, _listing(below) if below else ""))
        return [*row, _more(parent, shown[len(fit) :])] if len(fit) < len(shown) else row

    def _more(self, request: Request) -> Response:
        """The comments of a stub, and what is below them unless only they are wanted."""
        form = request.form()
        thread = self.community.thread(from_base36(form.get("link_id", "").removeprefix("t3_")))
        if thread is None or thread.closed:
            return _refused(404)
        wanted = [from_base36(text) for text in form.get("children", "").split(",")[:_IDS]]
        only = form.get("limit_children", "").lower() == "true"
        things = []
        for answer in thread.walk():
            if answer.answer_id in wanted and (answer.state == "live" or answer.replies):
                for shown in [answer] if only else answer.walk():
                    things.append(self._comment(thread, shown, ""))
        return Response(200, {"json": {"errors": [], "data": {"things": things}}})

    def _post(self, thread: LiveThread) -> dict[str, Any]:
        post_id = base36(int(thread.post_id))
        votes = thread.up + thread.down
        removed_by = {"deleted": "deleted", "removed": "moderator"}.get(thread.state)
        return {
            "kind": "t3",
            "data": {
                **self._item(thread, post_id, "t3"),
                "title": thread.title,
                "selftext": _STUB.get(thread.state, thread.body),
                "is_self": True,
                "over_18": False,
                "hide_score": self._hidden(thread),
                "upvote_ratio": round(thread.up / votes, 2) if votes else 1.0,
                "removed_by_category": removed_by,
                "num_comments": sum(1 for _ in thread.walk()),
                "stickied": thread.pinned,
                "permalink": f"/r/{self._name()}/comments/{post_id}/_/",
            },
        }

    def _comment(self, thread: LiveThread, answer: LiveAnswer, replies: object) -> dict[str, Any]:
        answer_id, post_id = base36(int(answer.answer_id)), base36(int(answer.post_id))
        kind = "t3" if answer.parent_id == answer.post_id else "t1"
        return {
            "kind": "t1",
            "data": {
                **self._item(answer, answer_id, "t1"),
                "body": _STUB.get(answer.state, answer.body),
                "link_id": f"t3_{post_id}",
                "parent_id": f"{kind}_{base36(int(answer.parent_id))}",
                "score_hidden": self._hidden(answer),
                "is_submitter": answer.author is not None and answer.author == thread.author,
                "stickied": False,
                "permalink": f"/r/{self._name()}/comments/{post_id}/_/{answer_id}/",
                "replies": replies,
            },
        }

    def _item(self, item: LiveThread | LiveAnswer, plain_id: str, kind: str) -> dict[str, Any]:
        gone = item.author is None or item.state != "live"
        return {
            "id": plain_id,
            "name": f"{kind}_{plain_id}",
            "subreddit": self._name(),
            "author": "[deleted]" if gone else item.author,
            "created_utc": float(item.created_s),
            "edited": float(item.edited_s) if item.edited_s else False,
            "score": 1 if self._hidden(item) else item.score,
            "distinguished": "moderator" if item.role == "moderator" and item.state == "live" else None,
        }

    def _hidden(self, item: LiveThread | LiveAnswer) -> bool:
        return self.community.now_s - item.created_s < self.hides_scores_s


def _sorted(answers: list[LiveAnswer], sort: str) -> list[LiveAnswer]:
    if sort == "old":
        return sorted(answers, key=lambda answer: (answer.created_s, int(answer.answer_id)))
    if sort == "new":
        return sorted(answers, key=lambda answer: (-answer.created_s, -int(answer.answer_id)))
    return sorted(answers, key=lambda answer: (-answer.score, int(answer.answer_id)))


def _listing(children: list[dict[str, Any]], after: str | None = None) -> dict[str, Any]:
    return {"kind": "Listing", "data": {"modhash": "", "children": children, "after": after, "before": None}}


def _more(parent: str, left_out: list[LiveAnswer]) -> dict[str, Any]:
    ids = [base36(int(answer.answer_id)) for answer in left_out]
    count = sum(1 for answer in left_out for _ in answer.walk())
    stub = {"count": count, "name": f"t1_{ids[0]}", "id": ids[0], "parent_id": parent, "children": ids}
    return {"kind": "more", "data": stub}


def _continued(parent: str) -> dict[str, Any]:
    return {"kind": "more", "data": {"count": 0, "name": "t1__", "id": "_", "parent_id": parent, "children": []}}


def _refused(status: int, reason: str = "") -> Response:
    message = {401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}[status]
    return Response(status, {"message": message, "error": status} | ({"reason": reason} if reason else {}))


def _escaped(body: Any) -> Any:
    """What Reddit makes of text where raw_json is not asked for."""
    if isinstance(body, str):
        return html.escape(body, quote=False)
    if isinstance(body, list):
        return [_escaped(item) for item in body]
    if isinstance(body, dict):
        return {name: _escaped(value) for name, value in body.items()}
    return body
