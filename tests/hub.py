"""A Hub on this machine: the endpoints that huggingface_hub and `datasets` use, with planned faults.

It keeps every byte that the real one would keep: blobs, large files and trees of all commits, until they are purged.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .xet import chunks_of, files_of

TOKEN, READER = "hf_" + "w" * 30, "hf_" + "r" * 30

#: What the storage behind the Hub takes instead, for an hour.
STORAGE_TOKEN = "x" * 30

#: Files with these endings are large files, whatever their size.
LARGE = (".parquet",)


@dataclass
class File:
    """A file of a tree: its bytes, or the SHA-256 and size of a large file."""

    content: bytes = b""
    sha256: str = ""
    size: int = 0

    @property
    def blob_id(self) -> str:
        data = self.content if not self.sha256 else f"oid sha256:{self.sha256}\nsize {self.size}\n".encode()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    def entry(self, path: str) -> dict[str, Any]:
        large = {"lfs": {"oid": self.sha256, "size": self.size, "pointerSize": 130}} if self.sha256 else {}
        return {"type": "file", "path": path, "oid": self.blob_id, "size": self.size, **large}


@dataclass
class Commit:
    id: str
    parent: str | None
    title: str
    tree: dict[str, File]
    at: datetime


@dataclass
class Repo:
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: dict[str, str] = field(default_factory=dict)
    large: dict[str, tuple[bytes, str, datetime]] = field(default_factory=dict)
    xorbs: dict[str, list[bytes]] = field(default_factory=dict)

    def at(self, revision: str) -> Commit | None:
        name = revision.removeprefix("refs/heads/")
        known = {**self.pulls, **self.tags, **self.branches}.get(name, name)
        return self.commits.get(known)

    def history(self, commit: Commit) -> list[Commit]:
        found = [commit]
        while found[-1].parent:
            found.append(self.commits[found[-1].parent])
        return found

    def drop_unreachable(self) -> None:
        heads = [*self.branches.values(), *self.tags.values(), *self.pulls.values()]
        reachable = {commit.id for head in heads for commit in self.history(self.commits[head])}
        self.commits = {id_: commit for id_, commit in self.commits.items() if id_ in reachable}


class Fault(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, code: str = "", message: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.headers = {"X-Error-Code": code} if code else {}
        self.headers |= {"X-Error-Message": message} if message else {}
        self.headers |= headers or {}


Respond = Callable[["Hub", str, Any], Any]


class Hub:
    """The state. `before` runs before each request (method, path) and may raise Fault or Cut; `log` has all of them."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.url = ""
        self.log: list[tuple[str, str]] = []
        self.received: dict[str, int] = {}
        self.before: Callable[[str, str], None] = lambda method, path: None
        self.after: Callable[[str, str], None] = lambda method, path: None
        self.lock = threading.RLock()
        self.keeps_old_commits = False
        self.makes_public = False
        self._clock = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self._clock += timedelta(seconds=1)
        return self._clock

    def everything(self) -> bytes:
        """All bytes that any revision of any data set serves."""
        parts = []
        for repo in self.repos.values():
            parts += [content for content, _, _ in repo.large.values()]
            parts += [file.content for commit in repo.commits.values() for file in commit.tree.values()]
            parts += [f"{commit.title} {path}".encode() for commit in repo.commits.values() for path in commit.tree]
        return b"\n".join(parts)

    def commit(self, name: str, branch: str, changes: dict[str, File | None], title: str = "A change") -> Commit:
        repo = self.repos[name]
        parent = repo.branches.get(branch)
        tree = dict(repo.commits[parent].tree) if parent else {}
        for path, file in changes.items():
            if file is None:
                del tree[path]
            else:
                tree[path] = file
        at = self.now()
        seed = f"{parent} {title} {at} {sorted((path, file.blob_id) for path, file in tree.items())}"
        made = Commit(hashlib.sha1(seed.encode()).hexdigest(), parent, title, tree, at)
        repo.commits[made.id] = made
        repo.branches[branch] = made.id
        return made

    def write(self, name: str, path: str, text: str, branch: str = "main") -> Commit:
        """Commit a small file, as a person does on the site."""
        return self.commit(name, branch, {path: File(text.encode(), size=len(text.encode()))}, f"Edit {path}")

    def create(self, name: str, *, private: bool = True) -> Repo:
        self.repos[name] = Repo(private)
        self.commit(name, "main", {".gitattributes": File(b"*.parquet filter=lfs\n", size=21)}, "initial commit")
        return self.repos[name]

    # -- requests ------------------------------------------------------------------------------------------------------

    def repo(self, name: str, token: str) -> Repo:
        repo = self.repos.get(name)
        if repo is None or (repo.private and token not in (TOKEN, READER)):
            raise Fault(404 if token else 401, "RepoNotFound", "Repository not found")
        return repo

    def revision(self, repo: Repo, revision: str) -> Commit:
        commit = repo.at(revision)
        if commit is None:
            raise Fault(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def writes(self, token: str) -> None:
        if token != TOKEN:
            raise Fault(403 if token else 401, message="You need write access to this data set")


class Cut(Exception):
    """The connection breaks, before the request is done or after it."""


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        query = parse_qs(url.query)
        hub = self.hub
        hub.log.append((self.command, path))
        try:
            body = self._body()
            if self.command == "PUT" and self.headers.get("transfer-encoding") is None:
                hub.received[path.rpartition("/")[2]] = hub.received.get(path.rpartition("/")[2], 0) + len(body)
            hub.before(self.command, path)
            with hub.lock:
                answer = self._answer(path, query, body)
            hub.after(self.command, path)
        except Fault as fault:
            self._send(fault.status, {"error": fault.message}, fault.headers)
        except (Cut, OSError):
            self.close_connection = True
        else:
            status, content, headers = answer
            self._send(status, content, headers)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _serve  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def _send(self, status: int, content: Any, headers: dict[str, str]) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response_only(status)
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, Any, dict[str, str]]:
        token = self.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in ("", *((STORAGE_TOKEN,) if path.startswith("/storage/") else (TOKEN, READER))):
            raise Fault(401, message="Invalid credentials in Authorization header")
        for method, pattern, respond in ROUTES:
            found = re.fullmatch(pattern, path)
            if found and self.command in method:
                answer = respond(self.hub, token, found, query, body, self.headers)
                return answer if isinstance(answer, tuple) else (200, answer, {})
        raise Fault(404, message=f"No such page: {self.command} {path}")


