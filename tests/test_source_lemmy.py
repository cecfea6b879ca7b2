"""The Lemmy source against the embedded forum (0.19 and 1.0), and against hand-written answers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from shp_miner.errors import BadInput, Error, NotAllowed
from shp_miner.forum import World
from shp_miner.forum.live import Community, LiveThread
from shp_miner.forum.serve.faults import html_login
from shp_miner.forum.serve.lemmy import LemmyApi, LemmyOldApi
from shp_miner.forum.serve.message import Platform, Request, Response
from shp_miner.platforms.items import Thread
from shp_miner.sources.lemmy import LIMITS, Lemmy
from shp_miner.sources.source import Listed, Unreadable

from . import web
from .web import Asked, Fixed, walk

WORLD = World(name="lemmy", threads=30, mean_readers=200)
ALL = WORLD.observed_at


class V3OfNew(LemmyApi):
    """A server of 1.0 of which only the remains of v3 can be reached."""

    def respond(self, request: Request) -> Response:
        return Response(404, b"") if request.path.startswith("/api/v4") else super().respond(request)


View = Callable[[Community], Platform]


def asking(view: Any) -> AbstractContextManager[Asked[Lemmy]]:
    return web.asking(lambda http: Lemmy(http, "forum.example"), LIMITS, view)


def assert_same(seen: Thread, real: LiveThread) -> None:
    """What was read is what there is. Scores on Lemmy start with the author's own vote."""
    assert (seen.post.post_id, seen.post.title, seen.post.body) == (real.post_id, real.title, real.body)
    assert (seen.post.score, seen.post.created_at) == (real.score + 1, real.created_s * 1_000_000)
    assert seen.post.author == real.author
    assert seen.missing == 0
    ours = [(a.answer_id, a.body, a.score, a.author, a.state, a.created_at, a.edited) for a in seen.answers]
    theirs = [
        (a.answer_id, a.body, a.score + 1, a.author, a.state, a.created_s * 1_000_000, a.edited_s is not None)
        for a in sorted(real.answers, key=lambda a: int(a.answer_id))
    ]
    assert ours == theirs


@pytest.mark.parametrize("view", [LemmyApi, LemmyOldApi])
def test_a_first_crawl_reads_every_thread_in_two_requests(view: View) -> None:
    community = Community(world=WORLD, now=ALL)
    with asking(view(community)) as asked:
        assert asked.source.verify("Workbench@Forum.Example") == "workbench"
        version = "v4" if view is LemmyApi else "v3"
        probes = ["/api/v4/site"] if view is LemmyApi else ["/api/v4/site", "/api/v3/site"]
        assert [request.path for request in asked.new()] == [*probes, f"/api/{version}/community"]

        threads, pages = walk(asked.source, "workbench")
        assert pages == 1
        assert [request.path for request in asked.new()] == [f"/api/{version}/post/list"]
        assert {one.post_id: one.changed_at for one in threads} == {
            thread.post_id: thread.created_s * 1_000_000 for thread in community.threads()
        }
        assert [one.pinned for one in threads] == [True, *[False] * 29]
        rest = [one.changed_at for one in threads[1:]]
        assert rest == sorted(rest, reverse=True)

        for one in threads:
            real = community.thread(one.post_id)
            assert real is not None
            assert_same(asked.source.thread("workbench", one.post_id), real)
        assert len(asked.new()) == 60
        nested = sum(bool(answer.replies) for thread in community.threads() for answer in thread.answers)
        assert nested > 20


@pytest.mark.parametrize("view", [LemmyApi, LemmyOldApi])
def test_a_long_listing_is_paged_and_new_threads_stand_first(view: View) -> None:
    community = Community(world=World(name="busy", threads=130, mean_readers=3))
    with asking(view(community)) as asked:
        before, pages = walk(asked.source, "workbench")
        assert len(before) == len({one.post_id for one in before}) == len(community.threads())
        assert pages == len(before) // 50 + 1
        community.advance(86_400 * 8)
        first = asked.source.listing("workbench", since=before[1].changed_at, token=None).threads
        new = [one.post_id for one in first if not one.pinned and one.changed_at > before[1].changed_at]
        assert len(new) == len(community.threads()) - len(before) > 5
        assert first[len(new) + 1] == before[1]


