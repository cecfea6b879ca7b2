"""Reddit through its API, with an app of the user's own. PRAW keeps the token; the requests are its read calls.

PRAW's objects are not used: a missing attribute makes them send another request, and a changed type is not noticed.
`reddit_answers` decodes the answers instead.

A thread is requested with `depth=1`, so all of the 500 comments in an answer are direct replies, the highest scores
first. The rest are named in a stub ("more"), and /api/morechildren returns them, 100 at a time. Comments that it leaves
out are looked up by id: comments that were removed before anybody replied are in stubs and in no answer. "Continue this
thread" stubs hide only replies to replies. A comment that is named, not returned and not gone counts as missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Any, Literal, NoReturn, TypeVar

import msgspec
import praw.exceptions
import prawcore
import requests

from shp_miner.errors import BadInput, NotAllowed, TryLater
from shp_miner.model import CLOCK_SKEW
from shp_miner.platforms.items import Answer, Post, Thread
from shp_miner.platforms.reddit import SITE
from shp_miner.sources import reddit_answers
from shp_miner.sources.access import Access
from shp_miner.sources.attempts import Silent
from shp_miner.sources.evidence import Meanings
from shp_miner.sources.limits import Limits
from shp_miner.sources.losing import each_record
from shp_miner.sources.pace import SYSTEM, Budget, Clock, Clocks
from shp_miner.sources.reddit_answers import ANSWER_KIND, POST_KIND, Thing, plain_name
from shp_miner.sources.reddit_praw import API_URL, LOGIN_URL, Credentials, Gate, Refused, TokenExpired, connect_praw
from shp_miner.sources.source import Items, Listed, Listing, Unreadable
from shp_miner.tally import Lost

#: 100 a minute and client, averaged over ten minutes (Reddit's API rules); PRAW paces itself by the headers as well. A
#: budget used up in those ten minutes is worth waiting for.
LIMITS = Limits(requests=100, interval_s=60, burst=10, max_wait_s=660.0)

#: Reddit's own figures: threads in a page, comments in a tree, ids at a time.
_PAGE, _TREE, _IDS = 100, 500, 100

#: A listing holds 1,000 threads, less those that were deleted since. One that ends from here on was cut by that.
_CAPPED_FROM = 800

_INFO, _MORE = "api/info", "api/morechildren"

#: Listings that look like communities.
_NONE = ("all", "popular")
_CLOSED = {
    "private": ("is private: only its members may read it", "Leave it out, or ask its moderators for a dump."),
    "quarantined": ("is quarantined: only people who opted in may read it", "Leave it out."),
    "gated": ("is gated: only people who opted in may read it", "Leave it out."),
    "gold_only": ("is open to subscribers of Reddit only", "Leave it out."),
}

#: What refusals of one thread mean. What was deleted or removed is handed out as a stub that says so.
MEANINGS = Meanings(
    words=dict.fromkeys(("private", "banned", "quarantined", "gated", "gold_only"), "closed"),
    statuses={401: "closed", 403: "forbidden", 404: "missing", 410: "missing"},
)

_REFUSED_HINT = "Check the client id and secret (reddit.com/prefs/apps) and that Reddit has approved the app."
_REPORT_HINT = "Reddit's API may have changed; please report this."

T = TypeVar("T")


@contextmanager
def opened(access: Access) -> Iterator[Reddit]:
    """Open Reddit. Raises NotAllowed without credentials. See registry.Module."""
    with Reddit(
        Credentials.find(),
        oauth_url=access.url or API_URL,
        reddit_url=access.url or LOGIN_URL,
        limits=LIMITS,
        clocks=access.clocks,
        clock=access.clock,
        budget=access.budget,
        allow_private=access.allow_private,
    ) as reddit:
        yield reddit


def require_credentials(environment: Mapping[str, str]) -> None:
    """Raise NotAllowed if an app's credentials are missing or cannot be right. See registry.Guarded."""
    Credentials.find(environ=environment).header()


