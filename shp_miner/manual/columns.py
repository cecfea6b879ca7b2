"""What the columns of posts, answers and pairs mean, for docs/python.md."""

from __future__ import annotations

#: By name: the meaning of each column of POST and ANSWER. A column that may be null says when it is.
OBSERVED = {
    "thread_hash": "hash of `site` and `post_id`: the order of a store, and what splits go by",
    "source": "what brought the row: `reddit-dump`, `lemmy`, `threads`, ...",
    "platform": "the forum's software, whose score floors rules take: `reddit`, `stackexchange`, `threads`, ...",
    "site": "the forum's host, such as `reddit.com`",
    "community": "the subreddit, category or board; a Stack Exchange site is one community",
    "post_id": "the platform's own id of the post; with `site` it names the thread",
    "answer_id": "the platform's own id of the answer",
    "created_at": "when the item was written",
    "body": "the text as the platform gave it; empty if the state is not `live`",
    "body_format": "the format of `body`: `markdown`, `html`, `text`, or `reddit` (Markdown with &, < and > escaped)",
    "body_chars": "visible characters of `body`, without blank ends",
    "author": "the author's name; null if it is unknown or the account is gone",
    "author_id": "the platform's id of the author; null if unknown",
    "author_url": "the address of the author's page; null if unknown",
    "author_deleted": "whether the account is gone",
    "author_role": "the role in which the author wrote: `member`, `moderator`, `admin` or `bot`",
    "url": "the address of the item; null if unknown",
    "license": "the licence of the text; null if unknown",
    "title": "the title of the question",
    "is_text": "false for links, images and polls",
    "nsfw": "whether the platform marks it as not safe for work",
    "upvote_ratio": "share of up-votes, 0 to 1; null if the platform does not give it",
    "by_post_author": "whether the platform reports that the asker wrote the answer",
    "accepted": "whether the platform marks the answer as the solution",
    "observed_at": "when the score was read; null if unknown",
    "score": "the score that the platform showed then; null if it hid the score",
    "state": "`live`, `deleted` (by its author), `removed` (by others) or `unreadable` (nobody could read it)",
    "edited": "whether it was edited",
    "stickied": "whether it is pinned",
    "content_hash": "hash of what the row says; decides between rows of one time",
}

#: By name: the meaning of each column of PAIR.
PAIRED = {
    "thread_hash": "as for posts",
    "site": "as for posts",
    "post_id": "as for posts",
    "winner_id": "the `answer_id` of the preferred answer",
    "loser_id": "the `answer_id` of the other answer",
    "winner_score": "the preferred answer's score",
    "loser_score": "the other answer's score",
    "winner_created_at": "when the preferred answer was written",
    "loser_created_at": "when the other answer was written",
    "seconds_difference": "`winner_created_at` minus `loser_created_at`, in seconds",
    "score_ratio": "`winner_score` / `loser_score`; null if `loser_score` is not positive",
    "confidence": "probability that the preferred answer is the better one; null if it was not computed",
    "tier": "how far to trust the pair: `strict` or `extended`",
    "pair_hash": "hash of both answers, whichever is preferred; decides which is shown first",
}
