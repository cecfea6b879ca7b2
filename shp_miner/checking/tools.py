"""The table of training tools: how each reads a row, and the version that this was read from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from shp_miner.arguments import one_of
from shp_miner.checking import readings
from shp_miner.checking.lengths import RowLength
from shp_miner.checking.readings import Dropped, Messages, Seen, Stopped, has_question

#: What a tool does with a row that is longer than its limit.
DROPS, CUTS, FILLED = "drops", "cuts", "cuts; drops if the question fills it"


class Reading(Struct, frozen=True):
    """One way in which a tool reads a data set.

    `setting` is what the user writes to get it. `limit` is the tool's own default in tokens (None: no limit), and
    `over` what happens to longer rows: DROPS, CUTS or FILLED.
    """

    tool: str
    version: str
    setting: str
    sees: Callable[[Mapping[str, Any]], Seen]
    limit: int | None = None
    over: str = CUTS


_TRL, _REWARDBENCH, _FACTORY, _AXOLOTL, _OPENRLHF = "1.16.0", "0.1.4", "0.9.5", "0.19.0", "0.11.2"

#: RLHFlow's scripts have no version; this is the commit of bradley-terry-rm/llama3_rm.py.
_RLHFLOW = "69bd2d7"

#: Every reading. The benchmark `benchmarks/loaders.py` runs the tools' own loaders and compares.
READINGS = (
    Reading("trl", _TRL, "RewardTrainer", readings.trl_pair, 1024, DROPS),
    Reading("trl", _TRL, "DPOTrainer", readings.trl_pair, 1024, FILLED),
    Reading("trl", _TRL, "KTOTrainer", readings.trl_label, 1024, FILLED),
    Reading("rewardbench", _REWARDBENCH, "--dataset", readings.rewardbench),
    Reading("llama-factory", _FACTORY, "v1, converter: pair", readings.llama_factory_pair),
    Reading("llama-factory", _FACTORY, "sharegpt, ranking", readings.llama_factory_ranking, 2048, CUTS),
    Reading("llama-factory", _FACTORY, "openai, ranking", readings.llama_factory_ranking, 2048, CUTS),
    Reading("llama-factory", _FACTORY, "alpaca, ranking", readings.llama_factory_alpaca, 2048, CUTS),
    Reading("llama-factory", _FACTORY, "alpaca, kto_tag", readings.llama_factory_kto, 2048, CUTS),
    Reading("axolotl", _AXOLOTL, "bradley_terry.chat_template", readings.axolotl_bradley_terry, 512, CUTS),
    Reading("axolotl", _AXOLOTL, "chat_template.argilla_chat", readings.axolotl_argilla_chat, 512, DROPS),
    Reading("axolotl", _AXOLOTL, "chat_template.default", readings.axolotl_chat_template, 512, DROPS),
    Reading("axolotl", _AXOLOTL, "orpo.chat_template", readings.axolotl_orpo, 512, DROPS),
    Reading("openrlhf", _OPENRLHF, "apply_chat_template", readings.whole_conversations, 512, CUTS),
    Reading("openrlhf", _OPENRLHF, "apply_chat_template, prompt_key", readings.openrlhf_prompt_key, 512, CUTS),
    Reading("openrlhf", _OPENRLHF, "prompt_key", readings.openrlhf_text, 512, CUTS),
    Reading("rlhflow", _RLHFLOW, "llama3_rm.py", readings.whole_conversations, 4096, CUTS),
)

TOOLS = tuple(dict.fromkeys(reading.tool for reading in READINGS))


class Kept(Struct):
    """What one reading makes of an export.

    `kept` of `rows` rows are trained on, `with_question` of them with the question. `dropped` counts the others by
    reason, and `changed` kept ones by what else happens to them. `stops` is the error that ends the tool, and then no
    row is kept. `row` is the first row as the tool sees it: the preferred side and the other, messages or texts.
    """

    tool: str
    version: str
    setting: str
    limit: int | None
    over: str
    rows: int = 0
    kept: int = 0
    with_question: int = 0
    dropped: Counter[str] = Counter()
    changed: Counter[str] = Counter()
    stops: str | None = None
    row: dict[str, Messages | str] | None = None

    @property
    def verdict(self) -> str:
        """Return one phrase for people."""
        if self.stops:
            return f"stops: {self.stops}"
        if not self.kept:
            reasons = "; ".join(self.dropped)
            return f"drops every row: {reasons}" if reasons else "no rows"
        if not self.with_question:
            return f"no question: keeps {self.kept:,} rows without it"
        gone = self.rows - self.kept
        said = [f"drops {gone:,}: {'; '.join(self.dropped)}"] if gone else []
        if self.with_question < self.kept:
            said.append(f"{self.kept - self.with_question:,} rows without the question")
        return "; ".join([*(said or ["keeps all"]), *self.changed])


class Tool:
    """A reading at work on the rows of an export. `most` is the limit that is set in the tool; None if none is set."""

    def __init__(self, reading: Reading, most: int | None, unit: str) -> None:
        self._reading, self._unit = reading, unit
        limit = most if most is not None and reading.limit is not None else reading.limit
        self._most = most if reading.limit is not None else None
        self.kept = Kept(
            reading.tool, reading.version, reading.setting, limit, reading.over, dropped=Counter(), changed=Counter()
        )

    def add(self, rows: list[dict[str, Any]], questions: list[str], lengths: list[RowLength]) -> None:
        """Read some rows with their questions and lengths. After an error of the tool, rows are only counted."""
        kept = self.kept
        kept.rows += len(rows)
        for row, question, length in zip(rows, questions, lengths, strict=True):
            if kept.stops:
                return
            try:
                self._require_short(length)
                seen = self._reading.sees(row)
            except Dropped as dropped:
                kept.dropped[str(dropped)] += 1
            except Stopped as stopped:
                kept.stops, kept.kept, kept.with_question = str(stopped), 0, 0
            else:
                kept.kept += 1
                if seen.changed:
                    kept.changed[seen.changed] += 1
                kept.with_question += has_question(seen, question)
                if kept.row is None:
                    kept.row = _shown(seen)

    def _require_short(self, length: RowLength) -> None:
        """Raise Dropped for a row that the tool drops for its length."""
        most, over = self._most, self._reading.over
        if most is None:
            return
        if over == DROPS and length.longest > most:
            raise Dropped(f"longer than {most:,} {self._unit}")
        if over == FILLED and length.question >= most:
            raise Dropped(f"the question has {most:,} {self._unit} or more")


def _shown(seen: Seen) -> dict[str, Messages | str]:
    sides = {"chosen": seen.chosen, "rejected": seen.rejected}
    return {name: side for name, side in sides.items() if side is not None}


def readings_for(tools: tuple[str, ...]) -> list[Reading]:
    """Return the readings of some tools. Raises UsageError for an unknown tool."""
    known = [one_of(tool, TOOLS, "tool") for tool in tools]
    return [reading for reading in READINGS if reading.tool in known]