def _whoami(hub: Hub, token: str, *_: Any) -> Any:
    if not token:
        raise Fault(401, message="Invalid username or password.")
    return {"type": "user", "name": "alice", "orgs": [], "auth": {"type": "access_token"}}


def _create(hub: Hub, token: str, _found: Any, _query: Any, body: bytes, *_: Any) -> Any:
    asked = json.loads(body)
    name = f"{asked.get('organization') or 'alice'}/{asked['name']}"
    if token != TOKEN or not name.startswith("alice/"):
        raise Fault(403 if token else 401, message="You don't have the rights to create a data set under this name")
    if name in hub.repos or name == "alice/taken":
        raise Fault(409, message="You already created this repo")
    hub.create(name, private=asked.get("visibility") == "private" and not hub.makes_public)
    return {"url": f"{hub.url}/datasets/{name}", "name": name, "id": "0" * 24}


def _info(hub: Hub, token: str, found: Any, *_: Any) -> Any:
    repo = hub.repo(found[1], token)
    commit = hub.revision(repo, found[2] or "main")
    entries = [{"rfilename": path} for path in sorted(commit.tree)]
    at = commit.at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return {
        "_id": "0" * 24, "id": found[1], "author": "alice", "sha": commit.id, "lastModified": at, "createdAt": at,
        "private": repo.private, "gated": False, "disabled": False, "tags": [], "siblings": entries, "downloads": 0,
        "likes": 0,
    }  # fmt: skip


