"""Discourse, asked over loopback: what is read, how many requests that takes, and everything that can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from shp_miner.errors import BadInput, NotAllowed, TryLater
from shp_miner.forum.live import Community, LiveThread
from shp_miner.forum.serve import faults
from shp_miner.forum.serve.discourse import DiscourseApi
from shp_miner.forum.serve.message import Request, Response
from shp_miner.forum.world import World
from shp_miner.platforms.items import Answer, Thread
from shp_miner.sources.discourse import LIMITS, Discourse
from shp_miner.sources.source import Gone, Unreadable

from .web import Asked, Fixed, asking, grown, walk

SITE = "forum.example"
CATEGORY = "workbench"
T0 = "2024-03-01T10:00:00.000Z"
T0_US = 1_709_287_200_000_000


Site = Asked[Discourse]


def served(stack: ExitStack, community: Community, view: Any = "discourse") -> Site:
    """A forum that is served, and the source that reads it."""
    return stack.enter_context(asking(lambda http: Discourse(http, SITE), LIMITS, view, community))


def fixed(stack: ExitStack, bodies: dict[str, Any]) -> Site:
    """A site that answers each path with the JSON it is told."""
    return served(
        stack, grown(0), Fixed("discourse", bodies, Response(404, {"errors": ["Gone?"], "error_type": "not_found"}))
    )


def post(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": 100 + number,
        "username": f"user{number}",
        "user_id": number,
        "created_at": T0,
        "cooked": f"<p>post {number}</p>",
        "post_number": number,
        "post_type": 1,
        "reply_to_post_number": None,
        "version": 1,
        "actions_summary": [],
        "something_new": {"a": 1},
    } | changes


def topic(*posts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "id": 7,
        "title": "A “title” & more",
        "slug": "a-title",
        "posts_count": len(posts),
        "post_stream": {"posts": list(posts), "stream": [one["id"] for one in posts]},
    } | changes


def only(stack: ExitStack, body: dict[str, Any]) -> Thread:
    return fixed(stack, {"/t/7.json": body}).source.thread("latest", "7")


def expected(thread: LiveThread) -> dict[str, tuple[int, str, str]]:
    """Score, state and text of each answer that the site shows."""
    return {
        answer.answer_id: (answer.up, answer.state, answer.body)
        for answer in thread.answers
        if answer.state != "removed"
    }


def read(answers: list[Answer]) -> dict[str, tuple[int | None, str, str]]:
    return {answer.answer_id: (answer.score, answer.state, answer.body) for answer in answers}


def further_pages(thread: LiveThread) -> int:
    shown = 1 + sum(answer.state != "removed" for answer in thread.walk())
    return max(0, -(-shown // 20) - 1)


def test_a_first_crawl_reads_all_threads_with_the_fewest_requests(stack: ExitStack) -> None:
    site = served(stack, grown(30))
    assert site.source.verify("WorkBench") == CATEGORY
    listed = walk(site.source, CATEGORY)[0]
    live = {thread.post_id: thread for thread in site.community.threads()}
    assert {one.post_id for one in listed} == set(live)
    assert len(live) == 30
    assert [one.changed_at for one in listed[1:]] == sorted((one.changed_at for one in listed[1:]), reverse=True)
    assert [one.pinned for one in listed] == [True] + [False] * 29
    for one in listed:
        thread = site.source.thread(CATEGORY, one.post_id)
        assert read(thread.answers) == expected(live[one.post_id])
        assert thread.missing == 0
        assert thread.post.stickied == live[one.post_id].pinned
        assert (thread.post.title, thread.post.body) == (live[one.post_id].title, live[one.post_id].body)
        assert [a.answer_id for a in thread.answers if a.accepted] == list(
            filter(None, [live[one.post_id].accepted_id])
        )
    extra = sum(map(further_pages, live.values()))
    assert extra > 0
    # The category, a full page of 30 topics and the empty one after it, each topic, and the pages of long ones.
    assert len(site.asked()) == 1 + 2 + 30 + extra
    assert site.asked()[:3] == ["/site.json", *["/c/workbench/5/l/latest.json"] * 2]


def test_where_readers_vote_on_posts_votes_are_the_score(stack: ExitStack) -> None:
    counts = {1: 3, 2: 12, 3: -4}
    likes = [{"id": 2, "count": 1}]
    posts = [post(number, actions_summary=likes, post_voting_vote_count=count) for number, count in counts.items()]
    thread = only(stack, topic(*posts, is_post_voting=True))
    assert (thread.post.score, [answer.score for answer in thread.answers]) == (3, [12, -4])


def test_later_only_what_is_new_or_answered_is_listed(stack: ExitStack) -> None:
    site = served(stack, grown(70))
    first = walk(site.source, CATEGORY)[0]
    assert len(first) == 70
    mark = max(one.changed_at for one in first)
    site.community.advance(3600)
    oldest, liked = first[-1].post_id, first[-2].post_id
    site.community.answer(oldest, "A late answer.")
    site.community.vote(liked, up=5)
    asked = site.community.ask("Something new?", "Tell me.")
    before = len(site.asked())
    changed = [one.post_id for one in walk(site.source, CATEGORY, since=mark + 1)[0]]
    assert sorted(changed) == sorted([oldest, asked])
    assert len(site.asked()) - before == 1
    assert "A late answer." in [answer.body for answer in site.source.thread(CATEGORY, oldest).answers]
    # Likes move nothing: they are found when the thread is read again by its age.
    now = site.community.thread(liked)
    assert now is not None
    assert site.source.thread(CATEGORY, liked).post.score == now.up


def test_a_second_visit_shows_edits_likes_and_deletions(stack: ExitStack) -> None:
    site = served(stack, grown(5))
    thread = max(site.community.threads(), key=lambda one: len(one.answers))
    first, second, third = [answer.answer_id for answer in thread.answers if answer.state == "live"][:3]
    before = {answer.answer_id: answer for answer in site.source.thread(CATEGORY, thread.post_id).answers}
    site.community.edit(first, "Better *words*.")
    site.community.vote(first, up=3)
    site.community.delete(second)
    site.community.delete(third, by="moderator")
    seen = site.source.thread(CATEGORY, thread.post_id)
    after = {answer.answer_id: answer for answer in seen.answers}
    assert set(before) - set(after) == {third}
    assert (after[first].body, after[first].body_format) == ("Better *words*.", "markdown")
    assert (before[first].edited, after[first].edited) == (False, True)
    assert after[first].score == (before[first].score or 0) + 3
    assert (after[second].state, after[second].body) == ("deleted", "")
    assert seen.missing == 0


@pytest.mark.parametrize("by", ["author", "moderator"])
def test_a_topic_that_is_not_there_is_missing_and_the_door_is_looked_at(by: Any, stack: ExitStack) -> None:
    site = served(stack, grown(3))
    post_id = site.community.threads()[0].post_id
    site.source.verify(CATEGORY)
    site.community.delete(post_id, by=by)
    assert evidence(site, post_id) == "missing"
    # Two requests more make sure that it is the topic that does not show and not the whole category.
    path, listing, other = site.asked()[1:]
    assert (path, listing) == (f"/t/{post_id}.json", "/c/workbench/5/l/latest.json")
    assert other.startswith("/t/")
    assert other != path


def evidence(site: Site, post_id: str, community: str = CATEGORY) -> str:
    with pytest.raises(Unreadable) as unreadable:
        site.source.thread(community, post_id)
    assert "127.0.0.1" in unreadable.value.why or SITE in unreadable.value.why
    return unreadable.value.evidence


@pytest.mark.parametrize("change", ["private", "banned"])
def test_a_category_that_closes_is_not_taken_for_deletions(change: str, stack: ExitStack) -> None:
    site = served(stack, grown(3))
    site.source.verify(CATEGORY)
    setattr(site.community, change, True)
    first, second, third = (thread.post_id for thread in site.community.threads())
    before = len(site.asked())
    assert [evidence(site, post_id) for post_id in (first, second)] == ["closed", "closed"]
    # The listing is asked for once; what is closed stays so until a thread can be read.
    assert len(site.asked()) - before == 3
    setattr(site.community, change, False)
    assert site.source.thread(CATEGORY, third).post.post_id == third


TOPICS = {"topic_list": {"topics": [{"id": 8, "bumped_at": T0}, {"id": 9, "bumped_at": T0}]}}


def test_a_topic_behind_a_door_is_forbidden_and_a_deleted_one_may_answer_410(stack: ExitStack) -> None:
    refused = Response(403, {"errors": ["no"], "error_type": "invalid_access"})
    deleted = Response(410, {"errors": ["gone"], "error_type": "not_found"})
    readable = {"/latest.json": TOPICS, "/t/8.json": topic(post(1), id=8)}
    site = fixed(stack, {"/t/7.json": refused, "/t/6.json": deleted, **readable})
    assert [evidence(site, number, "latest") for number in ("7", "6")] == ["forbidden", "missing"]


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_site_whose_topics_answer_alike_while_it_lists_them_is_closed(status: int, stack: ExitStack) -> None:
    refused = Response(status, {"errors": ["no"], "error_type": "not_found"})
    site = fixed(stack, {"/latest.json": TOPICS, **{f"/t/{number}.json": refused for number in (7, 8, 9)}})
    assert evidence(site, "7", "latest") == "closed"


def test_an_empty_listing_says_nothing_of_a_topic(stack: ExitStack) -> None:
    site = fixed(stack, {"/latest.json": {"topic_list": {"topics": []}}})
    assert evidence(site, "7", "latest") == "missing"


def test_a_topic_with_the_flag_is_gone(stack: ExitStack) -> None:
    with pytest.raises(Gone) as gone:
        only(stack, topic(post(1), deleted_at=T0))
    assert gone.value.state == "removed"


def page(status: int, words: str = "<!doctype html><title>Just a moment...</title>") -> Response:
    return Response(status, words, {"content-type": "text/html"})


def test_a_wall_before_a_later_page_is_no_word_on_its_posts(stack: ExitStack) -> None:
    body = topic(post(1))
    body["post_stream"]["stream"] = [101, 102]
    site = fixed(stack, {"/t/7.json": body, "/t/7/posts.json": page(403), "/latest.json": TOPICS})
    assert evidence(site, "7", "latest") == "wall"
    assert site.asked() == ["/t/7.json", "/t/7/posts.json"]


@pytest.mark.parametrize(("status", "exit_code"), [(401, 75), (403, 75), (200, 75), (404, 5)])
def test_a_wall_before_a_listing_is_not_called_members_only(status: int, exit_code: int, stack: ExitStack) -> None:
    words = "<!doctype html><title>Oh</title>" if status == 404 else "<!doctype html><title>Just a moment...</title>"
    site = fixed(stack, {"/latest.json": page(status, words)})
    with pytest.raises((TryLater, BadInput)) as caught:
        site.source.verify("latest")
    assert caught.value.exit_code == exit_code
    assert ("a web page" if status == 404 else "a check for robots") in caught.value.message
    assert "members" not in caught.value.message


def test_a_log_in_before_a_listing_is(stack: ExitStack) -> None:
    site = fixed(stack, {"/latest.json": Response(302, "", {"location": "/login"}), "/t/7.json": page(200)})
    with pytest.raises(NotAllowed, match="members only"):
        site.source.verify("latest")


def test_addresses_are_those_of_the_site_as_it_was_asked_for(stack: ExitStack) -> None:
    site = fixed(stack, {"/t/7.json": topic(post(1), post(2))})
    plain = Discourse(site.source._http, SITE, f"http://{SITE}")
    thread = plain.thread("latest", "7")
    assert thread.post.url == f"http://{SITE}/t/a-title/7"
    assert thread.answers[0].author_url == f"http://{SITE}/u/user2"


def test_long_topics_come_in_twenties_and_in_the_order_of_their_stream(stack: ExitStack) -> None:
    site = served(stack, Community(name=CATEGORY, world=World(threads=0)))
    post_id = site.community.ask("How?", "Say.")
    answers = []
    for number in range(50):
        site.community.advance(60)
        answers.append(site.community.answer(post_id, f"Answer {number}."))
        if number % 10 == 0:
            site.community.answer(answers[-1], "A nested reply.")
    thread = site.source.thread("latest", post_id)
    assert [answer.answer_id for answer in thread.answers] == answers
    assert thread.missing == 0
    sent = site.forum.requests("discourse")
    assert [len(request.query.get("post_ids[]", [])) for request in sent] == [0, 20, 16]
    assert [request.first("include_raw") for request in sent] == ["1"] * 3


class Withholding(DiscourseApi):
    """Lists posts that it does not hand out."""

    def respond(self, request: Request) -> Response:
        response = super().respond(request)
        if request.path.endswith("/posts.json"):
            del response.body["post_stream"]["posts"][:3]
        return response


def test_posts_that_are_listed_and_not_handed_out_are_counted(stack: ExitStack) -> None:
    community = Community(name=CATEGORY, world=World(threads=0))
    post_id = community.ask("How?", "Say.")
    answers = [community.answer(post_id, f"Answer {number}.") for number in range(30)]
    thread = served(stack, community, Withholding(community)).source.thread("latest", post_id)
    assert thread.missing == 3
    assert [answer.answer_id for answer in thread.answers] == answers[:19] + answers[22:]


def test_a_topic_too_long_for_a_list_of_its_posts_is_incomplete(stack: ExitStack) -> None:
    body = topic(post(1), post(2), posts_count=12_345)
    del body["post_stream"]["stream"]
    assert only(stack, body).missing == 12_343


def test_a_pause_that_the_body_asks_for_is_kept(stack: ExitStack) -> None:
    site = served(stack, grown(3))
    site.forum.faults.add(faults.too_many("discourse", wait_s=24), next=1)
    started = site.clock.time
    assert site.source.verify(CATEGORY) == CATEGORY
    assert site.clock.time >= started + 24
    assert len(site.asked()) == 2
    assert any("wait_seconds" in why for why in site.clock.waits)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (faults.html_login, "forum.example does not answer like a Discourse forum"),
        (lambda: faults.changed_types("post_number"), "post_number"),
        (lambda: faults.changed_types("actions_summary"), "actions_summary"),
        (faults.changed_types, "Expected `int`"),
    ],
)
def test_answers_of_another_shape_say_what_is_wrong(
    spoil: Callable[[], faults.Fault], says: str, stack: ExitStack
) -> None:
    site = served(stack, grown(2))
    site.forum.faults.add(spoil())
    post_id = site.community.threads()[0].post_id
    ask = (
        partial(site.source.verify, CATEGORY) if "Discourse" in says else partial(site.source.thread, "latest", post_id)
    )
    with pytest.raises(BadInput) as caught:
        ask()
    assert says in caught.value.message


def test_another_software_is_recognised(stack: ExitStack) -> None:
    site = served(stack, grown(2), "nodebb")
    for community in (CATEGORY, "latest"):
        with pytest.raises(BadInput, match=r"forum\.example does not answer like a Discourse forum"):
            site.source.verify(community)


def test_unknown_private_and_whole_communities(stack: ExitStack) -> None:
    site = served(stack, grown(2))
    with pytest.raises(BadInput, match="no public category 'workbank'") as caught:
        site.source.verify("workbank")
    assert "workbench" in caught.value.hint
    assert site.source.verify("Latest") == "latest"
    site.community.private = True
    for community in ("workbank", "latest"):
        with pytest.raises(NotAllowed, match="members only"):
            site.source.verify(community)


def category(number: int, slug: str, parent: int | None = None, **more: Any) -> dict[str, Any]:
    return {"id": number, "slug": slug, "parent_category_id": parent, **more}


SITE_JSON = {"categories": [category(1, "help"), category(2, "dev"), category(3, "faq", 1), category(4, "faq", 2)]}
LATE = [category(8, "late", subcategory_list=[category(9, "%E4%B8%AD", 8)]), category(10, "")]
EMPTY: dict[str, Any] = {"topic_list": {"topics": []}}


@pytest.mark.parametrize(
    ("asked", "name", "path"),
    [
        ("help", "help", "/c/help/1/l/latest.json"),
        ("dev/faq", "dev/faq", "/c/dev/faq/4/l/latest.json"),
        ("anything/3", "help/faq", "/c/help/faq/3/l/latest.json"),
        ("LATE", "late", "/c/late/8/l/latest.json"),
        ("中", "late/中", "/c/9/l/latest.json"),
        ("10-category", "10-category", "/c/10-category/10/l/latest.json"),
    ],
)
def test_categories_are_found_by_slug_path_or_id(asked: str, name: str, path: str, stack: ExitStack) -> None:
    bodies = {"/site.json": SITE_JSON, "/categories.json": {"category_list": {"categories": LATE}}, path: EMPTY}
    site = fixed(stack, bodies)
    assert site.source.verify(asked) == name
    before = len(site.asked())
    assert site.source.listing(name, since=None, token=None).threads == []
    assert site.asked()[before:] == [path]
    assert site.forum.requests("discourse")[-1].query == {"order": ["activity"], "no_subcategories": ["true"]}


def test_a_slug_of_two_categories_is_not_guessed(stack: ExitStack) -> None:
    with pytest.raises(BadInput, match="dev/faq and help/faq"):
        fixed(stack, {"/site.json": SITE_JSON}).source.verify("faq")


def test_which_posts_are_answers(stack: ExitStack) -> None:
    posts = [
        post(1),
        post(2),
        post(3, reply_to_post_number=1),
        post(4, reply_to_post_number=3),
        post(5, post_type=2),
        post(6, post_type=3, action_code="closed.enabled"),
        post(7, post_type=4),
    ]
    assert [answer.answer_id for answer in only(stack, topic(*posts)).answers] == ["102", "103"]


def test_the_fields_of_a_post(stack: ExitStack) -> None:
    likes = [{"id": 3, "count": 9}, {"id": 2, "count": 4, "can_act": True}]
    thread = only(
        stack,
        topic(
            post(1, raw="*raw*", username="Zoë 🦊", pinned=True),
            post(2, actions_summary=likes, version=3, moderator=True, staff=True),
            post(3, actions_summary=[{"id": 2, "can_act": True}], admin=True, moderator=True),
            post(4, user_id=-2, username="discobot"),
            post(5, username=None, user_id=None, accepted_answer=True, created_at="2014-03-01T10:00:00.250Z"),
            pinned_globally=True,
            accepted_answer={"post_number": 3},
        ),
    )
    question, answers = thread.post, thread.answers
    assert (question.title, question.body, question.body_format) == ("A “title” & more", "*raw*", "markdown")
    assert (question.post_id, question.created_at, question.stickied, question.is_text) == ("7", T0_US, True, True)
    assert question.url == "https://forum.example/t/a-title/7"
    assert question.author_url == "https://forum.example/u/Zo%C3%AB%20%F0%9F%A6%8A"
    assert [answer.url for answer in answers][:1] == ["https://forum.example/t/a-title/7/2"]
    assert [(answer.body, answer.body_format) for answer in answers][:1] == [("<p>post 2</p>", "html")]
    assert [answer.score for answer in answers] == [4, 0, 0, 0]
    assert [answer.edited for answer in answers] == [True, False, False, False]
    assert [answer.author_role for answer in answers] == ["moderator", "admin", "bot", "member"]
    assert [answer.accepted for answer in answers] == [False, True, False, True]
    assert (answers[3].author, answers[3].author_id, answers[3].author_url) == (None, None, None)
    assert answers[3].created_at == T0_US - timedelta(days=3653).total_seconds() * 1_000_000 + 250_000


def test_what_is_counted_besides_the_score(stack: ExitStack) -> None:
    likes = {"actions_summary": [{"id": 2, "count": 4}]}
    emoji = [{"id": "heart", "type": "emoji", "count": 3}, {"id": "clap", "count": 1}, {"id": "-1", "count": 2}]
    thread = only(
        stack,
        topic(
            post(1, reads=30, **likes),
            post(2, reads=0, reactions=emoji, **likes),
            post(3, reads=12, reactions=[]),
            post(4, reactions=emoji, post_voting_vote_count=5),
            views=310,
        ),
    )
    counts = [(item.score, item.reads, item.upvotes, item.downvotes) for item in (thread.post, *thread.answers)]
    assert counts == [(4, 30, None, None), (4, 0, 4, 2), (0, 12, 0, 0), (5, None, None, None)]
    assert thread.post.views == 310


def test_what_the_forum_itself_says_is_no_members_question(stack: ExitStack) -> None:
    for change in ({"user_id": -1, "admin": True}, {"post_type": 2, "moderator": True}):
        assert only(stack, topic(post(1, **change), post(2))).post.author_role == "bot"


def test_states_and_their_bodies(stack: ExitStack) -> None:
    posts = [
        post(1, hidden=True),
        post(2, user_deleted=True, deleted_at=T0),
        post(3, deleted_at=T0, cooked="<p>Only for staff</p>"),
        post(4, hidden=True),
    ]
    thread = only(stack, topic(*posts))
    assert (thread.post.state, thread.post.body) == ("removed", "")
    assert [(a.state, a.body) for a in thread.answers] == [("deleted", ""), ("removed", ""), ("removed", "")]


def test_notices_are_no_texts(stack: ExitStack) -> None:
    withdrawn = "(post withdrawn by author, will be automatically deleted in 24 hours unless flagged)"
    posts = [post(1), post(2, raw=withdrawn), post(3, cooked="<p>(post deleted by author)</p>"), post(4, raw="(sic)")]
    assert [(one.state, one.body) for one in only(stack, topic(*posts)).answers] == [
        ("deleted", ""),
        ("deleted", ""),
        ("live", "(sic)"),
    ]


@pytest.mark.parametrize("change", [{"featured_link": "https://elsewhere.example"}, {"polls": [{"name": "poll"}]}])
def test_links_and_polls_are_no_texts(change: dict[str, Any], stack: ExitStack) -> None:
    assert not only(stack, topic(post(1, **change), **change)).post.is_text


def test_a_topic_without_its_opening_post_is_missing(stack: ExitStack) -> None:
    with pytest.raises(Unreadable, match="without its opening post"):
        only(stack, topic(post(2), post(3)))