@pytest.mark.parametrize("view", [LemmyApi, LemmyOldApi])
def test_what_is_edited_deleted_or_removed_shows_when_it_is_read_again(view: View) -> None:
    community = Community(world=WORLD, now=ALL)
    one, other, third = sorted(community.threads(), key=lambda thread: -len(thread.answers))[:3]
    edited, deleted, removed, orphaned, *_ = (answer.answer_id for answer in one.answers)
    with asking(view(community)) as asked:
        asked.source.thread("workbench", one.post_id)
        community.edit(edited, "Better so.")
        community.delete(deleted)
        community.delete(removed, by="moderator")
        name = next(answer.author for answer in one.answers if answer.answer_id == orphaned)
        assert name is not None
        community.delete_account(name)
        community.vote(edited, up=5)
        community.delete(other.post_id)

        now = community.thread(one.post_id)
        assert now is not None
        seen = asked.source.thread("workbench", one.post_id)
        assert_same(seen, now)
        by_id = {answer.answer_id: answer for answer in seen.answers}
        assert (by_id[edited].body, by_id[edited].edited) == ("Better so.", True)
        assert (by_id[deleted].state, by_id[deleted].body) == ("deleted", "")
        assert (by_id[removed].state, by_id[removed].body) == ("removed", "")
        orphan = by_id[orphaned]
        assert (orphan.author, orphan.author_id, orphan.author_url, orphan.state) == (None, None, None, "live")
        with pytest.raises(Unreadable) as unreadable:
            asked.source.thread("workbench", other.post_id)
        assert unreadable.value.evidence == "missing"
        assert other.post_id not in [listed.post_id for listed in walk(asked.source, "workbench")[0]]

        asked.new()
        pairs = [(one.post_id, edited), (other.post_id, "1"), (third.post_id, third.answers[0].answer_id)]
        found = asked.source.again([one.post_id, other.post_id], pairs)
        assert [post.post_id for post in found.posts] == [one.post_id]
        assert [answer.answer_id for answer in found.answers] == [edited, third.answers[0].answer_id]
        assert len(asked.new()) == 5


CAP_CASES = [
    # Where the server has cursors, each page of 300 brings the next.
    (LemmyApi, 700, {"/api/v4/comment/list": 3}, 0),
    # From both ends of time: the two hundreds in the middle are in both.
    (LemmyOldApi, 400, {"/api/v3/comment/list": 2}, 0),
    # The ends do not meet: 770 comments in pages of 50, the last of which is not full.
    (LemmyOldApi, 720, {"/api/v3/comment/list": 2 + 16}, 0),
    # No second page: five orders are all there is, and what is missing is said.
    (V3OfNew, 1100, {"/api/v3/comment/list": 2 + 2 + 3}, 1100 - 600 - 251),
    (LemmyApi, 300, {"/api/v4/comment/list": 2}, 0),
    (LemmyApi, 299, {"/api/v4/comment/list": 1}, 0),
]


@pytest.mark.parametrize(("view", "count", "requests", "missing"), CAP_CASES)
def test_a_thread_beyond_the_cap_is_complete_or_says_what_is_missing(
    view: View, count: int, requests: dict[str, int], missing: int
) -> None:
    community = Community(world=World(threads=1, mean_readers=1), now=World(threads=1).observed_at)
    post_id = community.ask("A crowded question", "Well?")
    ids = []
    for number in range(count):
        community.advance(60)
        ids.append(community.answer(post_id, f"answer {number}"))
    for parent in ids[:50]:
        community.answer(parent, "a reply, not an answer")
    for middle in ids[350:601]:
        community.vote(middle, up=3)
    community.delete(ids[7])
    with asking(view(community)) as asked:
        thread = asked.source.thread("workbench", post_id)
        paths = [path for path in asked.asked() if path.endswith("comment/list")]
        assert {path: paths.count(path) for path in paths} == requests
        assert thread.missing == missing
        found = [answer.answer_id for answer in thread.answers]
        assert len(found) == len(set(found)) == count - missing
        assert set(found) <= set(ids)


