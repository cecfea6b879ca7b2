"""Stack Exchange dumps: every form they come in, the names of sites, every field, and two real sites."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shp_miner.dumps import stackexchange, stackexchange_pieces
from shp_miner.dumps.stackexchange import read
from shp_miner.errors import BadInput, UsageError
from shp_miner.platforms.stackexchange import license_by_date, site_name
from shp_miner.tally import Tally

from .stackexchange_dump import (
    ALL,
    LZMA2,
    NEWEST,
    NOW,
    POSTS,
    VOTES,
    answer,
    archive,
    folder,
    long_members,
    question,
    read_all,
    table,
)


def test_fields(tmp_path: Path) -> None:
    posts, answers, tally = read_all(folder(tmp_path / "beer.stackexchange.com", ALL))
    assert set(posts) == {"1", "5"}
    assert set(answers) == {"2", "3"}
    assert tally.dropped == {("line", "other_post_type"): 1, ("file", "not_needed"): 1}
    assert tally.complete
    site = "beer.stackexchange.com"
    asked = posts["1"]
    assert asked.pop("thread_hash") == answers["2"].pop("thread_hash")
    asked.pop("content_hash")
    answers["2"].pop("content_hash")
    shared = {
        "source": "stackexchange-dump",
        "platform": "stackexchange",
        "site": site,
        "community": site,
        "post_id": "1",
        "body_format": "html",
        "author_deleted": False,
        "author_role": "member",
        "state": "live",
        "stickied": False,
        "observed_at": NEWEST,
        **dict.fromkeys(("upvotes", "downvotes", "reads")),
    }
    assert asked == shared | {
        "views": None,
        "created_at": datetime(2015, 3, 1, 10, 0, 0, 123000, tzinfo=UTC),
        "title": "Q1",
        "body": "<p>question 1</p>",
        "body_chars": 10,
        "author": "Ada & Zoë",
        "author_id": "10",
        "author_url": f"https://{site}/users/10",
        "url": f"https://{site}/questions/1",
        "license": "CC BY-SA 3.0",
        "is_text": True,
        "nsfw": False,
        "upvote_ratio": None,
        "score": 7,
        "edited": True,
        **dict.fromkeys(("reads", "upvotes", "downvotes", "views")),
    }
    assert answers["2"] == shared | {
        "answer_id": "2",
        "accepted_at": None,
        "created_at": datetime(2015, 3, 2, 10, 0, 0, 500000, tzinfo=UTC),
        "body": "<p>answer 2</p>",
        "body_chars": 8,
        "author": "Bob",
        "author_id": "11",
        "author_url": f"https://{site}/users/11",
        "url": f"https://{site}/a/2",
        "license": "CC BY-SA 4.0",
        "by_post_author": False,
        "accepted": True,
        "score": 3,
        "edited": False,
        **dict.fromkeys(("reads", "upvotes", "downvotes", "accepted_at")),
    }
    assert (answers["3"]["author"], answers["3"]["author_role"], answers["3"]["accepted"]) == (
        "Community",
        "bot",
        False,
    )
    left = {name: posts["5"][name] for name in ("author", "author_id", "author_url", "author_deleted")}
    assert left == {"author": "gone", "author_id": None, "author_url": None, "author_deleted": True}


def _forms(path: Path, form: str) -> Path:
    name, backwards = "beer.stackexchange.com", dict(reversed(ALL.items()))
    match form:
        case "bzip2":
            return archive(path / f"{name}.7z", ALL)
        case "lzma2":
            return archive(path / f"{name}.7z", ALL, LZMA2)
        case "users before posts, in a folder":
            return archive(path / f"{name}.7z", {f"x/{key}": data for key, data in backwards.items()})
        case "lower-case names":
            return folder(path / name, {key.lower(): data for key, data in ALL.items()})
    return folder(path / name, ALL) / "Posts.xml"


@pytest.mark.parametrize(
    "form", ["bzip2", "lzma2", "users before posts, in a folder", "lower-case names", "posts named"]
)
def test_every_form_gives_the_same(tmp_path: Path, form: str) -> None:
    expected = read_all(folder(tmp_path / "one" / "beer.stackexchange.com", ALL))
    (tmp_path / "two").mkdir()
    assert read_all(_forms(tmp_path / "two", form))[:2] == expected[:2]


def test_posts_alone(tmp_path: Path) -> None:
    posts, _, tally = read_all(folder(tmp_path / "beer.meta", {"Posts.xml": POSTS}))
    assert posts["1"]["site"] == "beer.meta.stackexchange.com"
    assert posts["1"]["observed_at"] == datetime(2015, 4, 1, tzinfo=UTC)
    assert (posts["1"]["author"], posts["1"]["author_id"], posts["5"]["author"]) == (None, "10", "gone")
    assert tally.notes == {("post", "author_name_unknown"): 1, ("answer", "author_name_unknown"): 2}


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("beer.stackexchange.com", "beer.stackexchange.com"),
        ("Beer.StackExchange", "beer.stackexchange.com"),
        ("conlang.meta", "conlang.meta.stackexchange.com"),
        ("meta.beer.stackexchange.com", "beer.meta.stackexchange.com"),
        ("meta.stackexchange.com", "meta.stackexchange.com"),
        ("stackoverflow.com", "stackoverflow.com"),
        ("meta.stackoverflow.com", "meta.stackoverflow.com"),
        ("es.meta.stackoverflow.com", "es.meta.stackoverflow.com"),
        ("superuser.com", "superuser.com"),
        ("superuser.meta", "meta.superuser.com"),
        ("serverfault.com", "serverfault.com"),
        ("askubuntu.com", "askubuntu.com"),
        ("mathoverflow.net", "mathoverflow.net"),
        ("stackapps.com", "stackapps.com"),
        *(
            (name, None)
            for name in ("beer", "stackoverflow", "my.folder", "notstackoverflow.com", "a b.meta", "x.7z", "")
        ),
    ],
)
def test_site_names(name: str, host: str | None) -> None:
    assert site_name(name) == host


def test_site_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder(tmp_path / "beer", {"Posts.xml": POSTS})
    for unclear in (path, path / "Posts.xml", archive(tmp_path / "beer.7z", ALL)):
        with pytest.raises(UsageError, match="does not show its") as error:
            read_all(unclear)
        assert "--site HOST" in error.value.hint
        assert read_all(unclear, site="conlang.meta")[0]["1"]["site"] == "conlang.meta.stackexchange.com"
    with pytest.raises(UsageError, match="not the host"):
        read_all(path, site="a b")
    assert read_all(path, site="beer")[0]["1"]["site"] == "beer.stackexchange.com"
    two = [folder(tmp_path / name, {"Posts.xml": POSTS}) for name in ("a.meta", "b.meta")]
    with pytest.raises(UsageError, match="several sites"):
        read_all(*two, site="a.meta")
    monkeypatch.chdir(two[0])
    assert read_all(Path())[0]["1"]["site"] == "a.meta.stackexchange.com"


def test_one_archive_for_each_table(tmp_path: Path) -> None:
    parts = {
        name: archive(tmp_path / f"stackoverflow.com-{name}.7z", {f"{name}.xml": ALL[f"{name}.xml"]})
        for name in ("Posts", "Users", "Votes", "Badges")
    }
    expected = read_all(parts["Posts"])
    assert expected[0]["1"]["site"] == "stackoverflow.com"
    assert expected[0]["1"]["observed_at"] == NEWEST
    assert expected[0]["1"]["author"] == "Ada & Zoë"
    together = read_all(*(parts[name] for name in ("Badges", "Votes", "Users", "Posts")))
    assert together[:2] == expected[:2]
    assert together[2].dropped["file", "not_needed"] == 1
    with pytest.raises(BadInput, match=r"no Posts\.xml for stackoverflow"):
        read_all(parts["Users"])


def test_files_of_one_site_share_what_is_known(tmp_path: Path) -> None:
    one = folder(tmp_path / "1" / "a.meta", {"Posts.xml": table("posts", answer(2, 1), answer(7, 1))})
    two = folder(
        tmp_path / "2" / "a.meta", {"Posts.xml": table("posts", question(1, AcceptedAnswerId=2)), "Votes.xml": VOTES}
    )
    other = folder(tmp_path / "3" / "b.meta", {"Posts.xml": table("posts", question(9))})
    posts, answers, _ = read_all(one, two, other, two / "Posts.xml")
    assert {row["observed_at"] for row in (posts["1"], *answers.values())} == {NEWEST}
    assert [answers[number]["accepted"] for number in ("2", "7")] == [True, False]
    assert posts["9"]["observed_at"] == datetime(2015, 3, 1, 10, 0, 0, 123000, tzinfo=UTC)


def test_observed_at_given(tmp_path: Path) -> None:
    path = folder(tmp_path / "a.meta", ALL)
    when = datetime(2020, 1, 2, 3, tzinfo=UTC)
    assert read_all(path, observed_at=when)[0]["1"]["observed_at"] == when
    for wrong in (datetime(2020, 1, 2), datetime(2031, 1, 1, tzinfo=UTC)):  # noqa: DTZ001
        with pytest.raises(UsageError):
            read([path], Tally(), now=NOW, observed_at=wrong)


def test_decoys_and_future_dates(tmp_path: Path) -> None:
    late = "2024-06-03T00:00:00.000"
    posts, answers, tally = read_all(
        folder(
            tmp_path / "a.meta",
            {
                "Posts.xml": table(
                    "posts",
                    question(1000000001, LastActivityDate="2023-01-01T00:00:00.000"),
                    answer(1000000010, 1),
                    answer(8, 1000000001),
                    question(1, CreationDate=late),
                    question(2, LastActivityDate=late),
                )
            },
        )
    )
    assert (set(posts), answers) == ({"2"}, {})
    assert tally.dropped == {("post", "decoy"): 1, ("answer", "decoy"): 2, ("post", "time_in_future"): 1}
    assert posts["2"]["observed_at"].year == 2015


@pytest.mark.parametrize(
    ("day", "name"),
    [
        ("2011-04-07T23:59:59.999", "CC BY-SA 2.5"),
        ("2011-04-08T00:00:00.000", "CC BY-SA 3.0"),
        ("2018-05-01T23:59:59.999", "CC BY-SA 3.0"),
        ("2018-05-02T00:00:00.000", "CC BY-SA 4.0"),
    ],
)
def test_licence_by_date(tmp_path: Path, day: str, name: str) -> None:
    xml = table("posts", question(1, CreationDate=day), question(2, CreationDate=day, ContentLicense="CC BY-SA 1.0"))
    posts, _, _ = read_all(folder(tmp_path / "a.meta", {"Posts.xml": xml}))
    assert [posts[number]["license"] for number in ("1", "2")] == [name, "CC BY-SA 1.0"]


def test_chunks_are_bounded_and_need_not_be_read_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stackexchange, "ROWS_PER_CHUNK", 10)
    monkeypatch.setattr(stackexchange_pieces, "AT_ONCE_BYTES", 200_000)
    path = archive(tmp_path / "a.meta.7z", long_members(200))
    chunks = read([path], Tally(), now=NOW)
    assert 10 <= next(chunks).posts.num_rows <= 100
    chunks.close()  # type: ignore[attr-defined]  # the thread that decompresses ends with it


def _pairs(posts: dict[str, Any], answers: dict[str, Any]) -> tuple[int, int]:
    """(pairs, questions with any) by the floors for Stack Exchange, counted the slow way."""
    threads = defaultdict(list)
    for row in answers.values():
        post = posts.get(row["post_id"])
        fit = row["score"] >= 1 and not row["author_deleted"] and row["author_role"] != "bot"
        if post and post["score"] >= 5 and not post["author_deleted"] and fit and row["author_id"] != post["author_id"]:
            threads[row["post_id"]].append(row)
    counts = []
    for rows in threads.values():
        best = sorted(rows, key=lambda row: (-row["score"], row["created_at"], row["answer_id"]))[:50]
        counts.append(sum(w["score"] > l["score"] and w["created_at"] >= l["created_at"] for w in best for l in best))  # noqa: E741
    return sum(counts), sum(count > 0 for count in counts)


@pytest.mark.parametrize(
    ("name", "expected", "rows", "newest"),
    [
        ("beer.stackexchange.com.7z", (380, 175), (1029, 2277), "2020-05-31T02:28:15.273+00:00"),
        ("conlang.meta", (14, 9), (54, 115), "2020-09-06T02:40:58.500+00:00"),
    ],
)
def test_real_sites(shared_data: Path, name: str, expected: Any, rows: Any, newest: str) -> None:
    posts, answers, tally = read_all(shared_data / "stackexchange" / name)
    assert _pairs(posts, answers) == expected
    assert (len(posts), len(answers)) == rows
    assert tally.complete
    both = [*posts.values(), *answers.values()]
    assert {row["observed_at"].isoformat(timespec="milliseconds") for row in both} == {newest}
    # Where nothing was edited, the licence that a post names must be the one its date gives.
    for row in both:
        if not row["edited"]:
            assert row["license"] == license_by_date(int(row["created_at"].timestamp() * 1e6))
