"""How many random examples a property is tried on: few in the suite, many when somebody asks for a thorough run."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

#: Set this variable for a thorough run: every property is tried on this many times as many examples.
TIMES = int(os.environ.get("SHP_MINER_TEST_TIMES", "1"))


def examples(count: int) -> settings:
    """Return settings for `count` examples of any duration; a fixture may serve all of them."""
    return settings(
        max_examples=count * TIMES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