def refusal(view: Any, community: str = "workbench") -> Error:
    with asking(view) as asked, pytest.raises(Error) as caught:
        asked.source.verify(community)
    return caught.value


@pytest.mark.parametrize("view", [LemmyApi, LemmyOldApi])
def test_a_community_that_cannot_be_read_is_a_sentence(view: View) -> None:
    unknown = refusal(view(Community(world=WORLD)), "nowhere")
    assert (unknown.exit_code, unknown.message) == (
        5,
        "There is no community nowhere on forum.example, or it was removed.",
    )
    banned = refusal(view(Community(world=WORLD, banned=True)))
    assert banned.exit_code == 5
    private = refusal(view(Community(world=WORLD, private=True)))
    assert (private.exit_code, "private" in private.message) == (4, True)
    elsewhere = refusal(view(Community(world=WORLD)), "!workbench@lemmy.example")
    assert (elsewhere.exit_code, "belongs to lemmy.example" in elsewhere.message) == (5, True)


SITE = {"version": "0.19.5", "site_view": {"local_site": {"private_instance": False}}}
NEW_SITE = {**SITE, "version": "1.0.0"}


def person(v4: bool, **changes: Any) -> dict[str, Any]:
    address = {"ap_id" if v4 else "actor_id": "https://forum.example/u/ana"}
    return {"id": 5, "name": "ana", "deleted": False, "local": True, "bot_account": False, **address, **changes}


def group(v4: bool, **changes: Any) -> dict[str, Any]:
    address = {"ap_id" if v4 else "actor_id": "https://forum.example/c/workbench"}
    return {"id": 1, "name": "workbench", "removed": False, "deleted": False, "local": True, **address, **changes}


