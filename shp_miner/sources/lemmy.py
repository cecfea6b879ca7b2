"""Lemmy: the communities of one instance, through API v4 (Lemmy 1.0) if available, else v3. No account is needed.

Instances count votes separately and may not hear of deletions elsewhere, so a community is read on its home instance
only. A deleted or removed item stays as a marked stub, or is not returned any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from shp_miner.errors import BadInput, Error, NotAllowed
from shp_miner.platforms.communities import undecorated_name
from shp_miner.platforms.items import Answer, ItemState, Post, Role, Thread
from shp_miner.sources.access import Access, http_of, site_and_url
from shp_miner.sources.evidence import Door, Meanings, at_the_door, refusals_as_evidence
from shp_miner.sources.http import Http, Refused, Unexpected
from shp_miner.sources.lemmy_v3 import V3
from shp_miner.sources.lemmy_v4 import V4, Api, Comment, CommentView, Person, PostView
from shp_miner.sources.lemmy_v4 import Post as LemmyPost
from shp_miner.sources.limits import Limits
from shp_miner.sources.software import other_software
from shp_miner.sources.source import Items, Listed, Listing, Unreadable
from shp_miner.text.notices import notice_state

#: No documented number that holds for every instance: small machines, run by volunteers.
LIMITS = Limits(requests=60, interval_s=60, burst=5)

#: However much is asked for, a page of direct replies ends here (db_views/comment in Lemmy's source code).
CAP = 300

_OTHER_SORTS = ("Top", "Hot", "Controversial")
_NO_SUCH = frozenset({"couldnt_find_post", "couldnt_find_community", "not_found"})
_PRIVATE = "instance_is_private"

#: What refusals of one post mean. Only Lemmy's own words make a post missing: it answers with status 400 as with 404,
#: and so do others in its place. What is deleted or removed is handed out with a flag that says so.
MEANINGS = Meanings(
    words={**dict.fromkeys(sorted(_NO_SUCH), "missing"), _PRIVATE: "closed"},
    statuses={401: "closed", 403: "forbidden"},
    own={"error": str},
)

#: Who may read, in the words of 0.19 and 1.0, where it is not everybody.
_MEMBERS_ONLY = frozenset({"localonly", "localonlyprivate", "private"})
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?(Z|[+-][0-9]{2}:[0-9]{2})?")


@contextmanager
def opened(access: Access) -> Iterator[Lemmy]:
    """Open an instance. See registry.Module."""
    site, url = site_and_url(Lemmy.name, access)
    with http_of(url, LIMITS, access) as http:
        yield Lemmy(http, site)


class Lemmy:
    """The communities of one instance.

    `site` is its host; `http` sends its requests. See shp_miner.sources.source.
    """

    name = "lemmy"
    platform = "lemmy"
    order: Literal["oldest", "newest"] = "newest"
    lists_activity = False
    ids_per_request = 0
    looks_up = False
    tells_the_past = False

    def __init__(self, http: Http, site: str) -> None:
        self.site = site
        self._http = http
        self._found: Api | None = None
        self._door = Door(self._open, lambda _, post_id: self._post(post_id), site)

    def verify(self, community: str) -> str:
        """Return the name as the instance writes it.

        BadInput: the community does not exist, is closed, or is elsewhere.
        """
        name = self._local_name(community)
        try:
            found = self._api().community(name)
        except (Refused, Unexpected) as error:
            if _reason(error) in _NO_SUCH:
                raise BadInput(
                    f"There is no community {name} on {self.site}, or it was removed.",
                    f"https://{self.site}/communities lists its communities.",
                ) from error
            raise self._named(error) from error
        if found.removed or found.deleted:
            by = "its moderators" if found.deleted else "the instance's administrators"
            raise BadInput(
                f"The community {name} on {self.site} was closed by {by}.", "Leave it out: nothing can be read there."
            )
        if found.visibility.replace("_", "").lower() in _MEMBERS_ONLY:
            raise NotAllowed(
                f"The community {name} on {self.site} is open to its members only.", "Choose a public community."
            )
        if not found.local:
            raise self._elsewhere(name, urlsplit(found.ap_id).hostname or "another instance")
        return found.name

    def _open(self, community: str) -> list[Listed]:
        """The newest posts of a community that everybody may read. Raises as `verify`."""
        self.verify(community)
        return self.listing(community, since=None, token=None).threads

    def listing(self, community: str, *, since: int | None, token: str | None) -> Listing:  # noqa: ARG002
        """Return a page of posts, newest first. Lemmy cannot start at a time, so `since` is not used."""
        name = self._local_name(community)
        try:
            page = self._api().posts(name, token)
        except (Refused, Unexpected) as error:
            raise self._named(error) from error
        for view in page.items:
            if view.community.name.lower() != name.lower():
                raise BadInput(
                    f"{self.site} lists posts of {view.community.name} instead of {name}.",
                    "This release of Lemmy is not supported; please report its version.",
                )
        listed = [_listed(view.post) for view in page.items]
        return Listing(listed, page.next_page if listed else None)

    def thread(self, community: str, post_id: str) -> Thread:
        """Return the post and its direct replies, in two requests; more from 300 replies on."""
        try:
            view = self._post(post_id)
        except Unreadable as refused:
            raise self._door.judged(community, post_id, refused) if community else refused from None
        self._door.opened(community)
        with refusals_as_evidence(MEANINGS):
            comments, missing = _Replies(self._api(), post_id, view.post.comments).read()
        return Thread(_post(view), [_answer(comment, view.post) for comment in comments], missing)

    def _post(self, post_id: str) -> PostView:
        try:
            with refusals_as_evidence(MEANINGS):
                return self._api().post(post_id)
        except NotAllowed as error:
            raise Unreadable("closed", error.message) from error

    def again(self, post_ids: Sequence[str], answer_ids: Sequence[tuple[str, str]]) -> Items:
        """Return items by id. Lemmy has no call for many ids, so their threads are read."""
        found = Items([], [])
        wanted = set(answer_ids)
        for post_id in dict.fromkeys([*post_ids, *(post for post, _ in answer_ids)]):
            try:
                thread = self.thread("", post_id)
            except Unreadable as refused:
                if refused.evidence == "missing":
                    continue
                raise  # a closed door, or a web page, is no word on the items behind it
            if post_id in post_ids:
                found.posts.append(thread.post)
            found.answers.extend(a for a in thread.answers if (a.post_id, a.answer_id) in wanted)
        return found

    def _api(self) -> Api:
        """The version of the API that the instance speaks, found out once."""
        if self._found is None:
            refusals: list[Error] = []
            versions: tuple[Api, ...] = (V4(self._http), V3(self._http))
            for version in versions:
                try:
                    site = version.site()
                except (BadInput, Refused) as error:
                    refusals.append(error)
                    continue
                if site.site_view.local_site.private_instance:
                    raise self._private()
                self._found = version
                break
            else:
                raise self._no_lemmy(refusals)
        return self._found

    def _no_lemmy(self, refusals: Sequence[Error]) -> Error:
        for error in refusals:
            if isinstance(error, NotAllowed):
                return at_the_door(error, MEANINGS) or error
        wall = at_the_door(refusals[-1], MEANINGS)
        return wall or other_software(self._http, self.site, self.name, refusals[-1])

    def _private(self) -> NotAllowed:
        return NotAllowed(
            f"The instance {self.site} is private: only users with an account can read it.", "Choose a public instance."
        )

    def _named(self, error: Refused | Unexpected) -> Error:
        return self._private() if _reason(error) == _PRIVATE else at_the_door(error, MEANINGS) or error

    def _local_name(self, community: str) -> str:
        """The name without what people write before and after it. BadInput for a community of another instance."""
        name, _, host = undecorated_name(community).partition("@")
        if host and host.lower() != self.site.lower():
            raise self._elsewhere(name, host)
        return name

    def _elsewhere(self, name: str, host: str) -> BadInput:
        return BadInput(
            f"The community {name} belongs to {host}; {self.site} has a copy with other scores.",
            f"Crawl it there: {name}@{host} with the site {host}.",
        )


class _Replies:
    """Collects the direct replies of a post, whatever the instance cuts off. `counted` is the post's own count."""

    def __init__(self, api: Api, post_id: str, counted: int) -> None:
        self._api, self._post_id, self._counted = api, post_id, counted
        self._found: dict[int, CommentView] = {}

    def read(self) -> tuple[list[CommentView], int]:
        """The direct replies, ordered by id, and how many comments are known to be missing."""
        # From both ends of time: where the two meet there is nothing in between.
        newest, full = self._sorted("New")
        if full or self._uncounted() > 0:
            oldest, _ = self._sorted("Old")
            if not newest & oldest and not self._page_through():
                for sort in _OTHER_SORTS:
                    self._sorted(sort)
                return self._by_id(), max(0, self._uncounted())
        return self._by_id(), 0

    def _sorted(self, sort: str) -> tuple[set[int], bool]:
        """Read the replies in one order: which they are but for distinguished ones, and whether the last page was full.

        Distinguished replies stand before others in some releases, so they say nothing about what lies in between.
        """
        seen: set[int] = set()
        token: str | None = None
        while True:
            page = self._api.answers(self._post_id, sort, token)
            before = len(self._found)
            self._keep(page.items)
            seen.update(view.comment.id for view in page.items if not view.comment.distinguished)
            token = page.next_page
            full = len(page.items) >= CAP
            # Some releases name a next page even where this one was the last.
            last = token is None or not page.items or not (full or self._uncounted() > 0)
            if last or len(self._found) == before:
                return seen, full

    def _page_through(self) -> bool:
        """Read all comments page by page. False where the instance has no second page, as in 1.0's copy of v3."""
        seen: set[int] = set()
        token: str | None = None
        while True:
            page = self._api.comments(self._post_id, token)
            ids = {view.comment.id for view in page.items}
            if page.items and ids <= seen:
                return False
            seen |= ids
            self._keep(page.items)
            token = page.next_page
            if token is None or not page.items:
                return True

    def _keep(self, views: Sequence[CommentView]) -> None:
        for view in views:
            if view.comment.path.count(".") == 1:
                self._found.setdefault(view.comment.id, view)

    def _uncounted(self) -> int:
        """How many live comments, at any depth, the post counts beyond those found and what is below them."""
        comments = [view.comment for view in self._found.values()]
        return self._counted - sum(
            comment.child_count + (not (comment.deleted or comment.removed)) for comment in comments
        )

    def _by_id(self) -> list[CommentView]:
        return sorted(self._found.values(), key=lambda view: view.comment.id)


