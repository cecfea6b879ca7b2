"""A seventh platform: all that makes one. Its source, its limits, the embedded forum in its API, and its row.

Its API: /topics/COMMUNITY?page=N lists topics, newest first, and /topic/ID is a topic with its replies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import msgspec

from shp_miner.errors import BadInput, Error
from shp_miner.forum.live import Community, LiveItem
from shp_miner.forum.serve.message import Request, Response, Status
from shp_miner.platforms.items import Answer, Post, Thread
from shp_miner.sources.access import Access, http_of, site_and_url
from shp_miner.sources.evidence import Meanings, refusals_as_evidence
from shp_miner.sources.http import Http
from shp_miner.sources.limits import Limits
from shp_miner.sources.software import other_software
from shp_miner.sources.source import Gone, Items, Listed, Listing, Unreadable
from shp_miner.sources.table import Costs, Credential, Quota, Row

#: Topics on a page.
PAGE = 10

KEY = Credential("toy_key", "Toy's key.", "${TOY_KEY}")

ROW = Row(
    name="toy",
    title="Toy",
    module="tests.toy",
    forum="tests.toy:ToyApi",
    costs=Costs(1, PAGE, 1),
    example_site="toy.example",
    whole_site="everything",
    stored_as_written=True,
    software="toyforum",
    sites_are="playground",
    credentials=(KEY,),
    quota=Quota(200, 5_000, KEY),
)

#: What refusals of one topic mean.
MEANINGS = Meanings(statuses={403: "forbidden"}, own={"wrong": str})

LIMITS = Limits(requests=1200, interval_s=60)


@contextmanager
def opened(access: Access) -> Iterator[Toy]:
    """A playground, ready to be asked."""
    site, url = site_and_url(Toy.name, access)
    with http_of(url, LIMITS, access) as http:
        yield Toy(http, site)


class _Item(msgspec.Struct):
    id: str
    by: str | None
    text: str
    at: int
    likes: int


class _Topic(msgspec.Struct):
    title: str
    first: _Item
    replies: list[_Item]


class _Head(msgspec.Struct):
    id: str
    at: int


class _Page(msgspec.Struct):
    topics: list[_Head]
    more: bool


class Toy:
    """A playground as a source; see source.Source."""

    name = "toy"
    platform = "toy"
    order: Literal["newest"] = "newest"
    lists_activity = False
    ids_per_request = 0
    looks_up = False
    tells_the_past = False

    def __init__(self, http: Http, site: str) -> None:
        self._http, self.site = http, site

    def verify(self, community: str) -> str:
        """See Source."""
        try:
            self._page(community, 0)
        except BadInput as error:
            raise other_software(self._http, self.site, self.name, error) from error
        return community

    def listing(self, community: str, *, since: int | None, token: str | None) -> Listing:
        """See Source."""
        number = int(token or 0)
        page = self._page(community, number)
        listed = [Listed(topic.id, topic.at * 1_000_000) for topic in page.topics]
        return Listing(listed, str(number + 1) if page.more else None)

    def thread(self, community: str, post_id: str) -> Thread:
        """See Source."""
        with refusals_as_evidence(MEANINGS):
            topic = self._http.get_or_none(f"/topic/{post_id}", _Topic)
        if topic is None:
            raise Unreadable("missing", f"{self.site} has no topic {post_id}.")
        if topic.first.by is None:
            raise Gone("deleted")
        return Thread(
            Post(**_common(topic.first, post_id), title=topic.title),
            [Answer(**_common(reply, post_id), answer_id=reply.id) for reply in topic.replies if reply.by is not None],
        )

    def again(self, post_ids: Sequence[str], answer_ids: Sequence[tuple[str, str]]) -> Items:
        """Not offered (ids_per_request is 0)."""
        raise NotImplementedError

    def _page(self, community: str, number: int) -> _Page:
        try:
            return self._http.get(f"/topics/{community}", _Page, params={"page": number})
        except Error as error:
            raise BadInput(f"{self.site} has no community {community!r}.") from error


def _common(item: _Item, post_id: str) -> dict[str, Any]:
    return {
        "post_id": post_id,
        "created_at": item.at * 1_000_000,
        "body": item.text,
        "body_format": "text",
        "score": item.likes,
        "author": item.by,
    }


class ToyApi:
    """The embedded forum as a playground."""

    platform: ClassVar[str] = ROW.name

    def __init__(self, community: Community) -> None:
        self.community = community

    @staticmethod
    def refusal(status: Status) -> Response:
        """The platform's own refusal."""
        return Response(status, {"wrong": "refused"})

    def respond(self, request: Request) -> Response:
        """Answer a request."""
        match request.path.strip("/").split("/"):
            case [".well-known", "nodeinfo"]:
                return Response(200, {"links": [{"rel": "http://nodeinfo", "href": "http://here/nodeinfo"}]})
            case ["nodeinfo"]:
                return Response(200, {"software": {"name": "ToyForum"}})
            case ["topics", name] if name == self.community.name:
                start = PAGE * int(request.first("page", "0"))
                threads = self.community.threads()
                heads = [{"id": listed.post_id, "at": listed.created_s} for listed in threads[start : start + PAGE]]
                return Response(200, {"topics": heads, "more": start + PAGE < len(threads)})
            case ["topic", post_id] if thread := self.community.thread(post_id):
                replies = [_shown(answer, answer.answer_id) for answer in thread.answers]
                return Response(200, {"title": thread.title, "first": _shown(thread, post_id), "replies": replies})
        return Response(404, {"wrong": "nothing here"})


def _shown(item: LiveItem, item_id: str) -> dict[str, object]:
    by = item.author if item.state == "live" else None
    return {"id": item_id, "by": by, "text": item.body, "at": item.created_s, "likes": item.score}