def written(v4: bool, post: dict[str, Any], *comments: dict[str, Any]) -> Fixed:
    """A post and its comments; `creator` and `view` in them change what stands beside, `counts` the counts."""
    api, later = ("v4", "_at") if v4 else ("v3", "")

    def view(kind: str, base: dict[str, Any], counts: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        changes = dict(changes)
        beside = {"creator": person(v4, **changes.pop("creator", {})), **changes.pop("view", {})}
        counts = {**counts, **changes.pop("counts", {})}
        item = {"creator_id": 5, "removed": False, "deleted": False, **base}
        item[f"published{later}"] = "2024-01-05T10:00:00Z"
        for name, value in changes.items():
            item[f"{name}{later}" if name in ("published", "updated") else name] = value
        return {**beside, kind: {**item, **counts} if v4 else item, **({} if v4 else {"counts": counts})}

    page = {"id": 9, "name": "Title", "nsfw": False, "ap_id": "https://forum.example/post/9"}
    replies = [
        view(
            "comment",
            {"id": 20 + n, "post_id": 9, "content": "text", "path": f"0.{20 + n}", "ap_id": f"https://x.example/{n}"},
            {"score": 3, "child_count": 0},
            changes,
        )
        for n, changes in enumerate(comments)
    ]
    votes = {"score": 2, "upvotes": 3, "downvotes": 1, "comments": len(replies)}
    found = view("post", page, votes, {**post, "view": {"community": group(v4)}})
    return Fixed(
        "lemmy",
        {
            f"/api/{api}/site": NEW_SITE if v4 else SITE,
            f"/api/{api}/post": {"post_view": found},
            f"/api/{api}/post/list": {"items" if v4 else "posts": [found], "next_page": None},
            f"/api/{api}/comment/list": {"items" if v4 else "comments": replies},
        },
    )


@pytest.mark.parametrize("v4", [True, False])
def test_every_field_in_every_form(v4: bool) -> None:
    address = "ap_id" if v4 else "actor_id"
    view = written(
        v4,
        {"url": "https://example.org/x", "nsfw": True, "featured_local": True, "updated": "2024-02-01T00:00:00"},
        {"published": "2014-03-02T01:02:03.5", "creator_id": 6, "counts": {"score": -4, "upvotes": 1, "downvotes": 5}},
        {"published": "2099-12-31T23:59:59.123456789+02:00", "creator": {"name": "קורא 🌻", "id": 8}},
        {"creator": {"local": False, address: "https://other.example/u/ana"}},
        {"creator": {"deleted": True}},
        {"creator": {"bot_account": True}, "distinguished": True},
        {"distinguished": True},
        {"distinguished": True, "view": {"creator_is_admin": True}},
        {"removed": True, "content": "what was removed"},
        {"deleted": True, "content": "what was deleted"},
        {"path": "0.20.30", "content": "nested"},
    )
    with asking(view) as asked:
        thread = asked.source.thread("workbench", "9")
        assert asked.source.listing("workbench", since=None, token=None).threads == [
            Listed("9", 1_704_448_800_000_000, pinned=True)
        ]
    post, answers = thread.post, thread.answers
    assert (post.is_text, post.nsfw, post.stickied, post.edited, post.body) == (False, True, True, True, "")
    assert (post.title, post.score, post.upvote_ratio, post.url) == ("Title", 2, 0.75, "https://forum.example/post/9")
    assert [a.created_at for a in answers[:3]] == [
        1_393_722_123_500_000,
        4_102_437_599_123_456,
        1_704_448_800_000_000,
    ]
    assert [a.score for a in answers[:2]] == [-4, 3]
    assert (post.upvotes, post.downvotes, post.views, post.reads) == (3, 1, None, None)
    assert [(a.upvotes, a.downvotes) for a in answers[:2]] == [(1, 5), (None, None)]
    assert [a.author for a in answers[:4]] == ["ana", "קורא 🌻", "ana@other.example", None]
    assert [a.author_url for a in answers[2:4]] == ["https://other.example/u/ana", None]
    assert [a.author_role for a in answers] == ["member"] * 4 + ["bot", "moderator", "admin", "member", "member"]
    assert [a.stickied for a in answers] == [False] * 4 + [True] * 3 + [False] * 2
    assert [(a.state, a.body) for a in answers[7:]] == [("removed", ""), ("deleted", "")]
    assert [a.by_post_author for a in answers[:2]] == [False, True]
    assert answers[0].body_format == "markdown"
    assert thread.missing == 0


@pytest.mark.parametrize(
    ("v4", "path", "spoil", "says"),
    [
        (True, "post", lambda body: body["post_view"]["post"].pop("score"), "score"),
        (False, "post", lambda body: body["post_view"]["counts"].pop("score"), "score"),
        (False, "comment/list", lambda body: body["comments"][0]["comment"].pop("deleted"), "deleted"),
        (True, "comment/list", lambda body: body["items"][0]["creator"].pop("name"), "name"),
        (True, "post", lambda body: body["post_view"]["post"].update(score="2"), "score"),
        (False, "comment/list", lambda body: body["comments"][0]["comment"].update(content=None), "content"),
        (False, "comment/list", lambda body: body["comments"][0]["comment"].update(published="soon"), "'soon'"),
        (
            True,
            "post",
            lambda body: body["post_view"]["post"].update(published_at="2024-13-45T00:00:00Z"),
            "2024-13-45",
        ),
    ],
)
def test_an_answer_of_another_shape_names_the_field(
    v4: bool, path: str, spoil: Callable[[Any], Any], says: str
) -> None:
    view = written(v4, {}, {})
    spoil(view.bodies[f"/api/{'v4' if v4 else 'v3'}/{path}"])
    with asking(view) as asked, pytest.raises(BadInput) as caught:
        asked.source.thread("workbench", "9")
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("community", "kind", "says"),
    [
        ({"removed": True}, BadInput, "closed by the instance's administrators"),
        ({"deleted": True}, BadInput, "closed by its moderators"),
        ({"visibility": "LocalOnly"}, NotAllowed, "members only"),
        ({"local": False, "actor_id": "https://home.example/c/workbench"}, BadInput, "belongs to home.example"),
    ],
)
def test_a_closed_or_foreign_community_is_told_apart(community: dict[str, Any], kind: type[Error], says: str) -> None:
    answer = {"community_view": {"community": group(False, **community)}}
    error = refusal(Fixed("lemmy", {"/api/v3/site": SITE, "/api/v3/community": answer}))
    assert isinstance(error, kind)
    assert says in error.message


