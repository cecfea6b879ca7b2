"""The Arctic Shift archive over loopback: whole crawls, when scores were read, and what it says in bodies."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import pytest

from shp_miner.errors import BadInput, TryLater
from shp_miner.forum import World
from shp_miner.forum.live import Community
from shp_miner.forum.serve import faults
from shp_miner.forum.serve.arctic_shift import ArcticShiftApi
from shp_miner.forum.serve.message import Request, Response
from shp_miner.forum.serve.reddit import base36
from shp_miner.platforms.items import Origin, to_chunk
from shp_miner.sources.arctic_shift import LIMITS, ArcticShift
from shp_miner.sources.http import MemoryClocks
from shp_miner.sources.source import Listed, Unreadable
from shp_miner.text.clean import to_markdown

from .web import Asked, CommunityClock, asking, grown, walk

WORLD = World(threads=30, mean_readers=150)
NOBODY = World(threads=0)
HOUR_S = 3_600


def archive(community: Community | None = None, view: Any = None) -> AbstractContextManager[Asked[ArcticShift]]:
    """A forum that speaks as the archive does, and a source that reads it."""
    community = community or grown(WORLD)
    clock = CommunityClock(community)
    view = view or ArcticShiftApi(community)
    return asking(
        lambda http: ArcticShift(http, clock=clock), LIMITS, view, community, clock=clock, clocks=MemoryClocks()
    )


def listed(bench: Asked[ArcticShift], since: int | None = None) -> list[Listed]:
    return walk(bench.source, "workbench", since)[0]


def test_a_first_crawl_asks_once_a_thread_and_a_second_only_for_what_is_new() -> None:
    with archive() as bench:
        source, there = bench.source, bench.community.threads()[::-1]
        assert source.verify("r/WorkBench") == "workbench"
        found = listed(bench)
        threads = [source.thread("workbench", one.post_id) for one in found]
        assert bench.http.requests == len(bench.asked()) == 1 + 1 + 30
        assert [one.post_id for one in found] == [base36(int(one.post_id)) for one in there]
        for thread, expected in zip(threads, there, strict=True):
            assert (thread.post.title, thread.post.body) == (expected.title, expected.body)
            assert (thread.post.score, thread.post.author, thread.missing) == (expected.score, expected.author, 0)
            seen = {(one.answer_id, to_markdown(one.body, one.body_format), one.score) for one in thread.answers}
            assert seen == {(base36(int(one.answer_id)), one.body, one.score) for one in expected.answers}
        assert sum(len(thread.answers) for thread in threads) > 50

        # A closed start: the newest known is listed again, and nothing before it.
        newest = max(one.changed_at for one in found)
        new = bench.community.ask("Newest?", "A & B < C")
        sent = len(bench.asked())
        fresh = listed(bench, since=newest)
        assert [one.post_id for one in fresh] == [found[-1].post_id, base36(int(new))]
        thread = source.thread("workbench", fresh[-1].post_id)
        assert (thread.post.body, thread.post.body_format) == ("A &amp; B &lt; C", "reddit")
        assert len(bench.asked(sent)) == 2
        # A guest asks at most once a second.
        assert len([why for why in bench.clock.waits if "at most" in why]) >= 30


def test_scores_are_observed_when_the_archive_read_them() -> None:
    community = Community(world=NOBODY)
    post_id = community.ask("When?", "Then.")
    answer_id = community.answer(post_id, "Now.")
    community.vote(answer_id, up=8)
    created_s = int(community.now_s)
    plain = base36(int(post_id))
    with archive(community) as bench:
        community.advance(10 * HOUR_S)
        first = bench.source.thread("workbench", plain)
        assert (first.answers[0].score, first.answers[0].observed_at) == (1, (created_s + 3) * 1_000_000)
        community.advance(30 * HOUR_S)
        second_s = int(community.now_s)
        second = bench.source.again([plain], [(plain, base36(int(answer_id)))])
        community.vote(answer_id, up=50)
        community.advance(100 * HOUR_S)
        third = bench.source.thread("workbench", plain)
        for answer in (second.answers[0], third.answers[0]):
            assert answer.score == 8
            assert answer.observed_at is not None
            assert second_s <= answer.observed_at // 1_000_000 <= second_s + 5

        # The store is told that time and not the one of asking.
        origin = Origin("arctic-shift", "reddit", "reddit.com", "workbench")
        rows = to_chunk(origin, [third.post], third.answers, int(community.now_s * 1e6)).answers
        assert rows["observed_at"].cast("int64").to_pylist() == [third.answers[0].observed_at]


class Forgetful(ArcticShiftApi):
    """Says no more when it read."""

    def respond(self, request: Request) -> Response:
        answer = super().respond(request)
        for row in answer.body["data"]:
            del row["retrieved_on"], row["_meta"]
        return answer


def test_without_a_time_of_reading_there_is_no_score() -> None:
    with archive(view=Forgetful(community := grown(WORLD)), community=community) as bench:
        thread = bench.source.thread("workbench", base36(int(community.threads()[0].post_id)))
        assert (thread.post.score, thread.post.observed_at) == (None, None)
        assert {one.score for one in thread.answers} <= {None}


def test_what_was_deleted_is_a_stub_and_what_is_absent_is_gone() -> None:
    with archive() as bench:
        community = bench.community
        thread = next(one for one in community.threads() if len(one.answers) > 3)
        plain = base36(int(thread.post_id))
        ids = [(plain, base36(int(one.answer_id))) for one in thread.answers]
        assert bench.source.thread("workbench", plain).answers[0].body == thread.answers[0].body
        community.delete(thread.answers[0].answer_id)
        community.delete(thread.answers[1].answer_id, by="moderator")
        community.edit(thread.answers[2].answer_id, "Better said.")
        sent = len(bench.asked())
        items = bench.source.again([plain], [*ids, (plain, "zzzzz")])
        assert bench.asked(sent) == ["/api/posts/ids", "/api/comments/ids"]
        by_id = {one.answer_id: one for one in items.answers}
        assert set(by_id) == {answer_id for _, answer_id in ids}
        deleted, removed, edited = (by_id[answer_id] for _, answer_id in ids[:3])
        # The archive still has the text; it goes no further.
        rows = bench.http.get("/api/comments/ids", dict[str, Any], params={"ids": ids[0][1]})["data"]
        assert rows[0]["body"].startswith(thread.answers[0].body[:10].partition("&")[0])
        assert (deleted.state, deleted.body, deleted.author) == ("deleted", "", None)
        assert (removed.state, removed.body, removed.author) == ("removed", "", None)
        assert (edited.state, edited.edited) == ("live", True)
        with pytest.raises(Unreadable, match="has no post"):
            bench.source.thread("workbench", "zzzz")


def test_many_answers_and_many_posts_take_pages() -> None:
    community = Community(world=NOBODY)
    for number in range(560):
        community.ask(f"Question {number}?", "?")
        community.advance(number % 3)
    post_id = community.ask("Everybody?", "All.")
    for number in range(560):
        answer_id = community.answer(post_id, f"Me, number {number}.")
        if number % 50 == 0:
            community.answer(answer_id, "A reply to a reply.")
        community.advance(number % 2)
    with archive(community) as bench:
        found = listed(bench)
        assert {one.post_id for one in found} == {base36(int(one.post_id)) for one in community.threads()}
        assert len(bench.asked()) == 3
        thread = bench.source.thread("workbench", base36(int(post_id)))
        assert len(thread.answers) == 560
        assert thread.missing == 0
        assert len(bench.asked()) == 3 + 3


def test_more_in_one_second_than_a_page_holds_is_said() -> None:
    community = Community(world=NOBODY)
    post_id = community.ask("All at once?", "Yes.")
    for number in range(300):
        community.answer(post_id, f"Me, number {number}.")
    with archive(community) as bench:
        thread = bench.source.thread("workbench", base36(int(post_id)))
        assert len(thread.answers) == 250
        assert thread.missing >= 1
        for _ in range(300):
            community.ask("And we?", "Yes.")
        pages = [bench.source.listing("workbench", since=None, token=None)]
        while pages[-1].next:
            pages.append(bench.source.listing("workbench", since=None, token=pages[-1].next))
        assert len(pages) <= 4
        assert any(page.capped for page in pages)


class Busy(ArcticShiftApi):
    """Says in good answers that it is too busy, a few times."""

    words: tuple[str, ...] = ("Query timed out", "Slow down a little", "Timeout. Maybe slow down a bit")
    times = 3

    def respond(self, request: Request) -> Response:
        answer = super().respond(request)
        self.times -= 1
        return Response(200, {"data": None, "error": self.words[self.times % 3]}) if self.times >= 0 else answer


def test_errors_in_good_answers_are_waited_out() -> None:
    community = grown(WORLD)
    view = Busy(community)
    with archive(community, view) as bench:
        before = community.now_s
        assert bench.source.verify("workbench") == "workbench"
        assert len(bench.asked()) == 4
        assert community.now_s - before >= 45
        assert any("too busy" in why for why in bench.clock.waits)
        view.times = 99
        with pytest.raises(TryLater, match="too busy"):
            bench.source.verify("workbench")


def test_a_refusal_on_the_second_page_loses_nothing() -> None:
    community = Community(world=NOBODY)
    for number in range(300):
        community.ask(f"Question {number}?", "?")
        community.advance(2)
    with archive(community) as bench:
        page = bench.source.listing("workbench", since=None, token=None)
        bench.forum.faults.add(faults.too_many("arctic_shift", wait_s=40), next=1)
        before = community.now_s
        rest = bench.source.listing("workbench", since=None, token=page.next)
        assert {one.post_id for one in (*page.threads, *rest.threads)} == {
            base36(int(one.post_id)) for one in community.threads()
        }
        assert community.now_s - before >= 39
        assert len(bench.asked()) == 3


@pytest.mark.parametrize("name", ["nowhere", "two words", "", "../ids"])
def test_unknown_and_impossible_communities(name: str) -> None:
    with archive(Community(world=NOBODY)) as bench, pytest.raises(BadInput):
        bench.source.verify(name)


class Refusing(ArcticShiftApi):
    def respond(self, request: Request) -> Response:
        return Response(200, {"data": None, "error": "'subreddit' is <script>bad"})


def test_bad_answers_are_sentences() -> None:
    community = grown(WORLD)
    with archive(community, Refusing(community)) as bench, pytest.raises(BadInput, match="is scriptbad"):
        listed(bench)
    with archive(community) as bench:
        bench.forum.faults.add(faults.changed_types("created_utc"), next=1)
        with pytest.raises(BadInput, match="missing required field `created_utc`"):
            listed(bench)
        bench.forum.faults.add(faults.html_login(), next=1)
        with pytest.raises(BadInput, match="a login page"):
            listed(bench)

    class Behind(CommunityClock):
        def now(self) -> float:
            return super().now() - 3 * 365 * 86_400

    with archive(community) as bench, pytest.raises(BadInput, match="created_utc is in the future"):
        ArcticShift(bench.http, clock=Behind(community)).listing("workbench", since=None, token=None)
