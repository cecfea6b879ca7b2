"""Running the system's own `crontab` and `systemctl`."""

from __future__ import annotations

import os
import shutil
import subprocess

from shp_miner.errors import TryLater

#: They answer at once; one that does not hangs on something.
_PATIENCE_S = 60.0


def there(name: str) -> bool:
    """Whether the program is on the PATH."""
    return shutil.which(name) is not None


def call(*command: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run a program that is there, with English answers. Raises TryLater where it does not end."""
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
        raise TryLater(f"`{' '.join(command)}` does not answer.", "Try it by hand.") from None


def said(done: subprocess.CompletedProcess[bytes]) -> str:
    """What a program that failed said, in one line."""
    text = " ".join((done.stderr or done.stdout).decode(errors="replace").split())
    return text.rstrip(".") or f"exit code {done.returncode}"
