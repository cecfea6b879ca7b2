"""Runs the system's programs `crontab` and `systemctl`."""

from __future__ import annotations

import os
import shutil
import subprocess

from shp_miner.errors import TryLater

#: They answer at once; without an answer after this long, they hang.
_PATIENCE_S = 60.0


def there(name: str) -> bool:
    """Return whether the program is on the PATH."""
    return shutil.which(name) is not None


def call(*command: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Return the result of a program, run with English messages. Raises TryLater if it does not end."""
    program = shutil.which(command[0]) or command[0]
    try:
        return subprocess.run(  # noqa: S603 - the callers write the words out
            [program, *command[1:]],
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C"},
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TryLater(
            f"`{' '.join(command)}` has not ended after {_PATIENCE_S:g} s.", "Run it by hand to see why."
        ) from None


def said(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return the error message of a failed program, in one line."""
    text = " ".join((done.stderr or done.stdout).decode(errors="replace").split())
    return text.rstrip(".") or f"exit code {done.returncode}"
