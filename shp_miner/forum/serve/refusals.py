"""Faults that replace an answer: refusals in a platform's own words, walls, closed communities.

They lie: the refused thread exists. Plan them as any other fault, for the paths of threads and a share of the requests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from shp_miner.errors import UsageError
from shp_miner.forum.serve.faults import HTML, Fault, change_body, change_items
from shp_miner.forum.serve.message import WORDS, Response, Status
from shp_miner.forum.serve.server import LOGIN_PATH, view_of

_ROBOTS = (
    "<!DOCTYPE html><html lang=en-US><head><title>Just a moment...</title><meta name=robots content=noindex></head>"
    "<body><noscript>Enable JavaScript and cookies to continue</noscript>"
    "<script src=/cdn-cgi/challenge></script></body></html>"
)


def refused(status: Status, platform: str) -> Fault:
    """A platform's own refusal as JSON: 401, 403, 404 or 410. Raises UsageError if the platform has none."""
    says: Callable[[Status], Response] | None = getattr(view_of(platform), "refusal", None)
    if says is None:
        raise UsageError(f"No refusal of {platform!r} is known.", "Name a platform that has its own.")
    answer = says(status)
    return Fault("refused", instead=lambda _now: answer)


def page(status: Status = 403) -> Fault:
    """A web page with a status: 403 is a check for robots, the others are what a proxy writes."""
    text = (
        f"<html>\r\n<head><title>{status} {WORDS[status]}</title></head>\r\n"
        f"<body><center><h1>{status} {WORDS[status]}</h1></center><hr><center>nginx</center></body>\r\n</html>"
    )
    return Fault("page", instead=lambda _now: Response(status, _ROBOTS if status == 403 else text, HTML))


def empty(status: int = 200) -> Fault:
    """An empty body with that status."""
    return Fault("empty", instead=lambda _now: Response(status, b""))


def to_login() -> Fault:
    """A redirect to a page where one logs in."""
    return Fault("to_login", instead=lambda _now: Response(302, b"", {"location": LOGIN_PATH}))


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
    insides = [inside for name in ("data", "comment", "post") if isinstance(inside := item.get(name), dict)]
    return next((level[name] for level in (item, *insides) for name in names if name in level), None)
