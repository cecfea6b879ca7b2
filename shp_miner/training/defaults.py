"""Values that the command line shows and the functions use. Nothing heavy is imported here: `--help` reads them."""

from __future__ import annotations

from typing import Literal, get_args

#: Pairs that a model is trained on and measured on at most, which bounds the memory (docs/training.md says to what);
#: of more, a sample is taken.
MAX_PAIRS, MAX_MEASURED = 20_000, 9_000

#: Fewer pairs or threads are refused: a model of them would be chance, and look like a result.
PAIRS_NEEDED, THREADS_NEEDED = 100, 10

#: Tokens of a conversation, for models of transformers: TRL's own default.
MAX_TOKENS = 1024

#: What a thread of n pairs weighs: sqrt(n), n ("none" changes nothing), or 1.
ThreadWeights = Literal["sqrt", "none", "one"]
THREAD_WEIGHTS: tuple[ThreadWeights, ...] = get_args(ThreadWeights)
