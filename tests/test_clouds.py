"""Google Cloud Storage and Azure: what their clients are told, and all from import to forget by their requests.

gs:// runs against the server of `s3.py`. az:// runs against Azurite, Microsoft's own emulator, from the npm registry:
`pytest -m slow tests/test_clouds.py`; without npm it is skipped.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
import signal
import socket
import subprocess
import time
import traceback
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path

import polars as pl
import pytest

import shp_miner
from shp_miner import export_dataset, import_dump
from shp_miner.cli import run
from shp_miner.errors import NotAllowed, UsageError
from shp_miner.paths import expanded
from shp_miner.places.access import client, in_words, scan_options, storage_options
from shp_miner.places.objects import ObjectPlace
from shp_miner.store.proof import keeps_names

from . import s3
from .build import thread, tree, write_month
from .conftest import NOW

AZURITE = "azurite@3.37.0"
#: The account that every Azurite has, with its published key.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
SECRET = "Xylotext"


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_clients_take_what_the_environment_says(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        '{"disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}',
    )
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
    place = ObjectPlace.of_url(f"{scheme}://bucket/a b/c/")
    assert (place.scheme, place.bucket, place.key) == (scheme, "bucket", "a b/c")
    assert str(expanded(f"{scheme}://bucket/a b/c/") / "d") == f"{scheme}://bucket/a b/c/d"
    for wrong in (f"{scheme}://", f"{scheme}://key:{KEY[:8]}@bucket/x", f"{scheme}://bucket/x?sig=1"):
        with pytest.raises(UsageError) as refused:
            ObjectPlace.of_url(wrong)
        assert KEY[:8] not in refused.value.message
    assert client(scheme, "bucket") is client(scheme, "bucket")
    assert "allow_http" not in {**storage_options(scheme), **scan_options(scheme)}
    encrypted = client(scheme, "bucket")
    monkeypatch.setenv({"gs": "GOOGLE_BASE_URL", "az": "AZURE_STORAGE_ENDPOINT"}[scheme], "http://127.0.0.1:1")
    assert client(scheme, "bucket") is not encrypted
    assert storage_options(scheme)["allow_http"] == scan_options(scheme)["allow_http"] == "true"
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", "{")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", f"no base64 of {KEY}")
    with pytest.raises(NotAllowed, match="cannot be read") as unreadable:
        expanded(f"{scheme}://bucket/x").exists()
    assert KEY not in "".join(traceback.format_exception(unreadable.value))
    missing = in_words(OSError("... InstanceCredentials ..."), f"{scheme}://bucket/x")
    assert isinstance(missing, NotAllowed)
    assert {"gs": "GOOGLE_", "az": "AZURE_"}[scheme] in missing.hint


def test_google_cloud_storage_from_import_to_forget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3.running() as server:
        s3.google_credentials(monkeypatch, server.port, tmp_path)
        from_import_to_forget("gs://bucket/folder", tmp_path)
        assert not server.uploads
        server.ignores_create_only = True
        assert run(["doctor", "--store", "gs://bucket/folder/store", "-q"]) == 5


@pytest.mark.slow
def test_azure_from_import_to_forget(azurite: None, tmp_path: Path) -> None:
    from_import_to_forget("az://bucket/folder", tmp_path)


def from_import_to_forget(url: str, tmp_path: Path) -> None:
    """Do on an object store what is done on a disk, with the bytes of a disk."""
    records = [record for n in range(16) for record in thread(f"p{n}", (3, 9, 5, 7))]
    for record in records:
        if record["id"] == "p1c1":
            record |= {"body": SECRET, "author": "Alice"}
    dump = write_month(tmp_path / "dump", records)
    import_dump("reddit-dump", dump, tmp_path / "store", now=NOW)
    for file in dump:
        (expanded(url) / "dump" / file.name).write_bytes(file.read_bytes())
    import_dump("reddit-dump", [f"{url}/dump/{file.name}" for file in dump], f"{url}/store", now=NOW)
    for rule in ("votes", "shp"):  # the second takes the place of the first
        for folder in (tmp_path, expanded(url)):
            export_dataset(folder / "store", folder / "out", formats=["pairs", "kto"], rule=rule, replace=True)
        assert tree(expanded(url) / "out") == tree(tmp_path / "out")
    assert run(["check", f"{url}/out", "-q"]) == run(["doctor", "--store", f"{url}/store", "-q"]) == 0
    assert keeps_names(expanded(url) / "probes")
    here, there = (shp_miner.load(out, format="pairs", split="train") for out in (tmp_path / "out", f"{url}/out"))
    assert there.to_dict() == here.to_dict()
    (expanded(url) / "dump").delete_tree()
    assert holding(url)
    assert run(["forget", "--author", "Alice", "--store", f"{url}/store", "-q"]) == 0
    assert not holding(url)
    assert run(["check", f"{url}/out", "-q"]) == 0
    left = {path.relative_to(expanded(url)).parts[0] for path in expanded(url).rglob("*")}
    assert left == {"store", "out"}


def holding(url: str) -> list[str]:
    """The objects with the text of a person who is forgotten, after unpacking."""
    found = []
    for path in expanded(url).rglob("*"):
        data = path.read_bytes()
        if data[:4] == b"PAR1":
            data = pl.read_parquet(data).with_columns(pl.selectors.binary().bin.encode("hex")).write_ndjson().encode()
        found += [str(path)] if SECRET.encode() in data else []
    return found


@pytest.fixture
def azurite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    npx = shutil.which("npx")
    if npx is None:
        pytest.skip("no npx to run Azurite with")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["azurite-blob", "--blobPort", str(port), "--location", str(tmp_path / "azurite")]
    options = ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    process = subprocess.Popen([npx, "--yes", f"--package={AZURITE}", *words, *options], start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.2)
        else:
            pytest.skip("Azurite does not start")
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"http://127.0.0.1:{port}/{ACCOUNT}")
        make_container(port)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def make_container(port: int) -> None:
    date = formatdate(usegmt=True)
    signed = f"x-ms-date:{date}\nx-ms-version:2021-08-06\n/{ACCOUNT}/{ACCOUNT}/bucket\nrestype:container"
    digest = hmac.new(base64.b64decode(KEY), ("PUT" + "\n" * 12 + signed).encode(), hashlib.sha256).digest()
    headers = {"x-ms-date": date, "x-ms-version": "2021-08-06", "Content-Length": "0"}
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    url = f"http://127.0.0.1:{port}/{ACCOUNT}/bucket?restype=container"
    urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers)).close()
