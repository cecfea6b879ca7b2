"""What was measured of each preset, for the cards of exports. docs/rules.md has the same figures and how they came."""

from __future__ import annotations

#: The share of pairs whose winner is the better answer, in seventeen simulated forums: the lowest and the highest.
RIGHT = {
    "shp": (0.809, 0.990),
    "shp-strict": (0.850, 0.993),
    "time-matched": (0.733, 0.957),
    "votes": (0.619, 0.775),
    "older-winner": (0.452, 0.702),
    "log-votes": (0.634, 0.814),
    "accepted": (0.729, 0.871),
    "per-reader": (0.810, 0.978),
    "calibrated": (0.789, 0.978),
    "comparisons": (0.598, 0.785),
}

#: Accuracy of a linear model of words that was trained on the rule's pairs, on answers written within an hour of each
#: other, in r/AskAcademia and r/GradSchool.
TRAINED = {
    "shp": (0.589, 0.604),
    "calibrated": (0.586, 0.599),
    "votes": (0.574, 0.580),
    "older-winner": (0.535, 0.538),
}

#: The same for preferring the longer answer.
LONGER = (0.566, 0.589)
