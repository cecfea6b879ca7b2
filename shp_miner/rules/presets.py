"""The rule: one predicate with parameters. A preset is a named set of parameters.

Every default and the reason for it is in this module.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from shp_miner import shown
from shp_miner.arguments import known_name, moment, one_of, seconds
from shp_miner.errors import UsageError, nearest_name
from shp_miner.rules.refused import refused
from shp_miner.units import Duration, written_duration, written_moment

DAY_S = 86_400

Order = Literal["winner-not-older", "winner-older", "any"]
Measure = Literal["score", "log2-votes", "votes", "accepted", "per-reader"]

#: What a rule needs, by its measure, that not every platform tells.
NEEDS: dict[Measure, str] = {"accepted": "accepted answers", "per-reader": "the readers of each answer"}


_Count = Annotated[int, Meta(ge=1)]
_Seconds = Annotated[float, Meta(ge=0)]


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which posts and answers are eligible and which pairs of answers become preferences.

    A parameter that is None takes the platform's value (`rules.profiles`) or means no bound. Each field's
    `description` is its documentation: the command line's help and docs/rules.md are made of it.
    """

    name: Annotated[str, Meta(description="Name of the rule, written into every row; it follows the parameters.")]

    floors: Annotated[
        bool, Meta(description="Use the platform's lowest scores where none are given; if off, use no lowest scores.")
    ] = True
    min_post_score: Annotated[
        int | None, Meta(description="Lowest score of a post; default: the platform's floor (Reddit 10).")
    ] = None
    keep_edited_posts: Annotated[
        bool | None, Meta(description="Keep posts that were edited; default: depends on the platform (Reddit no).")
    ] = None
    keep_nsfw: Annotated[bool, Meta(description="Keep posts marked as not safe for work.")] = False
    keep_link_posts: Annotated[bool, Meta(description="Keep posts that are links or images instead of text.")] = False
    keep_unreadable: Annotated[
        bool, Meta(description="Keep items that the last visit could not read, as they were last read.")
    ] = False
    drop_staff: Annotated[
        bool, Meta(description="Drop all that moderators and admins wrote, where a badge says it (Discourse, NodeBB).")
    ] = False
    since: Annotated[datetime | None, Meta(description="Keep posts created at this time or later.")] = None
    until: Annotated[datetime | None, Meta(description="Keep posts created before this time (SHP: 2023-01-01).")] = None

    min_answer_score: Annotated[
        int | None, Meta(description="Lowest score of an answer; default: the platform's floor (Reddit 2).")
    ] = None
    max_answers_per_post: Annotated[
        _Count, Meta(description="Form pairs among the N highest-scored answers of a post.")
    ] = 50
    max_chars: Annotated[
        _Count, Meta(description="Longest post or answer kept, in visible characters (Reddit allows 40,000).")
    ] = 100_000

    min_score_age_s: Annotated[
        _Seconds, Meta(description="Use scores that were read at least this long after writing.")
    ] = DAY_S
    max_read_gap_s: Annotated[
        _Seconds, Meta(description="Longest time between the readings of a pair's two scores.")
    ] = 2 * DAY_S
    settled_age_s: Annotated[
        _Seconds, Meta(description="Allow any time between two readings this long after writing: votes have settled.")
    ] = 30 * DAY_S
    allow_unknown_age: Annotated[bool, Meta(description="Keep scores whose reading time is unknown.")] = False

    observe_at_s: Annotated[
        _Seconds | None,
        Meta(description="Use each answer's score as read at this age, not the newest; see `shp-miner docs rules`."),
    ] = None

    order: Annotated[
        Order, Meta(description="Which answer may win by age: winner-not-older (SHP), winner-older or any.")
    ] = "winner-not-older"
    max_apart_s: Annotated[
        _Seconds | None, Meta(description="Longest time between the two answers; default: no limit.")
    ] = None
    neighbours_only: Annotated[bool, Meta(description="Pair an answer only with the next answer in time.")] = False
    min_ratio: Annotated[
        Annotated[float, Meta(ge=1)] | None,
        Meta(description="Lowest ratio of the winner's score to the loser's; default: no limit."),
    ] = None
    measure: Annotated[
        Measure,
        Meta(
            description="What decides the winner: score, log2-votes (with 1 more if accepted), votes (0 or more), "
            "accepted alone, or likes per reader."
        ),
    ] = "score"
    and_: Annotated[
        Literal["accepted"] | None, Meta(description="Keep only pairs whose winner the asker accepted over the loser.")
    ] = None
    or_: Annotated[
        Literal["accepted"] | None,
        Meta(description="Also keep the pairs of the rule `accepted`; drop pairs on which the two rules disagree."),
    ] = None
    accepted_over: Annotated[
        Literal["existing", "all"],
        Meta(
            description="Answers that the accepted one beats if the date of the choice is unknown: older ones, or all."
        ),
    ] = "existing"
    min_confidence: Annotated[
        Annotated[float, Meta(gt=0.5, lt=1)] | None,
        Meta(
            description="Lowest probability that the label is right; default: no limit (calibrated and per-reader 0.8)."
        ),
    ] = None
    confidence_slope: Annotated[
        Annotated[float, Meta(gt=0, le=10)],
        Meta(description="How steep the confidence is: 1 leaves it as it is; `export --audit` takes what judges give."),
    ] = 1.0
    sample_by_weight: Annotated[
        bool,
        Meta(description="Keep a pair with a chance of a tenth of its weight, by hash: for trainers without weights."),
    ] = False
    max_pairs_per_post: Annotated[
        _Count | None,
        Meta(description="Keep at most N pairs per post, a uniform sample by hash; default: no limit."),
    ] = None
    seed: Annotated[int, Meta(ge=0, lt=1 << 53, description="Seed of the sample of pairs and of their sides.")] = 0

    confounded: Annotated[
        bool, Meta(description="Whether the labels are known to follow attention; written into the card.")
    ] = False

    def __repr__(self) -> str:
        """Return the call that makes this rule: its preset, and only what differs from it."""
        base = self.name.partition(_WITH)[0]
        start = f"preset({base!r}" if base in PRESETS else f"Rule(name={self.name!r}"
        return ", ".join([start, *(f"{key}={value!r}" for key, value in differences(self).items())]) + ")"

    def _repr_html_(self) -> str:
        rows = list(differences(self).items())
        return shown.table(f"{self.name}: {rule_summary(self)}", ("parameter", "value") if rows else (), rows)