def _tree(hub: Hub, token: str, found: Any, query: dict[str, list[str]], *_: Any) -> Any:
    commit = hub.revision(hub.repo(found[1], token), found[2])
    folder = f"{found[3]}/" if found[3] else ""
    recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
    entries: dict[str, dict[str, Any]] = {}
    for path, file in sorted(commit.tree.items()):
        if not path.startswith(folder):
            continue
        parts = path[len(folder) :].split("/")
        for depth in range(1, len(parts)):
            name = folder + "/".join(parts[:depth])
            if recursive or depth == 1:
                entries[name] = {"type": "directory", "path": name, "oid": "0" * 40, "size": 0}
        if recursive or len(parts) == 1:
            entries[path] = file.entry(path)
    if folder and not entries:
        raise Fault(404, "EntryNotFound", "Entry not found")
    listed, start, size = list(entries.values()), int(query.get("cursor", ["0"])[0]), 7
    rest = {**{name: values[0] for name, values in query.items()}, "cursor": str(start + size)}
    words = "&".join(f"{name}={value}" for name, value in rest.items())
    link = f'<{hub.url}/api/datasets/{found[1]}/tree/{found[2]}?{words}>; rel="next"'
    more = {"Link": link} if start + size < len(listed) and not folder else {}
    return 200, listed if folder else listed[start : start + size], more


def _paths(hub: Hub, token: str, found: Any, _query: Any, body: bytes, *_: Any) -> Any:
    tree = hub.revision(hub.repo(found[1], token), found[2]).tree
    asked = parse_qs(body.decode()).get("paths", [])
    folders = {"/".join(path.split("/")[:depth]) for path in tree for depth in range(1, path.count("/") + 1)}
    files = [tree[path].entry(path) for path in asked if path in tree]
    return files + [{"type": "directory", "path": path, "oid": "0" * 40} for path in asked if path in folders]


def _refs(hub: Hub, token: str, found: Any, query: dict[str, list[str]], *_: Any) -> Any:
    repo = hub.repo(found[1], token)

    def listed(refs: dict[str, str], kind: str) -> list[dict[str, str]]:
        return [{"name": name, "ref": f"{kind}{name}", "targetCommit": id_} for name, id_ in refs.items()]

    known = {"branches": listed(repo.branches, "refs/heads/"), "tags": listed(repo.tags, "refs/tags/"), "converts": []}
    return known | ({"pullRequests": listed(repo.pulls, "")} if "include_prs" in query else {})


def _commits(hub: Hub, token: str, found: Any, *_: Any) -> Any:
    repo = hub.repo(found[1], token)
    return [
        {"id": one.id, "authors": [{"user": "alice"}], "date": one.at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
         "title": one.title, "message": ""}
        for one in repo.history(hub.revision(repo, found[2]))
    ]  # fmt: skip


def _preupload(hub: Hub, token: str, found: Any, _query: Any, body: bytes, *_: Any) -> Any:
    hub.writes(token)
    tree = hub.revision(hub.repo(found[1], token), found[2]).tree
    ignores = b".parquet" in tree[".gitignore"].content if ".gitignore" in tree else False
    files = []
    for asked in json.loads(body)["files"]:
        large = asked["path"].endswith(LARGE)
        known = tree.get(asked["path"])
        oid = None if known is None else known.sha256 or known.blob_id
        mode = "lfs" if large else "regular"
        files.append({"path": asked["path"], "uploadMode": mode, "shouldIgnore": ignores and large, "oid": oid})
    return {"files": files}