def _reason(error: Refused | Unexpected) -> str:
    """Lemmy's name for what went wrong, empty where the answer is not Lemmy's."""
    try:
        return msgspec.json.decode(error.body, type=_Refusal).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


class _Refusal(msgspec.Struct):
    error: str


def _listed(post: LemmyPost) -> Listed:
    return Listed(str(post.id), _time_us(post.published_at), post.featured_community or post.featured_local)


def _post(view: PostView) -> Post:
    post = view.post
    votes = post.upvotes + post.downvotes
    state = _state(post)
    return Post(
        **_shared(post, view.creator),
        post_id=str(post.id),
        title=post.name if state == "live" else "",
        body=(post.body or "") if state == "live" else "",
        author_role="bot" if view.creator.bot_account else "member",
        stickied=post.featured_community or post.featured_local,
        is_text=post.url is None,
        nsfw=post.nsfw,
        upvote_ratio=post.upvotes / votes if votes > 0 else None,
    )


def _answer(view: CommentView, post: LemmyPost) -> Answer:
    comment = view.comment
    return Answer(
        **_shared(comment, view.creator),
        post_id=str(comment.post_id),
        answer_id=str(comment.id),
        body=comment.content if _state(comment) == "live" else "",
        author_role=_role(view),
        # Distinguished replies stand above all others.
        stickied=comment.distinguished,
        by_post_author=comment.creator_id == post.creator_id,
    )


