"""The polite HTTP layer against a site on this machine that misbehaves in every way there is."""

from __future__ import annotations

import gzip
import logging
import random
import socket
import subprocess
import threading
import time
import traceback
import tracemalloc
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from shp_miner.errors import BadInput, NotAllowed, TryLater, UsageError
from shp_miner.sources import connect, discourse, stackexchange
from shp_miner.sources.http import Budget, Http, Limits, MemoryClocks, OverBudget, Pace, Params, Refused, Unexpected
from shp_miner.sources.limits import LONGEST_WAIT_S
from shp_miner.sources.losing import counting_lost
from shp_miner.sources.pace import next_place

from .web import START, FakeClock, Reply, Site, serve

FREE = Limits(requests=1000, interval_s=1, burst=1000, connect_s=5, read_s=0.3, total_s=0.5)
OK = Reply({"ok": 1})
SECRET = "s3cr3t+/=tok"


class Answer(msgspec.Struct):
    ok: int


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as site:
        yield site


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def ask(site: Site, clock: FakeClock, limits: Limits = FREE, **options: Any) -> Http:
    options = {"jitter": random.Random(1), "allow_private": True, **options}
    return site.stack.enter_context(Http(site.url, limits=limits, clock=clock, **options))


def limits(**changes: Any) -> Limits:
    return msgspec.structs.replace(FREE, **changes)


def test_a_request_says_who_asks_and_decodes_the_answer(site: Site, clock: FakeClock) -> None:
    with ask(site, clock, headers={"Authorization": "Bearer abc"}) as http:
        params: Params = {"page": 2, "q": "a&b", "none": None, "yes": True, "ids": [1, 2]}
        assert http.get("/x.json", Answer, params=params) == Answer(1)
        assert http.post("/y", Answer, json={"a": [1]}) == Answer(1)
        assert http.requests == 2
    path, headers = site.seen[0]
    assert path == "/x.json?page=2&q=a%26b&yes=true&ids=1&ids=2"
    assert headers["user-agent"].startswith("shp-miner/0.")
    assert "research" in headers["user-agent"]
    assert (headers["accept"], headers["authorization"]) == ("application/json", "Bearer abc")
    assert site.bodies[1] == b'{"a":[1]}'
    assert clock.slept == []


# -- Asked to wait ----------------------------------------------------------------------------------------------------

TEN_YEARS_AGO = START - 10 * 365 * 86400


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        (Reply(status=429, headers={"Retry-After": "7"}), 7),
        (Reply(status=503, headers={"Retry-After": "7"}), 7),
        # The site's clock is ten years behind; only the difference of its own two times counts.
        (
            Reply(
                status=429,
                headers={"Date": formatdate(TEN_YEARS_AGO), "Retry-After": formatdate(TEN_YEARS_AGO + 7, usegmt=True)},
            ),
            7,
        ),
        (Reply(status=429, headers={"X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": "7"}), 7),
        (
            Reply(
                status=429,
                headers={
                    "Date": formatdate(TEN_YEARS_AGO),
                    "X-Ratelimit-Remaining": "0",
                    "X-Ratelimit-Reset": str(TEN_YEARS_AGO + 7),
                },
            ),
            7,
        ),
        (Reply({"extras": {"wait_seconds": 7}}, status=429), 7),
        (Reply({"extras": {"wait_seconds": 7}}, status=429, headers={"Retry-After": "3"}), 7),
        (
            Reply(
                {"error_id": 502, "error_name": "throttle_violation", "error_message": "... available in 7 seconds"},
                status=400,
            ),
            7,
        ),
    ],
)
def test_a_storm_of_refusals_is_sat_out(site: Site, clock: FakeClock, reply: Reply, seconds: float) -> None:
    def signals(*told: Any) -> Any:
        return discourse.signals(*told) or stackexchange.signals(*told)

    site.will(reply, reply, reply, OK)
    assert ask(site, clock, limits(signals=signals)).get("/x", Answer) == Answer(1)
    assert clock.slept == [seconds] * 3
    assert len(site.seen) == 4


