"""Rules as manifests hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from shp_miner.rules.presets import Rule


def rule_of_manifest(manifest: Mapping[str, Any]) -> Rule:
    """Return the rule in an export's manifest."""
    return msgspec.convert(manifest["configuration"]["rule"], Rule)
