"""A labelled set of personal data, all of it made up, and of look-alikes: at least three for each item.

Items are between "⟦" and "⟧". Telephone numbers are of ranges kept for fiction, cards and IBANs are printed examples or
made with their check digits, and hosts are invented. The look-alikes of a kind have nothing that the kind should find.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path


def _read(name: str) -> dict[str, list[str]]:
    """The lines of a file below their kinds."""
    found: dict[str, list[str]] = {}
    for line in filter(None, (Path(__file__).parent / "personal" / name).read_text().split("\n")):
        if line.startswith("## "):
            lines = found.setdefault(line[3:], [])
        else:
            lines.append(line)
    return found


ITEMS = _read("items.txt")

#: Look-alikes by the kind that they look like; "{...}" is filled by the makers below.
ALIKE = _read("look_alikes.txt")


def items(kind: str) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Yield the texts of a kind with where its items begin and end."""
    for line in ITEMS[kind]:
        spans, text = [], ""
        for part in re.split("(⟦[^⟧]*⟧)", line):
            words = part.strip("⟦⟧")
            if words != part:
                spans.append((len(text), len(text) + len(words)))
            text += words
        yield text, spans


def look_alikes(kind: str, seed: int = 0) -> list[str]:
    """Return texts that look as if they had an item of the kind, filled with made-up numbers."""
    chance = random.Random(f"{kind} {seed}")
    return [
        re.sub(rf"\{{({'|'.join(MAKERS)})\}}", lambda found: MAKERS[found[1]](chance), line) for line in ALIKE[kind]
    ]


def _digits(count: int) -> Callable[[random.Random], str]:
    return lambda chance: "".join(chance.choices("0123456789", k=count))


def _isbn13(chance: random.Random) -> str:
    digits = "978" + _digits(9)(chance)
    return digits + str(-sum(int(digit) * (1, 3)[n % 2] for n, digit in enumerate(digits)) % 10)


def _isbn13h(chance: random.Random) -> str:
    digits = _isbn13(chance)
    return "-".join((digits[:3], digits[3], digits[4:8], digits[8:12], digits[12]))


def _isbn10(chance: random.Random) -> str:
    digits = _digits(9)(chance)
    check = sum(int(digit) * (n + 1) for n, digit in enumerate(digits)) % 11
    return f"{digits[0]}-{digits[1:4]}-{digits[4:]}-{'X' if check == 10 else check}"


def _orcid(chance: random.Random) -> str:
    digits, total = "0000000" + _digits(8)(chance), 0
    for digit in digits:
        total = (total + int(digit)) * 2
    check = (12 - total % 11) % 11
    whole = digits + ("X" if check == 10 else str(check))
    return "-".join(whole[n : n + 4] for n in range(0, 16, 4))


def _luhnless(chance: random.Random) -> str:
    digits = "4" + _digits(14)(chance)
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[::2])
    right = -(doubled + sum(map(int, digits[1::2]))) % 10
    return digits + str((right + chance.randint(1, 9)) % 10)


MAKERS: dict[str, Callable[[random.Random], str]] = {
    **{f"digits{count}": _digits(count) for count in (5, 6, 7, 8, 20)},
    "isbn13": _isbn13,
    "isbn13h": _isbn13h,
    "isbn10": _isbn10,
    "orcid": _orcid,
    "luhnless": _luhnless,
    "issn": lambda chance: f"{_digits(4)(chance)}-{_digits(4)(chance)}",
    "hash": lambda chance: "".join(chance.choices("0123456789abcdef", k=40)),
    "uuid": lambda chance: "-".join("".join(chance.choices("0123456789abcdef", k=n)) for n in (8, 4, 4, 4, 12)),
    "snowflake": lambda chance: str(chance.randrange(10**17, 10**18)),
    "version": lambda chance: f"v{'.'.join(str(chance.randrange(256)) for _ in range(4))}",
    "grant": lambda chance: f"grant {_digits(10)(chance)}",
    "date": lambda chance: f"{chance.randint(1, 28):02}-{chance.randint(1, 12):02}-{chance.randint(1900, 2030)}",
    "phone9": lambda chance: f"{_digits(3)(chance)}-{_digits(3)(chance)}-{_digits(3)(chance)}",
}
