"""A running audit for tests: its process, its address, and requests to it."""

from __future__ import annotations

import http.client
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shp_miner import export_dataset, import_dump
from shp_miner.store import Store
from shp_miner.web.audit import Audit
from shp_miner.web.judgments import JUDGMENTS, Judgments
from shp_miner.web.pages import Site
from shp_miner.web.server import served

from .build import comment, submission, write_month


def dataset(folder: Path, posts: int = 24, texts: list[str] | None = None) -> tuple[Path, Path]:
    """A store and an export of it: posts of two communities, three answers each, the last one preferred by votes."""
    records: list[dict[str, Any]] = []
    for number in range(posts):
        post, at = f"p{number}", 1_600_000_000 + number * 86_400
        told = {"subreddit": ("AskTest", "AskMore")[number % 2], "retrieved_on": at + 40 * 86_400}
        text = texts[number % len(texts)] if texts else f"Some detail of {number}."
        records.append(submission(post, created_utc=at, title=f"Question {number}?", selftext=text, **told))
        for order in range(3):
            body = f"{order} {text}" if texts else f"Answer {order} to question {number}."
            records.append(
                comment(
                    f"{post}c{order}",
                    post,
                    score=3 + order * (2 + number % 5),
                    created_utc=at + 900 * order,
                    body=body,
                    **told,
                )
            )
    store, out = folder / "s", folder / "out"
    import_dump("reddit-dump", write_month(folder / "dumps", records), store, now=datetime.now().astimezone())
    export_dataset(store, out)
    return store, out


@dataclass
class Running:
    """An audit that is served; in a process of its own, if there is one."""

    address: str
    running: subprocess.Popen[str] | None = None

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self.running is not None
        return self.running

    @property
    def port(self) -> int:
        return urlsplit(self.address).port or 0

    @property
    def token(self) -> str:
        return urlsplit(self.address).path.strip("/")

    def ask(self, path: str, method: str = "GET", body: Any = None, **headers: str | None) -> tuple[int, str]:
        """The status and text of an answer. Headers that are None are left out."""
        origin = f"http://127.0.0.1:{self.port}"
        wanted: dict[str, str | None] = {"Host": f"127.0.0.1:{self.port}"}
        if body is not None:
            wanted |= {"Origin": origin, "Content-Type": "application/json"}
        wanted |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            data = b"" if body is None else json.dumps(body).encode()
            for name, value in wanted.items():
                if value is not None:
                    connection.putheader(name, value)
            if data:
                connection.putheader("Content-Length", str(len(data)))
            connection.endheaders(data or None)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def page(self, path: str) -> tuple[int, str]:
        return self.ask(f"/{self.token}/{path}")

    def vote(self, judge: str, choice: int = 1) -> tuple[int, dict[str, Any]]:
        """Judge the pair that the judge's page shows."""
        _, page = self.page(f"pair?judge={judge}")
        pair, again = turn_of(page)
        told = {"judge": judge, "pair_id": pair, "again": again, "choice": choice, "seconds": 1}
        status, text = self.ask(f"/{self.token}/vote", "POST", told)
        return status, json.loads(text)

    def kill(self) -> None:
        """End the process as the system does when there is no memory."""
        self.process.kill()
        self.process.wait()


def turn_of(page: str) -> tuple[str, bool]:
    """The pair of a page, and whether it comes again."""
    found = re.search(r'data-pair="([^"]+)" data-again="(\w+)"', page)
    assert found, page
    return found[1], found[2] == "yes"


@contextmanager
def audit_here(out: Path, count: int, store: Path | None = None, file: Path | None = None) -> Iterator[Running]:
    """Serve an audit from this process, which is quicker."""
    with Judgments(file or out / JUDGMENTS) as judgments:
        site = Site(Audit(out, judgments, count), judgments.path, None if store is None else Store(store))
        with served(site, 0) as address:
            yield Running(address)


@contextmanager
def audit(out: Path, *options: str | Path, limit: int | None = None) -> Iterator[Running]:
    """Start the command on a free port. `limit` is the most bytes that a file may have, as on a full disk."""
    command = [sys.executable, "-m", "shp_miner", "audit", str(out), "--port", "0", "--json", *map(str, options)]

    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    if limit is not None:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        told = ""
        assert process.stdout is not None
        while not told.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            told += line
        yield Running(json.loads(told)["address"], process)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