def test_another_software_is_not_taken_for_lemmy() -> None:
    nothing = refusal(Fixed("lemmy", {}))
    assert (nothing.exit_code, "does not answer like a Lemmy instance" in nothing.message) == (5, True)
    page = Response(200, "<!doctype html><html><title>Welcome</title></html>")
    pages = refusal(Fixed("lemmy", {"/api/v4/site": page, "/api/v3/site": page}))
    assert (pages.exit_code, "web page" in pages.message) == (5, True)
    # A site that answers every unknown path with a page still speaks v3.
    view = written(False, {}, {})
    view.bodies["/api/v4/site"] = page
    with asking(view) as asked:
        assert len(asked.source.thread("workbench", "9").answers) == 1
    guarded = refusal(Fixed("lemmy", {"/api/v4/site": Response(403, "<html>no</html>")}))
    assert (guarded.exit_code, "a web page" in guarded.message) == (75, True)
    guarded = refusal(Fixed("lemmy", {"/api/v4/site": Response(401, {"error": "not_logged_in"})}))
    assert guarded.exit_code == 4


@pytest.mark.parametrize(
    ("answer", "evidence"),
    [
        (Response(404, "<html>404</html>"), "wall"),
        (Response(403, "<html>no</html>"), "wall"),
        (Response(404, b""), "wall"),
        (Response(401, {"error": "not_logged_in"}), "closed"),
        (Response(403, {"error": "no"}), "forbidden"),
        (Response(400, {"error": "instance_is_private"}), "closed"),
        (Response(400, {"error": "couldnt_find_post"}), "missing"),
        (Response(302, b"", {"location": "/login"}), "closed"),
    ],
    ids=str,
)
def test_only_the_word_of_lemmy_is_one_on_a_post(answer: Response, evidence: str) -> None:
    view = written(False, {}, {})
    view.bodies["/api/v3/post"] = answer
    with asking(view) as asked:
        with pytest.raises(Unreadable) as unreadable:
            asked.source.thread("", "9")
        assert unreadable.value.evidence == evidence
        if evidence == "missing":
            assert asked.source.again(["9"], []).posts == []
        else:  # not taken for absent
            with pytest.raises(Unreadable):
                asked.source.again(["9"], [])


def test_a_notice_is_no_text() -> None:
    view = written(
        False, {"body": "*Permanently Deleted*"}, {"content": "removed by mod"}, {"content": "deleted by me"}
    )
    with asking(view) as asked:
        thread = asked.source.thread("workbench", "9")
    assert (thread.post.state, thread.post.title, thread.post.body) == ("deleted", "", "")
    assert [(one.state, one.body) for one in thread.answers] == [("removed", ""), ("live", "deleted by me")]


def test_another_404_is_no_word_at_all() -> None:
    view = written(False, {}, {})
    view.bodies["/api/v3/post"] = Response(404, {"error": "rate_limit"})
    with asking(view) as asked, pytest.raises(BadInput):
        asked.source.thread("workbench", "9")


@pytest.mark.parametrize("change", ["private", "banned"])
def test_posts_of_a_community_that_closes_are_not_missing(change: str) -> None:
    community = Community(world=WORLD)
    with asking(LemmyApi(community)) as asked:
        asked.source.verify("workbench")
        setattr(community, change, True)
        with pytest.raises(Unreadable) as unreadable:
            asked.source.thread("workbench", "999999")
        assert unreadable.value.evidence == "closed"


def test_a_count_that_is_off_does_not_make_a_thread_incomplete() -> None:
    with asking(written(False, {"counts": {"comments": 5}}, {})) as asked:
        thread = asked.source.thread("workbench", "9")
        assert (len(thread.answers), thread.missing) == (1, 0)
        assert asked.asked().count("/api/v3/comment/list") == 2


def test_posts_of_another_community_stop_the_listing() -> None:
    with asking(written(True, {}, {})) as asked, pytest.raises(BadInput, match="lists posts of workbench"):
        asked.source.listing("garden", since=None, token=None)


def test_a_login_page_in_the_middle_is_named() -> None:
    with asking(LemmyOldApi(Community(world=WORLD))) as asked:
        asked.source.verify("workbench")
        asked.forum.faults.add(html_login(), path="*/post/list")
        with pytest.raises(BadInput, match="login page"):
            asked.source.listing("workbench", since=None, token=None)
