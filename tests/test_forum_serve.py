from __future__ import annotations

import gzip
import http.client
import json
import re
import shlex
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import takewhile
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import httpx2
import pytest

from shp_miner.cli import run
from shp_miner.cli.forum import first_command
from shp_miner.errors import UsageError
from shp_miner.forum import World, simulate
from shp_miner.forum.live import Community, LiveThread
from shp_miner.forum.serve import faults
from shp_miner.forum.serve.message import Request, Response
from shp_miner.forum.serve.server import Forum, view_of
from shp_miner.sources.table import ROWS

SMALL = World(threads=30, mean_readers=200)
DAY_S = 86_400


@dataclass
class TinyApi:
    """A platform of this test: a list of threads, a thread, an echo, and a page that has a bug."""

    community: Community
    platform: ClassVar[str] = "tiny"

    def respond(self, request: Request) -> Response:
        kind, _, rest = request.path.strip("/").partition("/")
        if kind == "threads":
            shown = self.community.threads()[: int(request.first("limit", "10"))]
            items = [{"id": int(listed.post_id), "score": listed.score, "author": listed.author} for listed in shown]
            return Response(200, {"items": items, "has_more": False}, {"X-Tiny": "yes"})
        if kind == "thread":
            thread = self.community.thread(rest)
            parts = thread and [{"post": [{"id": thread.post_id}]}, {"answers": [{"id": 1}, {"id": 2}, {"id": 3}]}]
            return Response(200, parts) if parts else Response(404, {"wrong": "no such thread"})
        if kind == "echo":
            return Response(201, {"form": request.form(), "query": request.query, "method": request.method})
        if kind == "bug":
            return Response(200, {"items": object()}) if rest else Response(1 // 0)
        return Response(404, {"wrong": "no such page"})


class ZippedApi(TinyApi):
    platform = "zipped"
    always_gzip = True


@pytest.fixture
def community() -> Community:
    return Community(world=SMALL, seed=1)


@pytest.fixture
def forum(community: Community) -> Iterator[Forum]:
    with Forum(community, [TinyApi(community), ZippedApi(community)]) as forum:
        yield forum


#: One for all tests: making one takes long.
CLIENT = httpx2.Client()


@pytest.fixture(autouse=True, scope="module")
def _closed() -> Iterator[None]:
    yield
    CLIENT.close()


def get(forum: Forum, path: str, **arguments: Any) -> httpx2.Response:
    return CLIENT.get(forum.url("tiny") + path, **arguments)


# The community


def test_a_community_is_its_world_at_its_time() -> None:
    started = time.process_time()
    community = Community(world=SMALL, seed=1)
    assert time.process_time() - started < 1
    simulated = {thread.post_id: thread for thread in simulate(SMALL, 1)}
    half = len(community.threads())
    assert 5 < half < 25
    for _ in range(2):
        there = community.threads()
        assert {shown.post_id for shown in there} == {
            name for name, thread in simulated.items() if thread.created_s <= community.now_s
        }
        for shown in there:
            then = simulated[shown.post_id].at(community.now)
            assert (shown.up, shown.down) == (then.up, then.down)
            assert [(a.answer_id, a.up, a.down, a.body) for a in shown.answers] == [
                (a.answer.answer_id, a.up, a.down, a.answer.text) for a in then.answers
            ]
        community.now = SMALL.observed_at
    assert len(community.threads()) == 30
    assert community.threads()[0].views == simulated[community.threads()[0].post_id].readers
    assert set(community.truth()) == {(t.post_id, a.answer_id) for t in community.threads() for a in t.answers}


def test_threads_stand_newest_first_by_post_or_by_activity(community: Community) -> None:
    created = [thread.created_s for thread in community.threads()]
    active = [thread.activity_s for thread in community.threads("activity")]
    assert created == sorted(created, reverse=True)
    assert active == sorted(active, reverse=True)
    assert [thread.post_id for thread in community.threads() if thread.pinned] == [community.threads()[-1].post_id]
    for thread in community.threads():
        assert thread.activity_s == max(item.created_s for item in (thread, *thread.walk()))
    old = community.threads()[-2].post_id
    community.answer(old, "Still true.")
    assert community.threads("activity")[0].post_id == old
    assert community.threads()[-2].post_id == old


def everything(community: Community) -> list[LiveThread]:
    community.now = SMALL.observed_at + timedelta(days=30)
    return community.threads()


def test_replies_names_and_ids_are_there_and_stay_the_same(community: Community) -> None:
    shown = everything(community)
    assert shown == everything(Community(world=SMALL, seed=1))
    assert shown != everything(Community(world=SMALL, seed=2))
    items = [item for thread in shown for item in thread.walk()]
    ids = [int(item.answer_id) for item in items] + [int(thread.post_id) for thread in shown]
    assert len(ids) == len(set(ids))
    assert min(ids) > 0
    nested = [item for item in items if item.parent_id != item.post_id]
    above = {item.answer_id: item for item in items}
    assert all(item.created_s > above[item.parent_id].created_s for item in nested)
    assert {above[item.parent_id].parent_id == item.post_id for item in nested} == {True, False}
    assert any(item.score for item in nested)
    asker = {thread.post_id: thread.author_id for thread in shown}
    assert {item.author_id == asker[item.post_id] for item in nested} == {True, False}
    names = {item.author or "" for item in items}
    leftward = {name for name in names if any(unicodedata.bidirectional(char) in "RAL" for char in name if char > "z")}
    emoji = {name for name in names if re.search("[\U0001f300-\U0001faff]", name)}
    assert leftward - emoji
    assert emoji - leftward
    assert leftward & emoji
    assert {item.role for item in items} >= {"member", "moderator"}
    accepted = [thread.accepted_id for thread in shown if thread.accepted_id]
    assert 0 < len(accepted) < len(shown)
    assert all(above[name].parent_id == above[name].post_id for name in accepted)


def test_what_people_do_shows_at_once_and_pictures_stay(community: Community) -> None:
    before = next(thread for thread in community.threads() if len(thread.answers) > 1 and thread.author)
    first, second = (answer.answer_id for answer in before.answers[:2])
    community.edit(before.post_id, "Another question 🙂")
    community.delete(first)
    community.delete(second, by="moderator")
    community.vote(before.post_id, up=3, down=1)
    after = community.thread(before.post_id)
    assert after
    assert (after.body, after.edited_s) == ("Another question 🙂", int(community.now_s))
    assert (after.up, after.down) == (before.up + 3, before.down + 1)
    gone = after.answers[:2]
    assert [(answer.state, answer.body) for answer in gone] == [("deleted", ""), ("removed", "")]
    assert [answer.author for answer in gone] == [answer.author for answer in before.answers[:2]]
    assert all(answer.body and answer.state == "live" for answer in before.answers)
    community.delete_account(before.author or "")
    after = community.thread(before.post_id)
    assert after
    mine = [item for item in (after, *after.walk()) if item.author_id == before.author_id]
    assert {item.author for item in mine} == {None}
    assert after.body == "Another question 🙂"
    assert {item.author for item in after.walk() if item not in mine}.isdisjoint({None, before.author})
    with pytest.raises(KeyError):
        community.edit(first, "again")


def test_new_questions_answers_and_replies(community: Community) -> None:
    post = community.ask("Why?", "Because?", author="דנה 🌻")
    answer = community.answer(post, "So.")
    reply = community.answer(answer, "Oh.", author="דנה 🌻")
    community.advance(60)
    deeper = community.answer(reply, "Ah.")
    thread = community.thread(post)
    assert thread == community.threads()[0]
    assert [shown_answer.answer_id for shown_answer in thread.walk()] == [answer, reply, deeper]
    assert thread.answers[0].replies[0].author_id == thread.author_id != thread.answers[0].author_id
    assert thread.activity_s == thread.created_s + 60
    community.delete(deeper)
    community.delete(post)
    seen = community.thread(post)
    assert seen
    assert (seen.state, seen.activity_s) == ("deleted", seen.created_s)
    assert post in {listed.post_id for listed in community.threads()}


def test_what_is_not_there_yet_cannot_be_seen_or_changed(community: Community) -> None:
    late = simulate(SMALL, 1)[-1]
    assert community.thread(late.post_id) is community.find(late.answers[0].answer_id) is community.find("0") is None
    with pytest.raises(KeyError):
        community.delete(late.post_id)
    with pytest.raises(KeyError):
        community.pin(community.threads()[0].answers[0].answer_id)
    with pytest.raises(UsageError, match="does not go back"):
        community.advance(-1)
    with pytest.raises(UsageError, match="time zone"):
        community.now = datetime(2030, 1, 1)  # noqa: DTZ001  (the mistake in question)


def test_a_community_may_be_read_while_it_lives(community: Community) -> None:
    def read(_: int) -> bool:
        thread = community.threads("activity")[0]
        return all(item.created_s <= community.now_s and bool(item.body) for item in thread.walk())

    with ThreadPoolExecutor(4) as pool:
        reading = pool.map(read, range(60))
        for _ in range(60):
            community.advance(DAY_S / 2)
            community.answer(community.threads()[0].post_id, "Me too.")
        assert all(reading)


# The server


def test_each_platform_has_a_port_and_a_log(forum: Forum, community: Community) -> None:
    assert forum.url("tiny") != forum.url("zipped")
    seen = get(forum, "/threads?limit=3", headers={"User-Agent": "me"})
    assert [item["id"] for item in seen.json()["items"]] == [int(thread.post_id) for thread in community.threads()[:3]]
    assert seen.headers["x-tiny"] == "yes"
    assert parsedate_to_datetime(seen.headers["date"]) == community.now.replace(microsecond=0)
    missing = get(forum, "/no%20such")
    assert (missing.status_code, missing.json()) == (404, {"wrong": "no such page"})
    sent = CLIENT.post(f"{forum.url('tiny')}/echo?a=1&a=2&b=", data={"name": "שלום 🌻"})
    assert sent.json() == {"form": {"name": "שלום 🌻"}, "query": {"a": ["1", "2"], "b": [""]}, "method": "POST"}
    log = forum.requests("tiny")
    assert [(request.method, request.path, request.status) for request in log] == [
        ("GET", "/threads", 200),
        ("GET", "/no such", 404),
        ("POST", "/echo", 201),
    ]
    assert log[0].first("limit") == "3"
    assert log[0].headers["user-agent"] == "me"
    assert forum.requests("zipped") == []


def test_answers_are_compressed_where_asked_or_always(forum: Forum) -> None:
    for name, asks, zipped in (("tiny", "gzip", True), ("tiny", "identity", False), ("zipped", "identity", True)):
        connection = http.client.HTTPConnection(forum.url(name).removeprefix("http://"))
        # Twice over one connection: it is kept.
        for _ in range(2):
            connection.request("GET", "/threads", headers={"Accept-Encoding": asks})
            mine = connection.sock
            answer = connection.getresponse()
            body = answer.read()
            assert answer.version == 11
            assert (answer.getheader("content-encoding") == "gzip") is zipped
            assert json.loads(gzip.decompress(body) if zipped else body)["items"]
            assert connection.sock is mine is not None
        connection.close()


def test_a_bug_in_a_view_is_not_taken_for_a_fault(community: Community) -> None:
    with pytest.raises(ZeroDivisionError), Forum(community, [TinyApi(community)]) as forum:
        assert get(forum, "/bug").status_code == 500
    inside = pytest.raises(httpx2.TransportError)
    with pytest.raises(TypeError, match="object"), Forum(community, [TinyApi(community)]) as forum, inside:
        get(forum, "/bug/in-the-body")


def test_a_closed_forum_hangs_up(community: Community) -> None:
    with httpx2.Client() as client:
        with Forum(community, [TinyApi(community)]) as forum:
            url = forum.url("tiny")
            assert client.get(f"{url}/threads").status_code == 200
        with pytest.raises(httpx2.TransportError):
            client.get(f"{url}/threads")


def test_every_platform_is_found_by_its_name(community: Community) -> None:
    for name in ROWS:
        assert view_of(name)(community).platform == name
    with pytest.raises(UsageError, match="has no API 'lobsters'"):
        Forum(community, ["lobsters"])


# Faults


@pytest.mark.parametrize(
    ("signal_", "status", "headers", "body"),
    [
        ("retry_after_seconds", 429, {"retry-after": "7"}, {}),
        ("reddit", 429, {"x-ratelimit-remaining": "0.0", "x-ratelimit-reset": "7"}, {"error": 429}),
        ("discourse", 429, {}, {"error_type": "rate_limit", "extras": {"wait_seconds": 7, "time_left": "7 seconds"}}),
        ("stackexchange", 400, {}, {"error_id": 502, "error_name": "throttle_violation"}),
        ("silent", 429, {}, {}),
    ],
)
def test_too_many(forum: Forum, signal_: Any, status: int, headers: dict[str, str], body: dict[str, Any]) -> None:
    planned = forum.faults.add(faults.too_many(signal_, wait_s=7), next=1)
    refused = get(forum, "/threads")
    assert refused.status_code == status
    assert {name: value for name, value in refused.headers.items() if name.startswith(("retry", "x-"))} == headers
    assert refused.json().items() >= body.items()
    assert get(forum, "/threads").status_code == 200
    assert [request.faults for request in forum.requests("tiny")] == [("too_many",), ()]
    assert [request.status for request in forum.requests("tiny")] == [status, 200]
    assert planned.struck == 1


def test_times_in_refusals_are_those_of_the_servers_clock(forum: Forum, community: Community) -> None:
    until = community.now.replace(microsecond=0) + timedelta(seconds=7)
    forum.faults.add(faults.too_many("retry_after_date", wait_s=7), path="/threads")
    forum.faults.add(faults.too_many("arctic_shift", wait_s=7), path="/thread/*")
    assert parsedate_to_datetime(get(forum, "/threads").headers["retry-after"]) == until
    reset = int(get(forum, "/thread/1").headers["x-ratelimit-reset"])
    assert 7 <= reset - community.now_s < 8
    forum.faults.add(faults.clock_skew(-3600))
    skewed = get(forum, "/threads")
    assert parsedate_to_datetime(skewed.headers["date"]) == until - timedelta(seconds=3607)
    assert parsedate_to_datetime(skewed.headers["retry-after"]) == until - timedelta(seconds=3600)
    assert forum.requests("tiny")[-1].faults == ("too_many", "clock_skew")


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        (faults.server_error(502), 502, "text/html"),
        (faults.html_login(), 200, "text/html"),
        (faults.expired_token(), 401, "application/json"),
        (faults.not_json(), 200, "application/json"),
    ],
)
def test_answers_in_place_of_the_platforms(forum: Forum, fault: faults.Fault, status: int, kind: str) -> None:
    forum.faults.add(fault)
    # The view has a bug there; it is never asked.
    answer = get(forum, "/bug")
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (status, kind)
    assert ('error="invalid_token"' in answer.headers.get("www-authenticate", "")) is (status == 401)
    if status != 401:
        with pytest.raises(json.JSONDecodeError):
            answer.json()
    assert forum.requests("tiny")[0].faults == (fault.name,)


