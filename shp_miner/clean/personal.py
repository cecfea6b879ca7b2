"""Personal data in texts: found by kind, and masked by placeholders that name the kind.

Each kind has a gate, a pattern that the table engine tries on whole columns; only texts that pass it are looked at by
the kind's own checks. What the kinds are worth on a labelled set is in docs/cleaning.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl

from shp_miner.clean.addresses import emails, ipv4_addresses, ipv6_addresses, written_emails
from shp_miner.clean.cleaning import Cleaning
from shp_miner.clean.filter import Filter, first_of
from shp_miner.clean.numbers import Span, cards, ibans, social_security_numbers, telephones


@dataclass(frozen=True)
class PersonalKind:
    """A kind of personal data: the placeholder that stands for it, its gate, and what finds it in a text."""

    placeholder: str
    gate: str
    find: Callable[[str], Iterator[Span]]


#: The kinds by name, in the order in which they are looked for: what one has found is no other.
KINDS: dict[str, PersonalKind] = {
    "email": PersonalKind("[EMAIL]", r"[\w-]@[\w-]+\.", emails),
    "written_email": PersonalKind("[EMAIL]", r"(?i)[(\[{<] ?(?:at|ät|@) ?[)\]}>]|\w at [\w-]+ dot ", written_emails),
    "iban": PersonalKind("[IBAN]", r"[A-Z]{2}\d\d[ -]?[A-Z0-9]{4}", ibans),
    "card": PersonalKind("[CARD]", r"\d{4}[ -]?\d{4,6}[ -]?\d{4}", cards),
    "ssn": PersonalKind("[SSN]", r"\d{3}[ -]?\d\d[ -]?\d{4}", social_security_numbers),
    "ipv4": PersonalKind("[IP]", r"\d\.\d{1,3}\.\d{1,3}\.\d", ipv4_addresses),
    "ipv6": PersonalKind("[IP]", r"(?i)\b2[0-9a-f]{3}:(?:[0-9a-f]{0,4}:){1,6}", ipv6_addresses),
    "phone": PersonalKind("[PHONE]", r"(?:\d[ ().\-–/]{0,3}){8}\d", telephones),
}

#: The gates that are tried on all texts, several kinds at a time: one with all of them would be ten times as slow.
_GATES = tuple(
    "|".join(f"(?:{KINDS[kind].gate})" for kind in kinds)
    for kinds in (("email", "written_email"), ("iban", "card", "ssn", "ipv4", "phone"), ("ipv6",))
)


@dataclass
class Personal:
    """The texts with each item masked, which rows have any, and how many items of each kind there are."""

    texts: pl.Series
    has_any: pl.Series
    counts: dict[str, int]


def find_personal(text: str, kinds: tuple[str, ...] = tuple(KINDS)) -> list[tuple[int, int, str]]:
    """Return where each item begins and ends and its kind, in the order of the text; no two overlap."""
    found: list[tuple[int, int, str]] = []
    for kind in kinds:
        taken = sorted((start, end) for start, end, _ in found)
        found.extend((start, end, kind) for start, end in _beside(taken, KINDS[kind].find(text)))
    return sorted(found)


def _beside(taken: list[Span], spans: Iterator[Span]) -> Iterator[Span]:
    """The spans, in order, that overlap none of those taken, in order."""
    place = 0
    for start, end in spans:
        while place < len(taken) and taken[place][1] <= start:
            place += 1
        if place == len(taken) or end <= taken[place][0]:
            yield start, end


def mask_personal(texts: pl.Series) -> Personal:
    """Find personal data in a column of texts (String) and put placeholders in its place."""
    passing = pl.DataFrame({gate: texts.str.contains(gate) for gate in _GATES})
    flagged = passing.select(pl.any_horizontal(pl.all())).to_series().arg_true()
    looked_at = texts.gather(flagged)
    gates = pl.DataFrame({kind: looked_at.str.contains(known.gate) for kind, known in KINDS.items()})
    counts = dict.fromkeys(KINDS, 0)
    rows, masked = [], []
    names = tuple(KINDS)
    for row, passed, text in zip(flagged, gates.iter_rows(), looked_at, strict=True):
        found = find_personal(text, tuple(name for name, passes in zip(names, passed, strict=True) if passes))
        if found:
            rows.append(row)
            masked.append(_masked(text, found))
            for _, _, kind in found:
                counts[kind] += 1
    has_any = pl.repeat(value=False, n=len(texts), eager=True)
    if rows:
        texts, has_any = texts.clone().scatter(rows, masked), has_any.scatter(rows, values=True)
    return Personal(texts, has_any, {kind: count for kind, count in counts.items() if count})


def _reasons(frame: pl.DataFrame, cleaning: Cleaning) -> pl.Series:
    if cleaning.personal != "drop":
        return pl.repeat(None, frame.height, dtype=pl.String, eager=True)
    has_any = mask_personal(frame["text"]).has_any
    return frame.select(first_of(("personal_data", pl.lit(has_any)))).to_series()


PERSONAL = Filter(("personal",), ("post", "answer"), _reasons)


def _masked(text: str, found: list[tuple[int, int, str]]) -> str:
    out, place = [], 0
    for start, end, kind in found:
        out += [text[place:start], KINDS[kind].placeholder]
        place = end
    return "".join([*out, text[place:]])