class Reddit:
    """Reddit as a source; see source.Source. Listings go from now into the past and cannot start at a time.

    `reddit_url` gives out tokens, `oauth_url` is the API. No request is sent before the first call.
    """

    name = "reddit"
    platform = "reddit"
    site = SITE
    order: Literal["newest"] = "newest"
    lists_activity = False
    ids_per_request = _IDS
    looks_up = True
    tells_the_past = False

    def __init__(
        self,
        credentials: Credentials,
        *,
        oauth_url: str = API_URL,
        reddit_url: str = LOGIN_URL,
        limits: Limits = LIMITS,
        clocks: Clocks | None = None,
        clock: Clock = SYSTEM,
        budget: Budget | None = None,
        allow_private: bool = False,
    ) -> None:
        self._credentials = credentials
        self._urls = {"api_url": oauth_url, "login_url": reddit_url}
        self._clock = clock
        self._gate = Gate(
            **self._urls, limits=limits, clocks=clocks, clock=clock, budget=budget, allow_private=allow_private
        )
        self._praw = connect_praw(credentials, self._gate, **self._urls)

    def __enter__(self) -> Reddit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._gate.close()

    @property
    def requests(self) -> int:
        """The number of requests sent so far, with those for tokens and repetitions."""
        return self._gate.requests

    def verify(self, community: str) -> str:
        """See Source."""
        name = plain_name(community, besides=_NONE)
        path = f"r/{name}/about"
        try:
            answer = self._ask("GET", path)
        except Refused as refused:
            _closed(name, refused)
        about: reddit_answers.Subreddit = _decoded(path, partial(msgspec.convert, answer, reddit_answers.Subreddit))
        return about.data.display_name

    def listing(self, community: str, *, since: int | None, token: str | None) -> Listing:  # noqa: ARG002
        """See Source. A token is the count of threads listed before and the name of the last of them."""
        name = plain_name(community, besides=_NONE)
        path = f"r/{name}/new"
        count, _, after = (token or "0:").partition(":")
        params: dict[str, str | int] = {"limit": _PAGE} | ({"after": after} if after else {})
        try:
            answer = self._ask("GET", path, params=params)
        except Refused as refused:
            _closed(name, refused)
        page = _decoded(path, partial(msgspec.convert, answer, reddit_answers.Listing)).data
        posts = [post for post, _ in self._posts(path, page.children)]
        listed = int(count) + len(posts)
        following = f"{listed}:{page.after}" if page.after and page.after != after else None
        capped = None
        if following is None and listed >= _CAPPED_FROM:
            capped = (
                f"Reddit's listing of r/{name} ended after {listed:,} threads; it holds no more than about 1,000. "
                "Find older threads in dumps and archives."
            )
        return Listing([Listed(post.post_id, post.created_at) for post in posts], following, capped)

    def thread(self, community: str, post_id: str) -> Thread:
        """See Source. A web page or a refusal is evidence as in MEANINGS."""
        path = f"comments/{post_id}"
        try:
            answer = self._ask("GET", path, params={"limit": _TREE, "depth": 1, "sort": "top"})
        except Refused as refused:
            evidence = MEANINGS.of(refused, refused.reason)
            if evidence is None:
                _closed(plain_name(community, besides=_NONE), refused)
            raise Unreadable(evidence, refused.message) from refused
        except Silent as silent:
            raise Unreadable("wall", silent.message) from silent
        pages = _decoded(path, partial(msgspec.convert, answer, list[reddit_answers.Listing]))
        posts = self._posts(path, pages[0].data.children) if len(pages) == 2 else []
        post, contest = next((candidate for candidate in posts if candidate[0].post_id == post_id), (None, False))
        if post is None:
            raise BadInput(f"Reddit answered /{path} without the requested post.", _REPORT_HINT)
        answers, missing = self._answers(path, post_id, pages[1].data.children)
        if contest:
            _hide(answers)
        return Thread(post, answers, missing)

    def again(self, post_ids: Sequence[str], answer_ids: Sequence[tuple[str, str]]) -> Items:
        """See Source. An item that Reddit leaves out is not proof of a deletion: its community may be closed.

        So the threads of such items are requested, and a closed community raises NotAllowed.
        """
        names = [f"t3_{post_id}" for post_id in post_ids]
        posts, answers = self._info([*names, *(f"t1_{answer_id}" for _, answer_id in answer_ids)])
        _hide(
            [
                answer
                for answer in answers
                if (answer.post_id, True) in {(post.post_id, contest) for post, contest in posts}
            ]
        )
        readable = {post.post_id for post, _ in posts} | {answer.post_id for answer in answers}
        there = {answer.answer_id for answer in answers}
        absent = [*post_ids, *(post_id for post_id, answer_id in answer_ids if answer_id not in there)]
        for post_id in dict.fromkeys(absent):
            if post_id not in readable:
                self._confirm(post_id)
        return Items([post for post, _ in posts], answers)

    def _confirm(self, post_id: str) -> None:
        """Raise NotAllowed where a thread is only hidden from us, TryLater where a wall stands before it."""
        try:
            self._ask("GET", f"comments/{post_id}", params={"limit": 1, "depth": 1})
        except Refused as refused:
            if MEANINGS.of(refused, refused.reason) != "missing":
                _closed("", refused)

    def _answers(self, path: str, post_id: str, things: list[Thing]) -> tuple[list[Answer], int]:
        """The direct replies in a tree and behind its stubs, and how many were named and not given."""
        fullname = f"t3_{post_id}"
        found = self._direct(path, things)
        named: dict[str, None] = {}
        missing = 0
        asked: set[str] = set()
        more = _decoded(path, partial(reddit_answers.stubs, things, fullname))
        while True:
            named |= dict.fromkeys(child for stub in more for child in stub.children)
            missing += sum(max(stub.count, 1) for stub in more if not stub.children)
            batch = list(islice((child for child in named if child not in asked and child not in found), _IDS))
            if not batch:
                break
            asked.update(batch)
            things = self._more(fullname, batch)
            found |= self._direct(path, things)
            more = _decoded(path, partial(reddit_answers.stubs, things, fullname))
        left = [child for child in named if child not in found]
        # What is not in the look-up either is gone: Reddit counts it no longer.
        found |= self._direct(_INFO, self._look_up([f"t1_{child}" for child in left]))
        return [answer for answer in found.values() if answer.post_id == post_id], missing

    def _more(self, fullname: str, ids: list[str]) -> list[Thing]:
        """What /api/morechildren has for the ids. Reddit allows one such request at a time."""
        data = {"link_id": fullname, "children": ",".join(ids), "limit_children": "true", "sort": "top"}
        answer = self._asked("POST", _MORE, data=data)
        decoded: reddit_answers.MoreChildren = _decoded(
            _MORE, partial(msgspec.convert, answer, reddit_answers.MoreChildren)
        )
        inside = decoded.json
        if inside.errors or inside.data is None:
            word = next((error[0] for error in inside.errors or [] if error), None)
            raise TryLater(
                f"Reddit did not send more comments of a thread ({word}).", "Run the same command again later."
            )
        return inside.data.things

    def _info(self, names: list[str]) -> tuple[list[tuple[Post, bool]], list[Answer]]:
        """Posts (with whether they are in contest mode) and answers by full name, those that there are."""
        things = self._look_up(names)
        return self._posts(_INFO, things), self._each(_INFO, things, ANSWER_KIND, reddit_answers.answer)

    def _look_up(self, names: list[str]) -> list[Thing]:
        found: list[Thing] = []
        for start in range(0, len(names), _IDS):
            answer = self._asked("GET", _INFO, params={"id": ",".join(names[start : start + _IDS])})
            page = _decoded(_INFO, partial(msgspec.convert, answer, reddit_answers.Listing))
            found.extend(page.data.children)
        return found

    def _posts(self, path: str, things: Iterable[Thing]) -> list[tuple[Post, bool]]:
        return self._each(path, things, POST_KIND, reddit_answers.post)

    def _direct(self, path: str, things: list[Thing]) -> dict[str, Answer]:
        direct = _decoded(path, partial(reddit_answers.direct, things, self._latest_us()))
        return {answer.answer_id: answer for answer in direct}

    def _each(self, path: str, things: Iterable[Thing], kind: str, decode: Callable[[Any, int], T]) -> list[T]:
        latest_us = self._latest_us()
        found = [thing.data for thing in things if thing.kind == kind]
        return _decoded(path, lambda: each_record(found, lambda data: decode(data, latest_us)))

    def _latest_us(self) -> int:
        return int((self._clock.now() + CLOCK_SKEW.total_seconds()) * 1_000_000)

    def _asked(self, method: str, path: str, **kwargs: Any) -> Any:
        """As `_ask`, where no refusal means anything but what it is."""
        try:
            return self._ask(method, path, **kwargs)
        except Refused as refused:
            _closed("", refused)

    def _ask(self, method: str, path: str, **kwargs: Any) -> Any:
        """The answer to a request of the API, with a new token if the old one is no longer good. Raises Refused."""
        try:
            return self._answer(method, path, **kwargs)
        except TokenExpired:
            # A fresh PRAW asks for a token first. Its own renewal would sleep on a clock that nobody can set.
            self._praw = connect_praw(self._credentials, self._gate, **self._urls)
        try:
            return self._answer(method, path, **kwargs)
        except TokenExpired:
            raise NotAllowed("Reddit refused the token that it had just given.", _REFUSED_HINT) from None

    def _answer(self, method: str, path: str, **kwargs: Any) -> Any:
        try:
            return self._praw.request(method=method, path=path, **kwargs)
        except Refused as refused:
            if refused.path.endswith("/access_token") and not refused.page:
                status = refused.status
                raise NotAllowed(f"Reddit refused the credentials (status {status}).", _REFUSED_HINT) from None
            raise
        except prawcore.OAuthException as error:
            word = str(error.error)[:40]
            raise NotAllowed(f"Reddit refused the credentials ({word}).", _REFUSED_HINT) from None
        except (prawcore.PrawcoreException, praw.exceptions.PRAWException, requests.RequestException) as error:
            what = type(error).__name__
            raise BadInput(
                f"The answer to /{path} is not from Reddit's API: it is not JSON ({what}).",
                "A proxy or a login page of the network may be in the way.",
            ) from None
        except (KeyError, TypeError) as error:
            raise BadInput(f"Reddit's answer to the request for a token has no {error}.", _REPORT_HINT) from None


