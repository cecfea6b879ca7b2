"""What to clean: one set of parameters, and profiles, which are named sets of them. All is off unless asked for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, structs

from shp_miner.arguments import one_of
from shp_miner.errors import UsageError, nearest_name
from shp_miner.rules.refused import refused
from shp_miner.text.language import CODES
from shp_miner.text.titles import TextMode, abbreviations

#: What is done with near-equal posts and answers: nothing, all in one split, or one of each.
Near = Literal["keep", "together", "one"]

_Count = Annotated[int, Meta(ge=1)]


class Cleaning(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is edited in texts and which answers and pairs are left out. It removes, and never changes a label.

    Each field's `description` is its documentation: options, keys of pipeline files and pages are made of it. A field
    whose `extra` says "file" is given as a file with one value a line, and holds the lines; its "option" is the name of
    the option where that is not made of the field's.
    """

    name: Annotated[str, Meta(description="Name of the profile; it follows the parameters.")] = "none"

    text_mode: Annotated[
        TextMode,
        Meta(
            description="Form of the texts: markdown, plain (no markup) or shp (one line, no addresses of links).",
            examples=["plain"],
            extra={"option": "text-mode"},
        ),
    ] = "markdown"
    abbreviations: Annotated[
        tuple[str, ...],
        Meta(
            description="File of lines SHORT = meaning, for titles in the form shp; they add to the table.",
            examples=["abbreviations.txt"],
            extra={"file": True},
        ),
    ] = ()
    keep_maths: Annotated[
        bool,
        Meta(
            description="Keep the maths of HTML letter for letter in Markdown, and mark raised text (10^6); the other "
            "forms always do.",
            examples=[True],
        ),
    ] = False
    personal: Annotated[
        Literal["keep", "mask", "drop"],
        Meta(
            description="E-mail, phone, IP, card, bank and US social security numbers: keep, mask, or drop the text.",
            examples=["mask"],
        ),
    ] = "keep"
    authors: Annotated[
        Literal["keep", "hash", "drop"],
        Meta(
            description="Names of authors, and of people that texts mention: keep, hash (by the store's key) or drop.",
            examples=["hash"],
        ),
    ] = "keep"

    cut_quotes: Annotated[
        bool, Meta(description="Cut quotes out of answers; one that is only quotes stays.", examples=[True])
    ] = False
    cut_thanks: Annotated[
        bool, Meta(description="Cut tails that talk about votes (EDIT: thanks for the gold).", examples=[True])
    ] = False
    drop_bots: Annotated[bool, Meta(description="Drop what known bots wrote.", examples=[True])] = False
    bots: Annotated[
        tuple[str, ...],
        Meta(
            description="Drop bots, and these: names of accounts (* is any), ~ and an expression for texts.",
            examples=["bots.txt"],
            extra={"file": True},
        ),
    ] = ()
    languages: Annotated[
        tuple[str, ...],
        Meta(description="Keep answers in these languages (codes such as en); unclear ones stay.", examples=[["en"]]),
    ] = ()
    same_language: Annotated[
        bool, Meta(description="Drop answers in another language than their post's.", examples=[True])
    ] = False
    min_chars: Annotated[
        _Count | None, Meta(description="Shortest answer kept, in characters of its text.", examples=[20])
    ] = None
    max_chars: Annotated[
        _Count | None, Meta(description="Longest answer kept, in characters of its text.", examples=[8000])
    ] = None
    min_words: Annotated[
        _Count | None, Meta(description="Shortest answer kept, in words, code included.", examples=[5])
    ] = None
    max_words: Annotated[
        _Count | None, Meta(description="Longest answer kept, in words, code included.", examples=[1000])
    ] = None
    near_duplicates: Annotated[
        Near,
        Meta(
            description="Near-equal posts and answers of the selection: keep them as they are, together in one split, "
            "or one of each.",
            examples=["together"],
        ),
    ] = "keep"
    drop_quotes: Annotated[bool, Meta(description="Drop answers that only quote.", examples=[True])] = False
    drop_links: Annotated[
        bool, Meta(description="Drop answers that are a link or an image and hardly a word.", examples=[True])
    ] = False
    drop_near_empty: Annotated[
        bool, Meta(description="Drop answers of a word or two: fewer than 10 letters.", examples=[True])
    ] = False
    drop_leaning: Annotated[
        bool, Meta(description='Drop answers that lean on others ("as the others said").', examples=[True])
    ] = False
    max_similarity: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | None,
        Meta(description="Drop pairs whose answers share this part of their 5-grams or more.", examples=[0.8]),
    ] = None
    max_pairs_per_answer: Annotated[
        _Count | None, Meta(description="Keep at most N pairs of each answer, by hash.", examples=[3])
    ] = None
    match_lengths: Annotated[
        bool,
        Meta(description="Let longer answers win as often as shorter ones: drop pairs by hash.", examples=[True]),
    ] = False
    max_pairs_per_author: Annotated[
        _Count | None, Meta(description="Keep at most N pairs of each author's answers, by hash.", examples=[50])
    ] = None
    max_pairs_per_community: Annotated[
        _Count | None, Meta(description="Keep at most N pairs of each community, by hash.", examples=[5000])
    ] = None
    equal_communities: Annotated[
        bool, Meta(description="Keep as many pairs of each community as the smallest has, by hash.", examples=[True])
    ] = False
    max_pairs: Annotated[
        _Count | None,
        Meta(
            description="Keep at most N pairs in all, the same number of each community that has it.", examples=[50000]
        ),
    ] = None


