"""Tiny Stack Exchange dumps in every form, and a reading of them that checks its own bookkeeping."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import py7zr

from shp_miner.dumps.stackexchange import read, size_bytes
from shp_miner.tally import Tally

NOW = datetime(2024, 6, 1, tzinfo=UTC)
BZIP2 = [{"id": py7zr.FILTER_BZIP2}]
LZMA2 = [{"id": py7zr.FILTER_LZMA2, "preset": 1}]
STORED = [{"id": py7zr.FILTER_COPY}]
BOM = "\ufeff"


def element(**attributes: object) -> str:
    text = {
        name: str(value).replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
        for name, value in attributes.items()
    }
    return "  <row " + " ".join(f'{name}="{value}"' for name, value in text.items()) + " />"


def table(root: str, *elements: str) -> bytes:
    return "\r\n".join([f'{BOM}<?xml version="1.0" encoding="utf-8"?>', f"<{root}>", *elements, f"</{root}>"]).encode()


def question(number: int, **more: object) -> str:
    plain = {
        "CreationDate": "2015-03-01T10:00:00.123",
        "Score": 7,
        "Title": f"Q{number}",
        "Body": f"<p>question {number}</p>",
    }
    return element(Id=number, PostTypeId=1, **{**plain, "OwnerUserId": 10, **more})


def answer(number: int, parent: int, **more: object) -> str:
    plain = {"CreationDate": "2015-03-02T10:00:00.5", "Score": 3, "Body": f"<p>answer {number}</p>"}
    return element(Id=number, PostTypeId=2, ParentId=parent, **{**plain, "OwnerUserId": 11, **more})


POSTS = table(
    "posts",
    answer(3, 1, OwnerUserId=-1),
    question(1, AcceptedAnswerId=2, LastEditDate="2015-03-05T00:00:00.000", Tags="<a><b>"),
    answer(2, 1, ContentLicense="CC BY-SA 4.0", LastActivityDate="2015-04-01T00:00:00.000"),
    element(Id=4, PostTypeId=5, CreationDate="2015-03-01T10:00:00.123", Score=0, Body="a tag's wiki"),
    question(5, OwnerUserId="", OwnerDisplayName="gone"),
)
USERS = table(
    "users",
    element(Id=-1, DisplayName="Community"),
    element(Id=9, DisplayName="never posted", LastAccessDate="2016-07-08T09:10:11.123"),
    element(Id=10, DisplayName="Ada & Zoë"),
    element(Id=11, DisplayName="Bob"),
)
VOTES = table("votes", element(Id=1, PostId=1, VoteTypeId=2, CreationDate="2016-07-09T00:00:00.000"))
ALL = {"Badges.xml": table("badges"), "Posts.xml": POSTS, "Users.xml": USERS, "Votes.xml": VOTES}
NEWEST = datetime(2016, 7, 9, tzinfo=UTC)


def folder(path: Path, members: dict[str, bytes]) -> Path:
    path.mkdir(parents=True)
    for name, data in members.items():
        (path / name).write_bytes(data)
    return path


def archive(path: Path, members: dict[str, bytes], filters: Any = BZIP2) -> Path:
    with py7zr.SevenZipFile(path, "w", filters=filters) as file:
        for name, data in members.items():
            file.writestr(data, name)
    return path


def read_all(*paths: Path, **options: Any) -> tuple[dict[str, Any], dict[str, Any], Tally]:
    tally, seen = Tally(), [0]

    def advance(count: int) -> None:
        seen[0] += count

    posts: list[Any] = []
    answers: list[Any] = []
    for chunk in read(paths, tally, now=NOW, advance=advance, **options):
        posts += chunk.posts.to_pylist()
        answers += chunk.answers.to_pylist()
    assert seen[0] == size_bytes(paths, options.get("site"))
    assert (tally.read["post"], tally.read["answer"]) == (len(posts), len(answers))
    return {row["post_id"]: row for row in posts}, {row["answer_id"]: row for row in answers}, tally


def long_members(count: int = 300) -> dict[str, bytes]:
    # Texts that do not compress: bzip2 only gives whole blocks of 900 kB, so there must be several.
    dice = random.Random(5)
    texts = (dice.randbytes(5000).hex() for _ in range(count))
    posts = table("posts", *(question(number, Body=text) for number, text in enumerate(texts, start=1)))
    return {"Badges.xml": table("badges"), "Posts.xml": posts, "Tags.xml": table("tags"), "Users.xml": USERS}
