"""Whether an object store keeps commits: it must refuse to create a name a second time.

Two writers that commit the same version of a table are told apart by that alone. Where both are told "done", the rows
of one are lost and nobody notices: on a server that ignores `If-None-Match: *` (s3rver 3.7.1), 30 appends of two
writers were acknowledged and the rows of 26 were there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4

from shp_miner.errors import BadInput, Error
from shp_miner.places.path import RemotePath
from shp_miner.store.found import Fault


def require_create_only(folder: RemotePath, probes: str = "locks") -> None:
    """Raise BadInput where the object store of a folder lets one name be created twice.

    `probes` is the folder in it where that is tried.
    """
    # Twice: a process that clears the folder may delete the name between the two writes.
    if not (keeps_names(folder / probes) or keeps_names(folder / probes)):
        raise BadInput(
            f"The object store of {folder} would lose data: it accepts a create-only write of a name that is taken "
            "(it ignores `If-None-Match: *`).",
            "Use an object store with conditional writes (AWS S3, Google Cloud Storage, Azure, MinIO), or a newer "
            "version of this one.",
        )


def keeps_names(folder: RemotePath) -> bool:
    """Whether the second of two create-only writes of one name is refused. It writes two bytes, and deletes them."""
    probe = folder / f"probe-{uuid4().hex}"
    try:
        probe.create(b"1")
        probe.create(b"2")
    except FileExistsError:
        return True
    finally:
        with suppress(Error, OSError):
            probe.unlink(missing_ok=True)
    return False


def check_object_store(store: RemotePath) -> Iterator[Fault]:
    """Yield what is wrong with the object store itself: see `health.repair`."""
    try:
        require_create_only(store)
    except BadInput as error:
        yield Fault(error.message, error.hint, fixable=False)
    if keeps_versions(store):
        yield Fault(
            f"The bucket of {store} keeps old versions of objects, so forgotten content stays in them.",
            "Switch versioning off, or let a lifecycle rule delete noncurrent versions soon.",
            fixable=False,
        )


def keeps_versions(store: RemotePath) -> bool:
    """Whether the bucket keeps old versions of objects, as far as its answer to a write tells (S3 only)."""
    return store.parts[0] == "s3:" and store.object.is_versioned()


def endpoint() -> str:
    """Return a short name of the server that addresses lead to, in which no secret can be seen."""
    named = [os.environ.get(name, "") for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")]
    return hashlib.sha256("\0".join(named).encode()).hexdigest()[:16] if any(named) else "default"