def test_a_refusal_that_does_not_say_how_long_waits_longer_each_time(site: Site, clock: FakeClock) -> None:
    site.will(Reply(status=429), Reply(b"<html>", status=429), Reply(status=429, headers={"Retry-After": "soon"}), OK)
    ask(site, clock).get("/x", Answer)
    for seconds, expected in zip(clock.slept, (10, 20, 40), strict=True):
        assert 0.75 * expected <= seconds <= 1.25 * expected


@pytest.mark.parametrize("reset", ["12", str(START + 12)])
def test_used_up_requests_stop_the_next_one(site: Site, clock: FakeClock, reset: str) -> None:
    used_up = {"Date": formatdate(START), "X-Ratelimit-Remaining": "0.0", "X-Ratelimit-Reset": reset}
    site.will(Reply({"ok": 1}, headers=used_up), Reply({"ok": 2}, headers={**used_up, "X-Ratelimit-Remaining": "1.0"}))
    http = ask(site, clock)
    assert http.get("/x", Answer) == Answer(1)
    assert clock.slept == []
    assert [http.get("/x", Answer), http.get("/x", Answer)] == [Answer(2), Answer(2)]
    assert clock.slept == [12]


def test_a_used_up_limit_does_not_turn_an_absence_into_a_refusal(site: Site, clock: FakeClock) -> None:
    site.will(Reply({}, status=404, headers={"X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": "9"}), OK)
    assert ask(site, clock).get_or_none("/x", Answer) is None
    assert len(site.seen) == 1


def test_a_backoff_holds_for_its_method_and_for_later_runs(site: Site, clock: FakeClock) -> None:
    clocks = MemoryClocks()
    of_stackexchange = limits(signals=stackexchange.signals)
    site.will(Reply({"ok": 1, "backoff": 10, "quota_remaining": 5}), OK)
    ask(site, clock, of_stackexchange, clocks=clocks).get("/x", Answer, method="questions")
    later = ask(site, clock, of_stackexchange, clocks=clocks)
    later.get("/x", Answer, method="answers")
    assert clock.slept == []
    later.get("/x", Answer, method="questions")
    assert clock.slept == [10]
    assert "an earlier run" in clock.waits[0]


def test_a_used_up_quota_ends_the_run_until_midnight(site: Site, clock: FakeClock) -> None:
    clocks = MemoryClocks()
    site.will(Reply({"ok": 1, "quota_remaining": 0}), OK)
    http = ask(site, clock, limits(signals=stackexchange.signals), clocks=clocks)
    assert http.get("/x", Answer) == Answer(1)  # What came with the last of the quota is not thrown away.
    for again in (http, ask(site, clock, clocks=clocks)):
        with pytest.raises(TryLater, match=r"at 2026-01-02 00:00:00 UTC"):
            again.get("/x", Answer)
    assert (len(site.seen), clock.slept) == (1, [])
    clock.time = START + 10 * 3600
    assert http.get("/x", Answer) == Answer(1)


def test_a_long_wait_is_not_waited_for_but_remembered(site: Site, clock: FakeClock) -> None:
    clocks = MemoryClocks()
    site.will(Reply(status=429, headers={"Retry-After": "301"}), OK)
    with pytest.raises(TryLater, match=r"again at 2026-01-01 14:07:59 UTC: it asks for a pause"):
        ask(site, clock, clocks=clocks).get("/x", Answer)
    next_run = ask(site, clock, clocks=clocks)
    with pytest.raises(TryLater):
        next_run.get("/x", Answer)
    assert (next_run.requests, clock.slept) == (0, [])
    clock.time += 2
    assert next_run.get("/x", Answer) == Answer(1)
    assert clock.slept == [299]


def test_a_site_that_never_stops_refusing_is_given_up(site: Site, clock: FakeClock) -> None:
    site.will(Reply(status=429, headers={"Retry-After": "0"}))
    with pytest.raises(TryLater, match=r"127.0.0.1:\d+ reports too many requests"):
        ask(site, clock).get("/x", Answer)
    assert len(site.seen) == FREE.attempts


