"""Reward models of transformers, trained by TRL's RewardTrainer. Both are the extra `train`, imported when needed."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shp_miner.errors import BadInput, TryLater, UsageError
from shp_miner.export.formats import MARGIN
from shp_miner.export.shared import SEPARATOR
from shp_miner.training.pairs import Split

_NEEDED = ("torch", "transformers", "trl")

#: Answers that are scored at a time, and pairs of a training step.
_SCORED_AT_A_TIME, _PAIRS_A_STEP = 16, 8

_SAVE_TOKENIZER = "Save one beside the model (tokenizer.save_pretrained), or name another model."

LOADING = (
    "from transformers import AutoModelForSequenceClassification, AutoTokenizer\n\n"
    'model = AutoModelForSequenceClassification.from_pretrained("THIS FOLDER")\n'
    'tokenizer = AutoTokenizer.from_pretrained("THIS FOLDER")'
)


def require_trainer() -> None:
    """Raise UsageError if the extra `train` is not installed. Nothing is imported."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"Models of transformers need {', '.join(missing)}: the extra `train` is not installed.",
            "Install it: pip install 'shp-miner[train]'. Without --model no extra is needed.",
        )


def base_name(base: str) -> str:
    """Return a model's name without the path of its folder on this machine."""
    return Path(base).resolve().name if Path(base).is_dir() else base


def try_later(error: BaseException, base: str) -> TryLater | None:
    """Return what to say if a model cannot be loaded because the Hub cannot be reached, or is busy; else None."""
    from huggingface_hub import errors  # noqa: PLC0415

    seen: BaseException | None = error
    while seen is not None:
        response = getattr(seen, "response", None) if isinstance(seen, errors.HfHubHTTPError) else None
        status = 0 if response is None else int(response.status_code)
        unreachable = isinstance(seen, ConnectionError | TimeoutError | errors.LocalEntryNotFoundError)
        if (unreachable and not isinstance(seen, errors.OfflineModeIsEnabled)) or status == 429 or status >= 500:
            return TryLater(
                f"The model {base} cannot be loaded: the Hub cannot be reached, or is busy.",
                "Try again later, or name a folder with a model.",
            )
        seen = seen.__cause__ or seen.__context__
    return None


