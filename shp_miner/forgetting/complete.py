"""Completes a purge or a vacuum that an earlier run left unfinished. Commands that write call this first."""

from __future__ import annotations

from pathlib import Path

from shp_miner.errors import Error, TryLater, from_os_error

#: How long to wait for a process that uses the store: that process completes the work, or the next command does.
_PATIENCE_S = 1.0

#: Files and folders of a store that may have unfinished work. Checked first, because other imports are slow.
_TRACES = ("forgotten", "vacuum.json")


def complete_pending(store: Path) -> Error | None:
    """Complete unfinished work in the store at a path; return why that failed, or None.

    A store that is in use, read-only or on a full disk is not changed: the next command completes the work.
    """
    if not is_left(store):
        return None
    from shp_miner.forgetting.forget import purge  # noqa: PLC0415  (tables take a second to import)
    from shp_miner.store import Store  # noqa: PLC0415
    from shp_miner.store.lock import exclusive_lock  # noqa: PLC0415

    try:
        with exclusive_lock(store, "completing the unfinished work of an earlier run", wait_s=_PATIENCE_S):
            purge(store)
            Store(store).complete_vacuum()
    except TryLater:
        return None
    except Error as error:
        return error
    except OSError as error:
        known = from_os_error(error, "completing the unfinished work of an earlier run")
        if known is None:
            raise
        return None if isinstance(known, TryLater) else known
    return None


def is_left(store: Path) -> bool:
    """Return whether a writable store has unfinished work."""
    if not any((store / name).exists() for name in _TRACES):
        return False
    from shp_miner.store.forgotten_list import has_pending  # noqa: PLC0415  (tables take a second to import)
    from shp_miner.store.replacing import is_writable  # noqa: PLC0415
    from shp_miner.store.vacuum import is_unfinished  # noqa: PLC0415

    return (has_pending(store) or is_unfinished(store)) and is_writable(store)
