"""What the embedded forum does about deletions, doors and lies, in each platform's own way."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from shp_miner.errors import UsageError
from shp_miner.forum.live import Community
from shp_miner.forum.serve import refusals
from shp_miner.forum.serve.faults import Delivery
from shp_miner.forum.serve.message import Request, Response
from shp_miner.forum.serve.nodebb import NodebbOldApi
from shp_miner.forum.serve.reddit import base36
from shp_miner.forum.serve.server import Forum
from shp_miner.sources.table import ROWS

from .crawls import KINDS, settled

VIEWS = {name: kind.view for name, kind in KINDS.items()} | {"nodebb-old": NodebbOldApi}
POST, ANSWER = "Xylopost", "Xyloanswer"


class Guest:
    """Somebody who asks a view without an account. Reddit gives a token to anyone with an app."""

    def __init__(self, name: str, community: Community) -> None:
        self.name, self.view = name, VIEWS[name](community)
        self.headers = {"authorization": "bearer x"}
        if name == "reddit":
            self.view._tokens["x"] = float("inf")

    def ask(self, path: str, **query: str) -> Response:
        response: Response = self.view.respond(
            Request("GET", path, {key: [value] for key, value in query.items()}, self.headers)
        )
        return response

    def listing(self) -> Response:
        name = self.view.community.name
        site = {"site": f"{name}.stackexchange.com", "tagged": name}
        asked: dict[str, tuple[str, dict[str, str]]] = {
            "reddit": (f"/r/{name}/new", {}),
            "arctic-shift": ("/api/posts/search", {"subreddit": name}),
            "stackexchange": ("/2.3/questions", site | {"filter": "withbody"}),
            "lemmy-v4": ("/api/v4/post/list", {"community_name": name, "sort": "new"}),
            "lemmy-v3": ("/api/v3/post/list", {"community_name": name, "sort": "New"}),
            "discourse": (f"/c/{name}/5/l/latest.json", {}),
            "nodebb": ("/api/category/2", {}),
        }
        path, query = asked[self.name.removesuffix("-old")]
        return self.ask(path, **query)

    def thread(self, post_id: str) -> list[Response]:
        """What is asked for a whole thread."""
        number = base36(int(post_id))
        site = {"site": f"{self.view.community.name}.stackexchange.com", "filter": "withbody"}
        asked: dict[str, list[tuple[str, dict[str, str]]]] = {
            "reddit": [(f"/comments/{number}", {})],
            "arctic-shift": [("/api/posts/ids", {"ids": number}), ("/api/comments/search", {"link_id": number})],
            "stackexchange": [(f"/2.3/questions/{post_id}{more}", site) for more in ("", "/answers")],
            "lemmy-v4": [("/api/v4/post", {"id": post_id}), ("/api/v4/comment/list", {"post_id": post_id})],
            "lemmy-v3": [("/api/v3/post", {"id": post_id}), ("/api/v3/comment/list", {"post_id": post_id})],
            "discourse": [(f"/t/{post_id}.json", {})],
            "nodebb": [(f"/api/topic/{post_id}", {})],
        }
        return [self.ask(path, **query) for path, query in asked[self.name.removesuffix("-old")]]

    def reads(self, post_id: str) -> tuple[bool, bool]:
        """Whether the question's and the answer's text is handed out."""
        text = "".join(json.dumps(response.body) for response in self.thread(post_id))
        return POST in text, ANSWER in text

    def lists(self, post_id: str) -> bool:
        """Whether the listing names the thread as one that can be read."""
        body: Any = self.listing().body
        if self.name.startswith("nodebb"):
            return any(topic["tid"] == int(post_id) and not topic["deleted"] for topic in body["topics"])
        return "Is it a Xylotitle?" in json.dumps(body)


@pytest.fixture
def community() -> Community:
    return settled(0)


@pytest.fixture(params=list(VIEWS))
def guest(request: pytest.FixtureRequest, community: Community) -> Guest:
    return Guest(request.param, community)


@pytest.fixture
def thread(community: Community) -> tuple[str, str]:
    """A thread's id and its answer's."""
    post_id = community.ask("Is it a Xylotitle?", f"It is {POST}.")
    return post_id, community.answer(post_id, f"Say {ANSWER}.")


def test_an_answer_goes_and_comes_back(guest: Guest, community: Community, thread: tuple[str, str]) -> None:
    post_id, answer_id = thread
    archive = guest.name == "arctic-shift"
    assert guest.reads(post_id) == (True, True)
    for by in ("author", "moderator"):
        community.delete(answer_id, by=by)  # type: ignore[arg-type]
        assert guest.reads(post_id) == (True, archive), "the archive only marks it"
        community.restore(answer_id)
        assert guest.reads(post_id) == (True, True)
    community.purge(answer_id)
    assert guest.reads(post_id) == (True, False)
    assert community.find(answer_id) is None
    with pytest.raises(KeyError):
        community.edit(answer_id, "What is not there cannot be changed.")
    community.restore(answer_id)
    assert guest.reads(post_id) == (True, True)


def test_a_thread_goes_and_comes_back(guest: Guest, community: Community, thread: tuple[str, str]) -> None:
    post_id, _ = thread
    archive, stub = guest.name == "arctic-shift", guest.name in ("reddit", "arctic-shift")
    assert guest.lists(post_id)
    community.delete(post_id, by="moderator")
    assert guest.reads(post_id) == (archive, stub)
    assert guest.lists(post_id) is stub
    community.restore(post_id)
    assert guest.reads(post_id) == (True, True)
    community.purge(post_id)
    assert guest.reads(post_id) == (False, False)
    assert not guest.lists(post_id)
    assert not community.threads()
    community.restore(post_id)
    assert guest.lists(post_id)
    assert guest.reads(post_id) == (True, True)


def test_the_archive_marks_what_is_gone_and_what_is_back(community: Community, thread: tuple[str, str]) -> None:
    guest = Guest("arctic-shift", community)

    def meta() -> dict[str, Any]:
        found: dict[str, Any] = guest.thread(thread[0])[0].body["data"][0]["_meta"]
        return found

    assert meta() == {}
    community.delete(thread[0])
    assert meta() == {"was_deleted_later": True}
    community.restore(thread[0])
    assert meta() == {"was_initially_deleted": True, "removal_type": "moderator"}


def test_a_deleted_topic_of_nodebb_is_a_stub_in_the_list(community: Community, thread: tuple[str, str]) -> None:
    community.delete(thread[0])
    for name, status in (("nodebb", 404), ("nodebb-old", 401)):
        guest = Guest(name, community)
        (topic,) = guest.listing().body["topics"]
        assert (topic["deleted"], topic["title"]) == (1, "[[topic:topic-is-deleted]]")
        assert [response.status for response in guest.thread(thread[0])] == [status]


#: What a thread is answered with that guests may not read: by its listing it is there, or in a closed category.
CLOSED = {
    "reddit": (403, 403),
    "stackexchange": (200, 200),
    "lemmy-v4": (404, 404),
    "lemmy-v3": (404, 404),
    "discourse": (403, 404),
    "nodebb": (404, 404),
    "nodebb-old": (401, 401),
}


def test_doors_close_and_open(guest: Guest, community: Community, thread: tuple[str, str]) -> None:
    post_id, _ = thread
    archive = guest.name == "arctic-shift"
    community.move(post_id, "staff")
    assert guest.reads(post_id) == (True, True), "it is elsewhere, and there for everybody"
    assert not guest.lists(post_id)
    community.close("staff")
    assert guest.reads(post_id) == (archive, archive)
    if not archive:
        assert guest.thread(post_id)[0].status == CLOSED[guest.name][1]
    community.reopen("staff")
    community.move(post_id, None)
    assert guest.lists(post_id)
    community.close(listed=True)
    assert guest.reads(post_id) == (archive, archive)
    assert guest.listing().status == 200
    if not archive:
        assert guest.thread(post_id)[0].status == CLOSED[guest.name][0]
    community.close()
    assert archive or guest.listing().status >= 400
    assert guest.reads(post_id) == (archive, archive)
    community.reopen()
    assert guest.lists(post_id)
    assert guest.reads(post_id) == (True, True)


def test_refusals_are_those_of_the_platform(community: Community) -> None:
    for name in ROWS:
        for status in (401, 403, 404, 410):
            refused = refusals.refused(status, name)  # type: ignore[arg-type]
            assert refused.instead is not None
            answer = refused.instead(community.now)
            assert answer.status == (400 if name == "stackexchange" else status)
            assert isinstance(answer.body, dict)
    with pytest.raises(UsageError, match="'usenet'"):
        refusals.refused(404, "usenet")


def test_walls_empty_answers_and_the_way_to_a_login(community: Community, thread: tuple[str, str]) -> None:
    with Forum(community, ["discourse"]) as forum, httpx2.Client(base_url=forum.url("discourse")) as client:
        path = f"/t/{thread[0]}.json"
        for fault, status, says in (
            (refusals.page(403), 403, "Just a moment..."),
            (refusals.page(404), 404, "404 Not Found"),
            (refusals.empty(), 200, ""),
            (refusals.empty(404), 404, ""),
        ):
            forum.faults.add(fault, path="/t/*", next=1)
            answer = client.get(path)
            assert (answer.status_code, says in answer.text) == (status, True)
            assert answer.text == "" or answer.headers["content-type"].startswith("text/html")
        forum.faults.add(refusals.to_login(), path="/t/*", next=1)
        answer = client.get(path, follow_redirects=True)
        assert (answer.url.path, answer.status_code) == ("/login", 200)
        assert "name=password" in answer.text
        assert client.get(path).json()["id"] == int(thread[0])


def test_a_share_of_the_items_is_left_out_always_the_same(community: Community, thread: tuple[str, str]) -> None:
    post_id, _ = thread
    for number in range(30):
        community.answer(post_id, f"Answer {number}.")
    for name in KINDS:
        guest, fault = Guest(name, community), refusals.left_out(0.3, seed=1)
        whole = guest.thread(post_id)[-1]
        assert fault.spoil is not None
        first, again = (fault.spoil(Delivery(whole, community.now)).response.body for _ in range(2))
        assert first == again
        assert json.dumps(first).count("Answer ") < json.dumps(whole.body).count("Answer ")
        assert json.dumps(first).count("Answer ") > 5
