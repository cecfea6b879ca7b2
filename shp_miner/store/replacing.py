"""Replacing a file in one step, for the rooms above the store; `places/replacing.py` does it."""

from shp_miner.places.replacing import (
    is_temporary,
    is_writable,
    remove_tree,
    replace_file,
    replacing,
    sync_to_disk,
    temporary_files,
)

__all__ = ["is_temporary", "is_writable", "remove_tree", "replace_file", "replacing", "sync_to_disk", "temporary_files"]
