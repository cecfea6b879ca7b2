"""Decoding the bodies of answers: JSON into typed structs, or an error that says what came instead."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
import msgspec.inspect

from shp_miner.platforms.records import converted_json
from shp_miner.sources.losing import lose_records

T = TypeVar("T")

_LOGIN = re.compile(rb"type=[\"']?password|<title[^<>]*>[^<]*\b(log ?in|sign ?in)\b", re.IGNORECASE)
_ROBOT_CHECK = re.compile(
    rb"captcha|cf-chl|challenge-platform|<title>(?:just a moment|attention required|ddos-guard|human verification)"
    rb"|not a (?:ro)?bot|within\.website|awswaf|checking your browser|verify(?:ing)? (?:that )?you are (?:a )?human",
    re.IGNORECASE,
)

#: How much of a web page is looked at to tell what it is.
_PAGE_BYTES = 1 << 20

#: How paths begin where people log in, alone or behind a word for accounts.
_LOGIN_PARTS = frozenset(
    ("login", "log-in", "log_in", "login.php", "signin", "sign-in", "sign_in", "session", "sso", "saml")
)
_ACCOUNT_PARTS = frozenset(("account", "accounts", "auth", "oauth2", "user", "users"))

#: Where the platforms put a code word for what is wrong.
_CODES = ("error_name", "error_type", "error", "reason", "code")
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9]*([_.-][A-Za-z0-9]+)*")


class Instead:
    """Something that came instead of an answer: a base of the errors that report it.

    `status` and `body` are for the source, which may know the reason; no message shows the body. `page`: the body is a
    web page. `login`: a redirect led, or would have led, to a log-in page.
    """

    status: int = 0
    body: bytes = b""
    page: bool = False
    login: bool = False

    @property
    def spoken(self) -> bool:
        """Whether the API itself may have sent this: the body is a JSON object."""
        try:
            msgspec.json.decode(self.body, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        return True

    def what(self) -> str:
        """Describe it for a message: a web page, an empty body, or the code word of a refusal."""
        if self.page:
            return page_kind(self.body)
        if not self.body.strip():
            return "an empty body"
        return refusal_code(self.body) if self.spoken else "not JSON"


class NotJson(Exception):
    """The body is not JSON: cut off, garbled or empty."""


class WrongShape(Exception):
    """The body is JSON of another shape; the text names the field."""


@cache
def _decoder(kind: Any, strict: bool) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, strict=strict)


def decode_body(body: bytes, kind: type[T], strict: bool) -> T:
    """Return the body as `kind`. Raises NotJson and WrongShape."""
    try:
        answer: T = _decoder(cast(Any, kind), strict).decode(body)
        return answer
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _leniently(body, kind, strict)


def _leniently(body: bytes, kind: type[T], strict: bool) -> T:
    """Decode what the strict decoder refuses: lone surrogates and NaN, and records of a wrong shape among others."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise NotJson from None
    try:
        return converted_json(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        wrong = WrongShape(str(error))
    except RecursionError:
        raise NotJson from None
    try:
        found = converted_json(_without_the_bad(value, msgspec.inspect.type_info(kind), strict), kind, strict=strict)
    except (msgspec.ValidationError, RecursionError):
        raise wrong from None
    return found


def _without_the_bad(value: Any, kind: msgspec.inspect.Type, strict: bool) -> Any:
    """The value without those records of its lists that are none of their kind; `counting_lost` counts them.

    Where no record of a list is of its kind, all are left: it is the answer that is another.
    """
    if isinstance(kind, msgspec.inspect.UnionType):
        for member in kind.types:
            value = _without_the_bad(value, member, strict)
    elif isinstance(kind, msgspec.inspect.StructType) and isinstance(value, dict):
        inside = {field.encode_name: field.type for field in kind.fields}
        return {
            name: _without_the_bad(part, inside[name], strict) if name in inside else part
            for name, part in value.items()
        }
    elif isinstance(kind, msgspec.inspect.ListType) and isinstance(value, list):
        if not isinstance(kind.item_type, msgspec.inspect.StructType):
            return value
        pruned = [_without_the_bad(record, kind.item_type, strict) for record in value]
        sound = [record for record in pruned if _is(record, kind.item_type.cls, strict)]
        if sound:
            for _ in range(len(value) - len(sound)):
                lose_records("wrong_type")
            return sound
    return value


def _is(value: Any, kind: type, strict: bool) -> bool:
    try:
        converted_json(value, kind, strict=strict)
    except msgspec.ValidationError:
        return False
    return True


def is_html(body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether an answer is a web page."""
    start = body[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return True
    return "html" in headers.get("content-type", "") and bool(start) and not start.startswith((b"{", b"["))


def is_login(path: str) -> bool:
    """Whether a path of a site is a log-in page: "/login", "/session/sso", "/users/sign_in".

    Only its start counts: later parts may be the name of a topic.
    """
    parts = [*(part for part in path.lower().split("/") if part and part != "api"), "", ""]
    return parts[0] in _LOGIN_PARTS or (parts[0] in _ACCOUNT_PARTS and parts[1] in _LOGIN_PARTS)


def page_kind(body: bytes) -> str:
    """Return the kind of a web page, never its words: they may be personal."""
    body = body[:_PAGE_BYTES]
    if _ROBOT_CHECK.search(body):
        return "a check for robots"
    if _LOGIN.search(body):
        return "a login page"
    return "a web page"


def refusal_code(body: bytes) -> str:
    """Return the code word of a refusal ("couldnt_find_community"), empty without one. Sentences do not count."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    words = [value.get(name) for name in _CODES] if isinstance(value, dict) else []
    return next((word for word in words if isinstance(word, str) and _CODE.fullmatch(word)), "")
