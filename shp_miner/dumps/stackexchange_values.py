"""Values of one row of a Stack Exchange dump, checked at the edge."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from shp_miner.tally import Lost
from shp_miner.units import to_us

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z?)?")
WHOLE = re.compile(r"-?[0-9]{1,18}")
#: The same for a column of text.
WHOLE_TEXT = f"^{WHOLE.pattern}$"


def text_of(attributes: dict[str, str], name: str) -> str:
    """The attribute. Raises Lost if it is missing."""
    text = attributes.get(name)
    if text is None:
        raise Lost("missing_field", f"{name} is missing")
    return text


def number_attribute(attributes: dict[str, str], name: str, reason: str) -> int:
    """The attribute as a whole number. Raises Lost with `reason`."""
    text = text_of(attributes, name)
    if not WHOLE.fullmatch(text):
        raise Lost(reason, f"{name} {text!r:.40} is not a whole number")
    return int(text)


def id_attribute(attributes: dict[str, str], name: str) -> int:
    """Return the attribute as an id. Raises Lost if it is not one."""
    number = number_attribute(attributes, name, "bad_id")
    if number <= 0:
        raise Lost("bad_id", f"{name} {number} is not positive")
    return number


def time_us(text: str) -> int | None:
    """Return microseconds since 1970 of a time (UTC) or of a day's start, or None if it is neither."""
    if not _TIME.fullmatch(text):
        return None
    try:
        time = datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError:
        return None
    return to_us(time)
