"""Rules: which items are eligible, how old a score must be, and which of two answers is preferred. Pure functions."""

from shp_miner.rules.presets import PRESETS, Rule, preset
from shp_miner.rules.profiles import PROFILES, Profile

__all__ = ["PRESETS", "PROFILES", "Profile", "Rule", "preset"]