#: The headings under which help and pages show the parameters: each begins at one parameter and holds until the next.
#: Those under PAIRS choose among the pairs of items that take part.
PAIRS = "Which pairs"
HEADINGS = {
    "floors": "Which posts",
    "min_answer_score": "Which answers",
    "min_score_age_s": "Which readings of scores",
    "order": PAIRS,
}

#: The parameters that let the asker's choice count beside votes.
CHOICE = ("and_", "or_", "accepted_over")

#: The presets. Sources: Ethayarajh et al. 2022 and the SHP data (the card's numbered rule 1 says the opposite of them);
#: the SHP card's advice on ratio and pairs a post; Gao et al. 2020 (DialogRPT); Askell et al. 2021 (Stack Exchange);
#: calibrated and comparisons are this project's own (rules/calibrated.py, rules/comparisons.py).
PRESETS: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(name="shp"),
        Rule(name="shp-strict", min_ratio=2.0, max_pairs_per_post=5),
        Rule(name="time-matched", order="any", max_apart_s=3600, neighbours_only=True),
        Rule(name="votes", order="any", confounded=True),
        Rule(name="older-winner", order="winner-older", confounded=True),
        Rule(name="log-votes", order="any", measure="log2-votes"),
        Rule(name="accepted", order="any", measure="accepted", floors=False),
        Rule(name="per-reader", order="any", measure="per-reader", floors=False, min_confidence=0.8),
        Rule(name="calibrated", order="any", floors=False, min_confidence=0.8),
        Rule(name="comparisons", order="any", floors=False, measure="votes", max_pairs_per_post=200),
    )
}

#: The presets that need votes alone, which every platform has.
BY_VOTES = tuple(name for name, rule in PRESETS.items() if rule.measure not in NEEDS)

#: One line each for people.
SUMMARIES: dict[str, str] = {
    "shp": "the winner has the higher score and is not older, as in SHP's data (default)",
    "shp-strict": "shp with at least twice the score and at most 5 pairs a post, as SHP's users train",
    "time-matched": "neighbours in time at most an hour apart, as in DialogRPT",
    "votes": "the higher score wins, whatever the age; confounded by attention",
    "older-winner": "the higher score wins if it is older; confounded, here only as a contrast",
    "log-votes": "the higher round(log2(1 + votes)), +1 if accepted, wins, as in Askell et al. 2021",
    "accepted": "the answer that the asker accepted wins over those that were there to choose from",
    "per-reader": "the answer that more of its readers like wins if it is sure, where readers are counted",
    "calibrated": "the higher score wins if it is sure beyond what rank and age alone would have brought it",
    "comparisons": "more votes win, whatever the age; to be trained on with the columns target, weight and attention",
}