def _decoded(path: str, decode: Callable[[], T]) -> T:
    """What `decode` makes of an answer. Raises BadInput that names the field which is missing or of another type."""
    try:
        return decode()
    except msgspec.ValidationError as error:
        raise BadInput(f"Reddit answered /{path} in an unknown shape: {error}.", _REPORT_HINT) from None
    except Lost as lost:
        hint = "Check this machine's clock." if lost.reason == "time_in_future" else _REPORT_HINT
        raise BadInput(f"Reddit answered /{path} with an invalid value: {lost.what}.", hint) from None


def _closed(community: str, refused: Refused) -> NoReturn:
    """Say why a community cannot be read. Raises NotAllowed, BadInput, or TryLater before a wall."""
    if refused.page or (refused.status in (401, 403) and not refused.spoken):
        _wall(refused)
    subject = f"r/{community}" if community else "The community of a thread"
    if refused.reason == "banned":
        raise BadInput(f"{subject} was banned by Reddit.", "Leave it out.") from None
    if refused.status in (302, 404):
        raise BadInput(
            f"Reddit has no {subject}." if community else "Reddit has no such thread.", "Check the spelling."
        ) from None
    if refused.status in (401, 403):
        told = _CLOSED.get(refused.reason)
        if told:
            raise NotAllowed(f"{subject} {told[0]}.", told[1]) from None
        reason = f", reason {refused.reason}" if refused.reason else ""
        raise NotAllowed(f"Reddit refused {refused.path} (status {refused.status}{reason}).", _REFUSED_HINT) from None
    raise BadInput(f"Reddit answered {refused.path} with status {refused.status}.", _REPORT_HINT) from None


def _wall(refused: Refused) -> NoReturn:
    """A web page stands where Reddit's API should."""
    if refused.status in (401, 403) or refused.what() == "a check for robots":
        raise TryLater(
            refused.message, "A guard before Reddit blocks programs. Run the same command again later."
        ) from None
    raise BadInput(
        f"Reddit answered {refused.path} with {refused.what()} instead of JSON.",
        "A proxy or a login page of the network may be in the way.",
    ) from None


def _hide(answers: Iterable[Answer]) -> None:
    """In contest mode every score is shown as 1, so none is known."""
    for answer in answers:
        answer.score = None