class TransformersModel:
    """A model with one output, and its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any, max_tokens: int) -> None:
        self._model, self._tokenizer, self._max_tokens = model, tokenizer, max_tokens

    @classmethod
    def load(cls, base: str, max_tokens: int, seed: int = 0) -> TransformersModel:
        """Return the model of a name or folder. Raises BadInput if it cannot be loaded, or has no tokenizer."""
        require_trainer()
        from transformers import (  # noqa: PLC0415
            AutoModelForSequenceClassification,
            AutoTokenizer,
            logging,
            set_seed,
        )

        logging.set_verbosity_error()  # a new output layer is what is wanted, no reason to warn
        set_seed(seed)
        try:
            tokenizer = AutoTokenizer.from_pretrained(base)
        except Exception as error:
            raise try_later(error, base) or BadInput(
                f"The model {base} has no tokenizer that transformers can load: {_first_line(error)}",
                _SAVE_TOKENIZER,
            ) from error
        # For some kinds of models (gpt2, bert), transformers makes one without a word where there is none.
        if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
            raise BadInput(f"The model {base} has no tokenizer, or one without a vocabulary.", _SAVE_TOKENIZER)
        try:
            model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
        except Exception as error:
            raise try_later(error, base) or BadInput(
                f"transformers cannot load the model {base}: {_first_line(error)}",
                "Name a model of the Hub, or a folder with config.json and weights.",
            ) from error
        if tokenizer.pad_token_id is None:
            if tokenizer.eos_token_id is None:
                raise BadInput(
                    f"The tokenizer of {base} has neither a padding nor an end token.", "Name another model."
                )
            tokenizer.pad_token = tokenizer.eos_token
        model.config.pad_token_id = tokenizer.pad_token_id
        return cls(model, tokenizer, max_tokens)

    def train(self, split: Split, *, epochs: float, seed: int) -> int:
        """Train on the pairs of a split, which needs its texts; return the number of pairs that TRL kept.

        TRL leaves out pairs of which one side has more than `max_tokens`.
        """
        import torch  # noqa: PLC0415
        from datasets import Dataset, disable_progress_bars  # noqa: PLC0415
        from transformers import PrinterCallback  # noqa: PLC0415
        from trl import RewardConfig, RewardTrainer  # noqa: PLC0415

        disable_progress_bars()
        on_cpu = not torch.cuda.is_available()
        with tempfile.TemporaryDirectory(prefix="shp-miner-") as folder:
            settings = RewardConfig(
                output_dir=folder,
                num_train_epochs=epochs,
                per_device_train_batch_size=_PAIRS_A_STEP,
                max_length=self._max_tokens,
                seed=seed,
                use_cpu=on_cpu,
                bf16=not on_cpu,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                logging_strategy="no",
            )
            rows = Dataset.from_list(list(self._rows(split)))
            try:
                trainer = RewardTrainer(
                    model=self._model, args=settings, train_dataset=rows, processing_class=self._tokenizer
                )
                kept = len(trainer.train_dataset)
            except (IndexError, StopIteration, ValueError) as error:
                raise BadInput(f"TRL cannot prepare the pairs: {_first_line(error)}", "Try another model.") from error
            if not kept:
                raise BadInput(
                    f"None of {len(rows):,} pairs has at most {self._max_tokens:,} tokens a side.",
                    "Raise --max-tokens.",
                )
            trainer.remove_callback(PrinterCallback)  # it prints to the standard output
            trainer.train()
            self._model = trainer.model
        return kept

    def score(self, questions: pl.Series, answers: pl.Series) -> npt.NDArray[np.float64]:
        """Return a score for each answer to its question. Longer conversations are cut at `max_tokens`."""
        import torch  # noqa: PLC0415

        self._model.eval()
        scores = np.zeros(len(answers))
        texts = [self._text(question, answer) for question, answer in zip(questions, answers, strict=True)]
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))  # little padding
        for start in range(0, len(order), _SCORED_AT_A_TIME):
            some = order[start : start + _SCORED_AT_A_TIME]
            inputs = self._tokens([texts[number] for number in some]).to(self._model.device)
            inputs.pop("token_type_ids", None)
            with torch.no_grad():
                scores[some] = self._model(**inputs).logits[:, 0].double().cpu().numpy()
        return scores

    def save(self, folder: Path) -> None:
        """Write the model and its tokenizer to a folder, as transformers loads them."""
        self._model.save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)

    def _tokens(self, texts: list[str]) -> Any:
        """Return the tokens of texts of `_text`, padded; a template has written the special ones already."""
        return self._tokenizer(
            texts,
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=self._max_tokens,
            add_special_tokens=self._tokenizer.chat_template is None,
        )

    def _text(self, question: str, answer: str) -> str:
        if self._tokenizer.chat_template is None:
            return f"{question}{SEPARATOR}{answer}{self._tokenizer.eos_token or ''}"
        text: str = self._tokenizer.apply_chat_template(
            [*_message("user", question), *_message("assistant", answer)], tokenize=False
        )
        return text

    def _rows(self, split: Split) -> Iterator[dict[str, Any]]:
        """Yield rows for TRL: conversations where the tokenizer has a template for them, else plain text."""
        questions, answers = split.questions.to_list(), split.answers.to_list()
        attention = split.pairs.attention
        margins: list[dict[str, float]] = (
            [{}] * len(split.pairs) if attention is None else [{MARGIN: -value} for value in attention.tolist()]
        )
        chat = self._tokenizer.chat_template is not None
        sides = zip(split.pairs.winner.tolist(), split.pairs.loser.tolist(), margins, strict=True)
        for winner, loser, margin in sides:
            question = questions[winner]
            yield {
                "prompt": _message("user", question) if chat else question + SEPARATOR,
                "chosen": _message("assistant", answers[winner]) if chat else answers[winner],
                "rejected": _message("assistant", answers[loser]) if chat else answers[loser],
                **margin,
            }


def _message(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
