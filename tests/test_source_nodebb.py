"""NodeBB, asked over loopback: what is read, how many requests that takes, and everything that can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from html import unescape
from typing import Any

import pytest

from shp_miner.errors import BadInput, NotAllowed, TryLater
from shp_miner.forum.live import Community, LiveThread
from shp_miner.forum.serve import faults
from shp_miner.forum.serve.message import Request, Response
from shp_miner.forum.serve.nodebb import NodebbApi
from shp_miner.forum.world import World
from shp_miner.platforms.items import Answer, Thread
from shp_miner.sources.nodebb import LIMITS, NodeBB
from shp_miner.sources.source import Gone, Listed, Unreadable

from .web import Asked, Fixed, asking, grown, walk

SITE = "forum.example"
CATEGORY = "2/workbench"
T0_MS = 1_709_287_200_000


Site = Asked[NodeBB]


def served(stack: ExitStack, community: Community, view: Any = "nodebb") -> Site:
    """A forum that is served, and the source that reads it."""
    return stack.enter_context(asking(lambda http: NodeBB(http, SITE), LIMITS, view, community))


def fixed(stack: ExitStack, bodies: dict[str, Any]) -> Site:
    """A site that answers each path with the JSON it is told."""
    return served(stack, grown(0), Fixed("nodebb", bodies, Response(404, {"path": "/api", "loggedIn": False})))


def post(pid: int, **changes: Any) -> dict[str, Any]:
    return {
        "pid": pid,
        "uid": pid + 50,
        "timestamp": T0_MS + pid,
        "content": f"<p>post {pid}</p>",
        "votes": 0,
        "deleted": 0,
        "user": {"uid": pid + 50, "username": f"user{pid}", "userslug": f"user{pid}", "status": "online"},
        "something_new": [1],
    } | changes


def topic(*posts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "tid": 7,
        "title": "A &quot;title&quot; &amp; more",
        "slug": "7/a-title",
        "posts": list(posts),
        "postcount": len(posts),
        "pagination": {"pageCount": 1, "currentPage": 1},
    } | changes


def only(stack: ExitStack, body: dict[str, Any]) -> Thread:
    return fixed(stack, {"/api/topic/7": body}).source.thread(CATEGORY, "7")


def expected(thread: LiveThread) -> dict[str, tuple[int, str]]:
    return {answer.answer_id: (answer.score, answer.state) for answer in thread.answers}


def read(answers: list[Answer]) -> dict[str, tuple[int | None, str]]:
    return {answer.answer_id: (answer.score, answer.state) for answer in answers}


def test_a_first_crawl_reads_all_threads_with_the_fewest_requests(stack: ExitStack) -> None:
    site = served(stack, grown(30))
    assert site.source.verify("Workbench") == CATEGORY
    listed = walk(site.source, CATEGORY)[0]
    live = {thread.post_id: thread for thread in site.community.threads()}
    assert sorted(one.post_id for one in listed) == sorted(live)
    assert len(live) == 30
    assert [one.changed_at for one in listed[1:]] == sorted((one.changed_at for one in listed[1:]), reverse=True)
    assert [one.pinned for one in listed] == [True] + [False] * 29
    for one in listed:
        thread, truth = site.source.thread(CATEGORY, one.post_id), live[one.post_id]
        assert read(thread.answers) == expected(truth)
        assert thread.missing == 0
        assert (thread.post.title, thread.post.score, thread.post.stickied) == (truth.title, truth.score, truth.pinned)
        assert thread.post.body_format == "html"
        assert unescape(thread.post.body.replace("<p>", "").replace("</p>\n", "\n\n")) == truth.body + "\n\n"
        assert [a.answer_id for a in thread.answers if a.accepted] == list(filter(None, [truth.accepted_id]))
    pages = sum(-(-(1 + sum(1 for _ in thread.walk())) // 20) for thread in live.values())
    assert pages > 30
    # The categories, two pages of topics, and the pages of each topic.
    assert len(site.asked()) == 1 + 2 + pages
    assert site.asked()[:3] == ["/api/categories", "/api/category/2", "/api/category/2"]


def test_later_only_what_is_new_or_answered_is_listed(stack: ExitStack) -> None:
    site = served(stack, grown(45))
    first = walk(site.source, CATEGORY)[0]
    assert len(first) == 45
    mark = max(one.changed_at for one in first)
    site.community.advance(3600)
    oldest, liked = first[-1].post_id, first[-2].post_id
    site.community.answer(oldest, "A late answer.")
    site.community.vote(liked, up=5)
    asked = site.community.ask("Something new?", "Tell me.")
    before = len(site.asked())
    assert sorted(one.post_id for one in walk(site.source, CATEGORY, since=mark + 1)[0]) == sorted([oldest, asked])
    assert len(site.asked()) - before == 1
    # Votes move nothing: they are found when the thread is read again by its age.
    now = site.community.thread(liked)
    assert now is not None
    assert site.source.thread(CATEGORY, liked).post.score == now.score


def test_a_second_visit_shows_edits_votes_and_deletions(stack: ExitStack) -> None:
    site = served(stack, grown(5))
    thread = max(site.community.threads(), key=lambda one: len(one.answers))
    first, second, third = [answer.answer_id for answer in thread.answers if answer.state == "live"][:3]
    before = {answer.answer_id: answer for answer in site.source.thread(CATEGORY, thread.post_id).answers}
    site.community.edit(first, "Better <words>.")
    site.community.vote(first, down=3)
    site.community.delete(second)
    site.community.delete(third, by="moderator")
    after = {answer.answer_id: answer for answer in site.source.thread(CATEGORY, thread.post_id).answers}
    assert after[first].body == "<p>Better &lt;words&gt;.</p>\n"
    assert (before[first].edited, after[first].edited) == (False, True)
    assert after[first].score == (before[first].score or 0) - 3
    assert (after[second].state, after[second].body) == ("deleted", "")
    assert (after[third].state, after[third].body) == ("removed", "")


def evidence(site: Site, post_id: str) -> str:
    with pytest.raises(Unreadable) as unreadable:
        site.source.thread(CATEGORY, post_id)
    assert "127.0.0.1" in unreadable.value.why or SITE in unreadable.value.why
    return unreadable.value.evidence


def test_a_topic_that_is_not_there_is_missing_and_the_door_is_looked_at(stack: ExitStack) -> None:
    site = served(stack, grown(3))
    post_id = site.community.threads()[0].post_id
    site.community.delete(post_id)
    assert evidence(site, post_id) == "missing"
    # Two requests more make sure that it is the topic that does not show and not the whole category.
    assert site.asked()[:2] == [f"/api/topic/{post_id}", "/api/category/2"]
    assert len(site.asked()) == 3


@pytest.mark.parametrize("change", ["private", "banned"])
def test_a_category_that_closes_is_not_taken_for_deletions(change: str, stack: ExitStack) -> None:
    site = served(stack, grown(3))
    setattr(site.community, change, True)
    assert {evidence(site, thread.post_id) for thread in site.community.threads()} == {"closed"}


def test_a_topic_with_the_flag_is_gone(stack: ExitStack) -> None:
    with pytest.raises(Gone) as gone:
        only(stack, topic(post(1), deleted=1))
    assert gone.value.state == "deleted"


REFUSED = Response(401, {"status": {"code": "not-authorised", "message": "Log in."}, "response": {}})
NOT_FOUND = Response(404, {"path": "/topic/7", "title": "[[global:404.title]]"})


def category(*tids: int, **changes: Any) -> dict[str, Any]:
    topics = [{"tid": tid, "lastposttime": T0_MS} for tid in tids]
    return {"cid": 2, "slug": CATEGORY, "topics": topics, "pagination": {"pageCount": 1}} | changes


@pytest.mark.parametrize(
    "refused", [REFUSED, NOT_FOUND, Response(403, {"path": "/topic/7", "error": "[[global:403.message]]"})]
)
def test_topics_taken_from_guests_while_the_category_lists_them_are_closed(refused: Response, stack: ExitStack) -> None:
    alike = {f"/api/topic/{tid}": refused for tid in (7, 8, 9)}
    assert evidence(fixed(stack, {"/api/category/2": category(7, 8, 9), **alike}), "7") == "closed"
    said = category(privileges={"read": True, "topics:read": False})
    assert evidence(fixed(stack, {"/api/category/2": said, **alike}), "7") == "closed"


def test_one_refused_topic_beside_others_that_can_be_read_is_forbidden(stack: ExitStack) -> None:
    readable = {"/api/category/2": category(7, 8), "/api/topic/8": topic(post(1), tid=8)}
    assert evidence(fixed(stack, {"/api/topic/7": REFUSED, **readable}), "7") == "forbidden"
    assert evidence(fixed(stack, {"/api/topic/7": NOT_FOUND, **readable}), "7") == "missing"


def test_a_refusal_beside_no_other_topic_stays_a_closed_door(stack: ExitStack) -> None:
    assert evidence(fixed(stack, {"/api/topic/7": REFUSED, "/api/category/2": category()}), "7") == "closed"


def test_web_pages_empty_bodies_and_log_ins_say_nothing_of_a_topic(stack: ExitStack) -> None:
    html = {"content-type": "text/html"}
    readable = {"/api/category/2": category(7, 8), "/api/topic/8": topic(post(1), tid=8)}
    for status in (200, 401, 403, 404, 410):
        page = Response(status, "<!doctype html><title>Just a moment...</title>", html)
        assert evidence(fixed(stack, {"/api/topic/7": page, **readable}), "7") == "wall"
        assert evidence(fixed(stack, {"/api/topic/7": Response(status, b""), **readable}), "7") == "wall"
    to_login = Response(302, "", {"location": "/login?next=7"})
    assert evidence(fixed(stack, {"/api/topic/7": to_login, **readable}), "7") == "closed"
    away = {"/api/topic/7": Response(302, "", {"location": "/welcome"})}
    away["/welcome"] = Response(200, "<html><form><input type=password></form>", html)
    assert evidence(fixed(stack, {**away, **readable}), "7") == "closed"


def test_a_check_for_robots_before_a_category_is_not_called_closed(stack: ExitStack) -> None:
    page = Response(403, "<!doctype html><title>Just a moment...</title>", {"content-type": "text/html"})
    with pytest.raises(TryLater, match="a check for robots"):
        fixed(stack, {"/api/category/2": page}).source.verify("2")


def test_long_topics_come_page_by_page(stack: ExitStack) -> None:
    site = served(stack, Community(name="workbench", world=World(threads=0)))
    post_id = site.community.ask("How?", "Say.")
    answers = []
    for number in range(50):
        site.community.advance(60)
        answers.append(site.community.answer(post_id, f"Answer {number}."))
        if number % 10 == 0:
            site.community.answer(answers[-1], "A nested reply.")
    thread = site.source.thread(CATEGORY, post_id)
    assert [answer.answer_id for answer in thread.answers] == answers
    assert thread.missing == 0
    sent = site.forum.requests("nodebb")
    assert [(request.first("page"), request.first("sort")) for request in sent] == [
        (page, "oldest_to_newest") for page in "123"
    ]


class Shrinking(NodebbApi):
    """Its third page is gone when it is asked for."""

    def respond(self, request: Request) -> Response:
        return Response(404, {"path": "/topic/7"}) if request.first("page") == "3" else super().respond(request)


def test_posts_that_are_counted_and_not_handed_out_are_missing(stack: ExitStack) -> None:
    community = Community(name="workbench", world=World(threads=0))
    post_id = community.ask("How?", "Say.")
    for number in range(44):
        community.answer(post_id, f"Answer {number}.")
    thread = served(stack, community, Shrinking(community)).source.thread(CATEGORY, post_id)
    assert (len(thread.answers), thread.missing) == (39, 5)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (faults.html_login, "forum.example does not answer like a NodeBB forum"),
        (lambda: faults.changed_types("votes"), "votes"),
        (lambda: faults.changed_types("timestamp"), "timestamp"),
        (faults.changed_types, "Expected `int"),
    ],
)
def test_answers_of_another_shape_say_what_is_wrong(
    spoil: Callable[[], faults.Fault], says: str, stack: ExitStack
) -> None:
    site = served(stack, grown(2))
    site.forum.faults.add(spoil())
    read_it = partial(site.source.thread, CATEGORY, site.community.threads()[0].post_id)
    ask: Callable[[], Any] = partial(site.source.verify, "2") if "NodeBB" in says else read_it
    with pytest.raises(BadInput) as caught:
        ask()
    assert says in caught.value.message


@pytest.mark.parametrize("community", ["workbench", "2", "2/workbench"])
def test_another_software_is_recognised(community: str, stack: ExitStack) -> None:
    site = served(stack, grown(2), "discourse")
    with pytest.raises(BadInput, match=r"forum\.example does not answer like a NodeBB forum"):
        site.source.verify(community)


@pytest.mark.parametrize(("asked", "requests"), [("2", 1), ("2/workbench", 1), ("WORKBENCH", 1)])
def test_categories_are_found_by_id_or_slug(asked: str, requests: int, stack: ExitStack) -> None:
    site = served(stack, grown(2))
    assert site.source.verify(asked) == CATEGORY
    assert len(site.asked()) == requests


class Slipping:
    """A topic of 45 posts. Before each of the requests named, its third post is purged and somebody may answer."""

    platform = "nodebb"

    def __init__(self, *purges: int, answered: bool) -> None:
        self.pids = list(range(1, 46))
        self.purges, self.answered, self.asked, self.at = purges, answered, 0, T0_MS

    def respond(self, request: Request) -> Response:
        self.asked += 1
        if self.asked in self.purges:
            del self.pids[2]
            if self.answered:
                self.at = T0_MS + self.asked * 1000
                self.pids.append(1000 + self.asked)
        page = int(request.first("page") or 1)
        shown = self.pids[(page - 1) * 20 : page * 20]
        posts = [post(pid, timestamp=T0_MS + max(0, pid - 1000) * 1000) for pid in shown]
        newest = {"postcount": len(self.pids), "lastposttime": self.at, "pagination": {"pageCount": 3}, "mainPid": 1}
        return Response(200, topic(*posts, **newest))


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize(
    ("purges", "requests", "missing"), [((), 3, 0), ((2,), 6, 0), ((3,), 6, 0), ((2, 5), 6, 1)], ids=str
)
def test_posts_that_slip_between_two_pages_are_read_again_or_counted(
    purges: tuple[int, ...], requests: int, missing: int, answered: bool, stack: ExitStack
) -> None:
    forum = Slipping(*purges, answered=answered)
    site = served(stack, grown(0), forum)
    thread = site.source.thread(CATEGORY, "7")
    assert len(site.asked()) == requests
    assert thread.missing == missing
    if not missing:
        assert [int(answer.answer_id) for answer in thread.answers] == forum.pids[1:]


def test_an_answer_between_two_pages_costs_no_second_reading(stack: ExitStack) -> None:
    class Growing(Slipping):
        def respond(self, request: Request) -> Response:
            if self.asked == 1:
                self.at += 1000
                self.pids.append(1001)
            return super().respond(request)

    site = served(stack, grown(0), Growing(answered=False))
    assert (len(site.source.thread(CATEGORY, "7").answers), len(site.asked())) == (45, 3)


def test_unknown_ambiguous_and_private_categories(stack: ExitStack) -> None:
    site = served(stack, grown(2))
    with pytest.raises(BadInput, match="no public category 'workbank'") as caught:
        site.source.verify("workbank")
    assert CATEGORY in caught.value.hint
    with pytest.raises(BadInput, match="no public category '99'"):
        site.source.verify("99")
    site.community.private = True
    with pytest.raises(NotAllowed, match="does not show this category to the public"):
        site.source.verify("2")
    nested = {"cid": 3, "slug": "3/faq", "children": [{"cid": 4, "slug": "4/faq"}, {"cid": 5, "slug": "5/deep"}]}
    other = fixed(stack, {"/api/categories": {"categories": [nested]}})
    assert other.source.verify("deep") == "5/deep"
    with pytest.raises(BadInput, match="several categories 'faq'") as caught:
        other.source.verify("faq")
    assert caught.value.hint == "Name one of 3/faq, 4/faq."


def test_a_listing_ends_where_pages_went_away_and_leaves_stubs_out(stack: ExitStack) -> None:
    topics = [{"tid": 1, "lastposttime": T0_MS, "pinned": True}, {"tid": 2, "lastposttime": T0_MS, "deleted": 1}]
    page = {"cid": 2, "slug": CATEGORY, "topics": topics, "pagination": {"pageCount": 2}}
    site = fixed(stack, {"/api/category/2": page})
    first = site.source.listing(CATEGORY, since=None, token=None)
    assert (first.threads, first.next) == ([Listed("1", T0_MS * 1000, True)], "2")
    assert site.forum.requests("nodebb")[-1].query == {"sort": ["recently_replied"], "page": ["1"]}
    gone = fixed(stack, {})
    assert gone.source.listing(CATEGORY, since=None, token="2").threads == []


def test_which_posts_are_answers(stack: ExitStack) -> None:
    posts = [post(2), post(1), post(3, toPid=1), post(4, toPid="1"), post(5, toPid=3), post(6, toPid=""), post(2)]
    thread = only(stack, topic(*posts, mainPid=1))
    assert thread.post.body == "<p>post 1</p>"
    assert [answer.answer_id for answer in thread.answers] == ["2", "3", "4", "6"]


def test_the_fields_of_a_post(stack: ExitStack) -> None:
    admin = {"uid": 1, "username": "Zo&euml;", "userslug": "zoë", "selectedGroups": [{"slug": "administrators"}]}
    moderator = {"uid": 2, "username": "m", "selectedGroups": [{"slug": "vips"}, {"slug": "global-moderators"}]}
    former = {"uid": 0, "username": "[[global:former-user]]", "userslug": ""}
    remote = "https://remote.example/notes/1?a=b"
    thread = only(
        stack,
        topic(
            post(1, deleted=False, edited=""),
            post(2, uid=1, user=admin, votes=-3, upvotes=1, downvotes=4, edited=T0_MS),
            post(3, user=moderator, content=None),
            post(4, uid=0, user=former),
            post(0, uid="https://remote.example/u/1") | {"pid": remote},
            solvedPid=3,
            pinned=1,
            viewcount=77,
        ),
    )
    question, answers = thread.post, thread.answers
    assert (question.views, question.upvotes, question.reads) == (77, None, None)
    assert [(answer.upvotes, answer.downvotes) for answer in answers[:2]] == [(1, 4), (None, None)]
    assert (question.title, question.stickied, question.edited) == ('A "title" & more', True, False)
    assert (question.created_at, question.url) == ((T0_MS + 1) * 1000, "https://forum.example/topic/7/a-title")
    assert [answer.score for answer in answers] == [-3, 0, 0, 0]
    assert [answer.edited for answer in answers] == [True, False, False, False]
    assert [answer.author for answer in answers] == ["Zoë", "m", None, "user0"]
    assert [answer.author_id for answer in answers] == ["1", "53", None, "https://remote.example/u/1"]
    assert [answer.author_role for answer in answers] == ["admin", "moderator", "member", "member"]
    assert [answer.accepted for answer in answers] == [False, True, False, False]
    assert answers[0].author_url == "https://forum.example/user/zo%C3%AB"
    assert answers[1].author_url is None
    assert answers[1].body == ""
    assert answers[3].answer_id == remote
    assert answers[3].url == "https://forum.example/post/https%3A%2F%2Fremote.example%2Fnotes%2F1%3Fa%3Db"


def test_notices_are_no_texts(stack: ExitStack) -> None:
    posts = [post(1), post(2, content="[[topic:post_is_deleted]]"), post(3, content="<p>This post is deleted!</p>\n")]
    assert [(one.state, one.body) for one in only(stack, topic(*posts)).answers] == [("deleted", "")] * 2


def test_a_site_without_votes_has_no_scores(stack: ExitStack) -> None:
    cast = {"votes": 2, "upvotes": 3, "downvotes": 1}
    thread = only(stack, topic(post(1, **cast), post(2), **{"reputation:disabled": 1}, titleRaw="<raw> & title"))
    assert [thread.post.score, thread.answers[0].score] == [None, None]
    assert (thread.post.upvotes, thread.post.downvotes) == (None, None)
    assert thread.post.title == "<raw> & title"


def test_a_topic_without_its_first_post_is_missing(stack: ExitStack) -> None:
    for body in (topic(), topic(post(2), mainPid=1)):
        with pytest.raises(Unreadable, match="without its first post"):
            only(stack, body)


def test_addresses_are_those_of_the_site_as_it_was_asked_for(stack: ExitStack) -> None:
    site = fixed(stack, {"/api/topic/7": topic(post(1), post(2))})
    plain = NodeBB(site.source._http, SITE, f"http://{SITE}")
    thread = plain.thread(CATEGORY, "7")
    assert thread.post.url == f"http://{SITE}/topic/7/a-title"
    assert (thread.answers[0].url, thread.answers[0].author_url) == (
        f"http://{SITE}/post/2",
        f"http://{SITE}/user/user2",
    )
