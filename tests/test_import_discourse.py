"""Saved Discourse topics: lines and folders, real ones and damaged ones, and the same topic seen several times."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from shp_miner import BadInput, import_dump
from shp_miner.cli import run
from shp_miner.dumps.discourse import read
from shp_miner.dumps.whole_lines import decompressed_lines
from shp_miner.errors import UsageError
from shp_miner.store import Store
from shp_miner.tally import Tally
from tests.test_import_threads import changed

from .build import write_dump
from .property import examples

SITE = "forum.example"
CREATED = "2024-03-01T10:00:00.000Z"
CREATED_AT = datetime(2024, 3, 1, 10, tzinfo=UTC)

Frames = tuple[pl.DataFrame, pl.DataFrame, Tally]


def load(*paths: Path, now: datetime, site: str | None = SITE, **options: Any) -> Frames:
    tally = Tally()
    chunks = list(read(list(paths), tally, now=now, site=site, **options))
    posts, answers = (pl.concat([pl.DataFrame(getattr(c, name)) for c in chunks]) for name in ("posts", "answers"))
    return posts, answers, tally


def post(number: int, topic_id: int = 7, likes: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "id": topic_id * 100 + number,
        "username": f"user{number}",
        "user_id": number,
        "created_at": CREATED,
        "cooked": f"<p>post {number}</p>",
        "post_number": number,
        "post_type": 1,
        "reply_to_post_number": None,
        "version": 1,
        "actions_summary": [{"id": 2, "count": likes}] if likes else [],
    } | changes


def topic(topic_id: int = 7, posts: list[Any] | None = None, **changes: Any) -> dict[str, Any]:
    posts = [post(number, topic_id, likes=number) for number in (1, 2, 3)] if posts is None else posts
    stream = {"posts": posts, "stream": [item["id"] for item in posts if isinstance(item, dict)]}
    head = {"title": f"Topic {topic_id}", "slug": f"topic-{topic_id}", "posts_count": len(posts), "category_id": 4}
    return {"post_stream": stream, "id": topic_id} | head | changes


@pytest.mark.parametrize("suffix", ["", ".zst", ".gz"])
def test_lines_and_folders_of_files_give_the_same_rows(suffix: str, tmp_path: Path, now: datetime) -> None:
    records = [topic(7), topic(8)]
    file = write_dump(tmp_path / f"topics.ndjson{suffix}", records)
    folder = tmp_path / "mirror" / SITE / "t"
    folder.mkdir(parents=True)
    (folder / "8.json").write_text(json.dumps(topic(8), indent=2))
    write_dump(folder / f"7.json{suffix}", [topic(7)])
    (folder.parent / "latest.json").write_text('{"topic_list": {}}')
    (folder.parent / "about.html").write_text("<html>")
    posts, answers, tally = load(file, now=now)
    assert sorted(posts["post_id"]) == ["7", "8"]
    assert sorted(answers["answer_id"]) == ["702", "703", "802", "803"]
    assert tally.read == {"post": 2, "answer": 4}
    assert tally.complete
    # The folder's name tells the site.
    from_folder = load(tmp_path / "mirror", now=now, site=None)
    for rows, other in zip((posts, answers), from_folder[:2], strict=True):
        assert rows.sort("content_hash").equals(other.sort("content_hash"))
    assert from_folder[2].dropped == {("file", "not_this_kind"): 2}


def test_the_columns_of_a_row(tmp_path: Path, now: datetime) -> None:
    path = write_dump(tmp_path / "a.ndjson", [topic(observed_at=1_714_000_000)])
    posts, answers, _ = load(path, now=now)
    row = answers.filter(pl.col("answer_id") == "702").row(0, named=True)
    wanted = {
        "source": "discourse-json",
        "platform": "discourse",
        "site": SITE,
        "community": "category-4",
        "post_id": "7",
        "created_at": CREATED_AT,
        "observed_at": datetime.fromtimestamp(1_714_000_000, UTC),
        "body": "<p>post 2</p>",
        "body_format": "html",
        "body_chars": 6,
        "score": 2,
        "author": "user2",
        "url": "https://forum.example/t/topic-7/7/2",
    }
    assert {name: row[name] for name in wanted} == wanted
    assert posts.row(0, named=True)["title"] == "Topic 7"


@pytest.mark.parametrize("name", ["site.json", "categories.json"])
def test_categories_get_their_names_from_a_file_beside_the_topics(name: str, tmp_path: Path, now: datetime) -> None:
    listed = {"categories": [{"id": 4, "slug": "Linux", "parent_category_id": 3}, {"id": 3, "slug": "help"}]}
    (tmp_path / name).write_text(json.dumps(listed if name == "site.json" else {"category_list": listed}))
    records = [topic(7), topic(8, category_id=3), topic(9, category_id=99), topic(10, category_id=None)]
    posts, _, _ = load(write_dump(tmp_path / "a.ndjson", records), now=now)
    named = dict(posts.select("post_id", "community").iter_rows())
    assert named == {"7": "help/linux", "8": "help", "9": "category-99", "10": "category-none"}
    (tmp_path / name).write_text('{"something": "else"}')
    with pytest.raises(BadInput, match="does not list the categories"):
        load(tmp_path / "a.ndjson", now=now)


def test_when_topics_were_read(tmp_path: Path, now: datetime) -> None:
    records = [topic(7), topic(8, observed_at="2024-05-01T12:00:00+02:00"), topic(9, observed_at="2024-05-01T12:00")]
    path = write_dump(tmp_path / "a.ndjson", records)
    posts, _, tally = load(path, now=now)
    times = dict(posts.select("post_id", "observed_at").iter_rows())
    assert times == {"7": None, "8": datetime(2024, 5, 1, 10, tzinfo=UTC)}
    assert tally.notes == {("post", "score_age_unknown"): 1, ("answer", "score_age_unknown"): 2}
    assert tally.dropped == {("post", "bad_time"): 1}
    assert "no time zone" in tally.examples[0].what
    posts, _, tally = load(path, now=now, observed_at=datetime(2024, 6, 1, tzinfo=UTC))
    times = dict(posts.select("post_id", "observed_at").iter_rows())
    assert times == {"7": datetime(2024, 6, 1, tzinfo=UTC), "8": datetime(2024, 5, 1, 10, tzinfo=UTC)}
    assert not tally.notes


def test_a_broken_reply_loses_itself_and_a_broken_head_its_topic(tmp_path: Path, now: datetime) -> None:
    def broken(number: int, **changes: Any) -> dict[str, Any]:
        return {name: value for name, value in (post(number) | changes).items() if value != "missing"}

    future, past = "2031-01-01T00:00:00Z", "1970-01-01T00:00:00Z"
    records: list[Any] = [
        topic(7, [post(1), broken(2, cooked="missing"), broken(3, version="2"), post(4), "text"]),
        topic(8, [broken(1, created_at="yesterday"), post(2, 8)]),
        topic(9, title=None),
        topic(10, [post(1, 10), post(2, 10, created_at=future), post(3, 10, created_at=past)]),
        topic(11, archetype="private_message"),
        [1],
    ]
    path = write_dump(tmp_path / "a.ndjson", records)
    path.write_bytes(path.read_bytes() + b'{"post_stream": {}, "title": "\xff\n{"post_stream": {"posts": [')
    posts, answers, tally = load(path, now=now)
    assert sorted(posts["post_id"]) == ["10", "7"]
    assert answers["answer_id"].to_list() == ["704"]
    assert tally.dropped == {
        ("answer", "missing_field"): 1,
        ("answer", "wrong_type"): 1,
        ("answer", "not_an_object"): 1,
        ("post", "bad_time"): 1,
        ("answer", "thread_lost"): 1,
        ("post", "wrong_type"): 1,
        ("answer", "time_in_future"): 1,
        ("answer", "bad_time"): 1,
        ("post", "private_message"): 1,
        ("post", "not_an_object"): 1,
        ("post", "not_utf8"): 1,
        ("post", "not_json"): 1,
    }
    assert "topic 7, post 2: Object missing required field `cooked`" in tally.examples[0].what


def test_texts_that_no_encoding_holds_are_repaired(tmp_path: Path, now: datetime) -> None:
    path = write_dump(tmp_path / "a.ndjson", [topic(7, [post(1, cooked="<p>\ud83d</p>"), post(2, username="שלום 🦊")])])
    posts, answers, tally = load(path, now=now)
    assert posts["body"].to_list() == ["<p>\ufffd</p>"]
    assert answers["author"].to_list() == ["שלום 🦊"]
    assert tally.notes["post", "text_repaired"] == 1


def test_pages_of_one_topic_in_several_files(tmp_path: Path, now: datetime) -> None:
    posts = [post(number) for number in range(1, 46)]
    whole = topic(7, posts)
    pages = [whole | {"post_stream": whole["post_stream"] | {"posts": posts[a : a + 20]}} for a in (0, 20, 40)]
    _, answers, tally = load(write_dump(tmp_path / "all.ndjson", pages), now=now)
    assert (len(answers), tally.read, tally.dropped) == (44, {"post": 1, "answer": 44}, {})
    _, answers, tally = load(write_dump(tmp_path / "two.ndjson", pages[::2]), now=now)
    assert len(answers) == 24
    assert tally.dropped == {("answer", "not_in_the_files"): 20}
    del pages[0]["post_stream"]["stream"]
    assert load(write_dump(tmp_path / "one.ndjson", pages[:1]), now=now)[2].dropped["answer", "not_in_the_files"] == 25


def test_damage_keeps_what_lies_before_it(tmp_path: Path, now: datetime) -> None:
    text = b"".join(json.dumps(topic(number)).encode() + b"\n" for number in range(200))
    path = tmp_path / "a.ndjson.zst"
    path.write_bytes(zstandard.compress(text[: len(text) // 2]) + zstandard.compress(text[len(text) // 2 :])[:-200])
    posts, _, tally = load(path, now=now)
    assert 99 <= len(posts) < 200
    assert len(tally.damages) == 1
    assert not tally.complete


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"id": 1, "topic_id": 1, "likes": 3}\n', "no Discourse topics"),
        ("<html>post_stream</html>", "is a web page"),
    ],
)
def test_other_files_are_refused_before_anything_is_written(
    text: str, says: str, tmp_path: Path, now: datetime
) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text(text)
    good = write_dump(tmp_path / "good.ndjson", [topic()])
    with pytest.raises(BadInput, match=says):
        import_dump("discourse-json", [good, path], tmp_path / "store", now=now, site=SITE)
    assert not (tmp_path / "store").exists()


def test_folders_without_topics_and_sites_without_a_name(tmp_path: Path, now: datetime) -> None:
    with pytest.raises(BadInput, match="no Discourse topics"):
        load(tmp_path, now=now)
    with pytest.raises(BadInput, match="There is no file"):
        load(tmp_path / "nowhere.json", now=now)
    path = write_dump(tmp_path / "a.ndjson", [topic()])
    with pytest.raises(UsageError, match="The site of the topics in") as caught:
        load(path, now=now, site=None)
    assert "--site" in caught.value.hint
    with pytest.raises(UsageError, match="'https://forum' is not a host name"):
        load(path, now=now, site="https://forum")


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Frames:
    """2,018 topics of a real forum."""
    path = shared_data / "discourse" / "urho3d_topics.ndjson.zst"
    return load(path, now=datetime(2026, 1, 1, tzinfo=UTC), site="discourse.urho3d.io")


def test_real_topics_become_the_threads_that_were_counted_in_them(real: Frames) -> None:
    posts, answers, tally = real
    assert tally.complete
    assert tally.read == {"post": 2018, "answer": 7945}
    # Replies to replies, and 37 notes such as "closed this topic".
    assert tally.dropped == {("answer", "not_direct_reply"): 3793}
    assert int(answers["score"].sum()) == 1731
    assert int(answers["accepted"].sum()) == 231
    assert posts["post_id"].n_unique() == 2018
    assert answers["answer_id"].n_unique() == 7945
    assert posts["community"].n_unique() == 11
    hidden = pl.col("state") == "removed"
    assert (posts.filter(hidden)["post_id"].to_list(), answers.filter(hidden).height) == (["7167"], 2)
    assert answers.filter(hidden)["body"].to_list() == ["", ""]
    assert posts.filter(~pl.col("is_text")).height == 7


def test_a_real_topic_by_hand(real: Frames) -> None:
    posts, answers, _ = real
    question = posts.filter(pl.col("post_id") == "2400").row(0, named=True)
    assert question["title"] == "0 Area Triangle Collision Crash"
    assert question["url"] == "https://discourse.urho3d.io/t/0-area-triangle-collision-crash/2400"
    assert question["created_at"] == datetime(2016, 11, 13, 5, 22, 31, tzinfo=UTC)
    mine = answers.filter(pl.col("post_id") == "2400").sort("created_at")
    assert mine["answer_id"].to_list() == ["14462", "14464", "14465"]
    assert mine["score"].to_list() == [0, 0, 0]
    assert mine["author_id"].to_list() == ["256", "134", "256"]
    liked = answers.sort("score").row(-1, named=True)
    assert (liked["post_id"], liked["answer_id"], liked["score"], liked["edited"]) == ("1654", "21494", 12, True)


def test_real_likes_keep_the_times_when_they_were_seen(shared_data: Path, tmp_path: Path, now: datetime) -> None:
    source = shared_data / "discourse" / "delving_like_snapshots.ndjson.zst"
    with pytest.raises(BadInput, match="no Discourse topics"):
        load(source, now=now)
    # The file holds likes and no texts; made into topics as they would have been saved at each of those times.
    seen: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for _, line in decompressed_lines(source, Tally()):
        row = json.loads(line)
        if row["topic_id"] <= 40:
            seen[row["topic_id"], row["observed_at"]].append(row)
    records = [
        topic(
            topic_id,
            [
                post(row["post_number"], likes=row["likes"], id=row["id"], created_at=row["created_at"])
                for row in sorted(rows, key=lambda row: row["post_number"])
            ],
            observed_at=at,
        )
        for (topic_id, at), rows in seen.items()
    ]
    rows = [row for rows in seen.values() for row in rows]
    replies = [row for row in rows if row["post_number"] != 1]
    assert len({row["observed_at"] for row in replies}) > 20
    path = write_dump(tmp_path / "a.ndjson", records)
    _, answers, _ = load(path, now=datetime(2027, 1, 1, tzinfo=UTC))
    told = [(r["answer_id"], int(r["observed_at"].timestamp()), r["score"]) for r in answers.iter_rows(named=True)]
    assert sorted(told) == sorted((str(row["id"]), row["observed_at"], row["likes"]) for row in replies)
    import_dump("discourse-json", [path], tmp_path / "store", now=datetime(2027, 1, 1, tzinfo=UTC), site=SITE)
    newest = {row["id"]: row["likes"] for row in sorted(replies, key=lambda row: row["observed_at"])}
    snapshot = Store(tmp_path / "store").snapshot()
    [part] = snapshot.ranges(1_000_000)
    stored = snapshot.answers(part)[0].select("answer_id", "score").iter_rows()
    assert dict(stored) == {str(number): likes for number, likes in newest.items()}


def test_where_readers_vote_on_posts_votes_are_the_score_and_likes_are_not(tmp_path: Path) -> None:
    """A topic of the post-voting plugin: votes go below zero; an answer without a count has no score."""
    counts = {1: 3, 2: 12, 3: -4}
    posts = [post(number, likes=1, post_voting_vote_count=count) for number, count in counts.items()]
    voted = topic(7, [*posts, post(4, likes=1)], is_post_voting=True)
    liked = topic(8, [post(1, 8), post(2, 8, likes=5)], is_post_voting=False)
    path = write_dump(tmp_path / "a.ndjson", [voted, liked])
    assert run(["import", "discourse-json", str(path), "--site", SITE]) == 0
    snapshot = Store("data/store").snapshot()
    scores = {row["post_id"]: row["score"] for row in snapshot.scan("posts").collect().to_dicts()}
    scores |= {row["answer_id"]: row["score"] for row in snapshot.scan("answers").collect().to_dicts()}
    assert scores == {"7": 3, "702": 12, "703": -4, "704": None, "8": 0, "802": 5}


def test_emoji_mentions_and_avatars_are_exported_as_what_was_written(tmp_path: Path) -> None:
    smile = '<img src="https://e.example/twitter/smile.png?v=5" title=":smile:" class="emoji" alt=":smile:">'
    face = '<img src="https://a.example/letter/s/40.png" class="avatar" width="20"> user2:'
    cooked = {1: "Why?", 2: f"So {smile}", 3: f'<p>{face}</p><p><a class="mention" href="/u/user2">@user2</a> no</p>'}
    posts = [post(number, likes=5 * number, cooked=text) for number, text in cooked.items()]
    path = write_dump(tmp_path / "a.ndjson", [topic(7, posts, observed_at=1_714_000_000)])
    assert run(["import", "discourse-json", str(path), "--site", SITE]) == 0
    assert run(["export", "out", "--rule", "votes", "--validation", "0", "--test", "0"]) == 0
    row = pl.read_parquet("out/**/*.parquet").row(0, named=True)
    assert {row["answer1"], row["answer2"]} == {"So :smile:", "user2:\n\n@user2 no"}


_TIMES = st.sampled_from(
    [CREATED, "2024-03-01T10:00:00+01:00", "2024-03-01", "soon", "", None, 5, "2124-01-01T00:00:00Z"]
)
_TEXTS = st.sampled_from(
    [
        "<p>a</p>",
        "",
        None,
        "a\0b",
        "\ud800",
        5,
        "(post deleted by author)",
        "<p>(topic withdrawn <b>by</b> author)</p>",
        "é&nbsp;",
        "This post was flagged by the community and is temporarily hidden.",
        "&#40;post deleted by &#97;uthor)",
        "<img a>",
    ]
)
_NUMBERS = st.sampled_from([0, 1, 2, -1, None, 3.0, "3", 1 << 62, 1 << 70, True])
_FLAGS = st.sampled_from([True, False, None, 1])
_COUNTED = [
    {"id": 2, "count": 3},
    {"id": 2},
    {"id": 3, "count": 1},
    {"id": 2, "count": None},
    {"id": None},
    {"count": 2},
]
_REACTED = [{"id": "-1", "count": 2}, {"id": "heart", "count": 3}, {"id": "thumbsdown"}, {"id": 5}]
_OF_POSTS: dict[str, Any] = {
    **dict.fromkeys(
        ("id", "post_number", "post_type", "version", "user_id", "reads", "reply_to_post_number"), _NUMBERS
    ),
    "post_voting_vote_count": _NUMBERS,
    **dict.fromkeys(("cooked", "raw"), _TEXTS),
    **dict.fromkeys(("created_at", "deleted_at"), _TIMES),
    **dict.fromkeys(("hidden", "user_deleted", "accepted_answer", "moderator", "admin"), _FLAGS),
    "username": st.sampled_from(["a b", "é/ü", "", None, 5, "x\0"]),
    "actions_summary": st.lists(st.sampled_from(_COUNTED), max_size=2) | st.none(),
    "reactions": st.lists(st.sampled_from(_REACTED), max_size=2) | st.none(),
    "polls": st.sampled_from([[], [1], None]),
    "unknown": st.sampled_from([{"username": "x"}, float("nan"), [None, None], "} null", {"polls": 1}]),
}
_OF_TOPICS: dict[str, Any] = {
    **dict.fromkeys(("id", "posts_count", "views", "category_id"), _NUMBERS),
    **dict.fromkeys(("title", "slug", "featured_link"), _TEXTS),
    **dict.fromkeys(("last_posted_at", "deleted_at", "observed_at"), _TIMES),
    **dict.fromkeys(("pinned", "pinned_globally", "is_post_voting"), _FLAGS),
    "observed_at": _TIMES | st.sampled_from([0, "0", 1711900000, 1711900000.5, float("inf")]),
    "archetype": st.sampled_from(["regular", "private_message", None]),
    "accepted_answer": st.sampled_from([{"post_number": 2}, {"post_number": None}, None, {}]),
}


@st.composite
def _any_topic(draw: st.DrawFn) -> bytes:
    """A topic with up to three posts, as programs write it, or damaged."""
    number = draw(st.sampled_from([7, 8, 9]))
    posts = [post(n, number, likes=n) for n in range(1, draw(st.integers(1, 4)))]
    record = topic(number, posts) | {"posts_count": draw(st.sampled_from([len(posts), 5]))}
    record["post_stream"]["posts"] = [draw(changed(one, _OF_POSTS)) for one in posts]
    record["post_stream"]["stream"] = draw(
        st.sampled_from([record["post_stream"]["stream"].copy(), [701, 702, 799], None, [None]])
    )
    whole = json.dumps(draw(changed(record, _OF_TOPICS)), ensure_ascii=draw(st.booleans())).encode(
        "utf-8", "surrogatepass"
    )
    if draw(st.booleans()):
        whole = whole.replace(b": ", b":")
    return draw(
        st.sampled_from(
            [whole] * 8 + [whole[:-4], b"[1]", b" " + whole, whole + whole, whole + b"\r", whole + b" null " + whole]
        )
    )


@examples(80)
@given(st.lists(_any_topic(), min_size=1, max_size=8))
def test_many_topics_at_once_are_what_each_is_alone(tmp_path: Path, lines: list[bytes]) -> None:
    path = tmp_path / "topics.ndjson"
    path.write_bytes(b"\n".join([json.dumps(topic(6)).encode(), *lines]))
    now = datetime(2024, 6, 1, tzinfo=UTC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shp_miner.dumps.discourse._FEW", 1)
        at_once = load(path, now=now)
        patch.setattr("shp_miner.dumps.discourse._FEW", 1_000_000)
        alone = load(path, now=now)
    for rows, other in zip(at_once[:2], alone[:2], strict=True):
        assert rows.equals(other)  # in this order, too
    for told in ("read", "dropped", "notes", "examples", "damages"):
        assert getattr(at_once[2], told) == getattr(alone[2], told)