def test_spoilt_pages(forum: Forum) -> None:
    good = get(forum, "/threads").json()["items"]
    parts = get(forum, "/thread/1").json()
    for fault, items in (
        (faults.duplicated(), good + good),
        (faults.reordered(), good[::-1]),
        (faults.changed_types(), [{**item, "id": str(item["id"]), "score": str(item["score"])} for item in good]),
        (faults.changed_types(missing="author"), [{"id": item["id"], "score": item["score"]} for item in good]),
    ):
        forum.faults.clear()
        forum.faults.add(fault)
        assert get(forum, "/threads").json() == {"items": items, "has_more": False}
        assert forum.requests("tiny")[-1].faults == (fault.name,)
    forum.faults.clear()
    forum.faults.add(faults.duplicated())
    # A list of parts is no page: the longest list in it is.
    assert get(forum, "/thread/1").json() == [parts[0], {"answers": parts[1]["answers"] * 2}]
    assert get(forum, "/no-items").json() == {"wrong": "no such page"}
    assert forum.requests("tiny")[-1].faults == ()
    forum.faults.add(faults.backoff(11), path="/threads")
    assert get(forum, "/threads?limit=1").json()["backoff"] == 11
    assert forum.requests("tiny")[-1].faults == ("duplicated", "backoff")