def _shared(item: LemmyPost | Comment, creator: Person) -> dict[str, Any]:
    """The fields that posts and comments have in common. A deleted account is named no more."""
    named = not creator.deleted
    host = "" if creator.local else f"@{urlsplit(creator.ap_id).hostname}"
    return {
        "created_at": _time_us(item.published_at),
        "body_format": "markdown",
        "score": item.score,
        "upvotes": item.upvotes,
        "downvotes": item.downvotes,
        "author": creator.name + host if named else None,
        "author_id": str(creator.id) if named else None,
        "author_url": creator.ap_id if named else None,
        "url": item.ap_id,
        "state": _state(item),
        "edited": item.updated_at is not None,
    }


def _state(item: LemmyPost | Comment) -> ItemState:
    if item.deleted or item.removed:
        return "deleted" if item.deleted else "removed"
    text = item.content if isinstance(item, Comment) else item.body or ""
    return notice_state("lemmy", text) or "live"


def _role(view: CommentView) -> Role:
    """As what the author spoke: those who run the place do so in distinguished comments."""
    if view.creator.bot_account:
        return "bot"
    if not view.comment.distinguished:
        return "member"
    return "admin" if view.creator_is_admin else "moderator"


def _time_us(text: str) -> int:
    """Microseconds since 1970. A time without zone is UTC; digits beyond microseconds are cut. Raises BadInput."""
    parts = _TIME.fullmatch(text)
    try:
        if parts is None:
            raise ValueError(text)
        time = datetime.fromisoformat(parts[1] + (parts[3] or "Z"))
    except ValueError as error:
        raise BadInput(
            f"A time in an answer of this Lemmy instance cannot be read: {text!r:.40}.",
            "This release of Lemmy is not supported; please report its version.",
        ) from error
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1) + int((parts[2] or "0").ljust(6, "0")[:6])
