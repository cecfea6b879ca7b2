"""The Stack Exchange API 2.3 over a community, which is the only site there is. Every question has its name as a tag.

Deleted things are absent, nested replies are comments and not shown. Every refusal has status 400, always in gzip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from html import escape
from typing import Any, ClassVar, TypeVar

from shp_miner.forum.live import Community, LiveAnswer, LiveItem, LiveThread
from shp_miner.forum.serve.message import Request, Response, Status
from shp_miner.platforms.stackexchange import license_by_date

_PAGE_MAX, _PAGE_DEFAULT, _IDS_MAX = 100, 30, 100
#: Without a key there is nothing behind this page.
_PAGES_FREE = 25

#: Requests a day without and with a key; a key that begins with "bad" is none.
QUOTA, QUOTA_WITH_KEY = 300, 10_000
_BAD_KEY = "bad"

Json = dict[str, Any]
_One = TypeVar("_One", LiveThread, LiveAnswer)


class _Refused(Exception):
    def __init__(self, number: int, name: str, message: str) -> None:
        super().__init__(message)
        self.body = {"error_id": number, "error_name": name, "error_message": message}


_REFUSALS = {
    401: (401, "access_token_required", "This method requires an access token"),
    403: (403, "access_denied", "this question may not be read"),
    404: (404, "no_method", "this method cannot be called this way"),
    410: (404, "no_method", "this method is gone"),
}


class StackExchangeApi:
    """The API. `used` counts the requests of the community's day, by key."""

    platform: ClassVar[str] = "stackexchange"
    always_gzip: ClassVar[bool] = True
    first_crawl: ClassVar[str] = "shp-miner crawl stackexchange all --site {name}.stackexchange.com"

    def __init__(self, community: Community) -> None:
        self.community = community
        self.site = f"{community.name.lower()}.stackexchange.com"
        self.used: dict[tuple[str, str], int] = {}

    @staticmethod
    def refusal(status: Status) -> Response:
        """The API's own refusal: everything comes with status 400 and numbers of its own."""
        number, name, says = _REFUSALS[status]
        return Response(400, {"error_id": number, "error_name": name, "error_message": says})

    def respond(self, request: Request) -> Response:
        """Answer a request, or refuse it with the API's numbers."""
        try:
            quota = self._quota(request.first("key"))
            self._check_site(request)
            return Response(200, {**self._found(request), **quota})
        except _Refused as refused:
            return Response(400, refused.body)

    def _quota(self, key: str) -> Json:
        if key.startswith(_BAD_KEY):
            raise _Refused(400, "bad_parameter", "`key` doesn't match a known application")
        most = QUOTA_WITH_KEY if key else QUOTA
        now = self.community.now
        today = (key, f"{now:%Y-%m-%d}")
        used = self.used.get(today, 0) + 1
        if used > most:
            midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
            seconds = int((midnight - now).total_seconds()) + 1
            says = f"too many requests from this IP, more requests available in {seconds} seconds"
            raise _Refused(502, "throttle_violation", says)
        self.used[today] = used
        return {"quota_max": most, "quota_remaining": most - used}

    def _check_site(self, request: Request) -> None:
        name = request.first("site").lower()
        if name not in (self.site, self.site.partition(".")[0]) or self.community.banned:
            raise _Refused(400, "bad_parameter", f"No site found for name `{name}`")
        if self.community.private:
            raise _Refused(401, "access_token_required", "This method requires an access token")

    def _found(self, request: Request) -> Json:
        match [part for part in request.path.split("/") if part]:
            case ["2.3", "questions"]:
                tag, name = request.first("tagged").lower(), self.community.name.lower()
                threads = [thread for thread in self._threads() if not tag or (tag == name and thread.category is None)]
                return self._page(request, threads, self._question)
            case ["2.3", "questions", ids]:
                wanted = _ids(ids)
                return self._page(
                    request, [thread for thread in self._threads() if thread.post_id in wanted], self._question
                )
            case ["2.3", "questions", ids, "answers"]:
                wanted = _ids(ids)
                answers = [answer for thread in self._threads() if thread.post_id in wanted for answer in _live(thread)]
                return self._page(request, answers, self._answer)
            case ["2.3", "answers", ids]:
                wanted = _ids(ids)
                answers = [
                    answer for thread in self._threads() for answer in _live(thread) if answer.answer_id in wanted
                ]
                return self._page(request, answers, self._answer)
        raise _Refused(404, "no_method", "this method cannot be called this way")

    def _threads(self) -> list[LiveThread]:
        return [thread for thread in self.community.threads() if thread.state == "live" and not thread.closed]

    def _page(self, request: Request, items: Sequence[_One], show: Callable[[_One, Json], Json]) -> Json:
        """A page of items in the order asked for."""
        number, size = int(request.first("page", "1")), int(request.first("pagesize", str(_PAGE_DEFAULT)))
        if not 1 <= size <= _PAGE_MAX:
            raise _Refused(400, "bad_parameter", "pagesize")
        if number > _PAGES_FREE and not request.first("key"):
            raise _Refused(403, "access_denied", f"page above {_PAGES_FREE} requires access token or app key")
        sort = request.first("sort", "activity")
        value = _SORTS.get(sort)
        if value is None:
            raise _Refused(400, "bad_parameter", "sort")
        least = int(request.first("min", "0")) if request.first("min") else None
        chosen = [item for item in items if least is None or value(item) >= least]
        chosen.sort(key=lambda item: (value(item), int(_id(item))), reverse=request.first("order", "desc") == "desc")
        first = (number - 1) * size
        shown = [show(item, self._common(item, request)) for item in chosen[first : first + size]]
        return {"items": shown, "has_more": first + size < len(chosen)}

    def _question(self, thread: LiveThread, common: Json) -> Json:
        answers = _live(thread)
        found = {
            **common,
            "tags": [self.community.name.lower()],
            "is_answered": any(answer.score > 0 for answer in answers),
            "view_count": thread.views,
            "answer_count": len(answers),
            "title": escape(thread.title),
            "link": f"https://{self.site}/questions/{thread.post_id}/question",
        }
        return found if thread.accepted_id is None else {**found, "accepted_answer_id": int(thread.accepted_id)}

    def _answer(self, answer: LiveAnswer, common: Json) -> Json:
        thread = self.community.thread(answer.post_id)
        accepted = thread is not None and thread.accepted_id == answer.answer_id
        return {**common, "answer_id": int(answer.answer_id), "is_accepted": accepted}

    def _common(self, item: LiveThread | LiveAnswer, request: Request) -> Json:
        found: Json = {
            "owner": self._owner(item),
            "score": item.score,
            "last_activity_date": _activity(item),
            "creation_date": item.created_s,
            "question_id": int(item.post_id),
            "content_license": license_by_date(item.created_s * 1_000_000),
        }
        if item.edited_s is not None:
            found["last_edit_date"] = item.edited_s
        if request.first("filter") == "withbody":
            found["body"] = "".join(f"<p>{escape(part, quote=False)}</p>\n" for part in item.body.split("\n\n"))
        return found

    def _owner(self, item: LiveItem) -> Json:
        if item.author is None:
            return {"user_type": "does_not_exist", "display_name": f"user{item.author_id}"}
        return {
            "user_type": "moderator" if item.role == "moderator" else "registered",
            "user_id": int(item.author_id),
            "reputation": 101,
            "display_name": escape(item.author),
            "link": f"https://{self.site}/users/{item.author_id}/somebody",
        }


def _live(thread: LiveThread) -> list[LiveAnswer]:
    return [answer for answer in thread.answers if answer.state == "live"]


def _activity(item: LiveItem) -> int:
    """When something last happened to it: asked, answered or edited. Comments and votes do not count."""
    answers = _live(item) if isinstance(item, LiveThread) else []
    return max(max(part.created_s, part.edited_s or 0) for part in (item, *answers))


_SORTS: dict[str, Callable[[LiveThread | LiveAnswer], int]] = {
    "activity": _activity,
    "creation": lambda item: item.created_s,
    "votes": lambda item: item.score,
}


def _id(item: LiveThread | LiveAnswer) -> str:
    return item.post_id if isinstance(item, LiveThread) else item.answer_id


def _ids(text: str) -> frozenset[str]:
    ids = text.split(";")
    if len(ids) > _IDS_MAX or not all(item_id.isdecimal() for item_id in ids):
        raise _Refused(400, "bad_parameter", "ids")
    return frozenset(ids)
