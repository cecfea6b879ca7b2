"""A line of JSON as a topic of Discourse, typed, with what is wrong in it."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from shp_miner.platforms.discourse import Topic, TopicPost
from shp_miner.platforms.records import converted_json, lenient_json
from shp_miner.tally import Lost, Tally

_T = TypeVar("_T")


class Record(Topic):
    """A topic, and when it was read."""

    observed_at: Any = None


#: A topic, and the posts of it that cannot be used with their numbers.
Decoded = tuple[Record, list[tuple[Any, Lost]]]

#: Takes usual topics, and refuses all others.
TOPICS = msgspec.json.Decoder(Record)


def decode_topic(text: bytes, tally: Tally) -> Decoded:
    """The topic, and the posts of it that cannot be used with their numbers. Raises Lost for the whole topic."""
    try:
        return TOPICS.decode(text), []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_carefully(text, tally)


def _decode_carefully(text: bytes, tally: Tally) -> Decoded:
    """Decode post by post; what programs write although JSON forbids it passes."""
    topic = lenient_json(text, tally)
    if not isinstance(topic, dict):
        raise Lost("not_an_object", "a JSON object was expected")
    stream = topic.get("post_stream")
    posts = stream.get("posts") if isinstance(stream, dict) else None
    if not isinstance(stream, dict) or not isinstance(posts, list):
        return _convert(topic, Record), []
    record = _convert({**topic, "post_stream": {**stream, "posts": []}}, Record)
    broken: list[tuple[Any, Lost]] = []
    for post in posts:
        try:
            record.post_stream.posts.append(_convert(post, TopicPost))
        except Lost as lost:
            known = post if isinstance(post, dict) else {}
            broken.append((known.get("post_number"), lost))
            if record.post_stream.stream and known.get("id") in record.post_stream.stream:
                record.post_stream.stream.remove(known["id"])  # it is lost, and not missing from the file
    return record, broken


def _convert(value: Any, kind: type[_T]) -> _T:
    try:
        return converted_json(value, kind)
    except msgspec.ValidationError as error:
        text = str(error)
        if "missing required field" in text:
            raise Lost("missing_field", text) from error
        if "_at`" in text:
            raise Lost("bad_time", text) from error
        raise Lost("not_an_object" if "Expected `object`, got" in text else "wrong_type", text) from error
