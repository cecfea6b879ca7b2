"""Stack Exchange: a site's questions and answers through API 2.3, with a key (10,000 requests a day) or without (300).

The API answers for many ids at once, so `threads` reads a hundred questions in a few requests. Deleted items are
absent. Requests are grouped by method ("/questions/{ids}") because the API asks for pauses by method.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any, Generic, Literal, TypeVar

import msgspec

from shp_miner.errors import BadInput, Error, NotAllowed, TryLater
from shp_miner.platforms.items import Answer, Post, Thread
from shp_miner.platforms.stackexchange import COMMUNITY_USER, license_by_date
from shp_miner.sources.access import Access, http_of, site_and_url
from shp_miner.sources.evidence import Meanings, at_the_door, refusals_as_evidence
from shp_miner.sources.http import Http, Params, Refused, Unexpected
from shp_miner.sources.limits import Limits, Wait
from shp_miner.sources.source import Items, Listed, Listing, Unreadable
from shp_miner.sources.table import ROWS

_Found = TypeVar("_Found")

URL = "https://api.stackexchange.com"

#: The variable that holds a key for more requests a day; it is no secret, but nobody else's business either.
KEY = ROWS["stackexchange"].credentials[0].variable

#: The community that is a whole site.
WHOLE_SITE = ROWS["stackexchange"].whole_site

#: The most items on a page, and the most ids in one request.
_PAGE_SIZE = 100

#: Answers asked for together: without a key the API ends at page 25 of 100.
_ANSWERS_TOGETHER = 2_000

#: The built-in filter that adds bodies to the fields of the default one. No built-in filter gives up- and down-votes
#: apart, and a filter of our own would have to be registered with the API.
_WITH_BODIES = "withbody"

_US = 1_000_000

#: What refusals of one question mean. A question that is gone is absent; where the API refuses, it refuses all of them.
MEANINGS = Meanings(statuses={401: "closed", 403: "closed"})

#: error_id of what is a matter of keys and tokens, of an unknown method or site, and of a bad moment of the API. All of
#: them come with status 400.
_KEY_ERRORS = frozenset({401, 402, 403, 405, 406})
_UNKNOWN = 404
_BAD_MOMENT = frozenset({500, 503})


class _Wrapper(msgspec.Struct):
    backoff: float | None = None
    quota_remaining: int | None = None
    error_name: str | None = None
    error_message: str | None = None


_WRAPPER = msgspec.json.Decoder(_Wrapper)
_AVAILABLE_IN = re.compile(r"available in (\d+) second")


def signals(body: bytes, headers: Mapping[str, str], status: int, now: float) -> Wait | None:  # noqa: ARG001
    """Read a wait from a body: `backoff` for the method, an empty quota until midnight UTC, a throttle for its time."""
    try:
        wrapper = _WRAPPER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if wrapper.error_name == "throttle_violation":
        told = _AVAILABLE_IN.search(wrapper.error_message or "")
        if told:
            return Wait(now + float(told[1]), "reports too many requests from this address (throttle)", retry=True)
        # Without a time it is the quota of the day.
        return Wait(_next_midnight(now), "reports that the daily quota is used up", retry=True)
    if wrapper.quota_remaining is not None and wrapper.quota_remaining <= 0:
        return Wait(_next_midnight(now), "reports that the daily quota is used up", retry=status >= 400)
    if wrapper.backoff is not None and wrapper.backoff > 0:
        why = f"asks for a pause of {wrapper.backoff:.0f} s (backoff)"
        return Wait(now + wrapper.backoff, why, method_only=True, retry=status >= 400)
    return None


def _next_midnight(now: float) -> float:
    day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (day + timedelta(days=1)).timestamp()


#: 30 a second get an address banned; the daily quota is the real limit.
LIMITS = Limits(requests=120, interval_s=60, burst=5, pause_s=0.1, signals=signals)


@contextmanager
def opened(access: Access) -> Iterator[StackExchange]:
    """Open a site, with the key for more requests a day if there is one. See registry.Module."""
    site, _ = site_and_url(StackExchange.name, access)
    key = os.environ.get(KEY) or None
    with http_of(access.url or URL, LIMITS, access, [key] if key else []) as http:
        yield StackExchange(http, site, key)


class _Refusal(msgspec.Struct):
    error_id: int
    error_name: str = ""
    error_message: str = ""


class _Owner(msgspec.Struct):
    """Who posted. Without `user_id` the account is gone."""

    user_id: int | None = None
    display_name: str | None = None
    link: str | None = None


class _Seen(msgspec.Struct, kw_only=True):
    """What questions and answers have in common. Times are seconds since 1970."""

    body: str
    score: int
    creation_date: int
    question_id: int
    last_edit_date: int | None = None
    content_license: str | None = None
    owner: _Owner | None = None


class _Question(_Seen, kw_only=True):
    title: str
    answer_count: int
    last_activity_date: int
    view_count: int | None = None

    @property
    def item_id(self) -> str:
        return str(self.question_id)


class _Answer(_Seen, kw_only=True):
    answer_id: int
    is_accepted: bool

    @property
    def item_id(self) -> str:
        return str(self.answer_id)


_Item = TypeVar("_Item", _Question, _Answer)


class _Changed(msgspec.Struct):
    question_id: int
    last_activity_date: int


class _Page(msgspec.Struct, Generic[_Found]):
    items: list[_Found]
    has_more: bool


class StackExchange:
    """One site, read through the API that serves them all. See shp_miner.sources.source.

    `site` is the host, as `sites.site_of` gives it; `http` asks the API. A community is a tag, or "all" for the site.
    """

    name = "stackexchange"
    platform = "stackexchange"
    order: Literal["oldest", "newest"] = "oldest"
    lists_activity = True
    ids_per_request = _PAGE_SIZE
    looks_up = True
    tells_the_past = False

    #: How many threads one call of `threads` takes.
    threads_per_request = _PAGE_SIZE

    def __init__(self, http: Http, site: str, key: str | None = None) -> None:
        self.site = site
        self._http = http
        self._key = key

    def verify(self, community: str) -> str:
        """Return the tag, or the site's host for the whole site, as in dumps. BadInput if there is no question."""
        tag = self._tag(community)
        found = self._ask("/questions", _Changed, {"tagged": tag, "pagesize": 1})
        if not found.items:
            of = f" tagged {tag}" if tag else "s"
            raise BadInput(f"{self.site} has no question{of}.", f"https://{self.site}/tags lists the tags.")
        return tag or self.site

    def listing(self, community: str, *, since: int | None, token: str | None) -> Listing:
        """Return a page of questions by last activity, oldest first. Questions of one second may be listed twice."""
        since_s, number = map(int, token.split(":")) if token else ((since or 0) // _US, 1)
        place: Params = {"sort": "activity", "order": "asc", "min": since_s, "page": number, "pagesize": _PAGE_SIZE}
        page = self._ask("/questions", _Changed, {**place, "tagged": self._tag(community)})
        listed = [Listed(str(seen.question_id), seen.last_activity_date * _US) for seen in page.items]
        if not page.has_more or not listed:
            return Listing(listed)
        # The next page starts where this one ends, in time: by number, each question that moved up because somebody
        # answered it would push another one out of sight. Numbers only where one second fills more than a page.
        last_s = max(seen.last_activity_date for seen in page.items)
        return Listing(listed, f"{last_s}:1" if last_s > since_s else f"{since_s}:{number + 1}")

    def thread(self, community: str, post_id: str) -> Thread:
        """Return a question with its answers. `threads` does this for many in as many requests."""
        with refusals_as_evidence(MEANINGS):
            found = self.threads(community, [post_id])
        if not found:
            raise Unreadable("missing", f"The Stack Exchange API has no question {post_id} of {self.site}.")
        return found[0]

    def threads(self, community: str, post_ids: Sequence[str]) -> list[Thread]:  # noqa: ARG002
        """Return questions with all their answers, in the requested order, in a few requests per hundred.

        A question that is missing could not be read.
        """
        questions = self._by_ids("/questions/{ids}", post_ids, _Question)
        answers: dict[int, dict[int, _Answer]] = defaultdict(dict)
        for group in _groups(questions):
            for answer in self._answers_to(group):
                answers[answer.question_id][answer.answer_id] = answer
        return [
            Thread(
                self._post(question),
                [self._answer(answer) for answer in answers[question.question_id].values()],
                max(0, question.answer_count - len(answers[question.question_id])),
                question.last_activity_date * _US,
            )
            for question in questions
        ]

    def again(self, post_ids: Sequence[str], answer_ids: Sequence[tuple[str, str]]) -> Items:
        """Return items by id, in one request for questions and one for answers. The API does not know missing items."""
        questions = self._by_ids("/questions/{ids}", post_ids, _Question)
        answers = self._by_ids("/answers/{ids}", [answer_id for _, answer_id in answer_ids], _Answer)
        return Items([self._post(question) for question in questions], [self._answer(answer) for answer in answers])

    def _by_ids(self, method: str, ids: Sequence[str], kind: type[_Item]) -> list[_Item]:
        """The items there are of these ids, in their order, each once."""
        found: dict[str, _Item] = {}
        unique = list(dict.fromkeys(ids))
        for start in range(0, len(unique), _PAGE_SIZE):
            some = unique[start : start + _PAGE_SIZE]
            page = self._ask(method, kind, {"pagesize": _PAGE_SIZE, "filter": _WITH_BODIES}, some)
            found.update((item.item_id, item) for item in page.items)
        return [found[item_id] for item_id in unique if item_id in found]

    def _answers_to(self, question_ids: Sequence[str]) -> Iterator[_Answer]:
        """All answers to some questions, oldest first: new ones then come at the end and move no others."""
        place: Params = {"sort": "creation", "order": "asc", "pagesize": _PAGE_SIZE, "filter": _WITH_BODIES}
        number, more = 1, True
        while more:
            page = self._ask("/questions/{ids}/answers", _Answer, {**place, "page": number}, question_ids)
            yield from page.items
            number, more = number + 1, page.has_more and bool(page.items)

    def _ask(self, method: str, kind: type[_Found], params: Params, ids: Sequence[str] = ()) -> _Page[_Found]:
        path = "/2.3" + method.replace("{ids}", ";".join(ids))
        params = {**params, "site": self.site, "key": self._key}
        try:
            page: _Page[_Found] = self._http.get(path, _Page[kind], params=params, method=method)  # type: ignore[valid-type]
        except (Refused, Unexpected) as error:
            raise self._named(error) from error
        return page

    def _named(self, error: Refused | Unexpected) -> Error:
        """The refusal in our words: those of the API may repeat what was sent."""
        said = _refusal(error.body)
        if said.error_id in _KEY_ERRORS or "`key`" in said.error_message:
            return NotAllowed(
                f"The Stack Exchange API refused the request ({said.error_name}).",
                "Check the key; register an application at stackapps.com to get one.",
            )
        if said.error_id == _UNKNOWN or "site found" in said.error_message:
            return BadInput(
                f"The Stack Exchange API has no site {self.site}.",
                "Give the host of a site, such as cooking.stackexchange.com; stackexchange.com/sites lists them.",
            )
        if said.error_id in _BAD_MOMENT:
            return TryLater(f"The Stack Exchange API failed ({said.error_name}).", "Run the same command later.")
        return at_the_door(error, MEANINGS) or error

    def _tag(self, community: str) -> str | None:
        name = community.strip().lower()
        return None if name in (WHOLE_SITE, self.site) else name

    def _post(self, question: _Question) -> Post:
        return Post(
            **self._shared(question),
            title=unescape(question.title),
            views=question.view_count,
            url=f"https://{self.site}/questions/{question.question_id}",
        )

    def _answer(self, answer: _Answer) -> Answer:
        return Answer(
            **self._shared(answer),
            answer_id=str(answer.answer_id),
            accepted=answer.is_accepted,
            url=f"https://{self.site}/a/{answer.answer_id}",
        )

    def _shared(self, seen: _Seen) -> dict[str, Any]:
        """The fields that questions and answers have in common, as reading the site's dump gives them."""
        created_at = seen.creation_date * _US
        owner = seen.owner or _Owner()
        user = owner.user_id
        return {
            "post_id": str(seen.question_id),
            "created_at": created_at,
            "body": seen.body,
            "body_format": "html",
            "score": seen.score,
            "author": unescape(owner.display_name) if user is not None and owner.display_name else None,
            "author_id": None if user is None else str(user),
            "author_url": None if user is None else owner.link or f"https://{self.site}/users/{user}",
            "author_role": "bot" if user == COMMUNITY_USER else "member",
            "license": seen.content_license or license_by_date(created_at),
            "edited": seen.last_edit_date is not None,
        }


def _groups(questions: Sequence[_Question]) -> Iterator[list[str]]:
    """The ids of the questions that have answers, in groups of as many as can be asked for together."""
    group: list[str] = []
    total = 0
    for question in questions:
        if not question.answer_count:
            continue
        if group and total + question.answer_count > _ANSWERS_TOGETHER:
            yield group
            group, total = [], 0
        group.append(question.item_id)
        total += question.answer_count
    if group:
        yield group


def _refusal(body: bytes) -> _Refusal:
    """What the API says against a request; number 0 where the answer is not the API's."""
    try:
        return msgspec.json.decode(body, type=_Refusal, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Refusal(0)
