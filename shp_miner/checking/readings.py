"""What the loaders of training tools make of one row, in our own words.

Each function takes a row as `datasets` gives it and returns the two sides as the tool trains on them: messages, or one
text. It raises Dropped if the tool leaves the row out, and Stopped if the tool ends with an error. Which version the
behaviour was read from is in `tools.TOOLS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

Row = Mapping[str, Any]
Messages = list[dict[str, str]]


class Dropped(Exception):
    """The tool leaves this row out; the text says why."""


class Stopped(Exception):
    """The tool ends with an error at this row; the text says which."""


class Seen(Struct, frozen=True):
    """A row as a tool sees it: messages, or one text, of the preferred side and of the other (if there are two).

    `changed` says what the tool makes of the row besides.
    """

    chosen: Messages | str
    rejected: Messages | str | None = None
    changed: str = ""


def column(row: Row, name: str) -> Any:
    """Return a value of the row. Raises Stopped if the data set lacks the column."""
    if name not in row:
        raise Stopped(f"there is no column {name}")
    return row[name]


def _messages(row: Row, name: str) -> Messages:
    value = column(row, name)
    if isinstance(value, str):
        raise Stopped(f"{name} is a text; a list of messages is expected")
    return list(value)


def _text(row: Row, name: str) -> str:
    value = column(row, name)
    if not isinstance(value, str):
        raise Stopped(f"{name} is a list of messages; a text is expected")
    return value


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


# -- TRL --------------------------------------------------------------------------------------------------------------


def trl_pair(row: Row) -> Seen:
    """RewardTrainer and DPOTrainer: `prompt` before both sides if there is one, else the sides as they are."""
    chosen, rejected = column(row, "chosen"), column(row, "rejected")
    if "prompt" not in row:
        return Seen(chosen, rejected)
    prompt = row["prompt"]
    if isinstance(prompt, str) != isinstance(chosen, str):
        raise Stopped("prompt and answers are not of one kind")
    return Seen(prompt + chosen, prompt + rejected)


def trl_label(row: Row) -> Seen:
    """KTOTrainer: a prompt and a completion with a label; a pair becomes two such rows."""
    if "chosen" in row and "rejected" in row:
        pair = trl_pair(row)
        return Seen(pair.chosen, pair.rejected, "each pair becomes two rows")
    column(row, "label")
    return Seen(column(row, "prompt") + column(row, "completion"))


# -- rewardbench ------------------------------------------------------------------------------------------------------


def rewardbench(row: Row) -> Seen:
    """The messages of `chosen` before its last one are the question, whatever a column `prompt` says."""
    if "chosen" not in row or "rejected" not in row:
        raise Stopped("there are no columns chosen and rejected")
    chosen, rejected = _messages(row, "chosen"), _messages(row, "rejected")
    before = [
        (_user if number % 2 == 0 else _assistant)(message["content"]) for number, message in enumerate(chosen[:-1])
    ]
    asked = before or [_user("[]")]  # the template gets an empty list for the question's text
    return Seen([*asked, _assistant(chosen[-1]["content"])], [*asked, _assistant(rejected[-1]["content"])])


# -- LLaMA-Factory ----------------------------------------------------------------------------------------------------


def llama_factory_pair(row: Row) -> Seen:
    """Version 1, converter `pair`: both sides are whole conversations; a column that is missing counts as empty."""
    chosen, rejected = (_messages({name: row.get(name, [])}, name) for name in ("chosen", "rejected"))
    return Seen(chosen, rejected)


def llama_factory_ranking(row: Row) -> Seen:
    """`sharegpt` and `openai` with ranking: an odd number of messages, and one message for each answer."""
    messages = _messages(row, "prompt" if "prompt" in row else "chosen")
    if len(messages) % 2 == 0:
        raise Dropped("the conversation has an even number of messages; the question alone is expected")
    chosen, rejected = column(row, "chosen"), column(row, "rejected")
    if not (isinstance(chosen, Mapping) and isinstance(rejected, Mapping)):
        raise Dropped("an answer is a list of messages or a text; one message is expected")
    return Seen([*messages, dict(chosen)], [*messages, dict(rejected)])


def llama_factory_alpaca(row: Row) -> Seen:
    """`alpaca` with ranking: prompt and both answers are texts."""
    prompt = _text(row, "prompt") if "prompt" in row else ""
    chosen, rejected = column(row, "chosen"), column(row, "rejected")
    if not (isinstance(chosen, str) and isinstance(rejected, str)):
        raise Dropped("an answer is a list of messages; a text is expected")
    return Seen([_user(prompt), _assistant(chosen)], [_user(prompt), _assistant(rejected)])


def llama_factory_kto(row: Row) -> Seen:
    """`alpaca` with a kto_tag: prompt and response are texts, the tag is a boolean."""
    column(row, "label")
    return Seen([_user(_text(row, "prompt")), _assistant(_text(row, "completion"))])


# -- axolotl ----------------------------------------------------------------------------------------------------------


def axolotl_bradley_terry(row: Row) -> Seen:
    """`bradley_terry.chat_template`: texts in system, input, chosen and rejected."""
    system = column(row, "system")
    before = [{"role": "system", "content": system}] if system else []
    asked = [*before, _user(_text(row, "input"))]
    return Seen([*asked, _assistant(_text(row, "chosen"))], [*asked, _assistant(_text(row, "rejected"))])


def axolotl_argilla_chat(row: Row) -> Seen:
    """`chat_template.argilla_chat`: the messages of `chosen` before its last one, then the last ones of both sides."""
    chosen, rejected = _messages(row, "chosen"), _messages(row, "rejected")
    if len(chosen) < 2:
        raise Stopped("chosen has no question; the chat template refuses an empty conversation")
    return Seen(chosen, [*chosen[:-1], rejected[-1]])


def axolotl_chat_template(row: Row) -> Seen:
    """`chat_template.default` with field_messages: prompt; an answer is a text, a message, or the last of a list."""
    asked = column(row, "prompt")
    asked = [_user(asked)] if isinstance(asked, str) else list(asked)
    chosen, rejected = ([*asked, _last(column(row, name))] for name in ("chosen", "rejected"))
    return Seen(chosen, rejected)


def axolotl_orpo(row: Row) -> Seen:
    """`orpo.chat_template`: the first two messages of both sides."""
    chosen, rejected = _messages(row, "chosen"), _messages(row, "rejected")
    if len(chosen) < 2 or len(rejected) < 2:
        raise Stopped("a side has one message; a question and an answer are expected")
    first, second = ([_user(side[0]["content"]), _assistant(side[1]["content"])] for side in (chosen, rejected))
    return Seen(first, second)


def _last(answer: Any) -> dict[str, str]:
    if isinstance(answer, str):
        return _assistant(answer)
    return dict(answer if isinstance(answer, Mapping) else answer[-1])


# -- OpenRLHF and RLHFlow ---------------------------------------------------------------------------------------------


def whole_conversations(row: Row) -> Seen:
    """OpenRLHF with apply_chat_template, and RLHFlow: both sides as they are, through the tokenizer's template."""
    return Seen(_messages(row, "chosen"), _messages(row, "rejected"))


def openrlhf_prompt_key(row: Row) -> Seen:
    """OpenRLHF with prompt_key and apply_chat_template: the prompt's messages before those of both sides."""
    asked = _messages(row, "prompt")
    return Seen([*asked, *_messages(row, "chosen")], [*asked, *_messages(row, "rejected")])


def openrlhf_text(row: Row) -> Seen:
    """OpenRLHF with prompt_key and no template: texts one after the other."""
    return Seen(*(_text(row, "prompt") + _text(row, name) for name in ("chosen", "rejected")))


# -- what is in it ----------------------------------------------------------------------------------------------------


def has_question(seen: Seen, question: str) -> bool:
    """Return whether the question is in every side, before the answer."""
    sides = [side for side in (seen.chosen, seen.rejected) if side is not None]
    return all(question in _before_answer(side) for side in sides)


def _before_answer(side: Messages | str) -> str:
    return side if isinstance(side, str) else "\n".join(message["content"] for message in side[:-1])


#: Columns that a reading takes; no other is read from the files.
LOADED = ("prompt", "chosen", "rejected", "completion", "label", "system", "input", "messages")
