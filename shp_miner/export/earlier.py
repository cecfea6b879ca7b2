"""What an export takes over from the one that it replaces: its fit, and files whose bytes are the same."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from shp_miner.errors import BadInput
from shp_miner.export.manifest import FIT_LAYOUT
from shp_miner.export.opening import read_manifest
from shp_miner.export.owned import formats_in
from shp_miner.mining.calibrate import same_fit
from shp_miner.mining.kept_fits import fits_from_builtins
from shp_miner.mining.mine import Selection
from shp_miner.rules.calibrated import Calibration


def earlier_fit(out: Path, selection: Selection) -> Calibration | None:
    """Return the fit of the export in `out`; None if there is none, or if it is of other threads or parameters."""
    formats: dict[str, Path] = {}
    with suppress(OSError):  # a path that cannot be: the export says why
        formats = formats_in(out)
    for folder in formats.values():
        with suppress(BadInput, msgspec.ValidationError):
            manifest = read_manifest(folder)
            fit = manifest.get("fit")
            if isinstance(fit, dict) and fit.get("layout") == FIT_LAYOUT:
                settings = msgspec.convert(manifest.get("configuration"), Selection)
                if same_fit(settings, selection):
                    return fits_from_builtins(manifest.get("calibration"))
    return None


def keep_equal_files(new: Path, out: Path) -> None:
    """Let files of a new export whose bytes are those of the earlier export's be the earlier files themselves.

    So what copies an export, or looks for changes in it, finds them unchanged. Where the file system has no second
    names for a file, the new ones stay.
    """
    for name, folder in formats_in(new).items():
        earlier = out / folder.relative_to(new)
        if earlier.is_symlink() or formats_in(earlier).get(name) != earlier:
            continue
        with suppress(BadInput):
            hashes = {file["path"]: file.get("sha256") for file in read_manifest(earlier)["files"]}
            for file in read_manifest(folder)["files"]:
                path = file["path"]
                if hashes.get(path) == file["sha256"]:
                    _keep(folder / path, earlier / path, file["sha256"])


def _keep(new: Path, earlier: Path, sha256: str) -> None:
    """Replace a new file by another name of the earlier one, if that still has these bytes."""
    linked = new.with_name(f".{new.name}.kept")
    with suppress(OSError):
        if earlier.is_symlink() or not earlier.is_file() or earlier.stat().st_size != new.stat().st_size:
            return
        with earlier.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                return
        os.link(earlier, linked)
        linked.replace(new)