def _batch(hub: Hub, token: str, found: Any, _query: Any, body: bytes, *_: Any) -> Any:
    hub.writes(token)
    repo = hub.repo(found[1], token)
    objects = []
    for asked in json.loads(body)["objects"]:
        actions = {
            "upload": {"href": f"{hub.url}/upload/{found[1]}/{asked['oid']}"},
            "verify": {"href": f"{hub.url}/verify/{found[1]}"},
        }
        objects.append({**asked, **({} if asked["oid"] in repo.large else {"actions": actions})})
    return {"transfer": "basic", "objects": objects}


def _upload(hub: Hub, _token: str, found: Any, _query: Any, body: bytes, *_: Any) -> Any:
    if hashlib.sha256(body).hexdigest() != found[2]:
        raise Fault(400, message="The content is not that of this SHA-256")
    hub.repos[found[1]].large[found[2]] = (body, "", hub.now())
    return {}


def _storage(hub: Hub, token: str, found: Any, *_: Any) -> Any:
    hub.writes(token)
    hub.repo(found[1], token)
    ends = int(time.time()) + 3600
    return {"accessToken": STORAGE_TOKEN, "exp": ends, "casUrl": f"{hub.url}/storage/{found[1]}"}


def _xorb(hub: Hub, token: str, found: Any, _query: Any, body: bytes, *_: Any) -> Any:
    hub.writes(TOKEN if token == STORAGE_TOKEN else "")
    hub.repos[found[1]].xorbs[found[2]] = chunks_of(body)
    return {"was_inserted": True}


def _shard(hub: Hub, token: str, found: Any, _query: Any, body: bytes, *_: Any) -> Any:
    hub.writes(TOKEN if token == STORAGE_TOKEN else "")
    repo = hub.repos[found[1]]
    repo.large |= {sha256: (content, "", hub.now()) for sha256, content in files_of(body, repo.xorbs).items()}
    return {"result": 1}


def _verify(hub: Hub, token: str, found: Any, _query: Any, body: bytes, *_: Any) -> Any:
    hub.writes(token)
    if json.loads(body)["oid"] not in hub.repos[found[1]].large:
        raise Fault(404, message="It was not uploaded")
    return {}


def _commit(hub: Hub, token: str, found: Any, _query: Any, body: bytes, *_: Any) -> Any:
    hub.writes(token)
    repo = hub.repo(found[1], token)
    hub.revision(repo, found[2])
    lines = [json.loads(line) for line in body.splitlines()]
    header = lines[0]["value"]
    if header.get("parentCommit", repo.branches[found[2]]) != repo.branches[found[2]]:
        raise Fault(412, message="A commit has happened since. Please refresh and try again.")
    changes: dict[str, File | None] = {}
    for line in lines[1:]:
        value = line["value"]
        if line["key"] == "file":
            content = base64.b64decode(value["content"])
            changes[value["path"]] = File(content, size=len(content))
        elif line["key"] == "lfsFile":
            content, _, at = repo.large[value["oid"]]
            repo.large[value["oid"]] = (content, value["path"], at)
            changes[value["path"]] = File(sha256=value["oid"], size=len(content))
        elif line["key"] == "deletedFile":
            changes[value["path"]] = None
    made = hub.commit(found[1], found[2], changes, header["summary"])
    return {"success": True, "commitOid": made.id, "commitUrl": f"{hub.url}/datasets/{found[1]}/commit/{made.id}"}


def _branch(hub: Hub, token: str, found: Any, _query: Any, body: bytes, *_: Any) -> Any:
    hub.writes(token)
    repo = hub.repo(found[1], token)
    asked = json.loads(body or b"{}").get("startingPoint", "main")
    repo.branches[found[2]] = hub.revision(repo, asked).id
    return {}


def _squash(hub: Hub, token: str, found: Any, _query: Any, body: bytes, *_: Any) -> Any:
    hub.writes(token)
    repo = hub.repo(found[1], token)
    tree = hub.revision(repo, found[2]).tree
    del repo.branches[found[2]]
    hub.commit(found[1], found[2], dict(tree), json.loads(body)["message"])
    if not hub.keeps_old_commits:
        repo.drop_unreachable()
    return {}