def test_times_out_of_this_world_are_not_believed(site: Site, clock: FakeClock) -> None:
    clocks = MemoryClocks()
    clocks.set(site.host, START + 10 * 365 * 86400, "a clock that ran ahead")
    clocks.take(f"{site.host} limit", START + 10 * 365 * 86400, 1, 1)
    ask(site, clock, clocks=clocks).get("/x", Answer)
    assert clock.slept == []
    site.will(Reply(status=429, headers={"Retry-After": "99999999999"}), OK)
    with pytest.raises(TryLater, match="2026-01-02 14:02:58"):
        ask(site, clock).get("/x", Answer)
    assert LONGEST_WAIT_S == 86400


def test_a_wait_is_one_line_in_the_log(site: Site, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site.will(Reply(status=429, headers={"Retry-After": "12"}), OK)
    ask(site, clock).get("/x", Answer)
    told = f"waiting 12 s until 14:03:10 UTC: {site.host} asks for a pause (status 429, Retry-After)"
    assert [(record.name, record.getMessage()) for record in caplog.records] == [("shp_miner.http", told)]
    assert clock.waits == [told]


# -- Failures ---------------------------------------------------------------------------------------------------------


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b'{"ok": 1')
    handler.close_connection = True


def hang(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(0.4)
    handler.close_connection = True


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def drip(handler: BaseHTTPRequestHandler) -> None:
    for _ in range(120):
        handler.wfile.write(b"a")
        handler.wfile.flush()
        time.sleep(0.05)


FAILURES = {
    "500": (Reply(status=500), "answered with status 500"),
    "502": (Reply(b"<html><title>Bad gateway", status=502), "answered with status 502"),
    "503": (Reply(status=503), "answered with status 503"),
    "cut off": (Reply(headers={"Content-Length": "10"}, write=cut_off), "cut off its answer"),
    "cut off in a chunk": (
        Reply(headers={"Content-Length": "", "Transfer-Encoding": "chunked"}, write=cut_off),
        "cut off its answer",
    ),
    "cut off unnoticed": (Reply(b'{"ok": 1'), "sent an answer that is not JSON"),
    "not JSON": (Reply(b"Query timed out"), "sent an answer that is not JSON"),
    "no UTF-8": (Reply(b'\xff{"ok": 1}'), "sent an answer that is not JSON"),
    "empty": (Reply(b""), "sent an answer that is not JSON"),
    "no gzip": (Reply(b'{"ok": 1}', headers={"Content-Encoding": "gzip"}), "cut off its answer"),
    "half a gzip": (
        Reply(gzip.compress(b'{"ok": 1}')[:15], headers={"Content-Encoding": "gzip"}),
        "sent an answer that is not JSON",
    ),
    "silent": (Reply(write=hang, raw=True), "did not answer in time"),
    "hangs up": (Reply(write=hang_up, raw=True), "cut off its answer"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_repeated_and_then_left_for_later(site: Site, clock: FakeClock, name: str) -> None:
    reply, why = FAILURES[name]
    site.will(reply, OK)
    assert ask(site, clock).get("/x", Answer) == Answer(1)
    assert why in clock.waits[0]
    site.will(reply)
    with pytest.raises(TryLater) as raised:
        ask(site, clock, limits(attempts=2)).get("/x", Answer, params={"key": SECRET})
    assert raised.value.message == f"{site.host} {why} (/x, attempt 2 of 2)."
    assert len(site.seen) == 4


def test_pauses_after_failures_double_and_are_never_the_same(site: Site) -> None:
    site.will(Reply(status=500))
    pauses = []
    for seed in (1, 2):
        clock = FakeClock()
        with pytest.raises(TryLater):
            ask(site, clock, jitter=random.Random(seed)).get("/x", Answer)
        for seconds, most in zip(clock.slept, (1, 2, 4, 8), strict=True):
            assert most / 2 <= seconds <= most
        pauses.append(clock.slept)
    assert pauses[0] != pauses[1]


@pytest.mark.parametrize("where", ["headers", "body"])
def test_an_answer_that_drips_has_its_time_as_a_whole(site: Site, clock: FakeClock, where: str) -> None:
    # Every byte comes well within the time for one byte, for six seconds on end.
    site.will(Reply(raw=where == "headers", headers={"Content-Length": "99"}, write=drip))
    started = time.monotonic()
    with pytest.raises(TryLater, match="did not answer in time"):
        ask(site, clock, limits(attempts=1)).get("/x", Answer)
    assert 0.4 < time.monotonic() - started < 5


def test_nobody_there(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # Bound and not listening: refuses.
        http = Http(
            f"http://127.0.0.1:{taken.getsockname()[1]}", limits=limits(attempts=2), clock=clock, allow_private=True
        )
        with pytest.raises(TryLater, match="could not be reached"):
            http.get("/x", Answer)

    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(connect, "getaddrinfo", unknown)
    with pytest.raises(TryLater, match=r"No address was found for the host lemmy\.example"):
        Http("https://lemmy.example", limits=FREE, clock=clock).get("/x", Answer)


# -- Answers of the wrong kind ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "what"),
    [
        (b"<!DOCTYPE html><title>Log in - Forum</title>", "a login page"),
        (b"\n <html><form><input type='password'>", "a login page"),
        (b"<html><title>Just a moment...</title>", "a check for robots"),
        (b"<p>bob wrote</p>", "a web page"),
    ],
)
def test_a_web_page_instead_of_json(site: Site, clock: FakeClock, page: bytes, what: str) -> None:
    site.will(Reply(page, headers={"Content-Type": "text/html; charset=utf-8"}))
    with pytest.raises(BadInput) as raised:
        ask(site, clock).get("/latest.json", Answer, params={"page": 3})
    assert raised.value.message == f"{site.host} answered /latest.json with {what} instead of JSON."
    assert len(site.seen) == 1


def test_absence_must_be_said_by_the_api_itself(site: Site, clock: FakeClock) -> None:
    http = ask(site, clock)
    for status in (404, 410):
        site.will(Reply({"error": "couldnt_find_post"}, status=status))
        assert http.get_or_none("/x", Answer) is None
        with pytest.raises(Unexpected, match=rf"/x with status {status} \(couldnt_find_post\)"):
            http.get("/x", Answer)
        site.will(Reply(b"<html>nginx", status=status))
        with pytest.raises(BadInput, match=rf"status {status} \(a web page\)"):
            http.get_or_none("/x", Answer)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_goes_to_the_source_with_its_reason(site: Site, clock: FakeClock, status: int) -> None:
    site.will(Reply({"reason": "private", "message": "ask @bob for access"}, status=status))
    with pytest.raises(Refused) as raised:
        ask(site, clock).get("/r/x", Answer)
    assert isinstance(raised.value, NotAllowed)
    assert raised.value.status == status
    assert b"@bob" in raised.value.body
    assert raised.value.message == f"{site.host} answered /r/x with status {status} (private)."


def test_another_shape_is_said_with_the_field(site: Site, clock: FakeClock) -> None:
    site.will(Reply({"posts": [{"od": 1}, {"id": 2}]}))

    class Page(msgspec.Struct):
        posts: list[Answer]

    with pytest.raises(BadInput) as raised:
        ask(site, clock).get("/api/post/list", Page, params={"auth": "abc"})
    for part in ("`ok`", "`$.posts[0]`", f"{site.host} answered /api/post/list in an unknown shape"):
        assert part in raised.value.message
    assert "abc" not in raised.value.message
    assert len(site.seen) == 1
    site.will(Reply({"ok": "7"}))
    with pytest.raises(BadInput, match="Expected `int`, got `str`"):
        ask(site, clock).get("/x", Answer)
    assert ask(site, clock).get("/x", Answer, strict=False) == Answer(7)


class Inner(msgspec.Struct):
    posts: list[Answer] | None


class Nested(msgspec.Struct):
    inner: Inner
    ids: list[int] | None = None


def test_a_record_of_another_shape_costs_only_itself(site: Site, clock: FakeClock) -> None:
    for bad in ({"ok": "1"}, {}, None, [], 2**70, "x"):
        site.will(Reply({"inner": {"posts": [{"ok": 1}, bad, {"ok": 3}]}}))
        with counting_lost() as lost:
            assert ask(site, clock).get("/x", Nested) == Nested(Inner([Answer(1), Answer(3)]))
        assert lost == {"wrong_type": 1}
    # A list of ids is not one of records: without one of them it says something else.
    site.will(Reply({"inner": {"posts": []}, "ids": [1, "x"]}))
    with pytest.raises(BadInput):
        ask(site, clock).get("/x", Nested)


def test_json_that_only_other_programs_write(site: Site, clock: FakeClock) -> None:
    class Text(msgspec.Struct):
        text: str

    site.will(Reply(b'{"text": "\\ud83d cut", "x": NaN}'))
    assert ask(site, clock).get("/x", Text).text == "\ud83d cut"


# -- Redirects --------------------------------------------------------------------------------------------------------


def test_redirects_are_followed_within_the_site(site: Site, clock: FakeClock) -> None:
    site.will(Reply(status=301, headers={"Location": "/y?a=1"}), Reply(status=307, headers={"Location": "z"}), OK)
    assert ask(site, clock).get("/x", Answer, params={"key": SECRET}) == Answer(1)
    assert [path for path, _ in site.seen][1:] == ["/y?a=1", "/z"]
    site.will(Reply(status=302, headers={"Location": "/x?more"}))
    with pytest.raises(BadInput, match="redirects /x more than 5 times"):
        ask(site, clock).get("/x", Answer)
    assert len(site.seen) == 3 + 6


def test_redirects_to_other_sites_are_not_followed(site: Site, clock: FakeClock) -> None:
    with serve() as other:
        for target in (other.url, f"//{other.host}/x", "https://www.forum.example/?token=abc", "file:///etc/passwd"):
            site.will(Reply(status=302, headers={"Location": target}))
            with pytest.raises(BadInput, match="redirects /x to another site") as raised:
                ask(site, clock, headers={"Authorization": "Bearer abc"}).get("/x", Answer)
            assert "token" not in str(raised.value)
        site.will(Reply(status=302))
        with pytest.raises(BadInput, match="to no valid address"):
            ask(site, clock).get("/x", Answer)
        site.will(Reply(status=302, headers={"Location": "/y"}))
        with pytest.raises(BadInput, match="to no valid address"):
            ask(site, clock).post("/x", Answer, json={})
    assert other.seen == []


@pytest.mark.parametrize(("base", "target", "allowed"), [("http", "https", True), ("https", "http", False)])
def test_a_redirect_may_only_gain_encryption(clock: FakeClock, base: str, target: str, allowed: bool) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.scheme == base:
            return httpx2.Response(301, headers={"Location": f"{target}://forum.example/x"})
        return httpx2.Response(200, json={"ok": 1})

    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    http = Http(f"{base}://forum.example", limits=FREE, clock=clock, client=client)
    if allowed:
        assert http.get("/x", Answer) == Answer(1)
    else:
        with pytest.raises(BadInput, match=r"another site, http://forum\.example"):
            http.get("/x", Answer)


# -- Size -------------------------------------------------------------------------------------------------------------


def endless(handler: BaseHTTPRequestHandler) -> None:
    for _ in range(10_000):
        handler.wfile.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


BOMB = gzip.compress(b" " * 64_000_000)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b" " * 1_000_001),
        Reply(headers={"Content-Length": "99999999999"}),
        Reply(headers={"Content-Length": "", "Transfer-Encoding": "chunked"}, write=endless),
        Reply(BOMB, headers={"Content-Encoding": "gzip"}),
        Reply(gzip.compress(BOMB), headers={"Content-Encoding": "gzip, gzip"}),
        Reply(BOMB, status=500, headers={"Content-Encoding": "gzip"}),
    ],
    ids=["too long", "announced", "endless", "bomb", "bomb in a bomb", "bomb with an error"],
)
def test_too_much_is_not_taken(site: Site, clock: FakeClock, reply: Reply) -> None:
    site.will(reply)
    tracemalloc.start()
    try:
        with pytest.raises(BadInput, match="answered /x with more than 1,000,000 bytes"):
            ask(site, clock, limits(max_bytes=1_000_000, total_s=20, read_s=20)).get("/x", Answer)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16_000_000
    assert len(site.seen) == 1


