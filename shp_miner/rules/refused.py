"""Values that a parameter of a rule cannot take, in words: the library that checks them speaks of types."""

from __future__ import annotations

import re

#: What a value must be, by the type that the library names.
_KINDS = {
    "float": "a number, such as 2 or 0.5",
    "int": "a whole number, such as 5",
    "bool": "true or false",
    "datetime": 'a date, such as "2023-01-01"',
    "str": "a text",
}

_BOUND = re.compile(r"Expected `\w+` (>=|<=|>|<) ([\d.]+)")
_TYPE = re.compile(r"Expected `(\w+)")
_BOUNDS = {">=": "{} or more", "<=": "{} or less", ">": "more than {}", "<": "less than {}"}


def refused(value: object, reason: str, names: tuple[str, ...] = ()) -> str:
    """Return why a value is refused, as the end of a sentence: "is '2': write a number, such as 2 or 0.5".

    `reason` is msgspec's. `names` are the values of a parameter whose values are names.
    """
    bound, kind = _BOUND.match(reason), _TYPE.match(reason)
    if names:
        wanted = " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    elif bound is not None:
        wanted = _BOUNDS[bound[1]].format(f"{float(bound[2]):g}")
    else:
        wanted = _KINDS.get(kind[1], reason) if kind is not None else reason
    return f"is {value!r:.60}: write {wanted}"