#: What says who wins, and so what a rule is. The other parameters say which items take part, and rename nothing.
_DECIDES = (
    "floors", "order", "max_apart_s", "neighbours_only", "min_ratio", "measure", "and_", "or_", "accepted_over",
    "min_confidence", "confidence_slope", "sample_by_weight", "max_pairs_per_post", "observe_at_s",
)  # fmt: skip

#: Between a preset's name and what is different from it.
_WITH = " with "

#: Answers at most this far apart had about the same time to be seen (DialogRPT).
_CLOSE_S = 3600


_SEE = "See `shp-miner docs rules` for the values of each parameter."

#: Parameters whose values are names.
_NAMES: dict[str, tuple[str, ...]] = {
    "order": get_args(Order), "measure": get_args(Measure),
    "and_": ("accepted",), "or_": ("accepted",), "accepted_over": ("existing", "all"),
}  # fmt: skip


def preset(name: str, **overrides: Any) -> Rule:
    """Return the named preset with some parameters replaced, and the name that fits them.

    The name and values that are names may be in any letter case. A length of time (a parameter that ends in _s) is a
    number of seconds, a text such as "24h" or a timedelta; as on the command line the _s may be left out, and then a
    number needs its unit. `since` and `until` are a text such as "2023-01-01", a date or a datetime; without a zone
    they are UTC. Raises UsageError for an unknown name, parameter or bad value.
    """
    return changed(PRESETS[one_of(name, PRESETS, "rule")], overrides)


def as_rule(rule: str | Rule) -> Rule:
    """Return the preset of a name, or a rule with the name that fits it. Raises UsageError for anything else."""
    return changed(rule, {}) if isinstance(rule, Rule) else preset(rule)


def changed(rule: Rule, parameters: Mapping[str, Any]) -> Rule:
    """Return the rule with other values of some parameters, and the name that fits them. Raises as `preset`."""
    values = msgspec.structs.asdict(rule)
    for written, value in parameters.items():
        key = f"{written}_s" if f"{written}_s" in values else written
        if key not in values or (key != written and key in parameters):
            near = nearest_name(written, [name.removesuffix("_s") for name in values])
            twice = f"It is given as {key}, too: leave one out."
            raise UsageError(f"A rule has no parameter {written!r}.", twice if key in values else near)
        values[key] = _read(key, value, bare=key == written)
    if values["and_"] and values["or_"]:
        raise UsageError("A rule has `and accepted` or `or accepted`, not both.", "Leave out one of them.")
    since, until = values["since"], values["until"]
    if isinstance(since, datetime) and isinstance(until, datetime) and since >= until:
        raise UsageError(
            f"since ({since:%Y-%m-%d}) is not before until ({until:%Y-%m-%d}).",
            "Exchange the two, or leave one out.",
        )
    try:
        return named_rule(msgspec.convert(values, Rule))
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        key = path.rstrip("`")
        raise UsageError(f"A rule's {key} {refused(values[key], reason, _NAMES.get(key, ()))}.", _SEE) from error


def _read(key: str, value: Any, *, bare: bool) -> Any:
    """Return the value of a parameter as a rule holds it; a `bare` number is seconds. Raises UsageError."""
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"A rule's {key}: {value} is not a finite number.", _SEE)
    try:
        if key in _NAMES and isinstance(value, str):
            return known_name(value, _NAMES[key])
        if key.endswith("_s") and isinstance(value, int | float) and not bare:
            return float(Duration.parse(value))
        if key.endswith("_s") and isinstance(value, str | timedelta):
            return seconds(value)
        if key in ("since", "until") and isinstance(value, str | date):
            return moment(value)
    except ValueError as error:
        raise UsageError(f"A rule's {key}: {error}", _SEE) from error
    return value