def test_an_answer_up_to_the_limit_is_taken(site: Site, clock: FakeClock) -> None:
    body = b'{"ok": 1}'.ljust(1_000_000)
    site.will(Reply(gzip.compress(body), headers={"Content-Encoding": "gzip"}))
    assert ask(site, clock, limits(max_bytes=1_000_000)).get("/x", Answer) == Answer(1)


# -- Addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("::ffff:93.184.216.34", True),
        ("2002:5db8:d822::", True),
        ("64:ff9b::5db8:d822", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:100.64.0.1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b::a00:1", False),
    ],
)
def test_which_addresses_are_public(address: str, expected: bool) -> None:
    assert connect.public(address) is expected


def resolves_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let every name stand for the next of the answers; returns the names asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        found = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(connect, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"]])
def test_a_name_that_stands_for_a_private_address(
    site: Site, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    resolves_to(monkeypatch, addresses)
    url = f"http://forum.example:{site.host.partition(':')[2]}"
    with pytest.raises(BadInput) as raised:
        Http(url, limits=FREE, clock=clock).get("/x", Answer)
    why = "which is not an address of the public internet."
    assert raised.value.message == f"forum.example resolves to 127.0.0.1, {why}"
    assert "--allow-private" in raised.value.hint
    assert site.seen == []
    resolves_to(monkeypatch, ["127.0.0.1"])
    http = site.stack.enter_context(Http(url, limits=FREE, clock=clock, allow_private=True))
    assert http.get("/x", Answer) == Answer(1)


def test_the_address_that_was_checked_is_the_one_connected_to(
    site: Site, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A name server that gives a public address to the check and a private one to the connection.
    asked = resolves_to(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    connected: list[Any] = []

    def create_connection(address: Any, *_: Any, **__: Any) -> Any:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", create_connection)
    with pytest.raises(TryLater):
        Http("http://forum.example", limits=limits(attempts=1), clock=clock).get("/x", Answer)
    assert (asked, connected) == (["forum.example"], [("93.184.216.34", 80)])


def test_the_second_address_is_tried_where_the_first_is_dead(
    site: Site, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolves_to(monkeypatch, ["127.0.0.2", "127.0.0.1"])  # Nothing listens on the first.
    url = f"http://forum.example:{site.host.partition(':')[2]}"
    http = site.stack.enter_context(Http(url, limits=FREE, clock=clock, allow_private=True))
    assert http.get("/x", Answer) == Answer(1)
    assert clock.slept == []


@pytest.mark.parametrize("base", ["http://127.0.0.1", "https://[::1]:8443", "http://localhost:1", "http://10.0.0.1"])
def test_private_addresses_in_the_url_are_refused_at_once(base: str) -> None:
    with pytest.raises(BadInput, match="not an address of the public internet"):
        Http(base, limits=FREE)


@pytest.mark.parametrize(
    "base", ["forum.example", "ftp://forum.example", "https://", "https://a:pw@b.example", "http://["]
)
def test_addresses_that_are_none(base: str) -> None:
    with pytest.raises(UsageError) as raised:
        Http(base, limits=FREE)
    assert "pw" not in str(raised.value)


def test_a_proxy_of_the_environment_is_used_but_not_for_this_machine(
    site: Site, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", site.url)
    monkeypatch.delenv("no_proxy", raising=False)
    http = site.stack.enter_context(Http("http://forum.example", limits=FREE, clock=clock))
    assert http.get("/x", Answer) == Answer(1)
    assert site.seen[0][0] == "http://forum.example/x"
    ask(site, clock).get("/y", Answer)
    assert site.seen[1][0] == "/y"
    monkeypatch.setenv("http_proxy", "socks5://proxy:1080")
    with pytest.raises(UsageError, match="not an HTTP proxy"):
        Http("http://forum.example", limits=FREE)


def test_a_certificate_that_nobody_signed(tmp_path: Path, clock: FakeClock) -> None:
    import ssl

    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    new_key = f"-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {key} -out {certificate}"
    command = f"openssl req -x509 {new_key} -days 1 -subj /CN=localhost"
    try:
        subprocess.run(command.split(), check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl here to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def shake_hands() -> None:
            connection, _ = server.accept()
            with connection, pytest.raises(ssl.SSLError):
                context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=shake_hands, daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(BadInput, match=r"certificate of 127\.0\.0\.1"):
            Http(url, limits=FREE, clock=clock, allow_private=True).get("/x", Answer)
        thread.join(5)


# -- Limits and budgets -----------------------------------------------------------------------------------------------


def test_requests_stand_apart_once_the_burst_is_used(site: Site, clock: FakeClock) -> None:
    http = ask(site, clock, limits(requests=60, interval_s=60, burst=3))
    for _ in range(6):
        http.get("/x", Answer)
    assert clock.slept == [1, 1, 1]
    clock.time += 2.5
    for _ in range(4):
        http.get("/x", Answer)
    assert clock.slept == [1, 1, 1, 0.5, 1]


def test_a_pause_is_kept_within_a_burst(site: Site, clock: FakeClock) -> None:
    http = ask(site, clock, limits(requests=60, interval_s=60, burst=3, pause_s=0.25))
    for _ in range(5):
        http.get("/x", Answer)
    assert clock.slept == [0.25, 0.25, 0.5, 1]


def test_no_window_holds_more_than_the_limit() -> None:
    chance = random.Random(7)
    requests, interval_s, burst = 20, 10.0, 5
    now, until, granted = 0.0, 0.0, []
    for _ in range(600):
        now += chance.expovariate(3)
        at, until = next_place(until, now, interval_s / requests, burst)
        assert at >= now
        granted.append(now := at)
    most = max(sum(start <= at < start + interval_s for at in granted) for start in granted)
    assert requests < most <= requests + burst


def test_two_crawlers_in_two_threads_keep_the_limit_of_the_host(site: Site) -> None:
    clocks = MemoryClocks()
    shared = limits(requests=100, interval_s=2, burst=5)  # One in 20 ms.
    started = time.monotonic()

    def crawl() -> None:
        with Http(site.url, limits=shared, clocks=clocks, allow_private=True) as http:
            for _ in range(15):
                http.get("/x", Answer)

    threads = [threading.Thread(target=crawl) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(site.seen) == 30
    assert time.monotonic() - started >= 0.95 * (30 - 5) * 0.02


def test_a_refusal_to_one_crawler_stops_the_other(site: Site, clock: FakeClock) -> None:
    clocks = MemoryClocks()
    site.will(Reply(status=429, headers={"Retry-After": "400"}), OK)
    with pytest.raises(TryLater):
        ask(site, clock, clocks=clocks).get("/x", Answer)
    with pytest.raises(TryLater):
        ask(site, clock, clocks=clocks).get("/other", Answer)
    assert len(site.seen) == 1


def test_a_refusal_that_comes_while_waiting_for_a_place_is_heeded(site: Site) -> None:
    clocks = MemoryClocks()

    class Interrupted(FakeClock):
        def sleep(self, seconds: float, why: str) -> None:
            super().sleep(seconds, why)
            if len(self.slept) == 1:  # Another crawler is refused meanwhile.
                clocks.set(site.host, self.time + 30, "asks for a pause")

    clock = Interrupted()
    http = ask(site, clock, limits(requests=60, interval_s=60, burst=1), clocks=clocks)
    http.get("/x", Answer)
    http.get("/x", Answer)
    assert clock.slept == [1, 30]


def test_a_budget_of_requests_is_shared_and_counts_repetitions(site: Site, clock: FakeClock) -> None:
    budget = Budget(max_requests=3, clock=clock)
    site.will(Reply(status=500), OK)
    one, two = (ask(site, clock, budget=budget) for _ in range(2))
    one.get("/x", Answer)
    two.get("/x", Answer)
    with pytest.raises(OverBudget, match="The 3 requests of this run are used up"):
        one.get("/x", Answer)
    assert (budget.requests, one.requests, two.requests, len(site.seen)) == (3, 2, 1, 3)


def test_a_budget_of_seconds_does_not_begin_a_wait_it_cannot_end(site: Site, clock: FakeClock) -> None:
    site.will(Reply(status=429, headers={"Retry-After": "6"}))
    http = ask(site, clock, budget=Budget(max_seconds=10, clock=clock))
    with pytest.raises(OverBudget, match="The 10 seconds"):
        http.get("/x", Answer)
    assert clock.slept == [6]
    clock.time += 5
    with pytest.raises(OverBudget):
        http.get("/x", Answer)
    assert len(site.seen) == 2


def test_a_pace_stands_beside_another_library(clock: FakeClock) -> None:
    pace = Pace("oauth.reddit.com", FREE, clock=clock)
    pace.before()
    wait = pace.after("", 429, {"retry-after": "5"}, b"")
    assert wait is not None
    assert wait.until == START + 5
    pace.before()
    assert clock.slept == [5]
    assert pace.after("", 200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "30"}, b"") is None
    pace.before()
    assert clock.slept == [5, 30]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{", b"\xff", b'{"backoff": "x"}', b'{"extras": []}', b'{"quota_remaining": null}']
)
def test_signals_bear_any_body(body: bytes) -> None:
    for status in (200, 400, 429):
        assert stackexchange.signals(body, {}, status, START) is None
        assert discourse.signals(body, {}, status, START) is None


# -- Secrets ----------------------------------------------------------------------------------------------------------


def test_no_secret_in_any_error_or_log(site: Site, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = SECRET.encode()
    written_back = {"error": SECRET, "reason": "h3ader", "error_name": "h3ader"}
    replies = [
        OK,
        *(reply for reply, _ in FAILURES.values() if reply.write is not hang),
        Reply(b"<title>" + echo + b"</title>", headers={"Content-Type": "text/html"}),
        Reply({"error": SECRET, "message": SECRET, "error_name": SECRET}, status=400),
        Reply(written_back, status=401),
        Reply({"error": SECRET}, status=404),
        Reply({"ok": SECRET}),
        Reply(status=302, headers={"Location": f"https://elsewhere.example/{SECRET}?key={SECRET}"}),
        Reply(status=302, headers={"Location": f"/?access_token={SECRET}"}),
        Reply(status=429, headers={"Retry-After": "9"}),
        Reply(status=429, headers={"Retry-After": "999"}),
        Reply(b" " * 2000),
    ]
    path = "/hush-hush/x"
    params = {"key": SECRET, "access_token": SECRET, "api_key": "k3y"}
    said: list[str] = []
    hidden_behind: list[BaseException | None] = []
    for reply in replies:
        site.will(reply)
        http = ask(
            site,
            clock,
            limits(attempts=2, max_bytes=1000),
            headers={"X-Api-Token": "Bearer h3ader"},
            secrets=[path[1:10]],
        )
        try:
            http.get(path, Answer, params=params)
        except (BadInput, NotAllowed, TryLater) as error:
            said += [error.message, error.hint, repr(error), *traceback.format_exception(error)]
            hidden_behind.append(error.__context__)
    assert hidden_behind == [None] * (len(replies) - 1)
    said += [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    said += clock.waits
    assert len(said) > 100
    for secret in (SECRET, httpx2.QueryParams({"": SECRET})[""], "s3cr3t", "hush-hush", "k3y", "h3ader"):
        assert [text for text in said if secret in text] == []


def test_headers_that_cannot_be_sent_are_refused_without_their_value() -> None:
    for value in ("abc\n", "Bearer ü"):
        with pytest.raises(UsageError) as raised:
            Http("https://forum.example", limits=FREE, headers={"Authorization": value})
        assert value.strip() not in raised.value.message
