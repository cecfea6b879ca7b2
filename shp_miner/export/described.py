"""What each column of the formats holds, in one sentence. The card's table and docs/formats.md are made of it."""

from __future__ import annotations

import pyarrow as pa

from shp_miner.export.formats import Format

#: Columns of this meaning in every format.
_COLUMNS = {
    "question": "Title and body of the post.",
    "answer1": "The answer shown first; a hash of the ids decides which one that is.",
    "answer2": "The other answer.",
    "preferred": "1 or 2: the answer that wins under the rule.",
    "pair_id": "Site, post and both answers; the smaller answer id comes first.",
    "source": "Where the thread was read, such as `reddit-dump`.",
    "community": "The subreddit, site or category.",
    "post_id": "The platform's id of the post.",
    "answer1_id": "The platform's id of answer 1.",
    "answer2_id": "The platform's id of answer 2.",
    "score1": "Score of answer 1, as the platform shows it.",
    "score2": "Score of answer 2, as the platform shows it.",
    "created_at1": "When answer 1 was written.",
    "created_at2": "When answer 2 was written.",
    "observed_at1": "When the score of answer 1 was read.",
    "observed_at2": "When the score of answer 2 was read.",
    "post_score": "Score of the post.",
    "seconds_difference": "Seconds from the loser's time of writing to the winner's.",
    "score_ratio": "Score of the winner divided by the loser's; null if that is not positive.",
    "confidence": "Probability that the preferred answer is the better one for those who vote.",
    "tier": "`strict` or `extended`: how far to trust the pair.",
    "rule": "Name of the rule.",
    "url": "Page of the post.",
    "author_post": "Author of the post, with a link if the licence asks for one.",
    "author1": "Author of answer 1, likewise.",
    "author2": "Author of answer 2, likewise.",
    "license": "Licences of question and answers; null if none is known.",
    "reads1": "Readers of answer 1 who were logged in (Discourse); null if the platform does not count them.",
    "reads2": "Readers of answer 2, likewise.",
    "upvotes1": "Votes for answer 1; null if the platform does not give them apart.",
    "upvotes2": "Votes for answer 2, likewise.",
    "downvotes1": "Votes against answer 1; null if the platform does not give them apart.",
    "downvotes2": "Votes against answer 2, likewise.",
    "views": "How often the thread was opened, by anybody; null if the platform does not count it.",
    "target": "Votes of the preferred answer plus 1/2, divided by the votes of both plus 1; null if one is below 0.",
    "weight": "How much `target` counts: n / (1 + 0.1 (n - 1)) with n the votes of both; null without votes.",
    "attention": "Log-odds that the preferred answer gets more votes by its rank and age alone.",
    "margin": "For TRL: minus the log-odds that the preferred answer gets more votes by its rank and age alone.",
    "domain": "Community and split, joined by `_`.",
    "upvote_ratio": "Share of upvotes among the post's votes; null if unknown.",
    "history": "Title and body of the post in one line.",
    "c_root_id_A": "The platform's id of answer A.",
    "c_root_id_B": "The platform's id of answer B.",
    "created_at_utc_A": "When answer A was written, in seconds since 1970.",
    "created_at_utc_B": "When answer B was written, in seconds since 1970.",
    "score_A": "Score of answer A.",
    "score_B": "Score of answer B.",
    "human_ref_A": "Answer A in one line.",
    "human_ref_B": "Answer B in one line.",
    "labels": "1 if A is preferred, 0 if B is.",
    "prompt": "The question.",
    "chosen": "The preferred answer.",
    "rejected": "The other answer.",
    "score_chosen": "Score of the preferred answer.",
    "score_rejected": "Score of the other answer.",
    "completion": "The answer.",
    "label": "True if the answer won more pairs than it lost, false if fewer.",
    "answers": "All answers in a pair, best first: `text`, `score`, `rank` from 1 and `answer_id`.",
    "state": "The question.",
    "action": "The answer.",
    "reward": "Pairs won minus pairs lost, divided by both: from -1 to 1.",
    "next_state": "Always null: a thread is one step.",
}

#: Columns with another meaning in one format.
_OF_FORMAT = {
    ("trl", "prompt"): "The question, as a conversation of one message.",
    ("trl", "chosen"): "The preferred answer, as a conversation of one message.",
    ("trl", "rejected"): "The other answer, as a conversation of one message.",
    ("chat-pairs", "chosen"): "Question and preferred answer, as a conversation.",
    ("chat-pairs", "rejected"): "Question and other answer, as a conversation.",
    ("trl-text", "prompt"): "The question, ending in a line `Answer:`.",
    ("kto", "prompt"): "The question, ending in a line `Answer:`.",
    ("sft", "prompt"): "The question, ending in a line `Answer:`.",
    ("sft", "completion"): "The answer that is best under the rule.",
}

_TYPES = {"double": "float64", "bool": "bool"}


def describe_column(form: str, column: str) -> str:
    """Return what a column of a format holds, "" if nobody has described it."""
    return _OF_FORMAT.get((form, column)) or _COLUMNS.get(column, "")


def column_rows(form: Format) -> list[tuple[str, str, str]]:
    """Return the name, the type and the meaning of each column of a format."""
    return [(field.name, type_name(field.type), describe_column(form.name, field.name)) for field in form.schema]


def type_name(kind: pa.DataType) -> str:
    """Return a short name of a column's type."""
    if pa.types.is_timestamp(kind):
        return f"timestamp ({kind.unit}, UTC)"
    if pa.types.is_list(kind):
        inner = kind.value_type
        return f"list of {', '.join(inner.field(n).name for n in range(inner.num_fields))}"
    return _TYPES.get(str(kind), str(kind))