@pytest.mark.parametrize("asks", ["gzip", "identity"])
def test_a_body_that_breaks_off(forum: Forum, asks: str) -> None:
    forum.faults.add(faults.cut(), next=1)
    with httpx2.Client(headers={"Accept-Encoding": asks}) as client:
        with pytest.raises(httpx2.RemoteProtocolError, match="without sending complete message body"):
            client.get(f"{forum.url('tiny')}/threads")
        assert client.get(f"{forum.url('tiny')}/threads").json()["items"]


def test_slow_answers(forum: Forum) -> None:
    for fault in (faults.slow(before_s=0.3), faults.slow(midway_s=0.3)):
        forum.faults.clear()
        forum.faults.add(fault)
        with pytest.raises(httpx2.ReadTimeout):
            get(forum, "/threads", timeout=0.1)
        started = time.perf_counter()
        assert get(forum, "/threads").json()["items"]
        assert time.perf_counter() - started > 0.3
    forum.faults.clear()
    took_s = []
    for _ in range(50):
        started = time.perf_counter()
        get(forum, "/no-such")
        took_s.append(time.perf_counter() - started)
    # No packet waits for the acknowledgement of another (40 ms each).
    assert median(took_s) < 0.03


def test_which_requests_meet_a_fault(forum: Forum) -> None:
    def hits(paths: str = "/threads", count: int = 12) -> list[int]:
        before = len(forum.requests("tiny"))
        for _ in range(count):
            get(forum, paths)
        return [index for index, request in enumerate(forum.requests("tiny")[before:]) if request.faults]

    def plan(**when: Any) -> None:
        forum.faults.clear()
        forum.faults.add(faults.server_error(), **when)

    plan(every=3)
    assert hits() == [2, 5, 8, 11]
    plan(skip=4, next=2)
    assert hits() == [4, 5]
    plan(every=2, skip=1, next=2)
    assert hits() == [2, 4]
    plan(path="/thread/*")
    assert (hits(count=2), hits("/thread/1", 2)) == ([], [0, 1])
    plan(platform="zipped")
    assert hits(count=2) == []
    plan(share=0.5, seed=3)
    some = hits()
    plan(share=0.5, seed=3)
    assert hits() == some
    assert 2 < len(some) < 10
    plan(share=0.0)
    assert hits() == []
    for wrong in ({"every": 0}, {"skip": -1}, {"next": -1}, {"share": 1.5}):
        with pytest.raises(UsageError):
            plan(**wrong)


