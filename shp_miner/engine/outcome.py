"""What a task gave, as a file: data of the type that the task declares, and never code.

Whoever may write to the folder that machines share may put a file there. Reading one makes nothing but what the task's
declared result can be: structures and counts, tables in Arrow's format, arrays of numbers. A file begins with a mark
and a digest of its rest, so that one which is damaged, or of another program, is refused.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import xxhash
from msgspec import Struct

from shp_miner.engine.interface import Advance, Job, Result
from shp_miner.engine.step import Step
from shp_miner.errors import BadInput, Error, Incomplete, NotAllowed, TryLater, UsageError, in_words

_MARK = b"shp-miner result 1\n"
_DIGEST_BYTES = 16
_AGAIN = "Run the same command again: it begins anew."

#: The errors that a person gets, by exit code; every other one is a bug.
_ERRORS = {kind.exit_code: kind for kind in (UsageError, Incomplete, NotAllowed, BadInput, TryLater)}


class Outcome(Struct, array_like=True):
    """The steps and pairs that a task made, and its result (`packed`); or the exit code and words of its error."""

    steps: int
    pairs: int
    result: bytes
    error: tuple[int, str, str] | None = None

    @property
    def made(self) -> Step:
        """Return the steps, for the driver's progress."""
        return Step(self.steps, "", self.pairs)


def outcome_of(task: Callable[[Job, Advance], Result], job: Job, advance: Advance) -> Outcome:
    """Run a task, and return what it gave. Raises what the task raises."""
    made = Made()
    result = task(job, partial(made.add, advance))
    return Outcome(int(made.total), made.total.pairs, packed(result))


def failed(error: BaseException) -> Outcome:
    """Return the outcome of a task that raised."""
    told = in_words(error) or Error(type(error).__name__)
    return Outcome(0, 0, b"", (told.exit_code, told.message, told.hint))


def result_of(outcome: Outcome, task: Callable[..., Any]) -> Any:
    """Return the result of a task, of its declared type. Raises the error that it gave, and BadInput for other data."""
    if outcome.error is not None:
        code, message, hint = outcome.error
        raise _ERRORS.get(code, Error)(message, hint)
    try:
        return msgspec.msgpack.decode(outcome.result, type=_declared(task), dec_hook=_restored)
    except Exception as error:  # of whichever library finds that these bytes are no table
        raise BadInput(f"The result of a task ({task.__name__}) is not what it gives.", _AGAIN) from error


def sealed(outcome: Outcome) -> bytes:
    """Return the bytes of a file with an outcome."""
    body = msgspec.msgpack.encode(outcome)
    return _MARK + xxhash.xxh3_128_digest(body) + body


def opened(path: Path) -> Outcome:
    """Return the outcome in a file. Raises BadInput for a file that is damaged, or of another program."""
    data = path.read_bytes()
    digest, body = data[len(_MARK) :][:_DIGEST_BYTES], data[len(_MARK) + _DIGEST_BYTES :]
    if data.startswith(_MARK) and digest == xxhash.xxh3_128_digest(body):
        with suppress(msgspec.DecodeError):
            return msgspec.msgpack.decode(body, type=Outcome)
    raise BadInput(f"{path} is not the result of a task: it is damaged, or of another program.", _AGAIN)


def packed(result: object) -> bytes:
    """Return a result as MessagePack."""
    return msgspec.msgpack.encode(result, enc_hook=_plain)


class Made:
    """Adds up the steps of a task as they pass."""

    def __init__(self) -> None:
        self.total = Step()

    def add(self, advance: Advance, count: int) -> None:
        """Count a step, and pass it on."""
        self.total = Step(self.total + count, "", self.total.pairs + getattr(count, "pairs", 0))
        advance(count)


def _declared(task: Callable[..., Any]) -> Any:
    """Return the type of a task's result, as its function declares it."""
    return get_type_hints(task)["return"]


def _plain(value: Any) -> object:
    """Return what MessagePack can hold for what it cannot: tables, arrays and their numbers."""
    if hasattr(value, "write_ipc"):
        return value.write_ipc(None).getvalue()
    if type(value).__module__ == "numpy":
        return _of_array(value) if value.ndim else value.item()
    raise NotImplementedError(type(value).__name__)


def _of_array(array: Any) -> bytes:
    import numpy as np  # noqa: PLC0415  (whoever has an array has it)

    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _restored(kind: Any, value: Any) -> Any:
    """Return the value of a type that MessagePack does not know."""
    name = getattr(get_origin(kind) or kind, "__name__", "")
    if name == "DataFrame":
        import polars as pl  # noqa: PLC0415

        return pl.read_ipc(io.BytesIO(value), use_pyarrow=False)
    if name == "ndarray":
        import numpy as np  # noqa: PLC0415

        return np.load(io.BytesIO(value), allow_pickle=False)
    if get_origin(kind) is Counter:
        return Counter(msgspec.convert(value, dict[get_args(kind)[0], int]))  # type: ignore[misc]
    raise NotImplementedError(str(kind))
