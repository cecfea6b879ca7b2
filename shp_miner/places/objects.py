"""Objects of object stores, through obstore: the Rust library that delta-rs and polars use, too.

Objects are read from anywhere in them and written whole: bytes that a reader finds under a name are all there. A
missing object raises FileNotFoundError and a create-only write of a taken name FileExistsError, as they do on a disk.
Every other refusal is one of `shp_miner.errors`, so code that expects a missing file never mistakes a store that is
down for one.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import urlsplit
from uuid import uuid4

from msgspec import Struct

from shp_miner.errors import BadInput, TryLater, UsageError
from shp_miner.places.access import client, in_words, library, refusals, waits
from shp_miner.places.ranges import PART_BYTES, Ranges

#: Bytes of one part of an upload, and parts at a time.
_PART, _PARTS = 8 << 20, 4

#: Objects that are deleted at a time where a server knows no request for many.
_DELETIONS = 8

#: Bytes of a written file that are held in memory; more lie in a temporary file.
_HELD = 16 << 20


#: What an object is written from: bytes, a file of this machine, or a function that writes to an open file.
Content = bytes | Path | Callable[[BinaryIO], object]


class Entry(Struct, frozen=True):
    """An object below a prefix: its name from there, with "/" between folders, and its size in bytes."""

    name: str
    size: int


class ObjectPlace(Struct, frozen=True):
    """An object, or all objects below a prefix: s3://bucket/key, gs://bucket/key, az://container/key.

    It holds no connection and no secret, so it may be pickled, compared and shown.
    """

    scheme: str
    bucket: str
    key: str

    @classmethod
    def of_url(cls, url: str) -> Self:
        """Return the place of a URL. Raises UsageError without a bucket, or with credentials or a query in it."""
        parts = urlsplit(url)
        scheme, host, key = parts.scheme, parts.netloc.rpartition("@")[2], parts.path.strip("/")
        shown = f"{scheme}://{host}/{key}"
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise UsageError(
                f"{shown} was given with more than a bucket and a key: credentials, ?, # or @.",
                "Give credentials by the environment (AWS_ACCESS_KEY_ID and others), and use another name.",
            )
        if not host or any(part in ("", ".", "..") for part in key.split("/") if key):
            raise UsageError(f"{shown} is not a place.", f"Write it like {scheme}://bucket/folder.")
        return cls(scheme, host, key)

    def __truediv__(self, name: str) -> Self:
        """Return the object `name` (with "/" between folders) below this one."""
        return type(self)(self.scheme, self.bucket, "/".join(filter(None, (self.key, str(name).strip("/")))))

    def __str__(self) -> str:
        return "/".join(filter(None, (f"{self.scheme}://{self.bucket}", self.key)))

    def is_file(self) -> bool:
        """Return whether there is an object of this name."""
        try:
            self.size()
        except FileNotFoundError:
            return False
        return bool(self.key)

    def size(self) -> int:
        """Return the object's bytes. Raises FileNotFoundError."""
        return int(self._head()["size"])

    def open(self) -> BinaryIO:
        """Open the object to be read, from anywhere in it. Raises FileNotFoundError."""
        return io.BufferedReader(Ranges(self), PART_BYTES)

    def read_bytes(self) -> bytes:
        """Return the whole object. Raises FileNotFoundError."""
        obstore = library()
        with refusals(str(self)):
            data: bytes = obstore.get(self._client(), self.key).bytes().to_bytes()
            return data

    def range(self, start: int, end: int, etag: str | None = None) -> bytes:
        """Return bytes of the object, from `start` up to before `end`. With an ETag only while the object has it."""
        obstore = library()
        if end <= start:
            return b""
        with refusals(str(self)):
            options: Any = {"range": (start, end)} | ({"if_match": etag} if etag else {})
            data: bytes = obstore.get(self._client(), self.key, options=options).bytes().to_bytes()
            return data

    def write(self, content: Content) -> None:
        """Write the object whole, in the place of any before."""
        if isinstance(content, bytes):
            self._put(content)
        elif isinstance(content, Path):
            with content.open("rb") as file:
                self._put(file)
        else:
            with tempfile.SpooledTemporaryFile(_HELD) as held:
                content(held)  # type: ignore[arg-type]  # a file in all but its class
                held.seek(0)
                self._put(held)

    def _put(self, content: Any) -> None:
        obstore = library()
        with refusals(str(self)):
            obstore.put(self._client(), self.key, content, chunk_size=_PART, max_concurrency=_PARTS)

    def create(self, content: bytes) -> None:
        """Write the object if there is none of this name, else raise FileExistsError. Of several writers one succeeds.

        That holds if the store knows create-only writes; `store/proof.py` tries it.
        """
        obstore = library()
        store, unsure = client(self.scheme, self.bucket, retries=False), False
        for wait_s in (*waits(), None):
            try:
                obstore.put(store, self.key, content, mode="create", use_multipart=False)
            except Exception as error:  # noqa: BLE001  (sorted below)
                refused = in_words(error, str(self))
            else:
                return
            if isinstance(refused, FileExistsError):
                # After an answer that was lost, what is there may be what was written before it.
                if unsure and self.read_bytes() == content:
                    return
                break
            unsure = True
            if wait_s is None or not isinstance(refused, TryLater):
                break
            time.sleep(wait_s)
        raise refused

    def entries(self) -> list[Entry]:
        """Return all objects below this name, by name; none if there are none."""
        obstore = library()
        beginning = f"{self.key}/" if self.key else ""
        with refusals(str(self)):
            batches = obstore.list(self._client(), self.key or None, chunk_size=1000)
            found = [Entry(str(meta["path"]), int(meta["size"])) for batch in batches for meta in batch]
        below = [entry for entry in found if entry.name.startswith(beginning) and entry.name != beginning]
        return sorted(
            (Entry(entry.name[len(beginning) :], entry.size) for entry in below), key=lambda entry: entry.name
        )

    def is_dir(self) -> bool:
        """Return whether there are objects below this name."""
        obstore = library()
        with refusals(str(self)):
            return any(obstore.list(self._client(), self.key or None, chunk_size=1))

    def delete(self, names: Iterable[str] | None = None) -> None:
        """Delete this object, or those of these names below it. Missing ones are no error."""
        keys = [self.key] if names is None else [(self / name).key for name in names]
        if len(keys) > 1 and self._deleted_at_once(keys):
            return
        with ThreadPoolExecutor(_DELETIONS) as pool:
            list(pool.map(self._delete_one, keys))

    def _deleted_at_once(self, keys: list[str]) -> bool:
        """Delete objects by one request for many; return whether that went well. Some servers do not know it."""
        obstore = library()
        try:
            with refusals(str(self)):
                obstore.delete(client(self.scheme, self.bucket, retries=False), keys)
        except (FileNotFoundError, BadInput, TryLater):
            return False
        return True

    def _delete_one(self, key: str) -> None:
        obstore = library()
        with suppress(FileNotFoundError), refusals(str(self)):
            obstore.delete(self._client(), key)

    def copy(self, target: Self) -> None:
        """Copy the object within its bucket, without reading it here."""
        obstore = library()
        if (self.scheme, self.bucket) != (target.scheme, target.bucket):
            raise UsageError(f"{self} and {target} are not in one bucket.", "Copy within one bucket.")
        with refusals(str(self)):
            obstore.copy(self._client(), self.key, target.key)

    def head(self) -> dict[str, Any]:
        """Return what the store says of the object: `size`, `e_tag`, `last_modified`. Raises FileNotFoundError."""
        return dict(self._head())

    def is_versioned(self) -> bool:
        """Return whether an object written below this one keeps its old versions, as S3 says of each write."""
        probe = self / f"probe-{uuid4().hex}"
        obstore = library()
        with refusals(str(self)):
            version = obstore.put(self._client(), probe.key, b"").get("version")
        probe.delete()
        return version not in (None, "null")

    def _head(self) -> Any:
        obstore = library()
        with suppress(Exception):
            return obstore.head(self._client(), self.key)
        # An answer to HEAD has no body, so it does not say why: whether the bucket is missing, or credentials expired.
        with refusals(str(self)):
            return obstore.get(self._client(), self.key, options={"range": (0, 1)}).meta

    def _client(self) -> Any:
        return client(self.scheme, self.bucket)
