"""Completing what a run left between two steps of a purge or a vacuum: commands that write call this as they begin."""

from __future__ import annotations

from pathlib import Path

from shp_miner.errors import Error, TryLater, from_os_error

#: How long to wait for who uses the store: whoever that is completes it too, or the next command does.
_PATIENCE_S = 1.0

#: What lies in a store where anything may be left. Looked at first, since the rest is slow to import.
_TRACES = ("forgotten", "vacuum.json")


def complete_pending(store: Path) -> Error | None:
    """Complete what was begun in the store at a path; returns why that failed, None where nothing is left to be said.

    A store that is in use, on a full disk, or cannot be written to is left as it is: the next command completes it.
    """
    if not is_left(store):
        return None
    from shp_miner.forgetting.forget import purge  # noqa: PLC0415  (tables take a second to import)
    from shp_miner.store import Store  # noqa: PLC0415
    from shp_miner.store.lock import exclusive  # noqa: PLC0415

    try:
        with exclusive(store, "completing what an earlier run left", wait_s=_PATIENCE_S):
            purge(store)
            Store(store).complete_vacuum()
    except TryLater:
        return None
    except Error as error:
        return error
    except OSError as error:
        known = from_os_error(error, "completing what an earlier run left")
        if known is None:
            raise
        return None if isinstance(known, TryLater) else known
    return None


def is_left(store: Path) -> bool:
    """Whether anything waits to be completed in a store that can be written to."""
    if not any((store / name).exists() for name in _TRACES):
        return False
    from shp_miner.store.forgotten_list import has_pending  # noqa: PLC0415  (tables take a second to import)
    from shp_miner.store.replacing import is_writable  # noqa: PLC0415
    from shp_miner.store.vacuum import is_unfinished  # noqa: PLC0415

    return (has_pending(store) or is_unfinished(store)) and is_writable(store)