def named_rule(rule: Rule) -> Rule:
    """Return the rule with the name and the mark `confounded` that fit its parameters.

    The name is that of the preset with the same deciding parameters, else that of the nearest with the difference ("shp
    with min_ratio 3"). A name that is not a preset's is the user's own and stays.
    """
    confounded = _is_confounded(rule)
    if rule.name.partition(_WITH)[0] not in PRESETS:
        return msgspec.structs.replace(rule, confounded=confounded or rule.confounded)
    changes = {name: _changes(rule, base) for name, base in PRESETS.items()}
    name = min(changes, key=lambda base: len(changes[base]))
    if changes[name]:
        name += _WITH + ", ".join(changes[name])
    return msgspec.structs.replace(rule, name=name, confounded=confounded)


def differences(rule: Rule) -> dict[str, Any]:
    """Return the parameters in which a rule differs from its preset, with values as `preset` takes them.

    A rule with a name of its own is compared with the defaults.
    """
    own = rule.name.partition(_WITH)[0] not in PRESETS
    base = PRESETS["shp"] if own else PRESETS[rule.name.partition(_WITH)[0]]
    found: dict[str, Any] = {}
    for key in Rule.__struct_fields__:
        value = getattr(rule, key)
        if key == "name" or (key == "confounded" and not own) or value == getattr(base, key):
            continue
        if isinstance(value, datetime):
            value = written_moment(value)
        elif key.endswith("_s") and value is not None and not own:
            value = written_duration(value)
        found[key] = value
    return found


#: Which of two answers wins, by the measure.
_WINS: dict[Measure, str] = {
    "score": "the higher score",
    "log2-votes": "the higher round(log2(1 + votes)), +1 if accepted,",
    "votes": "the higher number of votes, 0 or more,",
    "accepted": "the accepted answer",
    "per-reader": "the answer with more likes per reader",
}


def rule_summary(rule: Rule) -> str:
    """Return a one-line description of the rule for people."""
    if rule.name in PRESETS and not _changes(rule, PRESETS[rule.name]):
        return SUMMARIES[rule.name]
    order = {"winner-not-older": " if it is not older", "winner-older": " if it is older", "any": ", whatever the age"}
    parts = [f"{_WINS[rule.measure]} wins{order[rule.order]}"]
    if rule.and_ is not None:
        parts.append("only where the asker accepted the winner over the loser")
    if rule.or_ is not None:
        parts.append("or the asker accepted it over the other")
    if rule.accepted_over == "all":
        parts.append("over younger answers, too, where no date of the choice is known")
    if rule.observe_at_s is not None:
        parts.append(f"scores read {duration_text(rule.observe_at_s)} after writing")
    if rule.neighbours_only:
        parts.append("neighbours in time")
    if rule.max_apart_s is not None:
        parts.append(f"at most {duration_text(rule.max_apart_s)} apart")
    if rule.min_ratio is not None:
        parts.append(f"at least {rule.min_ratio:g} times the score")
    if rule.min_confidence is not None:
        parts.append(f"a confidence of {rule.min_confidence:g} or more")
    if rule.sample_by_weight:
        parts.append("a sample by the weight of the votes")
    if rule.max_pairs_per_post is not None:
        parts.append(f"at most {rule.max_pairs_per_post} pairs a post")
    return "; ".join([*parts, *([] if rule.floors else ["no lowest score by platform"])])


def duration_text(seconds: float) -> str:
    """Return a duration as people write it: 30d, 24h."""
    unit, of_unit = next((u, n) for u, n in (("d", 2 * DAY_S), ("h", 3600), ("m", 60), ("s", 0)) if seconds >= n)
    return f"{seconds / (DAY_S if unit == 'd' else of_unit or 1):g}{unit}"


def _is_confounded(rule: Rule) -> bool:
    """Whether the labels follow attention: the winner may be older, and nothing makes up for the time it had."""
    if rule.order == "winner-older":
        return True
    close = rule.max_apart_s is not None and rule.max_apart_s <= _CLOSE_S
    by_votes = rule.measure == "score" and rule.and_ is None
    return rule.order == "any" and by_votes and not close and rule.min_confidence is None


def _changes(rule: Rule, base: Rule) -> list[str]:
    """What decides in another way in `rule` than in `base`, in words."""
    return [_change(key, getattr(rule, key)) for key in _DECIDES if getattr(rule, key) != getattr(base, key)]


def _change(key: str, value: Any) -> str:
    shown = key.removesuffix("_s").rstrip("_")
    if value is None or value is False:
        return f"no {shown}"
    if value is True:
        return shown
    if key.endswith("_s"):
        return f"{shown} {duration_text(value)}"
    return f"{shown} {value:g}" if isinstance(value, float) else f"{shown} {value}"