def _large(hub: Hub, token: str, found: Any, *_: Any) -> Any:
    return [
        {"fileOid": oid, "oid": oid, "filename": path, "size": len(content), "ref": "refs/heads/main",
         "pushedAt": at.strftime("%Y-%m-%dT%H:%M:%S.000Z")}
        for oid, (content, path, at) in hub.repo(found[1], token).large.items()
    ]  # fmt: skip


def _delete_large(hub: Hub, token: str, found: Any, _query: Any, body: bytes, *_: Any) -> Any:
    hub.writes(token)
    repo = hub.repo(found[1], token)
    gone = set(json.loads(body)["deletions"]["sha"])
    repo.large = {oid: known for oid, known in repo.large.items() if oid not in gone}
    for commit in repo.commits.values():
        commit.tree = {path: file for path, file in commit.tree.items() if file.sha256 not in gone}
    return {}


def _resolve(hub: Hub, token: str, found: Any, _query: Any, _body: bytes, headers: Any) -> Any:
    repo = hub.repo(found[1], token)
    commit = hub.revision(repo, found[2])
    file = commit.tree.get(found[3])
    if file is None or (file.sha256 and file.sha256 not in repo.large):
        raise Fault(404, "EntryNotFound", "Entry not found")
    content = repo.large[file.sha256][0] if file.sha256 else file.content
    facts = {"ETag": f'"{file.sha256 or file.blob_id}"', "X-Repo-Commit": commit.id, "Accept-Ranges": "bytes"}
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", ""))
    if asked:
        end = int(asked[2]) + 1 if asked[2] else len(content)
        facts["Content-Range"] = f"bytes {asked[1]}-{min(end, len(content)) - 1}/{len(content)}"
        return 206, content[int(asked[1]) : end], facts
    return 200, content, facts


_NAME = r"/api/datasets/([^/]+/[^/]+)"
ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("GET", r"/api/whoami-v2", _whoami),
    ("POST", r"/api/repos/create", _create),
    ("POST", r"/api/validate-yaml", lambda *_: {"errors": [], "warnings": []}),
    ("GET", _NAME + r"(?:/revision/(.+))?", _info),
    ("GET", _NAME + r"/tree/(refs/pr/\d+|[^/]+)(?:/(.+))?", _tree),
    ("POST", _NAME + r"/paths-info/(.+)", _paths),
    ("GET", _NAME + r"/refs", _refs),
    ("GET", _NAME + r"/commits/(.+)", _commits),
    ("POST", _NAME + r"/preupload/(.+)", _preupload),
    ("POST", _NAME + r"/commit/(.+)", _commit),
    ("POST", _NAME + r"/branch/(.+)", _branch),
    ("POST", _NAME + r"/super-squash/(.+)", _squash),
    ("GET", _NAME + r"/lfs-files", _large),
    ("POST", _NAME + r"/lfs-files/batch", _delete_large),
    ("POST", r"/datasets/([^/]+/[^/]+)\.git/info/lfs/objects/batch", _batch),
    ("PUT", r"/upload/([^/]+/[^/]+)/([0-9a-f]+)", _upload),
    ("GET", _NAME + r"/xet-write-token/(.+)", _storage),
    ("POST", r"/storage/([^/]+/[^/]+)/v1/xorbs/default/([0-9a-f]+)", _xorb),
    ("POST", r"/storage/([^/]+/[^/]+)/v1/shards", _shard),
    ("POST", r"/verify/([^/]+/[^/]+)", _verify),
    ("GETHEAD", r"/datasets/([^/]+/[^/]+)/resolve/(refs/pr/\d+|[^/]+)/(.+)", _resolve),
]


@contextmanager
def serving() -> Iterator[Hub]:
    """A Hub without data sets, served on a free port of this machine."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
