"""Faults that stand in the place of what was asked for: refusals in a platform's own words, walls, closed doors.

They lie: what they deny is there. Plan them as any other fault, for the paths of threads and a share of the requests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

from shp_miner.errors import UsageError
from shp_miner.forum.serve.faults import HTML, LOGIN_PAGE, Fault, change_body, change_items
from shp_miner.forum.serve.message import Request, Response

Status = Literal[401, 403, 404, 410]

_WORDS = {401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 410: "Gone"}

#: Where a redirect to a log-in leads. The server shows a page there, whatever the platform.
LOGIN_PATH = "/login"
_ROBOTS = (
    "<!DOCTYPE html><html lang=en-US><head><title>Just a moment...</title><meta name=robots content=noindex></head>"
    "<body><noscript>Enable JavaScript and cookies to continue</noscript>"
    "<script src=/cdn-cgi/challenge></script></body></html>"
)

_DISCOURSE = {
    401: ("not_logged_in", "You need to be logged in to do that."),
    403: ("invalid_access", "You are not permitted to view the requested resource."),
    404: ("not_found", "The requested URL or resource could not be found."),
    410: ("not_found", "That topic has been deleted."),
}
_NODEBB = {
    401: ("not-authorised", "A valid login session was not found. Please log in and try again."),
    403: ("forbidden", "You are not authorised to make this call."),
    410: ("gone", "This resource is not available any more."),
}
_LEMMY = {401: "incorrect_login", 403: "only_followers_can_view", 404: "not_found", 410: "deleted"}
_STACKEXCHANGE = {
    401: (401, "access_token_required", "This method requires an access token"),
    403: (403, "access_denied", "this question may not be read"),
    404: (404, "no_method", "this method cannot be called this way"),
    410: (404, "no_method", "this method is gone"),
}
_REDDIT_REASON = {403: {"reason": "private"}}


def _discourse(status: Status) -> Response:
    kind, says = _DISCOURSE[status]
    return Response(status, {"errors": [says], "error_type": kind})


def _nodebb(status: Status) -> Response:
    if status == 404:
        return Response(status, {"path": "/api", "loggedIn": False, "title": "[[global:404.title]]"})
    code, says = _NODEBB[status]
    return Response(status, {"status": {"code": code, "message": says}, "response": {}})


def _stackexchange(status: Status) -> Response:
    number, name, says = _STACKEXCHANGE[status]
    return Response(400, {"error_id": number, "error_name": name, "error_message": says})


#: Each platform's refusal by status. Stack Exchange says everything with status 400 and numbers of its own.
_PLATFORMS: Mapping[str, Callable[[Status], Response]] = {
    "discourse": _discourse,
    "nodebb": _nodebb,
    "lemmy": lambda status: Response(status, {"error": _LEMMY[status]}),
    "reddit": lambda status: Response(
        status, {"message": _WORDS[status], "error": status, **_REDDIT_REASON.get(status, {})}
    ),
    "stackexchange": _stackexchange,
    "arctic-shift": lambda status: Response(status, {"data": None, "error": _WORDS[status].capitalize()}),
}


def refused(status: Status, platform: str) -> Fault:
    """A platform's own refusal as JSON: 401, 403, 404 or 410. Raises UsageError for a platform it does not know."""
    says = _PLATFORMS.get(platform)
    if says is None:
        raise UsageError(f"No refusal of {platform!r} is known.", f"Known are {', '.join(_PLATFORMS)}.")
    answer = says(status)
    return Fault("refused", instead=lambda _now: answer)


def page(status: Status = 403) -> Fault:
    """A web page with a status: 403 is a check for robots, the others are what a proxy writes."""
    text = (
        f"<html>\r\n<head><title>{status} {_WORDS[status]}</title></head>\r\n"
        f"<body><center><h1>{status} {_WORDS[status]}</h1></center><hr><center>nginx</center></body>\r\n</html>"
    )
    return Fault("page", instead=lambda _now: Response(status, _ROBOTS if status == 403 else text, HTML))


def empty(status: int = 200) -> Fault:
    """Nothing at all, with that status."""
    return Fault("empty", instead=lambda _now: Response(status, b""))


def to_login() -> Fault:
    """A redirect to a page where one logs in."""
    return Fault("to_login", instead=lambda _now: Response(302, b"", {"location": LOGIN_PATH}))


def login(request: Request) -> Response | None:
    """The page that `to_login` leads to, None for other requests."""
    return Response(200, LOGIN_PAGE, HTML) if request.path == LOGIN_PATH else None


def left_out(share: float = 0.3, seed: int = 0) -> Fault:
    """A share of the items of a page is left out, the same ones every time: all but the first, by their ids.

    Where a platform names the ids of a whole thread beside a page (Discourse) they are left out there, too.
    """

    def absent(item_id: object) -> bool:
        digest = hashlib.sha256(f"{seed} {item_id}".encode()).digest()
        return int.from_bytes(digest[:8]) < share * 2**64

    def without(items: list[Any]) -> list[Any]:
        return [item for place, item in enumerate(items) if not place or not absent(_id(item))]

    def change(body: Any) -> Any:
        changed = change_items(body, without)
        stream = changed.get("post_stream", {}).get("stream") if isinstance(changed, dict) else None
        if stream:
            stream[1:] = [number for number in stream[1:] if not absent(number)]
        return changed

    return Fault("left_out", spoil=change_body(change))


def _id(item: Mapping[str, Any]) -> object:
    """The id of an item as the platforms write it: at its top or one level down."""
    names = ("answer_id", "pid", "question_id", "id")
    insides = [one for name in ("data", "comment", "post") if isinstance(one := item.get(name), dict)]
    return next((one[name] for one in (item, *insides) for name in names if name in one), None)
