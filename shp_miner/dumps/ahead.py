"""Reading in stages side by side: each stage is a generator in its own thread, a few items ahead of the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, Queue
from threading import Event, Thread
from typing import TypeVar

from shp_miner.engine import cores

T = TypeVar("T")
Done = TypeVar("Done")

#: Batches of a file that are worked on at once, at most: each takes several times its bytes.
_THREADS = 4


class _Failed:
    """What a stage raised, to be raised again where its items are taken."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def read_ahead(source: Generator[T, None, None], items: int) -> Iterator[T]:
    """Yield the same items, made in a thread up to `items` ahead. Decoders and parsers let other threads run meanwhile.

    An exception of `source` is raised here. Leaving early stops the thread.
    """
    ready: Queue[T | _Failed | None] = Queue(maxsize=items)
    stopped = Event()

    def make() -> None:
        try:
            for item in source:
                ready.put(item)
                if stopped.is_set():
                    return
            ready.put(None)
        except BaseException as error:  # noqa: BLE001  (see above)
            ready.put(_Failed(error))

    maker = Thread(target=make, daemon=True)
    maker.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, _Failed):
                raise item.error
            yield item
    finally:
        stopped.set()
        while maker.is_alive():
            with suppress(Empty):
                ready.get(timeout=0.01)
        source.close()


def worked_ahead(work: Callable[[T], Done], source: Iterable[T], threads: int) -> Iterator[Done]:
    """Yield what `work` makes of each item, in their order; as many threads work on the next ones.

    An exception of `work` is raised here. Leaving early waits for the items that are being worked on.
    """
    waiting: deque[Future[Done]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in source:
                waiting.append(pool.submit(work, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for unneeded in waiting:
                unneeded.cancel()


def threads_at_once() -> int:
    """How many threads work on one file."""
    return min(cores(), _THREADS)