#: What to clean, as callers give it: a profile's name, its parameters, or None for nothing.
Clean = str | Cleaning | None

#: The named sets. `standard` has what helps labels or privacy by the figures in docs/cleaning.md.
PROFILES: dict[str, Cleaning] = {
    profile.name: profile
    for profile in (
        Cleaning(),
        Cleaning(name="standard", keep_maths=True, personal="mask"),
        Cleaning(
            name="strict",
            keep_maths=True,
            personal="drop",
            drop_links=True,
            drop_near_empty=True,
            near_duplicates="together",
        ),
    )
}

#: One line each for people.
SUMMARIES: dict[str, str] = {
    "none": "nothing is cleaned, as in SHP's data (default)",
    "standard": "personal data masked, maths kept",
    "strict": "texts with personal data and answers without words left out, near-equal texts in one split, maths kept",
}

#: What a file calls the choice of a profile, and the help shows the parameters under.
PROFILE, HEADING = "profile", "Cleaning"

_WITH = " with "

#: The most characters of a list that a name tells.
_SHORT = 40


def clean_profile(name: str = "none", **overrides: Any) -> Cleaning:
    """Return the named profile with some parameters replaced, and the name that fits them.

    Raises UsageError for an unknown name, parameter or bad value.
    """
    profile = PROFILES[one_of(name, PROFILES, "profile")]
    values = {key: getattr(profile, key) for key in Cleaning.__struct_fields__}
    for key, value in overrides.items():
        if key not in values or key == "name":
            raise UsageError(f"Cleaning has no parameter {key!r}.", nearest_name(key, list(values)[1:]))
        values[key] = (value,) if isinstance(value, str) and isinstance(values[key], tuple) else value
    try:
        cleaning = msgspec.convert(values, Cleaning)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        key = path.rstrip("`").partition("[")[0]
        raise UsageError(
            f"Cleaning's {key} {refused(values[key], reason)}.", "See `shp-miner docs cleaning` for the parameters."
        ) from error
    abbreviations(cleaning.abbreviations)  # a bad line is an error before anything is read
    _check(cleaning)
    return _named(cleaning, profile)


def _check(cleaning: Cleaning) -> None:
    """Raise UsageError for values that every answer would fail."""
    unknown = sorted(set(cleaning.languages) - CODES)
    if unknown:
        raise UsageError(
            f"No text is told to be in the language {unknown[0]!r}.", "Write codes of ISO 639, such as en, de or pt."
        )
    for unit in ("chars", "words"):
        least, most = getattr(cleaning, f"min_{unit}"), getattr(cleaning, f"max_{unit}")
        if least is not None and most is not None and least > most:
            raise UsageError(
                f"Cleaning's min_{unit} is {least:,} and max_{unit} is {most:,}: no answer is both.", "Swap them."
            )


def as_cleaning(given: str | Cleaning | None) -> Cleaning | UnsetType:
    """Return a profile's parameters, or the given ones; UNSET where nothing is on. Raises UsageError."""
    cleaning = given if isinstance(given, Cleaning) else clean_profile(given or "none")
    return cleaning if changes(cleaning) else UNSET


def changes(cleaning: Cleaning, base: Cleaning | None = None) -> dict[str, Any]:
    """Return the parameters that differ from `base` (default: nothing cleaned), with their values."""
    base = base or PROFILES["none"]
    own = ((key, getattr(cleaning, key)) for key in Cleaning.__struct_fields__ if key != "name")
    return {key: value for key, value in own if value != getattr(base, key)}


def _named(cleaning: Cleaning, profile: Cleaning) -> Cleaning:
    """The parameters under the name of the profile that has them, else that of `profile` with what differs."""
    same = next((name for name, known in PROFILES.items() if not changes(cleaning, known)), None)
    if same is not None:
        return PROFILES[same]
    told = [_change(key, value) for key, value in changes(cleaning, profile).items()]
    return structs.replace(cleaning, name=profile.name + _WITH + ", ".join(told))


def _change(key: str, value: Any) -> str:
    if value in (None, False, ()):
        return f"no {key}"
    if value is True:
        return key
    if isinstance(value, tuple):  # a long list, such as one of accounts, has no place in a name
        return f"{key} {' '.join(value)}" if len(" ".join(value)) <= _SHORT and key != "bots" else f"{len(value)} {key}"
    return f"{key} {value}"
