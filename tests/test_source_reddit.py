"""Reddit through real PRAW, over loopback: whole crawls, big threads, refusals, and Reddit's own recorded answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from shp_miner.errors import BadInput, Error, NotAllowed, TryLater
from shp_miner.forum import World
from shp_miner.forum.live import Community, LiveAnswer
from shp_miner.forum.serve import faults
from shp_miner.forum.serve.message import Request, Response
from shp_miner.forum.serve.reddit import CLIENT_ID, CLIENT_SECRET, TOKEN_S, RedditApi, base36
from shp_miner.forum.serve.server import Forum
from shp_miner.platforms.items import Answer, Thread
from shp_miner.sources.http import Budget, MemoryClocks, OverBudget
from shp_miner.sources.reddit import Reddit
from shp_miner.sources.reddit_praw import Credentials
from shp_miner.sources.source import Unreadable

from .web import CommunityClock, grown

WORLD = World(threads=30, mean_readers=150)
NOBODY = World(threads=0)
APP = Credentials(CLIENT_ID, CLIENT_SECRET, "reader")


class Bench:
    """A forum that speaks Reddit, and a source that reads it. The stack closes all that are opened."""

    def __init__(
        self, stack: ExitStack, forum: Forum, view: Any, credentials: Credentials = APP, **options: Any
    ) -> None:
        self.stack, self.forum, self.view, self.community = stack, forum, view, forum.community
        self.clock = CommunityClock(forum.community)
        self.credentials, self.options = credentials, options
        self.clocks = MemoryClocks()
        self.source = self.open()

    def open(self, **options: Any) -> Reddit:
        url = self.forum.url("reddit")
        settings = {"clock": self.clock, "clocks": self.clocks, "allow_private": True, **self.options, **options}
        return self.stack.enter_context(Reddit(self.credentials, oauth_url=url, reddit_url=url, **settings))

    def asked(self, since: int = 0) -> list[str]:
        return [f"{one.method} {one.path}" for one in self.forum.requests("reddit")[since:]]


@contextmanager
def reddit(community: Community | None = None, view: Any = None, **options: Any) -> Iterator[Bench]:
    community = community or grown(WORLD)
    view = view or RedditApi(community)
    with Forum(community, [view]) as forum, ExitStack() as stack:
        yield Bench(stack, forum, view, **options)


def test_a_first_crawl_asks_once_a_thread_and_a_second_once_a_page() -> None:
    with reddit() as bench:
        source, there = bench.source, bench.community.threads()
        assert source.verify("r/Workbench") == "workbench"
        page = source.listing("workbench", since=None, token=None)
        threads = [source.thread("workbench", one.post_id) for one in page.threads]
        assert page.next is None
        assert page.capped is None
        assert source.requests == len(bench.asked()) == 1 + 1 + 1 + 30  # token, about, listing, threads

        assert [thread.post.post_id for thread in threads] == [base36(int(one.post_id)) for one in there]
        assert [one.changed_at for one in page.threads] == [one.created_s * 1_000_000 for one in there]
        for thread, expected in zip(threads, there, strict=True):
            shown = [one for one in expected.answers if one.state == "live"]
            assert (thread.post.title, thread.post.body) == (expected.title, expected.body)
            assert (thread.post.score, thread.post.author, thread.missing) == (expected.score, expected.author, 0)
            assert {_seen(one) for one in thread.answers} == {_expected(one) for one in shown}
        assert sum(len(thread.answers) for thread in threads) > 50
        assert any(answer.replies for one in there for answer in one.answers)

        new = bench.community.ask("Newest?", "A & B < C")
        page = source.listing("workbench", since=None, token=None)
        assert page.threads[0].post_id == base36(int(new))
        assert source.thread("workbench", base36(int(new))).post.body == "A & B < C"
        assert source.requests == 33 + 2
        agents = {one.headers["user-agent"] for one in bench.forum.requests("reddit")}
        assert len(agents) == 1
        assert ":shp-miner:v" in (agent := agents.pop())
        assert "(by /u/reader) PRAW/8" in agent


def _seen(answer: Answer) -> tuple[Any, ...]:
    role = "moderator" if answer.author_role == "moderator" else "other"
    return answer.answer_id, answer.body, answer.score, answer.created_at, answer.author, role


def _expected(answer: LiveAnswer) -> tuple[Any, ...]:
    role = "moderator" if answer.role == "moderator" else "other"
    answer_id = base36(int(answer.answer_id))
    return answer_id, answer.body, answer.score, answer.created_s * 1_000_000, answer.author, role


def test_a_listing_says_that_it_is_capped() -> None:
    community = Community(world=NOBODY)
    for number in range(1_005):
        community.ask(f"Question {number}", "?")
    with reddit(community) as bench:
        listed, token, pages = [], None, 0
        while pages == 0 or token:
            page = bench.open().listing("workbench", since=None, token=token)  # a token survives the process
            listed += page.threads
            token, pages = page.next, pages + 1
        assert (len(listed), pages) == (1_000, 10)
        assert len({one.post_id for one in listed}) == 1_000
        assert page.capped is not None
        assert "ended after 1,000 threads" in page.capped


@pytest.fixture(scope="module")
def big() -> tuple[Community, str, set[str]]:
    """A thread of 730 answers, some with long chains of replies, and ten removed before anybody replied."""
    community = Community(world=NOBODY)
    post_id = community.ask("Everybody?", "All of you.")
    answers = [community.answer(post_id, f"Me, number {number}.") for number in range(730)]
    for answer_id in answers[:40:4]:
        parent = answer_id
        for depth in range(12):
            parent = community.answer(parent, f"Reply at depth {depth}.")
    for answer_id in answers[600:700:10]:
        community.delete(answer_id, by="moderator")
    return community, base36(int(post_id)), {base36(int(answer_id)) for answer_id in answers}


def test_stubs_of_a_big_thread_are_completed(big: tuple[Community, str, set[str]]) -> None:
    community, post_id, answers = big
    with reddit(community) as bench:
        thread = bench.source.thread("workbench", post_id)
        assert bench.asked() == [
            "POST /api/v1/access_token",
            f"GET /comments/{post_id}",
            "POST /api/morechildren",
            "POST /api/morechildren",
            "POST /api/morechildren",
        ]
        gone = {base36(int(one.answer_id)) for one in community.threads()[0].answers if one.state != "live"}
        assert {one.answer_id for one in thread.answers} == answers - gone
        assert len(thread.answers) == 720
        assert thread.missing == 0


class Stingy(RedditApi):
    """Hands out every third of the comments that are asked for, and a stub without ids, as Reddit may."""

    def respond(self, request: Request) -> Response:
        answer = super().respond(request)
        if request.path == "/api/morechildren":
            things = answer.body["json"]["data"]["things"]
            del things[1::3], things[1::2]
            if len(things) < 20:
                stub = {"count": 7, "name": "t1__", "id": "_", "parent_id": request.form()["link_id"], "children": []}
                things.append({"kind": "more", "data": stub})
        return answer


def test_what_no_stub_gives_is_looked_up_by_id_and_what_has_none_is_missing(
    big: tuple[Community, str, set[str]],
) -> None:
    community, post_id, answers = big
    with reddit(community, Stingy(community)) as bench:
        thread = bench.source.thread("workbench", post_id)
        assert bench.asked().count("POST /api/morechildren") == 3
        assert bench.asked().count("GET /api/info") == 2
        assert len(thread.answers) == 720
        assert {one.answer_id for one in thread.answers} < answers
        assert thread.missing == 7


def test_refusals_wait_as_told_and_the_clock_outlives_the_process() -> None:
    community = Community(world=NOBODY)
    for number in range(150):
        community.ask(f"Question {number}", "?")
    with reddit(community) as bench:
        first = bench.source.listing("workbench", since=None, token=None)
        bench.forum.faults.add(faults.too_many("reddit", wait_s=90), next=1)
        before = community.now_s
        second = bench.source.listing("workbench", since=None, token=first.next)
        assert (len(first.threads), len(second.threads)) == (100, 50)
        assert 90 <= community.now_s - before < 95
        assert any("used up" in why and "until" in why for why in bench.clock.waits)

        bench.forum.faults.add(faults.too_many("retry_after_seconds", wait_s=7_200), next=1)
        with pytest.raises(TryLater, match="can be asked again at 20"):
            bench.source.listing("workbench", since=None, token=None)
        sent = len(bench.asked())
        with pytest.raises(TryLater):
            bench.open().verify("workbench")  # another process with the same clocks
        assert len(bench.asked()) == sent
        community.advance(7_200)
        assert bench.open().verify("workbench") == "workbench"


def test_failures_of_the_moment_are_asked_again_and_bounded() -> None:
    with reddit() as bench:
        bench.forum.faults.add(faults.server_error(503), next=2)
        bench.forum.faults.add(faults.cut(), path="/r/*", next=1)
        bench.forum.faults.add(faults.not_json(), path="/r/*", skip=1, next=1)
        assert bench.source.verify("workbench") == "workbench"
        assert len(bench.asked()) == 2 + 1 + 2 + 1  # 503 twice, token, cut and garbled, about
        bench.forum.faults.add(faults.server_error(502))
        sent = len(bench.asked())
        with pytest.raises(TryLater, match=r"status 502 \(/r/workbench/about, attempt 5 of 5\)"):
            bench.source.verify("workbench")
        assert len(bench.asked()) == sent + 5


def test_a_budget_ends_the_asking() -> None:
    with reddit(budget=Budget(max_requests=3)) as bench:
        bench.source.verify("workbench")
        bench.source.listing("workbench", since=None, token=None)
        with pytest.raises(OverBudget):
            bench.source.verify("workbench")
        assert len(bench.asked()) == 3


def test_tokens_are_renewed_when_they_run_out_or_are_refused() -> None:
    with reddit() as bench:
        bench.source.verify("workbench")
        bench.community.advance(TOKEN_S + 1)
        assert bench.source.verify("workbench") == "workbench"
        bench.forum.faults.add(faults.expired_token(), path="/r/*", next=1)
        bench.source.verify("workbench")
        assert bench.asked().count("POST /api/v1/access_token") == 3
        assert bench.asked().count("GET /r/workbench/about") == 5
        bench.forum.faults.add(faults.expired_token(), path="/r/*")
        with pytest.raises(NotAllowed, match="refused the token"):
            bench.source.verify("workbench")


def test_edits_and_deletions_are_seen_again_by_id() -> None:
    with reddit() as bench:
        community, source = bench.community, bench.source
        thread = next(one for one in community.threads() if len(one.answers) > 6)
        plain, edited, deleted, removed, nameless, doubly = thread.answers[:6]
        community.edit(edited.answer_id, "Better said.")
        community.delete(deleted.answer_id)
        community.delete(removed.answer_id, by="moderator")
        community.answer(doubly.answer_id, "So it stays in the tree.")
        community.delete(doubly.answer_id)
        assert nameless.author is not None
        community.delete_account(nameless.author)
        post_id = base36(int(thread.post_id))
        ids = [(post_id, base36(int(one.answer_id))) for one in thread.answers[:6]]
        source.verify("workbench")
        sent = len(bench.asked())
        items = source.again([post_id], ids)
        assert bench.asked(sent) == ["GET /api/info"]
        by_id = {one.answer_id: one for one in items.answers}
        states = [(by_id[answer_id].state, by_id[answer_id].edited) for _, answer_id in ids]
        assert states[1:] == [
            ("live", True),
            ("deleted", False),
            ("removed", False),
            ("live", False),
            ("deleted", False),
        ]
        assert by_id[ids[1][1]].body == "Better said."
        assert by_id[ids[2][1]].author is None
        assert by_id[ids[4][1]].author is None
        assert by_id[ids[4][1]].body == nameless.body
        assert by_id[ids[0][1]].score == plain.score

        # The tree drops what was deleted without replies, and keeps the rest as stubs.
        again = source.thread("workbench", post_id)
        there = {one.answer_id: one.state for one in again.answers}
        assert ids[2][1] not in there
        assert ids[3][1] not in there
        assert there[ids[5][1]] == "deleted"

        community.delete(thread.post_id)
        post = source.again([post_id], []).posts[0]
        assert (post.state, post.author, post.body) == ("deleted", None, "")


def test_absent_is_gone_unless_the_community_is_closed() -> None:
    with reddit() as bench:
        thread = bench.community.threads()[0]
        post_id = base36(int(thread.post_id))
        items = bench.source.again([post_id, "zzzz"], [(post_id, "zzzzz")])
        assert ([one.post_id for one in items.posts], items.answers) == ([post_id], [])
        # A whole batch is one request; a thread of which nothing was there is one more.
        assert bench.asked()[1:] == ["GET /api/info", "GET /comments/zzzz"]
        with pytest.raises(Unreadable) as unreadable:
            bench.source.thread("workbench", "zzzz")
        assert unreadable.value.evidence == "missing"
        bench.view.closed = "private"
        with pytest.raises(NotAllowed, match="is private"):
            bench.source.again([post_id], [])
        bench.view.closed = "banned"
        with pytest.raises(BadInput, match="was banned"):
            bench.source.again([post_id], [])


@pytest.mark.parametrize(
    ("closed", "error", "exit_code", "sentence"),
    [
        ("private", NotAllowed, 4, "r/workbench is private"),
        ("quarantined", NotAllowed, 4, "r/workbench is quarantined"),
        ("banned", BadInput, 5, "r/workbench was banned"),
    ],
)
def test_closed_communities_say_why(closed: Any, error: type[Error], exit_code: int, sentence: str) -> None:
    community = Community(world=NOBODY)
    post_id = base36(int(community.ask("Here?", "Yes.")))
    with reddit(community, RedditApi(community, closed=closed)) as bench:
        for ask in (
            lambda: bench.source.verify("workbench"),
            lambda: bench.source.listing("workbench", since=None, token=None),
        ):
            with pytest.raises(error, match=sentence) as refused:
                ask()
            assert refused.value.exit_code == exit_code
            assert refused.value.hint
        with pytest.raises(Unreadable, match=closed) as unreadable:
            bench.source.thread("workbench", post_id)
        assert unreadable.value.evidence == "closed"


def instead(status: int, body: Any, headers: dict[str, str] | None = None) -> faults.Fault:
    return faults.Fault("instead", instead=lambda _: Response(status, body, headers or {}))


PAGE = "<!doctype html><title>Just a moment...</title>"
HTML = {"content-type": "text/html"}


@pytest.mark.parametrize(
    ("fault", "evidence"),
    [
        *((instead(status, PAGE, HTML), "wall") for status in (200, 401, 403, 404)),
        *((instead(status, b""), "wall") for status in (200, 403, 404)),
        (instead(302, b"", {"location": "https://www.reddit.com/login/?dest=x"}), "closed"),
        (instead(401, {"message": "Unauthorized", "error": 401}), "closed"),
        (instead(403, {"message": "Forbidden", "error": 403}), "forbidden"),
        (instead(404, {"message": "Not Found", "error": 404}), "missing"),
    ],
)
def test_only_the_word_of_reddit_is_one_on_a_thread(fault: faults.Fault, evidence: str) -> None:
    with reddit() as bench:
        post_id = base36(int(bench.community.threads()[0].post_id))
        bench.forum.faults.add(fault, path="/comments/*")
        with pytest.raises(Unreadable) as unreadable:
            bench.source.thread("workbench", post_id)
        assert unreadable.value.evidence == evidence


@pytest.mark.parametrize("path", ["/r/*", "/comments/*", "/api/v1/access_token"])
def test_a_check_for_robots_is_said_and_no_credentials_are_blamed(path: str) -> None:
    with reddit() as bench:
        bench.forum.faults.add(instead(403, PAGE, HTML), path=path)
        absent = lambda: bench.source.again(["zzzz"], [])  # noqa: E731 - nobody can tell why it is
        ask = absent if path == "/comments/*" else lambda: bench.source.verify("workbench")
        with pytest.raises(TryLater, match="a check for robots"):
            ask()


@pytest.mark.parametrize("name", ["nowhere", "all", "a+b", "two words", "", "r/", "ünïcode", "../../api/v1/me"])
def test_unknown_and_impossible_communities(name: str) -> None:
    with reddit(Community(world=NOBODY)) as bench:
        with pytest.raises(BadInput):
            bench.source.verify(name)
        assert len(bench.asked()) == (2 if name == "nowhere" else 0)


@pytest.mark.parametrize(
    ("fault", "path", "sentence"),
    [
        (faults.html_login(), "/r/*", r"answered /r/workbench/about with a login page"),
        (faults.html_login(), "/api/*", r"answered /api/v1/access_token with a login page"),
        (faults.changed_types("access_token"), "/api/*", "has no 'access_token'"),
        (faults.changed_types("display_name"), "/r/*", "missing required field `display_name`"),
        (faults.changed_types("created_utc"), "/comments/*", "missing required field `created_utc`"),
        (faults.changed_types("link_id"), "/comments/*", "no field 'link_id'"),
        (faults.changed_types("score_hidden"), "/comments/*", "missing required field `score_hidden`"),
        (faults.changed_types(), "/comments/*", "Expected"),
        (faults.reordered(), "/nothing", None),
    ],
)
def test_answers_of_another_shape_name_what_is_wrong(fault: faults.Fault, path: str, sentence: str | None) -> None:
    community = Community(world=NOBODY)
    post_id = community.ask("Odd?", "Even.")
    community.answer(post_id, "Odd.")
    with reddit(community) as bench:
        bench.forum.faults.add(fault, path=path)

        def read() -> Thread:
            bench.source.verify("workbench")
            return bench.source.thread("workbench", base36(int(post_id)))

        if sentence is None:
            assert len(read().answers) == 1
            return
        with pytest.raises(BadInput, match=sentence) as error:
            read()
        assert "visitor" not in f"{error.value.message} {error.value.hint}"


def test_a_date_in_the_future_is_an_error_and_an_old_one_is_not() -> None:
    community = Community(world=NOBODY)
    old = community.ask("Old?", "Very.")
    community.advance(12 * 365 * 86_400)
    with reddit(community) as bench:
        assert bench.source.thread("workbench", base36(int(old))).post.created_at < bench.clock.now() * 1e6 - 3e14

    class Behind(CommunityClock):
        def now(self) -> float:
            return super().now() - 3 * 365 * 86_400

    young = community.ask("New?", "Very.")
    with reddit(community) as bench, bench.open(clock=Behind(community), clocks=None) as source:
        with pytest.raises(BadInput, match="created_utc is in the future") as error:
            source.thread("workbench", base36(int(young)))
        assert "clock" in error.value.hint


class Contest(RedditApi):
    def respond(self, request: Request) -> Response:
        answer = super().respond(request)
        things = answer.body if isinstance(answer.body, list) else [answer.body]
        for thing in things:
            for child in thing.get("data", {}).get("children", []) if isinstance(thing.get("data"), dict) else []:
                child["data"]["contest_mode"] = True
        return answer


def test_scores_that_reddit_hides_are_null() -> None:
    community = Community(world=NOBODY, now=datetime(2024, 5, 1, tzinfo=UTC))
    post_id = community.ask("Which?", "This or that?")
    community.advance(3_600)
    answer_id = community.answer(post_id, "That.")
    community.vote(answer_id, up=5)
    view = RedditApi(community, hides_scores_s=1_800)
    with reddit(community, view) as bench:
        thread = bench.source.thread("workbench", base36(int(post_id)))
        assert (thread.post.score, thread.answers[0].score) == (0, None)
        community.advance(1_800)
        assert bench.source.thread("workbench", base36(int(post_id))).answers[0].score == 5
    with reddit(community, Contest(community)) as bench:
        ids = base36(int(post_id)), base36(int(answer_id))
        thread = bench.source.thread("workbench", ids[0])
        assert (thread.post.score, thread.post.upvote_ratio, thread.answers[0].score) == (None, None, None)
        assert bench.source.again([ids[0]], [ids]).answers[0].score is None


# Credentials


def test_nothing_is_asked_without_credentials() -> None:
    with pytest.raises(NotAllowed, match=r"CLIENT_ID, SHP_MINER_REDDIT_CLIENT_SECRET") as error:
        Credentials.find(user_agent="me", environ={})
    assert "arctic-shift" in error.value.hint
    environ = {f"SHP_MINER_REDDIT_{name}": f"{name}-x" for name in ("CLIENT_ID", "CLIENT_SECRET", "USER_AGENT")}
    found = Credentials.find(client_secret="", environ=environ)
    assert (found.client_id, found.client_secret) == ("CLIENT_ID-x", "")
    assert "-x" not in repr(found).replace("USER_AGENT-x", "")
    with pytest.raises(NotAllowed, match="user agent"):
        Credentials("a", "b", "evil\nheader: x").header()
    assert Credentials("a", "b", "u/some_one").header().endswith(" (by /u/some_one)")


def test_refused_credentials_are_told_without_showing_them(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    with reddit(credentials=Credentials(CLIENT_ID, "wrong-secret", "reader")) as bench:
        with pytest.raises(NotAllowed, match=r"refused the credentials \(status 401\)") as error:
            bench.source.verify("workbench")
        assert len(bench.asked()) == 1
    for secret in ("wrong-secret", CLIENT_ID):
        assert secret not in f"{error.value} {error.value.hint} {caplog.text}"


def test_no_praw_ini_and_no_variable_of_praw_changes_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("praw.ini").write_text("[DEFAULT]\noauth_url=http://evil.example\nusername=me\npassword=pw\n[else]\na=b\n")
    monkeypatch.setenv("praw_site", "else")
    monkeypatch.setenv("praw_username", "me")
    monkeypatch.setenv("praw_password", "pw")
    with reddit() as bench:
        assert bench.source.verify("workbench") == "workbench"
        tokens = [one for one in bench.forum.requests("reddit") if one.path.endswith("access_token")]
        assert [one.form() for one in tokens] == [{"grant_type": "client_credentials"}]


def test_addresses_must_be_safe() -> None:
    with pytest.raises(BadInput, match="https"):
        Reddit(APP, oauth_url="http://127.0.0.1:1", reddit_url="http://127.0.0.1:1")
    with pytest.raises(BadInput, match="not an address of the public internet"):
        Reddit(APP, oauth_url="https://127.0.0.1:1", reddit_url="https://10.0.0.1")


# What Reddit really answered


class Recorded:
    """Replays a recording; what was not recorded is an empty listing."""

    platform: ClassVar[str] = "reddit"

    def __init__(self, file: Path) -> None:
        self.answers: dict[tuple[str, str], list[Any]] = {}
        for one in json.loads(file.read_bytes())["interactions"]:
            path = one["request"]["uri"].split("?")[0].removeprefix("https://").partition("/")[2].strip("/")
            body = json.loads(one["response"]["body"]["string"])
            if "access_token" in path:
                body = {"access_token": "t", "expires_in": 3600, "scope": "*", "token_type": "bearer"}
            self.answers.setdefault((one["request"]["method"], path), []).append(body)

    def respond(self, request: Request) -> Response:
        known = self.answers.get((request.method, request.path.strip("/")), [])
        return Response(200, known.pop(0) if known else {"kind": "Listing", "data": {"children": []}})


def replay(shared_data: Path, name: str) -> Any:
    community = Community(world=NOBODY, now=datetime(2020, 1, 1, tzinfo=UTC))
    return reddit(community, Recorded(shared_data / "reddit-api" / f"{name}.json"))


def test_a_recorded_thread_with_its_stub(shared_data: Path) -> None:
    with replay(shared_data, "TestMore.test_comments") as bench:
        thread = bench.source.thread("funny", "3hahrw")
        # The tree has 137 direct replies and a stub of nine, of which Reddit then handed out seven. The other two it
        # did not know by id either.
        assert (len(thread.answers), thread.missing) == (137 + 7, 0)
        assert bench.asked()[2:] == ["POST /api/morechildren", "GET /api/info"]
        more = bench.forum.requests("reddit")[2].form()
        assert len(more["children"].split(",")) == 9
        assert more["link_id"] == "t3_3hahrw"
        looked_up = bench.forum.requests("reddit")[3].first("id").split(",")
        assert looked_up == ["t1_cu5tkk4", "t1_cu5tpek"]
    post = thread.post
    assert (post.title, post.score, post.upvote_ratio, post.is_text, post.nsfw) == (
        "Ba Dum Tsss",
        11703,
        0.97,
        False,
        False,
    )
    assert (post.created_at, post.state, post.body) == (1439797480_000000, "live", "")
    assert post.url == "https://www.reddit.com/r/funny/comments/3hahrw/ba_dum_tsss/"
    by_id = {one.answer_id: one for one in thread.answers}
    assert (by_id["cu5pebp"].score, by_id["cu5pebp"].edited) == (1135, False)
    assert by_id["cu5pebp"].body.startswith("Man I am glad there isn't some")
    assert by_id["cu5oif1"].score == 1441
    assert {one.post_id for one in thread.answers} == {"3hahrw"}
    assert sum(one.author is None for one in thread.answers) == 1
    assert sum(one.edited for one in thread.answers) == 1


def test_a_recorded_lookup_of_a_hundred_ids(shared_data: Path) -> None:
    with replay(shared_data, "TestReddit.test_info") as bench:
        items = bench.source.again(["5dec00"], [])
        # A hundred objects, 33 of them communities, which are neither posts nor answers.
        assert (len(items.posts), len(items.answers)) == (33, 34)
        by_id = {one.post_id: one for one in items.posts}
        assert by_id["5dec00"].title == "Class choice question"
        assert by_id["5dec00"].score is None  # new then, so that its score was hidden
        assert by_id["5dec00"].is_text
        answers = {one.answer_id: one for one in items.answers}
        assert (answers["d7ltv00"].score, answers["d7ltv00"].post_id) == (2, "52ntoz")


@pytest.mark.parametrize(
    ("name", "path", "first", "after", "edited"),
    [
        ("TestSubredditListings.test_new", "new", "48fbm9", "t3_48f6io", None),
        ("TestSubredditListings.test_top", "top", "2np694", "t3_3i6z8w", None),
    ],
)
def test_recorded_listings(shared_data: Path, name: str, path: str, first: str, after: str, edited: int | None) -> None:
    with replay(shared_data, name) as bench:
        # The same shape, whatever it is sorted by.
        bench.view.answers["GET", "r/askreddit/new"] = bench.view.answers["GET", f"r/askreddit/{path}"]
        page = bench.source.listing("askreddit", since=None, token=None)
    assert len({one.post_id for one in page.threads}) == 100
    assert (page.threads[0].post_id, page.next, page.capped) == (first, f"100:{after}", None)
    if path == "new":
        times = [one.changed_at for one in page.threads]
        assert times == sorted(times, reverse=True)
        assert times[0] == 1456821458_000000
