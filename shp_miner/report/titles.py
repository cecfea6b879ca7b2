"""The figures of a report in their order, with their titles and groups."""

from __future__ import annotations

#: By name: what stands above the picture.
TITLES = {
    "coverage": "Answers by community and month",
    "observed": "Age at which scores were read",
    "readings": "How often answers were read",
    "presets": "Pairs by rule",
    "flow": "From posts to pairs",
    "months": "Pairs by community and month",
    "splits": "Rows of each split",
    "ratio": "How far apart the votes are",
    "confidence": "How sure the labels are",
    "baselines": "How often a rule of thumb agrees",
    "balance": "Which side is preferred",
    "arrival": "Votes by the order of arrival",
    "apart": "Time between the two answers",
    "age": "Age of the scores when they were read",
    "length": "Length of preferred and other answers",
    "gap": "Whether the longer answer wins",
}

GROUPS = {
    "What the store holds": ("coverage", "observed", "readings"),
    "What rules make of it": ("presets",),
    "Where the pairs come from": ("flow", "months", "splits"),
    "What a label is worth": ("ratio", "confidence", "baselines", "balance"),
    "Time": ("arrival", "apart", "age"),
    "Length": ("length", "gap"),
}
