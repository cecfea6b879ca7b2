"""Places in object stores, through obstore: the Rust library that delta-rs and polars use, too."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import urlsplit
from uuid import uuid4

from shp_miner.errors import BadInput, TryLater, UsageError
from shp_miner.places.access import client, in_words, refusals, waits
from shp_miner.places.place import Content, Entry, Place, require_reading
from shp_miner.places.ranges import PART_BYTES, Ranges

#: Bytes of one part of an upload, and parts at a time.
_PART, _PARTS = 8 << 20, 4

#: Objects that are deleted at a time where a server knows no request for many.
_DELETIONS = 8

#: Bytes of a written file that are held in memory; more lie in a temporary file.
_HELD = 16 << 20


class ObjectPlace(Place):
    """An object, or all objects below a prefix: s3://bucket/key, gs://bucket/key, az://container/key."""

    def __init__(self, scheme: str, bucket: str, key: str) -> None:
        self.scheme, self.bucket, self.key = scheme, bucket, key

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

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2] or self.bucket

    @property
    def parent(self) -> Self:
        return type(self)(self.scheme, self.bucket, self.key.rpartition("/")[0])

    def __truediv__(self, name: str) -> Self:
        return type(self)(self.scheme, self.bucket, "/".join(filter(None, (self.key, str(name).strip("/")))))

    def __str__(self) -> str:
        return "/".join(filter(None, (f"{self.scheme}://{self.bucket}", self.key)))

    def is_file(self) -> bool:
        try:
            self.size()
        except FileNotFoundError:
            return False
        return bool(self.key)

    def size(self) -> int:
        return int(self._head()["size"])

    def open(self, mode: str = "rb") -> BinaryIO:
        require_reading(mode)
        return io.BufferedReader(Ranges(self), PART_BYTES)

    def read_bytes(self) -> bytes:
        import obstore  # noqa: PLC0415

        with refusals(str(self)):
            return obstore.get(self._client(), self.key).bytes().to_bytes()

    def range(self, start: int, end: int, etag: str | None = None) -> bytes:
        """Return bytes of the object, from `start` up to before `end`. With an ETag only while the object has it."""
        import obstore  # noqa: PLC0415

        if end <= start:
            return b""
        with refusals(str(self)):
            options: Any = {"range": (start, end)} | ({"if_match": etag} if etag else {})
            return obstore.get(self._client(), self.key, options=options).bytes().to_bytes()

    def write(self, content: Content) -> None:
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
        import obstore  # noqa: PLC0415

        with refusals(str(self)):
            obstore.put(self._client(), self.key, content, chunk_size=_PART, max_concurrency=_PARTS)

    def create(self, content: bytes) -> None:
        import obstore  # noqa: PLC0415

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
        import obstore  # noqa: PLC0415

        beginning = f"{self.key}/" if self.key else ""
        with refusals(str(self)):
            batches = obstore.list(self._client(), self.key or None, chunk_size=1000)
            found = [Entry(str(meta["path"]), int(meta["size"])) for batch in batches for meta in batch]
        below = [entry for entry in found if entry.name.startswith(beginning) and entry.name != beginning]
        return sorted(
            (Entry(entry.name[len(beginning) :], entry.size) for entry in below), key=lambda entry: entry.name
        )

    def is_dir(self) -> bool:
        import obstore  # noqa: PLC0415

        with refusals(str(self)):
            return any(obstore.list(self._client(), self.key or None, chunk_size=1))

    def delete(self, names: Iterable[str] | None = None) -> None:
        keys = [self.key] if names is None else [(self / name).key for name in names]
        if len(keys) > 1 and self._deleted_at_once(keys):
            return
        with ThreadPoolExecutor(_DELETIONS) as pool:
            list(pool.map(self._delete_one, keys))

    def _deleted_at_once(self, keys: list[str]) -> bool:
        """Delete objects by one request for many; return whether that went well. Some servers do not know it."""
        import obstore  # noqa: PLC0415

        try:
            with refusals(str(self)):
                obstore.delete(client(self.scheme, self.bucket, retries=False), keys)
        except (FileNotFoundError, BadInput, TryLater):
            return False
        return True

    def _delete_one(self, key: str) -> None:
        import obstore  # noqa: PLC0415

        with suppress(FileNotFoundError), refusals(str(self)):
            obstore.delete(self._client(), key)

    def copy(self, target: Self) -> None:
        import obstore  # noqa: PLC0415

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
        import obstore  # noqa: PLC0415

        with refusals(str(self)):
            version = obstore.put(self._client(), probe.key, b"").get("version")
        probe.delete()
        return version not in (None, "null")

    def _head(self) -> Any:
        import obstore  # noqa: PLC0415

        with suppress(Exception):
            return obstore.head(self._client(), self.key)
        # An answer to HEAD has no body, so it does not say why: whether the bucket is missing, or credentials expired.
        with refusals(str(self)):
            return obstore.get(self._client(), self.key, options={"range": (0, 1)}).meta

    def _client(self) -> Any:
        return client(self.scheme, self.bucket)
