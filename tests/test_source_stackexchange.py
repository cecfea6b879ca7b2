"""The Stack Exchange source against the embedded forum, and against hand-written answers."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import pytest

from shp_miner.errors import BadInput, Error, NotAllowed, TryLater
from shp_miner.forum import World
from shp_miner.forum.live import Community, LiveAnswer, LiveThread
from shp_miner.forum.serve.faults import backoff, changed_types, duplicated, html_login, reordered, too_many
from shp_miner.forum.serve.message import Response
from shp_miner.forum.serve.stackexchange import QUOTA, StackExchangeApi
from shp_miner.platforms.items import Answer, Thread
from shp_miner.sources.pace import MemoryClocks
from shp_miner.sources.source import Unreadable
from shp_miner.sources.stackexchange import LIMITS, StackExchange

from . import web
from .web import Asked, FakeClock, Fixed, walk

SITE = "workbench.stackexchange.com"
WORLD = World(name="stackexchange", threads=30, mean_readers=200)
ALL = WORLD.observed_at


def asking(
    view: Any, *, key: str | None = None, clocks: MemoryClocks | None = None, clock: FakeClock | None = None
) -> AbstractContextManager[Asked[StackExchange]]:
    community = getattr(view, "community", None) or Community(world=World(threads=1))
    clock = clock or FakeClock(community.now_s)
    return web.asking(lambda http: StackExchange(http, SITE, key), LIMITS, view, community, clock=clock, clocks=clocks)


def long_waits(asked: Asked[StackExchange]) -> list[float]:
    """Waits beyond the gaps that limits make, in seconds."""
    return [round(seconds) for seconds in asked.clock.slept if seconds > 2]


def live(real: LiveThread) -> dict[str, LiveAnswer]:
    return {answer.answer_id: answer for answer in real.answers if answer.state == "live"}


def assert_same(seen: Thread, real: LiveThread) -> None:
    """What was read is what there is."""
    assert (seen.post.post_id, seen.post.title, seen.post.author) == (real.post_id, real.title, real.author)
    assert (seen.post.score, seen.post.created_at) == (real.score, real.created_s * 1_000_000)
    assert seen.missing == 0
    theirs = live(real)
    assert {answer.answer_id for answer in seen.answers} == theirs.keys()
    for ours in seen.answers:
        answer = theirs[ours.answer_id]
        assert (ours.score, ours.author, ours.created_at) == (
            answer.score,
            answer.author,
            answer.created_s * 1_000_000,
        )
        assert ours.accepted == (real.accepted_id == ours.answer_id)
        assert ours.edited == (answer.edited_s is not None)
        assert ours.body_format == "html"
        assert ours.body.startswith("<p>")


def test_a_first_crawl_reads_thirty_threads_in_six_requests() -> None:
    community = Community(world=WORLD, now=ALL)
    with asking(StackExchangeApi(community)) as asked:
        assert asked.source.verify("all") == SITE
        assert asked.source.verify("Workbench") == "workbench"
        threads, pages = walk(asked.source, "all")
        assert pages == 1
        times = [one.changed_at for one in threads]
        assert times == sorted(times)
        ids = [one.post_id for one in threads]
        assert sorted(ids) == sorted(thread.post_id for thread in community.threads())
        asked.new()

        found = asked.source.threads(SITE, ids)
        for thread in found:
            real = community.thread(thread.post.post_id)
            assert real is not None
            assert_same(thread, real)
        assert [thread.post.post_id for thread in found] == ids
        answers = sum(len(thread.answers) for thread in found)
        assert 100 < answers < 300
        requests = asked.new()
        assert len(requests) == 1 + answers // 100 + 1
        assert {request.first("filter") for request in requests} == {"withbody"}
        assert all(request.path.count(";") == 29 for request in requests[:1])
        # The whole crawl: two checks, the listing, the questions, their answers.
        assert asked.http.requests == 3 + len(requests) <= 6
        assert sum(thread.post.license == "CC BY-SA 4.0" for thread in found) == 30


def test_an_incremental_crawl_asks_from_the_cursor_on_and_meets_what_changed() -> None:
    community = Community(world=WORLD, now=ALL)
    with asking(StackExchangeApi(community)) as asked:
        before, _ = walk(asked.source, "all")
        mark = before[-1].changed_at
        community.advance(3600)
        quiet = community.threads()[-1]
        community.answer(quiet.post_id, "late but new")
        new = community.ask("A new one", "How?")
        asked.new()
        after, pages = walk(asked.source, "all", since=mark)
        # Closed at the start: what stood at the cursor is listed again.
        assert [one.post_id for one in after] == [before[-1].post_id, quiet.post_id, new]
        assert pages == 1
        (request,) = asked.new()
        assert (request.first("min"), request.first("order")) == (str(mark // 1_000_000), "asc")


@pytest.mark.parametrize("same_second", [False, True])
def test_pages_go_by_time_so_that_nothing_slips_through_while_it_is_read(same_second: bool) -> None:
    community = Community(world=World(name="busy", threads=1), now=World(threads=1).observed_at)
    ids = []
    for number in range(250):
        community.advance(0 if same_second else 60)
        ids.append(community.ask(f"Question {number}", "?"))
    with asking(StackExchangeApi(community)) as asked:
        first = asked.source.listing("all", since=None, token=None)
        community.advance(60)
        # Questions of the first page move to the end, and all others up.
        for one in [] if same_second else first.threads[1:31]:
            community.answer(one.post_id, "moved")
        seen = {one.post_id for one in first.threads}
        token, pages = first.next, 1
        while token is not None:
            page = asked.source.listing("all", since=None, token=token)
            seen |= {one.post_id for one in page.threads}
            token, pages = page.next, pages + 1
        assert pages <= 4
        assert set(ids) <= seen


def test_more_answers_than_a_page_and_more_than_the_api_gives_without_a_key() -> None:
    community = Community(world=World(threads=1, mean_readers=1), now=World(threads=1).observed_at)
    ids = [community.ask(f"Question {number}", "?") for number in range(3)]
    for number in range(2_600):
        community.answer(ids[number % 3 if number < 900 else 0], f"answer {number}")
    with asking(StackExchangeApi(community)) as asked:
        asked.new()
        found = {thread.post.post_id: thread for thread in asked.source.threads("all", ids)}
        assert [len(found[one].answers) for one in ids] == [2_000, 300, 300]
        assert all(thread.missing == 0 for thread in found.values())
        pages = [request.path for request in asked.new() if request.path.endswith("/answers")]
        assert (pages.count(f"/2.3/questions/{ids[0]}/answers"), len(pages)) == (20, 26)


def test_what_is_edited_or_deleted_shows_when_it_is_read_again() -> None:
    community = Community(world=WORLD, now=ALL)
    one, other = sorted(community.threads(), key=lambda thread: -len(thread.answers))[:2]
    edited, deleted, removed, orphaned, *_ = (answer.answer_id for answer in one.answers)
    with asking(StackExchangeApi(community)) as asked:
        community.edit(edited, "Better <so>.")
        community.delete(deleted)
        community.delete(removed, by="moderator")
        name = next(answer.author for answer in one.answers if answer.answer_id == orphaned)
        assert name is not None
        community.delete_account(name)
        community.vote(edited, down=50)
        community.delete(other.post_id)
        answers = [(one.post_id, answer_id) for answer_id in (edited, deleted, removed, orphaned)]
        found = asked.source.again([one.post_id, other.post_id], answers)
        assert len(asked.new()) == 2
        assert [post.post_id for post in found.posts] == [one.post_id]
        by_id = {answer.answer_id: answer for answer in found.answers}
        assert by_id.keys() == {edited, orphaned}
        assert (by_id[edited].edited, by_id[edited].body) == (True, "<p>Better &lt;so&gt;.</p>\n")
        assert (by_id[edited].score or 0) < 0
        gone = by_id[orphaned]
        assert (gone.author, gone.author_id, gone.author_url) == (None, None, None)

        asked.new()
        real = community.thread(one.post_id)
        assert real is not None
        assert_same(asked.source.thread("all", one.post_id), real)
        with pytest.raises(Unreadable, match="has no question"):
            asked.source.thread("all", other.post_id)
        assert asked.source.threads("all", [other.post_id]) == []
        assert len(asked.new()) == 4


def test_a_backoff_holds_for_its_method_only_and_outlives_the_process() -> None:
    community = Community(world=WORLD, now=ALL)
    clocks, clock = MemoryClocks(), FakeClock(ALL.timestamp())
    view = StackExchangeApi(community)
    with asking(view, clocks=clocks, clock=clock) as asked:
        asked.forum.faults.add(backoff(30), path="/2.3/questions", next=1)
        asked.source.listing("all", since=None, token=None)
        asked.source.threads("all", [community.threads()[0].post_id])
        assert long_waits(asked) == []
        asked.source.listing("all", since=None, token=None)
        assert long_waits(asked) in ([29], [30])
        asked.forum.faults.add(backoff(100), path="/2.3/questions", next=1)
        asked.source.listing("all", since=None, token=None)
        # The next process has another port here, so it is told under which name the clocks stand.
        host = asked.http.host
        assert clocks.until(f"{host} /questions") >= clock.now() + 99


def test_a_throttle_is_waited_for_or_put_off_and_the_quota_is_for_a_day(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    community = Community(world=WORLD, now=ALL)
    key = "s3cret-key"
    with asking(StackExchangeApi(community), key=key) as asked:
        asked.forum.faults.add(too_many("stackexchange", wait_s=20), next=2)
        assert len(asked.source.listing("all", since=None, token=None).threads) == 30
        assert long_waits(asked) == [20, 20]
        asked.forum.faults.add(too_many("stackexchange", wait_s=60_000), next=1)
        with pytest.raises(TryLater) as later:
            asked.source.listing("all", since=None, token=None)
        assert key not in caplog.text + later.value.message + later.value.hint
        assert asked.forum.requests("stackexchange")[0].first("key") == key

    view = StackExchangeApi(community)
    view.used[("", f"{community.now:%Y-%m-%d}")] = QUOTA - 1
    with asking(view) as asked:
        # The last answer of the day is used; the next request is not even sent.
        assert len(asked.source.listing("all", since=None, token=None).threads) == 30
        with pytest.raises(TryLater, match="00:00:00 UTC"):
            asked.source.listing("all", since=None, token=None)
        assert asked.http.requests == 1


def refusal(view: Any, community: str = "all", key: str | None = None) -> Error:
    with asking(view, key=key) as asked, pytest.raises(Error) as caught:
        asked.source.verify(community)
    return caught.value


def test_a_site_tag_or_key_that_is_none_is_a_sentence() -> None:
    tag = refusal(StackExchangeApi(Community(world=WORLD)), "knitting")
    assert (tag.exit_code, tag.message) == (5, f"{SITE} has no question tagged knitting.")
    banned = refusal(StackExchangeApi(Community(world=WORLD, banned=True)))
    assert (banned.exit_code, banned.message) == (5, f"The Stack Exchange API has no site {SITE}.")
    private = refusal(StackExchangeApi(Community(world=WORLD, private=True)))
    assert private.exit_code == 4
    key = refusal(StackExchangeApi(Community(world=WORLD)), key="bad-key")
    assert (key.exit_code, "bad-key" in key.message + key.hint) == (4, False)


def fixed(bodies: dict[str, Any]) -> Fixed:
    """A view that is asked for nothing else."""
    return Fixed("stackexchange", bodies, None, always_gzip=True)


def question(**changes: Any) -> dict[str, Any]:
    shared = {"body": "<p>Why?</p>", "score": 1, "creation_date": 1_300_000_000, "question_id": 9}
    return {**shared, "title": "Why?", "answer_count": 0, "last_activity_date": 1_300_000_000, **changes}


def answer(number: int, **changes: Any) -> dict[str, Any]:
    shared = {"body": "<p>So.</p>", "score": 1, "creation_date": 1_600_000_000, "question_id": 9}
    return {**shared, "answer_id": number, "is_accepted": False, **changes}


def written(asked: dict[str, Any], *answers: dict[str, Any]) -> Fixed:
    asked = question(**{"answer_count": len(answers), **asked})
    return fixed(
        {
            "/2.3/questions/9": {"items": [asked], "has_more": False, "quota_remaining": 9},
            "/2.3/questions/9/answers": {"items": list(answers), "has_more": False, "quota_remaining": 9},
        }
    )


def by_id(thread: Thread) -> dict[str, Answer]:
    return {found.answer_id: found for found in thread.answers}


def test_every_field_in_every_form() -> None:
    owner = {"user_id": 7, "display_name": "J&#246;rg &lt;b&gt; 🌻", "link": "https://x.stackexchange.com/users/7/j"}
    view = written(
        {"title": "Is 1 &lt; 2 &amp; 3?", "owner": owner, "last_edit_date": 5, "answer_count": 8, "view_count": 612},
        answer(1, score=-3, owner={"user_type": "does_not_exist", "display_name": "user99"}, locked_date=4),
        answer(2, owner={"user_id": -1, "display_name": "Community"}, community_owned_date=3),
        answer(3, is_accepted=True, content_license="CC BY-SA 2.5", owner={"user_id": 8, "display_name": "قارئ"}),
        answer(4, creation_date=1_400_000_000),
        answer(5, creation_date=4_102_444_800, never_heard_of={"a": []}),
    )
    with asking(view) as asked:
        thread = asked.source.thread("all", "9")
    post = thread.post
    assert (post.title, post.author, post.author_id) == ("Is 1 < 2 & 3?", "Jörg <b> 🌻", "7")
    assert (post.author_url, post.url) == ("https://x.stackexchange.com/users/7/j", f"https://{SITE}/questions/9")
    assert (post.views, post.upvotes, post.reads) == (612, None, None)
    assert (post.license, post.edited, post.state) == ("CC BY-SA 2.5", True, "live")
    found = by_id(thread)
    assert (found["1"].score, found["1"].author, found["1"].author_id) == (-3, None, None)
    assert (found["2"].author_role, found["3"].author_role) == ("bot", "member")
    assert (found["3"].accepted, found["3"].author, found["3"].url) == (True, "قارئ", f"https://{SITE}/a/3")
    assert found["3"].author_url == f"https://{SITE}/users/8"
    assert [found[one].license for one in "1345"] == ["CC BY-SA 4.0", "CC BY-SA 2.5", "CC BY-SA 3.0", "CC BY-SA 4.0"]
    assert found["5"].created_at == datetime(2100, 1, 1, tzinfo=UTC).timestamp() * 1_000_000
    assert thread.missing == 3


@pytest.mark.parametrize(
    ("asked_changes", "answer_changes", "says"),
    [
        ({"score": None}, {}, "score"),
        ({"title": 3}, {}, "title"),
        ({"creation_date": "2024-01-01"}, {}, "creation_date"),
        ({}, {"body": None}, "body"),
        ({}, {"is_accepted": "yes"}, "is_accepted"),
        ({}, {"score": "7"}, "score"),
    ],
)
def test_an_answer_of_another_shape_names_the_field(
    asked_changes: dict[str, Any], answer_changes: dict[str, Any], says: str
) -> None:
    with asking(written(asked_changes, answer(1, **answer_changes))) as asked, pytest.raises(BadInput, match=says):
        asked.source.thread("all", "9")


def test_faults_of_the_forum_do_not_change_what_is_read() -> None:
    community = Community(world=WORLD, now=ALL)
    ids = [thread.post_id for thread in community.threads()]
    with asking(StackExchangeApi(community)) as asked:
        calm = asked.source.threads("all", ids)
        asked.forum.faults.add(duplicated())
        asked.forum.faults.add(reordered())
        rough = asked.source.threads("all", ids)
        assert [thread.post for thread in rough] == [thread.post for thread in calm]
        assert list(map(by_id, rough)) == list(map(by_id, calm))
        asked.forum.faults.clear()
        asked.forum.faults.add(changed_types("is_accepted"))
        with pytest.raises(BadInput, match="is_accepted"):
            asked.source.threads("all", ids)
        asked.forum.faults.clear()
        asked.forum.faults.add(html_login())
        with pytest.raises(BadInput, match="login page"):
            asked.source.listing("all", since=None, token=None)


@pytest.mark.parametrize(
    ("number", "name", "kind"),
    [
        (403, "access_denied", NotAllowed),
        (405, "key_required", NotAllowed),
        (404, "no_method", BadInput),
        (500, "internal_error", TryLater),
        (503, "temporarily_unavailable", TryLater),
        (400, "bad_parameter", BadInput),
    ],
)
def test_the_numbers_of_the_api_become_exit_codes(number: int, name: str, kind: type[Error]) -> None:
    body = {"error_id": number, "error_name": name, "error_message": "with 127.0.0.1 in it"}
    error = refusal(fixed({"/2.3/questions": Response(400, body)}))
    assert isinstance(error, kind)
    assert "127.0.0.1 in it" not in error.message
