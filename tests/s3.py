"""A small S3 server in a thread, for tests: objects in a dict, and the faults that real ones have.

It answers the clients of Google Cloud Storage, too, whose requests differ by the names of two headers. It checks no
signature. What it holds can be searched (`objects`), and what it was asked is counted (`asked`).
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

import pytest

#: When everything is written unless a test moves the server's clock: 2026-01-01, in seconds since 1970.
_BEGIN_S = 1_767_225_600.0


@dataclass
class Fault:
    """What goes wrong with the next `times` requests of `method` (a pattern) for keys with `key` (a pattern) in them.

    The first `spared` of them go well. With `cut` the answer's body ends in its middle; with status 0 the connection
    ends without an answer; with `after` the request takes effect and is then answered badly.
    """

    status: int = 503
    code: str = "SlowDown"
    method: str = ".*"
    key: str = ""
    times: int = 1
    spared: int = 0
    slow_s: float = 0.0
    cut: bool = False
    after: bool = False


@dataclass
class Server:
    """The server: its buckets, its faults, and what it was asked."""

    port: int = 0
    page: int = 1000
    objects: dict[str, dict[str, bytes]] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    #: As s3rver does: a create-only put replaces what is there.
    ignores_create_only: bool = False
    #: Every request is refused as one with credentials that ended.
    expired: bool = False
    #: The server's clock, in seconds since 1970, and when each object was written by it.
    now_s: float = _BEGIN_S
    written: dict[tuple[str, str], float] = field(default_factory=dict)
    #: The buckets keep old versions of objects.
    versioned: bool = False
    #: The port of another server, to which what meets no fault is passed on; this one then holds nothing.
    behind: int = 0
    lock: Lock = field(default_factory=Lock)

    def bucket(self, name: str = "bucket") -> dict[str, bytes]:
        """Return the objects of a bucket, which is made if it is missing."""
        return self.objects.setdefault(name, {})

    def fault(self, method: str, key: str) -> Fault | None:
        """Return the fault that the next request meets."""
        for fault in self.faults:
            if fault.times > 0 and re.fullmatch(fault.method, method) and re.search(fault.key, key):
                fault.spared -= 1
                if fault.spared >= 0:
                    return None
                fault.times -= 1
                return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    s3: Server

    def log_message(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._meet
        raise AttributeError(name)

    def _meet(self) -> None:
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._cut = False
        with self.s3.lock:
            self.s3.asked.append((self.command, key))
            fault = self.s3.fault(self.command, key)
        if fault is not None:
            time.sleep(fault.slow_s)
            if fault.after:
                self._silent = True
                self._answered(bucket, key, query, body)
                self._silent = False
            self._cut = fault.cut
            if not fault.status:
                self.close_connection = True
                return
            if not fault.cut and fault.status >= 300:
                self._error(fault.status, fault.code)
                return
        if self.s3.expired:
            self._error(400, "ExpiredToken", "<Token-0>SECRET-TOKEN</Token-0>")
            return
        self._answered(bucket, key, query, body)

    _silent = False

    def _answered(self, bucket: str, key: str, query: dict[str, str], body: bytes) -> None:
        if self.s3.behind:
            self._pass_on(body)
            return
        if bucket not in self.s3.objects:
            self._error(404, "NoSuchBucket")
            return
        objects, self._bucket = self.s3.objects[bucket], bucket
        with self.s3.lock:
            if self.command in ("GET", "HEAD"):
                self._list(bucket, query) if not key else self._get(objects, key)
            elif self.command == "PUT":
                self._put(objects, key, query, body)
            elif self.command == "POST":
                self._post(objects, key, query, body)
            else:
                self.s3.uploads.pop(query.get("uploadId", ""), None)
                if "uploadId" not in query:
                    objects.pop(key, None)
                self._reply(204, b"")

    def _pass_on(self, body: bytes) -> None:
        """Let the server behind answer; where it does not, the connection ends as that server's would."""
        behind = HTTPConnection("127.0.0.1", self.s3.behind)
        try:
            behind.request(self.command, self.path, body or None, dict(self.headers))
            reply = behind.getresponse()
            data = reply.read()
        except (OSError, HTTPException):
            self.close_connection = True
            return
        finally:
            behind.close()
        own = {"connection", "content-length", "date", "server", "transfer-encoding"}
        headers = {name: value for name, value in reply.getheaders() if name.lower() not in own}
        length = reply.getheader("Content-Length") if self.command == "HEAD" else None
        self._reply(reply.status, data, headers, length)

    def _get(self, objects: dict[str, bytes], key: str) -> None:
        if key not in objects:
            self._error(404, "NoSuchKey")
            return
        data = objects[key]
        if (wanted := self.headers.get("If-Match")) and wanted != _etag(data):
            self._error(412, "PreconditionFailed")
            return
        headers = {
            "ETag": _etag(data),
            "Last-Modified": formatdate(self._at(self._bucket, key), usegmt=True),
            "Accept-Ranges": "bytes",
        }
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if asked is None:
            self._reply(200, data, headers)
            return
        first, last = asked[1], asked[2]
        start = int(first) if first else max(len(data) - int(last), 0)
        end = min(int(last) + 1 if first and last else len(data), len(data))
        if start >= len(data):
            self._error(416, "InvalidRange")
            return
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        self._reply(206, data[start:end], headers)

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token") or query.get("start-after", "")
        found: dict[str, int | None] = {}
        for key, data in sorted(self.s3.objects[bucket].items()):
            if not key.startswith(prefix) or key <= after:
                continue
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            if end >= 0:
                folder = key[: end + len(delimiter)]
                if not after.startswith(folder):
                    found[folder] = None
            else:
                found[key] = len(data)
        shown, more = list(found.items())[: self.s3.page], len(found) > self.s3.page
        rows = [
            f"<CommonPrefixes><Prefix>{escape(key)}</Prefix></CommonPrefixes>"
            if size is None
            else f"<Contents><Key>{escape(key)}</Key><ETag>{_etag(b'')}</ETag>"
            f"<LastModified>{self._written(bucket, key)}</LastModified>"
            f"<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for key, size in shown
        ]
        following = f"<NextContinuationToken>{escape(shown[-1][0])}</NextContinuationToken>" if more else ""
        self._xml(
            f"<ListBucketResult><Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(shown)}</KeyCount>"
            f"<MaxKeys>{self.s3.page}</MaxKeys><IsTruncated>{str(more).lower()}</IsTruncated>{following}"
            f"{''.join(rows)}</ListBucketResult>"
        )

    def _written(self, bucket: str, key: str) -> str:
        return f"{datetime.fromtimestamp(self._at(bucket, key), UTC):%Y-%m-%dT%H:%M:%S}.000Z"

    def _at(self, bucket: str, key: str) -> float:
        return self.s3.written.get((bucket, key), _BEGIN_S)

    def _keep(self, objects: dict[str, bytes], key: str, body: bytes) -> dict[str, str]:
        objects[key] = body
        self.s3.written[self._bucket, key] = self.s3.now_s
        return {"ETag": _etag(body)} | ({"x-amz-version-id": "v1"} if self.s3.versioned else {})

    def _put(self, objects: dict[str, bytes], key: str, query: dict[str, str], body: bytes) -> None:
        if source := self.headers.get("x-amz-copy-source") or self.headers.get("x-goog-copy-source"):
            bucket, _, name = unquote(source).lstrip("/").partition("/")
            if name not in self.s3.objects.get(bucket, {}):
                self._error(404, "NoSuchKey")
                return
            body = self.s3.objects[bucket][name]
        if "uploadId" in query:
            self.s3.uploads[query["uploadId"]][int(query["partNumber"])] = body
            self._reply(200, b"", {"ETag": _etag(body)})
        elif self._may_put(objects, key):
            headers = self._keep(objects, key, body)
            if source:
                self._xml(f"<CopyObjectResult><ETag>{_etag(body)}</ETag></CopyObjectResult>")
            else:
                self._reply(200, b"", headers)

    def _may_put(self, objects: dict[str, bytes], key: str) -> bool:
        wanted, of_google = self.headers.get("If-Match"), self.headers.get("x-goog-if-generation-match")
        create_only = self.headers.get("If-None-Match") == "*" or of_google == "0"
        taken = create_only and key in objects and not self.s3.ignores_create_only
        if taken or (wanted and (key not in objects or _etag(objects[key]) != wanted)):
            self._error(412, "PreconditionFailed")
            return False
        return True

    def _post(self, objects: dict[str, bytes], key: str, query: dict[str, str], body: bytes) -> None:
        if "uploads" in query:
            upload = hashlib.md5(f"{key}{len(self.s3.asked)}".encode()).hexdigest()
            self.s3.uploads[upload] = {}
            self._xml(f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>")
        elif "uploadId" in query:
            if self._may_put(objects, key):
                parts = self.s3.uploads.pop(query["uploadId"])
                self._keep(objects, key, b"".join(parts[number] for number in sorted(parts)))
                self._xml(
                    f"<CompleteMultipartUploadResult><ETag>{_etag(objects[key])}</ETag></CompleteMultipartUploadResult>"
                )
        elif "delete" in query:
            keys = re.findall(r"<Key>(.*?)</Key>", body.decode())
            for found in keys:
                objects.pop(unescape(found, {"&apos;": "'", "&quot;": '"'}), None)
            told = "".join(f"<Deleted><Key>{found}</Key></Deleted>" for found in keys)
            self._xml(f"<DeleteResult>{told}</DeleteResult>")

    def _xml(self, text: str) -> None:
        self._reply(200, f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode(), {"Content-Type": "application/xml"})

    def _error(self, status: int, code: str, more: str = "") -> None:
        self._reply(status, f"<Error><Code>{code}</Code><Message>{code}</Message>{more}</Error>".encode())

    def _reply(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, length: str | None = None
    ) -> None:
        if self._silent:
            return
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self._cut and len(body) > 1:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        self.wfile.write(body)


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


@contextmanager
def running(**settings: object) -> Iterator[Server]:
    """Run a server with the bucket `bucket` until the block ends."""
    server = Server(**settings)  # type: ignore[arg-type]
    server.bucket()
    handler = type("Handler", (_Handler,), {"s3": server})
    with ThreadingHTTPServer(("127.0.0.1", server.port), handler) as http:
        http.daemon_threads = True
        server.port = http.server_address[1]
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()


def credentials(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Let the environment name a server of this machine, and credentials for it."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY-OF-A-TEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET-OF-A-TEST")
    monkeypatch.setenv("AWS_REGION", "us-east-1")


def google_credentials(monkeypatch: pytest.MonkeyPatch, port: int, folder: Path) -> None:
    """Let the environment name the same server for gs://; the file of an account says that it checks none."""
    account = {"gcs_base_url": f"http://127.0.0.1:{port}", "disable_oauth": True}
    account |= dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
    (folder / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(folder / "account.json"))
    monkeypatch.setenv("GOOGLE_BASE_URL", account["gcs_base_url"])


def asked(server: Server, pattern: str) -> int:
    """Return how many requests there were, written as METHOD KEY, that match a pattern."""
    return sum(bool(re.match(pattern, f"{method} {key}")) for method, key in list(server.asked))
