"""Made-up threads for tests of training: a word decides which answer is preferred, or chance does."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

import shp_miner

#: The word that every preferred answer has.
WORD = "because"

#: In threads of attention alone: the word of the answers that came first, and that of the others.
EARLY, LATE = "soon", "afterwards"
_ANSWERS = 6

_WORDS = (
    "stone",
    "river",
    "lamp",
    "paper",
    "green",
    "quick",
    "seven",
    "mountain",
    "garden",
    "window",
    "often",
    "never",
)


def made_threads(count: int, *, planted: bool = True, seed: int = 0) -> list[dict[str, Any]]:
    """Threads with two answers of random words in the layout of `import threads`; either one may be the older."""
    chance = random.Random(seed)
    created = datetime(2024, 1, 1, tzinfo=UTC)
    threads = []
    for number in range(count):
        answers = []
        for order in range(2):
            words = [chance.choice(_WORDS) for _ in range(chance.randint(5, 12))]
            answers.append({"words": words, "score": 3, "age": order})
        better = chance.randrange(2)
        answers[better]["score"] = chance.randint(4, 20)
        if planted:
            answers[better]["words"].insert(2, WORD)
        threads.append(
            {
                "site": "forum.example",
                "community": ("cooking", "travel")[number % 2],
                "post_id": str(number),
                "title": f"Question {number} on {chance.choice(_WORDS)}?",
                "body": " ".join(chance.choice(_WORDS) for _ in range(6)),
                "created_at": created.isoformat(),
                "observed_at": (created + timedelta(days=60)).isoformat(),
                "score": 20,
                "author": f"asker-{number}",
                "answers": [
                    {
                        "answer_id": f"{number}-{answer['age']}",
                        "body": " ".join(answer["words"]),
                        "created_at": (created + timedelta(hours=answer["age"] + 1)).isoformat(),
                        "score": answer["score"],
                        "author": f"reader-{number}-{answer['age']}",
                    }
                    for answer in answers
                ],
            }
        )
    return threads


def attention_only(count: int) -> list[dict[str, Any]]:
    """Threads whose votes fall with the order of arrival and with nothing else; a word says who came early."""
    chance, votes = random.Random(1), np.random.default_rng(1)
    created = datetime(2024, 1, 1, tzinfo=UTC)
    threads = []
    for number in range(count):
        answers = []
        for rank in range(1, _ANSWERS + 1):
            words = [chance.choice(["stone", "river", "lamp", "paper", "green", "quick", "seven"]) for _ in range(5)]
            answers.append(
                {
                    "answer_id": f"{number}-{rank}",
                    "body": " ".join([*words, EARLY if rank <= _ANSWERS // 2 else LATE]),
                    "created_at": (created + timedelta(hours=rank)).isoformat(),
                    "score": int(votes.poisson(15 * rank**-0.9)),
                    "author": f"writer-{number}-{rank}",
                }
            )
        threads.append(
            {
                "site": "forum.example", "community": "all", "post_id": str(number), "title": f"Question {number}?",
                "created_at": created.isoformat(), "observed_at": (created + timedelta(days=60)).isoformat(),
                "score": 20, "author": f"asker-{number}", "answers": answers,
            }
        )  # fmt: skip
    return threads


def exported(
    folder: Path, threads: Sequence[dict[str, Any]], formats: Sequence[str] = ("pairs",), **options: Any
) -> Path:
    """Export threads with the rule `votes` under `folder`; return the export's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    dump = folder / "threads.jsonl"
    dump.write_text("".join(json.dumps(thread) + "\n" for thread in threads), encoding="utf-8")
    shp_miner.import_dump("threads", [dump], folder / "store", now=datetime(2025, 1, 1, tzinfo=UTC))
    shares = {"validation": 0.1, "test": 0.3, **options}
    shp_miner.export_dataset(folder / "store", folder / "out", rule="votes", formats=list(formats), **shares)
    return folder / "out"