# The command


def test_the_commands_to_try_first_read_the_forum(
    community: Community, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    # Without pauses; what they are for is tested elsewhere.
    monkeypatch.setattr("shp_miner.sources.http.SYSTEM.sleep", lambda seconds, why: None)
    with Forum(community, list(ROWS)) as forum:
        for name in ROWS:
            words = shlex.split(first_command(name, forum.url(name), community.name))
            start = words.index("shp-miner")
            for variable in words[:start]:
                monkeypatch.setenv(*variable.split("=", 1))
            # Done in part: there are more threads than it asks for.
            assert run([*words[start + 1 :], "--json"]) == 3
            read = json.loads(capsys.readouterr().out)["communities"][0]
            assert (read["read"], read["failed"]) == (5, 0), name


def test_the_command_serves_until_it_is_stopped() -> None:
    arguments = ["forum", "--serve", "lemmy", "discourse", "--threads", "20", "--day-length", "1s", "--json"]
    code = f"from shp_miner.cli import main; main({arguments!r})"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        printed = takewhile(lambda line: line not in ("", "}\n"), iter(process.stdout.readline, None))
        told = json.loads("".join(printed) + "}")
        assert list(told["urls"]) == ["lemmy", "discourse"]
        seen = httpx2.get(f"{told['urls']['discourse']}/latest.json")
        then = parsedate_to_datetime(seen.headers["date"])
        assert seen.json()
        assert timedelta(days=20) < datetime.now(UTC) - then < timedelta(days=31)
        time.sleep(0.5)
        later = parsedate_to_datetime(httpx2.get(f"{told['urls']['lemmy']}/").headers["date"])
        assert timedelta(hours=4) < later - then < timedelta(days=5)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--serve", "lobsters"], "has no API 'lobsters'"),
        ([], "--serve is missing"),
        (["--serve", "--day-length", "0s"], "must be longer than 0"),
        (["--serve", "--threads", "0"], "--threads"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["forum", *arguments]) == 2
    assert says in capsys.readouterr().err
