"""An embedded forum for the demo and the tests: simulated people, with the quality of every answer known.

Its name is forum.example, and no person wrote a word of it. Votes are events in time, so the forum can be read as of
any moment (`SimulatedThread.at`). The truth about it is kept apart: `shp_miner.forum.dump.known_quality`.
"""

from shp_miner.forum.dump import write_threads
from shp_miner.forum.simulate import SITE, AnswerAt, SimulatedAnswer, SimulatedThread, ThreadAt, simulate
from shp_miner.forum.truth import accuracy
from shp_miner.forum.world import World

__all__ = [
    "SITE",
    "AnswerAt",
    "SimulatedAnswer",
    "SimulatedThread",
    "ThreadAt",
    "World",
    "accuracy",
    "simulate",
    "write_threads",
]
