"""The figures of a report in their order, with their titles and groups."""

from __future__ import annotations

#: By name: what stands above the picture.
TITLES = {
    "flow": "From posts to pairs",
    "months": "Pairs by community and month",
    "splits": "Rows of each split",
    "ratio": "How far apart the votes are",
    "confidence": "How sure the labels are",
    "baselines": "How often a rule of thumb agrees",
    "balance": "Which side is preferred",
    "apart": "Time between the two answers",
    "age": "Age of the scores when they were read",
    "length": "Length of preferred and other answers",
    "gap": "Whether the longer answer wins",
}

GROUPS = {
    "Where the pairs come from": ("flow", "months", "splits"),
    "What a label is worth": ("ratio", "confidence", "baselines", "balance"),
    "Time": ("apart", "age"),
    "Length": ("length", "gap"),
}
